/**
 * The answer to a manifest's `digestRequest`: what the head of a disk really has, as digests of its chunks, so that a
 * resync sends only what differs. The bytes are read from the head, never remembered; and since they pass by anyway, the
 * head's sums are made anew from them.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ProtectedItemId } from '../../model/ids.ts';
import type { Random } from '../../platform/random.ts';
import type { CacheStore } from '../../protocol/cache/cache-store.ts';
import { encodeDigestPart } from '../../protocol/cache/digest-part.ts';
import { digestKey, digestPartBytes, type Manifest } from '../../protocol/cache/manifest.ts';
import { sealObject } from '../../protocol/cache/segment.ts';
import { digestBytes, digestChunkBytes } from '../../protocol/replication/messages.ts';
import type { ReplicaDisk } from '../replica/replica-store.ts';

const readBytes = 1 << 20;

export async function answerDigests(
  parts: {
    readonly itemId: ProtectedItemId;
    readonly itemKey: Uint8Array;
    readonly cache: CacheStore;
    readonly random: Random;
  },
  request: NonNullable<Manifest['digestRequest']>,
  head: ReplicaDisk,
  signal: AbortSignal,
): Promise<void> {
  const buffer = new Uint8Array(readBytes);
  for (let part = 0, at = request.fromBytes; ; part++) {
    const endBytes = Math.min(head.sizeBytes, at + digestPartBytes);
    const digests = Buffer.alloc(Math.ceil(Math.max(endBytes - at, 0) / digestChunkBytes) * digestBytes);
    let filled = 0;
    for (let offset = at; offset < endBytes; offset += readBytes) {
      signal.throwIfAborted();
      const bytes = buffer.subarray(0, Math.min(readBytes, endBytes - offset));
      await head.read(bytes, offset);
      for (let chunk = 0; chunk < bytes.byteLength; chunk += digestChunkBytes) {
        createHash('sha256')
          .update(bytes.subarray(chunk, chunk + digestChunkBytes))
          .digest()
          .copy(digests, filled, 0, digestBytes);
        filled += digestBytes;
      }
      await head.resum(offset, bytes.byteLength);
    }
    const isLast = endBytes >= head.sizeBytes;
    const key = digestKey(parts.itemId, request.resyncId, part, isLast);
    const plain = encodeDigestPart({ offsetBytes: at, lengthBytes: Math.max(endBytes - at, 0), digests });
    const object = sealObject(parts.itemKey, parts.random.bytes(32), key, plain);
    // A crash may have left this part from the same request (or a resumed walk one with another start): the salt makes
    // it other bytes in any case, so it is put anew.
    await parts.cache.delete(key, signal);
    await parts.cache.put(
      key,
      {
        sizeBytes: object.byteLength,
        sha256: createHash('sha256').update(object).digest('hex'),
        open: () => Readable.from([object], { objectMode: false }),
      },
      signal,
    );
    if (isLast) break;
    at = endBytes;
  }
  await head.flush();
}
