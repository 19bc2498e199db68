// Goal: cutting never loses or moves a byte. Method: properties against the plainest model, a set of blocks or bytes.

import test from 'ava';
import fc from 'fast-check';
import { pieces, totalBytes, without } from '../../../src/mobility-service/drain/extents.ts';
import { isAllZero, zeroRuns } from '../../../src/mobility-service/drain/zero-runs.ts';

const blockBytes = 4096;

test('zero runs are the whole of what was read, in order, and each says rightly whether it is zero', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.nat(blockBytes - 1)), { minLength: 1, maxLength: 40 }),
      fc.constantFrom(0, 512, 1024, 3584),
      (blocks, tailBytes) => {
        const bytes = Buffer.alloc(
          blocks.length * blockBytes - (tailBytes === 0 ? 0 : blockBytes - tailBytes),
        );
        // One byte that is not zero is enough, wherever in the block it is.
        for (const [index, [isFilled, at]] of blocks.entries())
          if (isFilled) bytes[Math.min(index * blockBytes + at, bytes.byteLength - 1)] = 1;
        const runs = zeroRuns(bytes);
        let at = 0;
        for (const [index, run] of runs.entries()) {
          t.is(run.start, at);
          t.true(run.end > run.start);
          if (index > 0) t.not(run.isZero, runs[index - 1]!.isZero);
          if (run.isZero) t.true(isAllZero(bytes.subarray(run.start, run.end)));
          else
            for (let block = run.start; block < run.end; block += blockBytes)
              t.false(isAllZero(bytes.subarray(block, Math.min(block + blockBytes, run.end))));
          at = run.end;
        }
        t.is(at, bytes.byteLength);
      },
    ),
    { numRuns: 100 },
  );
});

const list = fc
  .uniqueArray(fc.nat(60), { maxLength: 16 })
  .map((points) => points.sort((one, other) => one - other))
  .map((points) =>
    points.flatMap((point, index) =>
      index % 2 === 1 ? [{ offsetBytes: points[index - 1]!, lengthBytes: point - points[index - 1]! }] : [],
    ),
  );
const bytesOf = (extents: Iterable<{ offsetBytes: number; lengthBytes: number }>) =>
  [...extents].flatMap(({ offsetBytes, lengthBytes }) =>
    Array.from({ length: lengthBytes }, (_, at) => offsetBytes + at),
  );

test('extents without holes are the bytes of the one that are not in the other, in order', (t) => {
  fc.assert(
    fc.property(list, list, (extents, holes) => {
      const left = [...without(extents, holes)];
      const hole = new Set(bytesOf(holes));
      t.deepEqual(
        bytesOf(left),
        bytesOf(extents).filter((at) => !hole.has(at)),
      );
      t.is(totalBytes(left), bytesOf(left).length);
      t.true(left.every(({ lengthBytes }) => lengthBytes > 0));
    }),
  );
});

test('pieces are a range without a gap, cut at multiples', (t) => {
  fc.assert(
    fc.property(fc.nat(200), fc.nat(200), fc.integer({ min: 1, max: 64 }), (from, length, size) => {
      const cut = [...pieces(from, from + length, size)];
      t.deepEqual(
        bytesOf(cut),
        Array.from({ length }, (_, at) => from + at),
      );
      for (const { offsetBytes, lengthBytes } of cut)
        t.is(Math.floor(offsetBytes / size), Math.floor((offsetBytes + lengthBytes - 1) / size));
    }),
  );
});
