// Goal: a digest is either the one that came for that chunk or unknown, and memory stays within the limit.
// Method: a stream of digests in order, taken off at the pace of a walk, against a map.

import test from 'ava';
import fc from 'fast-check';
import { DigestShelf } from '../../../src/mobility-service/resync/digest-shelf.ts';
import { digestBytes, digestChunkBytes } from '../../../src/protocol/replication/messages.ts';

const digestsOf = (first: number, count: number) =>
  Buffer.concat(Array.from({ length: count }, (_, at) => Buffer.alloc(digestBytes, (first + at) % 251)));

test('what the shelf answers is right or unknown, and what was never forgotten is known', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 64 }),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.nat(14)), { maxLength: 30 }),
      (limitChunks, turns) => {
        const shelf = new DigestShelf(limitChunks * digestBytes);
        let arrived = 0;
        let cursor = 0;
        for (const [count, walked] of turns) {
          shelf.put(arrived * digestChunkBytes, count * digestChunkBytes, digestsOf(arrived, count));
          arrived += count;
          t.is(shelf.coveredTo(cursor * digestChunkBytes), arrived * digestChunkBytes);
          for (let chunk = cursor; chunk < arrived; chunk++) {
            const digest = shelf.at(chunk * digestChunkBytes);
            if (digest !== undefined) t.true(digest.equals(digestsOf(chunk, 1)), `chunk ${chunk}`);
            else t.true(arrived > limitChunks, 'forgotten although there was room');
          }
          t.is(shelf.at(arrived * digestChunkBytes), undefined);
          cursor = Math.min(arrived, cursor + walked);
          shelf.coveredTo(cursor * digestChunkBytes);
        }
      },
    ),
    { numRuns: 80 },
  );
});

test('a gap in what came is not covered', (t) => {
  const shelf = new DigestShelf(1 << 20);
  shelf.put(0, digestChunkBytes, digestsOf(0, 1));
  shelf.put(2 * digestChunkBytes, digestChunkBytes, digestsOf(2, 1));
  t.is(shelf.coveredTo(0), digestChunkBytes);
  t.is(shelf.at(digestChunkBytes), undefined);
});
