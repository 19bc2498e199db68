/**
 * Goal: a failover never makes two of one machine without a word, and keeps its source out. Method: the real engine and
 * workflows in the workflows' world; the site's answers are the test's.
 */
import test from 'ava';
import { until } from '../../../src/platform/clock.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { JobEngine } from '../../../src/vault/jobs/engine.ts';
import { hasEnded, type Job } from '../../../src/vault/jobs/jobs.ts';
import { MemoryJobStore } from '../../../src/vault/jobs/memory-job-store.ts';
import type { Json } from '../../../src/vault/jobs/workflow.ts';
import { itemWorkflows } from '../../../src/vault/workflows/all.ts';
import type { WorkflowParts } from '../../../src/vault/workflows/parts.ts';
import { openWorkflowWorld, vaultId, type WorkflowWorld } from '../../support/workflow-world.ts';

test('nothing of the source enters an item that is failed over, committed or not, until it is cancelled', async (t) => {
  for (const then of ['commit-failover', 'cancel-failover']) {
    await using world = await openWorkflowWorld();
    const { id, itemId } = await world.addItem('web');
    await using jobs = engineOf(world);
    await jobs.run('unplanned-failover', { id });
    await t.throwsAsync(world.addPoint(itemId), { code: 'ItemFenced' });
    await jobs.run(then, { id });
    if (then === 'cancel-failover') await t.notThrowsAsync(world.addPoint(itemId));
    else await t.throwsAsync(world.addPoint(itemId), { code: 'ItemFenced' });
  }
});

test('a source that nobody knows to be off is asked for, and never two are started without a word', async (t) => {
  await using world = await openWorkflowWorld();
  const { id } = await world.addItem('web');
  world.isSourceUnknown = true;
  await using jobs = engineOf(world);
  const waiting = await jobs.run('planned-failover', { id });
  t.is(waiting.state, 'Suspended');
  t.is(world.machines.size, 0);
  t.regex(JSON.stringify(waiting), /nobody knows whether it is off/);
  await jobs.engine.resume(waiting.jobId, 'switched off at the hypervisor', 'test');
  const job = await jobs.ended(waiting.jobId);
  t.deepEqual([job.state, job.stateDescription], ['Succeeded', 'CompletedWithInformation']);
  t.is(world.machines.size, 1);
});

test('a hypervisor’s word counts: off goes on without asking, on fails', async (t) => {
  for (const [power, state] of [
    ['off', 'Succeeded'],
    ['on', 'Failed'],
    ['unknown', 'Suspended'],
  ] as const) {
    await using world = await openWorkflowWorld();
    const { id } = await world.addItem('web');
    world.isSourceUnknown = true;
    await using jobs = engineOf(world, { powerStateOf: async () => power });
    const job = await jobs.run('planned-failover', { id });
    t.is(job.state, state, power);
    t.is(world.machines.size, power === 'off' ? 1 : 0, power);
    if (power === 'off') t.is(job.stateDescription, 'CompletedWithInformation');
  }
});

test('a failover whose source may still run says so', async (t) => {
  for (const [input, description] of [
    [{ shutDownSource: true }, 'Completed'],
    // It reported a moment ago.
    [{ shutDownSource: false }, 'CompletedWithInformation'],
  ] as const) {
    await using world = await openWorkflowWorld();
    const { id } = await world.addItem('web');
    await using jobs = engineOf(world);
    t.is((await jobs.run('unplanned-failover', { id, ...input })).stateDescription, description);
  }
});

/** An engine over the world, and the jobs that are run in it to their end, or until they wait for a person. */
function engineOf(world: WorkflowWorld, others: Partial<WorkflowParts> = {}) {
  const store = new MemoryJobStore();
  const engine = new JobEngine({
    store,
    workflows: itemWorkflows({ ...world.parts, ...others }),
    clock: world.clock,
    random: world.random,
    log: silentLog,
    owner: 'test',
    isAnswered: async (orderId) => (await world.parts.orders.answer(orderId)) !== undefined,
  });
  const stopping = new AbortController();
  const running = engine.run(stopping.signal);
  const ended = (jobId: string, isOver = (job: Job) => hasEnded(job.state)) =>
    until(
      world.clock,
      12_000_000,
      async () => {
        const job = await engine.get(jobId);
        return job && isOver(job) ? job : undefined;
      },
      () => new Error(`${jobId} does not end`),
    );
  return {
    engine,
    ended,
    run: async (workflow: string, input: Json) => {
      const { id } = input as { id: string };
      const jobId = await engine.start({
        workflow,
        input,
        target: { id, name: 'web', type: 'ProtectionEntity' },
        vaultId,
        requestedBy: 'test',
      });
      return ended(jobId, ({ state }) => hasEnded(state) || state === 'Suspended');
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}
