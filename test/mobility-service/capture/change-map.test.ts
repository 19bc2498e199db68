/** The change map against the simplest thing that could be right: a set of block numbers. */
import test from 'ava';
import fc from 'fast-check';
import { blockBytes } from '../../../src/disk/disk.ts';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';

/** Two pages of the map and a little, ending in the middle of a block. */
const sizeBytes = 2 * 1024 * 32 * blockBytes + 5 * blockBytes + 512;
const range = fc.record({
  offsetBytes: fc.oneof(
    fc.integer({ min: -blockBytes, max: sizeBytes + blockBytes }),
    fc.nat({ max: 70 }).map((block) => block * blockBytes),
    fc.integer({ min: -3, max: 3 }).map((block) => (1024 * 32 + block) * blockBytes),
  ),
  lengthBytes: fc.oneof(
    fc.integer({ min: -1, max: 3 * blockBytes }),
    fc.nat({ max: 200 }).map((blocks) => blocks * blockBytes),
    fc.nat({ max: sizeBytes }),
  ),
});
const ranges = fc.array(range, { maxLength: 30 });

function blocksOf(
  list: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[],
): Set<number> {
  const blocks = new Set<number>();
  for (const { offsetBytes, lengthBytes } of list) {
    if (lengthBytes <= 0) continue;
    const end = Math.min(offsetBytes + lengthBytes, sizeBytes);
    for (let block = Math.floor(Math.max(0, offsetBytes) / blockBytes); block * blockBytes < end; block++)
      blocks.add(block);
  }
  return blocks;
}

function mapOf(list: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[]): ChangeMap {
  const map = new ChangeMap(sizeBytes);
  for (const { offsetBytes, lengthBytes } of list) map.mark(offsetBytes, lengthBytes);
  return map;
}

test('a map has the blocks that its ranges touch, and no others', (t) => {
  fc.assert(
    fc.property(ranges, fc.integer({ min: 1, max: 300 }), (list, blocksMax) => {
      const map = mapOf(list);
      const model = blocksOf(list);
      const extents = [...map.extents(blocksMax * blockBytes)];
      t.is(map.markedBytes, model.size * blockBytes);
      t.is(map.isEmpty, model.size === 0);
      const found = blocksOf(extents);
      t.is(found.size, model.size);
      t.true([...model].every((block) => found.has(block) && map.has(block * blockBytes)));
      let end = -1;
      for (const [index, { offsetBytes, lengthBytes }] of extents.entries()) {
        t.true(offsetBytes >= end && lengthBytes > 0 && lengthBytes <= blocksMax * blockBytes);
        t.true(offsetBytes + lengthBytes <= sizeBytes);
        // Neighbours are two extents only when one would be too long.
        if (offsetBytes === end) t.is(extents[index - 1]!.lengthBytes, blocksMax * blockBytes);
        end = offsetBytes + lengthBytes;
      }
    }),
    { numRuns: 150 },
  );
  t.pass();
});

test('a merged map has what either had', (t) => {
  fc.assert(
    fc.property(ranges, ranges, (one, other) => {
      const map = mapOf(one);
      map.merge(mapOf(other));
      const both = mapOf([...one, ...other]);
      t.is(map.markedBytes, both.markedBytes);
      t.deepEqual([...map.extents(1 << 20)], [...both.extents(1 << 20)]);
    }),
    { numRuns: 100 },
  );
  t.pass();
});

test('the last block of a disk of odd size is cut at its end', (t) => {
  const map = mapOf([{ offsetBytes: sizeBytes - 1, lengthBytes: 100_000 }]);
  t.deepEqual([...map.extents(1 << 20)], [{ offsetBytes: sizeBytes - 512, lengthBytes: 512 }]);
  const whole = mapOf([{ offsetBytes: 0, lengthBytes: sizeBytes }]);
  t.deepEqual([...whole.extents(Number.MAX_SAFE_INTEGER)], [{ offsetBytes: 0, lengthBytes: sizeBytes }]);
});
