/**
 * Goal: the admin socket does by jobs what it used to do by itself, says what they failed with, and finds at start-up what an
 * older vault left on its way.
 * Method: the real engine and workflows over stand-ins that only remember.
 */
import test from 'ava';
import { silentLog } from '../../../src/platform/log.ts';
import { AdminJobs } from '../../../src/vault/api/admin-jobs.ts';
import { JobEngine } from '../../../src/vault/jobs/engine.ts';
import { MemoryJobStore } from '../../../src/vault/jobs/memory-job-store.ts';
import { itemWorkflows } from '../../../src/vault/workflows/all.ts';
import { openWorkflowWorld } from '../../support/workflow-world.ts';

async function open() {
  const world = await openWorkflowWorld();
  const engine = new JobEngine({
    store: new MemoryJobStore(),
    workflows: itemWorkflows(world.parts),
    clock: world.clock,
    random: world.random,
    log: silentLog,
    owner: 'test',
  });
  const stopping = new AbortController();
  const running = engine.run(stopping.signal);
  const admin = new AdminJobs({
    jobs: engine,
    records: world.parts.testFailovers,
    provider: world.parts.provider,
    replica: world.parts.replica,
    log: silentLog,
    signal: stopping.signal,
  });
  const { itemId } = await world.addItem('web');
  // The admin socket's items are no resources.
  world.items.rows.clear();
  return {
    world,
    admin,
    item: (await world.parts.store.item(itemId))!,
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
      await world[Symbol.asyncDispose]();
    },
  };
}
const request = {
  point: 'latest',
  check: { type: 'power' as const },
  timeoutSeconds: 60,
  cpuCount: 1,
  memoryMebibytes: 64,
  firmware: 'bios' as const,
};

test('a test failover and its clean-up go by jobs, with progress', async (t) => {
  await using a = await open();
  const said: string[] = [];
  const view = await a.admin.testFailover(a.item, request, (text) => said.push(text));
  t.is(view.state, 'running');
  t.true(said.length > 0);
  t.like([...a.world.machines.values()][0], { cpuCount: 1, memoryMebibytes: 64 });
  t.deepEqual(
    (await a.admin.list()).map(({ failoverId }) => failoverId),
    [view.failoverId],
  );
  await a.admin.cleanup(view.failoverId, 'all well', () => {});
  await a.admin.cleanup(view.failoverId, 'again', () => {});
  t.is(a.world.machines.size + a.world.loans.size, 0);
  t.like(a.world.testFailovers.get(view.failoverId), { state: 'cleaned', notes: 'all well' });
  await t.throwsAsync(
    a.admin.cleanup('00000000-0000-4000-8000-000000000000', '', () => {}),
    { code: 'TestFailoverUnknown' },
  );
});

test('what a job failed with is what the caller is told', async (t) => {
  await using a = await open();
  await t.throwsAsync(
    a.admin.testFailover(a.item, { ...request, point: '00000000-0000-4000-8000-000000000000' }, () => {}),
    { code: 'RecoveryPointGone' },
  );
  t.is(a.world.machines.size + a.world.loans.size, 0);
});

test('at start-up, rehearsals that no job knows of are undone or cleaned up, and others are left alone', async (t) => {
  await using a = await open();
  const { world, admin, item } = a;
  const mine = await admin.testFailover(item, request, () => {});
  const machine = [...world.machines.values()][0]!;
  const old = (state: 'starting' | 'cleaning', digit: number) => {
    const failoverId = `00000000-0000-4000-8000-00000000000${digit}`;
    const record = {
      ...world.testFailovers.get(mine.failoverId)!,
      failoverId,
      state,
      machineName: `old-${digit}`,
    };
    world.testFailovers.set(failoverId, record);
    world.machines.set(record.machineName, { ...machine, name: record.machineName });
    world.loans.set(failoverId, `${item.itemId} x`);
    return record;
  };
  const unfinished = [old('starting', 1), old('cleaning', 2), world.testFailovers.get(mine.failoverId)!];
  const again = new AdminJobs({
    jobs: { get: async (jobId: string) => (jobId === mine.failoverId ? {} : undefined) } as never,
    records: { ...world.parts.testFailovers, unfinished: async () => unfinished },
    provider: world.parts.provider,
    replica: world.parts.replica,
    log: silentLog,
    signal: new AbortController().signal,
  });
  await again.recover();
  t.deepEqual([...world.machines.keys()], [machine.name]);
  t.deepEqual([...world.loans.keys()], [mine.failoverId]);
  t.is(world.testFailovers.get(unfinished[0]!.failoverId)?.state, 'failed');
  t.is(world.testFailovers.get(unfinished[1]!.failoverId)?.state, 'cleaned');
  t.is(world.testFailovers.get(mine.failoverId)?.state, 'running');
});
