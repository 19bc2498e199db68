/**
 * Goal: passes follow one another until the signal, whatever becomes of one; a bell shortens the wait and is never missed.
 * Method: a clock whose sleeps the test ends.
 */
import test from 'ava';
import { Bell } from '../../src/platform/bell.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { repeat } from '../../src/platform/repeat.ts';

function world() {
  const stop = new AbortController();
  const sleeps: number[] = [];
  const failures: unknown[] = [];
  let asleep = Promise.withResolvers<() => void>();
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: (milliseconds, signal) => {
      sleeps.push(milliseconds);
      const slept = Promise.withResolvers<void>();
      signal?.addEventListener('abort', () => slept.reject(signal.reason), { once: true });
      asleep.resolve(slept.resolve);
      return slept.promise;
    },
  };
  return {
    stop,
    sleeps,
    failures,
    /** Waits until the loop waits. */
    resting: async () => {
      const wake = await asleep.promise;
      asleep = Promise.withResolvers();
      return wake;
    },
    repetition: {
      clock,
      signal: stop.signal,
      pauseMilliseconds: 7,
      onFailure: (error: unknown) => void failures.push(error),
    },
  };
}

test('passes go on after one that failed, until the signal ends the wait', async (t) => {
  const w = world();
  let passes = 0;
  const running = repeat(w.repetition, async () => {
    passes += 1;
    if (passes === 2) throw new Error('the second');
  });
  for (let count = 1; count <= 3; count++) {
    const wake = await w.resting();
    t.is(passes, count);
    if (count < 3) wake();
  }
  w.stop.abort();
  await running;
  t.is(passes, 3);
  t.deepEqual(w.sleeps, [7, 7, 7]);
  t.deepEqual(
    w.failures.map((error) => (error as Error).message),
    ['the second'],
  );
});

test('a bell that rings while the loop waits, or during a pass, brings the next pass at once', async (t) => {
  const w = world();
  const bell = new Bell();
  let passes = 0;
  const running = repeat({ ...w.repetition, bell }, async () => {
    passes += 1;
    if (passes === 2) bell.ring();
  });
  await w.resting();
  t.is(passes, 1);
  bell.ring();
  await w.resting();
  t.is(passes, 3, 'the second pass was rung through, and not waited after');
  t.is(w.sleeps.length, 2);
  w.stop.abort();
  await running;
});

test('a signal that aborts during a pass ends it after that pass, and before the first one there is none', async (t) => {
  const w = world();
  let passes = 0;
  const pass = async () => {
    passes += 1;
    w.stop.abort();
  };
  await repeat(w.repetition, pass);
  await repeat(w.repetition, pass);
  t.is(passes, 1);
  t.deepEqual(w.sleeps, []);
});
