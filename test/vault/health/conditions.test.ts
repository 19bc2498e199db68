import test from 'ava';
import {
  type HealthCondition,
  type ItemFacts,
  itemConditions,
  type KeptCondition,
  planChanges,
  processServerConditions,
  siteConditions,
  storeConditions,
} from '../../../src/vault/health/conditions.ts';

const now = Date.parse('2026-06-01T00:00:00Z');
const ago = (seconds: number) => now - seconds * 1000;
const codes = (conditions: readonly HealthCondition[]) => conditions.map(({ code }) => code);
const well: ItemFacts = {
  name: 'guest',
  createdAt: ago(10 * 86_400),
  rpoThresholdSeconds: 900,
  applicationConsistentSeconds: 3600,
  newestPointAt: ago(60),
  newestApplicationConsistentAt: ago(1800),
  disks: [{ diskId: 'd', state: 'in-sync', cause: undefined }],
  blocked: undefined,
  machineHeartbeatAt: ago(20),
  isReplicating: true,
  lastTestFailoverAt: ago(86_400),
};

test('a machine that is well has no condition', (t) => {
  t.deepEqual(itemConditions(well, now), []);
});

test('the source of a machine that is failed over is critical while it is heard of', (t) => {
  const over = { ...well, isReplicating: false, fencedAt: ago(600), siteReportedAt: ago(10) };
  const at = (facts: Partial<ItemFacts>) => codes(itemConditions({ ...over, ...facts }, now));
  t.deepEqual(at({ sourceHeardAt: ago(601) }), [], 'it went before');
  t.deepEqual(at({ sourceHeardAt: ago(590), siteReportedAt: ago(585) }), [], 'its last word may arrive late');
  t.deepEqual(at({ sourceHeardAt: ago(15) }), ['SourceRunsAgain']);
  t.is(itemConditions({ ...over, sourceHeardAt: ago(15) }, now)[0]?.severity, 'Critical');
  t.deepEqual(at({ sourceHeardAt: ago(200) }), [], 'it was switched off');
  t.deepEqual(
    at({ sourceHeardAt: ago(200), siteReportedAt: ago(190) }),
    ['SourceRunsAgain'],
    'its site is silent since',
  );
  t.deepEqual(at({ sourceHeardAt: ago(15), fencedAt: undefined }), []);
});

test('an RPO at its threshold is well, above it a warning, far above critical', (t) => {
  const at = (seconds: number) => itemConditions({ ...well, newestPointAt: ago(seconds) }, now);
  t.deepEqual(at(900), []);
  t.like(at(901)[0], { code: 'RpoExceeded', severity: 'Warning' });
  t.like(at(3601)[0], { code: 'RpoExceeded', severity: 'Critical' });
  t.regex(at(3600)[0]!.summary, /newest recovery point of guest is 60 min old; the policy allows 15 min/);
});

test('a new machine has a day for its first point', (t) => {
  const young = { ...well, newestPointAt: undefined, newestApplicationConsistentAt: undefined };
  t.deepEqual(itemConditions({ ...young, createdAt: ago(86_000) }, now), []);
  t.deepEqual(codes(itemConditions({ ...young, createdAt: ago(90_000) }, now)), ['NoRecoveryPointYet']);
});

test('application-consistent points may fail twice in a row; a policy without them never complains', (t) => {
  const at = (seconds: number) =>
    itemConditions({ ...well, newestApplicationConsistentAt: ago(seconds) }, now);
  t.deepEqual(at(3 * 3600), []);
  t.deepEqual(codes(at(3 * 3600 + 1)), ['NoApplicationConsistentPoint']);
  t.deepEqual(
    itemConditions(
      { ...well, applicationConsistentSeconds: 0, newestApplicationConsistentAt: undefined },
      now,
    ),
    [],
  );
});

test('a resync says its causes, a silent service and a missing rehearsal are told', (t) => {
  const found = itemConditions(
    {
      ...well,
      disks: [
        { diskId: 'a', state: 'resync', cause: 'TraceEventsLost' },
        { diskId: 'b', state: 'resync', cause: 'DiskResized' },
      ],
      machineHeartbeatAt: ago(901),
      lastTestFailoverAt: undefined,
      createdAt: ago(200 * 86_400),
    },
    now,
  );
  t.deepEqual(codes(found), ['ResyncRequired', 'MobilityServiceSilent', 'TestFailoverRecommended']);
  t.regex(found[0]!.summary, /^2 disks of guest are .*TraceEventsLost, DiskResized/);
});

test('a machine that runs at the recovery site is not told to replicate', (t) => {
  t.deepEqual(itemConditions({ ...well, isReplicating: false, newestPointAt: ago(1e6) }, now), []);
});

test('every condition has a cause and an action', (t) => {
  const all = [
    ...itemConditions({ ...well, newestPointAt: ago(1e7), lastTestFailoverAt: ago(2e7) }, now),
    ...siteConditions({ name: 's', lastReportAt: undefined, registeredAt: ago(1000) }, now),
    ...storeConditions({ replicaFreePercent: 5, cacheFreePercent: 15 }),
  ];
  t.true(all.length >= 4);
  for (const { summary, possibleCauses, recommendedAction } of all)
    for (const text of [summary, possibleCauses, recommendedAction]) t.regex(text, /\S{3}/);
});

const server = {
  name: 'ps',
  lastHeartbeatAt: ago(10),
  cpuPercent: 50,
  memoryUsedPercent: 50,
  spoolFreePercent: 80,
  pendingBytes: 0,
  uploadBytesPerSecond: 0,
};

test("a process server's thresholds are the reference's", (t) => {
  t.deepEqual(processServerConditions(server, now), []);
  const of = (change: Partial<typeof server>) =>
    processServerConditions({ ...server, ...change }, now).map(
      ({ code, severity, sustainSeconds }) => `${code} ${severity} ${sustainSeconds}`,
    );
  t.deepEqual(of({ cpuPercent: 81 }), ['ProcessServerCpuHigh Warning 900']);
  t.deepEqual(of({ cpuPercent: 96 }), ['ProcessServerCpuHigh Critical 900']);
  t.deepEqual(of({ memoryUsedPercent: 96 }), ['ProcessServerMemoryHigh Critical 900']);
  t.deepEqual(of({ spoolFreePercent: 29 }), ['ProcessServerSpoolLow Warning 900']);
  t.deepEqual(of({ spoolFreePercent: 24 }), ['ProcessServerSpoolLow Critical 900']);
  t.deepEqual(of({ pendingBytes: 1801, uploadBytesPerSecond: 1 }), ['UploadBacklog Warning 300']);
  t.deepEqual(of({ pendingBytes: 2701, uploadBytesPerSecond: 1 }), ['UploadBacklog Critical 300']);
  t.deepEqual(of({ pendingBytes: 1, uploadBytesPerSecond: 0 }), ['UploadBacklog Critical 300']);
  // A site that is silent says nothing about it; one that spoke since does.
  t.deepEqual(of({ lastHeartbeatAt: ago(2000), siteReportedAt: ago(1990) } as never), []);
  t.deepEqual(of({ lastHeartbeatAt: ago(2000), siteReportedAt: ago(1000) } as never), [
    'ProcessServerSilent Critical 0',
  ]);
  // What a silent one said last is old.
  t.deepEqual(of({ lastHeartbeatAt: ago(901), cpuPercent: 99 }), ['ProcessServerSilent Critical 0']);
});

const load: HealthCondition = processServerConditions({ ...server, cpuPercent: 90 }, now)[0]!;
const kept = (condition: HealthCondition, seenSeconds: number, raised: boolean): KeptCondition => ({
  condition,
  seenAt: ago(seenSeconds),
  raisedAt: raised ? ago(seenSeconds) : undefined,
});

test('a load is told when it has held for its time, and not before', (t) => {
  const first = planChanges([], [load], now);
  t.deepEqual([first.begin.length, first.raise.length], [1, 0]);
  const tooEarly = planChanges([kept(load, 899, false)], [load], now);
  t.deepEqual([tooEarly.begin.length, tooEarly.raise.length], [0, 0]);
  t.is(planChanges([kept(load, 900, false)], [load], now).raise.length, 1);
});

test('what holds is told once, again when it gets worse, and cleared when it is over', (t) => {
  const raised = [kept(load, 2000, true)];
  const same = planChanges(raised, [load], now);
  t.true(Object.values(same).every((list) => list.length === 0));
  const other = { ...load, summary: 'said differently' };
  t.is(planChanges(raised, [other], now).refresh.length, 1);
  t.is(planChanges(raised, [{ ...load, severity: 'Critical' }], now).raise.length, 1);
  t.deepEqual(planChanges(raised, [], now).clear, raised);
});
