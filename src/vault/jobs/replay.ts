/**
 * What a job does next, from its log alone: a pure function, so that every vault process comes to the same answer.
 *
 *     begin step ─▶ Started ─▶ Succeeded ─▶ next step … ─▶ end: Succeeded
 *                      │  ▲
 *                      ▼  └── Resumed ── stand (onFailure: suspend)
 *                   Failed ──▶ undo begun steps in reverse ─▶ end: Failed      CancelRequested ─▶ the same ─▶ Cancelled
 */

import type { LogEntry } from './job-store.ts';
import type { JobError } from './jobs.ts';
import type { Json, Step } from './workflow.ts';

export type Next<S> =
  | {
      readonly next: 'do';
      readonly step: S;
      readonly begun: boolean;
      readonly resumeComments: string | undefined;
    }
  /** Until somebody resumes or cancels. */
  | { readonly next: 'stand'; readonly step: S; readonly error: JobError }
  | { readonly next: 'undo'; readonly step: S; readonly begun: boolean; readonly tries: number }
  | { readonly next: 'end'; readonly state: 'Succeeded' | 'Failed' | 'Cancelled' };

export interface Replay<S> {
  readonly next: Next<S>;
  readonly outputs: Readonly<Record<string, Json>>;
  /** Why it is being undone. */
  readonly unwinding: 'Failed' | 'Cancelled' | undefined;
  /** A step that cannot be taken back is done. */
  readonly isPast: boolean;
  /** When each step was begun first. */
  readonly startedAt: ReadonlyMap<string, string>;
}

type Replayable = Pick<Step<never>, 'name' | 'onFailure' | 'isPivot'> & { readonly undo?: unknown };

/** What the finished steps gave. */
export function outputsOf(log: readonly LogEntry[]): Readonly<Record<string, Json>> {
  const outputs: Record<string, Json> = {};
  for (const entry of log) if (entry.entry === 'Succeeded') outputs[entry.step] = entry.output ?? null;
  return outputs;
}

export function replay<S extends Replayable>(steps: readonly S[], log: readonly LogEntry[]): Replay<S> {
  const byName = new Map(steps.map((step) => [step.name, step]));
  const begun = new Map<string, string>();
  let isPast = false;
  const running = new Set<string>();
  const done = new Set<string>();
  const undone = new Set<string>();
  const undoing = new Set<string>();
  const tries = new Map<string, number>();
  const comments = new Map<string, string>();
  let standing: { step: S; error: JobError } | undefined;
  let unwinding: 'Failed' | 'Cancelled' | undefined;
  for (const entry of log) {
    switch (entry.entry) {
      case 'Started':
        if (!begun.has(entry.step)) begun.set(entry.step, entry.at);
        running.add(entry.step);
        break;
      case 'Succeeded':
        done.add(entry.step);
        if (byName.get(entry.step)?.isPivot) {
          isPast = true;
          // Who cancelled while it was being done came too late.
          unwinding = undefined;
        }
        running.delete(entry.step);
        break;
      case 'Failed': {
        running.delete(entry.step);
        const step = byName.get(entry.step);
        // Somebody who cancels does not want to be asked.
        const stands = isPast || (step?.onFailure === 'suspend' && unwinding === undefined);
        if (step && stands) standing = { step, error: entry.error };
        else unwinding ??= 'Failed';
        break;
      }
      case 'Resumed':
        standing = undefined;
        comments.set(entry.step, entry.comments);
        tries.delete(entry.step);
        break;
      case 'CancelRequested':
        if (isPast) break;
        standing = undefined;
        unwinding ??= 'Cancelled';
        break;
      case 'UndoStarted':
        undoing.add(entry.step);
        break;
      case 'UndoFailed':
        undoing.delete(entry.step);
        tries.set(entry.step, (tries.get(entry.step) ?? 0) + 1);
        break;
      case 'UndoFinished':
        undone.add(entry.step);
        break;
    }
  }
  const found = (next: Next<S>): Replay<S> => ({
    next,
    outputs: outputsOf(log),
    unwinding,
    isPast,
    startedAt: begun,
  });
  if (unwinding !== undefined) {
    const step = steps.findLast(
      ({ name, undo }) => undo !== undefined && begun.has(name) && !undone.has(name),
    );
    if (step === undefined) return found({ next: 'end', state: unwinding });
    const { name } = step;
    return found({ next: 'undo', step, begun: undoing.has(name), tries: tries.get(name) ?? 0 });
  }
  if (standing) return found({ next: 'stand', ...standing });
  const step = steps.find(({ name }) => !done.has(name));
  if (step === undefined) return found({ next: 'end', state: 'Succeeded' });
  return found({
    next: 'do',
    step,
    begun: running.has(step.name),
    resumeComments: comments.get(step.name),
  });
}
