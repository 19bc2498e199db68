/**
 * Goal: a recovery plan saves what it can, waits for people where it should, runs scripts for real, and says what happened.
 * Method: the real engine and workflows over stand-ins that only remember; scripts are real programs in a real folder.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { tryRun } from '../../../src/platform/exec.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { JobEngine } from '../../../src/vault/jobs/engine.ts';
import { errors as jobErrors } from '../../../src/vault/jobs/errors.ts';
import { hasEnded, type Job } from '../../../src/vault/jobs/jobs.ts';
import { MemoryJobStore } from '../../../src/vault/jobs/memory-job-store.ts';
import type { Json } from '../../../src/vault/jobs/workflow.ts';
import { itemWorkflows } from '../../../src/vault/workflows/all.ts';
import { type PlanAction, PlanShape } from '../../../src/vault/workflows/plan-shape.ts';
import { scriptsIn } from '../../../src/vault/workflows/scripts.ts';
import { openWorkflowWorld, vaultId, type WorkflowWorld } from '../../support/workflow-world.ts';

const planId = `${vaultId}/replicationRecoveryPlans/shop`;
const action = (actionName: string, customDetails: PlanAction['customDetails']): PlanAction => ({
  actionName,
  failoverTypes: ['TestFailover', 'UnplannedFailover', 'PlannedFailover'],
  failoverDirections: ['PrimaryToRecovery'],
  customDetails,
});
const script = (path: string) =>
  action(path, { instanceType: 'ScriptActionDetails', path, fabricLocation: 'Recovery', timeout: null });

interface Shop {
  readonly world: WorkflowWorld;
  readonly engine: JobEngine;
  /** Until it has ended or stands still. */
  run(workflow: string, input?: { readonly [key: string]: Json }): Promise<Job>;
  settled(jobId: string): Promise<Job>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function open(
  names: readonly string[],
  groups: (ids: readonly string[]) => unknown[],
  change: (world: WorkflowWorld) => Partial<WorkflowWorld['parts']> = () => ({}),
): Promise<Shop> {
  const world = await openWorkflowWorld();
  const ids = [];
  for (const name of names) ids.push((await world.addItem(name)).id);
  world.plans.set(
    planId,
    PlanShape.parse({
      id: planId,
      name: 'shop',
      primaryFabricId: `${vaultId}/replicationFabrics/site`,
      groups: groups(ids),
    }),
  );
  const engine = new JobEngine({
    store: new MemoryJobStore(),
    workflows: itemWorkflows({ ...world.parts, ...change(world) }),
    clock: world.clock,
    random: world.random,
    log: silentLog,
    owner: 'test',
  });
  const stopping = new AbortController();
  const running = engine.run(stopping.signal);
  const settled = (jobId: string) =>
    until(
      world.clock,
      12_000_000,
      async () => {
        const job = await engine.get(jobId);
        return job && (hasEnded(job.state) || job.state === 'Suspended') ? job : undefined;
      },
      () => new Error('the plan does not end'),
      500,
    );
  return {
    world,
    engine,
    settled,
    run: async (workflow, input = {}) =>
      settled(
        await engine.start({
          workflow,
          input: { id: planId, ...input },
          target: { id: planId, name: 'shop', type: 'RecoveryPlan' },
          vaultId,
          requestedBy: 'test',
        }),
      ),
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
      await world[Symbol.asyncDispose]();
    },
  };
}
const members = (ids: readonly string[]) => ids.map((id) => ({ id }));

test('a machine that fails lets the others go on, and the plan says that it went well in part', async (t) => {
  await using shop = await open(['db', 'app', 'web'], (ids) => [
    { groupType: 'Boot', replicationProtectedItems: members(ids.slice(0, 2)) },
    { groupType: 'Boot', replicationProtectedItems: members(ids.slice(2)) },
  ]);
  const { itemId } = (await shop.world.items.byId([...shop.world.items.rows.values()][0]!.id))!;
  for (const { pointId } of await shop.world.parts.store.listPoints(itemId!, { limit: 9 }))
    await shop.world.parts.store.removePoint(itemId!, pointId);
  const job = await shop.run('plan-unplanned-failover');
  t.is(job.state, 'Failed');
  t.is(job.stateDescription, 'PartiallySucceeded');
  t.regex(job.errors[0]?.summary ?? '', /1 of 3 parts of the plan failed: db: db has no recovery point/);
  t.is(shop.world.machines.size, 2);
  const tasks = await shop.engine.tasks(job.jobId);
  t.deepEqual(
    tasks.map((task) => [
      task.name,
      task.type,
      task.children.map((child) => `${child.job.target.name} ${child.job.state}`).sort(),
    ]),
    [
      ['ReadPlan', undefined, []],
      ['Group 1', 'RecoveryPlanGroupTaskDetails', ['app Succeeded', 'db Failed']],
      ['Group 2', 'RecoveryPlanGroupTaskDetails', ['web Succeeded']],
    ],
  );
  // Again, for the rest: what is failed over is left out.
  await shop.world.addPoint(itemId!);
  t.is((await shop.run('plan-unplanned-failover')).state, 'Succeeded');
  t.is(shop.world.machines.size, 3);
});

test('a planned failover of a plan stops at the first failure', async (t) => {
  await using shop = await open(['db', 'web'], (ids) => [
    {
      groupType: 'Boot',
      replicationProtectedItems: members(ids.slice(0, 1)),
      endGroupActions: [script('broken')],
    },
    { groupType: 'Boot', replicationProtectedItems: members(ids.slice(1)) },
  ]);
  const job = await shop.run('plan-planned-failover');
  t.is(job.state, 'Failed');
  t.is(job.errors[0]?.code, 'PlanStopped');
  t.is(shop.world.machines.size, 1);
  // Once the script is mended it is run again, for the rest.
  const { groups, ...plan } = shop.world.plans.get(planId)!;
  shop.world.plans.set(planId, {
    ...plan,
    groups: groups.map((group) => ({ ...group, endGroupActions: [] })),
  });
  const again = await shop.run('plan-planned-failover');
  t.deepEqual([again.state, again.stateDescription], ['Succeeded', 'CompletedWithInformation']);
  t.is(shop.world.machines.size, 2);
});

test('a failed script does not stop an unplanned failover, and shows what it wrote', async (t) => {
  await using shop = await open(['db'], (ids) => [
    { groupType: 'Failover', startGroupActions: [script('broken')] },
    { groupType: 'Boot', replicationProtectedItems: members(ids) },
  ]);
  const job = await shop.run('plan-unplanned-failover');
  t.is(job.stateDescription, 'PartiallySucceeded');
  t.is(shop.world.machines.size, 1);
  const task = (await shop.engine.tasks(job.jobId)).find(({ title }) => title === 'broken');
  t.is(task?.type, 'ScriptActionTaskDetails');
  t.regex(String(task?.details?.output), /no luck/);
});

test('a manual action holds the plan until somebody resumes it, and keeps the remark', async (t) => {
  await using shop = await open(['db'], (ids) => [
    {
      groupType: 'Boot',
      replicationProtectedItems: members(ids),
      startGroupActions: [
        action('Look', { instanceType: 'ManualActionDetails', description: 'Is the room dry?' }),
      ],
    },
  ]);
  const job = await shop.run('plan-test-failover');
  t.is(job.state, 'Suspended');
  t.is(job.instructions, 'Is the room dry?');
  t.is(shop.world.machines.size, 0);
  await shop.engine.resume(job.jobId, 'as a bone', 'somebody');
  const end = await shop.settled(job.jobId);
  t.is(end.state, 'Succeeded');
  const task = (await shop.engine.tasks(job.jobId)).find(({ title }) => title === 'Look');
  t.like(task, {
    type: 'ManualActionTaskDetails',
    details: { instructions: 'Is the room dry?', observation: 'as a bone' },
  });
});

test('a cancelled plan cancels what is on its way and keeps what came through', async (t) => {
  let isHeld = true;
  await using shop = await open(
    ['db', 'web'],
    (ids) => [
      { groupType: 'Boot', replicationProtectedItems: members(ids.slice(0, 1)) },
      { groupType: 'Boot', replicationProtectedItems: members(ids.slice(1)) },
    ],
    (world) => ({
      provider: {
        ...world.parts.provider!,
        waitUntilReady: async (name, _, __, signal) => {
          while (isHeld && name.includes('-web-')) await world.clock.sleep(1000, signal);
          return {};
        },
      },
    }),
  );
  const jobId = await shop.engine.start({
    workflow: 'plan-unplanned-failover',
    input: { id: planId },
    target: { id: planId, name: 'shop', type: 'RecoveryPlan' },
    vaultId,
    requestedBy: 'test',
  });
  await until(
    shop.world.clock,
    12_000_000,
    () => (shop.world.machines.size === 2 ? true : undefined),
    () => new Error('the second machine does not start'),
    500,
  );
  await shop.engine.cancel(jobId, 'somebody');
  t.is((await shop.settled(jobId)).state, 'Cancelled');
  isHeld = false;
  t.deepEqual(
    [...shop.world.items.rows.values()].map(({ name, condition }) => [name, condition.protectionState]),
    [
      ['db', 'UnplannedFailoverCommitPendingStatesBegin'],
      ['web', 'UnplannedFailoverFailed'],
    ],
  );
  t.is(shop.world.machines.size, 1);
});

test('a plan that is cancelled tells the site to end the script that it waits for', async (t) => {
  await using shop = await open(['db'], (ids) => [
    {
      groupType: 'Boot',
      replicationProtectedItems: members(ids),
      startGroupActions: ['first', 'second'].map((path) =>
        action(path, { instanceType: 'ScriptActionDetails', path, fabricLocation: 'Primary' }),
      ),
    },
  ]);
  const { world, engine } = shop;
  const jobId = await engine.start({
    workflow: 'plan-test-failover',
    input: { id: planId },
    target: { id: planId, name: 'shop', type: 'RecoveryPlan' },
    vaultId,
    requestedBy: 'test',
  });
  const ordered = (count: number) =>
    until(
      world.clock,
      12_000_000,
      () => {
        if (world.orders.length === 1) world.siteMood = 'silent';
        return world.orders.length >= count ? true : undefined;
      },
      () => new Error('the site is not told'),
      100,
    );
  await ordered(2);
  await engine.cancel(jobId, 'somebody');
  t.is((await shop.settled(jobId)).state, 'Cancelled');
  const contents = world.orders.map(({ content }) => content);
  t.deepEqual(
    contents.map(({ order }) => order),
    ['run-script', 'run-script', 'stop-script'],
  );
  t.like(contents[2], { scriptOrderId: world.orders[1]!.orderId });
  t.is(world.machines.size, 0);
});

test('a script of the vault runs with its surroundings, once, within its time, and only from its folder', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'leeward-scripts-'));
  t.teardown(() => rm(home, { recursive: true }));
  const folder = join(home, 'scripts');
  await mkdir(folder);
  const put = async (name: string, text: string, mode = 0o700) => {
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(folder, name), mode);
  };
  const mark = `8${process.pid}`;
  await put('good', 'echo "$1 $LEEWARD_PLAN $SECRET_OF_THE_VAULT$(pwd)"; echo once >> ledger');
  await put('bad', 'echo "the database is not there" >&2; exit 3');
  await put('slow', `echo begun; sleep ${mark} & sh -c 'trap "" TERM; sleep ${mark}; sleep ${mark}' & wait`);
  await put('open', 'true', 0o777);
  await put('text', 'true', 0o600);
  process.env.SECRET_OF_THE_VAULT = 'known';
  t.teardown(() => delete process.env.SECRET_OF_THE_VAULT);
  const run = (
    name: string,
    timeoutSeconds = 30,
    signal = new AbortController().signal,
    runId: string = systemRandom.uuid(),
  ) =>
    scriptsIn({ folder, runsFolder: join(home, 'runs'), clock: systemClock })({
      runId,
      name,
      arguments: ['TestFailover'],
      environment: { LEEWARD_PLAN: 'shop' },
      timeoutSeconds,
      signal,
    });
  const sleepers = async () =>
    (await tryRun('pgrep', ['-f', `sleep ${mark}`], { timeoutMilliseconds: 60_000 })).stdout;
  const runId = systemRandom.uuid();
  const slowId = systemRandom.uuid();
  for (const _ of ['first', 'after a crash before it was noted'])
    t.is((await run('good', 30, undefined, runId)).output, `TestFailover shop ${folder}`);
  t.is(await readFile(join(folder, 'ledger'), 'utf8'), 'once\n');
  await t.throwsAsync(run('bad'), { code: 'ScriptFailed', message: /the database is not there/ });
  // As a script that ends with a `timeout` of its own.
  await put('late', 'exit 124');
  await t.throwsAsync(run('late'), { code: 'ScriptFailed', message: /ended with 124/ });
  // Time enough to begin, on any machine.
  await t.throwsAsync(run('slow', 2.5), { code: 'ScriptTimedOut', message: /begun/ });
  // A process that is killed is gone a moment later.
  const gone = () =>
    until(
      systemClock,
      60_000,
      async () => ((await sleepers()) === '' ? true : undefined),
      () => new Error('something stays'),
    );
  await t.notThrowsAsync(gone(), 'at its limit all goes that it started');

  // Whoever stops leaves it running; the next one finds it, and a cancellation ends it.
  const begun = () =>
    until(
      systemClock,
      60_000,
      async () => ((await sleepers()) === '' ? undefined : true),
      () => new Error('it does not begin'),
    );
  const stop = new AbortController();
  const slow = run('slow', 60, stop.signal, slowId);
  await begun();
  stop.abort(jobErrors.EngineStopping());
  await t.throwsAsync(slow, { code: 'EngineStopping' });
  const before = await sleepers();
  t.not(before, '');
  const cancel = new AbortController();
  const again = run('slow', 60, cancel.signal, slowId);
  cancel.abort(jobErrors.JobCancelled('x'));
  await t.throwsAsync(again, { code: 'JobCancelled' });
  await t.notThrowsAsync(gone(), 'nor does a cancelled one leave anything');

  for (const name of ['none', '..', '../good', 'a/b', '', 'open', 'text'])
    await t.throwsAsync(run(name), { code: 'ScriptUnknown' }, name);
});
