/**
 * Goal: every workflow of a protected item does what it is for, and bears failures, repetitions and deaths.
 * Method: the suite in `test/support/workflow-suite.ts` over one case each; the real engine, workflows and state table.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { silentLog } from '../../../src/platform/log.ts';
import { describePng } from '../../../src/vault/failover/screen.ts';
import { JobEngine } from '../../../src/vault/jobs/engine.ts';
import type { Job } from '../../../src/vault/jobs/jobs.ts';
import { MemoryJobStore } from '../../../src/vault/jobs/memory-job-store.ts';
import type { Json } from '../../../src/vault/jobs/workflow.ts';
import { itemWorkflows } from '../../../src/vault/workflows/all.ts';
import { choosePoint } from '../../../src/vault/workflows/item-steps.ts';
import type { PlanAction, PlanGroup } from '../../../src/vault/workflows/plan-shape.ts';
import { type WorkflowCase, workflowSuite } from '../../support/workflow-suite.ts';
import { containerId, openWorkflowWorld, vaultId, type WorkflowWorld } from '../../support/workflow-world.ts';

const row = (world: WorkflowWorld) => [...world.items.rows.values()][0]!;

const enableInput = (world: WorkflowWorld): Json => ({
  id: `${containerId}/replicationProtectedItems/new`,
  friendlyName: 'new',
  instanceType: 'InMageRcm',
  machineId: world.machineId,
  processServerId: world.machineId,
  policyId: 'p',
  protectableItemId: 'q',
  settings: {},
  name: 'new',
  disks: [{ path: '/dev/vdb' }, { path: '/dev/vda' }],
  replication: { crashConsistentSeconds: 300, applicationConsistentSeconds: 0 },
  retention: { rules: [{ untilSeconds: 3600, everySeconds: 0 }] },
});

const action = (actionName: string, customDetails: PlanAction['customDetails']): PlanAction => ({
  actionName,
  failoverTypes: ['TestFailover', 'UnplannedFailover', 'PlannedFailover'],
  failoverDirections: ['PrimaryToRecovery'],
  customDetails,
});
const script = (path: string, fabricLocation = 'Recovery') =>
  action(path, { instanceType: 'ScriptActionDetails', path, fabricLocation, timeout: '60' });

/** Three machines in two groups, with scripts at both ends. */
async function makePlan(world: WorkflowWorld, more: Partial<PlanGroup> = {}): Promise<string> {
  const names = ['db', 'app', 'web'];
  const ids = [];
  for (const name of names) ids.push((await world.addItem(name)).id);
  const id = `${vaultId}/replicationRecoveryPlans/shop`;
  const empty = { replicationProtectedItems: [], startGroupActions: [], endGroupActions: [] };
  world.plans.set(id, {
    id,
    name: 'shop',
    primaryFabricId: `${vaultId}/replicationFabrics/site`,
    groups: [
      { ...empty, groupType: 'Shutdown' },
      { ...empty, groupType: 'Failover', startGroupActions: [script('before')] },
      {
        ...empty,
        groupType: 'Boot',
        replicationProtectedItems: [{ id: ids[0]! }],
        endGroupActions: [script('at-home', 'Primary')],
        ...more,
      },
      { ...empty, groupType: 'Boot', replicationProtectedItems: [{ id: ids[1]! }, { id: ids[2]! }] },
    ],
  });
  return id;
}
const states = (world: WorkflowWorld) =>
  [...world.items.rows.values()].map(({ condition }) => condition.protectionState);
const three = (state: string) => [state, state, state];

const plans: WorkflowCase[] = [
  {
    workflow: 'plan-test-failover',
    title: 'test failover of a plan',
    keeps: true,
    prepare: async (world) => ({ id: await makePlan(world) }),
    done: async (t, world, job) => {
      t.is(world.machines.size, 3);
      // One network for all, so that they can reach one another.
      t.is(new Set([...world.machines.values()].map(({ network }) => network.name)).size, 1);
      t.is(world.scripts[0], 'before TestFailover shop Failover');
      t.deepEqual(
        world.orders.map(({ content }) => (content.order === 'run-script' ? content.name : content.order)),
        ['at-home'],
      );
      t.is(job.stateDescription, 'Completed');
    },
  },
  {
    workflow: 'plan-test-failover-cleanup',
    title: 'test failover clean-up of a plan',
    keeps: true,
    prepare: async (world, run) => {
      const id = await makePlan(world);
      await run('plan-test-failover', { id });
      return { id, comments: 'fine' };
    },
    done: async (t, world) => {
      t.is(world.machines.size + world.loans.size, 0);
    },
  },
  {
    workflow: 'plan-unplanned-failover',
    title: 'unplanned failover of a plan',
    keeps: true,
    prepare: async (world) => ({ id: await makePlan(world), shutDownSource: true }),
    done: async (t, world) => {
      t.deepEqual(states(world), three('UnplannedFailoverCommitPendingStatesBegin'));
      // All are stopped before the first one starts, and each once.
      t.deepEqual(
        world.orders.map(({ content }) => content.order),
        ['shut-down-machine', 'shut-down-machine', 'shut-down-machine', 'run-script'],
      );
    },
  },
  {
    workflow: 'plan-planned-failover',
    title: 'planned failover of a plan',
    keeps: true,
    prepare: async (world) => ({ id: await makePlan(world) }),
    done: async (t, world) => {
      t.deepEqual(states(world), three('PlannedFailoverCommitPendingStatesBegin'));
    },
  },
  {
    workflow: 'plan-commit-failover',
    title: 'commit of a plan',
    keeps: true,
    prepare: async (world, run) => {
      const id = await makePlan(world);
      await run('plan-unplanned-failover', { id });
      return { id };
    },
    done: async (t, world) => {
      t.deepEqual(states(world), three('UnplannedFailoverCommitted'));
    },
  },
  {
    workflow: 'plan-cancel-failover',
    title: 'cancel failover of a plan',
    keeps: true,
    prepare: async (world, run) => {
      const id = await makePlan(world);
      await run('plan-unplanned-failover', { id });
      return { id };
    },
    done: async (t, world) => {
      t.deepEqual(states(world), three('Protected'));
      t.is(world.machines.size + world.loans.size, 0);
    },
  },
];

const cases: WorkflowCase[] = [
  {
    workflow: 'enable-protection',
    title: 'enable protection',
    prepare: async (world) => enableInput(world),
    done: async (t, world) => {
      t.is(row(world).condition.protectionState, 'InitialReplicationInProgress');
      const [order] = world.orders;
      t.like(order?.content, { order: 'protect', sealedItemKey: 'sealed', itemId: row(world).itemId! });
      t.deepEqual(order?.content.order === 'protect' ? order.content.disks.map(({ path }) => path) : [], [
        '/dev/vdb',
        '/dev/vda',
      ]);
    },
  },
  {
    workflow: 'initial-replication',
    title: 'initial replication',
    prepare: async (world) => ({ ...(await world.addItem('web')) }),
    done: async (t, _, job) => {
      t.truthy((job.output as { pointId?: string }).pointId);
    },
  },
  {
    workflow: 'disable-protection',
    title: 'disable protection',
    prepare: async (world) => ({ id: (await world.addItem('web')).id }),
    done: async (t, world) => {
      t.is(world.items.rows.size, 0);
      t.deepEqual(await world.parts.store.listItems({ limit: 5 }), []);
      t.is(world.orders[0]?.content.order, 'unprotect');
      t.like(await world.snapshot(), { leftovers: [], points: [] });
    },
  },
  {
    workflow: 'disable-protection',
    title: 'purge without the site',
    prepare: async (world) => {
      const { id } = await world.addItem('web');
      world.siteMood = 'silent';
      return { id, purge: true };
    },
    done: async (t, world) => {
      t.is(world.items.rows.size, 0);
      t.is(world.orders[0]?.content.order, 'unprotect');
    },
  },
  {
    workflow: 'update-protection',
    title: 'update protection',
    prepare: async (world) => ({
      id: (await world.addItem('web')).id,
      friendlyName: 'web 2',
      settings: { kept: null, added: 2 },
    }),
    done: async (t, world) => {
      t.like(row(world), { friendlyName: 'web 2', settings: { added: 2 } });
    },
  },
  {
    workflow: 'repair-replication',
    title: 'repair replication',
    prepare: async (world) => ({ id: (await world.addItem('web')).id }),
    done: async (t, world) => {
      t.like(await world.snapshot(), { chains: [`${row(world).itemId} 1`] });
    },
  },
  {
    workflow: 'repair-replication',
    title: 'repair replication of one disk',
    prepare: async (world) => {
      const { id, itemId } = await world.addItem('web');
      return { id, diskIds: [(await world.parts.store.item(itemId))!.disks[1]!.diskId] };
    },
    done: async (t, world) => {
      const { itemId } = row(world);
      const { disks } = (await world.parts.store.item(itemId!))!;
      t.like(await world.snapshot(), { chains: [`${itemId} 1 ${disks[1]!.diskId}`] });
    },
  },
  {
    workflow: 'verify-item',
    title: 'verify',
    prepare: async (world) => ({ id: (await world.addItem('web')).id }),
    done: async (t, world, job) => {
      t.is(job.stateDescription, 'Completed');
      t.like(job.output, { manifestCount: 2, pointCount: 2, checkedBytes: 2, findings: [] });
      // Nobody has to wait for it.
      t.is(row(world).jobId, undefined);
    },
  },
  {
    workflow: 'test-failover',
    title: 'test failover',
    prepare: async (world) => ({ id: (await world.addItem('web 1')).id }),
    done: async (t, world, job) => {
      t.is(row(world).condition.testFailoverState, 'WaitingForCompletion');
      t.like(world.testFailovers.get(job.jobId), { state: 'running', address: '10.213.0.9' });
      const [machine] = world.machines.values();
      t.like(machine, { cpuCount: 3, memoryMebibytes: 1024, firmware: 'efi', network: { mode: 'isolated' } });
      t.regex(machine?.name ?? '', /^leeward-test-web-1-/);
      t.deepEqual(
        machine?.disks.map(({ path }) => path.at(-1)),
        ['1', '2'],
      );
    },
  },
  {
    workflow: 'test-failover-cleanup',
    title: 'test failover clean-up',
    repeatable: ['RemoveMachine', 'GiveBack', 'Finish'],
    prepare: async (world, run) => {
      const { id } = await world.addItem('web');
      await run('test-failover', { id });
      return { id, comments: 'all well' };
    },
    done: async (t, world) => {
      t.is(row(world).condition.testFailoverState, 'None');
      t.is(world.machines.size + world.loans.size, 0);
      const [record] = world.testFailovers.values();
      t.like(record, { state: 'cleaned', notes: 'all well' });
      const folder = join(world.parts.proofsFolder, record!.failoverId);
      t.like(JSON.parse(await readFile(join(folder, 'report.json'), 'utf8')), {
        state: 'cleaned',
        notes: 'all well',
        powerOnSeconds: record!.powerOnSeconds!,
      });
      t.true(describePng(await readFile(join(folder, 'screen.png'))).width > 0);
    },
  },
  {
    workflow: 'unplanned-failover',
    title: 'unplanned failover',
    prepare: async (world) => ({
      id: (await world.addItem('web')).id,
      point: 'latestApplicationConsistent',
      shutDownSource: true,
      network: { mode: 'existing', name: 'production' },
    }),
    done: async (t, world) => {
      t.like(row(world).condition, {
        protectionState: 'UnplannedFailoverCommitPendingStatesBegin',
        activeLocation: 'Recovery',
      });
      t.is(row(world).failoverPointId, '50000000-0000-4000-8000-000000000001');
      t.like([...world.machines.values()][0], { network: { mode: 'existing', name: 'production' } });
      t.is(world.orders[0]?.content.order, 'shut-down-machine');
    },
  },
  {
    workflow: 'planned-failover',
    title: 'planned failover',
    prepare: async (world) => ({ id: (await world.addItem('web')).id }),
    done: async (t, world, job) => {
      t.is(row(world).condition.protectionState, 'PlannedFailoverCommitPendingStatesBegin');
      t.deepEqual(
        world.orders.map(({ content }) => content.order),
        ['take-bookmark', 'shut-down-machine'],
      );
      // The one that the bookmark became.
      t.is(row(world).failoverPointId, '50000000-0000-4000-8000-000000000003');
      t.is(job.stateDescription, 'CompletedWithInformation');
    },
  },
  {
    workflow: 'planned-failover',
    title: 'planned failover of a machine whose clock was stepped back',
    prepare: async (world) => {
      const { id } = await world.addItem('web');
      world.stepMilliseconds = -3_600_000;
      return { id };
    },
    done: async (t, world) => {
      t.is(row(world).failoverPointId, '50000000-0000-4000-8000-000000000003');
    },
  },
  {
    workflow: 'planned-failover',
    title: 'planned failover to a last point',
    prepare: async (world) => {
      world.namesLastPoint = true;
      return { id: (await world.addItem('web')).id };
    },
    done: async (t, world, job) => {
      t.is(row(world).failoverPointId, '50000000-0000-4000-8000-000000000004');
      t.is(job.stateDescription, 'Completed');
    },
  },
  {
    workflow: 'apply-recovery-point',
    title: 'change recovery point',
    prepare: async (world, run) => {
      const { id } = await world.addItem('web');
      await run('unplanned-failover', { id });
      return { id, point: '50000000-0000-4000-8000-000000000001' };
    },
    done: async (t, world) => {
      t.is(row(world).condition.protectionState, 'UnplannedFailoverCommitPendingStatesBegin');
      t.is(row(world).failoverPointId, '50000000-0000-4000-8000-000000000001');
      t.is(world.machines.size, 1);
      t.is(world.loans.size, 1);
    },
  },
  {
    workflow: 'commit-failover',
    title: 'commit',
    prepare: async (world, run) => {
      const { id } = await world.addItem('web');
      await run('unplanned-failover', { id });
      return { id };
    },
    done: async (t, world) => {
      t.is(row(world).condition.protectionState, 'UnplannedFailoverCommitted');
      t.deepEqual(await world.parts.store.listPoints(row(world).itemId!, { limit: 5 }), []);
      t.is(world.machines.size, 1);
    },
  },
  {
    workflow: 'cancel-failover',
    title: 'cancel failover',
    prepare: async (world, run) => {
      const { id } = await world.addItem('web');
      await run('unplanned-failover', { id });
      return { id };
    },
    done: async (t, world) => {
      t.like(row(world).condition, { protectionState: 'Protected', activeLocation: 'Primary' });
      t.is(world.machines.size + world.loans.size + world.failovers.size, 0);
    },
  },
  {
    workflow: 'renew-certificate',
    title: 'renewal of a site’s certificate',
    keeps: true,
    prepare: async (world) => ({
      id: `${(await world.addItem('web')).id.split('/').slice(0, 11).join('/')}`,
    }),
    done: async (t, world) => {
      t.deepEqual(
        world.orders.map(({ content }) => content),
        [{ order: 'renew-certificate' }],
      );
    },
  },
];

workflowSuite(test, [...cases, ...plans]);

test('every workflow is judged', async (t) => {
  await using world = await openWorkflowWorld();
  const judged = new Set([...cases, ...plans].map(({ workflow }) => workflow));
  // Part of a plan's: judged with it.
  judged.add('shut-down-source');
  t.deepEqual(
    itemWorkflows(world.parts)
      .map(({ name }) => name)
      .filter((name) => !judged.has(name)),
    [],
  );
});

test('a point is chosen by kind or id, and a missing one is named', async (t) => {
  await using world = await openWorkflowWorld();
  const { itemId } = await world.addItem('web');
  const item = { itemId, name: 'web' };
  const chosen = async (wish: string) => (await choosePoint(world.parts, item, wish)).pointId.at(-1);
  t.is(await chosen('latest'), '2');
  t.is(await chosen('latestProcessed'), '2');
  t.is(await chosen('latestApplicationConsistent'), '1');
  t.is(await chosen('latestCrashConsistent'), '2');
  t.is(await chosen('50000000-0000-4000-8000-000000000001'), '1');
  await t.throwsAsync(chosen('50000000-0000-4000-8000-000000000009'), { code: 'RecoveryPointGone' });
  for (const point of await world.parts.store.listPoints(itemId, { limit: 9 }))
    await world.parts.store.removePoint(itemId, point.pointId);
  await t.throwsAsync(chosen('latest'), { code: 'NoRecoveryPoint' });
});

test('the latest point is the latest that has every disk; what was left aside and what is missing is told', async (t) => {
  await using world = await openWorkflowWorld();
  const { itemId } = await world.addItem('web');
  const item = { itemId, name: 'web' };
  const { disks } = (await world.parts.store.item(itemId))!;
  const missing = [{ diskId: disks[1]!.diskId, cause: 'gone' as const }];
  const lesser = await world.addPoint(itemId, 'ApplicationConsistent', undefined, missing);
  await world.addPoint(itemId, 'CrashConsistent', undefined, missing);
  const chosen = (wish: string, options = {}) => choosePoint(world.parts, item, wish, options);
  for (const [wish, last, left] of [
    ['latest', '2', 2],
    ['latestProcessed', '2', 2],
    ['latestApplicationConsistent', '1', 1],
    ['latestCrashConsistent', '2', 1],
  ] as const) {
    const { pointId, lacks, passedOver } = await chosen(wish);
    t.is(pointId.at(-1), last, wish);
    t.is(lacks, undefined);
    t.like(passedOver, { count: left, lacks: ['/dev/vdb (gone)'] });
  }
  t.like(await chosen('latest', { allowMissingDisks: true }), { lacks: ['/dev/vdb (gone)'] });
  t.is((await chosen('latest', { allowMissingDisks: true })).pointId.at(-1), '4');
  t.like(await chosen(lesser.pointId), { pointId: lesser.pointId, lacks: ['/dev/vdb (gone)'] });
  for (const { pointId } of await world.parts.store.listPoints(itemId, { limit: 9, isComplete: true }))
    await world.parts.store.removePoint(itemId, pointId);
  const error = await t.throwsAsync(chosen('latest'), { code: 'NoCompleteRecoveryPoint' });
  t.regex(error!.message, /lacks \/dev\/vdb \(gone\)/);
});

/** Runs one job to its end, and answers it. */
async function runJob(world: WorkflowWorld, workflow: string, input: Json): Promise<Job> {
  const engine = new JobEngine({
    store: new MemoryJobStore(),
    workflows: itemWorkflows(world.parts),
    ...{ clock: world.clock, random: world.random, log: silentLog, owner: 'test' },
    isAnswered: async (orderId) => (await world.parts.orders.answer(orderId)) !== undefined,
  });
  const stopping = new AbortController();
  const running = engine.run(stopping.signal);
  try {
    const jobId = await engine.start({
      ...{ workflow, input, vaultId, requestedBy: 'test' },
      target: { id: '/targets/web', name: 'web', type: 'ProtectionEntity' },
    });
    return await engine.follow(jobId, new AbortController().signal);
  } finally {
    stopping.abort();
    await running;
  }
}

test('a failover says which point it took and which it left, and starts without disks only when it is told to', async (t) => {
  for (const [workflow, input, diskCount, code] of [
    ['unplanned-failover', {}, 2, 'NewerPointsLackDisks'],
    ['test-failover', {}, 2, 'NewerPointsLackDisks'],
    ['unplanned-failover', { allowMissingDisks: true }, 1, 'MachineLacksDisks'],
    ['test-failover', { point: '50000000-0000-4000-8000-000000000003' }, 1, 'MachineLacksDisks'],
  ] as const) {
    await using world = await openWorkflowWorld();
    const { id, itemId } = await world.addItem('web');
    const { disks } = (await world.parts.store.item(itemId))!;
    await world.addPoint(itemId, 'CrashConsistent', undefined, [
      { diskId: disks[0]!.diskId, cause: 'unreadable' },
    ]);
    const job = await runJob(world, workflow, { id, ...input });
    t.is(job.state, 'Succeeded', JSON.stringify(job.errors));
    t.is(job.stateDescription, 'CompletedWithInformation');
    t.deepEqual(
      job.errors.map((error) => [error.code, error.severity]),
      [[code, 'warning']],
    );
    t.regex(job.errors[0]!.summary, /\/dev\/vda \(unreadable\)/);
    const [machine] = world.machines.values();
    t.is(machine?.disks.length, diskCount);
    t.true(machine?.disks.at(-1)?.path.endsWith(disks[1]!.diskId));
  }
});

test('a planned failover that would lose a disk is refused before the source is touched', async (t) => {
  await using world = await openWorkflowWorld();
  const { id, itemId } = await world.addItem('web');
  const { disks } = (await world.parts.store.item(itemId))!;
  await world.addPoint(itemId, 'CrashConsistent', undefined, [{ diskId: disks[1]!.diskId, cause: 'gone' }]);
  const job = await runJob(world, 'planned-failover', { id });
  t.is(job.state, 'Failed');
  t.is(job.errors[0]?.code, 'LastPointIncomplete');
  t.deepEqual(world.orders, []);
  t.deepEqual([...world.machines], []);
});

test('a recovery host without room is said before anything is started or the source is stopped', async (t) => {
  // The source has 3 processors and 1024 MiB.
  for (const [workflow, input, lessen, says] of [
    [
      'unplanned-failover',
      { shutDownSource: true },
      { memoryMebibytes: 1000 },
      /memory: 1024 MiB needed, 1000 MiB available/,
    ],
    ['planned-failover', {}, { cpuCount: 2 }, /processors: 3 needed, 2 available/],
    [
      'test-failover',
      { machine: { memoryMebibytes: 2048 } },
      { memoryMebibytes: 1500 },
      /2048 MiB needed, 1500 MiB/,
    ],
    ['test-failover', {}, { freeBytes: 100 << 20 }, /disk space .*: 128 MiB needed, 36 MiB available/],
  ] as const) {
    await using world = await openWorkflowWorld();
    const { id } = await world.addItem('web');
    const { freeBytes, ...room } = { freeBytes: world.freeBytes, ...lessen };
    world.room = { ...world.room, ...room };
    world.freeBytes = freeBytes;
    const job = await runJob(world, workflow, { id, ...input });
    t.is(job.state, 'Failed', workflow);
    t.is(job.errors[0]?.code, 'RecoveryHostTooSmall');
    t.regex(job.errors[0]!.summary, says);
    t.deepEqual([[...world.machines], [...world.loans], world.orders], [[], [], []]);
  }
  // A smaller one than the source, by wish.
  await using world = await openWorkflowWorld();
  const { id } = await world.addItem('web');
  world.room = { memoryMebibytes: 512, cpuCount: 1 };
  const job = await runJob(world, 'unplanned-failover', {
    id,
    shutDownSource: true,
    machine: { memoryMebibytes: 512, cpuCount: 1 },
  });
  t.is(job.state, 'Succeeded', JSON.stringify(job.errors));
  t.is(job.stateDescription, 'Completed');
});

test('enabling tells of disks that were left out, and of those without which a volume is not whole', async (t) => {
  const unready = {
    ...{ code: 'MultipathDevice', severity: 'error', summary: '/dev/vdc is one path of several' },
    ...{ possibleCauses: 'x', recommendedAction: 'y', raisedAt: '1970-01-01T00:00:00.000Z', context: {} },
  } as const;
  const disk = (path: string, more = {}) => ({
    ...{ path, name: path.slice(5), sizeBytes: 1, readinessErrors: [], uses: [] },
    ...more,
  });
  const group = { through: 'volume group data', disks: ['/dev/vdb', '/dev/vdc'] };
  for (const [settings, expected] of [
    [{}, ['DataOnUnprotectedDisk', 'DiskNotProtected']],
    // Somebody chose: what is left out is left out on purpose, but not what belongs to something that is protected.
    [{ disksToInclude: [{ diskId: '/dev/vda' }, { diskId: '/dev/vdb' }] }, ['DataOnUnprotectedDisk']],
  ] as const) {
    await using world = await openWorkflowWorld();
    world.disks = [
      disk('/dev/vda'),
      disk('/dev/vdb', { stacks: [group] }),
      disk('/dev/vdc', { stacks: [group], readinessErrors: [unready] }),
      // Comes along with the disk that its file is on.
      disk('/dev/loop0', { readinessErrors: [{ ...unready, code: 'BackedByOwnDisk' }] }),
    ];
    const job = await runJob(world, 'enable-protection', { ...(enableInput(world) as object), settings });
    t.is(job.state, 'Succeeded', JSON.stringify(job.errors));
    t.is(job.stateDescription, 'CompletedWithInformation');
    t.deepEqual(
      job.errors.map(({ code }) => code),
      [...expected],
    );
    for (const { summary } of job.errors) t.regex(summary, /\/dev\/vdc/);
  }
  await using world = await openWorkflowWorld();
  const job = await runJob(world, 'enable-protection', enableInput(world));
  t.is(job.stateDescription, 'Completed');
});
