/** What can go wrong with jobs as such, with cause and action; and how an error becomes a row. */
import type { Clock } from '../../platform/clock.ts';
import { catalogue, causesOf, LeewardError } from '../../platform/errors.ts';
import type { JobError } from './jobs.ts';

export const errors = catalogue({
  TargetIsBusy: (name: string, jobId: string, doing: string) => ({
    summary: `${name} is busy: ${doing} is under way (job ${jobId})`,
    possibleCauses: 'Another operation on the same resource was started and has not ended yet.',
    recommendedAction: 'Wait until that job has ended, or cancel it, and try again.',
    retry: 'transient' as const,
    context: { jobId },
  }),
  WorkflowUnknown: (workflow: string) => ({
    summary: `this vault knows no workflow ${workflow}`,
    possibleCauses: 'The part of the vault that does this is not set up (a failover provider, for example).',
    recommendedAction: 'Set it up in the vault’s settings, or look which version of the vault this is.',
    context: { workflow },
  }),
  JobInputInvalid: (workflow: string, why: string) => ({
    summary: `what was given to ${workflow} is not valid: ${why}`,
    possibleCauses: 'A field is missing or has a value that it cannot have.',
    recommendedAction: 'Correct it and try again.',
    context: { workflow },
  }),
  JobUnknown: (jobId: string) => ({
    summary: `there is no job ${jobId}`,
    possibleCauses: 'The id is misspelt, or the job is so old that it was removed.',
    recommendedAction: 'List the jobs of the vault.',
    context: { jobId },
  }),
  JobNotCancelable: (jobId: string, why: string) => ({
    summary: `the job ${jobId} cannot be cancelled: ${why}`,
    possibleCauses: 'It has ended, or it is of a kind that is not stopped half-way.',
    recommendedAction: 'Wait until it has ended.',
    context: { jobId },
  }),
  JobNotSuspended: (jobId: string, state: string) => ({
    summary: `the job ${jobId} cannot be resumed: it is ${state}, not Suspended`,
    possibleCauses: 'Somebody resumed it already, or it never stood still.',
    recommendedAction: 'Look at the job’s tasks.',
    context: { jobId },
  }),
  JobNotRestartable: (jobId: string, state: string) => ({
    summary: `the job ${jobId} cannot be restarted: it is ${state}`,
    possibleCauses: 'Only a job that failed or was cancelled, and that no other job started, is begun anew.',
    recommendedAction: 'Wait until it has ended, or restart the job that started it.',
    context: { jobId },
  }),
  JobLeaseLost: (jobId: string) => ({
    summary: `another vault process has taken the job ${jobId} over`,
    possibleCauses:
      'This process stood still, or could not reach the database, for longer than a lease lasts.',
    recommendedAction: 'Nothing: the other process goes on with it.',
    retry: 'transient' as const,
    context: { jobId },
  }),
  JobCancelled: (jobId: string) => ({
    summary: `the job ${jobId} was cancelled`,
    possibleCauses: 'Somebody cancelled it, or the job that had started it.',
    recommendedAction: 'Nothing: what it did is being undone.',
    context: { jobId },
  }),
  EngineStopping: () => ({
    summary: 'the vault is stopping',
    possibleCauses: 'Its service is being restarted.',
    recommendedAction: 'Nothing: the job goes on when a vault process is there again.',
    retry: 'transient' as const,
  }),
  StepFailed: (step: string, cause: unknown) => ({
    summary: `the vault made a mistake in ${step}: ${cause instanceof Error ? cause.message : String(cause)}`,
    possibleCauses: 'A defect of the vault, or the machine under it.',
    recommendedAction: 'Look at the vault’s log for `job-step-failed` and report it.',
    context: { step },
    cause,
  }),
});

/** Longest text that a job's error keeps of a field. */
const textMax = 2000;

export function jobError(error: unknown, step: string, clock: Clock): JobError {
  const known = error instanceof LeewardError ? error : errors.StepFailed(step, error);
  const context: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(known.context)) if (value !== undefined) context[key] = value;
  // A client sees nothing but this: what the hypervisor or the database said must be in it.
  const because = error instanceof LeewardError ? causesOf(error) : [];
  const summary = [known.summary, ...because].join(': ');
  return {
    code: known.code.slice(0, 80),
    severity: known.severity,
    summary: summary.slice(0, textMax),
    possibleCauses: known.possibleCauses.slice(0, textMax),
    recommendedAction: known.recommendedAction.slice(0, textMax),
    raisedAt: new Date(clock.now()).toISOString(),
    context,
    step: step.slice(0, 200),
  };
}
