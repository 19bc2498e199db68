import test from 'ava';
import type { HealthEvent } from '../../../src/model/health.ts';
import type { ReportedDisk } from '../../../src/protocol/control/site-link.ts';
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

test('a new machine whose first copy comes on has a day for its first point', (t) => {
  const young = {
    ...{ ...well, newestPointAt: undefined, newestApplicationConsistentAt: undefined },
    appliedAt: ago(20),
  };
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

const lacking = [{ path: '/dev/sdb', cause: 'gone' as const }];

test('points that lack a disk are a critical condition at once, which names it', (t) => {
  const [condition] = itemConditions({ ...well, missingDisks: lacking }, now);
  t.like(condition, { code: 'DisksNotInRecoveryPoints', severity: 'Critical', sustainSeconds: 0 });
  t.regex(condition!.summary, /lack \/dev\/sdb \(gone\); the newest that has every disk is 60 s old/);
});

test('the RPO counts points that have every disk, since protection began where there is none, and names what is missing', (t) => {
  const none = { newestPointAt: undefined, newestApplicationConsistentAt: undefined };
  const at = itemConditions({ ...well, ...none, createdAt: ago(1000), missingDisks: lacking }, now);
  t.deepEqual(codes(at), ['DisksNotInRecoveryPoints', 'RpoExceeded']);
  t.regex(at[1]!.summary, /no recovery point with every disk for 17 min.*what is missing: \/dev\/sdb/);
  const resync = itemConditions(
    {
      ...well,
      newestPointAt: ago(1000),
      disks: [{ diskId: 'd', path: '/dev/sdc', state: 'resync', cause: 'UncleanShutdown' }],
    },
    now,
  );
  t.deepEqual(codes(resync), ['RpoExceeded', 'ResyncRequired']);
  t.regex(resync[0]!.summary, /what is missing: \/dev\/sdc/);
});

test('a machine of which nothing ever arrives is told after its RPO threshold, one whose first copy comes on is not', (t) => {
  const none = { ...well, newestPointAt: undefined, newestApplicationConsistentAt: undefined };
  t.deepEqual(itemConditions({ ...none, createdAt: ago(900) }, now), []);
  t.like(itemConditions({ ...none, createdAt: ago(901) }, now)[0], {
    code: 'NothingArrives',
    severity: 'Warning',
  });
  t.like(itemConditions({ ...none, createdAt: ago(4000) }, now)[0], { severity: 'Critical' });
  t.deepEqual(itemConditions({ ...none, createdAt: ago(4000), appliedAt: ago(30) }, now), []);
  t.deepEqual(codes(itemConditions({ ...none, createdAt: ago(80_000), appliedAt: ago(3000) }, now)), [
    'NothingArrives',
  ]);
});

const event = (code: string, severity: HealthEvent['severity'] = 'critical'): HealthEvent => ({
  ...{ code, severity, summary: `${code} it is`, possibleCauses: 'x', recommendedAction: 'y' },
  ...{ raisedAt: '2026-06-01T00:00:00.000Z', context: {} },
});

test('a vault that cannot apply what it has says so, and a passing trouble disturbs nobody', (t) => {
  const [condition] = itemConditions({ ...well, paused: event('ReplicaStoreFull') }, now);
  t.like(condition, { code: 'ReplicaStoreFull', severity: 'Critical', sustainSeconds: 60 });
});

test('a failover that failed is a condition with its cause, a test that failed a lesser one', (t) => {
  const job = {
    ...{ jobId: 'j', name: 'Failover', endedAt: ago(60), summary: 'no room: 24 GiB needed' },
    ...{ possibleCauses: 'x', recommendedAction: 'Ask for less.' },
  };
  const [failed] = itemConditions({ ...well, failedFailover: job }, now);
  t.like(failed, { code: 'FailoverFailed', severity: 'Critical', category: 'Configuration' });
  t.regex(failed!.summary, /the last failover of guest failed: no room: 24 GiB needed/);
  t.like(itemConditions({ ...well, failedTestFailover: { ...job, name: 'Test failover' } }, now)[0], {
    code: 'TestFailoverFailed',
    severity: 'Warning',
    category: 'TestFailover',
  });
  // It runs at the recovery site, and the next step failed.
  t.deepEqual(codes(itemConditions({ ...well, isReplicating: false, failedFailover: job }, now)), [
    'FailoverFailed',
  ]);
});

const reported = (path: string, more: Partial<ReportedDisk> = {}): ReportedDisk => ({
  ...{ path, name: path.slice(5), sizeBytes: 1, readinessErrors: [], uses: [] },
  ...more,
});
const twoDisks = { ...well, protectedPaths: ['/dev/sda', '/dev/sdb'], crashConsistentSeconds: 300 };

test('a protected disk that is not reported is told when points stop, not while it is followed under another name', (t) => {
  const facts = { ...twoDisks, reportedDisks: [reported('/dev/sda')] };
  t.deepEqual(itemConditions(facts, now), []);
  const late = { ...facts, newestPointAt: ago(601) };
  t.like(itemConditions(late, now)[0], { code: 'DiskNotReported', severity: 'Critical' });
  t.regex(itemConditions(late, now)[0]!.summary, /\/dev\/sdb/);
  // Said already, with more.
  t.deepEqual(codes(itemConditions({ ...late, missingDisks: lacking }, now)), ['DisksNotInRecoveryPoints']);
  // A machine that is silent says nothing of its disks.
  t.deepEqual(codes(itemConditions({ ...late, machineHeartbeatAt: ago(1000) }, now)), [
    'MobilityServiceSilent',
  ]);
});

test('data that is also on a disk without protection is critical, also where disks were chosen', (t) => {
  const stacks = [{ through: 'volume group data', disks: ['/dev/sdb', '/dev/sdc'] }];
  const facts = {
    ...twoDisks,
    reportedDisks: [reported('/dev/sda'), reported('/dev/sdb', { stacks }), reported('/dev/sdc', { stacks })],
  };
  const [condition, ...rest] = itemConditions(facts, now);
  t.like(condition, { code: 'DataOnUnprotectedDisk', severity: 'Critical' });
  t.regex(condition!.summary, /volume group data is also on \/dev\/sdc/);
  t.deepEqual(rest, []);
  t.deepEqual(itemConditions({ ...facts, protectedPaths: ['/dev/sda'] }, now), []);
});

test('a disk that nobody chose to leave out is told with its reason, or as added later', (t) => {
  const facts = {
    ...twoDisks,
    wantsAllDisks: true,
    reportedDisks: [
      reported('/dev/sda'),
      reported('/dev/sdb'),
      reported('/dev/sdc', { readinessErrors: [event('MultipathDevice')] }),
      reported('/dev/sdd'),
      reported('/dev/loop0', { readinessErrors: [event('BackedByOwnDisk')] }),
    ],
  };
  const [condition, ...rest] = itemConditions(facts, now);
  t.like(condition, { code: 'DiskNotProtected', severity: 'Warning' });
  t.regex(
    condition!.summary,
    /2 disks.*\/dev\/sdc \(MultipathDevice it is\), \/dev\/sdd \(it was added after/,
  );
  t.deepEqual(rest, []);
  t.deepEqual(itemConditions({ ...facts, wantsAllDisks: false }, now), []);
});

test('what process servers and sites say of themselves is a condition, one a code', (t) => {
  const halted = { ...server, health: [event('ItemHalted'), { ...event('ItemHalted'), summary: 'another' }] };
  t.deepEqual(
    processServerConditions(halted, now).map(({ code, severity, summary }) => [code, severity, summary]),
    [['ItemHalted', 'Critical', 'ItemHalted it is; another']],
  );
  t.deepEqual(
    codes(
      siteConditions(
        {
          name: 's',
          registeredAt: ago(9000),
          lastReportAt: ago(10),
          health: [event('ClockDiffers', 'warning')],
        },
        now,
      ),
    ),
    ['ClockDiffers'],
  );
});

test('a spool that is full is told at once: its machines wait', (t) => {
  const full = processServerConditions({ ...server, spoolFreePercent: 9 }, now);
  t.like(
    full.find(({ code }) => code === 'ProcessServerSpoolFull'),
    { severity: 'Critical', sustainSeconds: 0 },
  );
});
