/**
 * The back door: what refine made goes to cache storage, and only what cache storage has confirmed goes from the spool.
 * One manifest after the other, each after all of its segments: a manifest that can be seen names only what is there.
 *
 * Errors that may pass are tried again, at first quickly, then on the ladder (docs/decisions/upload-retries.md). An
 * `ObjectConflict` stops the item: two writers on one chain are worse than none. But first what is there is read: when
 * nobody who has the item's key can have written it, it is ours and was damaged where it lay (its confirmation was lost on
 * the way, so it is put again); then it is removed, and the good copy takes its place.
 */
import { Readable } from 'node:stream';
import { hasCode, isTransient } from '../../platform/errors.ts';
import type { Files } from '../../platform/files.ts';
import { ladderDelay } from '../../platform/retry.ts';
import type { Throttle } from '../../platform/throttle.ts';
import type { CacheStore, ObjectBody } from '../../protocol/cache/cache-store.ts';
import { manifestMacKey } from '../../protocol/cache/keys.ts';
import { decodeManifest, manifestBytesMax, manifestDigest } from '../../protocol/cache/manifest.ts';
import { verifySegment } from '../../protocol/cache/segment.ts';
import type { ItemSpool, OutgoingRecord } from '../spool/item-spool.ts';

const readBytes = 256 << 10;

/** A broken connection or a vault that restarts is back in seconds; whatever is not, is on the ladder. */
const quickMilliseconds = [2_000, 10_000];

/** How long after the failure number `attempt` (from 0) the next try comes. */
export function uploadDelay(attempt: number): number {
  return quickMilliseconds[attempt] ?? ladderDelay(attempt - quickMilliseconds.length);
}

/** An unknown error is taken for one that may pass, on the slow end: nothing is lost by trying. */
export function uploadMayRetry(error: unknown): boolean {
  return (
    isTransient(error) || !(error instanceof Error && 'code' in error && error.code === 'ObjectConflict')
  );
}

export async function uploadRecord(
  parts: {
    readonly files: Files;
    readonly store: CacheStore;
    readonly spool: ItemSpool;
    readonly throttle: Throttle;
    readonly itemKey: Uint8Array;
    readonly sent: (bytes: number) => void;
  },
  record: OutgoingRecord,
  signal: AbortSignal,
): Promise<void> {
  for (const [index, segment] of record.manifest.segments.entries()) {
    const path = `${parts.spool.outgoingFolder}/${record.segmentFiles[index]!}`;
    const { itemId, chain, sequence } = record.manifest;
    const body: ObjectBody = {
      sizeBytes: segment.objectBytes,
      sha256: segment.sha256,
      open: () => Readable.from(throttled(parts, path, signal), { objectMode: false }),
    };
    await putOrMend(parts.store, segment.key, body, signal, async (stream) => {
      const identity = { itemId, diskId: segment.diskId, chain, sequence };
      await verifySegment(stream, parts.itemKey, { identity }, signal);
    });
  }
  const object = Buffer.from(record.object);
  const body: ObjectBody = {
    sizeBytes: object.byteLength,
    sha256: manifestDigest(object),
    open: () => Readable.from([object], { objectMode: false }),
  };
  await putOrMend(parts.store, record.manifestKey, body, signal, async (stream) => {
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const piece of stream) {
      pieces.push(piece);
      sizeBytes += piece.byteLength;
      if (sizeBytes > manifestBytesMax) break;
    }
    decodeManifest(Buffer.concat(pieces), manifestMacKey(parts.itemKey), record.manifestKey);
  });
}

/** Read twice before it counts: a flaky read must not cost another writer its object. */
const readsMax = 2;

async function putOrMend(
  store: CacheStore,
  key: string,
  body: ObjectBody,
  signal: AbortSignal,
  check: (stream: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  try {
    await store.put(key, body, signal);
  } catch (error) {
    if (!hasCode(error, 'ObjectConflict')) throw error;
    for (let count = 0; count < readsMax; count++) {
      const stream = await store.get(key, signal);
      if (stream === undefined) break;
      if (await isAuthentic(check(stream as AsyncIterable<Uint8Array>))) throw error;
    }
    await store.delete(key, signal);
    await store.put(key, body, signal);
  }
}

async function isAuthentic(checked: Promise<void>): Promise<boolean> {
  try {
    await checked;
    return true;
  } catch (error) {
    if (hasCode(error, 'CorruptSegment', 'ManifestTampered', 'InvalidInput')) return false;
    throw error;
  }
}

async function* throttled(
  parts: { readonly files: Files; readonly throttle: Throttle; readonly sent: (bytes: number) => void },
  path: string,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  await using file = await parts.files.open(path, 'read');
  for (let positionBytes = 0; ; ) {
    const chunk = Buffer.allocUnsafe(readBytes);
    const count = await file.read(chunk, positionBytes);
    if (count === 0) return;
    await parts.throttle.take(count, signal);
    parts.sent(count);
    yield chunk.subarray(0, count);
    positionBytes += count;
  }
}
