/**
 * What goes into the stream next: one loop for one session. Everything that sends block contents is called from here, one
 * after the other, and this order is what the copy's correctness rests on (see `resync/walk.ts`).
 *
 *     ┌─▶ losses? ─▶ orders ─▶ health, progress ─▶ drain when due ─▶ a step of each walk ─▶ bookmark when due ─┐
 *     └────────────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Bookmarks (all disks in sync; everything of the moment is in the stream before the bookmark, nothing later is):
 * - quiet: barrier, take all maps. If nothing was marked since the last take, whose extents have all been read and sent
 *   since, then no write completed from that take to this barrier: what was sent is what the disks held all that time, save
 *   for writes that had not completed, as after a power cut.
 * - freeze: write back and drain until the rest is small, freeze, barrier, take, read the rest into memory that is there already, barrier,
 *   thaw, send it from memory. Between freeze and thaw nothing is logged, written or started. If a write completed
 *   meanwhile, or the thaw says that somebody thawed before, what was read is thrown away and marked again.
 */
import type { Arena, Loan } from '../../disk/arena.ts';
import { type Disk, extentBytesMax } from '../../disk/disk.ts';
import type { Bookmark, BookmarkType } from '../../model/bookmark.ts';
import { BookmarkId, type ProtectedDiskId } from '../../model/ids.ts';
import { type Clock, pause } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import { FrameType } from '../../protocol/replication/frame.ts';
import type { Order } from '../../protocol/replication/messages.ts';
import type { Capture, CaptureLoss } from '../capture/capture.ts';
import { ChangeMap, type Extent } from '../capture/change-map.ts';
import type { Freezer, FreezeSession } from '../consistency/freezer.ts';
import { type ReadPace, type Sent, sendExtents, sendRuns } from '../drain/drain.ts';
import { totalBytes, without } from '../drain/extents.ts';
import type { Packer } from '../drain/pack.ts';
import { errors } from '../errors.ts';
import {
  barrierIntervalMilliseconds,
  bookmarkRetryMilliseconds,
  digestStallMillisecondsMax,
  drainIntervalMilliseconds,
  drainSoonBytes,
  freezeAttemptsMax,
  freezeDeadlineMilliseconds,
  frozenReadMillisecondsMax,
  frozenRestBytesMax,
  idleMilliseconds,
  precopyPassesMax,
  progressIntervalMilliseconds,
  quietPassesMax,
  readRetryMilliseconds,
  settledRestBytesMax,
} from '../limits.ts';
import type { Session } from '../outlet/session.ts';
import type { Walk } from '../resync/walk.ts';
import type { Health } from './health.ts';

export interface ReplicatedDisk {
  readonly index: number;
  readonly diskId: ProtectedDiskId;
  readonly name: string;
  readonly disk: Disk;
  readonly pace: ReadPace;
  /** Swap contents: never read or sent. */
  skip: readonly Extent[];
  walk: Walk | undefined;
  /** Could not be read; marked again at `retryAt`. No bookmark meanwhile. */
  unreadable: ChangeMap | undefined;
  retryAt: number;
}

export interface BookmarkPolicy {
  readonly crashConsistentSeconds: number;
  readonly applicationConsistentSeconds: number;
  readonly freezeMillisecondsMax: number;
}

export interface StreamParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly capture: Capture;
  readonly disks: readonly ReplicatedDisk[];
  /** For what is read between freeze and thaw (`frozenRestBytesMax` and a little for fragments), and for drains and walks,
   * which never run at the same time. */
  readonly arena: Arena;
  readonly freezer: Freezer | undefined;
  readonly packer?: Packer | undefined;
  readonly policy: BookmarkPolicy;
  readonly health: Health;
  /** Swap areas of each disk as they are now. */
  readonly swapRanges: () => Promise<readonly (readonly Extent[])[]>;
  /** Losses that make walks necessary; may end the session. */
  readonly onLosses: (losses: readonly CaptureLoss[]) => Promise<void>;
  /** Ends the session: the next one compares them. */
  readonly onResyncOrdered: (diskIds: readonly ProtectedDiskId[]) => Promise<void>;
  /** `takenMonotonic`: its moment on the clock that nobody steps. */
  readonly onBookmark: (bookmark: Bookmark, sequence: number, takenMonotonic: number) => void;
  /** True between freeze and thaw: nobody writes files or logs. */
  readonly onStill: (isStill: boolean) => Promise<void>;
}

interface Rest {
  readonly disk: ReplicatedDisk;
  readonly extent: Extent;
  readonly loan: Loan;
}

/** When the next bookmarks are due; outlives sessions. Ordered ones are due since ever, also while another is taken. */
export interface BookmarkDue {
  crash: number;
  application: number;
}

/** Of a bookmark that somebody asked for: it is due at once. */
export const ordered = Number.NEGATIVE_INFINITY;

type Attempt =
  | { readonly taken: true }
  | {
      readonly taken: false;
      readonly why: string;
      readonly cause?: unknown;
      /** Too much was written for a short freeze; load comes and goes. */
      readonly isTooMuch?: boolean;
    };

export class Stream {
  readonly #parts: StreamParts;
  readonly #session: Session;
  readonly #due: BookmarkDue;
  #orders: Order[] = [];
  #barrierAt = Number.NEGATIVE_INFINITY;
  #drainedAt = Number.NEGATIVE_INFINITY;
  #progressAt = Number.NEGATIVE_INFINITY;
  #walkedAt: number;

  constructor(parts: StreamParts, session: Session, due: BookmarkDue) {
    this.#parts = parts;
    this.#session = session;
    this.#due = due;
    this.#walkedAt = parts.clock.monotonic();
  }

  ordered(order: Order): void {
    // The newest 16: more at once are a receiver that repeats itself.
    if (this.#orders.length < 16) this.#orders.push(order);
  }

  /** Runs until `stop` (then drains once more and returns) or until the session fails (throws). */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, disks } = this.#parts;
    await this.#refreshSwap();
    for (const disk of disks) if (disk.walk) await disk.walk.begin(this.#session);
    while (!stop.aborted) {
      this.#session.throwIfOver();
      const now = clock.monotonic();
      if (now - this.#barrierAt >= barrierIntervalMilliseconds) await this.#barrier();
      await this.#obey();
      await this.#tell(now);
      let hasWorked = await this.#drainWhenDue(now);
      if (await this.#walk()) hasWorked = true;
      if (await this.#bookmarkWhenDue(stop)) hasWorked = true;
      if (!hasWorked) await pause(clock, idleMilliseconds, AbortSignal.any([stop, this.#session.over]));
    }
    await this.#drainAll();
  }

  async #barrier(): Promise<boolean> {
    this.#barrierAt = this.#parts.clock.monotonic();
    const { losses } = await this.#parts.capture.barrier();
    if (losses.length === 0) return true;
    await this.#parts.onLosses(losses);
    return false;
  }

  async #obey(): Promise<void> {
    const compared: ProtectedDiskId[] = [];
    for (const order of this.#orders.splice(0)) {
      this.#parts.log.info('ordered', { ...order });
      if (order.order === 'throttle') this.#session.throttle(order.bytesPerSecondMax);
      else if (order.order === 'resync') compared.push(order.diskId);
      else if (order.type === 'CrashConsistent') this.#due.crash = ordered;
      else this.#due.application = ordered;
    }
    // Last and together, since it ends the session.
    if (compared.length > 0) await this.#parts.onResyncOrdered(compared);
  }

  async #tell(now: number): Promise<void> {
    const { health, disks } = this.#parts;
    for (let event = health.first; event; event = health.first) {
      await this.#session.json(FrameType.health, event);
      health.sent();
    }
    if (now - this.#progressAt < progressIntervalMilliseconds) return;
    this.#progressAt = now;
    for (const { walk, index } of disks)
      if (walk && !walk.hasEnded) await this.#session.json(FrameType.progress, walk.progress(now), index);
  }

  async #drainWhenDue(now: number): Promise<boolean> {
    const pending = this.#parts.capture.pendingBytes();
    for (const disk of this.#parts.disks)
      if (disk.unreadable && now >= disk.retryAt) {
        this.#parts.capture.restore(disk.index, disk.unreadable);
        disk.unreadable = undefined;
      }
    if (pending === 0) return false;
    if (pending < drainSoonBytes && now - this.#drainedAt < drainIntervalMilliseconds) return false;
    await this.#drainAll();
    return true;
  }

  async #drainAll(): Promise<void> {
    this.#drainedAt = this.#parts.clock.monotonic();
    for (const disk of this.#parts.disks) await this.#drain(disk, this.#parts.capture.take(disk.index));
  }

  /** Sends what `map` marks. When the session fails the whole map goes back: more than needed is never wrong. */
  async #drain(disk: ReplicatedDisk, map: ChangeMap): Promise<void> {
    if (map.isEmpty) return;
    try {
      const sent = await sendExtents(this.#relevant(disk, map), this.#options(disk));
      this.#noteUnreadable(disk, sent, true);
    } catch (error) {
      this.#parts.capture.restore(disk.index, map);
      throw error;
    }
  }

  #options(disk: ReplicatedDisk) {
    const { arena, clock } = this.#parts;
    const { packer } = this.#parts;
    const session = this.#session;
    return { disk: disk.disk, diskIndex: disk.index, session, arena, clock, pace: disk.pace, packer };
  }

  /** Marked, not swap, and not still before a walk. */
  #relevant(disk: ReplicatedDisk, map: ChangeMap): Generator<Extent> {
    const from = disk.walk && !disk.walk.hasEnded ? disk.walk.highWaterBytes : disk.disk.sizeBytes;
    const ahead = { offsetBytes: from, lengthBytes: disk.disk.sizeBytes - from };
    const holes = ahead.lengthBytes > 0 ? [...disk.skip, ahead] : [...disk.skip];
    holes.sort((one, other) => one.offsetBytes - other.offsetBytes);
    return without(map.extents(extentBytesMax), holes);
  }

  /** Set aside for a while rather than compared: the map says exactly what differs. */
  #noteUnreadable(disk: ReplicatedDisk, sent: Sent, setAside: boolean): void {
    const { health, clock } = this.#parts;
    const [first] = sent.unreadable;
    if (!first) return;
    health.raise(errors.DiskUnreadable(disk.name, first.offsetBytes, sent.readError), {
      diskId: disk.diskId,
    });
    disk.retryAt = clock.monotonic() + readRetryMilliseconds;
    if (!setAside) return;
    disk.unreadable ??= new ChangeMap(disk.disk.sizeBytes);
    for (const { offsetBytes, lengthBytes } of sent.unreadable)
      disk.unreadable.mark(offsetBytes, lengthBytes);
  }

  async #walk(): Promise<boolean> {
    const { clock, disks, health } = this.#parts;
    let hasWorked = false;
    for (const disk of disks) {
      const { walk } = disk;
      if (!walk || walk.hasEnded || clock.monotonic() < disk.retryAt) continue;
      if (walk.isReady) {
        const sent = await walk.step(this.#options(disk), disk.skip);
        if (sent) this.#noteUnreadable(disk, sent, false);
        this.#walkedAt = clock.monotonic();
        hasWorked = true;
      } else if (clock.monotonic() - this.#walkedAt > digestStallMillisecondsMax) {
        walk.isBlind = true;
        health.raise(errors.DigestsMissing(disk.name), { diskId: disk.diskId });
      }
    }
    return hasWorked;
  }

  async #bookmarkWhenDue(stop: AbortSignal): Promise<boolean> {
    const { clock, disks, policy, health } = this.#parts;
    if (disks.some((disk) => (disk.walk && !disk.walk.hasEnded) || disk.unreadable)) return false;
    const now = clock.monotonic();
    const isApplication = now >= this.#due.application;
    if (!isApplication && now < this.#due.crash) return false;
    const type: BookmarkType = isApplication ? 'ApplicationConsistent' : 'CrashConsistent';
    // Orders so far are served by this one; its moment may be too early for those that come while it is taken.
    for (const each of ['crash', 'application'] as const)
      if (this.#due[each] === ordered) this.#due[each] = now;
    const attempt = await this.#bookmark(type, stop);
    const after = clock.monotonic();
    if (attempt.taken) {
      // An application-consistent point is a crash-consistent one, too.
      this.#next('crash', now + policy.crashConsistentSeconds * 1000);
      if (isApplication)
        this.#next(
          'application',
          policy.applicationConsistentSeconds > 0
            ? now + policy.applicationConsistentSeconds * 1000
            : Number.POSITIVE_INFINITY,
        );
      health.forget('BookmarkMissed');
    } else if (!stop.aborted) {
      const { why, cause } = attempt;
      health.raise(errors.BookmarkMissed(type, whyOf(why, cause), cause), { type });
      // What a person must mend now (a thaw that the kernel refuses) is told by its own name, too.
      if (cause instanceof LeewardError && cause.severity === 'critical') health.raise(cause);
      if (isApplication) {
        const longMilliseconds = attempt.isTooMuch ? 0 : policy.crashConsistentSeconds * 1000;
        this.#next('application', after + Math.max(bookmarkRetryMilliseconds, longMilliseconds));
      } else this.#next('crash', after + bookmarkRetryMilliseconds);
    }
    return true;
  }

  /** Unless one was ordered meanwhile. */
  #next(kind: keyof BookmarkDue, dueAt: number): void {
    if (this.#due[kind] !== ordered) this.#due[kind] = dueAt;
  }

  async #bookmark(type: BookmarkType, stop: AbortSignal): Promise<Attempt> {
    if (type === 'CrashConsistent') {
      const quiet = await this.#bookmarkQuiet(stop);
      if (quiet.taken || !this.#parts.freezer || stop.aborted) return quiet;
    }
    const { freezer } = this.#parts;
    if (!freezer) return { taken: false, why: 'file systems cannot be frozen on this machine' };
    return this.#bookmarkFrozen(type, freezer, stop);
  }

  async #bookmarkQuiet(stop: AbortSignal): Promise<Attempt> {
    const { capture, disks, clock } = this.#parts;
    for (let pass = 0; pass < quietPassesMax && !stop.aborted; pass++) {
      // Before the barrier: what completes while it reads the rings may be missing, and the point must not claim it.
      const moment = momentOf(clock);
      if (!(await this.#barrier())) return { taken: false, why: 'changes were lost' };
      const maps = disks.map((disk) => capture.take(disk.index));
      const isQuiet = maps.every((map, index) => this.#relevant(disks[index]!, map).next().done === true);
      if (!isQuiet) {
        await this.#drainMaps(maps);
        if (disks.some((disk) => disk.unreadable)) return { taken: false, why: 'a disk could not be read' };
        continue;
      }
      if (await this.#refreshSwap()) continue;
      await this.#place({ type: 'CrashConsistent', method: 'quiet', frozenMilliseconds: 0 }, moment);
      return { taken: true };
    }
    return { taken: false, why: `writes did not pause in ${quietPassesMax} passes` };
  }

  async #drainMaps(maps: readonly ChangeMap[]): Promise<void> {
    const { capture, disks } = this.#parts;
    this.#drainedAt = this.#parts.clock.monotonic();
    for (const [index, map] of maps.entries()) {
      try {
        await this.#drain(disks[index]!, map);
      } catch (error) {
        // This one has gone back; those after it were not begun.
        for (let later = index + 1; later < maps.length; later++) capture.restore(later, maps[later]!);
        throw error;
      }
    }
  }

  async #bookmarkFrozen(type: BookmarkType, freezer: Freezer, stop: AbortSignal): Promise<Attempt> {
    let why: Attempt = { taken: false, why: 'it was asked to stop' };
    let isQuiesced = false;
    try {
      for (let attempt = 0; attempt < freezeAttemptsMax && !stop.aborted; attempt++) {
        let session: FreezeSession;
        try {
          session = await freezer.prepare();
        } catch (cause) {
          return { taken: false, why: 'file systems cannot be frozen', cause };
        }
        // One session serves one freeze.
        await using _ = session;
        // What is dirty in a file system that does not stand still is missing; for crash consistency it need only be still.
        if (session.leftOut && type === 'ApplicationConsistent')
          return { taken: false, why: 'not all file systems can be frozen', cause: session.leftOut };
        const unready = await this.#precopy(session);
        if (unready) return unready;
        if (type === 'ApplicationConsistent' && !isQuiesced) {
          isQuiesced = true;
          try {
            await freezer.pre();
          } catch (cause) {
            return { taken: false, why: 'the applications did not come to rest', cause };
          }
          // Applications write out much when they come to rest.
          const stillUnready = await this.#precopy(session);
          if (stillUnready) return stillUnready;
        }
        const frozen = await this.#frozenMoment(type, session);
        if (frozen.taken) return frozen;
        this.#parts.log.debug('frozen-in-vain', { attempt, why: frozen.why });
        why = frozen;
      }
      return why;
    } finally {
      if (isQuiesced) await freezer.post().catch((error: unknown) => this.#parts.health.raise(error));
    }
  }

  /** Writes back and drains until a freeze would leave little; answers why it would not. What one pass writes back was
   * dirtied during the pass before it, so the freeze leaves about as much as the last pass, file systems' own transactions
   * included: a btrfs rewrites its trees whatever was drained before. */
  async #precopy(freeze: FreezeSession): Promise<Attempt | undefined> {
    const { capture, disks, policy } = this.#parts;
    let lastBytes = Number.POSITIVE_INFINITY;
    let bytes = 0;
    await this.#drainAll();
    for (let pass = 0; pass < precopyPassesMax; pass++) {
      try {
        await freeze.writeBack();
      } catch (cause) {
        return { taken: false, why: 'file systems could not be written back', cause };
      }
      if (!(await this.#barrier())) return { taken: false, why: 'changes were lost' };
      bytes = capture.pendingBytes();
      this.#parts.log.debug('written-back', { pass, bytes });
      await this.#drainAll();
      // What was set aside belongs to the moment, too.
      if (disks.some((disk) => disk.unreadable)) return { taken: false, why: 'a disk could not be read' };
      const isSettled = bytes <= settledRestBytesMax || bytes * 3 > lastBytes * 2;
      if (isSettled && this.#isSmall(bytes, frozenReadMillisecondsMax)) return undefined;
      lastBytes = bytes;
    }
    // It was estimated by reads that competed with the load; under the freeze there is none. A point now is worth more than
    // none, as long as the operator's limit holds.
    if (this.#isSmall(bytes, policy.freezeMillisecondsMax)) return undefined;
    return {
      taken: false,
      why: `the rest never became small enough for a short freeze (${bytes} bytes after ${precopyPassesMax} passes)`,
      isTooMuch: true,
    };
  }

  /** Whether a freeze that leaves this much, in extents of 16 KiB, would be over in time. */
  #isSmall(bytes: number, millisecondsMax: number): boolean {
    const { disks, policy } = this.#parts;
    const slowest = Math.max(...disks.map((disk) => disk.pace.estimateMilliseconds(bytes / 16_384, bytes)));
    return bytes <= frozenRestBytesMax && slowest <= Math.min(millisecondsMax, policy.freezeMillisecondsMax);
  }

  async #frozenMoment(type: BookmarkType, freeze: FreezeSession): Promise<Attempt> {
    const { arena, capture, clock, disks, onStill } = this.#parts;
    let maps: ChangeMap[] = [];
    const rest: Rest[] = [];
    let failure: { why: string; cause?: unknown; isTooMuch?: boolean } | undefined;
    let losses: readonly CaptureLoss[] = [];
    let moment: Moment | undefined;
    let frozenMilliseconds = 0;
    await onStill(true);
    try {
      await freeze.freeze(Math.min(freezeDeadlineMilliseconds, 2_000));
      // From here to the thaw: no logging, no files, nothing started.
      try {
        moment = momentOf(clock);
        losses = (await capture.barrier()).losses;
        maps = disks.map((disk) => capture.take(disk.index));
        const extents = maps.flatMap((map, index) =>
          [...this.#relevant(disks[index]!, map)].map((extent) => ({ disk: disks[index]!, extent })),
        );
        const bytes = totalBytes(extents.map(({ extent }) => extent));
        if (losses.length > 0) failure = { why: 'changes were lost' };
        else if (bytes > frozenRestBytesMax)
          failure = { why: `${bytes} bytes were left under the freeze`, isTooMuch: true };
        else {
          await readRest(arena, extents, rest);
          // Not everything stands still under a freeze: vfat knows none, and somebody may write past the file systems. What
          // was read while a write completed is a state that the disks were never in.
          losses = (await capture.barrier()).losses;
          if (losses.length > 0) failure = { why: 'changes were lost' };
          else if (this.#isWritten()) failure = { why: 'something was written although all stood still' };
        }
      } catch (cause) {
        failure = { why: 'the rest could not be read', cause };
      } finally {
        ({ frozenMilliseconds } = await freeze.thaw());
      }
    } catch (cause) {
      // Graver than whatever went wrong before.
      failure = { why: 'the freeze did not hold', cause };
    } finally {
      await onStill(false);
    }
    let isSent = false;
    try {
      if (losses.length > 0) await this.#parts.onLosses(losses);
      if (failure) return { taken: false, ...failure };
      if (await this.#refreshSwap()) return { taken: false, why: 'a swap area was given up meanwhile' };
      const sum = { dataBytes: 0, zeroBytes: 0 };
      for (const { disk, extent, loan } of rest) {
        const bytes = Buffer.from(loan.bytes.buffer, loan.bytes.byteOffset, extent.lengthBytes);
        const { packer } = this.#parts;
        await sendRuns(
          bytes,
          extent.offsetBytes,
          { session: this.#session, diskIndex: disk.index, packer },
          sum,
        );
      }
      await this.#place({ type, method: 'freeze', frozenMilliseconds }, moment!);
      isSent = true;
      this.#parts.log.info('frozen-point', {
        type,
        frozenMilliseconds,
        mountPoints: freeze.mountPoints.join(' '),
      });
      return { taken: true };
    } finally {
      for (const { loan } of rest) loan.release();
      if (!isSent) for (const [index, map] of maps.entries()) capture.restore(index, map);
    }
  }

  /** Whether a write that counts has completed since the maps were taken. It stays marked. */
  #isWritten(): boolean {
    const { capture, disks } = this.#parts;
    return disks.some((disk) => {
      if (capture.pendingBytes(disk.index) === 0) return false;
      const map = capture.take(disk.index);
      capture.restore(disk.index, map);
      return this.#relevant(disk, map).next().done !== true;
    });
  }

  async #place(
    taken: Omit<Bookmark, 'bookmarkId' | 'takenAt'>,
    { takenAt, takenMonotonic }: Moment,
  ): Promise<void> {
    const bookmark: Bookmark = {
      ...taken,
      bookmarkId: BookmarkId.parse(this.#parts.random.uuid()),
      takenAt: new Date(takenAt).toISOString(),
    };
    const sequence = await this.#session.json(FrameType.bookmark, bookmark);
    this.#parts.onBookmark(bookmark, sequence, takenMonotonic);
  }

  /** Looks where swap is now. An area that was given up may hold anything since: all of it is marked. Answers whether
   * there was one; a moment that was taken without it is void. */
  async #refreshSwap(): Promise<boolean> {
    const { capture, disks } = this.#parts;
    const ranges = await this.#parts.swapRanges();
    let isGivenUp = false;
    for (const disk of disks) {
      const now = ranges[disk.index] ?? [];
      const map = new ChangeMap(disk.disk.sizeBytes);
      for (const { offsetBytes, lengthBytes } of without(disk.skip, now)) map.mark(offsetBytes, lengthBytes);
      disk.skip = now;
      if (map.isEmpty) continue;
      isGivenUp = true;
      capture.restore(disk.index, map);
    }
    return isGivenUp;
  }
}

/** One moment on both clocks: the one that people read, and the one that nobody steps. */
interface Moment {
  readonly takenAt: number;
  readonly takenMonotonic: number;
}

const momentOf = (clock: Clock): Moment => ({ takenAt: clock.now(), takenMonotonic: clock.monotonic() });

/** An event has no room for a chain of causes, so the nearest one is told in the same sentence. */
function whyOf(why: string, cause: unknown): string {
  if (cause === undefined) return why;
  return `${why}: ${cause instanceof LeewardError ? cause.summary : String(cause)}`;
}

/** Settles when nothing is being read any more, so that no loan is given back, or forgotten, under a read. */
async function readRest(
  arena: Arena,
  extents: readonly { readonly disk: ReplicatedDisk; readonly extent: Extent }[],
  rest: Rest[],
): Promise<void> {
  const results = await Promise.allSettled(
    extents.map(async ({ disk, extent }) => {
      const loan = await arena.borrow(extent.lengthBytes);
      rest.push({ disk, extent, loan });
      await disk.disk.read(loan.bytes, extent.offsetBytes);
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
