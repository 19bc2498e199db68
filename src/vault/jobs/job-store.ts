/**
 * Where jobs live: a row that says how a job stands, and an append-only log that says how it came to that. Only the log
 * decides what is done next (`replay.ts`); the row is for whoever looks, waits or leases.
 *
 * One column leases: `dueAt` is the moment from which a process may take the job. A job that waits for nothing is due at
 * once, one that waits for a moment is due then, one that waits for an event is due never (or late, as a safety net), and
 * a leased one is due when its lease runs out. Every lease has a token greater than the one before, and nothing is
 * written under an old token, so that a process that slept through its lease cannot write behind its successor's back.
 *
 * Implementations: `../store/jobs.ts` (MariaDB) and `memory-job-store.ts`; one suite in `test/support/`.
 */
import { z } from 'zod';
import type { Session } from '../../platform/mysql.ts';
import { JobError, type JobFilter, JobProgress, JobStateName } from './jobs.ts';
import type { Json } from './workflow.ts';

const JsonValue = z.custom<Json>((value) => value !== undefined);

export const Wait = z.discriminatedUnion('wait', [
  z.strictObject({ wait: z.literal('jobs'), jobIds: z.array(z.string()), any: z.boolean().optional() }),
  z.strictObject({ wait: z.literal('order'), orderId: z.string(), until: z.iso.datetime() }),
  z.strictObject({ wait: z.literal('resume'), instructions: z.string() }),
  z.strictObject({ wait: z.literal('time'), until: z.iso.datetime() }),
]);

const at = { at: z.iso.datetime() };
const step = { ...at, step: z.string() };
export const LogEntry = z.discriminatedUnion('entry', [
  z.strictObject({ entry: z.literal('Started'), ...step }),
  z.strictObject({ entry: z.literal('Succeeded'), ...step, output: JsonValue.optional() }),
  z.strictObject({ entry: z.literal('Failed'), ...step, error: JobError }),
  z.strictObject({ entry: z.literal('UndoStarted'), ...step }),
  z.strictObject({ entry: z.literal('UndoFinished'), ...step }),
  z.strictObject({ entry: z.literal('UndoFailed'), ...step, error: JobError }),
  /** `step`: the one that stood still. */
  z.strictObject({ entry: z.literal('Resumed'), ...step, comments: z.string(), by: z.string() }),
  z.strictObject({ entry: z.literal('CancelRequested'), ...at, by: z.string() }),
]);
export type LogEntry = z.infer<typeof LogEntry>;

export const JobRow = z.strictObject({
  jobId: z.guid(),
  vaultId: z.string(),
  workflow: z.string(),
  scenarioName: z.string(),
  friendlyName: z.string(),
  state: JobStateName,
  stateDescription: z.string(),
  target: z.strictObject({ id: z.string(), name: z.string(), type: z.string() }),
  input: JsonValue,
  output: JsonValue.optional(),
  errors: z.array(JobError),
  progress: JobProgress.optional(),
  wait: Wait.optional(),
  instructions: z.string().optional(),
  requestedBy: z.string(),
  clientRequestId: z.string().optional(),
  /** Held until the job ends. */
  exclusiveKey: z.string().optional(),
  parentJobId: z.string().optional(),
  /** The parent's step that started it. */
  parentStep: z.string().optional(),
  restartOf: z.string().optional(),
  cancelRequested: z.boolean(),
  dueAt: z.iso.datetime().optional(),
  leaseOwner: z.string().optional(),
  leaseToken: z.number().int(),
  createdAt: z.iso.datetime(),
  startedAt: z.iso.datetime().optional(),
  endedAt: z.iso.datetime().optional(),
});
export type JobRow = z.infer<typeof JobRow>;

export type NewJob = Omit<
  JobRow,
  'state' | 'stateDescription' | 'errors' | 'cancelRequested' | 'leaseToken' | 'leaseOwner' | 'dueAt'
>;

export interface Lease {
  readonly jobId: string;
  readonly token: number;
}

/** What changes in the row; a field that is `undefined` here is emptied, one that is absent stays. */
export type JobChange = Partial<
  Pick<
    JobRow,
    | 'state'
    | 'stateDescription'
    | 'output'
    | 'errors'
    | 'progress'
    | 'wait'
    | 'instructions'
    | 'cancelRequested'
    | 'startedAt'
    | 'endedAt'
  >
> & {
  /** When somebody may take it next; without it a lease stays as it is. Giving it gives the lease up. */
  readonly dueAt?: string | undefined;
};

export interface JobWrite {
  readonly entries?: readonly LogEntry[];
  readonly change?: JobChange;
}

export interface JobStore {
  transaction<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /**
   * Due at once. Answers false when this id is there already. Throws `TargetIsBusy` when another unfinished job holds
   * the exclusive key, and `JobLeaseLost` when `under` is given and not held any more.
   */
  insert(job: NewJob, session?: Session, under?: Lease): Promise<boolean>;
  byId(jobId: string): Promise<JobRow | undefined>;
  /** In the order they were written. */
  log(jobId: string): Promise<LogEntry[]>;
  /** Oldest first. */
  children(jobId: string): Promise<JobRow[]>;
  holder(exclusiveKey: string): Promise<JobRow | undefined>;
  /** Newest first. */
  list(
    filter: JobFilter,
    page: { readonly limit: number; readonly after?: string | undefined },
  ): Promise<JobRow[]>;

  /** Takes up to `limit` due jobs of these workflows, the longest due first. */
  lease(request: {
    readonly owner: string;
    readonly workflows: readonly string[];
    readonly nowIso: string;
    readonly untilIso: string;
    readonly limit: number;
  }): Promise<Lease[]>;
  /** The moment at which the next job of these is due. */
  nextDue(workflows: readonly string[]): Promise<string | undefined>;
  /** Undefined: the lease is somebody else's now. */
  renew(
    lease: Lease,
    untilIso: string,
    progress?: JobProgress,
  ): Promise<{ readonly cancelRequested: boolean } | undefined>;
  /**
   * Entries and change in one; false, and nothing written, when the lease is somebody else's now. A job that ends wakes
   * its parent, gives its exclusive key back, and is never due again. A wait for jobs that have come about already is due at once.
   */
  write(lease: Lease, write: JobWrite): Promise<boolean>;
  /** The same by a person, lease or not: `decide` sees the job as it stands under its lock. Throws `JobUnknown`. */
  steer(jobId: string, decide: (row: JobRow, log: readonly LogEntry[]) => JobWrite): Promise<void>;
  /** Makes the jobs due that wait for this order; answers how many. */
  orderAnswered(orderId: string, nowIso: string): Promise<number>;
  /**
   * Removes up to `limit` jobs that ended before, with their logs; answers how many. A child stays while its parent is
   * under way: the parent would start it anew.
   */
  removeEnded(beforeIso: string, limit: number): Promise<number>;
}

/** The page key of a row. */
export const pageKey = (row: Pick<JobRow, 'createdAt' | 'jobId'>): string => `${row.createdAt}~${row.jobId}`;

export function parsePageKey(key: string): { createdAt: string; jobId: string } | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)~([0-9a-f-]{36})$/.exec(key);
  return match === null ? undefined : { createdAt: match[1]!, jobId: match[2]! };
}
