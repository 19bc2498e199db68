/** Jobs in memory, for unit tests and the simulation. Each call is atomic because nothing in it waits. */
import type { Session } from '../../platform/mysql.ts';
import { errors } from './errors.ts';
import {
  type JobRow,
  type JobStore,
  type JobWrite,
  type Lease,
  type LogEntry,
  type NewJob,
  parsePageKey,
} from './job-store.ts';
import { hasEnded, type JobFilter, type JobProgress } from './jobs.ts';

const noSession: Session = {
  rows: () => Promise.reject(new Error('there is no database here')),
  change: () => Promise.reject(new Error('there is no database here')),
};

export class MemoryJobStore implements JobStore {
  readonly #rows = new Map<string, JobRow>();
  readonly #logs = new Map<string, LogEntry[]>();

  transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return work(noSession);
  }

  async insert(job: NewJob, _session?: Session, under?: Lease): Promise<boolean> {
    if (under && !this.#holds(under)) throw errors.JobLeaseLost(under.jobId);
    if (this.#rows.has(job.jobId)) return false;
    const holder = job.exclusiveKey === undefined ? undefined : await this.holder(job.exclusiveKey);
    if (holder) throw errors.TargetIsBusy(holder.target.name, holder.jobId, holder.friendlyName);
    this.#rows.set(job.jobId, {
      ...structuredClone(job),
      state: 'NotStarted',
      stateDescription: 'NotStarted',
      errors: [],
      cancelRequested: false,
      leaseToken: 0,
      dueAt: job.createdAt,
    });
    this.#logs.set(job.jobId, []);
    return true;
  }
  async byId(jobId: string): Promise<JobRow | undefined> {
    return this.#rows.get(jobId);
  }
  async log(jobId: string): Promise<LogEntry[]> {
    return [...(this.#logs.get(jobId) ?? [])];
  }
  async children(jobId: string): Promise<JobRow[]> {
    return this.#sorted().filter((row) => row.parentJobId === jobId);
  }
  async holder(exclusiveKey: string): Promise<JobRow | undefined> {
    return this.#sorted().find((row) => row.exclusiveKey === exclusiveKey);
  }
  async list(filter: JobFilter, page: { limit: number; after?: string | undefined }): Promise<JobRow[]> {
    const after = page.after === undefined ? undefined : parsePageKey(page.after);
    return this.#sorted()
      .reverse()
      .filter(
        (row) =>
          (after === undefined ||
            row.createdAt < after.createdAt ||
            (row.createdAt === after.createdAt && row.jobId < after.jobId)) &&
          (filter.vaultId === undefined || row.vaultId.toLowerCase() === filter.vaultId.toLowerCase()) &&
          (filter.states === undefined || filter.states.includes(row.state)) &&
          (filter.targetId === undefined || row.target.id.toLowerCase() === filter.targetId.toLowerCase()) &&
          (filter.targetTypes === undefined || filter.targetTypes.includes(row.target.type)) &&
          (filter.scenarioName === undefined || row.scenarioName === filter.scenarioName) &&
          (filter.from === undefined || (row.startedAt ?? row.createdAt) >= filter.from) &&
          (filter.to === undefined || (row.startedAt ?? row.createdAt) <= filter.to) &&
          (filter.topLevelOnly !== true || row.parentJobId === undefined),
      )
      .slice(0, page.limit);
  }
  async lease(request: {
    owner: string;
    workflows: readonly string[];
    nowIso: string;
    untilIso: string;
    limit: number;
  }): Promise<Lease[]> {
    return this.#due(request.workflows)
      .filter((row) => row.dueAt! <= request.nowIso)
      .slice(0, request.limit)
      .map((row) => {
        const token = row.leaseToken + 1;
        this.#put({ ...row, leaseOwner: request.owner, leaseToken: token, dueAt: request.untilIso });
        return { jobId: row.jobId, token };
      });
  }
  async nextDue(workflows: readonly string[]): Promise<string | undefined> {
    return this.#due(workflows)[0]?.dueAt;
  }
  async renew(lease: Lease, untilIso: string, progress?: JobProgress) {
    const row = this.#holds(lease);
    if (!row) return undefined;
    this.#put({ ...row, dueAt: untilIso, ...(progress === undefined ? {} : { progress }) });
    return { cancelRequested: row.cancelRequested };
  }
  async write(lease: Lease, write: JobWrite): Promise<boolean> {
    const row = this.#holds(lease);
    if (!row) return false;
    this.#apply(row, write);
    return true;
  }
  async steer(jobId: string, decide: (row: JobRow, log: readonly LogEntry[]) => JobWrite): Promise<void> {
    const row = this.#rows.get(jobId);
    if (!row) throw errors.JobUnknown(jobId);
    const write = decide(row, this.#logs.get(jobId)!);
    // A leased job stays leased: its process hears of it.
    if (row.leaseOwner !== undefined && write.change) {
      const { dueAt: _, ...change } = write.change;
      this.#apply(row, { ...write, change });
    } else this.#apply(row, write);
  }
  async orderAnswered(orderId: string, nowIso: string): Promise<number> {
    const waiting = [...this.#rows.values()].filter(
      (row) => row.leaseOwner === undefined && row.wait?.wait === 'order' && row.wait.orderId === orderId,
    );
    for (const row of waiting) this.#put({ ...row, dueAt: nowIso });
    return waiting.length;
  }
  async removeEnded(beforeIso: string, limit: number): Promise<number> {
    const old = this.#sorted()
      .filter((row) => row.endedAt !== undefined && row.endedAt < beforeIso)
      .filter(({ parentJobId }) => {
        const parent = parentJobId === undefined ? undefined : this.#rows.get(parentJobId);
        return parent === undefined || parent.endedAt !== undefined;
      })
      .slice(0, limit);
    for (const { jobId } of old) {
      this.#rows.delete(jobId);
      this.#logs.delete(jobId);
    }
    return old.length;
  }

  #apply(row: JobRow, { entries = [], change }: JobWrite): void {
    this.#logs.get(row.jobId)!.push(...structuredClone(entries));
    if (!change) return;
    const next: Record<string, unknown> = { ...row, ...structuredClone(change) };
    if ('dueAt' in change) delete next.leaseOwner;
    const ended = change.state !== undefined && hasEnded(change.state);
    if (change.wait?.wait === 'jobs' && this.#hasComeAbout(change.wait)) next.dueAt = row.createdAt;
    if (ended) for (const name of ['exclusiveKey', 'leaseOwner', 'dueAt', 'wait']) delete next[name];
    for (const [name, value] of Object.entries(next)) if (value === undefined) delete next[name];
    this.#put(next as JobRow);
    const parent = row.parentJobId === undefined ? undefined : this.#rows.get(row.parentJobId);
    if (ended && parent?.wait?.wait === 'jobs' && parent.leaseOwner === undefined)
      this.#put({ ...parent, dueAt: change.endedAt ?? row.createdAt });
  }
  #hasComeAbout({ jobIds, any }: { jobIds: readonly string[]; any?: boolean | undefined }): boolean {
    const ended = (jobId: string) => hasEnded(this.#rows.get(jobId)?.state ?? 'Failed');
    return any === true ? jobIds.some(ended) : jobIds.every(ended);
  }
  #holds(lease: Lease): JobRow | undefined {
    const row = this.#rows.get(lease.jobId);
    return row?.leaseToken === lease.token && row.leaseOwner !== undefined ? row : undefined;
  }
  #due(workflows: readonly string[]): JobRow[] {
    return [...this.#rows.values()]
      .filter((row) => row.dueAt !== undefined && workflows.includes(row.workflow))
      .sort((a, b) => (a.dueAt! < b.dueAt! ? -1 : 1));
  }
  #sorted(): JobRow[] {
    return [...this.#rows.values()].sort((a, b) =>
      a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.jobId < b.jobId) ? -1 : 1,
    );
  }
  #put(row: JobRow): void {
    this.#rows.set(row.jobId, row);
  }
}
