/** The change map against the simplest thing that could be right: a set of block numbers. */
import test from 'ava';
import fc from 'fast-check';
import { blockBytes } from '../../../src/disk/disk.ts';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';
import { MapMemory } from '../../../src/mobility-service/capture/map-memory.ts';

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

const tebibyte = 2 ** 40;
const bytesOf = ({ bitmaps, inner }: MapMemory) => bitmaps.words.byteLength + inner.words.byteLength;

/** Commands on three maps of one small memory, against sets of blocks. A map of 40 GiB has four levels. */
const largeBytes = 40 * 2 ** 30 + 512;
const largeBlocks = Math.ceil(largeBytes / blockBytes);
const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('mark' as const),
      map: fc.nat({ max: 2 }),
      block: fc.oneof(
        fc.nat({ max: largeBlocks - 1 }),
        fc.nat({ max: 60 }).map((node) => node * 2048 + 2040),
        fc.nat({ max: 40 }).map((back) => largeBlocks - 1 - back),
      ),
      blocks: fc.oneof(fc.constant(1), fc.nat({ max: 40 }), fc.nat({ max: 9000 })),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('merge' as const),
      map: fc.nat({ max: 2 }),
      from: fc.nat({ max: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), map: fc.nat({ max: 2 }) }) },
);

test('maps that have used their memory up mark too much and never too little', (t) => {
  let coarse = 0;
  fc.assert(
    fc.property(fc.array(command, { minLength: 20, maxLength: 120 }), (commands) => {
      const memory = new MapMemory(12, 40);
      const maps = [0, 1, 2].map(() => new ChangeMap(largeBytes, memory));
      const models = maps.map(() => new Set<number>());
      for (const each of commands) {
        const map = maps[each.map]!;
        const model = models[each.map]!;
        if (each.do === 'mark') {
          map.mark(each.block * blockBytes, each.blocks * blockBytes);
          for (let block = each.block; block < each.block + each.blocks && block < largeBlocks; block++)
            model.add(block);
        } else if (each.do === 'clear') {
          map.clear();
          model.clear();
        } else if (each.from !== each.map) {
          map.merge(maps[each.from]!);
          for (const block of models[each.from]!) model.add(block);
        }
        t.true(memory.bitmaps.taken <= 12 && memory.inner.taken <= 40);
      }
      for (const [index, map] of maps.entries()) {
        const model = models[index]!;
        let marked = 0;
        let end = -1;
        const left = new Set(model);
        const sorted = [...model].sort((one, other) => one - other);
        let next = 0;
        for (const extent of map.extents(Number.MAX_SAFE_INTEGER)) {
          const first = extent.offsetBytes / blockBytes;
          const last = Math.ceil((extent.offsetBytes + extent.lengthBytes) / blockBytes);
          t.true(first > end && last > first && extent.offsetBytes + extent.lengthBytes <= largeBytes);
          end = last;
          marked += last - first;
          for (; next < sorted.length && sorted[next]! < last; next++)
            if (sorted[next]! >= first) left.delete(sorted[next]!);
        }
        t.is(left.size, 0, 'each block that was marked is in an extent');
        t.is(map.markedBytes, marked * blockBytes, 'what is marked is what would be read');
        for (const block of sorted.slice(0, 50)) t.true(map.has(block * blockBytes));
        if (marked > model.size) coarse++;
        map.clear();
      }
      t.is(memory.takenBytes, 0, 'everything was given back');
    }),
    { numRuns: 200 },
  );
  t.true(coarse > 50, `${coarse} maps became coarse`);
});

test('a map stays exact for as long as the memory suffices, whatever else is in it', (t) => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const memory = new MapMemory(2048, 4096);
      const map = new ChangeMap(largeBytes, memory);
      const model = new Set<number>();
      for (const each of commands) {
        if (each.do !== 'mark') continue;
        map.mark(each.block * blockBytes, each.blocks * blockBytes);
        for (let block = each.block; block < each.block + each.blocks && block < largeBlocks; block++)
          model.add(block);
      }
      let count = 0;
      for (const { offsetBytes, lengthBytes } of map.extents(blockBytes)) {
        count++;
        if (lengthBytes > blockBytes || !model.has(offsetBytes / blockBytes)) t.fail(`${offsetBytes}`);
      }
      t.is(count, model.size);
      t.is(map.markedBytes, model.size * blockBytes);
    }),
    { numRuns: 100 },
  );
  t.pass();
});

test('64 disks of 64 TiB, written at random, trimmed and written by every other block, stay within the memory', (t) => {
  const memory = new MapMemory();
  const sizeBytes = 64 * tebibyte;
  const maps = Array.from({ length: 64 }, () => new ChangeMap(sizeBytes, memory));
  let seed = 1;
  const random = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  const written: { map: ChangeMap; offsetBytes: number }[] = [];
  const write = (map: ChangeMap, offsetBytes: number) => {
    map.mark(offsetBytes, blockBytes);
    if (written.length < 5_000 || random() < 0.01) written.push({ map, offsetBytes });
  };
  for (let count = 0; count < 200_000; count++)
    write(maps[count % 64]!, Math.floor((random() * sizeBytes) / blockBytes) * blockBytes);
  // Every other block, as far as no memory would reach.
  for (let block = 0; block < 200_000; block += 2) write(maps[7]!, block * blockBytes);
  for (let part = 0; part < 20_000; part++) maps[9]!.mark(part * 3 * 2 ** 31, 2 ** 32 - 512);
  t.true(written.every(({ map, offsetBytes }) => map.has(offsetBytes)));
  // Trims of everything, but for a block in each TiB of some.
  for (const map of maps.slice(0, 60)) map.mark(0, sizeBytes);
  t.is(maps[0]!.markedBytes, sizeBytes);
  t.deepEqual([...maps[0]!.extents(2 ** 50)], [{ offsetBytes: 0, lengthBytes: sizeBytes }]);
  t.is(maps[0]!.pieces, 0, 'a disk that is marked as a whole costs nothing');
  t.true(bytesOf(memory) <= 20 * 2 ** 20, `${bytesOf(memory)} bytes`);
  // A second generation, beside the first.
  const others = maps.map((map) => new ChangeMap(map.sizeBytes, memory));
  for (let count = 0; count < 100_000; count++) others[count % 64]!.mark(random() * sizeBytes, blockBytes);
  for (const [index, map] of maps.entries()) map.merge(others[index]!);
  t.true(bytesOf(memory) <= 20 * 2 ** 20, `${bytesOf(memory)} bytes`);
  t.true(written.every(({ map, offsetBytes }) => map.has(offsetBytes)));
  for (const map of [...maps, ...others]) map.clear();
  t.is(memory.takenBytes, 0);
  t.true(bytesOf(memory) < 64 << 10, 'empty maps hold nothing');
});

test('a coarse map that was taken leaves an exact one behind', (t) => {
  const memory = new MapMemory(64, 256);
  const map = new ChangeMap(tebibyte, memory);
  for (let at = 0; at < tebibyte; at += 2 ** 30) map.mark(at, blockBytes);
  t.true(map.markedBytes > 1024 * blockBytes);
  map.clear();
  const next = new ChangeMap(tebibyte, memory);
  for (let at = 0; at < 20 * 2 ** 30; at += 2 ** 30) next.mark(at, blockBytes);
  t.is(next.markedBytes, 20 * blockBytes);
});

test('extents go on in order while others use the memory up', (t) => {
  const memory = new MapMemory(64, 512);
  const map = new ChangeMap(tebibyte, memory);
  const offsets = Array.from({ length: 30 }, (_, index) => index * 2 ** 30 + 5 * blockBytes);
  for (const offset of offsets) map.mark(offset, blockBytes);
  const other = new ChangeMap(tebibyte, memory);
  const left = new Set(offsets);
  let end = 0;
  let turn = 0;
  for (const { offsetBytes, lengthBytes } of map.extents(Number.MAX_SAFE_INTEGER)) {
    t.true(offsetBytes >= end);
    end = offsetBytes + lengthBytes;
    for (const offset of left) if (offset >= offsetBytes && offset < end) left.delete(offset);
    for (let count = 0; count < 20; count++) other.mark(turn++ * 3 * 2 ** 30, blockBytes);
  }
  t.is(left.size, 0);
  t.true(map.markedBytes > 30 * blockBytes, 'it became coarse meanwhile');
});
