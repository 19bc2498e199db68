/**
 * Goal: in whatever way recovery points stop, or stop to have a disk, somebody is told within one interval: nothing is Normal
 * while a disk gets no points.
 * Method: one machine with two disks that lives by the half minute on a real MariaDB, with the real reconciler: its site reports,
 * points come every five minutes. Then one thing is taken away, and the test waits until the condition is there; before that
 * there is none.
 */
import anyTest from 'ava';
import { BookmarkId, ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../../src/model/ids.ts';
import type { Clock } from '../../../src/platform/clock.ts';
import type { LeewardError } from '../../../src/platform/errors.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { vaultResourceId } from '../../../src/protocol/arm/resource-id.ts';
import { healthEventOf } from '../../../src/protocol/control/health-event.ts';
import type { ReportedProcessServer } from '../../../src/protocol/control/site-link.ts';
import { errors } from '../../../src/vault/errors.ts';
import type { StoreFacts } from '../../../src/vault/health/conditions.ts';
import { HealthReconciler } from '../../../src/vault/reconcilers/health.ts';
import * as conditions from '../../../src/vault/store/conditions.ts';
import { MariaStore } from '../../../src/vault/store/maria-store.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import * as sites from '../../../src/vault/store/sites.ts';
import type { DiskRecord, RecoveryPoint } from '../../../src/vault/store/vault-store.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';
import { aMachine, aReport } from '../api/noun-world.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
anyTest.before(async () => {
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(() => mariadb?.dispose());

const vaultId = vaultResourceId('5ad2a1d6-1b61-4b56-9a2b-111111111111', 'rg', 'v');
const resourceId = `${vaultId}/replicationFabrics/f/replicationProtectionContainers/c/replicationProtectedItems/guest`;
const paths = ['/dev/sda', '/dev/sdb'] as const;
const diskIds = [1, 2].map((n) => ProtectedDiskId.parse(`40000000-0000-4000-8000-00000000000${n}`));
const tickSeconds = 30;
const pointSeconds = 300;
const rpoThresholdSeconds = 900;
const applicationSeconds = 900;
const silentSeconds = 900;

/** What is well with the machine, until a test takes some of it away. */
interface Life {
  isSiteHeard: boolean;
  isMachineHeard: boolean;
  isServerHeard: boolean;
  /** Whether manifests arrive at all. */
  arrives: boolean;
  takesPoints: boolean;
  takesApplicationConsistent: boolean;
  missing: NonNullable<RecoveryPoint['missingDisks']>;
  states: DiskRecord[];
  server: Partial<ReportedProcessServer>;
  disks: ReturnType<typeof aMachine>['disks'];
  store: StoreFacts;
}

const inSync = (): DiskRecord[] => diskIds.map((diskId) => ({ diskId, sizeBytes: 1, state: 'in-sync' }));

async function openWorld(hasPoints: boolean) {
  const { database } = await mariadb.database();
  await migrate(database);
  let now = Date.parse('2026-06-01T00:00:00Z');
  const clock: Clock = { now: () => now, monotonic: () => now, sleep: () => Promise.resolve() };
  const iso = (time = now) => new Date(time).toISOString();
  const store = new MariaStore(database);
  const itemId = ProtectedItemId.parse(systemRandom.uuid());
  await store.addItem(
    {
      itemId,
      name: 'guest',
      processServer: 'ps1',
      disks: diskIds.map((diskId, index) => ({ diskId, path: paths[index]! })),
      retention: { rules: [{ untilSeconds: 86_400, everySeconds: 0 }] },
      createdAt: iso(),
    },
    Buffer.alloc(1),
  );
  await database.change(
    `INSERT INTO item_resources (id_key, id, vault_key, container_key, fabric_key, name, friendly_name, instance_type,
       policy_key, item_id, machine_id, process_server_id, protection_state, test_failover_state, active_location, record)
     VALUES (?, ?, ?, '', 'f', 'guest', 'guest', 'InMageRcm', 'p', ?, 'm', 'ps', 'Protected', 'None', 'Primary', ?)`,
    [resourceId.toLowerCase(), resourceId, vaultId.toLowerCase(), itemId, JSON.stringify({ policyId: 'p' })],
  );
  const siteId = systemRandom.uuid();
  const processServerId = systemRandom.uuid();
  await sites.add(database, {
    ...{ siteId, vaultId: vaultId.toLowerCase(), fabricName: 'f', hostName: 'cs', version: '1' },
    ...{ boxPublicKey: Buffer.alloc(32).toString('base64'), registeredAt: iso() },
  });
  const life: Life = {
    ...{ isSiteHeard: true, isMachineHeard: true, isServerHeard: true, arrives: true },
    ...{
      takesPoints: hasPoints,
      takesApplicationConsistent: true,
      missing: [],
      states: inSync(),
      server: {},
    },
    disks: paths.map((path) => ({
      ...{ path, name: path.slice(5), sizeBytes: 1, readinessErrors: [], uses: [] },
    })),
    store: { replicaFreePercent: 90, cacheFreePercent: 90 },
  };
  const health = new HealthReconciler({
    ...{ database, clock, log: silentLog, metrics: new Metrics(), onChange: () => {} },
    policyTimes: async () => ({
      rpoThresholdSeconds,
      crashConsistentSeconds: pointSeconds,
      applicationConsistentSeconds: applicationSeconds,
    }),
    vaultIds: async () => [vaultId],
    storeFacts: async () => life.store,
  });
  let sequence = 0;
  let pointAt = 0;
  let applicationAt = 0;
  let machineAt = now;
  let serverAt = now;

  async function arrive(): Promise<void> {
    const isDue = life.takesPoints && now - pointAt >= pointSeconds * 1000;
    const isApplication = life.takesApplicationConsistent && now - applicationAt >= applicationSeconds * 1000;
    sequence += 1;
    const place = { chain: 1, sequence };
    await store.advance(itemId, {
      position: { ...place, digest: null, generation: 1, archiveBytes: 0, appliedAt: iso() },
      ...{ disks: life.states, progress: [], events: [], changedBytes: 0 },
      ...(isDue
        ? {
            point: {
              pointId: RecoveryPointId.parse(BookmarkId.parse(systemRandom.uuid())),
              itemId,
              type: isApplication ? ('ApplicationConsistent' as const) : ('CrashConsistent' as const),
              ...{ method: 'quiet', takenAt: iso(), processedAt: iso(), frozenMilliseconds: 0 },
              ...{ sizeBytes: 1, changedBytes: 1, ...place },
              ...(life.missing.length === 0 ? {} : { missingDisks: life.missing }),
            },
          }
        : {}),
    });
    if (isDue) pointAt = now;
    if (isDue && isApplication) applicationAt = now;
  }

  /** Half a minute goes by. Answers the codes of what holds then. */
  async function tick(): Promise<string[]> {
    now += tickSeconds * 1000;
    if (life.isMachineHeard) machineAt = now;
    if (life.isServerHeard) serverAt = now;
    if (life.isSiteHeard) {
      const machine = aMachine('guest', {
        itemId,
        disks: life.disks,
        mobilityService: { version: '1', lastHeartbeatAt: iso(machineAt) },
      });
      const said = aReport(iso(), processServerId, [{ ...machine, machineId: itemId as never }]);
      const server = { ...said.processServers[0]!, lastHeartbeatAt: iso(serverAt), ...life.server };
      await sites.keepReport(database, siteId, { ...said, processServers: [server] }, iso());
    }
    if (life.arrives) await arrive();
    await health.pass();
    return (await conditions.raisedInVault(database, vaultId, 100)).map(({ condition }) => condition.code);
  }

  return { life, store, itemId, tick, database };
}
type World = Awaited<ReturnType<typeof openWorld>>;

const eventOf = (error: LeewardError) => healthEventOf(error, Date.parse('2026-06-01T00:00:00Z'));
const lacks =
  (index: 0 | 1, cause: 'gone' | 'unreadable' | 'comparing') =>
  ({ life }: World) => {
    life.missing = [{ diskId: diskIds[index]!, cause }];
  };
const resync = ({ life }: World) => {
  life.states = inSync().map((disk, index) =>
    index === 1 ? { ...disk, state: 'resync', cause: 'UncleanShutdown' } : disk,
  );
  life.takesPoints = false;
};
/** The machine's new points stop, whatever stopped them. */
const stops = (world: World) => {
  world.life.takesPoints = false;
};
const silence = (world: World) => {
  world.life.arrives = false;
};

const ways: readonly (readonly [
  way: string,
  stop: (world: World) => void | Promise<void>,
  expected: readonly string[],
  withinSeconds: number,
])[] = [
  [
    'the mobility service is silent',
    (world) => {
      silence(world);
      world.life.isMachineHeard = false;
    },
    ['MobilityServiceSilent', 'RpoExceeded'],
    silentSeconds,
  ],
  [
    'the process server is silent',
    (world) => {
      silence(world);
      world.life.isServerHeard = false;
    },
    ['ProcessServerSilent', 'RpoExceeded'],
    silentSeconds,
  ],
  [
    'the site is silent, and nothing arrives',
    (world) => {
      silence(world);
      world.life.isSiteHeard = false;
    },
    ['ConfigurationServerSilent', 'RpoExceeded'],
    silentSeconds,
  ],
  [
    'the spool is full',
    ({ life }) => {
      life.server = { spoolFreeBytes: 5 * 2 ** 30, spoolTotalBytes: 100 * 2 ** 30 };
    },
    ['ProcessServerSpoolFull'],
    tickSeconds,
  ],
  [
    'the line carries nothing',
    ({ life }) => {
      life.server = { pendingBytes: 1 << 30, uploadBytesPerSecond: 0 };
    },
    ['UploadBacklog'],
    5 * 60,
  ],
  [
    'the item stands still at its process server, and cache storage cannot be told',
    (world) => {
      silence(world);
      world.life.server = {
        health: [eventOf(errors.ChainBroken('items/x', 'two process servers write it'))],
      };
    },
    ['ChainBroken'],
    tickSeconds,
  ],
  [
    'cache storage is full',
    ({ life }) => {
      life.store = { replicaFreePercent: 90, cacheFreePercent: 1 };
    },
    ['CacheStorageLow'],
    tickSeconds,
  ],
  [
    'the replica store is full',
    async (world) => {
      silence(world);
      await world.store.pause(world.itemId, eventOf(errors.ReplicaStoreFull('/replica')));
      world.life.store = { replicaFreePercent: 0, cacheFreePercent: 90 };
    },
    ['ReplicaStoreFull', 'ReplicaStoreLow'],
    60,
  ],
  [
    'the item’s key cannot be opened',
    async (world) => {
      silence(world);
      await world.store.pause(world.itemId, eventOf(errors.SealBroken()));
    },
    ['SealBroken'],
    60,
  ],
  [
    'the log processor stops at a damaged segment',
    async (world) => {
      silence(world);
      await world.store.block(world.itemId, { chain: 1, event: eventOf(errors.CacheObjectCorrupt('x')) });
    },
    ['CacheObjectCorrupt'],
    tickSeconds,
  ],
  [
    'the chain has a gap',
    async (world) => {
      silence(world);
      await world.store.block(world.itemId, { chain: 1, event: eventOf(errors.ChainBroken('x', 'a gap')) });
    },
    ['ChainBroken'],
    tickSeconds,
  ],
  ['a disk is gone', lacks(1, 'gone'), ['DisksNotInRecoveryPoints'], pointSeconds],
  ['the first disk is gone', lacks(0, 'gone'), ['DisksNotInRecoveryPoints'], pointSeconds],
  ['a disk answers with errors', lacks(1, 'unreadable'), ['DisksNotInRecoveryPoints'], pointSeconds],
  ['a disk that came back is compared', lacks(1, 'comparing'), ['DisksNotInRecoveryPoints'], pointSeconds],
  ['a disk stays away', lacks(1, 'gone'), ['DisksNotInRecoveryPoints', 'RpoExceeded'], rpoThresholdSeconds],
  [
    'a disk is gone, and there are no points of the others either',
    (world) => {
      stops(world);
      world.life.disks = world.life.disks.slice(0, 1);
    },
    ['DiskNotReported'],
    2 * pointSeconds,
  ],
  ['a disk is compared anew', resync, ['ResyncRequired'], tickSeconds],
  [
    'a comparison does not end, or its digests do not come',
    resync,
    ['ResyncRequired', 'RpoExceeded'],
    rpoThresholdSeconds,
  ],
  ['bookmarks are missed again and again', stops, ['RpoExceeded'], rpoThresholdSeconds],
  [
    'file systems cannot be frozen, or an application does not hold still',
    ({ life }) => {
      life.takesApplicationConsistent = false;
    },
    ['NoApplicationConsistentPoint'],
    3 * applicationSeconds,
  ],
];

for (const [way, stop, expected, withinSeconds] of ways)
  test(`${way}: ${expected.join(' and ')} within ${withinSeconds} s and a look, and over when it is over`, async (t) => {
    const world = await openWorld(true);
    // Until the first point is there, and the first that is application-consistent.
    for (let ticks = 0; ticks < 3; ticks++) t.deepEqual(await world.tick(), []);
    const well = structuredClone(world.life);
    await stop(world);
    let holds: string[] = [];
    // The point before may be as old as their interval already; and whoever looks looks every half minute.
    const limit = withinSeconds + pointSeconds + 2 * tickSeconds;
    let waited = 0;
    while (!expected.every((code) => holds.includes(code)) && waited < limit) {
      holds = await world.tick();
      waited += tickSeconds;
    }
    t.deepEqual(
      expected.filter((code) => !holds.includes(code)),
      [],
      `${holds.join(', ') || 'nothing'} after ${waited} s`,
    );
    Object.assign(world.life, well);
    for (let ticks = 0; ticks < limit / tickSeconds && holds.length > 0; ticks++) holds = await world.tick();
    // A first application-consistent point after a long time is due at once.
    t.deepEqual(holds, []);
  });

test('a machine of which nothing ever arrives is told within its RPO threshold, one that is being copied is not', async (t) => {
  const world = await openWorld(false);
  for (let ticks = 0; ticks < (2 * rpoThresholdSeconds) / tickSeconds; ticks++)
    t.deepEqual(await world.tick(), []);
  silence(world);
  let holds: string[] = [];
  for (let ticks = 0; holds.length === 0 && ticks <= rpoThresholdSeconds / tickSeconds + 1; ticks++)
    holds = await world.tick();
  t.deepEqual(holds, ['NothingArrives']);
});

test('a condition of missing disks names each by its path, and the RPO names it, too', async (t) => {
  const world = await openWorld(true);
  await world.tick();
  lacks(1, 'gone')(world);
  for (let ticks = 0; ticks < (rpoThresholdSeconds + 2 * pointSeconds) / tickSeconds; ticks++)
    await world.tick();
  const raised = await conditions.raised(world.database, resourceId);
  t.deepEqual(raised.map(({ condition }) => condition.code).toSorted(), [
    'DisksNotInRecoveryPoints',
    'RpoExceeded',
  ]);
  for (const { condition } of raised) t.regex(condition.summary, /\/dev\/sdb/);
});
