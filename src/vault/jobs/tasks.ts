/** A job's log as the list of tasks that people read: every step of the workflow, begun or not. */
import type { JobRow, LogEntry } from './job-store.ts';
import { hasEnded, type JobTask } from './jobs.ts';
import type { Json, Step } from './workflow.ts';

type Shown = Pick<Step<never>, 'name' | 'title' | 'task'>;

/** Part of a task's details may be known only when it is done: what a script wrote, what a person remarked. */
function said(output: Json | undefined): { readonly [key: string]: Json } {
  const details =
    typeof output === 'object' && output !== null && 'details' in output ? output.details : undefined;
  return typeof details === 'object' && details !== null ? (details as { readonly [key: string]: Json }) : {};
}

export function tasksOf(
  row: Pick<JobRow, 'state'>,
  steps: readonly Shown[],
  log: readonly LogEntry[],
): Omit<JobTask, 'children'>[] {
  const known = new Set(steps.map(({ name }) => name));
  const shown: Shown[] = [...steps];
  // Of a workflow that this version does not know.
  for (const entry of log)
    if (entry.entry === 'Started' && !known.has(entry.step)) {
      known.add(entry.step);
      shown.push({ name: entry.step, title: entry.step });
    }
  return shown.map(({ name, title, task }) => {
    const of = log.filter((entry) => 'step' in entry && entry.step === name);
    const started = of.find((entry) => entry.entry === 'Started');
    const last = of.findLast((entry) => ['Started', 'Succeeded', 'Failed'].includes(entry.entry));
    const failed = of.findLast((entry) => entry.entry === 'Failed' || entry.entry === 'UndoFailed');
    const undone = of.some((entry) => entry.entry === 'UndoFinished');
    const resumedAfter = last?.entry === 'Failed' && of.at(-1)?.entry === 'Resumed';
    const state =
      last === undefined
        ? 'NotStarted'
        : last.entry === 'Succeeded'
          ? 'Succeeded'
          : last.entry === 'Failed'
            ? row.state === 'Suspended' && !resumedAfter
              ? 'Suspended'
              : 'Failed'
            : row.state === 'Suspended'
              ? 'Suspended'
              : hasEnded(row.state)
                ? 'Cancelled'
                : 'InProgress';
    const stateDescription = undone
      ? 'Undone'
      : state === 'Succeeded'
        ? 'Completed'
        : state === 'NotStarted' && hasEnded(row.state)
          ? 'Skipped'
          : state;
    return {
      name,
      title,
      type: task?.type,
      details: task && { ...task.details, ...said(last?.entry === 'Succeeded' ? last.output : undefined) },
      state,
      stateDescription,
      startedAt: started?.at,
      endedAt: last !== undefined && last.entry !== 'Started' ? last.at : undefined,
      output: last?.entry === 'Succeeded' ? last.output : undefined,
      error: failed !== undefined && 'error' in failed ? failed.error : undefined,
    };
  });
}
