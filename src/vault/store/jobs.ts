/** Jobs and their logs in MariaDB. Who may write what is decided by the row's lock and its lease token. */
import { hasCode } from '../../platform/errors.ts';
import type { Database, Row, Session, SqlValue } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import type { SuspendedJobFacts } from '../health/conditions.ts';
import { errors } from '../jobs/errors.ts';
import {
  type JobChange,
  JobRow,
  type JobStore,
  type JobWrite,
  type Lease,
  LogEntry,
  type NewJob,
  parsePageKey,
} from '../jobs/job-store.ts';
import { endedStates, hasEnded, type JobFilter, type JobProgress } from '../jobs/jobs.ts';
import { childrenMax } from '../jobs/limits.ts';
import { iso, json } from './rows.ts';

export class MariaJobStore implements JobStore {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#database.transaction(work);
  }

  async insert(job: NewJob, session?: Session, under?: Lease): Promise<boolean> {
    if (!session) return this.#database.transaction((own) => this.insert(job, own, under));
    if (under && !(await locked(session, under))) throw errors.JobLeaseLost(under.jobId);
    if ((await session.rows('SELECT 1 FROM jobs WHERE job_id = ?', [job.jobId])).length > 0) return false;
    try {
      await session.change(
        `INSERT INTO jobs (job_id, vault_id, workflow, scenario_name, friendly_name, state, state_description,
           target_key, target_type, target, input, errors, requested_by, client_request_id, exclusive_key, parent_job_id,
           parent_step, restart_of, due_at, created_at)
         VALUES (?, ?, ?, ?, ?, 'NotStarted', 'NotStarted', ?, ?, ?, ?, '[]', ?, ?, ?, ?, ?, ?, ?, ?)`,
        [
          job.jobId,
          job.vaultId.toLowerCase(),
          job.workflow,
          job.scenarioName,
          job.friendlyName,
          job.target.id.toLowerCase(),
          job.target.type,
          // The vault's id in the case it was given lies with the target: the column is for finding.
          JSON.stringify({ ...job.target, vaultId: job.vaultId }),
          wrapped(job.input),
          job.requestedBy,
          job.clientRequestId ?? null,
          job.exclusiveKey ?? null,
          job.parentJobId ?? null,
          job.parentStep ?? null,
          job.restartOf ?? null,
          new Date(job.createdAt),
          new Date(job.createdAt),
        ],
      );
    } catch (error) {
      if (!hasCode(error, 'ER_DUP_ENTRY')) throw error;
      const [holder] = await session.rows('SELECT * FROM jobs WHERE exclusive_key = ? LOCK IN SHARE MODE', [
        job.exclusiveKey ?? '',
      ]);
      if (holder === undefined) return false;
      const row = read(holder);
      throw errors.TargetIsBusy(row.target.name, row.jobId, row.friendlyName);
    }
    return true;
  }

  async byId(jobId: string): Promise<JobRow | undefined> {
    const [row] = await this.#database.rows('SELECT * FROM jobs WHERE job_id = ?', [jobId]);
    return row && read(row);
  }
  log(jobId: string): Promise<LogEntry[]> {
    return logOf(this.#database, jobId);
  }
  async children(jobId: string): Promise<JobRow[]> {
    const rows = await this.#database.rows(
      'SELECT * FROM jobs WHERE parent_job_id = ? ORDER BY created_at, job_id LIMIT ?',
      [jobId, childrenMax],
    );
    return rows.map(read);
  }
  async holder(exclusiveKey: string): Promise<JobRow | undefined> {
    const [row] = await this.#database.rows('SELECT * FROM jobs WHERE exclusive_key = ?', [exclusiveKey]);
    return row && read(row);
  }

  async list(filter: JobFilter, page: { limit: number; after?: string | undefined }): Promise<JobRow[]> {
    const where: string[] = [];
    const values: SqlValue[] = [];
    const add = (condition: string, ...more: SqlValue[]) => {
      where.push(condition);
      values.push(...more);
    };
    const among = (column: string, names: readonly string[]) =>
      names.length === 0 ? add('FALSE') : add(`${column} IN (${names.map(() => '?').join(', ')})`, ...names);
    if (filter.vaultId !== undefined) add('vault_id = ?', filter.vaultId.toLowerCase());
    if (filter.states !== undefined) among('state', filter.states);
    if (filter.targetId !== undefined) add('target_key = ?', filter.targetId.toLowerCase());
    if (filter.targetTypes !== undefined) among('target_type', filter.targetTypes);
    if (filter.scenarioName !== undefined) add('scenario_name = ?', filter.scenarioName);
    // As it is shown: when it started, or was made when it did not start yet. No job starts before it is made.
    if (filter.from !== undefined) add('COALESCE(started_at, created_at) >= ?', new Date(filter.from));
    if (filter.to !== undefined) {
      add('COALESCE(started_at, created_at) <= ?', new Date(filter.to));
      add('created_at <= ?', new Date(filter.to));
    }
    if (filter.topLevelOnly === true) add('parent_job_id IS NULL');
    const after = page.after === undefined ? undefined : parsePageKey(page.after);
    if (after !== undefined) {
      const createdAt = new Date(after.createdAt);
      add('(created_at < ? OR (created_at = ? AND job_id < ?))', createdAt, createdAt, after.jobId);
    }
    const rows = await this.#database.rows(
      `SELECT * FROM jobs ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
       ORDER BY created_at DESC, job_id DESC LIMIT ?`,
      [...values, page.limit],
    );
    return rows.map(read);
  }

  lease(request: {
    owner: string;
    workflows: readonly string[];
    nowIso: string;
    untilIso: string;
    limit: number;
  }): Promise<Lease[]> {
    if (request.workflows.length === 0) return Promise.resolve([]);
    return this.#database.transaction(async (session) => {
      const rows = await session.rows(
        `SELECT job_id, lease_token FROM jobs WHERE due_at <= ? AND workflow IN (${marks(request.workflows)})
         ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED`,
        [new Date(request.nowIso), ...request.workflows, request.limit],
      );
      const leases: Lease[] = [];
      for (const row of rows) {
        const lease = { jobId: String(row.job_id), token: Number(row.lease_token) + 1 };
        await session.change(
          'UPDATE jobs SET lease_owner = ?, lease_token = ?, due_at = ? WHERE job_id = ?',
          [request.owner, lease.token, new Date(request.untilIso), lease.jobId],
        );
        leases.push(lease);
      }
      return leases;
    });
  }

  async nextDue(workflows: readonly string[]): Promise<string | undefined> {
    if (workflows.length === 0) return undefined;
    const [row] = await this.#database.rows(
      `SELECT due_at FROM jobs WHERE due_at IS NOT NULL AND workflow IN (${marks(workflows)}) ORDER BY due_at LIMIT 1`,
      workflows,
    );
    return row && iso(row.due_at);
  }

  renew(lease: Lease, untilIso: string, progress?: JobProgress) {
    return this.#database.transaction(async (session) => {
      const row = await locked(session, lease);
      if (!row) return undefined;
      await session.change('UPDATE jobs SET due_at = ?, progress = COALESCE(?, progress) WHERE job_id = ?', [
        new Date(untilIso),
        progress === undefined ? null : JSON.stringify(progress),
        lease.jobId,
      ]);
      return { cancelRequested: Number(row.cancel_requested) === 1 };
    });
  }

  write(lease: Lease, write: JobWrite): Promise<boolean> {
    return this.#database.transaction(async (session) => {
      const row = await locked(session, lease);
      if (!row) return false;
      await apply(session, row, write, true);
      return true;
    });
  }

  async steer(jobId: string, decide: (row: JobRow, log: readonly LogEntry[]) => JobWrite): Promise<void> {
    await this.#database.transaction(async (session) => {
      const [row] = await session.rows('SELECT * FROM jobs WHERE job_id = ? FOR UPDATE', [jobId]);
      if (!row) throw errors.JobUnknown(jobId);
      const write = decide(read(row), await logOf(session, jobId));
      // A leased job stays leased: its process hears of it.
      await apply(session, row, write, row.lease_owner === null);
    });
  }

  orderAnswered(orderId: string, nowIso: string): Promise<number> {
    return this.#database.change(
      'UPDATE jobs SET due_at = ? WHERE wait_order = ? AND lease_owner IS NULL AND ended_at IS NULL',
      [new Date(nowIso), orderId],
    );
  }

  removeEnded(beforeIso: string, limit: number): Promise<number> {
    return this.#database.transaction(async (session) => {
      const rows = await session.rows(
        `SELECT job_id FROM jobs WHERE ended_at < ? AND NOT EXISTS (
           SELECT 1 FROM jobs AS parents WHERE parents.job_id = jobs.parent_job_id AND parents.ended_at IS NULL
         ) ORDER BY ended_at LIMIT ? FOR UPDATE SKIP LOCKED`,
        [new Date(beforeIso), limit],
      );
      const ids = rows.map((row) => String(row.job_id));
      if (ids.length === 0) return 0;
      await session.change(`DELETE FROM job_log WHERE job_id IN (${marks(ids)})`, ids);
      return session.change(`DELETE FROM jobs WHERE job_id IN (${marks(ids)})`, ids);
    });
  }
}

const marks = (values: readonly unknown[]) => values.map(() => '?').join(', ');

/** The row under its lock, if the lease is still held. */
async function locked(session: Session, lease: Lease): Promise<Row | undefined> {
  const [row] = await session.rows(
    'SELECT * FROM jobs WHERE job_id = ? AND lease_token = ? AND lease_owner IS NOT NULL FOR UPDATE',
    [lease.jobId, lease.token],
  );
  return row;
}

async function logOf(session: Session, jobId: string): Promise<LogEntry[]> {
  const rows = await session.rows('SELECT entry FROM job_log WHERE job_id = ? ORDER BY sequence', [jobId]);
  return rows.map((row) => parse(LogEntry, json(row.entry), 'job_log'));
}

async function apply(
  session: Session,
  row: Row,
  { entries = [], change }: JobWrite,
  mayRelease: boolean,
): Promise<void> {
  const jobId = String(row.job_id);
  if (entries.length > 0) {
    // The row is locked, so nobody else counts on.
    const [last] = await session.rows('SELECT MAX(sequence) AS last FROM job_log WHERE job_id = ?', [jobId]);
    let sequence = Number(last?.last ?? 0);
    for (const entry of entries)
      await session.change('INSERT INTO job_log (job_id, sequence, entry) VALUES (?, ?, ?)', [
        jobId,
        ++sequence,
        JSON.stringify(entry),
      ]);
  }
  if (!change) return;
  const ended = change.state !== undefined && hasEnded(change.state);
  const columns: [string, SqlValue][] = columnsOf(change);
  if (ended)
    columns.push(
      ['exclusive_key', null],
      ['lease_owner', null],
      ['due_at', null],
      ['wait', null],
      ['wait_order', null],
    );
  else if ('dueAt' in change && mayRelease) {
    let due = change.dueAt === undefined ? null : new Date(change.dueAt);
    // Under this job's lock: a child that ends from now on finds the wait and wakes it.
    if (change.wait?.wait === 'jobs' && (await hasComeAbout(session, change.wait)))
      due = new Date(iso(row.created_at));
    columns.push(['lease_owner', null], ['due_at', due]);
  }
  if (columns.length > 0)
    await session.change(
      `UPDATE jobs SET ${columns.map(([name]) => `${name} = ?`).join(', ')} WHERE job_id = ?`,
      [...columns.map(([, value]) => value), jobId],
    );
  if (ended && row.parent_job_id !== null)
    await session.change(
      `UPDATE jobs SET due_at = ? WHERE job_id = ? AND lease_owner IS NULL AND ended_at IS NULL
         AND JSON_VALUE(wait, '$.wait') = 'jobs'`,
      [new Date(change.endedAt ?? iso(row.created_at)), String(row.parent_job_id)],
    );
}

function columnsOf(change: JobChange): [string, SqlValue][] {
  const columns: [string, SqlValue][] = [];
  const text = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
  if (change.state !== undefined) columns.push(['state', change.state]);
  if (change.stateDescription !== undefined)
    columns.push(['state_description', change.stateDescription.slice(0, 100)]);
  if ('output' in change)
    columns.push(['output', change.output === undefined ? null : wrapped(change.output)]);
  if (change.errors !== undefined) columns.push(['errors', JSON.stringify(change.errors)]);
  if ('progress' in change) columns.push(['progress', text(change.progress)]);
  if ('wait' in change) {
    columns.push(['wait', text(change.wait)]);
    columns.push(['wait_order', change.wait?.wait === 'order' ? change.wait.orderId : null]);
  }
  if ('instructions' in change) columns.push(['instructions', change.instructions ?? null]);
  if (change.cancelRequested !== undefined) columns.push(['cancel_requested', change.cancelRequested]);
  if (change.startedAt !== undefined) columns.push(['started_at', new Date(change.startedAt)]);
  if (change.endedAt !== undefined) columns.push(['ended_at', new Date(change.endedAt)]);
  return columns;
}

async function hasComeAbout(
  session: Session,
  { jobIds, any }: { readonly jobIds: readonly string[]; readonly any?: boolean | undefined },
): Promise<boolean> {
  if (jobIds.length === 0) return true;
  const [row] = await session.rows(
    `SELECT COUNT(*) AS unfinished FROM jobs WHERE job_id IN (${marks(jobIds)}) AND state NOT IN (${marks(endedStates)})`,
    [...jobIds, ...endedStates],
  );
  const unfinished = Number(row!.unfinished);
  return any === true ? unfinished < jobIds.length : unfinished === 0;
}

/** In an object, because a driver that answers JSON as a value leaves no way to tell the text "1" from the number. */
const wrapped = (value: unknown): string => JSON.stringify({ value });
const unwrapped = (column: unknown): unknown => (json(column) as { value: unknown }).value;

function read(row: Row): JobRow {
  const { vaultId, ...target } = json(row.target) as { vaultId: string };
  const optional: [string, unknown][] = [
    ['output', row.output === null ? undefined : unwrapped(row.output)],
    ['progress', row.progress === null ? undefined : json(row.progress)],
    ['wait', row.wait === null ? undefined : json(row.wait)],
    ['instructions', row.instructions],
    ['clientRequestId', row.client_request_id],
    ['exclusiveKey', row.exclusive_key],
    ['parentJobId', row.parent_job_id],
    ['parentStep', row.parent_step],
    ['restartOf', row.restart_of],
    ['dueAt', row.due_at === null ? null : iso(row.due_at)],
    ['leaseOwner', row.lease_owner],
    ['startedAt', row.started_at === null ? null : iso(row.started_at)],
    ['endedAt', row.ended_at === null ? null : iso(row.ended_at)],
  ];
  return parse(
    JobRow,
    {
      jobId: row.job_id,
      vaultId,
      workflow: row.workflow,
      scenarioName: row.scenario_name,
      friendlyName: row.friendly_name,
      state: row.state,
      stateDescription: row.state_description,
      target,
      input: unwrapped(row.input),
      errors: json(row.errors),
      requestedBy: row.requested_by,
      cancelRequested: Number(row.cancel_requested) === 1,
      leaseToken: Number(row.lease_token),
      createdAt: iso(row.created_at),
      ...Object.fromEntries(optional.filter(([, value]) => value !== undefined && value !== null)),
    },
    `the job ${row.job_id}`,
  );
}

/** How many have not ended, by state. */
export async function countUnfinished(session: Session): Promise<ReadonlyMap<string, number>> {
  const rows = await session.rows(
    'SELECT state, COUNT(*) AS number FROM jobs WHERE ended_at IS NULL GROUP BY state',
  );
  return new Map(rows.map((row) => [String(row.state), Number(row.number)]));
}

/** Jobs of a vault that wait for somebody, the longest waiting first. */
export async function suspendedIn(
  session: Session,
  vaultId: string,
  limit: number,
): Promise<SuspendedJobFacts[]> {
  const rows = await session.rows(
    `SELECT job_id, friendly_name, target, instructions FROM jobs
     WHERE ended_at IS NULL AND state = 'Suspended' AND vault_id = ? ORDER BY created_at LIMIT ?`,
    [vaultId.toLowerCase(), limit],
  );
  return rows.map((row) => ({
    jobId: String(row.job_id),
    name: String(row.friendly_name),
    targetName: String((json(row.target) as { name?: unknown }).name ?? ''),
    instructions: String(row.instructions ?? ''),
  }));
}
