/**
 * What is wanted of an agent, as a whole picture with a version. Made from the assignments each time it is asked for: there
 * is no second copy that could disagree.
 *
 *     items, agents ──▶ picture ──▶ digest = version
 */
import { createHash } from 'node:crypto';
import type { Session } from '../../platform/mysql.ts';
import { unseal } from '../../platform/seal.ts';
import type { MachineWanted, ProcessServerWanted } from '../../protocol/control/agent-link.ts';
import { errors } from '../errors.ts';
import * as agents from '../store/agents.ts';
import * as items from '../store/items.ts';
import * as runs from '../store/machine-runs.ts';

export interface Wanted {
  readonly version: string;
  readonly wanted: MachineWanted | ProcessServerWanted;
}

export async function wantedOf(
  session: Session,
  agent: Pick<agents.Agent, 'agentId' | 'role'>,
  masterKey: Uint8Array,
): Promise<Wanted> {
  const wanted =
    agent.role === 'mobility-service'
      ? await wantedOfMachine(session, agent.agentId)
      : await wantedOfProcessServer(session, agent.agentId, masterKey);
  return { version: versionOf(wanted), wanted };
}

async function wantedOfMachine(session: Session, machineId: string): Promise<MachineWanted> {
  const item = await items.ofMachine(session, machineId);
  const server = item?.isServed && (await agents.byId(session, item.processServerId))?.said;
  // A machine that came before its process server knows of it would be turned away.
  if (!item || !server || server.role !== 'process-server') return { role: 'mobility-service', item: null };
  const { itemId, name, disks, policy } = item;
  const { host, port } = server.processServer;
  return { role: 'mobility-service', item: { itemId, name, processServer: { host, port }, disks, policy } };
}

async function wantedOfProcessServer(
  session: Session,
  processServerId: string,
  masterKey: Uint8Array,
): Promise<ProcessServerWanted> {
  const assigned = await items.ofProcessServer(session, processServerId);
  const identities = await runs.identitiesOf(
    session,
    assigned.map(({ machineId }) => machineId),
  );
  return {
    role: 'process-server',
    items: assigned.map(({ itemId, machineId, name, disks, sealedKey }) => {
      const machineIdentity = identities.get(machineId);
      const key = unseal(masterKey, sealedKey);
      if (key === undefined) throw errors.ItemKeyUnreadable(itemId);
      return {
        itemId,
        name,
        itemKey: key.toString('base64'),
        disks: disks.map(({ diskId }) => ({ diskId })),
        ...(machineIdentity === undefined ? {} : { machineIdentity }),
      };
    }),
  };
}

/** Half of a SHA-256: it tells pictures apart, it protects nothing. */
function versionOf(wanted: MachineWanted | ProcessServerWanted): string {
  return createHash('sha256').update(JSON.stringify(wanted)).digest('hex').slice(0, 32);
}
