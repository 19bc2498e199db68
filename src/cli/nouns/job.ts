/**
 * `leeward job`: what the vault is doing and has done. A job that waits for somebody (a manual action of a recovery plan,
 * or a step that failed where only a person can decide) is resumed or cancelled here.
 */
import type { Command } from 'commander';
import { type Clock, pause } from '../../platform/clock.ts';
import { isTransient, LeewardError } from '../../platform/errors.ts';
import type { Api } from '../api.ts';
import { currentTask, isEnded, JobView, jobTree, outcomeOf } from '../job-view.ts';
import { endProgress, type OutputForm, print, showProgress } from '../output.ts';
import {
  at,
  choose,
  column,
  type NounContext,
  nameColumn,
  noun,
  printList,
  printOne,
  whole,
} from './noun.ts';

const pollMilliseconds = 500;
/** A vault that is being restarted is back by then, and its jobs go on. */
const vaultAwayMilliseconds = 120_000;
/** Exit codes of a job that was waited for; 1 is an error of the command itself, 130 that somebody stopped waiting. */
const exitCodes: Readonly<Record<string, number>> = {
  Succeeded: 0,
  Failed: 3,
  Cancelled: 4,
  Suspended: 5,
  CompletedWithInformation: 6,
};

export interface FollowOptions {
  readonly api: Api;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly output: OutputForm;
}

export async function readJob(api: Api, jobId: string): Promise<JobView> {
  return JobView.parse((await api.call('replicationJobs.get', { jobName: jobId })).body);
}

/**
 * Shows the task that runs until the job has ended or waits for somebody, then the whole tree. Interrupting only ends the
 * watching; the job goes on. So it does when the vault is away for a moment.
 */
export async function followJob(jobId: string, options: FollowOptions): Promise<JobView> {
  const { api, clock, signal, output } = options;
  let job = await readJob(api, jobId);
  let heardAt = clock.monotonic();
  let isAway = false;
  while (!isEnded(job) && job.properties.state !== 'Suspended' && !signal.aborted) {
    showProgress(
      isAway
        ? 'the vault does not answer; trying again'
        : (currentTask(job) ?? `${job.properties.friendlyName ?? job.properties.scenarioName}`),
      undefined,
    );
    await pause(clock, pollMilliseconds, signal);
    if (signal.aborted) break;
    try {
      job = await readJob(api, jobId);
      heardAt = clock.monotonic();
      isAway = false;
    } catch (error) {
      // Interrupted while it asked: what it knew last is shown.
      if (signal.aborted) break;
      if (!isTransient(error) || clock.monotonic() - heardAt > vaultAwayMilliseconds) {
        endProgress();
        throw error;
      }
      isAway = true;
    }
  }
  endProgress();
  const { state } = job.properties;
  print(
    output,
    job,
    () => jobTree(job, clock.now()),
    state === 'Suspended'
      ? `leeward job resume ${jobId} --comments '…', or: leeward job cancel ${jobId}`
      : isEnded(job)
        ? nextAfter(job)
        : `leeward job watch ${jobId}`,
  );
  process.exitCode = exitCodes[outcomeOf(job)] ?? 130;
  return job;
}

/** What a machine that runs at the recovery site now is for. */
function nextAfter({ properties }: JobView): string | undefined {
  const { scenarioName, state, targetObjectName: name, targetInstanceType } = properties;
  if (state !== 'Succeeded' || targetInstanceType !== 'ProtectionEntity') return undefined;
  if (scenarioName === 'TestFailover') return `leeward protected-item rehearsals ${name}`;
  return scenarioName === 'PlannedFailover' || scenarioName === 'UnplannedFailover'
    ? `leeward protected-item commit ${name} --wait, or: leeward protected-item cancel-failover ${name} --wait`
    : undefined;
}

export function addJob(program: Command, context: NounContext): void {
  const command = noun(program, 'job', 'what the vault does and has done');
  command
    .command('list')
    .description('newest first')
    .option('--filter <text>', "the API's $filter, e.g. jobStatus eq 'Failed'")
    .option('--limit <count>', 'how many', whole(1), 50)
    .action(async (options: { filter?: string; limit: number }) => {
      const api = await context.api();
      const rows = await api.all('replicationJobs.list', {}, { $filter: options.filter }, options.limit);
      printList(
        context,
        rows,
        [
          { ...nameColumn, heading: 'ID' },
          column('WHAT', 'scenarioName'),
          column('TARGET', 'targetObjectName'),
          column('STATE', 'state'),
          column('STARTED', 'startTime'),
          column('ENDED', 'endTime'),
        ],
        'no job yet',
        rows.length === 0 ? undefined : `leeward job show ${rows[0]!.name}`,
      );
    });
  command
    .command('show')
    .description('one job as a tree of tasks')
    .argument('<job>', 'its id')
    .action(async (jobId: string) => {
      const job = await readJob(await context.api(), jobId);
      print(context.output(), job, () => jobTree(job, context.clock.now()));
    });
  command
    .command('watch')
    .description(
      'until it has ended; the exit code says how: 0 succeeded, 3 failed, 4 cancelled, 5 waits for you, 6 done, with something to know',
    )
    .argument('<job>', 'its id')
    .action(async (jobId: string) => {
      await context.follow(jobId, { wait: true });
    });
  for (const [verb, description] of [
    ['cancel', 'stop it and undo what it did'],
    ['restart', 'run a failed one again'],
    ['resume', 'go on with one that waits for somebody'],
  ] as const)
    command
      .command(verb)
      .description(description)
      .argument('<job>', 'its id')
      .option('--comments <text>', 'kept with the job')
      .option('--wait', 'until it has ended')
      .action(async (jobId: string, options: { comments?: string; wait?: boolean }) => {
        const api = await context.api();
        if (verb !== 'resume' && options.comments !== undefined)
          throw new LeewardError({
            code: 'InvalidInput',
            summary: `${verb} takes no comments`,
            possibleCauses: 'Only resuming a job keeps comments.',
            recommendedAction: 'Leave --comments out.',
          });
        const answer = await api.call(
          `replicationJobs.${verb}`,
          { jobName: jobId },
          verb === 'resume' ? { body: { properties: { comments: options.comments ?? '' } } } : {},
        );
        await context.follow(answer.jobId ?? jobId, { wait: options.wait === true });
      });

  const event = noun(program, 'event', 'what happened');
  event
    .command('list')
    .description('newest first')
    .option('--filter <text>', "the API's $filter, e.g. severity eq 'Critical'")
    .option('--item <item>', 'of this protected item: name or id')
    .option('--limit <count>', 'how many', whole(1), 20)
    .action(async (options: { filter?: string; item?: string; limit: number }) => {
      const api = await context.api();
      const terms = options.filter === undefined ? [] : [options.filter];
      if (options.item !== undefined) {
        const item = choose(await api.all('replicationProtectedItems.list'), options.item, 'protected item');
        // Events of the data plane have its id, those of conditions and jobs the resource's.
        const ids = [at(item, 'eventCorrelationId'), item.id];
        terms.push(`affectedObjectCorrelationId eq '${ids.join(',')}'`);
      }
      const $filter = terms.length === 0 ? undefined : terms.join(' and ');
      const rows = await api.all('replicationEvents.list', {}, { $filter }, options.limit);
      printList(
        context,
        rows,
        [
          column('TIME', 'timeOfOccurrence'),
          column('SEVERITY', 'severity'),
          column('ABOUT', 'affectedObjectFriendlyName'),
          column('CODE', 'eventCode'),
          column('WHAT', 'description'),
          { ...nameColumn, heading: 'ID' },
        ],
        'nothing has happened',
        rows.length === 0 ? undefined : `leeward event show '${rows[0]!.name}'`,
      );
    });
  event
    .command('show')
    .description('one event, with its possible causes and what to do')
    .argument('<event>', 'its id')
    .action(async (name: string) =>
      printOne(
        context,
        (await (await context.api()).call('replicationEvents.get', { eventName: name })).body,
      ),
    );
}
