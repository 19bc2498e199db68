/**
 * Golden files: what any version wrote is read for ever. The JSON beside each says what must come out; the key is a test's.
 * Encryption of today is compared by content, not by bytes: a later zstd may compress differently.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { zstdCompressSync } from 'node:zlib';
import test from 'ava';
import type { BookmarkId, ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { decodeDigestPart, encodeDigestPart } from '../../../src/protocol/cache/digest-part.ts';
import { manifestMacKey, requestMacKey } from '../../../src/protocol/cache/keys.ts';
import { decodeManifest, encodeManifest, type Manifest } from '../../../src/protocol/cache/manifest.ts';
import {
  decodeSigned,
  encodeSigned,
  HaltNotice,
  haltNoticeKey,
  ResyncRequest,
  resyncRequestKey,
} from '../../../src/protocol/cache/request.ts';
import { inlineSealer, openObject, sealObject, writeSegment } from '../../../src/protocol/cache/segment.ts';
import { segmentPieces } from '../../support/segment-pieces.ts';

const golden = join(import.meta.dirname, '../../golden');
const itemKey = Buffer.alloc(32, 0x42);
const salt = Buffer.alloc(32, 0x17);
const itemId = '6f9619ff-8b86-4011-b42d-00cf4fc964ff' as ProtectedItemId;
const diskId = '7f9619ff-8b86-4011-b42d-00cf4fc964ff' as ProtectedDiskId;
const identity = { itemId, diskId, chain: 1, sequence: 2 };
const disk = Buffer.concat([
  Buffer.alloc(8192, 'golden '),
  Buffer.from(Array.from({ length: 600 }, (_, at) => (at * 131) ^ (at >> 3))),
]);
const extents = [
  {
    kind: 'data' as const,
    offsetBytes: 0,
    lengthBytes: 8192,
    body: zstdCompressSync(disk.subarray(0, 8192)),
  },
  { kind: 'data' as const, offsetBytes: 8192, lengthBytes: 512, body: disk.subarray(8192, 8704) },
  { kind: 'zero' as const, offsetBytes: 16384, lengthBytes: 1 << 30 },
  { kind: 'data' as const, offsetBytes: 2 ** 31, lengthBytes: 8192 },
];
const digestKey = 'items/x/digests/y/0-last.dig';
const part = { offsetBytes: 65536, lengthBytes: 131072, digests: Buffer.alloc(32, 0x99) };
const manifest: Manifest = {
  format: 'leeward-manifest/1',
  itemId,
  chain: 1,
  sequence: 2,
  previousDigest: 'ab'.repeat(32),
  generation: 3,
  createdAt: '2026-01-02T03:04:05.000Z',
  segments: [
    {
      diskId,
      key: 'items/a/segments/b.seg',
      sha256: 'cd'.repeat(32),
      objectBytes: 9,
      logicalBytes: 10,
      extentCount: 1,
    },
  ],
  disks: [{ diskId, sizeBytes: 4096, state: 'in-sync' }],
  bookmark: {
    bookmarkId: '8f9619ff-8b86-4011-b42d-00cf4fc964ff' as BookmarkId,
    type: 'CrashConsistent',
    method: 'quiet',
    takenAt: '2026-01-02T03:04:04.000Z',
    frozenMilliseconds: 0,
  },
  progress: [],
  health: [],
};

async function encodeSegment(): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const fill = (target: Uint8Array, at: number) =>
    target.set(disk.subarray(at % 2 ** 31, (at % 2 ** 31) + target.byteLength));
  await writeSegment({ identity, itemKey, salt, extents, fill }, inlineSealer, async (bytes) => {
    pieces.push(Buffer.from(bytes));
  });
  return Buffer.concat(pieces);
}

/** A missing one is an error. LEEWARD_WRITE_GOLDEN=1 writes those of a new version, once, and never one that is there. */
function goldenFile(path: string, make?: Uint8Array): Buffer {
  const at = join(golden, path);
  if (make && process.env.LEEWARD_WRITE_GOLDEN === '1' && !existsSync(at)) {
    mkdirSync(join(at, '..'), { recursive: true });
    writeFileSync(at, make);
  }
  return readFileSync(at);
}

const piecesOf = (object: Buffer) => segmentPieces(Readable.from([object]), itemKey, { identity });

test('a segment of version 1 is read', async (t) => {
  const pieces = await piecesOf(goldenFile('segment/v1/segment.seg'));
  t.is(pieces.length, 2);
  t.like(pieces[1], { kind: 'zero', offsetBytes: 16384, lengthBytes: 1 << 30 });
  t.deepEqual(Buffer.from(pieces[0]!.bytes), disk.subarray(0, 8704));
});

test('a segment of version 2 is read: frames packed by the sender, stored, and packed by refine', async (t) => {
  const pieces = await piecesOf(goldenFile('segment/v2/segment.seg', await encodeSegment()));
  t.deepEqual(
    pieces.map(({ kind, offsetBytes, lengthBytes }) => [kind, offsetBytes, lengthBytes]),
    [
      ['data', 0, 8192],
      ['data', 8192, 512],
      ['zero', 16384, 1 << 30],
      ['data', 2 ** 31, 8192],
    ],
  );
  t.true(Buffer.concat(pieces.slice(0, 2).map(({ bytes }) => bytes)).equals(disk.subarray(0, 8704)));
  t.deepEqual(Buffer.from(pieces[3]!.bytes), disk.subarray(0, 8192));
});

for (const version of ['v1', 'v2'])
  test(`a digest object of version ${version.slice(1)} is read`, async (t) => {
    const object = goldenFile(
      `segment/${version}/digests.dig`,
      version === 'v2' ? sealObject(itemKey, salt, digestKey, encodeDigestPart(part)) : undefined,
    );
    t.deepEqual(decodeDigestPart(await openObject(itemKey, digestKey, object), digestKey), part);
  });

test('a manifest of version 1 is read, and encoded to the same bytes', (t) => {
  const encoded = encodeManifest(manifest, manifestMacKey(itemKey));
  const object = goldenFile('manifest/v1/manifest.json', encoded);
  t.deepEqual(decodeManifest(object, manifestMacKey(itemKey), 'golden'), manifest);
  t.true(encoded.equals(object));
});

test('a manifest whose bookmark lacks a disk came later, and is read and encoded to the same bytes', (t) => {
  const later: Manifest = {
    ...manifest,
    bookmark: {
      ...manifest.bookmark!,
      missingDisks: [{ diskId: manifest.disks[0]!.diskId, cause: 'gone' }],
    },
  };
  const encoded = encodeManifest(later, manifestMacKey(itemKey));
  const object = goldenFile('manifest/v1/later/missing-disks.json', encoded);
  t.deepEqual(decodeManifest(object, manifestMacKey(itemKey), 'golden'), later);
  t.true(encoded.equals(object));
});

test('a manifest whose bookmark held writers back came later, and is read and encoded to the same bytes', (t) => {
  const { frozenMilliseconds: _, ...bookmark } = manifest.bookmark!;
  const later: Manifest = {
    ...manifest,
    bookmark: { ...bookmark, method: 'brake', frozenMilliseconds: 0, heldMilliseconds: 48.5 },
  };
  const encoded = encodeManifest(later, manifestMacKey(itemKey));
  const object = goldenFile('manifest/v1/later/held.json', encoded);
  t.deepEqual(decodeManifest(object, manifestMacKey(itemKey), 'golden'), later);
  t.true(encoded.equals(object));
});

test('requests and notices of version 1 are read, encoded to the same bytes, and bound to their key', (t) => {
  const macKey = requestMacKey(itemKey);
  const request: ResyncRequest = {
    format: 'leeward-resync-request/1',
    itemId,
    chain: 7,
    cause: 'ReplicaInvalid',
  };
  const requestKey = resyncRequestKey(itemId, 7);
  const encoded = encodeSigned(ResyncRequest, request, macKey, requestKey);
  const object = goldenFile('request/v1/resync.json', encoded);
  t.true(encoded.equals(object));
  t.deepEqual(decodeSigned(ResyncRequest, object, macKey, requestKey), request);
  for (const wrong of [
    () => decodeSigned(ResyncRequest, object, macKey, resyncRequestKey(itemId, 8)),
    () => decodeSigned(ResyncRequest, object, requestMacKey(Buffer.alloc(32)), requestKey),
    () => decodeSigned(ResyncRequest, object.subarray(0, -1), macKey, requestKey),
    () => decodeSigned(ResyncRequest, Buffer.alloc(0), macKey, requestKey),
  ])
    t.throws(wrong, { code: 'RequestTampered' } as never);
  const ofDisk: ResyncRequest = { ...request, cause: 'Requested', diskId: manifest.disks[0]!.diskId };
  const diskKey = resyncRequestKey(itemId, 7, ofDisk.diskId);
  const diskObject = goldenFile(
    'request/v1/resync-disk.json',
    encodeSigned(ResyncRequest, ofDisk, macKey, diskKey),
  );
  t.true(encodeSigned(ResyncRequest, ofDisk, macKey, diskKey).equals(diskObject));
  t.deepEqual(decodeSigned(ResyncRequest, diskObject, macKey, diskKey), ofDisk);
  t.throws(() => decodeSigned(ResyncRequest, diskObject, macKey, requestKey), {
    code: 'RequestTampered',
  } as never);
  const notice: HaltNotice = {
    format: 'leeward-halt-notice/1',
    itemId,
    chain: 7,
    event: {
      code: 'ItemHalted',
      severity: 'critical',
      summary: 'replication of this machine stands still',
      possibleCauses: 'Two process servers.',
      recommendedAction: 'leeward resync ITEM',
      raisedAt: '2026-01-02T03:04:05.000Z',
      context: { itemId },
    },
  };
  const noticeKey = haltNoticeKey(itemId, 7);
  const told = encodeSigned(HaltNotice, notice, macKey, noticeKey);
  const golden = goldenFile('request/v1/halted.json', told);
  t.true(told.equals(golden));
  t.deepEqual(decodeSigned(HaltNotice, golden, macKey, noticeKey), notice);
});
