/**
 * Writes an item's chain into cache storage the way a process server does, from a model that keeps what each disk had at
 * each bookmark: the oracle of the log processor's tests. Seeded, so that another process can know the same model.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { DiskState } from '../../src/model/disk-state.ts';
import type { BookmarkId, ProtectedDiskId, ProtectedItemId } from '../../src/model/ids.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { CacheStore } from '../../src/protocol/cache/cache-store.ts';
import { manifestMacKey } from '../../src/protocol/cache/keys.ts';
import {
  encodeManifest,
  type Manifest,
  manifestDigest,
  manifestKey,
  type SegmentReference,
  segmentKey,
} from '../../src/protocol/cache/manifest.ts';
import { inlineSealer, type SegmentExtent, writeSegment } from '../../src/protocol/cache/segment.ts';

const never = new AbortController().signal;
const blockBytes = 4096;

export class ChainWriter {
  readonly itemId = systemRandom.uuid() as ProtectedItemId;
  readonly itemKey = systemRandom.bytes(32);
  readonly disks: { readonly diskId: ProtectedDiskId; readonly content: Buffer }[];
  /** What the disks had at each bookmark. */
  readonly points = new Map<string, Buffer[]>();
  chain = 1;
  sequence = 0;
  readonly #cache: CacheStore;
  #previous: string | null = null;

  constructor(cache: CacheStore, sizesBytes: readonly number[]) {
    this.#cache = cache;
    this.disks = sizesBytes.map((size) => ({
      diskId: systemRandom.uuid() as ProtectedDiskId,
      content: Buffer.alloc(size),
    }));
  }

  newChain(): void {
    this.chain++;
    this.sequence = 0;
    this.#previous = null;
  }

  /** Changes every disk at random and puts the manifest that says so. Answers its key and the segments' keys. */
  async put(options: {
    readonly state?: DiskState;
    readonly isBookmark?: boolean;
    readonly extents?: number;
    readonly digestRequest?: Manifest['digestRequest'];
    readonly alter?: (manifest: Manifest) => Manifest;
  }): Promise<{ key: string; segments: SegmentReference[]; bookmarkId: string | undefined }> {
    const sequence = ++this.sequence;
    const segments: SegmentReference[] = [];
    for (const { diskId, content } of this.disks) {
      const extents = randomExtents(content.byteLength, options.extents ?? 12);
      for (const extent of extents) {
        if (extent.kind === 'zero')
          content.fill(0, extent.offsetBytes, extent.offsetBytes + extent.lengthBytes);
        else systemRandom.bytes(extent.lengthBytes).copy(content, extent.offsetBytes);
      }
      if (extents.length === 0) continue;
      const pieces: Uint8Array[] = [];
      const written = await writeSegment(
        {
          identity: { itemId: this.itemId, diskId, chain: this.chain, sequence },
          itemKey: this.itemKey,
          salt: systemRandom.bytes(32),
          extents,
          fill: (target, offset) => {
            target.set(content.subarray(offset, offset + target.byteLength));
          },
        },
        inlineSealer,
        async (bytes) => {
          pieces.push(Uint8Array.from(bytes));
        },
      );
      const key = segmentKey(this.itemId, this.chain, sequence, diskId);
      await this.#put(key, Buffer.concat(pieces));
      segments.push({ diskId, key, ...written });
    }
    const bookmarkId = options.isBookmark ? systemRandom.uuid() : undefined;
    const manifest: Manifest = {
      format: 'leeward-manifest/1',
      itemId: this.itemId,
      chain: this.chain,
      sequence,
      previousDigest: this.#previous,
      generation: this.chain,
      createdAt: '2026-01-01T00:00:00.000Z',
      segments,
      disks: this.disks.map(({ diskId, content }) => ({
        diskId,
        sizeBytes: content.byteLength,
        state: options.state ?? 'in-sync',
      })),
      progress: [],
      health: [],
      ...(bookmarkId === undefined
        ? {}
        : {
            bookmark: {
              bookmarkId: bookmarkId as BookmarkId,
              type: 'CrashConsistent',
              method: 'quiet',
              takenAt: new Date(
                Date.UTC(2026, 0, 1) + this.chain * 3_600_000 + sequence * 1000,
              ).toISOString(),
              frozenMilliseconds: 0,
            },
          }),
      ...(options.digestRequest === undefined ? {} : { digestRequest: options.digestRequest }),
    };
    const object = encodeManifest(options.alter?.(manifest) ?? manifest, manifestMacKey(this.itemKey));
    const key = manifestKey(this.itemId, this.chain, sequence);
    this.#previous = manifestDigest(object);
    if (bookmarkId !== undefined)
      this.points.set(
        bookmarkId,
        this.disks.map(({ content }) => Buffer.from(content)),
      );
    await this.#put(key, object);
    return { key, segments, bookmarkId };
  }

  async #put(key: string, content: Buffer): Promise<void> {
    await this.#cache.put(
      key,
      {
        sizeBytes: content.byteLength,
        sha256: createHash('sha256').update(content).digest('hex'),
        open: () => Readable.from([content], { objectMode: false }),
      },
      never,
    );
  }
}

function randomExtents(sizeBytes: number, count: number): SegmentExtent[] {
  const extents: SegmentExtent[] = [];
  const step = Math.floor(sizeBytes / Math.max(count, 1) / blockBytes) * blockBytes;
  for (let n = 0; n < count && step > 0; n++) {
    const room = step / blockBytes;
    const first = Math.floor(systemRandom.fraction() * room);
    const blocks = 1 + Math.floor(systemRandom.fraction() * (room - first - 1));
    extents.push({
      kind: systemRandom.fraction() < 0.25 ? 'zero' : 'data',
      offsetBytes: n * step + first * blockBytes,
      lengthBytes: Math.max(1, Math.min(blocks, room - first)) * blockBytes,
    });
  }
  return extents;
}
