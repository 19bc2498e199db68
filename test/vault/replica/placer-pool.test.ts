/**
 * Goal: segments placed by worker threads leave the same bytes and sums on a disk, and the same refusals, as when the
 * calling thread does it; from memory of the caller alone and from shared memory.
 * Method: one segment of several frames, of which some compress and some do not, spread over ranges with zeroes between,
 * placed both ways, also on the file systems that replica disks are on and on one that has no direct writes; then every
 * part of it damaged once; then a disk that cannot be written.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import {
  inlineSealer,
  isCorruptSegment,
  placeSegment,
  type SegmentTarget,
  writeSegment,
} from '../../../src/protocol/cache/segment.ts';
import type { Placer } from '../../../src/vault/replica/placer.ts';
import { PlacerPool } from '../../../src/vault/replica/placer-pool.ts';
import { sumsOf } from '../../../src/vault/replica/sums.ts';
import { canMakeVolumes } from '../../../src/vault/replica/volume.ts';
import { inlinePlacer } from '../../support/inline-placer.ts';
import { makeTestVolume } from '../../support/replica-volume.ts';

const fileSystemTest = (await canMakeVolumes()) ? test : test.skip;
const itemKey = randomBytes(32);
const identity = {
  itemId: systemRandom.uuid() as ProtectedItemId,
  diskId: systemRandom.uuid() as ProtectedDiskId,
  chain: 1,
  sequence: 1,
};
const disk = Buffer.concat([
  randomBytes(2 << 20),
  Buffer.alloc(2 << 20, 'text'),
  randomBytes((1 << 20) + 4096),
]);
// Frames of a MiB begin and end inside ranges, and zero ranges lie inside frames.
const holes = [
  { kind: 'zero' as const, offsetBytes: 12_288, lengthBytes: 8192 },
  { kind: 'zero' as const, offsetBytes: 3 << 20, lengthBytes: 1 << 20 },
];
for (const { offsetBytes, lengthBytes } of holes) disk.fill(0, offsetBytes, offsetBytes + lengthBytes);
const extents = [
  { kind: 'data' as const, offsetBytes: 0, lengthBytes: 12_288 },
  holes[0]!,
  { kind: 'data' as const, offsetBytes: 20_480, lengthBytes: (3 << 20) - 20_480 },
  holes[1]!,
  { kind: 'data' as const, offsetBytes: 4 << 20, lengthBytes: disk.byteLength - (4 << 20) },
];

async function sealed(): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  await writeSegment(
    {
      ...{ identity, itemKey, salt: randomBytes(32), extents },
      fill: (target, offsetBytes) => target.set(disk.subarray(offsetBytes, offsetBytes + target.byteLength)),
    },
    inlineSealer,
    async (piece) => void pieces.push(piece),
  );
  return Buffer.concat(pieces);
}

const shared = (object: Uint8Array) => {
  const copy = Buffer.from(new SharedArrayBuffer(object.byteLength));
  copy.set(object);
  return copy;
};

/** What is on the disk afterwards, which had ones everywhere. */
async function placed(
  t: ExecutionContext,
  object: Buffer,
  placer: Placer,
  pieceBytes: number,
  above = tmpdir(),
) {
  const folder = await mkdtemp(join(above, 'leeward-placer-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'disk.raw');
  await using file = await open(path, 'w+');
  await file.write(Buffer.alloc(disk.byteLength, 1));
  const source = (async function* () {
    for (let at = 0; at < object.byteLength; at += pieceBytes) yield object.subarray(at, at + pieceBytes);
  })();
  const sums = new Uint32Array(disk.byteLength / 4096);
  const target: SegmentTarget = {
    frameConcurrency: placer.concurrency,
    writeFrame: async (job, ranges) => {
      const found = await placer.place(
        job,
        file.fd,
        ranges.map(({ offsetBytes, lengthBytes }) => ({ positionBytes: offsetBytes, lengthBytes })),
      );
      let from = 0;
      for (const { offsetBytes, lengthBytes } of ranges) {
        sums.set(found.subarray(from, from + lengthBytes / 4096), offsetBytes / 4096);
        from += lengthBytes / 4096;
      }
    },
    zero: async (offsetBytes, lengthBytes) => {
      await file.write(Buffer.alloc(lengthBytes), 0, lengthBytes, offsetBytes);
    },
  };
  await placeSegment(source, itemKey, { identity }, target, new AbortController().signal);
  return { bytes: await readFile(path), sums };
}

test('worker threads leave on a disk what the calling thread leaves, and the same sums', async (t) => {
  await using pool = new PlacerPool();
  const object = await sealed();
  const all = await Promise.all([
    placed(t, object, pool, 300_001),
    placed(t, shared(object), pool, object.byteLength),
    placed(t, object, inlinePlacer, object.byteLength),
  ]);
  for (const { bytes, sums } of all) {
    t.true(bytes.equals(disk));
    t.deepEqual(sums, sumsOf(disk));
  }
});

for (const kind of ['xfs', 'btrfs', 'tmpfs'] as const)
  fileSystemTest(`on ${kind}, what goes past the page cache and what does not is one file`, async (t) => {
    await using pool = new PlacerPool();
    const object = await sealed();
    const volume = kind === 'tmpfs' ? { path: '/dev/shm' } : await makeTestVolume(kind);
    if ('dispose' in volume) t.teardown(volume.dispose);
    const { bytes, sums } = await placed(t, object, pool, object.byteLength, volume.path);
    t.true(bytes.equals(disk));
    t.deepEqual(sums, sumsOf(disk));
  });

test('damage anywhere is refused by worker threads, and they go on', async (t) => {
  await using pool = new PlacerPool();
  const object = await sealed();
  for (let at = 5; at < object.byteLength; at += Math.floor(object.byteLength / 12)) {
    const damaged = at % 2 === 0 ? shared(object) : Buffer.from(object);
    damaged[at]! ^= 1;
    const error = await t.throwsAsync(placed(t, damaged, pool, damaged.byteLength));
    t.true(isCorruptSegment(error), `the byte at ${at}`);
  }
  t.true((await placed(t, object, pool, object.byteLength)).bytes.equals(disk));
});

test('what the disk says is what the caller hears, and the threads go on', async (t) => {
  await using pool = new PlacerPool();
  const object = await sealed();
  await using closed = await open('/dev/null', 'r');
  const readOnly: Placer = {
    concurrency: pool.concurrency,
    place: (job, _, ranges) => pool.place(job, closed.fd, ranges),
  };
  await t.throwsAsync(placed(t, object, readOnly, object.byteLength), { code: 'EBADF' });
  t.true((await placed(t, object, pool, object.byteLength)).bytes.equals(disk));
});
