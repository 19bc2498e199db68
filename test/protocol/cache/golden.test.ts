/**
 * Golden files: what version 1 wrote is read for ever. The JSON beside each says what must come out; the key is a test's.
 * Encryption of today is compared by content, not by bytes: a later zstd may compress differently.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { BookmarkId, ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { decodeDigestPart, encodeDigestPart } from '../../../src/protocol/cache/digest-part.ts';
import { manifestMacKey } from '../../../src/protocol/cache/keys.ts';
import { decodeManifest, encodeManifest, type Manifest } from '../../../src/protocol/cache/manifest.ts';
import {
  inlineSealer,
  openObject,
  readSegment,
  sealObject,
  writeSegment,
} from '../../../src/protocol/cache/segment.ts';

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
  { kind: 'data' as const, offsetBytes: 0, lengthBytes: 8192 },
  { kind: 'data' as const, offsetBytes: 8192, lengthBytes: 512 },
  { kind: 'zero' as const, offsetBytes: 16384, lengthBytes: 1 << 30 },
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
  const fill = (target: Uint8Array, at: number) => target.set(disk.subarray(at, at + target.byteLength));
  await writeSegment({ identity, itemKey, salt, extents, fill }, inlineSealer, async (bytes) => {
    pieces.push(Buffer.from(bytes));
  });
  return Buffer.concat(pieces);
}

/** A golden file is written once, when its version is new, and never again. */
function goldenFile(path: string, make: Uint8Array): Buffer {
  const at = join(golden, path);
  if (!existsSync(at)) {
    mkdirSync(join(at, '..'), { recursive: true });
    writeFileSync(at, make);
  }
  return readFileSync(at);
}

test('a segment of version 1 is read', async (t) => {
  const object = goldenFile('segment/v1/segment.seg', await encodeSegment());
  const pieces = [];
  for await (const piece of readSegment(
    (async function* () {
      yield object;
    })(),
    itemKey,
    { identity },
  ))
    pieces.push({ ...piece, bytes: Buffer.from(piece.bytes) });
  t.is(pieces.length, 2);
  t.like(pieces[1], { kind: 'zero', offsetBytes: 16384, lengthBytes: 1 << 30 });
  t.true(pieces[0]!.bytes.equals(disk.subarray(0, 8704)));
});

test('a digest object of version 1 is read', async (t) => {
  const object = goldenFile(
    'segment/v1/digests.dig',
    sealObject(itemKey, salt, digestKey, encodeDigestPart(part)),
  );
  t.deepEqual(decodeDigestPart(await openObject(itemKey, digestKey, object), digestKey), part);
});

test('a manifest of version 1 is read, and encoded to the same bytes', (t) => {
  const encoded = encodeManifest(manifest, manifestMacKey(itemKey));
  const object = goldenFile('manifest/v1/manifest.json', encoded);
  t.deepEqual(decodeManifest(object, manifestMacKey(itemKey), 'golden'), manifest);
  t.true(encoded.equals(object));
});
