/**
 * Initial replication and resync, one code path: the disk is walked from its beginning to its end, and what the other side
 * does not have is sent. `initial`: the other side is empty, so nothing is compared and zeroes need not travel. `resync`:
 * each chunk of 64 KiB is hashed and compared with the other side's digest.
 *
 *     0 ─────────── acknowledged ──────────── cursor ─ highWater ─────────────────────────── size
 *       durable there │ on its way; walked anew │         │ not read yet: marks there are dropped,
 *                     │ after a broken session  │         │ the walk will come by
 *
 * Why the copy is right at the end, whatever is written meanwhile. For each block one of these holds at any time:
 *   (a) what was sent of it last is what the disk has;
 *   (b) it is marked in the change map, or a write to it has not completed yet (and will mark it when it does);
 *   (c) it lies at or beyond `highWater`: the walk has not read it yet.
 * A walk's step raises `highWater` before it reads. A write that completes before the read began is in what was read. One
 * that completes later marks the block after the step began, so its mark is not dropped, and the drain, which never runs
 * at the same time as a step, reads it later and sends it later in the stream. Marks at or beyond `highWater` may be
 * dropped since nothing of this walk was sent from there. After a broken session the walk begins again at `acknowledged`,
 * but `highWater` stays: what was sent from below it and not acknowledged is marked again, so even a block that has become
 * zero meanwhile (which an initial walk would not send) is drained.
 *
 * The digests must describe the copy as it stands with everything before the resync-begin applied. Digests do not say
 * which walk they belong to, so a second walk of one disk takes a new session (`control/replication.ts`).
 */
import { hash } from 'node:crypto';
import { extentBytesMax } from '../../disk/disk.ts';
import type { ResyncCause } from '../../model/disk-state.ts';
import type { ProtectedDiskId } from '../../model/ids.ts';
import type { ResyncProgress } from '../../model/progress.ts';
import { FrameType } from '../../protocol/replication/frame.ts';
import {
  digestBytes,
  digestChunkBytes,
  type ResyncBegin,
  type ResyncEnd,
} from '../../protocol/replication/messages.ts';
import type { Extent } from '../capture/change-map.ts';
import { type SendOptions, type Sent, sendExtents } from '../drain/drain.ts';
import { pieces, without } from '../drain/extents.ts';
import { type Run, zeroRuns } from '../drain/zero-runs.ts';
import { heldDigestBytesMax, walkStepBytes, walkStepDataBytes, walkStepMillisecondsMin } from '../limits.ts';
import type { Session } from '../outlet/session.ts';
import { DigestShelf } from './digest-shelf.ts';

export interface WalkPlan {
  readonly resyncId: string;
  readonly diskIndex: number;
  readonly diskId: ProtectedDiskId;
  readonly kind: 'initial' | 'resync';
  readonly cause: ResyncCause;
  readonly sizeBytes: number;
  /** The receiver has nothing at all: zeroes need not be sent. Not so when an earlier walk was thrown away. */
  readonly isOtherSideEmpty: boolean;
  /** ISO 8601 UTC, and the same moment on the monotonic clock. */
  readonly startedAt: string;
  readonly startedMonotonic: number;
}

export class Walk {
  readonly plan: WalkPlan;
  #cursorBytes = 0;
  #highWaterBytes = 0;
  #acknowledgedBytes = 0;
  #sentBytes = 0;
  /** Chosen to be sent in this step. */
  #stepDataBytes = 0;
  #state: 'waiting' | 'walking' | 'ended' = 'waiting';
  #isBegunDurably = false;
  #beginSequence = 0;
  #endSequence = 0;
  #isEndSent = false;
  #isEndDurable = false;
  #checkpoints: { readonly sequence: number; readonly cursorBytes: number }[] = [];
  #shelf = new DigestShelf(heldDigestBytesMax);
  /** Chunks are sent without comparing: their digests never came. */
  isBlind = false;

  constructor(plan: WalkPlan) {
    this.plan = plan;
  }

  get highWaterBytes(): number {
    return this.#highWaterBytes;
  }
  /** resync-end is on its way: bookmarks may follow it. */
  get hasEnded(): boolean {
    return this.#state === 'ended';
  }
  /** Also of an earlier session: the receiver may have it. */
  get isEndSent(): boolean {
    return this.#isEndSent;
  }
  get isEndDurable(): boolean {
    return this.#isEndDurable;
  }
  /** The receiver knows this walk, so a new session may go on with it. */
  get isBegunDurably(): boolean {
    return this.#isBegunDurably;
  }

  async begin(session: Session): Promise<void> {
    this.#checkpoints = [];
    this.#shelf = new DigestShelf(heldDigestBytesMax);
    this.#cursorBytes = this.#acknowledgedBytes;
    this.#endSequence = 0;
    this.#beginSequence = 0;
    const { resyncId, diskId, kind, cause, sizeBytes, diskIndex } = this.plan;
    const begin: ResyncBegin = { resyncId, diskId, kind, cause, fromBytes: this.#cursorBytes, sizeBytes };
    this.#beginSequence = await session.json(FrameType.resyncBegin, begin, diskIndex);
    this.#state = 'walking';
  }

  /** The session is over. */
  pause(): void {
    this.#state = 'waiting';
  }

  digests(offsetBytes: number, lengthBytes: number, digests: Buffer): void {
    if (this.plan.kind === 'resync') this.#shelf.put(offsetBytes, lengthBytes, digests);
  }

  acknowledged(sequence: number): void {
    if (this.#beginSequence > 0 && sequence >= this.#beginSequence) this.#isBegunDurably = true;
    while (this.#checkpoints[0] && this.#checkpoints[0].sequence <= sequence)
      this.#acknowledgedBytes = this.#checkpoints.shift()!.cursorBytes;
    if (this.#endSequence > 0 && sequence >= this.#endSequence) this.#isEndDurable = true;
  }

  /** Whether a step would get anywhere now. */
  get isReady(): boolean {
    return (
      this.#state === 'walking' &&
      (this.#cursorBytes === this.plan.sizeBytes || this.#reach() > this.#cursorBytes)
    );
  }

  /** Goes a step on; answers what was sent. What could not be read stays before the cursor: the next step tries again. */
  async step(options: Omit<SendOptions, 'choose'>, skip: readonly Extent[]): Promise<Sent | undefined> {
    const { session } = options;
    if (this.#cursorBytes === this.plan.sizeBytes) {
      await this.#end(session);
      return undefined;
    }
    const end = this.#reach();
    const from = this.#cursorBytes;
    this.#highWaterBytes = Math.max(this.#highWaterBytes, end);
    // Comparing is fast while nothing differs, so a step is long and ends early when there is much to send. That the high
    // water is ahead of the cursor then does no harm: marks in between are drained, and the walk comes by later.
    let reached = from;
    const { clock } = options;
    const startedAt = clock.monotonic();
    const isOver = () =>
      this.#stepDataBytes >= walkStepDataBytes && clock.monotonic() - startedAt >= walkStepMillisecondsMin;
    function* untilOver(): Generator<Extent> {
      for (const piece of pieces(from, end, extentBytesMax)) {
        if (isOver()) return;
        reached = piece.offsetBytes + piece.lengthBytes;
        yield piece;
      }
    }
    this.#stepDataBytes = 0;
    const sent = await sendExtents(without(untilOver(), skip), {
      ...options,
      choose: (bytes, offsetBytes) => this.#choose(bytes, offsetBytes),
    });
    this.#sentBytes += sent.dataBytes + sent.zeroBytes;
    const firstUnreadable = Math.min(reached, ...sent.unreadable.map((extent) => extent.offsetBytes));
    this.#cursorBytes =
      firstUnreadable - (firstUnreadable === reached ? 0 : firstUnreadable % digestChunkBytes);
    this.#checkpoints.push({ sequence: session.sequence, cursorBytes: this.#cursorBytes });
    return sent;
  }

  progress(nowMonotonic: number): ResyncProgress {
    const { diskId, kind, cause, sizeBytes, startedAt, startedMonotonic } = this.plan;
    const seconds = (nowMonotonic - startedMonotonic) / 1000;
    const done = this.#cursorBytes;
    // A hundredth of the disk, and a few seconds: before that the figure would jump about.
    const isKnown = done > 0 && seconds > 3 && done * 100 >= sizeBytes;
    return {
      diskId,
      kind,
      cause,
      doneBytes: done,
      sentBytes: this.#sentBytes,
      totalBytes: sizeBytes,
      startedAt,
      ...(isKnown ? { etaSeconds: Math.round((seconds * (sizeBytes - done)) / done) } : {}),
    };
  }

  async #end(session: Session): Promise<void> {
    const end: ResyncEnd = {
      resyncId: this.plan.resyncId,
      diskId: this.plan.diskId,
      comparedBytes: this.plan.sizeBytes,
      sentBytes: this.#sentBytes,
    };
    this.#isEndSent = true;
    this.#endSequence = await session.json(FrameType.resyncEnd, end, this.plan.diskIndex);
    this.#state = 'ended';
  }

  /** How far a step may go: as far as digests have come. */
  #reach(): number {
    const far = Math.min(this.plan.sizeBytes, this.#cursorBytes + walkStepBytes);
    if (this.plan.kind === 'initial' || this.isBlind) return far;
    const covered = Math.min(far, this.#shelf.coveredTo(this.#cursorBytes));
    return covered === this.plan.sizeBytes ? covered : covered - (covered % digestChunkBytes);
  }

  #choose(bytes: Buffer, offsetBytes: number): readonly Run[] {
    const runs = this.#different(bytes, offsetBytes);
    for (const { start, end, isZero } of runs) if (!isZero) this.#stepDataBytes += end - start;
    return runs;
  }

  #different(bytes: Buffer, offsetBytes: number): readonly Run[] {
    if (this.plan.kind === 'initial')
      return this.plan.isOtherSideEmpty ? zeroRuns(bytes).filter((run) => !run.isZero) : zeroRuns(bytes);
    const runs: Run[] = [];
    // A skipped range (swap) may begin inside a chunk: such a chunk cannot be compared and is sent.
    for (const { offsetBytes: at, lengthBytes } of pieces(
      offsetBytes,
      offsetBytes + bytes.byteLength,
      digestChunkBytes,
    )) {
      const start = at - offsetBytes;
      const chunk = bytes.subarray(start, start + lengthBytes);
      const isWhole =
        at % digestChunkBytes === 0 &&
        (lengthBytes === digestChunkBytes || at + lengthBytes === this.plan.sizeBytes);
      if (isWhole && this.#shelf.at(at)?.equals(digestOfChunk(chunk))) continue;
      for (const run of zeroRuns(chunk)) {
        const last = runs.at(-1);
        if (last && last.end === start + run.start && last.isZero === run.isZero)
          runs[runs.length - 1] = { ...last, end: start + run.end };
        else runs.push({ start: start + run.start, end: start + run.end, isZero: run.isZero });
      }
    }
    return runs;
  }
}

/** SHA-256 cut to 16 bytes. */
export function digestOf(chunk: Uint8Array): Buffer {
  return hash('sha256', chunk, 'buffer').subarray(0, digestBytes);
}

const zeroChunk = Buffer.alloc(digestChunkBytes);
const zeroDigest = digestOf(zeroChunk);

/** Comparing with zeroes is ten times as fast as hashing them, and stops at the first byte of anything else. */
function digestOfChunk(chunk: Buffer): Buffer {
  return zeroChunk.equals(chunk) ? zeroDigest : digestOf(chunk);
}
