/**
 * A job as a tree of tasks, as it is shown while it runs and afterwards. Reads the reference's `Job` and `ASRTask`; child
 * jobs of a recovery plan's groups hang under their group.
 *
 *     TestFailover of guest: InProgress
 *       ✔ cloning the disks of the recovery point      0.2 s
 *       ▸ waiting until the machine answers            14 s
 *         keeping its screen as proof
 */
import { styleText } from 'node:util';
import { z } from 'zod';
import { duration } from './output.ts';

const Errors = z
  .array(
    z.looseObject({
      errorLevel: z.string().nullish(),
      serviceErrorDetails: z
        .looseObject({
          code: z.string().nullish(),
          message: z.string().nullish(),
          possibleCauses: z.string().nullish(),
          recommendedAction: z.string().nullish(),
        })
        .nullish(),
    }),
  )
  .nullish();

interface TaskView {
  name?: string | null | undefined;
  friendlyName?: string | null | undefined;
  state?: string | null | undefined;
  stateDescription?: string | null | undefined;
  startTime?: string | null | undefined;
  endTime?: string | null | undefined;
  groupTaskCustomDetails?: { childTasks?: TaskView[] | null | undefined } | null | undefined;
}

const Task: z.ZodType<TaskView> = z.looseObject({
  name: z.string().nullish(),
  friendlyName: z.string().nullish(),
  state: z.string().nullish(),
  stateDescription: z.string().nullish(),
  startTime: z.string().nullish(),
  endTime: z.string().nullish(),
  groupTaskCustomDetails: z
    .looseObject({
      get childTasks() {
        return z.array(Task).nullish();
      },
    })
    .nullish(),
});

export const JobView = z.looseObject({
  id: z.string().nullish(),
  name: z.string(),
  properties: z.looseObject({
    scenarioName: z.string().nullish(),
    friendlyName: z.string().nullish(),
    state: z.string(),
    stateDescription: z.string().nullish(),
    targetObjectName: z.string().nullish(),
    startTime: z.string().nullish(),
    endTime: z.string().nullish(),
    allowedActions: z.array(z.string()).nullish(),
    tasks: z.array(Task).nullish(),
    customDetails: z
      .looseObject({ affectedObjectDetails: z.record(z.string(), z.string()).nullish() })
      .nullish(),
    errors: Errors,
  }),
});
export type JobView = z.infer<typeof JobView>;

const ended = ['Succeeded', 'Failed', 'Cancelled'];
export const isEnded = (job: JobView): boolean => ended.includes(job.properties.state);

/** What a job ended with that was done but is not as one would take it to be, e.g. a failover whose source may still run. */
const withInformation = 'CompletedWithInformation';

/** Its state, or, when there is more to know than that it succeeded, what it says of itself. */
export const outcomeOf = ({ properties: { state, stateDescription } }: JobView): string =>
  state === 'Succeeded' && stateDescription === withInformation ? withInformation : state;

/** `now`: milliseconds, for what still runs. */
export function jobTree(job: JobView, now: number): string {
  const { properties } = job;
  const lines = [
    `${properties.friendlyName ?? properties.scenarioName} of ${properties.targetObjectName ?? '-'}: ${coloured(outcomeOf(job))}${took(properties, now)}`,
    ...(properties.tasks ?? []).flatMap((task) => taskLines(task, 1, now)),
  ];
  // What it found or measured; the first two say whom it is about.
  const facts = Object.entries(properties.customDetails?.affectedObjectDetails ?? {}).filter(
    ([name]) => !name.startsWith('Primary'),
  );
  const width = Math.max(0, ...facts.map(([name]) => name.length));
  for (const [name, value] of facts) lines.push(`  ${name.padEnd(width)}  ${value}`);
  for (const { errorLevel, serviceErrorDetails: error } of properties.errors ?? []) {
    if (!error) continue;
    // A job that succeeded has no errors, but may have something to tell.
    const word = errorLevel === 'Warning' && properties.state === 'Succeeded' ? 'warning' : 'error';
    lines.push(`  ${word}: ${error.message ?? ''} (${error.code ?? 'unknown'})`);
    if (error.possibleCauses) lines.push(`    possible causes: ${error.possibleCauses}`);
    if (error.recommendedAction) lines.push(`    what to do: ${error.recommendedAction}`);
  }
  return lines.join('\n');
}

/** The task that runs now, for one line of progress; undefined between tasks. */
export function currentTask(job: JobView): string | undefined {
  const find = (tasks: readonly TaskView[]): TaskView | undefined => {
    for (const task of tasks)
      if (task.state === 'InProgress' || task.state === 'Suspended')
        return find(task.groupTaskCustomDetails?.childTasks ?? []) ?? task;
    return undefined;
  };
  const task = find(job.properties.tasks ?? []);
  const title = task?.friendlyName ?? task?.name ?? undefined;
  // A state by itself says nothing that is not seen.
  return task?.stateDescription && task.stateDescription !== task.state
    ? `${title ?? ''}: ${task.stateDescription}`
    : title;
}

function taskLines(task: TaskView, depth: number, now: number): string[] {
  return [
    `${'  '.repeat(depth)}${mark(task.state)} ${task.friendlyName ?? task.name ?? ''}${took(task, now)}`,
    ...(task.groupTaskCustomDetails?.childTasks ?? []).flatMap((child) => taskLines(child, depth + 1, now)),
  ];
}

function mark(state: string | null | undefined): string {
  if (state === 'Succeeded') return styleText('green', '✔');
  if (state === 'Failed') return styleText('red', '✘');
  if (state === 'Cancelled' || state === 'Skipped') return '–';
  if (state === 'InProgress') return styleText('cyan', '▸');
  return state === 'Suspended' ? styleText('yellow', '❚') : ' ';
}

function coloured(state: string): string {
  if (state === 'Succeeded') return styleText('green', state);
  if (state === 'Failed') return styleText('red', state);
  return ['Suspended', withInformation].includes(state) ? styleText('yellow', state) : state;
}

function took(
  span: { startTime?: string | null | undefined; endTime?: string | null | undefined },
  now: number,
): string {
  if (!span.startTime) return '';
  const until = span.endTime ? Date.parse(span.endTime) : now;
  return `  ${duration(Math.max(0, until - Date.parse(span.startTime)) / 1000)}`;
}
