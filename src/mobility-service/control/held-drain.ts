/**
 * Drains while writers are held, by the write brake or by a freeze: what was written until a moment ago is read into memory
 * that is there already, and sent from there once the writers go on. Where memory does not suffice, the oldest of it is
 * sent meanwhile, as far as the time lasts.
 *
 *     ┌─▶ barrier ─▶ take all maps ─▶ nothing marked? ── yes ──▶ the moment is proven: send() brings what is left
 *     │                                   │ no
 *     └── read what is marked ◀───────────┘         late, lost, unreadable ──▶ giveUp() marks all of it again
 *
 * Why a proven moment is right: at the last barrier nothing was marked. Each block that ever was marked has been taken, and
 * read after that, and no write to it completed since its last take, or it would be marked again. So what was read is what the
 * disks hold at this barrier, save for writes that had not completed, as after a power cut; whether blocks were taken
 * together, or one slice after the other, changes nothing in that. What an earlier
 * pass read while a write completed is marked by that write, and so a later pass has read it again; passes are sent one after
 * the other in their order. A hold or freeze that ended early changes nothing in that. What was sent before an attempt
 * failed was an ordinary drain: taken first and read then.
 */
import { strict as assert } from 'node:assert';
import type { Arena, Loan } from '../../disk/arena.ts';
import { type Disk, extentBytesMax } from '../../disk/disk.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Capture, CaptureLoss } from '../capture/capture.ts';
import { ChangeMap, type Extent } from '../capture/change-map.ts';
import { untilRelease } from '../drain/answering-disk.ts';
import { lotsOf, pagedBytes, sendRuns } from '../drain/drain.ts';
import { totalBytes } from '../drain/extents.ts';
import type { Packer } from '../drain/pack.ts';
import {
  extentsUnderWayMax,
  heldBeforehandBytesMin,
  heldBeforehandPassesMax,
  heldBeforehandShare,
  heldReadBytesPerMillisecondMax,
  heldSendsMax,
} from '../limits.ts';
import type { Session } from '../outlet/session.ts';

/** One moment on both clocks: the one that people read, and the one that nobody steps. */
export interface Moment {
  readonly takenAt: number;
  readonly takenMonotonic: number;
}

export const momentOf = (clock: Clock): Moment => ({
  takenAt: clock.now(),
  takenMonotonic: clock.monotonic(),
});

/** Of a replicated disk, what is needed here. */
export interface HeldDisk {
  readonly index: number;
  readonly disk: Disk;
}

export interface HeldDrainParts<D extends HeldDisk> {
  readonly clock: Clock;
  readonly capture: Capture;
  readonly disks: readonly D[];
  readonly arena: Arena;
  readonly session: Session;
  readonly packer?: Packer | undefined;
  /** What of a map counts. */
  readonly relevant: (disk: D, map: ChangeMap) => Iterable<Extent>;
}

export type HeldOutcome =
  | { readonly moment: Moment }
  | {
      readonly moment?: undefined;
      readonly why: string;
      readonly cause?: unknown;
      readonly losses?: readonly CaptureLoss[];
      /** There was more to read than time; this much would have been enough, as far as can be told. */
      readonly enoughMilliseconds?: number;
      /** All could be read, but writes completed meanwhile, each time. */
      readonly isWritten?: boolean;
    };

interface Piece {
  readonly disk: HeldDisk;
  readonly extents: readonly Extent[];
  readonly loan: Loan;
  read: Promise<void>;
  /** Reads that were given up: the kernel may still write there. */
  readonly late: Promise<unknown>[];
  isSent: boolean;
}

interface Pass {
  /** What giving up marks again. */
  maps: readonly ChangeMap[];
  readonly pieces: Piece[];
  isRead: boolean;
}

export class HeldDrain<D extends HeldDisk> {
  readonly #parts: HeldDrainParts<D>;
  readonly #passes: Pass[] = [];
  #isLate = false;

  constructor(parts: HeldDrainParts<D>) {
    this.#parts = parts;
  }

  /** Ends what `run` does as soon as it can end; for whoever cannot wait longer. */
  late(): void {
    this.#isLate = true;
  }

  /**
   * Before writers are held: reads what memory has room for, again and again while it becomes less, so that little is left for
   * the hold. Answers what went wrong, if anything did; then only `giveUp` may follow.
   */
  async beforehand(): Promise<HeldOutcome | undefined> {
    const { arena, capture, disks } = this.#parts;
    let roomBytes = arena.freeBytes - arena.limitBytes * (1 - heldBeforehandShare);
    let lastBytes = Number.POSITIVE_INFINITY;
    try {
      for (let passes = 0; passes < heldBeforehandPassesMax && roomBytes > heldBeforehandBytesMin; passes++) {
        const { losses } = await capture.barrier();
        if (losses.length > 0) return { why: 'changes were lost', losses };
        const maps: ChangeMap[] = [];
        let leftBytes = roomBytes;
        for (const disk of disks) {
          const map = capture.take(disk.index);
          if (map.markedBytes <= leftBytes) maps.push(map);
          else {
            const { slice, rest } = splitMap(map, 0, leftBytes);
            capture.restore(disk.index, rest);
            maps.push(slice);
          }
          leftBytes = Math.max(0, leftBytes - maps.at(-1)!.markedBytes);
        }
        const pass: Pass = { maps, pieces: [], isRead: false };
        this.#passes.push(pass);
        const wanted = disks.map((disk, index) => [...this.#parts.relevant(disk, maps[index]!)]);
        const bytes = wanted.reduce((sum, extents) => sum + totalBytes(extents), 0);
        await this.#read(pass, wanted, () => this.#isLate);
        if (bytes < heldBeforehandBytesMin || bytes * 3 > lastBytes * 2) return undefined;
        roomBytes -= bytes;
        lastBytes = bytes;
      }
      return undefined;
    } catch (cause) {
      return { why: 'the rest could not be read', cause };
    }
  }

  /** Reads until a moment is proven or time is over. Never throws; `send` or `giveUp` must follow. */
  async run(untilMonotonic: number): Promise<HeldOutcome> {
    const { clock, capture, disks } = this.#parts;
    const began = clock.monotonic();
    const isOver = () => this.#isLate || clock.monotonic() >= untilMonotonic;
    let readBytes = 0;
    try {
      for (let passes = 0; ; passes++) {
        // Before the barrier: what completes while it reads the rings may be missing, and the point must not claim it.
        const moment = momentOf(clock);
        const { losses } = await capture.barrier();
        if (losses.length > 0) return { why: 'changes were lost', losses };
        const maps = disks.map((disk) => capture.take(disk.index));
        const pass: Pass = { maps, pieces: [], isRead: false };
        this.#passes.push(pass);
        const leftMilliseconds = Math.max(0, untilMonotonic - clock.monotonic());
        const bytesMax = leftMilliseconds * heldReadBytesPerMillisecondMax;
        const { wanted, bytes } = this.#wanted(maps, bytesMax);
        if (bytes === 0) return { moment };
        const isHopeless = bytes > bytesMax;
        const done = isHopeless || isOver() ? 0 : await this.#read(pass, wanted, isOver);
        readBytes += done;
        if (done === bytes) continue;
        if (passes > 1) return { why: `writes completed in each of ${passes} passes`, isWritten: true };
        const milliseconds = clock.monotonic() - began;
        return {
          why: `${bytes - done} bytes were left after ${Math.round(milliseconds)} ms`,
          // Twice what the remaining part would take at this pace: less is only sometimes enough.
          enoughMilliseconds:
            readBytes > 0
              ? Math.ceil(milliseconds + (2 * (bytes - done) * milliseconds) / readBytes)
              : Math.ceil(milliseconds + (2 * bytes) / heldReadBytesPerMillisecondMax),
        };
      }
    } catch (cause) {
      return { why: 'the rest could not be read', cause };
    }
  }

  /** After time was over: what could not be read is marked again, what was read is kept, and another try may follow. */
  async again(): Promise<void> {
    this.#isLate = false;
    const last = this.#passes.at(-1);
    if (!last || last.isRead) return;
    await Promise.allSettled(last.pieces.map(({ read }) => read));
    for (const [index, map] of last.maps.entries())
      this.#parts.capture.restore(this.#parts.disks[index]!.index, map);
    last.maps = [];
  }

  /** Brings what is still in memory into the stream; throws when the session fails, and all is marked again then. */
  async send(): Promise<void> {
    try {
      for (const pass of this.#passes) await this.#sendPass(pass);
    } catch (error) {
      await this.giveUp();
      throw error;
    }
    for (const { maps } of this.#passes) for (const map of maps) map.clear();
    this.#passes.length = 0;
  }

  /** Marks again whatever was taken: more than needed is never wrong. */
  async giveUp(): Promise<void> {
    const { capture } = this.#parts;
    for (const { maps, pieces } of this.#passes) {
      // No loan is given back under a read.
      await Promise.allSettled(pieces.map(({ read }) => read));
      for (const { loan, late } of pieces)
        if (late.length === 0) loan.release();
        else void Promise.all(late).then(() => loan.release());
      for (const [index, map] of maps.entries()) capture.restore(this.#parts.disks[index]!.index, map);
    }
    this.#passes.length = 0;
  }

  /** What of the maps counts, by disk. No further once it is more than can be read: a trim of terabytes is millions of extents. */
  #wanted(maps: readonly ChangeMap[], bytesMax: number): { wanted: Extent[][]; bytes: number } {
    const wanted: Extent[][] = [];
    let bytes = 0;
    for (const [index, disk] of this.#parts.disks.entries()) {
      const extents: Extent[] = [];
      wanted.push(extents);
      for (const extent of this.#parts.relevant(disk, maps[index]!)) {
        extents.push(extent);
        bytes += extent.lengthBytes;
        if (bytes > bytesMax) return { wanted, bytes };
      }
    }
    return { wanted, bytes };
  }

  /** Answers how many bytes; fewer when time was over before all of them were read. */
  async #read(pass: Pass, wanted: readonly (readonly Extent[])[], isOver: () => boolean): Promise<number> {
    const underWay = new Set<Promise<void>>();
    let readBytes = 0;
    for (const [index, extents] of wanted.entries())
      for (const lot of lotsOf(extents)) {
        while (underWay.size >= extentsUnderWayMax) await Promise.race(underWay);
        const loan = await this.#room(lot, underWay, isOver);
        if (loan === undefined || isOver()) {
          loan?.release();
          await Promise.all(underWay);
          return readBytes;
        }
        const disk = this.#parts.disks[index]!;
        const late: Promise<unknown>[] = [];
        const read = readLot(disk, lot, loan, late);
        pass.pieces.push({ disk, extents: lot, loan, read, late, isSent: false });
        const one = read.then(() => {
          readBytes += totalBytes(lot);
          underWay.delete(one);
        });
        underWay.add(one);
        // Whoever waits for it hears of it; so does `giveUp`.
        one.catch(() => {});
      }
    await Promise.all(underWay);
    pass.isRead = true;
    return readBytes;
  }

  /** Memory for a lot; where there is none, what was read first is sent. Undefined when time is over. */
  async #room(
    lot: readonly Extent[],
    underWay: ReadonlySet<Promise<void>>,
    isOver: () => boolean,
  ): Promise<Loan | undefined> {
    const lengthBytes = lot.reduce((sum, extent) => sum + pagedBytes(extent.lengthBytes), 0);
    assert(lengthBytes <= this.#parts.arena.limitBytes);
    for (;;) {
      if (isOver()) return undefined;
      const loan = this.#parts.arena.tryBorrow(lengthBytes);
      if (loan) return loan;
      const oldest = this.#passes.find(({ pieces }) => pieces.some(({ isSent }) => !isSent));
      const piece = oldest?.pieces.find(({ isSent }) => !isSent);
      assert(piece, 'nobody else uses this memory while writers are held');
      if (underWay.size > 0) await Promise.race([piece.read, ...underWay]);
      // One after the other: order between passes is order between versions of a block.
      await this.#sendPiece(piece);
    }
  }

  async #sendPass({ pieces }: Pass): Promise<void> {
    // Pieces of one pass do not overlap, so these may change places among themselves.
    const unsent = pieces.filter(({ isSent }) => !isSent);
    const next = unsent[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const piece of next) await this.#sendPiece(piece);
    };
    const results = await Promise.allSettled(Array.from({ length: heldSendsMax }, work));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #sendPiece(piece: Piece): Promise<void> {
    const { session, packer } = this.#parts;
    const { disk, extents, loan } = piece;
    await piece.read;
    const sum = { dataBytes: 0, zeroBytes: 0 };
    let at = 0;
    for (const { offsetBytes, lengthBytes } of extents) {
      const bytes = Buffer.from(loan.bytes.buffer, loan.bytes.byteOffset + at, lengthBytes);
      at += pagedBytes(lengthBytes);
      await sendRuns(bytes, offsetBytes, { session, diskIndex: disk.index, packer }, sum);
    }
    piece.isSent = true;
    loan.release();
  }
}

/** Of a map that was taken, about so many bytes from a place on, and the rest of it. */
export function splitMap(map: ChangeMap, fromBytes: number, sliceBytes: number) {
  const slice = new ChangeMap(map.sizeBytes);
  const rest = new ChangeMap(map.sizeBytes);
  let bytes = 0;
  let endBytes = map.sizeBytes;
  let isFull = false;
  for (const { offsetBytes, lengthBytes } of map.extents(extentBytesMax)) {
    const isAhead = offsetBytes + lengthBytes > fromBytes;
    if (isAhead && bytes + lengthBytes > sliceBytes) isFull = true;
    const isIn = isAhead && !isFull;
    (isIn ? slice : rest).mark(offsetBytes, lengthBytes);
    if (!isIn) continue;
    bytes += lengthBytes;
    endBytes = offsetBytes + lengthBytes;
  }
  map.clear();
  return { slice, rest, bytes, endBytes };
}

/** Settles when nothing is being read any more, but for `late` reads. */
async function readLot(
  disk: HeldDisk,
  lot: readonly Extent[],
  loan: Loan,
  late: Promise<unknown>[],
): Promise<void> {
  let at = 0;
  const results = await Promise.allSettled(
    lot.map(async ({ offsetBytes, lengthBytes }) => {
      const part = loan.bytes.subarray(at, at + lengthBytes);
      at += pagedBytes(lengthBytes);
      await disk.disk.read(part, offsetBytes).catch((error: unknown) => {
        const released = untilRelease(error);
        if (released) late.push(released);
        throw error;
      });
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
