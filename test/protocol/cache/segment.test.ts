/** Goal: a segment comes back as it was written, or not at all. */
import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import type { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { decodeDigestPart, encodeDigestPart } from '../../../src/protocol/cache/digest-part.ts';
import {
  inlineSealer,
  openObject,
  type SegmentExpectations,
  type SegmentExtent,
  type SegmentIdentity,
  sealObject,
  verifySegment,
  writeSegment,
} from '../../../src/protocol/cache/segment.ts';
import { segmentPieces } from '../../support/segment-pieces.ts';

const identity: SegmentIdentity = {
  itemId: '6f9619ff-8b86-4011-b42d-00cf4fc964ff' as ProtectedItemId,
  diskId: '7f9619ff-8b86-4011-b42d-00cf4fc964ff' as ProtectedDiskId,
  chain: 3,
  sequence: 17,
};
const itemKey = randomBytes(32);

async function write(extents: SegmentExtent[], disk: Uint8Array) {
  const pieces: Buffer[] = [];
  const written = await writeSegment(
    {
      identity,
      itemKey,
      salt: randomBytes(32),
      extents,
      fill: (target, offsetBytes) => target.set(disk.subarray(offsetBytes, offsetBytes + target.byteLength)),
    },
    inlineSealer,
    async (bytes) => {
      pieces.push(Buffer.from(bytes));
    },
  );
  return { written, object: Buffer.concat(pieces) };
}

async function* inPieces(object: Uint8Array, pieceBytes: number) {
  for (let at = 0; at < object.byteLength; at += pieceBytes) yield object.subarray(at, at + pieceBytes);
}

async function apply(object: Uint8Array, sizeBytes: number, changes: Partial<SegmentExpectations> = {}) {
  const image = new Uint8Array(sizeBytes).fill(0xee);
  const source = () => inPieces(object, 70_001);
  const expected = { ...expectations, ...changes };
  const [placed, verified] = await Promise.allSettled([
    segmentPieces(source(), itemKey, expected),
    verifySegment(source(), itemKey, expected, new AbortController().signal),
  ]);
  assert.equal(verified.status, placed.status, 'whoever only looks comes to the same end');
  if (placed.status === 'rejected') throw placed.reason;
  for (const piece of placed.value)
    if (piece.kind === 'zero') image.fill(0, piece.offsetBytes, piece.offsetBytes + piece.lengthBytes);
    else image.set(piece.bytes, piece.offsetBytes);
  return image;
}
const expectations: SegmentExpectations = { identity };

test('any sorted extents come back, byte for byte', async (t) => {
  const block = 512;
  const sizeBytes = 3 << 20;
  const random = randomBytes(sizeBytes);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 1500 }), fc.nat(2)), { maxLength: 12 }),
      fc.boolean(),
      async (gaps, compressible) => {
        const disk = compressible ? new Uint8Array(sizeBytes).fill(7) : random;
        const extents: SegmentExtent[] = [];
        const model = new Uint8Array(sizeBytes).fill(0xee);
        let at = 0;
        for (const [gap, blocks, kind] of gaps) {
          at += gap * block;
          const lengthBytes = Math.min(blocks * block, sizeBytes - at);
          if (lengthBytes <= 0) break;
          extents.push({ kind: kind === 0 ? 'zero' : 'data', offsetBytes: at, lengthBytes });
          if (kind === 0) model.fill(0, at, at + lengthBytes);
          else model.set(disk.subarray(at, at + lengthBytes), at);
          at += lengthBytes;
        }
        const { written, object } = await write(extents, disk);
        const image = await apply(object, sizeBytes, {
          sha256: written.sha256,
          objectBytes: written.objectBytes,
          diskSizeBytes: sizeBytes,
        });
        return Buffer.from(image).equals(model) && written.objectBytes === object.byteLength;
      },
    ),
    { numRuns: 40 },
  );
  t.pass();
});

test('every flipped bit, every cut and every addition is detected', async (t) => {
  const disk = Buffer.concat([randomBytes(300), Buffer.alloc(900, 'text ')]);
  const { object } = await write(
    [
      { kind: 'data', offsetBytes: 0, lengthBytes: 700 },
      { kind: 'zero', offsetBytes: 700, lengthBytes: 100 },
      { kind: 'data', offsetBytes: 900, lengthBytes: 300 },
    ],
    disk,
  );
  await apply(object, 1200);
  for (let at = 0; at < object.byteLength; at++) {
    const bad = Buffer.from(object);
    bad[at]! ^= 1 << (at % 8);
    const error = await t.throwsAsync(apply(bad, 1200), undefined, `byte ${at}`);
    if ((error as { code?: string })?.code !== 'CorruptSegment') t.fail(`byte ${at}: ${error}`);
  }
  for (let length = 0; length < object.byteLength; length++)
    await t.throwsAsync(apply(object.subarray(0, length), 1200), { code: 'CorruptSegment' } as never);
  await t.throwsAsync(apply(Buffer.concat([object, Buffer.alloc(1)]), 1200), {
    code: 'CorruptSegment',
  } as never);
});

test('a segment of another disk, item, chain or sequence, or with another key is refused', async (t) => {
  const { object } = await write([{ kind: 'data', offsetBytes: 0, lengthBytes: 512 }], randomBytes(512));
  for (const other of [
    { ...identity, itemId: identity.diskId as unknown as ProtectedItemId },
    { ...identity, diskId: identity.itemId as unknown as ProtectedDiskId },
    { ...identity, chain: 4 },
    { ...identity, sequence: 18 },
  ])
    await t.throwsAsync(apply(object, 512, { identity: other }), { code: 'CorruptSegment' } as never);
  const otherKey = segmentPieces(inPieces(object, 9), randomBytes(32), { identity });
  await t.throwsAsync(otherKey, { code: 'CorruptSegment' } as never);
  await t.throwsAsync(apply(object, 512, { sha256: '0'.repeat(64) }), { code: 'CorruptSegment' } as never);
  await t.throwsAsync(apply(object, 512, { diskSizeBytes: 511 }), { code: 'CorruptSegment' } as never);
});

test('what does not compress is stored, zero ranges take no room, neighbours are joined', async (t) => {
  const noise = await write([{ kind: 'data', offsetBytes: 0, lengthBytes: 1 << 20 }], randomBytes(1 << 20));
  t.true(noise.object.byteLength < (1 << 20) + 300);
  const text = await write(
    [{ kind: 'data', offsetBytes: 0, lengthBytes: 1 << 20 }],
    Buffer.alloc(1 << 20, 'abc'),
  );
  t.true(text.object.byteLength < 2000);
  const zeroes = await write(
    [
      { kind: 'zero', offsetBytes: 0, lengthBytes: 2 ** 40 },
      { kind: 'zero', offsetBytes: 2 ** 40, lengthBytes: 2 ** 40 },
    ],
    new Uint8Array(0),
  );
  t.true(zeroes.object.byteLength < 300);
  t.is(zeroes.written.extentCount, 1);
  t.is(zeroes.written.logicalBytes, 2 ** 41);
});

test('a segment of 140,000 extents has several index frames', async (t) => {
  const disk = randomBytes(140_000 * 2);
  const extents = Array.from({ length: 140_000 }, (_, index) => ({
    kind: 'data' as const,
    offsetBytes: index * 2,
    lengthBytes: 1,
  }));
  const { object, written } = await write(extents, disk);
  t.is(written.extentCount, 140_000);
  const image = await apply(object, disk.byteLength);
  t.true(image.every((byte, index) => byte === (index % 2 === 0 ? disk[index] : 0xee)));
});

test('a digest object opens under its own key only, and every flipped byte is detected', async (t) => {
  const part = { offsetBytes: 65_536 * 4, lengthBytes: 65_536 * 2 + 512, digests: randomBytes(48) };
  const object = sealObject(itemKey, randomBytes(32), 'items/a/digests/b/0.dig', encodeDigestPart(part));
  const key = 'items/a/digests/b/0.dig';
  t.deepEqual(decodeDigestPart(await openObject(itemKey, key, object), key), part);
  await t.throwsAsync(openObject(itemKey, `${key}x`, object), { code: 'CorruptSegment' } as never);
  for (let at = 0; at < object.byteLength; at++) {
    const bad = Buffer.from(object);
    bad[at]! ^= 0x10;
    await t.throwsAsync(openObject(itemKey, key, bad), { code: 'CorruptSegment' } as never, `byte ${at}`);
  }
});
