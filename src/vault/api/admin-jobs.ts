/**
 * What the admin socket does by way of jobs: it starts one, follows it, and answers what it came to. The work itself is in
 * `workflows/`, for this door as for the API's.
 */
import type { ProtectedItemId } from '../../model/ids.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { FailoverView, TestFailoverRequest } from '../../protocol/control/vault-admin.ts';
import type { FailoverProvider } from '../failover/provider.ts';
import type { Job, Jobs } from '../jobs/jobs.ts';
import type { Json } from '../jobs/workflow.ts';
import type { ReplicaStore } from '../replica/replica-store.ts';
import type { TestFailoverRecords } from '../store/test-failovers.ts';
import type { ProtectedItem } from '../store/vault-store.ts';
import { errors as workflowErrors } from '../workflows/errors.ts';

export type Report = (text: string, fraction?: number) => void;

export interface AdminJobsParts {
  readonly jobs: Jobs;
  readonly records: TestFailoverRecords;
  readonly provider: FailoverProvider | undefined;
  readonly replica: Pick<ReplicaStore, 'giveBack'>;
  readonly log: Log;
  /** Ends the waiting, not the job. */
  readonly signal: AbortSignal;
}

/** A page; older rehearsals are in the store. */
const recordsListed = 200;
/** Jobs of the admin socket belong to no vault resource. */
const vaultId = '/admin-socket';

export class AdminJobs {
  readonly #parts: AdminJobsParts;

  constructor(parts: AdminJobsParts) {
    this.#parts = parts;
  }

  async testFailover(
    item: ProtectedItem,
    { point, ...request }: TestFailoverRequest,
    report: Report,
  ): Promise<FailoverView> {
    const { check, timeoutSeconds, ...machine } = request;
    const input = { itemId: item.itemId, point, check, timeoutSeconds, machine };
    const job = await this.run('test-failover', item, input, report);
    return (await this.#parts.records.byId(job.jobId))!;
  }

  list(): Promise<FailoverView[]> {
    return this.#parts.records.list(recordsListed);
  }

  async cleanup(failoverId: string, comments: string, report: Report): Promise<void> {
    const record = await this.#parts.records.byId(failoverId);
    if (record === undefined) throw workflowErrors.TestFailoverUnknown(failoverId);
    if (record.state === 'cleaned') return;
    const item = { itemId: record.itemId, name: record.itemName };
    await this.run('test-failover-cleanup', item, { itemId: record.itemId, failoverId, comments }, report);
  }

  /** Throws what the job failed with. */
  async run(
    workflow: string,
    item: { readonly itemId: ProtectedItemId; readonly name: string },
    input: unknown,
    report: Report,
  ): Promise<Job> {
    const { jobs, signal } = this.#parts;
    const jobId = await jobs.start({
      workflow,
      // Undefined fields are no JSON: they go here.
      input: JSON.parse(JSON.stringify(input)) as Json,
      target: { id: `/items/${item.itemId}`, name: item.name, type: 'ProtectionEntity' },
      vaultId,
      requestedBy: 'admin-socket',
    });
    const job = await jobs.follow(jobId, signal, ({ text, fraction }) => report(text, fraction));
    if (job.state === 'Succeeded') return job;
    const [first] = job.errors;
    const { code, summary, possibleCauses, recommendedAction } = first ?? {
      code: 'JobNotDone',
      summary: `the job ${jobId} is ${job.state}`,
      possibleCauses: job.instructions ?? 'Somebody cancelled it.',
      recommendedAction: 'Look at the job.',
    };
    throw new LeewardError({ code, summary, possibleCauses, recommendedAction, context: { jobId } });
  }

  /** What a step of a job gave. */
  async outputOf<T>(jobId: string, step: string): Promise<T> {
    const tasks = await this.#parts.jobs.tasks(jobId);
    return tasks.find(({ name }) => name === step)?.output as T;
  }

  /**
   * At start-up: rehearsals that no job knows of, because an older version of the vault was stopped in the midst of them,
   * are undone or cleaned up. Those that have a job go on by themselves.
   */
  async recover(): Promise<void> {
    const { records, jobs, provider, replica, log } = this.#parts;
    for (const record of await records.unfinished()) {
      if ((await jobs.get(record.failoverId)) !== undefined) continue;
      if (provider === undefined) continue;
      log.info('test-failover-recovered', { itemId: record.itemId, failoverId: record.failoverId });
      await provider.remove(record.machineName);
      await replica.giveBack(record.itemId, record.failoverId);
      const { message } = workflowErrors.TestFailoverInterrupted(record.machineName);
      await records.save(
        record.state === 'cleaning'
          ? { ...record, state: 'cleaned' }
          : { ...record, state: 'failed', failure: message },
      );
    }
  }
}
