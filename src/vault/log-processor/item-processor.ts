/**
 * Applies one protected item's chain: the byte comes from cache storage as a sealed segment and goes, verified, into the
 * heads of the replica disks; at a bookmark the heads become a recovery point. A disk that the bookmark lacks is not in it, and
 * the point says so.
 *
 *     manifest ─▶ chain, HMAC ─▶ every segment's digest ─▶ frames opened ─▶ heads ─▶ flush ─▶ point ─▶ digests
 *                                                                  archive ─▶ record (one transaction) ─▶ delete
 *
 * Promises: nothing of a manifest is written before all its objects are known to be whole. The record changes once, at the
 * end; a crash anywhere is answered by applying the same manifest again, which gives the same bytes and the same point.
 * An object that stays missing or wrong stops the chain for good: the item is blocked with a critical event, heads and
 * points stay as they are, and only a newer chain (whose disks begin untrusted) gets it going. That chain is ordered at the
 * process server at once (`resync-order.ts`); when the chains that follow break, too, ever more slowly, since a comparison
 * of all disks is not for nothing. An item that its own process server has stopped waits for a person.
 */
import { createHash } from 'node:crypto';
import type { Bookmark, MissingDisk } from '../../model/bookmark.ts';
import type { HealthEvent } from '../../model/health.ts';
import type { ProtectedDiskId, RecoveryPointId } from '../../model/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import { hasCode, LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import { giveBack } from '../../platform/memory.ts';
import type { Random } from '../../platform/random.ts';
import { ladderDelay } from '../../platform/retry.ts';
import type { CacheStore } from '../../protocol/cache/cache-store.ts';
import { manifestMacKey } from '../../protocol/cache/keys.ts';
import {
  decodeManifest,
  type Manifest,
  manifestBytesMax,
  manifestDigest,
  manifestKey,
  manifestPrefix,
  type SegmentReference,
  segmentKey,
} from '../../protocol/cache/manifest.ts';
import { placeSegment } from '../../protocol/cache/segment.ts';
import { errors } from '../errors.ts';
import {
  cacheListMax,
  noticePollMilliseconds,
  reorderMilliseconds,
  rereadsMax,
  segmentHeldBytesMax,
} from '../limits.ts';
import type { ReplicaDisk, ReplicaStore } from '../replica/replica-store.ts';
import type { ItemState, Position, ProtectedItem, RecoveryPoint, VaultStore } from '../store/vault-store.ts';
import type { Archive } from './archive.ts';
import { answerDigests } from './digest-answer.ts';
import { orderResync, readNotices } from './resync-order.ts';

export interface ItemProcessorParts {
  readonly item: ProtectedItem;
  readonly itemKey: Uint8Array;
  readonly cache: CacheStore;
  readonly store: VaultStore;
  readonly replica: ReplicaStore;
  readonly archive: Archive;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Memory of `segmentHeldBytesMax` that no item uses just now; never more than items at once. */
  readonly heldRooms?: Buffer[];
}

interface Found {
  readonly key: string;
  readonly object: Buffer;
  readonly manifest: Manifest;
}

export class ItemProcessor implements AsyncDisposable {
  readonly #parts: ItemProcessorParts;
  readonly #macKey: Buffer;
  readonly #heads = new Map<ProtectedDiskId, ReplicaDisk>();
  #swept = false;
  /** Code of the trouble that is told of. `unknown`: one that this process's predecessor told of may still stand. */
  #reported: string | undefined = 'unknown';
  /** Memory of `segmentHeldBytesMax` while a manifest is applied. */
  #held: Buffer | undefined;
  /** The chain that is being read: the one to give up when that fails. */
  #chain = 0;
  #noticesAt = Number.NEGATIVE_INFINITY;
  /** Chains that broke since the last recovery point, and when the newest of them is ordered to end (again). */
  #broken = { chain: 0, count: 0, orderAt: 0 };

  constructor(parts: ItemProcessorParts) {
    this.#parts = parts;
    this.#macKey = manifestMacKey(parts.itemKey);
  }

  /** Applies the next manifest if there is one. Throws only what is transient (after an event) or the signal's reason. */
  async step(signal: AbortSignal): Promise<'applied' | 'idle' | 'blocked'> {
    const { store, item } = this.#parts;
    const state = await store.state(item.itemId);
    // What its source sent after the failover waits in cache storage, or is refused there, and is applied only when the failover
    // is cancelled. Nothing is ordered meanwhile, either.
    if (state.fence) {
      await this.close();
      return 'idle';
    }
    if (!this.#swept) {
      await this.#sweep(state.position, signal);
      this.#swept = true;
    }
    this.#chain = state.position?.chain ?? 0;
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          const found = await this.#next(state, signal);
          if (found === undefined) return await this.#rest(state, signal);
          try {
            await this.#apply(found, state, signal);
          } finally {
            if (this.#held) this.#parts.heldRooms?.push(this.#held);
            this.#held = undefined;
          }
          this.#reported = undefined;
          return 'applied';
        } catch (error) {
          // A flaky read must not cost a resync: what is permanently wrong is looked at again before it counts.
          if (signal.aborted || !isFatal(error) || attempt >= rereadsMax) throw error;
          await this.close();
        }
      }
    } catch (error) {
      await this.close();
      if (signal.aborted) throw error;
      // The failover came while a manifest was being applied: it is applied again if ever the fence is lifted.
      if (hasCode(error, 'ItemFenced')) return 'idle';
      if (!isFatal(error)) {
        await this.#report(error);
        throw error;
      }
      const event = this.#event(error);
      const blocked = { chain: this.#chain, event };
      this.#parts.log.error('item-blocked', { itemId: item.itemId, chain: this.#chain, error });
      await store.block(item.itemId, blocked);
      return await this.#rest({ ...state, blocked }, signal);
    }
  }

  /** There is nothing to apply. A blocked item orders its new chain; whoever stands still at the other side says so. */
  async #rest(state: ItemState, signal: AbortSignal): Promise<'idle' | 'blocked'> {
    const { clock, item, store, log, cache } = this.#parts;
    if (this.#reported !== undefined) {
      await store.pause(item.itemId, undefined);
      this.#reported = undefined;
    }
    const parts = { itemId: item.itemId, itemKey: this.#parts.itemKey, cache };
    let { blocked } = state;
    if (clock.monotonic() >= this.#noticesAt) {
      this.#noticesAt = clock.monotonic() + noticePollMilliseconds;
      for (const { key, notice, error } of await readNotices(parts, signal)) {
        const newest = Math.max(state.position?.chain ?? 0, blocked?.chain ?? 0);
        if (error !== undefined) await store.addEvents(item.itemId, [this.#event(error)]);
        // Of a chain that was given up: old news.
        else if (notice !== undefined && notice.chain >= newest) {
          blocked = { chain: notice.chain, event: notice.event };
          log.error('item-halted', { itemId: item.itemId, chain: notice.chain });
          await store.block(item.itemId, blocked);
        }
        await cache.delete(key, signal);
      }
    }
    if (blocked === undefined) return 'idle';
    // It stands still because somebody else writes the same chain: a person must settle that first.
    if (blocked.event.code === 'ItemHalted' || blocked.chain === 0) return 'blocked';
    if (this.#broken.chain !== blocked.chain) {
      const count = this.#broken.count + 1;
      const wait = count === 1 ? 0 : ladderDelay(count - 2);
      this.#broken = { chain: blocked.chain, count, orderAt: clock.monotonic() + wait };
    }
    if (clock.monotonic() >= this.#broken.orderAt) {
      await orderResync(parts, blocked.chain, 'ReplicaInvalid', signal);
      log.warn('resync-ordered', { itemId: item.itemId, chain: blocked.chain, broken: this.#broken.count });
      // Again after a while: the order itself may be lost.
      this.#broken = { ...this.#broken, orderAt: clock.monotonic() + reorderMilliseconds };
    }
    return 'blocked';
  }

  async close(): Promise<void> {
    const heads = [...this.#heads.values()];
    this.#heads.clear();
    for (const head of heads) await head.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The manifest to apply now: the next link of this chain, or the first of the newest chain. */
  async #next(state: ItemState, signal: AbortSignal): Promise<Found | undefined> {
    const { cache, item } = this.#parts;
    const position = state.position;
    if (position !== undefined && (state.blocked === undefined || state.blocked.chain < position.chain)) {
      const key = manifestKey(item.itemId, position.chain, position.sequence + 1);
      const object = await this.#getManifest(key, signal);
      if (object !== undefined)
        return this.#decode(key, object, position, position.chain, position.sequence + 1);
    }
    // Behind every key of the chain that is followed, or was given up.
    const last = Math.max(position?.chain ?? 0, state.blocked?.chain ?? 0);
    let after = manifestKey(item.itemId, last, Number.MAX_SAFE_INTEGER);
    let newest: number | undefined;
    for (;;) {
      const page = await cache.list(manifestPrefix(item.itemId), { after, limit: cacheListMax }, signal);
      const key = page.at(-1)?.key;
      if (key === undefined) break;
      newest = Number(key.split('/').at(-2));
      after = manifestKey(item.itemId, newest, Number.MAX_SAFE_INTEGER);
    }
    if (newest !== undefined) {
      this.#chain = newest;
      const key = manifestKey(item.itemId, newest, 1);
      const object = await this.#getManifest(key, signal);
      if (object === undefined) throw errors.ChainBroken(key, 'its first manifest is missing');
      return this.#decode(key, object, undefined, newest, 1);
    }
    if (position === undefined || state.blocked !== undefined) return undefined;
    // Manifests are put in order: a later one without the next one means that the next one was lost.
    const key = manifestKey(item.itemId, position.chain, position.sequence + 1);
    const [later] = await cache.list(
      manifestPrefix(item.itemId),
      { after: manifestKey(item.itemId, position.chain, position.sequence), limit: 1 },
      signal,
    );
    if (later === undefined) return undefined;
    const object = await this.#getManifest(key, signal);
    if (object === undefined) throw errors.ChainBroken(later.key, 'the one before it is missing');
    return this.#decode(key, object, position, position.chain, position.sequence + 1);
  }

  async #getManifest(key: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const stream = await this.#parts.cache.get(key, signal);
    if (stream === undefined) return undefined;
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    for await (const piece of stream as AsyncIterable<Buffer>) {
      sizeBytes += piece.byteLength;
      if (sizeBytes > manifestBytesMax) throw errors.CacheObjectCorrupt(key);
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  }

  #decode(
    key: string,
    object: Buffer,
    position: Position | undefined,
    chain: number,
    sequence: number,
  ): Found {
    const manifest = decodeManifest(object, this.#macKey, key);
    const { item } = this.#parts;
    const expected = position === undefined ? null : position.digest;
    const assigned = new Set(item.disks.map((disk) => disk.diskId));
    const why =
      manifest.itemId !== item.itemId
        ? 'it belongs to another item'
        : manifest.chain !== chain || manifest.sequence !== sequence
          ? 'it is stored under the key of another one'
          : manifest.previousDigest !== expected
            ? 'the digest of the one before it is another'
            : manifest.generation < (position?.generation ?? 0)
              ? 'its generation is older'
              : manifest.disks.some((disk) => !assigned.has(disk.diskId))
                ? 'it has a disk that is not protected'
                : manifest.segments.some(
                      (segment) =>
                        segment.key !== segmentKey(item.itemId, chain, sequence, segment.diskId) ||
                        !manifest.disks.some((disk) => disk.diskId === segment.diskId),
                    )
                  ? 'it names a segment that is not its own'
                  : undefined;
    if (why !== undefined) throw errors.ChainBroken(key, why);
    const { bookmark } = manifest;
    if (bookmark !== undefined) {
      const missing = new Set(bookmark.missingDisks?.map((disk) => disk.diskId));
      const present = manifest.disks.filter((disk) => !missing.has(disk.diskId));
      if ([...missing].some((diskId) => !assigned.has(diskId)))
        throw errors.ChainBroken(key, 'its bookmark lacks a disk that is not protected');
      if (present.length === 0) throw errors.ChainBroken(key, 'its bookmark has no disk');
      if (present.some((disk) => disk.state !== 'in-sync')) throw errors.BookmarkNotInSync(key);
    }
    return { key, object, manifest };
  }

  async #apply(found: Found, state: ItemState, signal: AbortSignal): Promise<void> {
    const { item, replica, store, archive, clock, log } = this.#parts;
    const { manifest } = found;
    const held = new Map<string, Buffer>();
    let heldBytes = 0;
    for (const segment of manifest.segments) {
      const content = await this.#verify(segment, heldBytes, signal);
      if (content !== undefined) {
        held.set(segment.key, content);
        heldBytes += content.byteLength;
      }
    }
    for (const disk of manifest.disks) {
      const known = manifest.sequence === 1 ? undefined : state.disks.find((d) => d.diskId === disk.diskId);
      // A disk that leaves `empty` other than by a comparison is sent whole: what an earlier chain left must not shine
      // through where nothing is sent.
      if ((known?.state ?? 'empty') === 'empty' && ['initial', 'in-sync'].includes(disk.state)) {
        await this.#closeHead(disk.diskId);
        await replica.clearHead(item.itemId, disk.diskId);
      }
    }
    let logicalBytes = 0;
    for (const segment of manifest.segments) {
      const disk = manifest.disks.find((d) => d.diskId === segment.diskId)!;
      const head = await this.#head(disk.diskId, disk.sizeBytes);
      await this.#applySegment(segment, manifest, head, held.get(segment.key), signal);
      held.delete(segment.key);
      await head.flush();
      logicalBytes += segment.logicalBytes;
    }
    const changedBytes = state.changedBytes + logicalBytes;
    let point: RecoveryPoint | undefined;
    const { bookmark } = manifest;
    if (bookmark !== undefined) {
      // A disk that the bookmark lacks is not in the point: what its head has is of an earlier moment, and a point has nothing
      // that was not there at its own.
      const missingDisks = lackedBy(bookmark, manifest, item);
      const present = manifest.disks.filter(
        ({ diskId }) => !missingDisks.some((disk) => disk.diskId === diskId),
      );
      for (const disk of present) await this.#head(disk.diskId, disk.sizeBytes);
      const pointId = bookmark.bookmarkId as string as RecoveryPointId;
      await replica.cutPoint(
        item.itemId,
        pointId,
        present.map((disk) => disk.diskId),
      );
      point = {
        pointId,
        itemId: item.itemId,
        type: bookmark.type,
        method: bookmark.method,
        takenAt: bookmark.takenAt,
        processedAt: new Date(clock.now()).toISOString(),
        frozenMilliseconds: bookmark.frozenMilliseconds,
        ...(bookmark.heldMilliseconds === undefined ? {} : { heldMilliseconds: bookmark.heldMilliseconds }),
        sizeBytes: present.reduce((sum, disk) => sum + disk.sizeBytes, 0),
        changedBytes,
        chain: manifest.chain,
        sequence: manifest.sequence,
        ...(missingDisks.length === 0 ? {} : { missingDisks }),
      };
    }
    if (manifest.digestRequest !== undefined) {
      const { diskId } = manifest.digestRequest;
      const disk = manifest.disks.find((d) => d.diskId === diskId);
      if (disk === undefined) throw errors.ChainBroken(found.key, 'it asks for digests of an unknown disk');
      await answerDigests(
        { ...this.#parts, itemId: item.itemId },
        manifest.digestRequest,
        await this.#head(diskId, disk.sizeBytes),
        signal,
      );
    }
    const archiveBytes = await archive.append(
      item.itemId,
      manifest.chain,
      manifest.sequence,
      found.object,
      manifest.sequence === 1 ? 0 : (state.position?.archiveBytes ?? 0),
    );
    await store.advance(item.itemId, {
      position: {
        chain: manifest.chain,
        sequence: manifest.sequence,
        digest: manifestDigest(found.object),
        generation: manifest.generation,
        archiveBytes,
        appliedAt: new Date(clock.now()).toISOString(),
      },
      disks: manifest.disks,
      progress: manifest.progress,
      events: manifest.health,
      changedBytes: point === undefined ? changedBytes : 0,
      ...(point === undefined ? {} : { point }),
    });
    if (point !== undefined) this.#broken = { chain: 0, count: 0, orderAt: 0 };
    if (point !== undefined)
      log.info('recovery-point', { itemId: item.itemId, pointId: point.pointId, type: point.type });
    // What is deleted is recorded; a crash in between leaves objects that the next start's sweep removes.
    for (const segment of manifest.segments) await this.#parts.cache.delete(segment.key, signal);
    // The newest manifest stays until the next one is applied: a process server that lost its state sees by it that the
    // vault has data, and asks for a comparison instead of a first copy.
    const before = state.position;
    // The chains before this one are over: what is left of them goes with the next step.
    if (manifest.sequence === 1) this.#swept = false;
    if (before !== undefined)
      await this.#parts.cache.delete(manifestKey(item.itemId, before.chain, before.sequence), signal);
  }

  /** Reads the whole object once and compares its digest; answers the content when it is small enough to be held. */
  async #verify(
    segment: SegmentReference,
    heldBytes: number,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const stream = await this.#parts.cache.get(segment.key, signal);
    if (stream === undefined) throw errors.CacheObjectMissing(segment.key);
    const hold = heldBytes + segment.objectBytes <= segmentHeldBytesMax;
    const content = hold ? this.#room(heldBytes, segment.objectBytes) : undefined;
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const piece of stream as AsyncIterable<Buffer>) {
      if (sizeBytes + piece.byteLength > segment.objectBytes) throw errors.CacheObjectCorrupt(segment.key);
      hash.update(piece);
      content?.set(piece, sizeBytes);
      sizeBytes += piece.byteLength;
      giveBack(piece);
    }
    if (sizeBytes !== segment.objectBytes || hash.digest('hex') !== segment.sha256)
      throw errors.CacheObjectCorrupt(segment.key);
    return content;
  }

  /** Memory for a segment, behind what is held already. Used again for the next manifest: to get it anew, page by page, and
   * to collect it took longer than to verify what is in it. */
  #room(heldBytes: number, sizeBytes: number): Buffer {
    const rooms = this.#parts.heldRooms;
    if (!rooms) return Buffer.allocUnsafeSlow(sizeBytes);
    // Shared with the threads that open its frames, so that no frame is copied.
    this.#held ??= rooms.pop() ?? Buffer.from(new SharedArrayBuffer(segmentHeldBytesMax));
    return this.#held.subarray(heldBytes, heldBytes + sizeBytes);
  }

  async #applySegment(
    segment: SegmentReference,
    manifest: Manifest,
    head: ReplicaDisk,
    content: Buffer | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { item, itemKey, cache } = this.#parts;
    const source = content === undefined ? await cache.get(segment.key, signal) : chunksOf(content);
    if (source === undefined) throw errors.CacheObjectMissing(segment.key);
    await placeSegment(
      source as AsyncIterable<Uint8Array>,
      itemKey,
      {
        identity: {
          itemId: item.itemId,
          diskId: segment.diskId,
          chain: manifest.chain,
          sequence: manifest.sequence,
        },
        sha256: segment.sha256,
        isVerified: content !== undefined,
        objectBytes: segment.objectBytes,
        diskSizeBytes: head.sizeBytes,
      },
      head,
      signal,
    );
  }

  async #head(diskId: ProtectedDiskId, sizeBytes: number): Promise<ReplicaDisk> {
    const open = this.#heads.get(diskId);
    if (open?.sizeBytes === sizeBytes) return open;
    await this.#closeHead(diskId);
    const head = await this.#parts.replica.openHead(this.#parts.item.itemId, diskId, sizeBytes);
    this.#heads.set(diskId, head);
    return head;
  }

  async #closeHead(diskId: ProtectedDiskId): Promise<void> {
    const open = this.#heads.get(diskId);
    this.#heads.delete(diskId);
    await open?.close();
  }

  /** Removes from cache storage what was applied before this process began, and what chains before this one left, but
   * for the newest manifest. */
  async #sweep(position: Position | undefined, signal: AbortSignal): Promise<void> {
    if (position === undefined) return;
    const { cache, item } = this.#parts;
    for (const prefix of [manifestPrefix(item.itemId), `items/${item.itemId}/segments/`]) {
      let after: string | undefined;
      for (;;) {
        const page = await cache.list(
          prefix,
          { limit: cacheListMax, ...(after === undefined ? {} : { after }) },
          signal,
        );
        for (const { key } of page) {
          const [chain, rest] = key.slice(prefix.length).split('/');
          const sequence = Number.parseInt(rest ?? '', 10);
          const isNewest = prefix.endsWith('/manifests/') && sequence === position.sequence;
          if (
            Number(chain) < position.chain ||
            (Number(chain) === position.chain && sequence <= position.sequence && !isNewest)
          )
            await cache.delete(key, signal);
        }
        const last = page.at(-1)?.key;
        if (
          page.length < cacheListMax ||
          last === undefined ||
          Number(last.slice(prefix.length).split('/')[0]) > position.chain
        )
          break;
        after = last;
      }
    }
  }

  /** One event a trouble, not one a try. */
  async #report(error: unknown): Promise<void> {
    const event = this.#event(error);
    this.#parts.log.warn('item-paused', { itemId: this.#parts.item.itemId, error });
    if (this.#reported === event.code) return;
    this.#reported = event.code;
    // The store itself may be what fails; the log line above then has to do.
    await this.#parts.store.pause(this.#parts.item.itemId, event).catch((storeError: unknown) => {
      this.#parts.log.warn('event-not-stored', { itemId: this.#parts.item.itemId, error: storeError });
    });
  }

  #event(error: unknown): HealthEvent {
    return toHealthEvent(error, this.#parts.clock);
  }
}

/** What a bookmark says that it lacks, and protected disks that its manifest knows nothing of. */
function lackedBy(
  bookmark: Bookmark,
  manifest: Pick<Manifest, 'disks'>,
  item: Pick<ProtectedItem, 'disks'>,
): MissingDisk[] {
  const said = bookmark.missingDisks ?? [];
  const unknown = item.disks.filter(
    ({ diskId }) =>
      !said.some((disk) => disk.diskId === diskId) && !manifest.disks.some((disk) => disk.diskId === diskId),
  );
  return [...said, ...unknown.map(({ diskId }) => ({ diskId, cause: 'gone' as const }))];
}

/** Wrong for good: reading it again does not help. Errors of devices and libraries are not ours to call so. */
function isFatal(error: unknown): boolean {
  return error instanceof LeewardError && error.retry === 'permanent' && fatal.has(error.code);
}
const fatal = new Set([
  'CacheObjectMissing',
  'CacheObjectCorrupt',
  'CorruptSegment',
  'ManifestTampered',
  'ChainBroken',
  'BookmarkNotInSync',
  'ReplicaRangeOutside',
  'InvalidInput',
]);

export function toHealthEvent(error: unknown, clock: Clock): HealthEvent {
  const raisedAt = new Date(clock.now()).toISOString();
  if (!(error instanceof LeewardError))
    return {
      code: 'Unexpected',
      severity: 'error',
      summary: error instanceof Error ? error.message.slice(0, 2000) : String(error).slice(0, 2000),
      possibleCauses: 'A device or service that Leeward stands on failed.',
      recommendedAction: 'Look at the log of the vault. It tries again by itself.',
      raisedAt,
      context: {},
    };
  const context = Object.fromEntries(
    Object.entries(error.context).filter(([, value]) => value !== undefined),
  ) as HealthEvent['context'];
  return {
    code: error.code,
    severity: error.severity,
    summary: error.summary.slice(0, 2000),
    possibleCauses: error.possibleCauses.slice(0, 2000),
    recommendedAction: error.recommendedAction.slice(0, 2000),
    raisedAt,
    context,
  };
}

/** In one piece: its reader then takes frames out of it without copying. */
async function* chunksOf(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content;
}
