/**
 * What is done again and again until it is told to stop: one pass after the other, and one that fails is told of and does not
 * keep the next one from coming. A signal that aborts ends the wait between two passes; a pass under way comes to its end.
 */
import type { Bell } from './bell.ts';
import { type Clock, pause } from './clock.ts';

export interface Repetition {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** From the end of a pass to the next. */
  readonly pauseMilliseconds: number;
  /** The next pass comes at once when it rings, also when it rang during the one before. */
  readonly bell?: Bell;
  readonly onFailure: (error: unknown) => void;
}

export async function repeat(
  { clock, signal, pauseMilliseconds, bell, onFailure }: Repetition,
  pass: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    const seen = bell?.count ?? 0;
    try {
      await pass();
    } catch (error) {
      onFailure(error);
    }
    if (bell) await bell.wait(clock, seen, pauseMilliseconds, signal);
    else await pause(clock, pauseMilliseconds, signal);
  }
}
