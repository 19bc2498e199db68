/**
 * Goal: the engine brings every job to its end, once, whatever fails, stops or is asked of it.
 * Method: small workflows of the test's own, over the store in memory and over a real MariaDB.
 */
import test from 'ava';
import { z } from 'zod';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { LeewardError } from '../../../src/platform/errors.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { JobEngine } from '../../../src/vault/jobs/engine.ts';
import type { JobStore } from '../../../src/vault/jobs/job-store.ts';
import { hasEnded, type Job } from '../../../src/vault/jobs/jobs.ts';
import { MemoryJobStore } from '../../../src/vault/jobs/memory-job-store.ts';
import type {
  SomeWorkflow,
  StartJob,
  Step,
  StepContext,
  Workflow,
} from '../../../src/vault/jobs/workflow.ts';
import { MariaJobStore } from '../../../src/vault/store/jobs.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const limitMilliseconds = 60_000;
const withMariadb = await hasMariadb();
let server: PrivateMariadb;
test.before(async () => {
  if (withMariadb) server = await startPrivateMariadb();
});
test.after.always(async () => {
  if (withMariadb) await server.dispose();
});

type AnyInput = { readonly [key: string]: unknown };
const anyInput = z.record(z.string(), z.unknown()) as unknown as z.ZodType<AnyInput>;

function workflow(
  steps: readonly Step<AnyInput>[],
  more: Partial<Workflow<AnyInput>> = {},
): Workflow<AnyInput> {
  return {
    name: 'trial',
    scenarioName: 'Trial',
    friendlyName: 'Trial',
    input: anyInput,
    steps: () => steps,
    cancelable: true,
    ...more,
  };
}
const step = (
  name: string,
  act: (context: StepContext<AnyInput>) => Promise<unknown>,
  more: Partial<Step<AnyInput>> = {},
): Step<AnyInput> => ({
  name,
  title: `doing ${name}`,
  where: 'database',
  do: act as Step<AnyInput>['do'],
  ...more,
});
const request = (more: Partial<StartJob> = {}): StartJob => ({
  workflow: 'trial',
  input: {},
  target: { id: `/Targets/${systemRandom.uuid()}`, name: 'web', type: 'ProtectionEntity' },
  vaultId: '/subscriptions/S/vaults/V',
  requestedBy: 'somebody',
  ...more,
});

interface World extends AsyncDisposable {
  readonly engine: JobEngine;
  readonly store: JobStore;
  another(workflows?: readonly SomeWorkflow[]): { engine: JobEngine; stop(): Promise<void> };
  settled(jobId: string): Promise<Job>;
  /** Its looks at the jobs lock rows for a moment, and what is locked is not removed until the next sweep. */
  stopped(): Promise<void>;
}

async function open(store: JobStore, workflows: readonly SomeWorkflow[]): Promise<World> {
  const engines: { stop(): Promise<void> }[] = [];
  const start = (mine = workflows) => {
    const engine = new JobEngine({
      store,
      workflows: mine,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      owner: 'test',
      // The lease is the product's: no machine stands still so long that a step is done twice.
      heartbeatMilliseconds: 200,
      pollMilliseconds: 100,
    });
    const stopping = new AbortController();
    const running = engine.run(stopping.signal);
    const stop = async () => {
      stopping.abort();
      await running;
    };
    engines.push({ stop });
    return { engine, stop };
  };
  const { engine } = start();
  const stopped = async () => {
    for (const { stop } of engines) await stop();
  };
  return {
    engine,
    store,
    another: start,
    settled: (jobId) =>
      until(
        systemClock,
        limitMilliseconds,
        async () => {
          const job = await engine.get(jobId);
          return job && (hasEnded(job.state) || job.state === 'Suspended') ? job : undefined;
        },
        () => new Error('the job does not settle'),
        10,
      ),
    stopped,
    [Symbol.asyncDispose]: stopped,
  };
}

const stores: [string, typeof test | typeof test.serial | typeof test.skip, () => Promise<JobStore>][] = [
  ['memory', test, async () => new MemoryJobStore()],
  [
    'MariaDB',
    // One after the other: the server of one's own takes fifty connections, and each pool up to ten.
    withMariadb ? test.serial : test.skip,
    async () => {
      const { database } = await server.database();
      await migrate(database);
      return new MariaJobStore(database);
    },
  ],
];

for (const [name, run, make] of stores) {
  run(`${name}: a job does its steps in order, hands outputs on, and shows them as tasks`, async (t) => {
    const seen: unknown[] = [];
    await using w = await open(await make(), [
      workflow([
        step('one', async () => ({ id: 7 })),
        step('two', async ({ outputs, report }) => {
          report('half', 0.5);
          seen.push(outputs);
          return 'done';
        }),
      ]),
    ]);
    const jobId = await w.engine.start(request());
    const job = await w.settled(jobId);
    t.is(job.state, 'Succeeded');
    t.is(job.stateDescription, 'Completed');
    t.is(job.output, 'done');
    t.deepEqual(job.progress, { text: 'half', fraction: 0.5 });
    t.deepEqual(seen, [{ one: { id: 7 } }]);
    t.deepEqual(
      (await w.engine.tasks(jobId)).map((task) => [task.name, task.state]),
      [
        ['one', 'Succeeded'],
        ['two', 'Succeeded'],
      ],
    );
    t.is((await w.engine.list({ vaultId: '/SUBSCRIPTIONS/s/vaults/v' }, { limit: 5 })).jobs[0]?.jobId, jobId);
    t.is((await w.engine.list({ states: ['Failed'] }, { limit: 5 })).jobs.length, 0);
  });

  run(
    `${name}: a failed step is undone with those before it, newest first, and can be restarted`,
    async (t) => {
      const done: string[] = [];
      let isBroken = true;
      const both = (name: string) =>
        step(name, async () => void done.push(name), { undo: async () => void done.push(`-${name}`) });
      await using w = await open(await make(), [
        workflow([
          both('a'),
          both('b'),
          step(
            'c',
            async () => {
              done.push('c');
              if (isBroken)
                throw new LeewardError({
                  code: 'DiskGone',
                  summary: 'the disk is gone',
                  possibleCauses: 'x',
                  recommendedAction: 'y',
                });
            },
            { undo: async () => void done.push('-c') },
          ),
          both('d'),
        ]),
      ]);
      const asked = request();
      const job = await w.settled(await w.engine.start(asked));
      t.is(job.state, 'Failed');
      t.deepEqual(done, ['a', 'b', 'c', '-c', '-b', '-a']);
      t.like(job.errors[0], { code: 'DiskGone', step: 'c' });
      t.deepEqual(job.allowedActions, ['Restart']);
      isBroken = false;
      const again = await w.settled(await w.engine.restart(job.jobId, 'me'));
      t.is(again.state, 'Succeeded');
      t.is(again.restartOf, job.jobId);
      await t.throwsAsync(w.engine.restart(again.jobId, 'me'), { code: 'JobNotRestartable' });
    },
  );

  run(`${name}: a second job on a busy target is refused, and its key is free at the end`, async (t) => {
    await using w = await open(await make(), [
      workflow([
        step('ask', async ({ resumeComments }) => resumeComments ?? { wait: 'resume', instructions: 'go' }),
      ]),
    ]);
    const asked = request();
    const jobId = await w.engine.start(asked);
    const job = await w.settled(jobId);
    t.is(job.state, 'Suspended');
    t.is(job.instructions, 'go');
    t.deepEqual([...job.allowedActions].sort(), ['Cancel', 'Resume']);
    await t.throwsAsync(
      w.engine.start({ ...asked, target: { ...asked.target, id: asked.target.id.toUpperCase() } }),
      {
        code: 'TargetIsBusy',
      },
    );
    t.is((await w.engine.holder(asked.target.id))?.jobId, jobId);
    await w.engine.resume(jobId, 'I did it', 'me');
    const end = await w.settled(jobId);
    t.is(end.state, 'Succeeded');
    t.is(end.output, 'I did it');
    await t.throwsAsync(w.engine.resume(jobId, '', 'me'), { code: 'JobNotSuspended' });
    t.is(await w.engine.holder(asked.target.id), undefined);
    await w.engine.cancel(await w.engine.start(asked), 'me');
    await t.throwsAsync(w.engine.cancel(jobId, 'me'), { code: 'JobNotCancelable' });
  });

  run(
    `${name}: a step that is to suspend stands still, and goes on or is undone as somebody says`,
    async (t) => {
      const done: string[] = [];
      await using w = await open(await make(), [
        workflow(
          [
            step('a', async () => void done.push('a'), { undo: async () => void done.push('-a') }),
            step(
              'b',
              async ({ resumeComments }) => {
                done.push(`b ${resumeComments ?? ''}`);
                if (resumeComments !== 'mended') throw new Error('broken');
              },
              { onFailure: 'suspend' },
            ),
          ],
          { cancelable: false },
        ),
      ]);
      const first = await w.settled(await w.engine.start(request()));
      t.is(first.state, 'Suspended');
      t.deepEqual([...first.allowedActions].sort(), ['Cancel', 'Resume']);
      t.regex(first.instructions ?? '', /broken/);
      await w.engine.resume(first.jobId, 'mended', 'me');
      t.is((await w.settled(first.jobId)).state, 'Succeeded');
      const second = await w.settled(await w.engine.start(request()));
      await w.engine.cancel(second.jobId, 'me');
      const end = await w.settled(second.jobId);
      t.is(end.state, 'Cancelled');
      t.deepEqual(done, ['a', 'b ', 'b mended', 'a', 'b ', '-a']);
    },
  );

  run(
    `${name}: a running step hears of its cancellation, also from another process, and is undone`,
    async (t) => {
      const done: string[] = [];
      const flow = workflow([
        step(
          'long',
          async ({ signal }) => {
            done.push('begun');
            await systemClock.sleep(limitMilliseconds, signal);
          },
          { undo: async () => void done.push('undone') },
        ),
      ]);
      const store = await make();
      await using w = await open(store, [flow]);
      const idle = new JobEngine({
        store,
        workflows: [flow],
        clock: systemClock,
        random: systemRandom,
        log: silentLog,
        owner: 'other',
      });
      for (const who of [w.engine, idle]) {
        done.length = 0;
        const jobId = await w.engine.start(request());
        await until(
          systemClock,
          limitMilliseconds,
          () => done[0],
          () => new Error('not begun'),
          5,
        );
        await who.cancel(jobId, 'me');
        await who.cancel(jobId, 'me').catch(() => {});
        const job = await w.settled(jobId);
        t.is(job.state, 'Cancelled');
        t.deepEqual(job.errors, []);
        t.deepEqual(done, ['begun', 'undone']);
      }
    },
  );

  run(
    `${name}: children are started once, waited for, and shown as a tree; cancelling takes them along`,
    async (t) => {
      const done: string[] = [];
      const parent = workflow([
        step(
          'both',
          async ({ startChild, child, input }) => {
            const jobIds = [];
            for (const key of ['x', 'y'])
              jobIds.push(
                await startChild(key, 'child', input as never, {
                  id: `/${systemRandom.uuid()}`,
                  name: key,
                  type: 'T',
                }),
              );
            const ended = await Promise.all(jobIds.map(child));
            if (ended.some(({ state }) => !hasEnded(state))) return { wait: 'jobs', jobIds };
            return ended.map(({ state, error }) => `${state} ${error ?? ''}`);
          },
          { undo: async () => void done.push('-both') },
        ),
      ]);
      const child = workflow(
        [
          step('work', async ({ input, resumeComments, job }) => {
            done.push(job.target.name);
            if (input.ask === true && resumeComments === undefined)
              return { wait: 'resume', instructions: 'well?' };
            if (job.target.name === 'y') throw new Error('y is broken');
          }),
        ],
        { name: 'child' },
      );
      await using w = await open(await make(), [parent, child]);
      const jobId = await w.engine.start(request());
      const job = await w.settled(jobId);
      t.is(job.state, 'Succeeded');
      t.regex(JSON.stringify(job.output), /Succeeded .*Failed .*y is broken/);
      t.deepEqual([...done].sort(), ['x', 'y']);
      const [task] = await w.engine.tasks(jobId);
      t.deepEqual(
        task?.children.map((c) => `${c.job.target.name} ${c.job.state} ${c.tasks[0]?.name}`).sort(),
        ['x Succeeded work', 'y Failed work'],
      );
      t.is((await w.engine.list({ topLevelOnly: true }, { limit: 10 })).jobs.length, 1);
      done.length = 0;
      const asking = await w.engine.start(request({ input: { ask: true } }));
      const children = async () => (await w.store.children(asking)).map(({ state }) => state);
      await until(
        systemClock,
        limitMilliseconds,
        async () =>
          (await children()).filter((state) => state === 'Suspended').length === 2 ? true : undefined,
        () => new Error('the children do not ask'),
        10,
      );
      await w.engine.cancel(asking, 'me');
      t.is((await w.settled(asking)).state, 'Cancelled');
      t.deepEqual(await children(), ['Cancelled', 'Cancelled']);
      t.is(done.at(-1), '-both');
    },
  );

  run(`${name}: an order's answer, a moment and a restart of the vault take a waiting job up`, async (t) => {
    const answers = new Set<string>();
    const orderId = systemRandom.uuid();
    let looks = 0;
    await using w = await open(await make(), [
      workflow([
        step('order', async () => {
          if (answers.has(orderId)) return 'answered';
          looks++;
          return { wait: 'order', orderId, until: new Date(systemClock.now() + 3600_000).toISOString() };
        }),
        step('time', async ({ job }) => {
          const at = Date.parse(job.createdAt) + 600;
          return systemClock.now() >= at ? 'late' : { wait: 'time', until: new Date(at).toISOString() };
        }),
      ]),
    ]);
    const jobId = await w.engine.start(request());
    await until(
      systemClock,
      limitMilliseconds,
      async () =>
        (await w.engine.get(jobId))?.state === 'InProgress' &&
        looks > 0 &&
        (await w.store.byId(jobId))?.leaseOwner === undefined
          ? true
          : undefined,
      () => new Error('does not wait'),
      10,
    );
    answers.add(orderId);
    await w.engine.orderAnswered(orderId);
    const job = await w.settled(jobId);
    t.is(job.state, 'Succeeded');
    t.is(looks, 1);
  });

  run(`${name}: a lease that ran out is taken over, and who lost it writes nothing`, async (t) => {
    const store = await make();
    const flow = workflow([step('a', async () => 1), step('b', async () => 2)]);
    const ghost = new JobEngine({
      store,
      workflows: [flow],
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      owner: 'ghost',
    });
    const jobId = await ghost.start(request());
    const iso = (later: number) => new Date(systemClock.now() + later).toISOString();
    const [lease] = await store.lease({
      owner: 'ghost',
      workflows: ['trial'],
      nowIso: iso(1000),
      untilIso: iso(300),
      limit: 5,
    });
    t.is(lease?.jobId, jobId);
    t.true(
      await store.write(lease!, {
        entries: [{ entry: 'Started', step: 'a', at: iso(0) }],
        change: { state: 'InProgress' },
      }),
    );
    await using w = await open(store, [flow]);
    t.is((await w.settled(jobId)).state, 'Succeeded');
    t.false(await store.write(lease!, { entries: [{ entry: 'Started', step: 'b', at: iso(0) }] }));
    t.is(await store.renew(lease!, iso(9999)), undefined);
    await t.throwsAsync(
      store.insert({ ...(await store.byId(jobId))!, jobId: systemRandom.uuid() }, undefined, lease!),
      {
        code: 'JobLeaseLost',
      },
    );
    t.deepEqual(
      (await store.log(jobId)).map(({ entry }) => entry),
      ['Started', 'Succeeded', 'Started', 'Succeeded'],
    );
  });

  run(`${name}: a stopping vault gives its jobs back, and another goes on with them`, async (t) => {
    let calls = 0;
    const flow = workflow([
      step('long', async ({ signal }) => {
        if (++calls === 1) await systemClock.sleep(limitMilliseconds, signal);
        return calls;
      }),
    ]);
    const store = await make();
    await using w = await open(store, []);
    const one = w.another([flow]);
    const jobId = await one.engine.start(request());
    await until(
      systemClock,
      limitMilliseconds,
      () => (calls === 1 ? true : undefined),
      () => new Error('not begun'),
      5,
    );
    await one.stop();
    t.is((await store.byId(jobId))?.leaseOwner, undefined);
    t.deepEqual(
      (await store.log(jobId)).map(({ entry }) => entry),
      ['Started'],
    );
    w.another([flow]);
    t.is((await w.settled(jobId)).output, 2);
  });

  run(
    `${name}: an undoing that fails is kept, tried again when somebody says so, and then ends`,
    async (t) => {
      let tries = 0;
      await using w = await open(await make(), [
        workflow([
          step(
            'a',
            async () => {
              throw new Error('first');
            },
            {
              undo: async () => {
                if (++tries === 1) throw new Error('stuck');
              },
            },
          ),
        ]),
      ]);
      const job = await w.settled(await w.engine.start(request()));
      t.is(job.state, 'Suspended');
      t.deepEqual(job.allowedActions, ['Resume']);
      await t.throwsAsync(w.engine.cancel(job.jobId, 'me'), { code: 'JobNotCancelable' });
      await w.engine.resume(job.jobId, '', 'me');
      const end = await w.settled(job.jobId);
      t.is(end.state, 'Failed');
      t.is(tries, 2);
      t.regex(end.errors[0]?.summary ?? '', /first/);
    },
  );

  run(`${name}: a child that ended is kept as long as its parent needs it`, async (t) => {
    const store = await make();
    await using w = await open(store, [
      workflow([
        step('start', async ({ startChild, child, resumeComments }) => {
          const target = { id: '/child', name: 'x', type: 'T' };
          const jobId = await startChild('x', 'child', {}, target);
          if (!hasEnded((await child(jobId)).state)) return { wait: 'jobs', jobIds: [jobId] };
          return resumeComments ?? { wait: 'resume', instructions: 'well?' };
        }),
      ]),
      workflow([step('a', async () => 1)], { name: 'child' }),
    ]);
    const { jobId } = await w.settled(await w.engine.start(request()));
    const later = () => new Date(systemClock.now() + 1000).toISOString();
    t.is(await store.removeEnded(later(), 10), 0);
    await w.engine.resume(jobId, 'yes', 'me');
    t.is((await w.settled(jobId)).state, 'Succeeded');
    await w.stopped();
    t.is(await store.removeEnded(later(), 10), 2);
  });

  run(`${name}: jobs are paged newest first, and old ones go with their logs`, async (t) => {
    const store = await make();
    await using w = await open(store, [workflow([step('a', async () => 1)])]);
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push((await w.settled(await w.engine.start(request()))).jobId);
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await w.engine.list({}, { limit: 2, after });
      seen.push(...page.jobs.map(({ jobId }) => jobId));
      after = page.next;
    } while (after !== undefined);
    t.deepEqual([...seen].sort(), [...ids].sort());
    await w.stopped();
    t.is(await store.removeEnded('2000-01-01T00:00:00.000Z', 10), 0);
    t.is(await store.removeEnded(new Date(systemClock.now() + 1000).toISOString(), 10), 5);
    t.deepEqual(await store.log(ids[0]!), []);
  });

  run(
    `${name}: input that does not fit, and workflows that are not there, are refused at the door`,
    async (t) => {
      await using w = await open(await make(), [
        workflow([], { input: z.strictObject({ n: z.number() }) as never }),
      ]);
      await t.throwsAsync(w.engine.start(request({ input: { n: 'x' } })), { code: 'JobInputInvalid' });
      await t.throwsAsync(w.engine.start(request({ workflow: 'none' })), { code: 'WorkflowUnknown' });
      t.is((await w.settled(await w.engine.start(request({ input: { n: 1 } })))).state, 'Succeeded');
      await t.throwsAsync(w.engine.tasks(systemRandom.uuid()), { code: 'JobUnknown' });
    },
  );
}
