/**
 * The vault's API with 10,000 protected items on a real MariaDB: pages of the list and of each `$filter`, over HTTPS, as a
 * client turns them. Seeds its own database and removes it. Run by itself: `node bench/vault-api.ts [items] [rounds]`.
 *
 * Reported: the 99th percentile over all requests, from the first byte sent to the last received. What the promise is:
 * below 100 ms. Client and server share one process here, so the figure is rather too high than too low.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/platform/clock.ts';
import { silentLog } from '../src/platform/log.ts';
import type { Database } from '../src/platform/mysql.ts';
import { systemRandom } from '../src/platform/random.ts';
import { issueAuthority, issueCertificate } from '../src/platform/tls.ts';
import { vaultResourceId } from '../src/protocol/arm/resource-id.ts';
import { startArmServer } from '../src/vault/api/arm-server.ts';
import { nounsOfVault } from '../src/vault/api/nouns.ts';
import { JobEngine } from '../src/vault/jobs/engine.ts';
import { databasePoolMebibytes } from '../src/vault/limits.ts';
import { MariaJobStore } from '../src/vault/store/jobs.ts';
import { migrate } from '../src/vault/store/migrate.ts';
import { MariaResources } from '../src/vault/store/resources.ts';
import { oneToken, subscriptionId, token } from '../test/contract/arm-world.ts';
import { startPrivateMariadb } from '../test/support/private-mariadb.ts';
import type { Row } from './report.ts';

export interface VaultApiFigures {
  readonly itemCount: number;
  readonly requestCount: number;
  readonly p50Milliseconds: number;
  readonly p99Milliseconds: number;
  /** By what was asked. */
  readonly p99ByKind: Readonly<Record<string, number>>;
  /** Every item was answered exactly once by a walk over all pages, and each filter answered what it should. */
  readonly isExact: boolean;
}

/** As a row of `make bench`. */
export const vaultApiPlan = {
  work: 'vault API with 10,000 protected items, page p99',
  unit: 'ms',
  higherIsBetter: false,
};
export async function vaultApiRow(): Promise<Partial<Row>> {
  const figures = await measureVaultApi();
  return {
    ours: figures.p99Milliseconds,
    verified: figures.isExact,
    note: `${figures.requestCount} pages of the list and of each $filter, half below ${figures.p50Milliseconds} ms; wanted: below 100 ms`,
  };
}

const vaultId = vaultResourceId(subscriptionId, 'Bench', 'Vault');
const siteNames = ['Paris', 'Rome', 'Oslo', 'Bern'];
const processServers = Array.from({ length: 8 }, () => systemRandom.uuid());
const pointsOfItem = 5;
const eventsOfItem = 3;

export async function measureVaultApi(itemCount = 10_000, rounds = 5): Promise<VaultApiFigures> {
  await using stack = new AsyncDisposableStack();
  const mariadb = await startPrivateMariadb(databasePoolMebibytes);
  stack.defer(() => mariadb.dispose());
  const { database } = await mariadb.database();
  await migrate(database);
  const resources = new MariaResources(database, systemClock);
  await resources.put(vaultId, { location: 'here' });
  await resources.put(`${vaultId}/replicationPolicies/gold`, {
    providerSpecificInput: { instanceType: 'InMageRcm', crashConsistentFrequencyInMinutes: 5 },
  });
  const machineIds = await seed(database, itemCount);
  const plan = Array.from({ length: 100 }, (_, index) => ({ id: itemId(index * 7) }));
  await resources.put(`${vaultId}/replicationRecoveryPlans/plan`, {
    primaryFabricId: `${vaultId}/replicationFabrics/${siteNames[0]}`,
    recoveryFabricId: 'Microsoft Azure',
    groups: [{ groupType: 'Boot', replicationProtectedItems: plan }],
  });

  const folder = await mkdtemp(join(tmpdir(), 'leeward-bench-api-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const authority = await issueAuthority(join(folder, 'authority'));
  const tls = await issueCertificate({
    folder: join(folder, 'tls'),
    authority,
    commonName: 'localhost',
    hosts: ['localhost'],
    days: 2,
    usage: 'server',
  });
  const jobs = new JobEngine({
    store: new MariaJobStore(database),
    workflows: [],
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    owner: 'bench',
  });
  const server = stack.use(
    await startArmServer({
      nouns: nounsOfVault({ database, resources, jobs, clock: systemClock, random: systemRandom }),
      whole: false,
      access: oneToken,
      audit: async () => {},
      jobs,
      resources,
      subscriptionId,
      tls: { cert: await readFile(tls.certificateFile), key: await readFile(tls.keyFile) },
      host: '127.0.0.1',
      port: 0,
      publicUrl: (port) => `https://localhost:${port}`,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
    }),
  );
  const agent = new Agent({ ca: await readFile(tls.caFile, 'utf8'), keepAlive: true });
  stack.defer(() => agent.destroy());

  const times = new Map<string, number[]>();
  const list = `${server.publicUrl}${vaultId}/replicationProtectedItems?api-version=2025-08-01`;
  const filtered = (text: string) => `${list}&$filter=${encodeURIComponent(text)}`;
  const container = `${server.publicUrl}${vaultId}/replicationFabrics/Rome/replicationProtectionContainers/Rome-container/replicationProtectedItems?api-version=2025-08-01`;
  const every = (fits: (index: number) => boolean) =>
    Array.from({ length: itemCount }, (_, index) => index).filter(fits).length;
  const asked: readonly (readonly [string, string, number])[] = [
    ['all', list, itemCount],
    ['container', container, every((index) => index % 4 === 1)],
    ['sourceFabricName', filtered("sourceFabricName eq 'oslo'"), every((index) => index % 4 === 2)],
    ['instanceType', filtered("instanceType eq 'InMageAzureV2'"), every((index) => index % 10 === 0)],
    [
      'processServerId',
      filtered(`processServerId eq '${processServers[3]}'`),
      every((index) => index % 8 === 3),
    ],
    ['fabricObjectId', filtered(`fabricObjectId eq '${machineIds[itemCount >> 1]}'`), 1],
    ['vCenterName', filtered("vCenterName eq 'vc7'"), every((index) => index % 1000 === 7)],
    [
      'multiVmGroupCreateOption',
      filtered("multiVmGroupCreateOption eq 'UserSpecified'"),
      every((index) => index % 50 === 0),
    ],
    ['recoveryPlanName', filtered("recoveryPlanName eq 'plan'"), 100],
    [
      'two fields',
      filtered("sourceFabricName eq 'Rome' and instanceType eq 'InMageRcm'"),
      every((index) => index % 4 === 1 && index % 10 !== 0),
    ],
    ['nothing', filtered("vCenterName eq 'none'"), 0],
  ];
  let isExact = true;
  // The first walk warms caches and code, as a vault that has been up for a minute has them.
  for (let round = 0; round <= rounds; round++)
    for (const [kind, first, expected] of asked) {
      const seen = new Set<string>();
      for (let url: string | undefined = first; url !== undefined; ) {
        const { body, milliseconds } = await get(agent, url);
        if (round > 0) times.set(kind, [...(times.get(kind) ?? []), milliseconds]);
        for (const { id } of body.value) seen.add(id);
        url = body.nextLink;
      }
      if (seen.size !== expected) isExact = false;
    }
  const all = [...times.values()].flat();
  return {
    itemCount,
    requestCount: all.length,
    p50Milliseconds: percentile(all, 0.5),
    p99Milliseconds: percentile(all, 0.99),
    p99ByKind: Object.fromEntries([...times].map(([kind, values]) => [kind, percentile(values, 0.99)])),
    isExact,
  };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(10 * sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!) / 10;
}

function get(
  agent: Agent,
  url: string,
): Promise<{ body: { value: { id: string }[]; nextLink?: string }; milliseconds: number }> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const outgoing = request(url, { agent, headers: { authorization: `Bearer ${token}` } }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.once('error', reject);
      incoming.once('end', () => {
        const milliseconds = performance.now() - started;
        const text = Buffer.concat(chunks).toString();
        if (incoming.statusCode !== 200) reject(new Error(`${incoming.statusCode}: ${text.slice(0, 500)}`));
        else resolve({ body: JSON.parse(text), milliseconds });
      });
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
}

function itemId(index: number): string {
  const site = siteNames[index % siteNames.length]!;
  return `${vaultId}/replicationFabrics/${site}/replicationProtectionContainers/${site}-container/replicationProtectedItems/machine-${index}`;
}

/** Rows as enabling, reports and the log processor leave them, in bulk. Answers the machines' ids. */
async function seed(database: Database, itemCount: number): Promise<string[]> {
  const now = new Date();
  const at = now.toISOString();
  const sites = new Map<string, string>();
  for (const name of siteNames) {
    const siteId = systemRandom.uuid();
    sites.set(name, siteId);
    await insert(
      database,
      'sites (site_id, vault_id, fabric_name, host_name, version, box_public_key, registered_at, last_report_at)',
      [[siteId, vaultId.toLowerCase(), name, `${name}.example`, '1.0.0', 'A'.repeat(44), now, now]],
    );
  }
  await insert(
    database,
    'site_process_servers (process_server_id, site_id, name, report_number)',
    processServers.map((id, index) => [id, sites.get(siteNames[index % 4]!)!, `ps${index}`, 1]),
  );
  const machineIds: string[] = [];
  const tables: Record<string, (string | number | Date | null)[][]> = {
    'protected_items (item_id, name, process_server, disks, retention, sealed_key, created_at)': [],
    'positions (item_id, chain, sequence, digest, generation, archive_bytes, changed_bytes, applied_at)': [],
    'disks (item_id, disk_id, place, size_bytes, state, cause)': [],
    'recovery_points (item_id, point_id, type, method, taken_at, processed_at, frozen_milliseconds, size_bytes, changed_bytes, chain, sequence, locked_until)':
      [],
    'events (item_id, event)': [],
    'site_machines (site_id, machine_id, name, item_id, report_number, said)': [],
    'item_resources (id_key, id, vault_key, container_key, fabric_key, name, friendly_name, instance_type, policy_key, item_id, machine_id, process_server_id, vcenter_name, group_option, protection_state, test_failover_state, active_location, record)':
      [],
  };
  const [items, positions, disks, points, events, machines, resources] = Object.values(tables) as [
    (typeof tables)[string],
    (typeof tables)[string],
    (typeof tables)[string],
    (typeof tables)[string],
    (typeof tables)[string],
    (typeof tables)[string],
    (typeof tables)[string],
  ];
  for (let index = 0; index < itemCount; index++) {
    const id = itemId(index);
    const site = siteNames[index % siteNames.length]!;
    const dataId = systemRandom.uuid();
    const machineId = systemRandom.uuid();
    machineIds.push(machineId);
    const own = [0, 1].map((place) => ({
      diskId: systemRandom.uuid(),
      path: `/dev/disk/by-id/disk-${place}`,
    }));
    const name = `machine-${index}`;
    items.push([
      dataId,
      name,
      'ps',
      JSON.stringify(own),
      '{"rules":[{"untilSeconds":1,"everySeconds":0}]}',
      'x',
      now,
    ]);
    positions.push([dataId, 1, index, null, 1, 0, 0, now]);
    for (const [place, { diskId }] of own.entries())
      disks.push([dataId, diskId, place, 100 * 2 ** 30, 'in-sync', null]);
    for (let point = 0; point < pointsOfItem; point++) {
      const taken = new Date(now.getTime() - point * 300_000);
      points.push([
        dataId,
        systemRandom.uuid(),
        'CrashConsistent',
        'quiet',
        taken,
        taken,
        0,
        1,
        1,
        1,
        point,
        null,
      ]);
    }
    for (let event = 0; event < eventsOfItem; event++)
      events.push([
        dataId,
        JSON.stringify({
          code: 'ResyncRequested',
          severity: 'information',
          summary: 'a comparison was asked for',
          possibleCauses: 'Somebody asked.',
          recommendedAction: 'Nothing.',
          raisedAt: at,
          context: {},
        }),
      ]);
    machines.push([
      sites.get(site)!,
      machineId,
      name,
      dataId,
      1,
      JSON.stringify({
        machineId,
        name,
        addresses: ['10.0.0.1'],
        osName: 'Debian GNU/Linux 12',
        kernel: '6.1.0',
        firmware: 'efi',
        cpuCount: 4,
        memoryBytes: 8 * 2 ** 30,
        mobilityService: { version: '1.0.0', lastHeartbeatAt: at },
        disks: own.map(({ path }) => ({
          path,
          name: 'sda',
          sizeBytes: 100 * 2 ** 30,
          readinessErrors: [],
          uses: ['/'],
        })),
        itemId: dataId,
      }),
    ]);
    const kind = index % 10 === 0 ? 'InMageAzureV2' : 'InMageRcm';
    resources.push([
      id.toLowerCase(),
      id,
      vaultId.toLowerCase(),
      id.split('/').slice(0, 13).join('/').toLowerCase(),
      site.toLowerCase(),
      name,
      name,
      kind,
      `${vaultId}/replicationPolicies/gold`.toLowerCase(),
      dataId,
      machineId,
      processServers[index % 8]!,
      index % 10 === 7 ? `vc${index % 1000}` : '',
      index % 50 === 0 ? 'UserSpecified' : '',
      'Protected',
      'None',
      'Primary',
      JSON.stringify({
        policyId: `${vaultId}/replicationPolicies/gold`,
        protectableItemId: `${id.split('/').slice(0, 13).join('/')}/replicationProtectableItems/${machineId}`,
        settings: { instanceType: kind, targetVmName: name, targetVmSize: 'cpu4-memory16' },
        createdAt: at,
      }),
    ]);
  }
  for (const [table, rows] of Object.entries(tables)) await insert(database, table, rows);
  await database.rows('ANALYZE TABLE item_resources, recovery_points, events, disks');
  return machineIds;
}

async function insert(
  database: Database,
  table: string,
  rows: readonly (string | number | Date | null)[][],
): Promise<void> {
  for (let first = 0; first < rows.length; first += 500) {
    const some = rows.slice(first, first + 500);
    const marks = some.map((row) => `(${row.map(() => '?').join(', ')})`).join(', ');
    await database.change(`INSERT INTO ${table} VALUES ${marks}`, some.flat());
  }
}

if (process.argv[1] === import.meta.filename) {
  const figures = await measureVaultApi(Number(process.argv[2] ?? 10_000), Number(process.argv[3] ?? 5));
  console.log(JSON.stringify(figures, null, 2));
  process.exitCode = figures.isExact && figures.p99Milliseconds < 100 ? 0 : 1;
}
