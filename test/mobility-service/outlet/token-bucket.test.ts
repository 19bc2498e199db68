// Goal: over any time no more goes out than rate, burst and one frame allow, and nothing waits for ever.
// Method: a clock that only the test moves.

import test from 'ava';
import fc from 'fast-check';
import { TokenBucket } from '../../../src/mobility-service/outlet/token-bucket.ts';
import type { Clock } from '../../../src/platform/clock.ts';

function standingClock() {
  let at = 0;
  const clock: Clock = {
    now: () => at,
    monotonic: () => at,
    sleep: async () => {
      throw new Error('a bucket does not sleep');
    },
  };
  return { clock, advance: (milliseconds: number) => (at += milliseconds), at: () => at };
}

test('what goes through in any time is at most rate × time, a burst of a quarter second, and one frame', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1000, max: 10_000_000 }),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 1 << 20 }), fc.nat(700)), { minLength: 1, maxLength: 60 }),
      (bytesPerSecond, asks) => {
        const { clock, advance, at } = standingClock();
        const bucket = new TokenBucket(clock, bytesPerSecond);
        let sent = 0;
        let largest = 0;
        for (const [bytes, pauseMilliseconds] of asks) {
          advance(pauseMilliseconds);
          for (let wait = bucket.take(bytes), tries = 0; wait > 0; wait = bucket.take(bytes), tries++) {
            t.true(tries < 3, 'the wait that was named is not enough');
            advance(wait);
          }
          sent += bytes;
          largest = Math.max(largest, bytes);
          t.true(sent <= (bytesPerSecond * at()) / 1000 + bytesPerSecond / 4 + largest + 1);
        }
      },
    ),
  );
});

test('without a limit nothing waits, and a limit that is lifted lets go at once', (t) => {
  const { clock } = standingClock();
  const bucket = new TokenBucket(clock);
  t.is(bucket.take(1 << 30), 0);
  bucket.setRate(1000);
  t.true(bucket.take(1) > 0);
  bucket.setRate(undefined);
  t.is(bucket.take(1 << 30), 0);
});
