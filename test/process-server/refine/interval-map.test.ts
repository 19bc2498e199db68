/** The interval map leaves what writing byte by byte leaves. */
import test from 'ava';
import fc from 'fast-check';
import { IntervalMap } from '../../../src/process-server/refine/interval-map.ts';

test('the last version of every byte comes out, sorted and apart', (t) => {
  const sizeBytes = 200;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(sizeBytes - 1), fc.integer({ min: 1, max: 60 }), fc.boolean()), {
        maxLength: 60,
      }),
      (writes) => {
        const map = new IntervalMap();
        // -1: untouched, 0: zero, else the position of the byte in the journal.
        const model = new Array<number>(sizeBytes).fill(-1);
        let sourceBytes = 1;
        for (const [offsetBytes, length, isZero] of writes) {
          const lengthBytes = Math.min(length, sizeBytes - offsetBytes);
          map.put({
            kind: isZero ? 'zero' : 'data',
            offsetBytes,
            lengthBytes,
            sourceBytes: isZero ? 0 : sourceBytes,
          });
          for (let at = 0; at < lengthBytes; at++) model[offsetBytes + at] = isZero ? 0 : sourceBytes + at;
          sourceBytes += lengthBytes;
        }
        const image = new Array<number>(sizeBytes).fill(-1);
        let end = 0;
        for (const interval of map.intervals) {
          if (interval.offsetBytes < end || interval.lengthBytes <= 0) return false;
          end = interval.offsetBytes + interval.lengthBytes;
          for (let at = 0; at < interval.lengthBytes; at++)
            image[interval.offsetBytes + at] = interval.kind === 'zero' ? 0 : interval.sourceBytes + at;
        }
        return image.every((value, at) => value === model[at]);
      },
    ),
    { numRuns: 2000 },
  );
  t.pass();
});

test('zero ranges that touch are one, in whatever order they come', (t) => {
  fc.assert(
    fc.property(
      fc.shuffledSubarray(
        Array.from({ length: 60 }, (_, index) => index),
        { minLength: 60 },
      ),
      (order) => {
        const map = new IntervalMap();
        for (const index of order)
          map.put({ kind: 'zero', offsetBytes: 7 + index * 10, lengthBytes: 10, sourceBytes: 0 });
        return map.intervals.length === 1 && map.intervals[0]!.lengthBytes === 600;
      },
    ),
  );
  t.pass();
});
