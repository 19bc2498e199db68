/**
 * The answer to a manifest's `digestRequest`: what the head of a disk really has, as digests of its chunks, so that a
 * resync sends only what differs. The bytes are read from the head, never remembered; and since they pass by anyway, the
 * head's sums are made anew from the same reading.
 *
 *     stretches of 4 MiB, several under way ─▶ a part (64 MiB, then 256 MiB each) ─▶ sealed, put while the next is read
 *
 * The sender compares behind it: the first part is small so that it begins at once, the others are small enough that it
 * never waits for a whole disk to be read.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ProtectedItemId } from '../../model/ids.ts';
import type { Random } from '../../platform/random.ts';
import type { CacheStore } from '../../protocol/cache/cache-store.ts';
import { encodeDigestPart } from '../../protocol/cache/digest-part.ts';
import { digestKey, type Manifest } from '../../protocol/cache/manifest.ts';
import { sealObject } from '../../protocol/cache/segment.ts';
import { digestBytes, digestChunkBytes } from '../../protocol/replication/messages.ts';
import { digestAnswerBytes, digestFirstAnswerBytes } from '../limits.ts';
import { digestStretchBytes } from '../replica/chunk-digests.ts';
import type { ReplicaDisk } from '../replica/replica-store.ts';

interface AnswerParts {
  readonly itemId: ProtectedItemId;
  readonly itemKey: Uint8Array;
  readonly cache: CacheStore;
  readonly random: Random;
}

export async function answerDigests(
  parts: AnswerParts,
  request: NonNullable<Manifest['digestRequest']>,
  head: ReplicaDisk,
  signal: AbortSignal,
): Promise<void> {
  let putting: Promise<void> = Promise.resolve();
  try {
    for (let part = 0, at = request.fromBytes; ; part++) {
      const partBytes = part === 0 ? digestFirstAnswerBytes : digestAnswerBytes;
      const endBytes = Math.max(at, Math.min(head.sizeBytes, at + partBytes));
      const digests = await digestsOf(head, at, endBytes, signal);
      const isLast = endBytes >= head.sizeBytes;
      const key = digestKey(parts.itemId, request.resyncId, part, isLast);
      await putting;
      putting = put(parts, key, { offsetBytes: at, lengthBytes: endBytes - at, digests }, signal);
      putting.catch(() => {}); // Awaited below or in the next turn.
      if (isLast) break;
      at = endBytes;
    }
    await putting;
  } catch (error) {
    await putting.catch(() => {});
    throw error;
  }
  await head.flush();
}

async function digestsOf(
  head: ReplicaDisk,
  fromBytes: number,
  toBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const digests = Buffer.alloc(Math.ceil((toBytes - fromBytes) / digestChunkBytes) * digestBytes);
  const underWay = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  for (let at = fromBytes; at < toBytes && failure === undefined && !signal.aborted; ) {
    // Up to multiples of the stretch, so that a stretch is one whole page of sums.
    const end = Math.min(toBytes, (Math.floor(at / digestStretchBytes) + 1) * digestStretchBytes);
    const place = ((at - fromBytes) / digestChunkBytes) * digestBytes;
    const work = head
      .digests(at, end - at)
      .then((found) => digests.set(found, place))
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => underWay.delete(work));
    underWay.add(work);
    while (underWay.size >= head.digestConcurrency) await Promise.race(underWay);
    at = end;
  }
  await Promise.all(underWay);
  if (failure !== undefined) throw failure.error;
  signal.throwIfAborted();
  return digests;
}

async function put(
  { itemId: _, itemKey, cache, random }: AnswerParts,
  key: string,
  part: Parameters<typeof encodeDigestPart>[0],
  signal: AbortSignal,
): Promise<void> {
  const object = sealObject(itemKey, random.bytes(32), key, encodeDigestPart(part));
  // A crash may have left this part from the same request (or a resumed walk one with another start): the salt makes
  // it other bytes in any case, so it is put anew.
  await cache.delete(key, signal);
  await cache.put(
    key,
    {
      sizeBytes: object.byteLength,
      sha256: createHash('sha256').update(object).digest('hex'),
      open: () => Readable.from([object], { objectMode: false }),
    },
    signal,
  );
}
