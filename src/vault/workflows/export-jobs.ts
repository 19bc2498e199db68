/**
 * Export of jobs: a list of them as JSON, kept as the output of the job that made it. The reference puts it into a storage
 * account and gives a link; here the job itself carries it, so that it needs no other place and no other right to be read.
 *
 *     collect (newest first, up to the limit) ──▶ Succeeded, with the text as its output
 */
import { z } from 'zod';
import { jobFilter } from '../api/job-query.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { Json, Workflow } from '../jobs/workflow.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const ExportInput = z.strictObject({
  vaultId: z.string().max(1500),
  query: z.record(z.string(), z.string().max(2000)),
});
type ExportInput = z.infer<typeof ExportInput>;

/** 500 jobs of some 400 bytes are 200 KB: what a row of the log may well hold. */
const jobsMax = 500;

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** `jobs`: asked when it runs, because the engine that has them also runs this. */
export function exportJobs(jobs: () => Pick<Jobs, 'list'>): Workflow<ExportInput> {
  return {
    name: 'export-jobs',
    scenarioName: 'ExportJobs',
    friendlyName: 'Export jobs',
    input: ExportInput,
    steps: () => [
      {
        name: 'Collect',
        title: 'Collecting the jobs',
        where: 'database',
        do: ({ input, jobId }) => collect(jobs(), input, jobId),
      },
    ],
    cancelable: true,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

async function collect(
  jobs: Pick<Jobs, 'list'>,
  { vaultId, query }: ExportInput,
  own: string,
): Promise<Json> {
  const { filter, rest } = jobFilter(vaultId, query);
  const found: Json[] = [];
  for (let after: string | undefined; ; ) {
    const page = await jobs.list(filter, { limit: 200, after });
    for (const job of page.jobs) {
      if (found.length === jobsMax) return { count: found.length, isWhole: false, text: text(found) };
      if (job.jobId === own || !rest(job)) continue;
      found.push({
        jobId: job.jobId,
        scenarioName: job.scenarioName,
        friendlyName: job.friendlyName,
        state: job.state,
        targetName: job.target.name,
        targetType: job.target.type,
        startTime: job.startedAt ?? null,
        endTime: job.endedAt ?? null,
        error: job.errors[0]?.summary ?? null,
      });
    }
    after = page.next;
    if (after === undefined) return { count: found.length, isWhole: true, text: text(found) };
  }
}

const text = (found: readonly Json[]): string => JSON.stringify(found, null, 1);
