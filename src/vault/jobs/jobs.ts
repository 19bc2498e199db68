/**
 * Jobs as everybody but the engine sees them: started by API handlers, read and steered by the API and the command line.
 *
 *     NotStarted ─▶ InProgress ─▶ Succeeded
 *                     │  ▲  └───▶ Failed        undone in reverse first
 *                     ▼  │  └───▶ Cancelled     undone in reverse first
 *                   Suspended                   a manual action, or a failure that a person has to look at
 *
 * A job is a row, so whoever has the row's id has the job, whichever vault process runs it.
 */
import { z } from 'zod';
import { HealthEvent } from '../../model/health.ts';
import type { Session } from '../../platform/mysql.ts';
import type { JobState, JobTarget, Json, StartJob } from './workflow.ts';

export const JobStateName = z.enum([
  'NotStarted',
  'InProgress',
  'Succeeded',
  'Failed',
  'Cancelled',
  'Suspended',
]) satisfies z.ZodType<JobState>;

export const endedStates = ['Succeeded', 'Failed', 'Cancelled'] as const satisfies JobState[];
export const hasEnded = (state: JobState): boolean => (endedStates as readonly string[]).includes(state);

/** An error of a job, with the step that it came from. */
export const JobError = HealthEvent.extend({ step: z.string().max(200).optional() });
export type JobError = z.infer<typeof JobError>;

export const JobProgress = z.strictObject({
  text: z.string().max(1000),
  /** From 0 to 1. */
  fraction: z.number().min(0).max(1).optional(),
});
export type JobProgress = z.infer<typeof JobProgress>;

/** Names of the reference's `allowedActions`. */
export type JobAction = 'Cancel' | 'Restart' | 'Resume';

export interface Job {
  /** GUID; the same in `replicationJobs`, `operationresults` and `replicationOperationStatus`. */
  readonly jobId: string;
  readonly vaultId: string;
  readonly workflow: string;
  readonly scenarioName: string;
  readonly friendlyName: string;
  readonly state: JobState;
  /** `Completed`, `PartiallySucceeded`, `Cancelling`, … */
  readonly stateDescription: string;
  readonly target: JobTarget;
  readonly input: Json;
  /** Of the last step, once the job has succeeded. */
  readonly output: Json | undefined;
  readonly errors: readonly JobError[];
  readonly progress: JobProgress | undefined;
  /** What a person has to do before the job is resumed. */
  readonly instructions: string | undefined;
  readonly requestedBy: string;
  readonly clientRequestId: string | undefined;
  readonly parentJobId: string | undefined;
  readonly restartOf: string | undefined;
  readonly createdAt: string;
  readonly startedAt: string | undefined;
  readonly endedAt: string | undefined;
  readonly allowedActions: readonly JobAction[];
}

/** A step of a job, as `ASRTask` shows it. */
export interface JobTask {
  /** `ASRTask.name`. */
  readonly name: string;
  /** `ASRTask.friendlyName`. */
  readonly title: string;
  /** `ASRTask.taskType` and its custom details, where the step has any. */
  readonly type: string | undefined;
  readonly details: { readonly [key: string]: Json } | undefined;
  readonly state: JobState;
  readonly stateDescription: string;
  readonly startedAt: string | undefined;
  readonly endedAt: string | undefined;
  readonly output: Json | undefined;
  readonly error: JobError | undefined;
  /** Jobs that this step started, oldest first, each with its own tasks (to the depth of `taskDepthMax`). */
  readonly children: readonly { readonly job: Job; readonly tasks: readonly JobTask[] }[];
}

export interface JobFilter {
  readonly vaultId?: string | undefined;
  readonly states?: readonly JobState[] | undefined;
  readonly targetId?: string | undefined;
  readonly targetTypes?: readonly string[] | undefined;
  readonly scenarioName?: string | undefined;
  /** Started (or made, when it did not start yet) within these; ISO 8601. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** Jobs without a parent only. */
  readonly topLevelOnly?: boolean | undefined;
}

export interface JobPage {
  readonly jobs: readonly Job[];
  /** Give it back as `after` for the next page; undefined at the end. */
  readonly next: string | undefined;
}

export interface Jobs {
  /**
   * Answers the job's id. With `session` the row is part of the caller's transaction; call `wake` after its commit, or use
   * `transaction`. Throws `TargetIsBusy` while another unfinished job holds the exclusive key, `WorkflowUnknown`,
   * and `JobInputInvalid`.
   */
  start(request: StartJob, session?: Session): Promise<string>;
  /** Intent and job in one: commits both or neither, then wakes the engine. `work` must be repeatable. */
  transaction<T>(
    work: (session: Session, start: (request: StartJob) => Promise<string>) => Promise<T>,
  ): Promise<T>;
  /** New rows may be there. */
  wake(): void;
  get(jobId: string): Promise<Job | undefined>;
  /** Newest first. */
  list(
    filter: JobFilter,
    page: { readonly limit: number; readonly after?: string | undefined },
  ): Promise<JobPage>;
  /** Throws `JobUnknown`. */
  tasks(jobId: string): Promise<readonly JobTask[]>;
  /** The unfinished job that holds this key (by default a job's target's id). */
  holder(exclusiveKey: string): Promise<Job | undefined>;
  /** Undoes what was done and ends as Cancelled. Throws `JobNotCancelable`; silent when it is being cancelled. */
  cancel(jobId: string, requestedBy: string): Promise<void>;
  /** Goes on with a suspended job. Throws `JobNotSuspended`. */
  resume(jobId: string, comments: string, requestedBy: string): Promise<void>;
  /** A failed or cancelled job as a new one with the same input; answers its id. Throws `JobNotRestartable`. */
  restart(jobId: string, requestedBy: string): Promise<string>;
  /** A site has answered an order: whoever waits for it goes on. */
  orderAnswered(orderId: string): Promise<void>;
  /**
   * Until the job has ended or is suspended. `report` is told of progress (from a job in another process: by polling).
   * Rejects with the signal's reason.
   */
  follow(jobId: string, signal: AbortSignal, report?: (progress: JobProgress) => void): Promise<Job>;
}
