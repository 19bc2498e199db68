/**
 * What goes into the stream next: one loop for one session. Everything that sends block contents is called from here, one
 * after the other, and this order is what the copy's correctness rests on (see `resync/walk.ts`).
 *
 *     ┌─▶ losses? ─▶ orders ─▶ health, progress ─▶ drain when due ─▶ a step of each walk ─▶ bookmark when due ─┐
 *     └────────────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Bookmarks (all disks in sync; everything of the moment is in the stream before the bookmark, nothing later is). A disk that is
 * gone, that cannot be read for longer than a moment, or that is compared after it came back, does not keep the others from
 * them: the bookmark names it as missing.
 * - quiet: barrier, take all maps. If nothing was marked since the last take, whose extents have all been read and sent
 *   since, then no write completed from that take to this barrier: what was sent is what the disks held all that time, save
 *   for writes that had not completed, as after a power cut.
 * - brake: writes never pause, so writers are held back for a moment, and the same passes are made meanwhile, into memory that
 *   is there already (`held-drain.ts`). The hold proves nothing, since not every writer can be held; the pass in which no write
 *   completed does. What was read while a write completed is marked again by that write.
 * - freeze: write back and drain until the rest is small, freeze, the same passes, thaw, send from memory. If the thaw says
 *   that somebody thawed before, the file systems did not stand still, and all that was read is marked again.
 * Between the start of a hold or freeze and its end nothing is logged, written or started.
 */
import type { Arena } from '../../disk/arena.ts';
import { extentBytesMax } from '../../disk/disk.ts';
import type { Bookmark, BookmarkType, MissingDisk } from '../../model/bookmark.ts';
import { BookmarkId, type ProtectedDiskId } from '../../model/ids.ts';
import { type Clock, pause } from '../../platform/clock.ts';
import { hasCode, LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import { FrameType } from '../../protocol/replication/frame.ts';
import type { Order } from '../../protocol/replication/messages.ts';
import type { Capture, CaptureLoss } from '../capture/capture.ts';
import { ChangeMap, type Extent } from '../capture/change-map.ts';
import type { Brake, BrakeSession } from '../consistency/brake.ts';
import type { Freezer, FreezeSession } from '../consistency/freezer.ts';
import { holdMillisecondsDefault, holdMillisecondsMax } from '../consistency/limits.ts';
import { type Sent, sendExtents } from '../drain/drain.ts';
import { without } from '../drain/extents.ts';
import type { Packer } from '../drain/pack.ts';
import { errors } from '../errors.ts';
import {
  barrierIntervalMilliseconds,
  bookmarkRetryMilliseconds,
  digestStallMillisecondsMax,
  drainIntervalMilliseconds,
  drainSliceBytesMin,
  drainSlicedPiecesMax,
  drainSlicesMax,
  drainSoonBytes,
  freezeAttemptsMax,
  freezeDeadlineMilliseconds,
  frozenReadMillisecondsMax,
  heldBytesMin,
  heldMarginMillisecondsMin,
  heldMarginShare,
  holdParts,
  holdRestMilliseconds,
  idleMilliseconds,
  precopyPassesMax,
  progressIntervalMilliseconds,
  quietMillisecondsMax,
  quietMillisecondsMin,
  quietPassesMax,
  readRetryMilliseconds,
  settledRestBytesMax,
  unreadableGraceMilliseconds,
} from '../limits.ts';
import type { Session } from '../outlet/session.ts';
import type { Health } from './health.ts';
import { HeldDrain, type HeldOutcome, type Moment, momentOf, splitMap } from './held-drain.ts';
import type { ReplicatedDisk } from './replicated-disk.ts';

export interface BookmarkPolicy {
  readonly crashConsistentSeconds: number;
  readonly applicationConsistentSeconds: number;
  readonly freezeMillisecondsMax: number;
  /** Default: `holdMillisecondsDefault`; 0: writers are never held back. */
  readonly holdMillisecondsMax?: number | undefined;
}

export interface StreamParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly capture: Capture;
  readonly disks: readonly ReplicatedDisk[];
  /** For what is read while writers are held (`heldBytes` and a little for fragments), and for drains and walks, which never
   * run at the same time. */
  readonly arena: Arena;
  /** Of the arena: what may be read while writers are held. */
  readonly heldBytes: number;
  readonly freezer: Freezer | undefined;
  readonly brake?: Brake | undefined;
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
  /** True while writers are held or file systems frozen: nobody writes files or logs. */
  readonly onStill: (isStill: boolean) => Promise<void>;
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
      /** Writers were held, and writes completed all the same. */
      readonly isWritten?: boolean;
    };

type Failed = Extract<Attempt, { readonly taken: false }>;

export class Stream {
  readonly #parts: StreamParts;
  readonly #session: Session;
  readonly #due: BookmarkDue;
  #orders: Order[] = [];
  #barrierAt = Number.NEGATIVE_INFINITY;
  #drainedAt = Number.NEGATIVE_INFINITY;
  #progressAt = Number.NEGATIVE_INFINITY;
  #walkedAt: number;
  /** Which disks the bookmark that is being taken has, and which it has not. */
  #included: readonly ReplicatedDisk[] = [];
  #missingDisks: MissingDisk[] = [];
  /** Writers that cannot be held went on; until then nobody is held for nothing. */
  #holdAgainAt = Number.NEGATIVE_INFINITY;

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

  /** Sends what `map` marks. When the session fails all of it goes back: more than needed is never wrong. */
  async #drain(disk: ReplicatedDisk, map: ChangeMap): Promise<void> {
    const sliceBytes = Math.max(drainSliceBytesMin, map.markedBytes / drainSlicesMax);
    if (map.markedBytes <= sliceBytes || map.pieces > drainSlicedPiecesMax)
      return this.#drainAtOnce(disk, map);
    const { capture } = this.#parts;
    // Once through the disk. What was written behind this place meanwhile is the next round's.
    let left = map;
    for (let fromBytes = 0; ; left = capture.take(disk.index)) {
      const { slice, rest, bytes, endBytes } = splitMap(left, fromBytes, sliceBytes);
      capture.restore(disk.index, rest);
      await this.#drainAtOnce(disk, slice);
      fromBytes = endBytes;
      if (bytes === 0 || endBytes >= left.sizeBytes) return;
    }
  }

  async #drainAtOnce(disk: ReplicatedDisk, map: ChangeMap): Promise<void> {
    if (map.isEmpty) return;
    try {
      const sent = await sendExtents(this.#relevant(disk, map), this.#options(disk));
      this.#noteUnreadable(disk, sent, true);
      if (sent.unreadable.length === 0 && !disk.unreadable && !disk.isWalkFailing) this.#noteReadable(disk);
      map.clear();
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
    const now = clock.monotonic();
    disk.failingSince ??= now;
    // What fails meanwhile is tried again together with it, or it would never be time.
    if (now >= disk.retryAt) disk.retryAt = now + readRetryMilliseconds;
    if (!setAside) return;
    disk.unreadable ??= new ChangeMap(disk.disk.sizeBytes);
    for (const { offsetBytes, lengthBytes } of sent.unreadable)
      disk.unreadable.mark(offsetBytes, lengthBytes);
  }

  #noteReadable(disk: ReplicatedDisk): void {
    if (disk.failingSince === undefined) return;
    disk.failingSince = undefined;
    const { health } = this.#parts;
    health.forget('DiskUnreadable');
    health.raise(errors.DiskReadable(disk.name), { diskId: disk.diskId });
    health.forget('DiskReadable');
  }

  /** Why a bookmark is without this disk; undefined: it has it, or waits for it. */
  #missing({ missing, failingSince, walk }: ReplicatedDisk): MissingDisk['cause'] | undefined {
    if (missing) return missing;
    const now = this.#parts.clock.monotonic();
    if (failingSince !== undefined && now - failingSince >= unreadableGraceMilliseconds) return 'unreadable';
    const isBack = walk?.plan.kind === 'resync' && ['DiskReturned', 'DiskReplaced'].includes(walk.plan.cause);
    return isBack && !walk.hasEnded ? 'comparing' : undefined;
  }

  async #walk(): Promise<boolean> {
    const { clock, disks, health } = this.#parts;
    let hasWorked = false;
    for (const disk of disks) {
      const { walk } = disk;
      if (!walk || walk.hasEnded || clock.monotonic() < disk.retryAt) continue;
      if (walk.isReady) {
        const sent = await walk.step(this.#options(disk), disk.skip);
        if (sent) {
          this.#noteUnreadable(disk, sent, false);
          disk.isWalkFailing = sent.unreadable.length > 0;
          if (!disk.isWalkFailing && !disk.unreadable) this.#noteReadable(disk);
        }
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
    this.#included = disks.filter((disk) => this.#missing(disk) === undefined);
    this.#missingDisks = disks.flatMap((disk) => {
      const cause = this.#missing(disk);
      return cause === undefined ? [] : [{ diskId: disk.diskId, cause }];
    });
    if (this.#included.length === 0) return false;
    if (this.#included.some((disk) => (disk.walk && !disk.walk.hasEnded) || disk.unreadable)) return false;
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
    const { freezer, brake, policy, clock } = this.#parts;
    let before: Attempt = { taken: false, why: '' };
    if (type === 'CrashConsistent') {
      before = await this.#bookmarkQuiet(stop);
      if (before.taken || stop.aborted) return before;
      if (brake && holdMaxOf(policy) > 0 && clock.monotonic() >= this.#holdAgainAt) {
        const held = await this.#bookmarkHeld(brake, stop);
        if (held.taken || stop.aborted) return held;
        before = held;
      }
      if (!freezer) return before;
    }
    if (!freezer) return { taken: false, why: 'file systems cannot be frozen on this machine' };
    const frozen = await this.#bookmarkFrozen(type, freezer, stop);
    if (frozen.taken || before.taken || before.why === '') return frozen;
    return { ...frozen, why: `${whyOf(before.why, before.cause)}; ${frozen.why}` };
  }

  async #bookmarkQuiet(stop: AbortSignal): Promise<Attempt> {
    const { capture, clock } = this.#parts;
    const disks = this.#included;
    const began = clock.monotonic();
    let lastBytes = Number.POSITIVE_INFINITY;
    let pass = 0;
    for (; pass < quietPassesMax && !stop.aborted; pass++) {
      // Before the barrier: what completes while it reads the rings may be missing, and the point must not claim it.
      const moment = momentOf(clock);
      if (!(await this.#barrier())) return { taken: false, why: 'changes were lost' };
      const maps = disks.map((disk) => capture.take(disk.index));
      const isQuiet = maps.every((map, index) => this.#relevant(disks[index]!, map).next().done === true);
      if (!isQuiet) {
        const bytes = maps.reduce((sum, map) => sum + map.markedBytes, 0);
        await this.#drainMaps(maps);
        if (disks.some((disk) => disk.unreadable)) return { taken: false, why: 'a disk could not be read' };
        const milliseconds = clock.monotonic() - began;
        const isStuck = milliseconds > quietMillisecondsMin && bytes * 3 > lastBytes * 2;
        if (isStuck || milliseconds > quietMillisecondsMax) break;
        lastBytes = bytes;
        continue;
      }
      if (await this.#refreshSwap()) continue;
      await this.#place({ type: 'CrashConsistent', method: 'quiet', frozenMilliseconds: 0 }, moment);
      return { taken: true };
    }
    return { taken: false, why: `writes did not pause in ${pass} passes` };
  }

  /** Holds writers back for a moment, and for longer when that was too short, up to the policy's limit. */
  async #bookmarkHeld(brake: Brake, stop: AbortSignal): Promise<Attempt> {
    const { arena, clock, health, policy } = this.#parts;
    let attempt: Attempt = { taken: false, why: 'it was asked to stop' };
    let longestMilliseconds = 0;
    let session: BrakeSession;
    try {
      session = await brake.prepare();
    } catch (cause) {
      return { taken: false, why: 'writes cannot be held back', cause };
    }
    await using _ = session;
    // One for all of them: what was read for the first hold need not be read for the next one.
    const drain = this.#heldDrain();
    try {
      for (const [index, part] of holdParts.entries()) {
        if (stop.aborted) break;
        if (index > 0) {
          await drain.again();
          if (arena.freeBytes < arena.limitBytes / 2) await drain.send();
          if (this.#included.some((disk) => disk.unreadable))
            return { taken: false, why: 'a disk could not be read' };
        }
        const milliseconds = holdMaxOf(policy) * part;
        const held = await this.#heldMoment(session, drain, milliseconds, longestMilliseconds);
        longestMilliseconds = Math.max(longestMilliseconds, held.heldMilliseconds);
        attempt = held.attempt;
        if (attempt.taken) break;
        this.#parts.log.info('held-in-vain', { milliseconds, why: attempt.why });
        // What a person must mend now is told by its own name, too.
        if (held.isBroken && hasCode(attempt.cause, 'BrakeStuck')) health.raise(attempt.cause);
        if (attempt.isWritten && held.unheld.length > 0 && index === holdParts.length - 1) {
          health.raise(errors.WritersNotHeld(held.unheld.join(', ')));
          this.#holdAgainAt = clock.monotonic() + holdRestMilliseconds;
        }
        if (held.isBroken || !(attempt.isTooMuch || attempt.isWritten)) break;
      }
    } finally {
      await drain.giveUp();
      arena.renewOver(keptArenaBytes);
    }
    return attempt;
  }

  async #heldMoment(
    session: BrakeSession,
    drain: HeldDrain<ReplicatedDisk>,
    milliseconds: number,
    heldBeforeMilliseconds: number,
  ) {
    const { clock, onStill, policy } = this.#parts;
    let outcome: HeldOutcome = { why: 'nothing was held' };
    let failure: unknown;
    let unheld: readonly string[] = [];
    let heldMilliseconds = 0;
    const early = await drain.beforehand();
    if (early) {
      const attempt = await this.#placeUnproven(drain, early);
      return { attempt, unheld, heldMilliseconds, isBroken: false };
    }
    await onStill(true);
    try {
      const began = clock.monotonic();
      const limit = holdMaxOf(policy);
      ({ unheld } = await session.hold(limit));
      // From here to the release: no logging, no files, nothing started. On a busy machine a part of the limit is over already.
      const until = Math.min(clock.monotonic() + milliseconds, began + limit);
      const working = drain.run(until - marginOf(milliseconds));
      try {
        await this.#inTime(working, until - heldMarginMillisecondsMin, drain);
      } finally {
        try {
          ({ heldMilliseconds } = await session.release());
        } finally {
          // A read may have waited for a write that was held.
          outcome = await working;
        }
      }
    } catch (cause) {
      failure = cause;
    } finally {
      await onStill(false);
    }
    const bookmark = {
      type: 'CrashConsistent' as const,
      method: 'brake' as const,
      frozenMilliseconds: 0,
      heldMilliseconds: Math.max(heldMilliseconds, heldBeforeMilliseconds),
    };
    const { enoughMilliseconds, isWritten } = {
      enoughMilliseconds: undefined,
      isWritten: undefined,
      ...outcome,
    };
    if (!outcome.moment && failure === undefined && (enoughMilliseconds !== undefined || isWritten)) {
      // Another hold may do; what was read is kept for it.
      const enough =
        enoughMilliseconds === undefined ? '' : `, ${enoughText(enoughMilliseconds, holdMaxOf(policy))}`;
      const attempt = {
        taken: false as const,
        why: `${outcome.why}${enough}`,
        isTooMuch: !isWritten,
        isWritten: isWritten === true,
      };
      return { attempt, unheld, heldMilliseconds, isBroken: false };
    }
    const attempt = await this.#placeHeld(drain, outcome, failure, 'writes could not be held back', bookmark);
    if (attempt.taken) this.#parts.log.info('held-point', { heldMilliseconds, unheld: unheld.join(' ') });
    return { attempt, unheld, heldMilliseconds, isBroken: failure !== undefined };
  }

  /** What went wrong before anybody was held. */
  #placeUnproven(drain: HeldDrain<ReplicatedDisk>, outcome: HeldOutcome): Promise<Attempt> {
    return this.#placeHeld(drain, outcome, undefined, '', {
      ...{ type: 'CrashConsistent', method: 'quiet', frozenMilliseconds: 0 },
    });
  }

  #heldDrain(): HeldDrain<ReplicatedDisk> {
    const { clock, capture, arena, packer } = this.#parts;
    return new HeldDrain({
      ...{ clock, capture, arena, packer, session: this.#session },
      disks: this.#included,
      relevant: (disk, map) => this.#relevant(disk, map),
    });
  }

  /** Resolves when the work ends or the time is over, whichever comes first. */
  async #inTime(
    work: Promise<unknown>,
    atMonotonic: number,
    drain: HeldDrain<ReplicatedDisk>,
  ): Promise<void> {
    const { clock } = this.#parts;
    const ended = new AbortController();
    const late = clock.sleep(Math.max(1, atMonotonic - clock.monotonic()), ended.signal).then(
      () => drain.late(),
      () => {},
    );
    await Promise.race([work, late]);
    ended.abort();
  }

  /** After a hold or freeze: sends what was read and places the bookmark, or marks all of it again. */
  async #placeHeld(
    drain: HeldDrain<ReplicatedDisk>,
    outcome: HeldOutcome,
    failure: unknown,
    failureText: string,
    bookmark: Omit<Bookmark, 'bookmarkId' | 'takenAt'>,
  ): Promise<Attempt> {
    const { arena } = this.#parts;
    try {
      if (!outcome.moment) {
        if (outcome.losses) await this.#parts.onLosses(outcome.losses);
        const { why, cause, isWritten } = outcome;
        if (failure === undefined)
          return {
            ...{ taken: false, why, cause },
            ...(outcome.enoughMilliseconds === undefined ? {} : { isTooMuch: true }),
            ...(isWritten ? { isWritten } : {}),
          };
      }
      // Graver than whatever went wrong before.
      if (failure !== undefined) return { taken: false, why: failureText, cause: failure };
      if (await this.#refreshSwap()) return { taken: false, why: 'a swap area was given up meanwhile' };
      await drain.send();
      await this.#place(bookmark, outcome.moment!);
      return { taken: true };
    } finally {
      // Does nothing where all was sent.
      await drain.giveUp();
      arena.renewOver(keptArenaBytes);
    }
  }

  async #drainMaps(maps: readonly ChangeMap[]): Promise<void> {
    const { capture } = this.#parts;
    const disks = this.#included;
    this.#drainedAt = this.#parts.clock.monotonic();
    for (const [index, map] of maps.entries()) {
      try {
        await this.#drain(disks[index]!, map);
      } catch (error) {
        // This one has gone back; those after it were not begun.
        for (let later = index + 1; later < maps.length; later++)
          capture.restore(disks[later]!.index, maps[later]!);
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
        if (unready && !(unready.isTooMuch && (await this.#isSmallAfterHold()))) return unready;
        if (type === 'ApplicationConsistent' && !isQuiesced) {
          isQuiesced = true;
          try {
            await freezer.pre();
          } catch (cause) {
            return { taken: false, why: 'the applications did not come to rest', cause };
          }
          // Applications write out much when they come to rest.
          const stillUnready = await this.#precopy(session);
          if (stillUnready && !(stillUnready.isTooMuch && (await this.#isSmallAfterHold())))
            return stillUnready;
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
  async #precopy(freeze: FreezeSession): Promise<Failed | undefined> {
    const { capture, policy } = this.#parts;
    const disks = this.#included;
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
      bytes = disks.reduce((sum, disk) => sum + capture.pendingBytes(disk.index), 0);
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
    const { policy, heldBytes } = this.#parts;
    const slowest = Math.max(
      ...this.#included.map((disk) => disk.pace.estimateMilliseconds(bytes / 16_384, bytes)),
    );
    return bytes <= heldBytes && slowest <= Math.min(millisecondsMax, policy.freezeMillisecondsMax);
  }

  /** Too much is written for a freeze: the brake lowers it. Holds writers, drains meanwhile, and answers whether a freeze now
   * would leave little. Never both at once: a freeze writes back, and would wait for what is held. */
  async #isSmallAfterHold(): Promise<boolean> {
    const { brake, capture, clock, onStill, policy } = this.#parts;
    if (!brake || holdMaxOf(policy) <= 0 || clock.monotonic() < this.#holdAgainAt) return false;
    const drain = this.#heldDrain();
    try {
      await using session = await brake.prepare();
      const milliseconds = holdMaxOf(policy);
      await onStill(true);
      try {
        const began = clock.monotonic();
        await session.hold(milliseconds);
        const working = drain.run(began + milliseconds - marginOf(milliseconds));
        try {
          await this.#inTime(working, began + milliseconds - heldMarginMillisecondsMin, drain);
        } finally {
          try {
            await session.release();
          } finally {
            const { losses } = { losses: undefined, ...(await working) };
            if (losses) await this.#parts.onLosses(losses);
          }
        }
      } finally {
        await onStill(false);
      }
      // Read after it was taken, so it is good for the stream whatever was written meanwhile.
      await drain.send();
      const bytes = this.#included.reduce((sum, disk) => sum + capture.pendingBytes(disk.index), 0);
      return this.#isSmall(bytes, policy.freezeMillisecondsMax);
    } catch (error) {
      if (!hasCode(error, 'BrakeUnusable')) throw error;
      return false;
    } finally {
      await drain.giveUp();
      this.#parts.arena.renewOver(keptArenaBytes);
    }
  }

  async #frozenMoment(type: BookmarkType, freeze: FreezeSession): Promise<Attempt> {
    const { clock, onStill, policy } = this.#parts;
    const drain = this.#heldDrain();
    let outcome: HeldOutcome = { why: 'nothing was frozen' };
    let failure: unknown;
    let frozenMilliseconds = 0;
    const early = await drain.beforehand();
    if (early) return this.#placeUnproven(drain, early);
    await onStill(true);
    try {
      await freeze.freeze(Math.min(freezeDeadlineMilliseconds, 2_000));
      // From here to the thaw: no logging, no files, nothing started.
      const milliseconds = policy.freezeMillisecondsMax;
      const began = clock.monotonic();
      const working = drain.run(began + milliseconds - marginOf(milliseconds));
      try {
        await this.#inTime(working, began + milliseconds - heldMarginMillisecondsMin, drain);
      } finally {
        try {
          ({ frozenMilliseconds } = await freeze.thaw());
        } finally {
          outcome = await working;
        }
      }
    } catch (cause) {
      failure = cause;
    } finally {
      await onStill(false);
    }
    const bookmark = { type, method: 'freeze' as const, frozenMilliseconds };
    const attempt = await this.#placeHeld(drain, outcome, failure, 'the freeze did not hold', bookmark);
    if (attempt.taken) {
      const mountPoints = freeze.mountPoints.join(' ');
      this.#parts.log.info('frozen-point', { type, frozenMilliseconds, mountPoints });
    }
    return attempt;
  }

  async #place(
    taken: Omit<Bookmark, 'bookmarkId' | 'takenAt'>,
    { takenAt, takenMonotonic }: Moment,
  ): Promise<void> {
    const bookmark: Bookmark = {
      ...taken,
      bookmarkId: BookmarkId.parse(this.#parts.random.uuid()),
      takenAt: new Date(takenAt).toISOString(),
      ...(this.#missingDisks.length > 0 ? { missingDisks: this.#missingDisks } : {}),
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

/** Drains and small rests use so much; what a larger one took is given back. */
const keptArenaBytes = heldBytesMin + (heldBytesMin >> 3);

const holdMaxOf = (policy: BookmarkPolicy) => policy.holdMillisecondsMax ?? holdMillisecondsDefault;

const marginOf = (milliseconds: number) =>
  Math.max(heldMarginMillisecondsMin, milliseconds * heldMarginShare);

function enoughText(enoughMilliseconds: number, limitMilliseconds: number): string {
  if (enoughMilliseconds > holdMillisecondsMax)
    return `which would take about ${enoughMilliseconds} ms; writers can be held for ${holdMillisecondsMax} ms at most`;
  return `about ${enoughMilliseconds} ms would be enough, and the policy allows ${limitMilliseconds}`;
}

/** An event has no room for a chain of causes, so the nearest one is told in the same sentence. */
function whyOf(why: string, cause: unknown): string {
  if (cause === undefined) return why;
  return `${why}: ${cause instanceof LeewardError ? cause.summary : String(cause)}`;
}
