/**
 * The back door: what refine made goes to cache storage, and only what cache storage has confirmed goes from the spool.
 * One manifest after the other, each after all of its segments: a manifest that can be seen names only what is there.
 *
 * Errors that may pass are tried again, at first quickly, then on the ladder (docs/decisions/upload-retries.md). An
 * `ObjectConflict` stops the item: two writers on one chain are worse than none.
 */
import { Readable } from 'node:stream';
import { isTransient } from '../../platform/errors.ts';
import type { Files } from '../../platform/files.ts';
import { ladderDelay } from '../../platform/retry.ts';
import type { Throttle } from '../../platform/throttle.ts';
import type { CacheStore, ObjectBody } from '../../protocol/cache/cache-store.ts';
import { manifestDigest } from '../../protocol/cache/manifest.ts';
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
    readonly sent: (bytes: number) => void;
  },
  record: OutgoingRecord,
  signal: AbortSignal,
): Promise<void> {
  for (const [index, segment] of record.manifest.segments.entries()) {
    const path = `${parts.spool.outgoingFolder}/${record.segmentFiles[index]!}`;
    await parts.store.put(
      segment.key,
      {
        sizeBytes: segment.objectBytes,
        sha256: segment.sha256,
        open: () => Readable.from(throttled(parts, path, signal), { objectMode: false }),
      },
      signal,
    );
  }
  const object = Buffer.from(record.object);
  const body: ObjectBody = {
    sizeBytes: object.byteLength,
    sha256: manifestDigest(object),
    open: () => Readable.from([object], { objectMode: false }),
  };
  await parts.store.put(record.manifestKey, body, signal);
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
