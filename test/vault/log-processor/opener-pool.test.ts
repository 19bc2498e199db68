/**
 * Goal: segments opened in worker threads give the same bytes, and the same refusals, as in the calling thread.
 * Method: one segment of several frames, of which some compress and some do not, read both ways; then every part of it
 * damaged once.
 */
import { randomBytes } from 'node:crypto';
import test from 'ava';
import type { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import {
  type FrameOpener,
  inlineOpener,
  inlineSealer,
  isCorruptSegment,
  readSegment,
  writeSegment,
} from '../../../src/protocol/cache/segment.ts';
import { OpenerPool } from '../../../src/vault/log-processor/opener-pool.ts';

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

async function sealed(): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  await writeSegment(
    {
      ...{ identity, itemKey, salt: randomBytes(32) },
      extents: [
        { kind: 'data', offsetBytes: 0, lengthBytes: disk.byteLength },
        { kind: 'zero', offsetBytes: disk.byteLength, lengthBytes: 8192 },
      ],
      fill: (target, offsetBytes) => target.set(disk.subarray(offsetBytes, offsetBytes + target.byteLength)),
    },
    inlineSealer,
    async (piece) => void pieces.push(piece),
  );
  return Buffer.concat(pieces);
}

async function read(object: Buffer, opener: FrameOpener): Promise<Buffer> {
  const found = Buffer.alloc(disk.byteLength);
  const source = (async function* () {
    for (let at = 0; at < object.byteLength; at += 300_001) yield object.subarray(at, at + 300_001);
  })();
  for await (const piece of readSegment(source, itemKey, { identity }, opener))
    found.set(piece.bytes, piece.offsetBytes);
  return found;
}

test('worker threads open what the calling thread opens', async (t) => {
  await using pool = new OpenerPool();
  const object = await sealed();
  const both = await Promise.all([read(object, pool), read(object, pool), read(object, inlineOpener)]);
  for (const found of both) t.true(found.equals(disk));
});

test('damage anywhere is refused by worker threads, and they go on', async (t) => {
  await using pool = new OpenerPool();
  const object = await sealed();
  for (let at = 5; at < object.byteLength; at += Math.floor(object.byteLength / 12)) {
    const damaged = Buffer.from(object);
    damaged[at]! ^= 1;
    const error = await t.throwsAsync(read(damaged, pool));
    t.true(isCorruptSegment(error), `the byte at ${at}`);
  }
  t.true((await read(object, pool)).equals(disk));
});
