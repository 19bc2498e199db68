/**
 * The engine: takes jobs that are due, one lease each, and does step after step of their workflows. Any number of vault
 * processes run one over the same store.
 *
 *     lease ─▶ read row and log ─▶ replay ─▶ do │ undo │ stand │ end ─▶ write under the lease's token ─▶ again
 *       ▲                                       │
 *       └── heartbeat renews it                 └── a wait gives it up: children, an order, a person, a moment
 *
 * Promises: a job that was started is brought to its end as long as any process runs. No two processes write to one job:
 * who lost its lease is refused and stops. A process that is told to stop finishes the steps under way, within a limit,
 * and leaves the rest to others. Steps are done at least once (`workflow.ts` says what that asks of them).
 */
import { type Clock, pause } from '../../platform/clock.ts';
import { hasCode, LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Session } from '../../platform/mysql.ts';
import type { Random } from '../../platform/random.ts';
import { ladderDelay } from '../../platform/retry.ts';
import { derivedId } from './derived-id.ts';
import { errors, jobError } from './errors.ts';
import {
  type JobChange,
  type JobRow,
  type JobStore,
  type JobWrite,
  type Lease,
  type LogEntry,
  type NewJob,
  pageKey,
} from './job-store.ts';
import {
  hasEnded,
  type Job,
  type JobAction,
  type JobError,
  type JobFilter,
  type JobPage,
  type JobProgress,
  type Jobs,
  type JobTask,
} from './jobs.ts';
import {
  concurrencyDefault,
  drainMilliseconds,
  errorsMax,
  followMilliseconds,
  heartbeatMilliseconds,
  jobPageMax,
  jsonBytesMax,
  keptMilliseconds,
  leaseMilliseconds,
  pollMilliseconds,
  progressMilliseconds,
  sweepBatch,
  sweepMilliseconds,
  taskDepthMax,
  troubleMilliseconds,
  undoTriesMax,
  waitLookMilliseconds,
} from './limits.ts';
import { outputsOf, type Replay, replay } from './replay.ts';
import { tasksOf } from './tasks.ts';
import type {
  JobTarget,
  Json,
  SomeWorkflow,
  StartJob,
  Step,
  StepContext,
  Wait,
  Workflow,
} from './workflow.ts';

export interface EngineOptions {
  readonly store: JobStore;
  readonly workflows: readonly SomeWorkflow[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Names this process in the leases; a number is added. */
  readonly owner: string;
  /** Whether the site has answered: asked once after a wait was written, so that no answer falls in between. */
  readonly isAnswered?: (orderId: string) => Promise<boolean>;
  readonly concurrency?: number;
  readonly leaseMilliseconds?: number;
  readonly heartbeatMilliseconds?: number;
  readonly pollMilliseconds?: number;
}

type AnyWorkflow = Workflow<unknown>;
type AnyStep = Step<unknown>;

interface Running {
  readonly lease: Lease;
  /** Aborted when the job is cancelled, the lease lost, or the vault stops. */
  readonly work: AbortController;
  /** For what must go on when the job is cancelled: undoing. */
  readonly undo: AbortController;
  progress: JobProgress | undefined;
  progressWrittenAt: number;
  /** The job cannot be cancelled any more. */
  isPast: boolean;
}

export class JobEngine implements Jobs {
  readonly #options: EngineOptions;
  readonly #workflows: ReadonlyMap<string, AnyWorkflow>;
  readonly #names: readonly string[];
  readonly #owner: string;
  readonly #running = new Map<string, Running>();
  readonly #executions = new Map<string, Promise<void>>();
  readonly #watchers = new Map<string, Set<() => void>>();
  #alarm = new AbortController();
  #lastSweep: number | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#workflows = new Map(
      (options.workflows as readonly unknown[] as readonly AnyWorkflow[]).map((workflow) => [
        workflow.name,
        workflow,
      ]),
    );
    this.#names = [...this.#workflows.keys()];
    this.#owner = `${options.owner}/${options.random.uuid().slice(0, 8)}`;
  }

  // ── for everybody ──────────────────────────────────────────────────────────────────────────────────────────────────

  async start(request: StartJob, session?: Session): Promise<string> {
    const jobId = this.#options.random.uuid();
    await this.#options.store.insert(this.#newJob(jobId, request), session);
    if (!session) this.wake();
    return jobId;
  }

  async transaction<T>(
    work: (session: Session, start: (request: StartJob) => Promise<string>) => Promise<T>,
  ): Promise<T> {
    const result = await this.#options.store.transaction((session) =>
      work(session, (request) => this.start(request, session)),
    );
    this.wake();
    return result;
  }

  wake(): void {
    this.#alarm.abort();
  }

  async get(jobId: string): Promise<Job | undefined> {
    const row = await this.#options.store.byId(jobId);
    return row && this.#view(row);
  }

  async list(filter: JobFilter, page: { limit: number; after?: string | undefined }): Promise<JobPage> {
    const limit = Math.min(Math.max(1, page.limit), jobPageMax);
    const rows = await this.#options.store.list(filter, { limit: limit + 1, after: page.after });
    const shown = rows.slice(0, limit);
    return {
      jobs: shown.map((row) => this.#view(row)),
      next: rows.length > limit ? pageKey(shown.at(-1)!) : undefined,
    };
  }

  async tasks(jobId: string): Promise<readonly JobTask[]> {
    const row = await this.#options.store.byId(jobId);
    if (!row) throw errors.JobUnknown(jobId);
    return this.#tasks(row, 1);
  }

  async holder(exclusiveKey: string): Promise<Job | undefined> {
    const row = await this.#options.store.holder(exclusiveKey.toLowerCase());
    return row && this.#view(row);
  }

  async cancel(jobId: string, requestedBy: string): Promise<void> {
    await this.#options.store.steer(jobId, (row, log) => {
      if (hasEnded(row.state)) throw errors.JobNotCancelable(jobId, `it is ${row.state}`);
      if (row.cancelRequested) return {};
      const workflow = this.#workflows.get(row.workflow);
      const state = workflow && replay(stepsOf(workflow, row, log), log);
      if (state?.isPast) throw errors.JobNotCancelable(jobId, 'what it did cannot be taken back any more');
      if (state?.unwinding) throw errors.JobNotCancelable(jobId, 'it has failed and is being undone');
      if (workflow && !workflow.cancelable && state?.next.next !== 'stand')
        throw errors.JobNotCancelable(jobId, `${row.friendlyName} is not stopped half-way`);
      return {
        entries: [{ entry: 'CancelRequested', at: this.#now(), by: requestedBy }],
        change: {
          cancelRequested: true,
          state: row.state === 'NotStarted' ? 'NotStarted' : 'InProgress',
          stateDescription: 'Cancelling',
          instructions: undefined,
          wait: undefined,
          dueAt: this.#now(),
        },
      };
    });
    this.#running.get(jobId)?.work.abort(errors.JobCancelled(jobId));
    this.#changed(jobId);
    this.wake();
  }

  async resume(jobId: string, comments: string, requestedBy: string): Promise<void> {
    await this.#options.store.steer(jobId, (row, log) => {
      const workflow = this.#workflows.get(row.workflow);
      if (row.state !== 'Suspended' || !workflow) throw errors.JobNotSuspended(jobId, row.state);
      const { next } = replay(stepsOf(workflow, row, log), log);
      if (next.next === 'end') throw errors.JobNotSuspended(jobId, 'about to end');
      return {
        entries: [
          {
            entry: 'Resumed',
            at: this.#now(),
            step: next.step.name,
            comments: comments.slice(0, 4000),
            by: requestedBy,
          },
        ],
        change: {
          state: 'InProgress',
          stateDescription: 'InProgress',
          instructions: undefined,
          wait: undefined,
          dueAt: this.#now(),
        },
      };
    });
    this.#changed(jobId);
    this.wake();
  }

  async restart(jobId: string, requestedBy: string): Promise<string> {
    const row = await this.#options.store.byId(jobId);
    if (!row) throw errors.JobUnknown(jobId);
    if ((row.state !== 'Failed' && row.state !== 'Cancelled') || row.parentJobId !== undefined)
      throw errors.JobNotRestartable(jobId, row.state);
    const again = this.#options.random.uuid();
    await this.#options.store.insert({
      ...this.#newJob(again, {
        workflow: row.workflow,
        input: row.input,
        target: row.target,
        vaultId: row.vaultId,
        requestedBy,
      }),
      restartOf: jobId,
    });
    this.wake();
    return again;
  }

  async orderAnswered(orderId: string): Promise<void> {
    if ((await this.#options.store.orderAnswered(orderId, this.#now())) > 0) this.wake();
  }

  async follow(jobId: string, signal: AbortSignal, report?: (progress: JobProgress) => void): Promise<Job> {
    let told = '';
    const tell = (progress: JobProgress | undefined) => {
      const text = JSON.stringify(progress);
      if (progress === undefined || text === told) return;
      told = text;
      report?.(progress);
    };
    for (;;) {
      signal.throwIfAborted();
      const stir = new AbortController();
      const notice = () => stir.abort();
      const watchers = this.#watchers.get(jobId) ?? new Set();
      this.#watchers.set(jobId, watchers.add(notice));
      signal.addEventListener('abort', notice, { once: true });
      try {
        const row = await this.#options.store.byId(jobId);
        if (!row) throw errors.JobUnknown(jobId);
        tell(this.#running.get(jobId)?.progress ?? row.progress);
        if (hasEnded(row.state) || row.state === 'Suspended') return this.#view(row);
        await pause(this.#options.clock, followMilliseconds, stir.signal);
      } finally {
        signal.removeEventListener('abort', notice);
        watchers.delete(notice);
        if (watchers.size === 0) this.#watchers.delete(jobId);
      }
    }
  }

  // ── the loop ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Until `signal` aborts; then the steps under way are given `drainMilliseconds`. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, log } = this.#options;
    const working = new Set<Promise<void>>();
    const stop = () => {
      for (const { work, undo } of this.#running.values())
        for (const controller of [work, undo]) controller.abort(errors.EngineStopping());
      this.wake();
    };
    signal.addEventListener('abort', stop, { once: true });
    while (!signal.aborted) {
      // Before anything is read, so that what comes meanwhile is not missed.
      this.#alarm = new AbortController();
      let waitMilliseconds = this.#options.pollMilliseconds ?? pollMilliseconds;
      try {
        const free = (this.#options.concurrency ?? concurrencyDefault) - working.size;
        const leases = free <= 0 ? [] : await this.#lease(free);
        for (const lease of leases) {
          // A process that lost a lease may be given the job again before it has noticed: one after the other.
          const before = this.#executions.get(lease.jobId);
          const job: Promise<void> = (async () => {
            await before;
            await this.#execute(lease, signal);
          })().finally(() => {
            working.delete(job);
            if (this.#executions.get(lease.jobId) === job) this.#executions.delete(lease.jobId);
            this.wake();
          });
          this.#executions.set(lease.jobId, job);
          working.add(job);
        }
        if (leases.length > 0 && leases.length < free) continue;
        const due = free <= 0 ? undefined : await store.nextDue(this.#names);
        if (due !== undefined)
          waitMilliseconds = Math.min(waitMilliseconds, Math.max(1, Date.parse(due) - clock.now()));
        await this.#sweep();
      } catch (error) {
        log.warn('jobs-not-leased', { error });
        waitMilliseconds = troubleMilliseconds;
      }
      if (signal.aborted) break;
      await pause(clock, waitMilliseconds, this.#alarm.signal);
    }
    signal.removeEventListener('abort', stop);
    const drained = new AbortController();
    const all = Promise.all(working).then(() => drained.abort());
    await pause(clock, drainMilliseconds, drained.signal);
    if (working.size > 0) log.warn('jobs-not-drained', { count: working.size });
    else await all;
  }

  #lease(limit: number): Promise<Lease[]> {
    const { clock, store } = this.#options;
    return store.lease({
      owner: this.#owner,
      workflows: this.#names,
      nowIso: this.#now(),
      untilIso: new Date(clock.now() + this.#leaseMilliseconds).toISOString(),
      limit,
    });
  }

  async #sweep(): Promise<void> {
    const { clock, store } = this.#options;
    const at = clock.monotonic();
    if (this.#lastSweep !== undefined && at - this.#lastSweep < sweepMilliseconds) return;
    this.#lastSweep = at;
    const before = new Date(clock.now() - keptMilliseconds).toISOString();
    while ((await store.removeEnded(before, sweepBatch)) >= sweepBatch);
  }

  // ── one job ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #execute(lease: Lease, stopping: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const running: Running = {
      lease,
      work: new AbortController(),
      undo: new AbortController(),
      progress: undefined,
      progressWrittenAt: Number.NEGATIVE_INFINITY,
      isPast: false,
    };
    if (stopping.aborted)
      for (const controller of [running.work, running.undo]) controller.abort(errors.EngineStopping());
    this.#running.set(lease.jobId, running);
    const over = new AbortController();
    const heart = this.#beat(running, over.signal);
    try {
      while (await this.#advance(running));
    } catch (error) {
      if (hasCode(error, 'JobLeaseLost')) log.warn('job-lease-lost', { jobId: lease.jobId });
      else {
        const isStop = hasCode(error, 'EngineStopping');
        if (!isStop) log.error('job-not-advanced', { jobId: lease.jobId, error });
        // If this does not go through either, the lease runs out by itself.
        await this.#options.store
          .write(lease, { change: { dueAt: this.#now(isStop ? 0 : troubleMilliseconds) } })
          .catch((failure: unknown) => log.warn('job-not-released', { jobId: lease.jobId, error: failure }));
      }
    } finally {
      over.abort();
      await heart;
      if (this.#running.get(lease.jobId) === running) this.#running.delete(lease.jobId);
      this.#changed(lease.jobId);
    }
  }

  /** Renews the lease, hears of cancellation, writes the last progress. */
  async #beat(running: Running, over: AbortSignal): Promise<void> {
    const { clock, store, log } = this.#options;
    const { lease } = running;
    let renewedAt = clock.monotonic();
    const lost = () => {
      for (const controller of [running.work, running.undo])
        controller.abort(errors.JobLeaseLost(lease.jobId));
    };
    for (;;) {
      await pause(clock, this.#options.heartbeatMilliseconds ?? heartbeatMilliseconds, over);
      if (over.aborted) return;
      const at = clock.monotonic();
      try {
        const renewed = await store.renew(lease, this.#now(this.#leaseMilliseconds), running.progress);
        if (over.aborted) return;
        if (!renewed) return lost();
        renewedAt = at;
        if (renewed.cancelRequested && !running.isPast && !running.work.signal.aborted)
          running.work.abort(errors.JobCancelled(lease.jobId));
      } catch (error) {
        log.warn('job-lease-not-renewed', { jobId: lease.jobId, error });
        if (at - renewedAt >= this.#leaseMilliseconds) return lost();
      }
    }
  }

  /** One turn; false when the lease was given up. */
  async #advance(running: Running): Promise<boolean> {
    const { store } = this.#options;
    const { lease } = running;
    running.undo.signal.throwIfAborted();
    const row = await store.byId(lease.jobId);
    if (!row || row.leaseToken !== lease.token) throw errors.JobLeaseLost(lease.jobId);
    const workflow = this.#workflows.get(row.workflow)!;
    const parsed = workflow.input.safeParse(row.input);
    if (!parsed.success) {
      const error = errors.JobInputInvalid(row.workflow, parsed.error.message);
      return this.#end(lease, row, [], 'Failed', jobError(error, 'input', this.#options.clock));
    }
    const input = parsed.data;
    const log = await store.log(lease.jobId);
    const steps = workflow.steps(input, outputsOf(log));
    const state = replay(steps, log);
    if (!state.unwinding && (await this.#stillWaits(lease, row))) return false;
    if (state.unwinding && (await this.#waitsForChildren(lease, row))) return false;
    const { next } = state;
    switch (next.next) {
      case 'end':
        return this.#conclude(lease, row, [], workflow, input, state.outputs, next.state);
      case 'stand':
        await this.#write(lease, { change: { ...standing(next.error), dueAt: undefined } });
        return false;
      case 'undo':
        return this.#undo(running, row, next.step, next.begun, state, input);
      case 'do': {
        const started = row.startedAt ?? this.#now();
        const change: JobChange = {
          state: 'InProgress',
          stateDescription: row.cancelRequested && !state.isPast ? 'Cancelling' : 'InProgress',
          wait: undefined,
          ...(row.startedAt === undefined ? { startedAt: started } : {}),
        };
        if (!next.begun)
          await this.#write(lease, {
            entries: [{ entry: 'Started', at: this.#now(), step: next.step.name }],
            change,
          });
        else if (row.wait !== undefined || row.state !== 'InProgress') await this.#write(lease, { change });
        return this.#do(running, row, workflow, input, next.step, state, next.resumeComments);
      }
    }
  }

  /** A lease may come early: by the safety net, by a cancellation that came to nothing, by a clock that differs. */
  async #stillWaits(lease: Lease, row: JobRow): Promise<boolean> {
    const { clock, store } = this.#options;
    const wait = row.wait;
    if (wait === undefined) return false;
    const keep = async (dueAt: string | undefined) => {
      await this.#write(lease, { change: { wait: wait as never, dueAt } });
      return true;
    };
    switch (wait.wait) {
      case 'resume':
        return keep(undefined);
      case 'time':
        return clock.now() < Date.parse(wait.until) ? keep(wait.until) : false;
      case 'order':
        if (clock.now() >= Date.parse(wait.until)) return false;
        // Without somebody to ask, the step itself looks.
        if ((await this.#options.isAnswered?.(wait.orderId)) ?? true) return false;
        return keep(this.#look(wait.until));
      case 'jobs': {
        const children = await Promise.all(wait.jobIds.map((jobId) => store.byId(jobId)));
        const ended = children.filter((child) => !child || hasEnded(child.state)).length;
        if (wait.any === true ? ended > 0 : ended === children.length) return false;
        return keep(this.#now(waitLookMilliseconds));
      }
    }
  }

  /** Nothing is undone under the feet of jobs that this one has started: they are cancelled and waited for. */
  async #waitsForChildren(lease: Lease, row: JobRow): Promise<boolean> {
    const { store, log } = this.#options;
    const unfinished = (await store.children(row.jobId)).filter(({ state }) => !hasEnded(state));
    if (unfinished.length === 0) return false;
    for (const { jobId } of unfinished)
      await this.cancel(jobId, row.requestedBy).catch((error: unknown) => {
        if (!hasCode(error, 'JobNotCancelable', 'JobUnknown')) throw error;
        log.debug('child-not-cancelled', { jobId });
      });
    await this.#write(lease, {
      change: {
        wait: { wait: 'jobs', jobIds: unfinished.map(({ jobId }) => jobId) },
        dueAt: this.#now(waitLookMilliseconds),
      },
    });
    return true;
  }

  async #do(
    running: Running,
    row: JobRow,
    workflow: AnyWorkflow,
    input: unknown,
    step: AnyStep,
    state: Replay<AnyStep>,
    resumeComments: string | undefined,
  ): Promise<boolean> {
    const { lease } = running;
    running.isPast = state.isPast;
    if (row.cancelRequested && !state.isPast) running.work.abort(errors.JobCancelled(lease.jobId));
    let result: Json | Wait | undefined;
    try {
      running.work.signal.throwIfAborted();
      result = await step.do(this.#context(running, row, step, state, input, running.work, resumeComments));
      assertJson(result, step.name);
    } catch (error) {
      this.#interrupted(running, error);
      return this.#failed(running, row, step, error);
    }
    if (isWait(result)) return this.#wait(lease, result);
    const entry: LogEntry = {
      entry: 'Succeeded',
      at: this.#now(),
      step: step.name,
      ...(result === undefined ? {} : { output: result }),
    };
    const all = { ...state.outputs, [step.name]: result ?? null };
    if (workflow.steps(input, all).at(-1)?.name === step.name && !running.work.signal.aborted) {
      return this.#conclude(lease, row, [entry], workflow, input, all, 'Succeeded');
    }
    await this.#write(lease, { entries: [entry], ...withProgress(running) });
    this.#changed(lease.jobId);
    return true;
  }

  async #failed(running: Running, row: JobRow, step: AnyStep, error: unknown): Promise<boolean> {
    const { log, clock } = this.#options;
    const { lease } = running;
    const wasCancelled = hasCode(running.work.signal.reason, 'JobCancelled');
    const kept = jobError(error, step.name, clock);
    if (!(error instanceof LeewardError))
      log.error('job-step-failed', { jobId: lease.jobId, step: step.name, error });
    else
      log.warn('job-step-failed', {
        jobId: lease.jobId,
        step: step.name,
        code: kept.code,
        why: kept.summary,
      });
    const stands = running.isPast || (step.onFailure === 'suspend' && !wasCancelled);
    await this.#write(lease, {
      entries: [{ entry: 'Failed', at: this.#now(), step: step.name, error: kept }],
      change: {
        ...(wasCancelled && hasCode(error, 'JobCancelled') ? {} : { errors: added(row.errors, kept) }),
        ...(stands ? { ...standing(kept), dueAt: undefined } : {}),
      },
    });
    this.#changed(lease.jobId);
    return !stands;
  }

  async #undo(
    running: Running,
    row: JobRow,
    step: AnyStep,
    begun: boolean,
    state: Replay<AnyStep>,
    input: unknown,
  ): Promise<boolean> {
    const { clock, store } = this.#options;
    const { lease } = running;
    const entries: LogEntry[] = begun ? [] : [{ entry: 'UndoStarted', at: this.#now(), step: step.name }];
    await this.#write(lease, {
      entries,
      change: {
        state: 'InProgress',
        stateDescription: row.cancelRequested ? 'Cancelling' : 'Undoing',
        wait: undefined,
        instructions: undefined,
        ...(row.startedAt === undefined ? { startedAt: this.#now() } : {}),
      },
    });
    try {
      await step.undo!(this.#context(running, row, step, state, input, running.undo, undefined));
    } catch (error) {
      this.#interrupted(running, error);
      this.#options.log.error('job-step-not-undone', { jobId: lease.jobId, step: step.name, error });
      const kept = jobError(error, step.name, clock);
      const entry: LogEntry = { entry: 'UndoFailed', at: this.#now(), step: step.name, error: kept };
      const log = await store.log(lease.jobId);
      const { next } = replay(stepsOf(this.#workflows.get(row.workflow)!, row, log), [...log, entry]);
      const tries = next.next === 'undo' ? next.tries : 1;
      await this.#write(lease, {
        entries: [entry],
        change: {
          ...standing(
            kept,
            `Undoing "${step.title}" failed. It is tried again by itself; resume the job to try now.`,
          ),
          wait: undefined,
          errors: added(row.errors, kept),
          dueAt: tries >= undoTriesMax ? undefined : this.#now(ladderDelay(tries - 1)),
        },
      });
      this.#changed(lease.jobId);
      return false;
    }
    await this.#write(lease, { entries: [{ entry: 'UndoFinished', at: this.#now(), step: step.name }] });
    return true;
  }

  async #wait(lease: Lease, wait: Wait): Promise<boolean> {
    const { clock, store } = this.#options;
    const change: JobChange =
      wait.wait === 'resume'
        ? {
            state: 'Suspended',
            stateDescription: 'Suspended',
            instructions: wait.instructions,
            wait,
            dueAt: undefined,
          }
        : wait.wait === 'time'
          ? { wait, dueAt: wait.until }
          : wait.wait === 'order'
            ? { wait, dueAt: this.#look(wait.until) }
            : { wait: { ...wait, jobIds: [...wait.jobIds] }, dueAt: this.#now(waitLookMilliseconds) };
    await this.#write(lease, { change });
    // An answer that came while the wait was being written woke nobody.
    if (wait.wait === 'order' && clock.now() < Date.parse(wait.until))
      if (await this.#options.isAnswered?.(wait.orderId))
        await store.orderAnswered(wait.orderId, this.#now());
    // Nor did a cancellation that came while the step was finding out that it has to wait.
    if ((await store.byId(lease.jobId))?.cancelRequested)
      await store.steer(lease.jobId, (row) =>
        row.leaseOwner === undefined && !hasEnded(row.state) ? { change: { dueAt: this.#now() } } : {},
      );
    this.#changed(lease.jobId);
    this.wake();
    return false;
  }

  #conclude(
    lease: Lease,
    row: JobRow,
    entries: readonly LogEntry[],
    workflow: AnyWorkflow,
    input: unknown,
    outputs: Readonly<Record<string, Json>>,
    state: 'Succeeded' | 'Failed' | 'Cancelled',
  ): Promise<boolean> {
    if (state !== 'Succeeded') return this.#end(lease, row, entries, state);
    const said = workflow.conclude?.(outputs, input) ?? { stateDescription: 'Completed' };
    const last = Object.values(outputs).at(-1);
    return this.#end(lease, row, entries, said.failed ? 'Failed' : 'Succeeded', said.failed, {
      stateDescription: said.stateDescription,
      ...(said.information === undefined || said.information.length === 0
        ? {}
        : {
            errors: [
              ...row.errors,
              ...said.information.map((each) => ({ ...each, raisedAt: this.#now() })),
              ...(said.failed === undefined ? [] : [said.failed]),
            ].slice(-errorsMax),
          }),
      ...(last === undefined || last === null ? {} : { output: last }),
    });
  }

  async #end(
    lease: Lease,
    row: JobRow,
    entries: readonly LogEntry[],
    state: 'Succeeded' | 'Failed' | 'Cancelled',
    error?: JobError,
    more: JobChange = {},
  ): Promise<boolean> {
    const { log } = this.#options;
    await this.#write(lease, {
      entries,
      change: {
        state,
        stateDescription: state,
        instructions: undefined,
        endedAt: this.#now(),
        ...(row.startedAt === undefined ? { startedAt: this.#now() } : {}),
        ...(error === undefined ? {} : { errors: added(row.errors, error) }),
        ...withProgress(this.#running.get(lease.jobId)).change,
        ...more,
      },
    });
    log.info('job-ended', { jobId: row.jobId, workflow: row.workflow, state });
    this.#changed(row.jobId);
    this.wake();
    return false;
  }

  // ── what steps are given ───────────────────────────────────────────────────────────────────────────────────────────

  #context(
    running: Running,
    row: JobRow,
    step: AnyStep,
    state: Replay<AnyStep>,
    input: unknown,
    controller: AbortController,
    resumeComments: string | undefined,
  ): StepContext<unknown> {
    const { store, clock } = this.#options;
    const { lease } = running;
    return {
      jobId: row.jobId,
      job: {
        vaultId: row.vaultId,
        target: row.target,
        requestedBy: row.requestedBy,
        createdAt: row.createdAt,
      },
      input,
      outputs: state.outputs,
      signal: controller.signal,
      startedAt: state.startedAt.get(step.name) ?? this.#now(),
      failure: row.errors.at(-1)?.summary,
      resumeComments,
      report: (text, fraction) => {
        running.progress = {
          text: text.slice(0, 1000),
          ...(fraction === undefined || Number.isNaN(fraction)
            ? {}
            : { fraction: Math.min(1, Math.max(0, fraction)) }),
        };
        this.#changed(row.jobId);
        const at = clock.monotonic();
        if (at - running.progressWrittenAt < progressMilliseconds) return;
        running.progressWrittenAt = at;
        // For onlookers only: the heartbeat writes it again, and says so when the lease is gone.
        void store
          .renew(lease, this.#now(this.#leaseMilliseconds), running.progress)
          .catch((error: unknown) =>
            this.#options.log.debug('progress-not-written', { jobId: row.jobId, error }),
          );
      },
      startChild: async (key, workflow, childInput, target, options = {}) => {
        const jobId = derivedId(row.jobId, step.name, key);
        const job = this.#newJob(jobId, {
          workflow,
          input: childInput,
          target,
          vaultId: row.vaultId,
          requestedBy: row.requestedBy,
          ...(row.clientRequestId === undefined ? {} : { clientRequestId: row.clientRequestId }),
          ...(options.exclusiveKey === undefined ? {} : { exclusiveKey: options.exclusiveKey }),
        });
        const made = await store.insert(
          options.detached === true ? job : { ...job, parentJobId: row.jobId, parentStep: step.name },
          undefined,
          lease,
        );
        if (made) this.wake();
        return jobId;
      },
      findChild: async (key) => (await store.byId(derivedId(row.jobId, step.name, key)))?.jobId,
      child: async (jobId) => {
        const child = await store.byId(jobId);
        if (!child) throw errors.JobUnknown(jobId);
        return { state: child.state, error: child.errors.at(-1)?.summary };
      },
    };
  }

  #newJob(jobId: string, request: StartJob): NewJob {
    const workflow = this.#workflows.get(request.workflow);
    if (!workflow) throw errors.WorkflowUnknown(request.workflow);
    const parsed = workflow.input.safeParse(request.input);
    if (!parsed.success)
      throw errors.JobInputInvalid(
        request.workflow,
        parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '),
      );
    assertJson(request.input, request.workflow);
    return {
      jobId,
      vaultId: request.vaultId,
      workflow: workflow.name,
      scenarioName: workflow.scenarioName,
      friendlyName: workflow.friendlyName,
      target: targetOf(request.target),
      input: request.input,
      requestedBy: request.requestedBy,
      ...(request.clientRequestId === undefined ? {} : { clientRequestId: request.clientRequestId }),
      exclusiveKey: (request.exclusiveKey ?? request.target.id).toLowerCase(),
      createdAt: this.#now(),
    };
  }

  // ── small things ───────────────────────────────────────────────────────────────────────────────────────────────────

  #view(row: JobRow): Job {
    return {
      jobId: row.jobId,
      vaultId: row.vaultId,
      workflow: row.workflow,
      scenarioName: row.scenarioName,
      friendlyName: row.friendlyName,
      state: row.state,
      stateDescription: row.stateDescription,
      target: row.target,
      input: row.input,
      output: row.output,
      errors: row.errors,
      progress: this.#running.get(row.jobId)?.progress ?? row.progress,
      instructions: row.instructions,
      requestedBy: row.requestedBy,
      clientRequestId: row.clientRequestId,
      parentJobId: row.parentJobId,
      restartOf: row.restartOf,
      createdAt: row.createdAt,
      startedAt: row.startedAt,
      endedAt: row.endedAt,
      allowedActions: this.#actions(row),
    };
  }

  #actions(row: JobRow): JobAction[] {
    if (row.state === 'Failed' || row.state === 'Cancelled')
      return row.parentJobId === undefined ? ['Restart'] : [];
    if (hasEnded(row.state)) return [];
    const isUndoing =
      row.cancelRequested || row.stateDescription === 'Undoing' || row.stateDescription === 'UndoFailed';
    const stands = row.state === 'Suspended' && row.stateDescription === 'Failed';
    const mayCancel = !isUndoing && (stands || this.#workflows.get(row.workflow)?.cancelable === true);
    return [
      ...(mayCancel ? (['Cancel'] as const) : []),
      ...(row.state === 'Suspended' ? (['Resume'] as const) : []),
    ];
  }

  async #tasks(row: JobRow, depth: number): Promise<JobTask[]> {
    const { store } = this.#options;
    const workflow = this.#workflows.get(row.workflow);
    const children = depth >= taskDepthMax ? [] : await store.children(row.jobId);
    const shown: { step: string | undefined; shown: JobTask['children'][number] }[] = [];
    for (const child of children)
      shown.push({
        step: child.parentStep,
        shown: { job: this.#view(child), tasks: await this.#tasks(child, depth + 1) },
      });
    const log = await store.log(row.jobId);
    return tasksOf(row, workflow ? stepsOf(workflow, row, log) : [], log).map((task) => ({
      ...task,
      children: shown.filter(({ step }) => step === task.name).map((child) => child.shown),
    }));
  }

  async #write(lease: Lease, write: JobWrite): Promise<void> {
    if (!(await this.#options.store.write(lease, write))) throw errors.JobLeaseLost(lease.jobId);
  }

  /** Throws on what is no failure of the step: the vault stops, the lease is lost, the database does not answer. */
  #interrupted(running: Running, error: unknown): void {
    for (const { signal } of [running.work, running.undo])
      if (signal.aborted && hasCode(signal.reason, 'EngineStopping', 'JobLeaseLost')) throw signal.reason;
    if (hasCode(error, 'DatabaseUnreachable', 'JobLeaseLost')) throw error;
  }

  #changed(jobId: string): void {
    for (const notice of this.#watchers.get(jobId) ?? []) notice();
  }

  get #leaseMilliseconds(): number {
    return this.#options.leaseMilliseconds ?? leaseMilliseconds;
  }

  #now(laterMilliseconds = 0): string {
    return new Date(this.#options.clock.now() + laterMilliseconds).toISOString();
  }

  /** The end of a wait for an event, or the next look, whichever is first. */
  #look(until: string): string {
    const look = this.#now(waitLookMilliseconds);
    return look < until ? look : until;
  }
}

function standing(error: JobError, instructions?: string): JobChange {
  return {
    state: 'Suspended',
    stateDescription: instructions === undefined ? 'Failed' : 'UndoFailed',
    instructions:
      instructions ?? `${error.summary} ${error.recommendedAction} Then resume the job, or cancel it.`,
    wait: { wait: 'resume', instructions: instructions ?? error.summary },
  };
}

const added = (before: readonly JobError[], error: JobError): JobError[] =>
  [...before, error].slice(-errorsMax);

function withProgress(running: Running | undefined): { change: JobChange } {
  return { change: running?.progress === undefined ? {} : { progress: running.progress } };
}

function stepsOf(workflow: AnyWorkflow, row: JobRow, log: readonly LogEntry[]): readonly AnyStep[] {
  const parsed = workflow.input.safeParse(row.input);
  return parsed.success ? workflow.steps(parsed.data, outputsOf(log)) : [];
}

const targetOf = ({ id, name, type }: JobTarget): JobTarget => ({ id, name, type });

const waits: readonly string[] = ['jobs', 'order', 'resume', 'time'];
function isWait(result: Json | Wait | undefined): result is Wait {
  return (
    typeof result === 'object' &&
    result !== null &&
    'wait' in result &&
    typeof result.wait === 'string' &&
    waits.includes(result.wait)
  );
}

function assertJson(value: unknown, where: string): void {
  if (value !== undefined && JSON.stringify(value).length > jsonBytesMax)
    throw new RangeError(`${where} has more than ${jsonBytesMax} bytes to keep`);
}
