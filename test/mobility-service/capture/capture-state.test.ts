/** The saved maps: what is written is read again, what was damaged is refused as a whole, and version 1 is read for ever. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { blockBytes } from '../../../src/disk/disk.ts';
import {
  type CaptureState,
  decodeCaptureState,
  encodeCaptureState,
  joined,
  stateBytesMax,
} from '../../../src/mobility-service/capture/capture-state.ts';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';

const path = 'capture.state';
const goldenFolder = join(import.meta.dirname, '../../golden/capture-state/v1');

function stateOf(
  disks: readonly { path: string; sizeBytes: number; blocks: readonly number[] }[],
): CaptureState {
  return {
    clean: true,
    bootId: '0b7cb5a1-7f65-4f4c-9e77-7e8c5a2f3b11',
    lostEvents: 7,
    disks: disks.map(({ path: name, sizeBytes, blocks }, index) => {
      const map = new ChangeMap(sizeBytes);
      for (const block of blocks) map.mark(block * blockBytes, blockBytes);
      return { path: name, deviceNumber: (8 << 20) | index, sizeBytes, map };
    }),
  };
}

function plain(state: CaptureState): unknown {
  return {
    ...state,
    disks: state.disks.map(({ map, ...disk }) => ({ ...disk, extents: [...map.extents(1 << 30)] })),
  };
}

function extentsOf(pairs: Float64Array): { offsetBytes: number; lengthBytes: number }[] {
  return [...pairs].flatMap((begin, index) =>
    index % 2 === 0 ? [{ offsetBytes: begin, lengthBytes: pairs[index + 1]! - begin }] : [],
  );
}

const golden = stateOf([
  { path: '/dev/disk/by-id/ata-golden', sizeBytes: (64 << 20) + 512, blocks: [0, 1, 2, 77, 16_384] },
  { path: '/dev/vdb', sizeBytes: 1 << 30, blocks: [] },
]);

/** What came within version 1: which disk a map is of. */
const withIdentity: CaptureState = {
  ...golden,
  disks: golden.disks.map((disk, index) => ({
    ...disk,
    identity: `disk/1 boot=${golden.bootId} at=seq:${4 + index} wwid=naa.500056b3 table=gpt:9d1e size=${disk.sizeBytes}`,
  })),
};

test('a state that was written is read again', (t) => {
  const disk = fc.record({
    path: fc.string({ minLength: 1 }).map((name) => `/dev/${name}`),
    sizeBytes: fc.integer({ min: 1, max: 1 << 28 }).map((sectors) => sectors * 512),
    blocks: fc.array(fc.nat({ max: 1 << 16 }), { maxLength: 60 }),
  });
  fc.assert(
    fc.property(fc.array(disk, { maxLength: 5 }), (disks) => {
      const state = stateOf(disks);
      t.deepEqual(plain(decodeCaptureState(encodeCaptureState(state), path)), plain(state));
    }),
  );
});

test('a state with any byte changed, cut off or added is refused', (t) => {
  const good = encodeCaptureState(golden);
  fc.assert(
    fc.property(fc.nat({ max: good.byteLength - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bad = Buffer.from(good);
      bad[at] = bad[at]! ^ flip;
      t.throws(() => decodeCaptureState(bad, path), { code: 'CaptureStateInvalid' });
      t.throws(() => decodeCaptureState(good.subarray(0, at), path), { code: 'CaptureStateInvalid' });
    }),
  );
  t.throws(() => decodeCaptureState(Buffer.concat([good, Buffer.alloc(8)]), path), {
    code: 'CaptureStateInvalid',
  });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      t.throws(() => decodeCaptureState(Buffer.from(garbage), path), { code: 'CaptureStateInvalid' });
    }),
  );
});

test('more extents than a state holds are joined over the narrowest gaps, and nothing is left out', (t) => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat({ max: 5_000 })),
      fc.integer({ min: 1, max: 20 }),
      (blocks, countMax) => {
        const extents = blocks
          .sort((one, other) => one - other)
          .map((block) => ({ offsetBytes: block * blockBytes, lengthBytes: blockBytes }));
        const fewer = extentsOf(joined(extents, countMax));
        t.true(fewer.length <= Math.max(1, countMax));
        t.true(
          extents.every(({ offsetBytes }) =>
            fewer.some(
              (each) =>
                each.offsetBytes <= offsetBytes &&
                offsetBytes + blockBytes <= each.offsetBytes + each.lengthBytes,
            ),
          ),
        );
      },
    ),
  );
  t.deepEqual(extentsOf(joined([{ offsetBytes: 0, lengthBytes: 4096 }], 1)), [
    { offsetBytes: 0, lengthBytes: 4096 },
  ]);
});

test('a block beyond 16 TiB keeps its place', (t) => {
  const sizeBytes = 20 * 2 ** 40;
  const far = sizeBytes / blockBytes - 1;
  const state = stateOf([{ path: '/dev/sdz', sizeBytes, blocks: [far] }]);
  const [disk] = decodeCaptureState(encodeCaptureState(state), path).disks;
  t.deepEqual([...disk!.map.extents(1 << 20)], [{ offsetBytes: far * blockBytes, lengthBytes: blockBytes }]);
});

for (const [name, state, folder] of [
  ['version 1', golden, goldenFolder],
  ['version 1 with identities', withIdentity, join(goldenFolder, 'later')],
] as const)
  test(`${name} is read as it was written, and written alike`, (t) => {
    const file = join(folder, path);
    if (!existsSync(file)) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(file, encodeCaptureState(state));
      writeFileSync(`${file}.json`, `${JSON.stringify(plain(state), undefined, 2)}\n`);
    }
    const bytes = readFileSync(file);
    t.deepEqual(plain(decodeCaptureState(bytes, path)), JSON.parse(readFileSync(`${file}.json`, 'utf8')));
    t.true(encodeCaptureState(state).equals(bytes));
  });

test('maps of 64 disks that are written all over are saved within the file, and nothing is left out', (t) => {
  const disks = Array.from({ length: 64 }, (_, index) => ({
    path: `/dev/disk${index}`,
    sizeBytes: 2 ** 36,
    blocks: Array.from({ length: 6_000 }, (_block, at) => at * 2 + index),
  }));
  const state = stateOf(disks);
  const content = encodeCaptureState(state);
  t.true(content.byteLength <= stateBytesMax);
  const read = decodeCaptureState(content, path);
  for (const [index, { map }] of read.disks.entries())
    t.true(disks[index]!.blocks.every((block) => map.has(block * blockBytes)));
  for (const { map } of [...state.disks, ...read.disks]) map.clear();
});
