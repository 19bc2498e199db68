/**
 * What every workflow must bear, whatever it does: a failure at each step leaves nothing behind, each step and its undoing
 * may be done twice, and a vault that dies after (or just before) any entry of the log is followed by one that comes to the
 * same end.
 */
import type { ExecutionContext, TestFn } from 'ava';
import { isBusy } from '../../src/model/protection-state.ts';
import { until } from '../../src/platform/clock.ts';
import { LeewardError } from '../../src/platform/errors.ts';
import { silentLog } from '../../src/platform/log.ts';
import { JobEngine } from '../../src/vault/jobs/engine.ts';
import type { JobStore } from '../../src/vault/jobs/job-store.ts';
import { hasEnded, type Job } from '../../src/vault/jobs/jobs.ts';
import { MemoryJobStore } from '../../src/vault/jobs/memory-job-store.ts';
import type { Json, SomeWorkflow, Step } from '../../src/vault/jobs/workflow.ts';
import { itemWorkflows } from '../../src/vault/workflows/all.ts';
import { openWorkflowWorld, vaultId, type WorkflowWorld } from './workflow-world.ts';

export interface WorkflowCase {
  readonly workflow: string;
  readonly title: string;
  /** Makes what the workflow needs; answers its input. */
  readonly prepare: (
    world: WorkflowWorld,
    run: (workflow: string, input: Json) => Promise<Job>,
  ) => Promise<Json>;
  /** What must be true afterwards. */
  readonly done: (t: ExecutionContext, world: WorkflowWorld, job: Job) => Promise<void>;
  /** What came through stays when the job fails: there is nothing to undo. */
  readonly keeps?: true;
  /** Steps that cannot be undone, but whose operation can be started again after it failed. */
  readonly repeatable?: readonly string[];
}

export interface SuiteOptions {
  readonly workflowsOf?: (world: WorkflowWorld) => SomeWorkflow[];
}

type AnyStep = Step<never>;
type Change = (step: AnyStep) => AnyStep;

/** Of the fast clock: two minutes of a busy machine. */
const limitMilliseconds = 12_000_000;
/** Of the fast clock: 0.3 s. */
const leaseMilliseconds = 30_000;
const heartbeatMilliseconds = 5_000;

export function workflowSuite(
  test: TestFn,
  cases: readonly WorkflowCase[],
  options: SuiteOptions = {},
): void {
  const workflowsOf = options.workflowsOf ?? ((world) => itemWorkflows(world.parts));

  /** Runs the case with its steps changed, and answers how it ended and what there is then. */
  const play = async (
    one: WorkflowCase,
    change: Change,
    look: (world: WorkflowWorld, job: Job, before: unknown, engine: JobEngine) => Promise<void>,
    wrap: (store: JobStore, onDeath: () => void) => JobStore = (store) => store,
  ): Promise<void> => {
    await using world = await openWorkflowWorld();
    const store = new MemoryJobStore();
    const plain = workflowsOf(world);
    const begin = (workflows: SomeWorkflow[], over: JobStore = store) => {
      const engine = new JobEngine({
        store: over,
        workflows,
        clock: world.clock,
        random: world.random,
        log: silentLog,
        owner: 'suite',
        isAnswered: async (orderId) => (await world.parts.orders.answer(orderId)) !== undefined,
        leaseMilliseconds,
        heartbeatMilliseconds,
      });
      const stopping = new AbortController();
      const running = engine.run(stopping.signal);
      return {
        engine,
        stop: async () => {
          stopping.abort();
          await running;
        },
      };
    };
    const settled = async (engine: JobEngine, jobId: string): Promise<Job> =>
      until(
        world.clock,
        limitMilliseconds,
        async () => {
          const job = await engine.get(jobId);
          return job && (hasEnded(job.state) || job.state === 'Suspended') ? job : undefined;
        },
        () => new Error(`${one.workflow} does not end`),
        500,
      );
    const request = (workflow: string, input: Json) => ({
      workflow,
      input,
      target: { id: `/targets/${workflow}`, name: 'web', type: 'ProtectionEntity' },
      vaultId,
      requestedBy: 'suite',
    });
    const first = begin(plain);
    let input: Json;
    try {
      input = await one.prepare(world, async (workflow, given) => {
        const job = await settled(first.engine, await first.engine.start(request(workflow, given)));
        if (job.state !== 'Succeeded')
          throw new Error(`${workflow} is ${job.state}: ${JSON.stringify(job.errors)}`);
        return job;
      });
    } finally {
      await first.stop();
    }
    const before = await world.snapshot();
    const changed = plain.map((workflow) =>
      workflow.name === one.workflow
        ? {
            ...workflow,
            steps: (given: never, outputs: Readonly<Record<string, Json>>) =>
              workflow.steps(given, outputs).map(change),
          }
        : workflow,
    );
    const others: { stop(): Promise<void> }[] = [];
    // Whoever dies is followed: the successor takes over when the lease has run out.
    const doomed = begin(
      changed,
      wrap(store, () => others.push(begin(changed))),
    );
    others.push(doomed);
    try {
      const jobId = await doomed.engine.start(request(one.workflow, input));
      const watcher = new JobEngine({
        store,
        workflows: changed,
        clock: world.clock,
        random: world.random,
        log: silentLog,
        owner: 'watcher',
      });
      const job = await settled(watcher, jobId);
      await look(world, job, before, (others.at(-1) as typeof doomed).engine);
    } finally {
      for (const { stop } of others) await stop();
    }
  };

  /** The steps' names, and from which on there is no way back. */
  const anatomy = async (one: WorkflowCase): Promise<{ names: string[]; pivot: number }> => {
    const steps: AnyStep[] = [];
    await play(
      one,
      (step) => {
        if (!steps.some(({ name }) => name === step.name)) steps.push(step);
        return step;
      },
      async () => {},
    );
    const pivot = steps.findIndex(({ isPivot }) => isPivot === true);
    return { names: steps.map(({ name }) => name), pivot: pivot < 0 ? steps.length - 1 : pivot };
  };

  const comparable = (snapshot: unknown) => JSON.parse(JSON.stringify(snapshot)) as unknown;
  /** Without what a failure may say of itself in the state's name. */
  const restful = (snapshot: unknown) => {
    const copy = comparable(snapshot) as {
      rows: { condition: { protectionState: string } }[];
      points: unknown;
      chains: unknown;
    };
    // A bookmark that was taken and a resync that was ordered are no harm.
    copy.points = copy.chains = [];
    for (const { condition } of copy.rows)
      condition.protectionState = condition.protectionState.replace(
        /^(UnplannedFailover|PlannedFailover|Disabling)Failed$/,
        'Protected',
      );
    return copy;
  };
  const injected = new LeewardError({
    code: 'Injected',
    summary: 'the test made it fail',
    possibleCauses: 'x',
    recommendedAction: 'y',
  });

  for (const one of cases) {
    test(`${one.title}: does what it is for`, async (t) => {
      await play(
        one,
        (step) => step,
        async (world, job) => {
          t.is(job.state, 'Succeeded', JSON.stringify(job.errors));
          for (const row of world.items.rows.values()) {
            t.false(isBusy(row.condition), row.condition.protectionState);
            t.is(row.jobId, undefined);
          }
          await one.done(t, world, job);
        },
      );
    });

    test(`${one.title}: a failure at each step leaves nothing behind`, async (t) => {
      const { names, pivot } = await anatomy(one);
      const failures = names.flatMap((name, index) =>
        // A step that cannot be taken back has happened once it has happened.
        index === pivot
          ? [{ name, index, when: 'before' }]
          : [
              { name, index, when: 'before' },
              { name, index, when: 'after' },
            ],
      );
      await Promise.all(
        failures.map(async ({ name, index, when }) => {
          let isBroken = true;
          const fail: Change = (step) =>
            step.name !== name
              ? step
              : {
                  ...step,
                  do: async (context) => {
                    if (isBroken && when === 'after') {
                      const result = await step.do(context);
                      // A wait is no end: it fails when it has done all of its work.
                      if (typeof result === 'object' && result !== null && 'wait' in result) return result;
                    }
                    if (isBroken) throw injected;
                    return step.do(context);
                  },
                };
          await play(one, fail, async (world, job, before, engine) => {
            const where = `${when} ${name}`;
            if (index > pivot) {
              t.is(job.state, 'Suspended', where);
              await t.throwsAsync(engine.cancel(job.jobId, 'x'), { code: 'JobNotCancelable' });
              isBroken = false;
              await engine.resume(job.jobId, 'mended', 'suite');
              await until(
                world.clock,
                limitMilliseconds,
                async () => ((await engine.get(job.jobId))?.state === 'Succeeded' ? true : undefined),
                () => new Error(`does not go on ${where}`),
                500,
              );
              await one.done(t, world, job);
              return;
            }
            t.is(job.state, 'Failed', where);
            t.is(job.errors[0]?.code, 'Injected', where);
            if (one.repeatable?.includes(name)) {
              isBroken = false;
              const again = await engine.restart(job.jobId, 'suite');
              await until(
                world.clock,
                limitMilliseconds,
                async () => ((await engine.get(again))?.state === 'Succeeded' ? true : undefined),
                () => new Error(`cannot be repeated ${where}`),
                500,
              );
              await one.done(t, world, (await engine.get(again))!);
              return;
            }
            if (!one.keeps) t.deepEqual(restful(await world.snapshot()), restful(before), where);
            for (const row of world.items.rows.values()) t.false(isBusy(row.condition), where);
          });
        }),
      );
    });

    test(`${one.title}: each step, and each undoing, may be done twice`, async (t) => {
      let once: unknown;
      await play(
        one,
        (step) => step,
        async (world, job) => {
          t.is(job.state, 'Succeeded', JSON.stringify(job.errors));
          once = comparable(await world.snapshot());
        },
      );
      const twice: Change = (step) => ({
        ...step,
        do: async (context) => {
          await step.do(context);
          return step.do(context);
        },
        ...(step.undo === undefined
          ? {}
          : {
              undo: async (context) => {
                await step.undo!(context);
                await step.undo!(context);
              },
            }),
      });
      await play(one, twice, async (world, job) => {
        t.is(job.state, 'Succeeded', JSON.stringify(job.errors));
        t.deepEqual(comparable(await world.snapshot()), once);
      });
      const { names, pivot } = await anatomy(one);
      await play(
        one,
        (step) =>
          step.name === names[pivot]
            ? {
                ...twice(step),
                do: async () => {
                  throw injected;
                },
              }
            : twice(step),
        async (world, job, before) => {
          t.is(job.state, 'Failed');
          if (one.repeatable === undefined && !one.keeps)
            t.deepEqual(restful(await world.snapshot()), restful(before));
        },
      );
    });

    test(`${one.title}: a vault that dies at any entry of the log is followed by one that comes to the same end`, async (t) => {
      let once: unknown;
      let writes = 0;
      await play(
        one,
        (step) => step,
        async (world, job) => {
          t.is(job.state, 'Succeeded', JSON.stringify(job.errors));
          once = comparable(await world.snapshot());
        },
        (store) => counting(store, () => writes++),
      );
      t.true(writes > 1);
      const deaths = Array.from({ length: writes }, (_, index) => index).flatMap((index) => [
        { index, isWritten: true },
        { index, isWritten: false },
      ]);
      // A few at once: each waits for a lease to run out most of the time.
      for (let at = 0; at < deaths.length; at += 12)
        await Promise.all(
          deaths.slice(at, at + 12).map(({ index, isWritten }) =>
            play(
              one,
              (step) => step,
              async (world, job) => {
                const where = `${isWritten ? 'after' : 'before'} write ${index}`;
                t.is(job.state, 'Succeeded', `${where} ${JSON.stringify(job.errors)}`);
                t.deepEqual(comparable(await world.snapshot()), once, where);
              },
              (store, onDeath) => dying(store, index, isWritten, onDeath),
            ),
          ),
        );
    });
  }
}

function counting(store: JobStore, count: () => void): JobStore {
  return proxied(store, (name, call) => {
    if (name === 'write') count();
    return call();
  });
}

/** The process is gone from this write on: nothing that it does reaches anybody. */
function dying(store: JobStore, write: number, isWritten: boolean, onDeath: () => void): JobStore {
  let writes = 0;
  let isDead = false;
  return proxied(store, async (name, call) => {
    if (isDead) throw new Error('dead');
    if (name !== 'write' || writes++ < write) return call();
    isDead = true;
    if (isWritten) await call();
    onDeath();
    throw new Error('dead');
  });
}

function proxied(
  store: JobStore,
  around: (name: string, call: () => Promise<unknown>) => Promise<unknown>,
): JobStore {
  return new Proxy(store, {
    get: (target, name) => {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) =>
        around(String(name), () => (member as (...given: unknown[]) => Promise<unknown>).apply(target, args));
    },
  });
}
