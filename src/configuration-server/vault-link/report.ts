/** The whole picture of the site, in pages: this server, its process servers, and each machine that has said what it is. */
import { networkInterfaces } from 'node:os';
import type { HealthEvent } from '../../model/health.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/mysql.ts';
import { MachineId, type ReportedMachine, type SiteReport } from '../../protocol/control/site-link.ts';
import { copyKeptMilliseconds, machinesOfPageMax } from '../limits.ts';
import { serverVersion } from '../registration/identity.ts';
import * as agents from '../store/agents.ts';
import * as items from '../store/items.ts';
import * as runs from '../store/machine-runs.ts';

/** @param health of this server itself */
export async function* siteReport(
  parts: { readonly database: Database; readonly clock: Clock; readonly hostName: string },
  health: readonly HealthEvent[],
): AsyncGenerator<SiteReport> {
  const { database, clock } = parts;
  const configurationServer = {
    version: serverVersion,
    hostName: parts.hostName,
    addresses: addresses().slice(0, 64),
    at: new Date(clock.now()).toISOString(),
    health: health.slice(0, 50),
  };
  const servers = await agents.list(database, 'process-server', { limit: 64 });
  const processServers = servers.flatMap(({ said, heartbeatAt }) =>
    said?.role === 'process-server' && heartbeatAt !== undefined
      ? [{ ...said.processServer, lastHeartbeatAt: heartbeatAt }]
      : [],
  );
  let after: string | undefined;
  for (let index = 0; ; index++) {
    const page = await agents.list(database, 'mobility-service', { after, limit: machinesOfPageMax });
    const agentIds = page.map(({ agentId }) => agentId);
    const itemIds = await items.itemIds(database, agentIds);
    const copies = await runs.copiesOf(database, agentIds, clock.now() - copyKeptMilliseconds);
    const last = page.length < machinesOfPageMax;
    yield {
      configurationServer,
      // Once: the vault takes those of each page together.
      processServers: index === 0 ? processServers : [],
      machines: page.flatMap((agent) => machineOf(agent, itemIds, copies)),
      page: { index, last },
    };
    if (last) return;
    after = page.at(-1)!.agentId;
  }
}

function machineOf(
  { agentId, said, heartbeatAt }: agents.Agent,
  itemIds: Awaited<ReturnType<typeof items.itemIds>>,
  copies: Awaited<ReturnType<typeof runs.copiesOf>>,
): ReportedMachine[] {
  if (said?.role !== 'mobility-service' || heartbeatAt === undefined) return [];
  const { version, ...machine } = said.machine;
  const itemId = itemIds.get(agentId);
  const copiesOfIt = copies.get(agentId);
  return [
    {
      ...machine,
      machineId: MachineId.parse(agentId),
      mobilityService: { version, lastHeartbeatAt: heartbeatAt },
      ...(itemId === undefined ? {} : { itemId }),
      ...(copiesOfIt === undefined ? {} : { copies: copiesOfIt }),
    },
  ];
}

function addresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address);
}
