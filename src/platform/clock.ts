/**
 * The only place that reads a clock. Everything that waits or stamps takes a `Clock`, so that the simulation can
 * advance time by itself.
 */
import { setTimeout as sleepTimer } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since the epoch, UTC; may jump. For stamps, never for measuring. */
  now(): number;
  /** Milliseconds that only ever grow. For measuring and deadlines. */
  monotonic(): number;
  /** Resolves after `milliseconds`; rejects with the signal's reason when aborted first. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (milliseconds, signal) => {
    try {
      await sleepTimer(milliseconds, undefined, signal ? { signal } : {});
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
};

/** Like `clock.sleep`, but an abort ends the wait quietly: for loops that look at the signal themselves. */
export async function pause(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await clock.sleep(milliseconds, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

/** Rejects with `late()` when `work` has not settled within `milliseconds`. Every wait has a limit. */
export async function withDeadline<T>(
  clock: Clock,
  milliseconds: number,
  work: Promise<T>,
  late: () => Error,
): Promise<T> {
  const settled = new AbortController();
  const timer = clock.sleep(milliseconds, settled.signal).then(
    () => {
      throw late();
    },
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([work, timer]);
  } finally {
    settled.abort();
  }
}

/** Polls `condition` until it answers something other than `undefined`; throws `late()` after the limit. */
export async function until<T>(
  clock: Clock,
  limitMilliseconds: number,
  condition: () => Promise<T | undefined> | T | undefined,
  late: () => Error,
  everyMilliseconds = 50,
): Promise<T> {
  const deadline = clock.monotonic() + limitMilliseconds;
  for (;;) {
    const value = await condition();
    if (value !== undefined) return value;
    if (clock.monotonic() >= deadline) throw late();
    await clock.sleep(everyMilliseconds);
  }
}
