/**
 * What every replica store must do, told against a model that keeps each head and each point in memory. Used for the
 * reflink store on real XFS and btrfs; the byte is the oracle.
 */
import type { TestFn } from 'ava';
import type { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../src/model/ids.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { ReplicaStore } from '../../src/vault/replica/replica-store.ts';
import { sumOf } from '../../src/vault/replica/sums.ts';

const item = () => systemRandom.uuid() as ProtectedItemId;
const disk = () => systemRandom.uuid() as ProtectedDiskId;
const point = () => systemRandom.uuid() as RecoveryPointId;
const blockBytes = 4096;

/** Changes the data of a head without its sums. */
export type WriteBehind = (
  store: ReplicaStore,
  ids: readonly [ProtectedItemId, ProtectedDiskId],
  bytes: Uint8Array,
) => Promise<void>;

/** `open` answers a prepared store over the same folder each time: a second one is the store after a restart. */
export function replicaStoreSuite(
  test: TestFn,
  name: string,
  open: () => Promise<ReplicaStore>,
  writeBehind: WriteBehind,
): void {
  const readPoint = async (
    store: ReplicaStore,
    i: ProtectedItemId,
    p: RecoveryPointId,
    d: ProtectedDiskId,
  ) => {
    await using reader = await store.openPoint(i, p, d);
    const bytes = Buffer.alloc(reader.sizeBytes);
    for (let at = 0; at < bytes.byteLength; at += 1 << 20)
      await reader.read(bytes.subarray(at, at + (1 << 20)), at);
    return bytes;
  };

  for (const blocks of [3, 600])
    test(`${name}: zeroing ${blocks} blocks does not trust sums that a crash left behind the data`, async (t) => {
      const store = await open();
      const ids = [item(), disk()] as const;
      const sizeBytes = 4 << 20;
      {
        await using head = await store.openHead(...ids, sizeBytes);
        await head.flush();
      }
      // The data became durable, their sums did not: what a crash between the two leaves.
      await writeBehind(store, ids, systemRandom.bytes(sizeBytes));
      const length = blocks * blockBytes;
      const before = Buffer.alloc(sizeBytes);
      {
        await using head = await store.openHead(...ids, sizeBytes);
        await head.read(before, 0);
        t.false(before.equals(Buffer.alloc(sizeBytes)));
        await head.zero(blockBytes, length);
        await head.flush();
      }
      await using head = await store.openHead(...ids, sizeBytes);
      const after = Buffer.alloc(sizeBytes);
      await head.read(after, 0);
      before.fill(0, blockBytes, blockBytes + length);
      t.true(after.equals(before));
    });

  test(`${name}: points keep the bytes that the heads had, whatever is written later`, async (t) => {
    const store = await open();
    const i = item();
    const disks = [disk(), disk()];
    const sizes = [6 << 20, (3 << 20) + 1234];
    const models = sizes.map((size) => Buffer.alloc(size));
    const kept: { id: RecoveryPointId; bytes: Buffer[] }[] = [];
    for (let round = 0; round < 6; round++) {
      for (const [n, diskId] of disks.entries()) {
        await using head = await store.openHead(i, diskId, sizes[n]!);
        const blocks = Math.ceil(sizes[n]! / blockBytes);
        for (let k = 0; k < 25; k++) {
          const first = Math.floor(systemRandom.fraction() * blocks);
          const count = 1 + Math.floor(systemRandom.fraction() * (k % 5 === 0 ? 500 : 8));
          const offset = first * blockBytes;
          const length = Math.min(count * blockBytes, sizes[n]! - offset);
          if (k % 4 === 3) {
            await head.zero(offset, length);
            models[n]!.fill(0, offset, offset + length);
          } else {
            const bytes = k % 7 === 5 ? Buffer.alloc(length) : systemRandom.bytes(length);
            await head.write(bytes, offset);
            bytes.copy(models[n]!, offset);
          }
        }
        // Many places from one source, as a segment's frame has them: every third block of the disk, its short end too.
        const ranges = [];
        for (let block = round % 3; block < blocks; block += 3) {
          const offsetBytes = block * blockBytes;
          ranges.push({ offsetBytes, lengthBytes: Math.min(blockBytes, sizes[n]! - offsetBytes) });
        }
        const source = systemRandom.bytes(ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0));
        let from = 0;
        for (const { offsetBytes, lengthBytes } of ranges) {
          source.copy(models[n]!, offsetBytes, from, from + lengthBytes);
          from += lengthBytes;
        }
        await head.writeRanges(source, ranges);
        await head.flush();
        const now = Buffer.alloc(sizes[n]!);
        await head.read(now, 0);
        t.is(Buffer.compare(now, models[n]!), 0, 'the head reads as written');
      }
      const id = point();
      await store.cutPoint(i, id, disks);
      kept.push({ id, bytes: models.map((model) => Buffer.from(model)) });
    }
    const again = await open();
    t.deepEqual(await again.listPoints(i), kept.map((k) => k.id).sort());
    for (const { id, bytes } of kept)
      for (const [n, diskId] of disks.entries()) {
        const stored = await readPoint(again, i, id, diskId);
        t.is(Buffer.compare(stored, bytes[n]!), 0, 'the point is what the head was');
        await using sums = await again.openPointSums(i, id, diskId);
        const found = Buffer.alloc(sums.sizeBytes);
        await sums.read(found, 0);
        const wrong = [...Array(Math.ceil(stored.byteLength / blockBytes)).keys()].filter(
          (b) => found.readUInt32LE(b * 4) !== sumOf(stored.subarray(b * blockBytes, (b + 1) * blockBytes)),
        );
        t.deepEqual(wrong, [], "every sum is its block's");
      }
    for (const k of kept.slice(1, 5)) await again.dropPoint(i, k.id);
    t.is(Buffer.compare(await readPoint(again, i, kept[0]!.id, disks[0]!), kept[0]!.bytes[0]!), 0);
    t.is(Buffer.compare(await readPoint(again, i, kept[5]!.id, disks[1]!), kept[5]!.bytes[1]!), 0);
    t.is((await again.listPoints(i)).length, 2);
    await again.dropItem(i);
    t.deepEqual(await again.listPoints(i), []);
  });

  test(`${name}: cutting the same point again changes nothing; dropping a missing one is silent`, async (t) => {
    const store = await open();
    const [i, d, p] = [item(), disk(), point()];
    await using head = await store.openHead(i, d, 1 << 20);
    await head.write(Buffer.alloc(blockBytes, 1), 0);
    await head.flush();
    await store.cutPoint(i, p, [d]);
    await head.write(Buffer.alloc(blockBytes, 2), 0);
    await head.flush();
    await store.cutPoint(i, p, [d]);
    t.is((await readPoint(store, i, p, d))[0], 1);
    await store.dropPoint(i, p);
    await store.dropPoint(i, p);
    const error = await t.throwsAsync(store.openPoint(i, p, d));
    t.is((error as { code?: string }).code, 'RecoveryPointGone');
  });

  test(`${name}: a loan is writable, leaves its point alone, and goes when it is given back`, async (t) => {
    const store = await open();
    const [i, d, p] = [item(), disk(), point()];
    await using head = await store.openHead(i, d, 1 << 20);
    await head.write(Buffer.alloc(blockBytes, 7), 8192);
    await head.flush();
    await store.cutPoint(i, p, [d]);
    const first = await store.lend(i, p, 'failover-1');
    t.deepEqual(await store.lend(i, p, 'failover-1'), first, 'lending is idempotent');
    const { open: openFile } = await import('node:fs/promises');
    const file = await openFile(first[0]!.path, 'r+');
    const was = Buffer.alloc(blockBytes);
    await file.read(was, 0, blockBytes, 8192);
    t.is(was[9], 7);
    await file.write(Buffer.alloc(blockBytes, 9), 0, blockBytes, 8192);
    await file.close();
    t.is((await readPoint(store, i, p, d))[8192], 7);
    t.deepEqual(await store.listLoans(i), ['failover-1']);
    await store.giveBack(i, 'failover-1');
    await store.giveBack(i, 'failover-1');
    t.deepEqual(await store.listLoans(i), []);
  });

  test(`${name}: a head grows and shrinks with its disk and forgets what was cut off`, async (t) => {
    const store = await open();
    const [i, d, p] = [item(), disk(), point()];
    for (const [size, value] of [
      [10_000, 3],
      [6000, 0],
      [20_000, 0],
    ] as const) {
      await using head = await store.openHead(i, d, size);
      if (value > 0) await head.write(Buffer.alloc(size, value), 0);
      await head.flush();
    }
    await store.cutPoint(i, p, [d]);
    const bytes = await readPoint(store, i, p, d);
    t.is(Buffer.compare(bytes, Buffer.concat([Buffer.alloc(6000, 3), Buffer.alloc(14_000)])), 0);
    await using sums = await store.openPointSums(i, p, d);
    const found = Buffer.alloc(sums.sizeBytes);
    await sums.read(found, 0);
    for (let b = 0; b < 5; b++)
      t.is(found.readUInt32LE(b * 4), sumOf(bytes.subarray(b * blockBytes, (b + 1) * blockBytes)));
    await store.clearHead(i, d);
    await using empty = await store.openHead(i, d, 20_000);
    const now = Buffer.alloc(20_000);
    await empty.read(now, 0);
    t.true(now.every((byte) => byte === 0));
  });

  test(`${name}: ranges outside the disk or off the grid are refused`, async (t) => {
    const store = await open();
    await using head = await store.openHead(item(), disk(), 1 << 20);
    for (const [length, offset] of [
      [4096, 1 << 20],
      [4096, 100],
      [100, 0],
      [8192, (1 << 20) - 4096],
    ] as const) {
      const error = await t.throwsAsync(head.write(Buffer.alloc(length), offset));
      t.is((error as { code?: string }).code, 'ReplicaRangeOutside');
    }
  });
}
