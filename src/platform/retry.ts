/**
 * The reference system's retry ladder: after 1, 2, 4, 8, 10 minutes and then every 30, for errors that may pass; none
 * for those that will not. The clock is injected, so a test walks the ladder in no time.
 */
import { type Clock, pause } from './clock.ts';
import { isTransient } from './errors.ts';

const minute = 60_000;
export const ladderMilliseconds = [1, 2, 4, 8, 10, 30].map((minutes) => minutes * minute);

/** How long to wait before try number `attempt + 2` (attempt counts from 0); the last rung repeats for ever. */
export function ladderDelay(attempt: number): number {
  return ladderMilliseconds[Math.min(attempt, ladderMilliseconds.length - 1)]!;
}

export interface RetryOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Default: the error says of itself that it is transient. */
  readonly mayRetry?: (error: unknown) => boolean;
  readonly onRetry?: (error: unknown, attempt: number, delayMilliseconds: number) => void;
  /** Default: the ladder. */
  readonly delay?: (attempt: number) => number;
}

/** Calls `work` until it succeeds; throws the first error that may not be retried, or the signal's reason. */
export async function withRetry<T>(options: RetryOptions, work: () => Promise<T>): Promise<T> {
  const mayRetry = options.mayRetry ?? isTransient;
  const delay = options.delay ?? ladderDelay;
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (options.signal.aborted || !mayRetry(error)) throw error;
      const wait = delay(attempt);
      options.onRetry?.(error, attempt, wait);
      await pause(options.clock, wait, options.signal);
      options.signal.throwIfAborted();
    }
  }
}
