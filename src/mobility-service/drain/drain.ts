/**
 * Drain: marked extents are read back from the disk and sent. The byte comes from the disk itself, after capture said
 * where; it goes to the outlet as data and zero frames.
 *
 *     extents ──▶ borrow memory ──▶ read (O_DIRECT) ──▶ choose runs ──▶ pack ──▶ session.data / session.zero ──▶ release
 *                 (waits: back-pressure)                (drain: all of it; a walk: only what differs)
 *
 * Small extents are read and sent in lots: a delta is thousands of 4 KiB blocks, and each wake-up of a thread that reads
 * costs as much as the read.
 *
 * Several extents are under way at once, as far as the arena reaches, so their frames may change places; extents of
 * one call never overlap, so this changes nothing. Two calls for one disk never overlap in time: `control/stream.ts`
 * makes one after the other, and this gives the order that its argument rests on.
 *
 * What cannot be read is answered, not thrown: the rest goes on, and the caller marks it again.
 */
import { type Arena, pageBytes } from '../../disk/arena.ts';
import { type Disk, extentBytesMax } from '../../disk/disk.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Extent } from '../capture/change-map.ts';
import { extentsUnderWayMax, lotExtentBytesMax, readAheadBytes, unreadableExtentsMax } from '../limits.ts';
import type { Session } from '../outlet/session.ts';
import { untilRelease } from './answering-disk.ts';
import { inlinePacker, type Packer } from './pack.ts';
import { ZeroFrames } from './zero-frames.ts';
import { type Run, zeroRuns } from './zero-runs.ts';

export interface Sent {
  dataBytes: number;
  zeroBytes: number;
  readBytes: number;
  /** Extents that the disk would not give, with the last error. Neighbours are joined, and all of them over ever wider gaps
   * when there are too many: a disk that is gone gives none of millions. */
  readonly unreadable: Extent[];
  readError: unknown;
}

export interface SendOptions {
  readonly disk: Disk;
  readonly diskIndex: number;
  readonly session: Session;
  /** Bounds what is under way; a slow link keeps it lent out, and reading waits. */
  readonly arena: Arena;
  readonly clock: Clock;
  readonly pace: ReadPace;
  /** Default: in this thread. */
  readonly packer?: Packer | undefined;
  /** Which runs of what was read are sent; all of them when not given. */
  readonly choose?: (bytes: Buffer, offsetBytes: number) => readonly Run[];
}

/** Reads and sends `extents`. Resolves when the link has all of it. Throws when the session fails. */
export async function sendExtents(extents: Iterable<Extent>, options: SendOptions): Promise<Sent> {
  const { session, arena } = options;
  const sent: Sent = { dataBytes: 0, zeroBytes: 0, readBytes: 0, unreadable: [], readError: undefined };
  const underWay = new Set<Promise<void>>();
  let underWayBytes = 0;
  let failure: unknown;
  const zeroes = new ZeroFrames(options.diskIndex, (range) => session.zero(range));
  for (const lot of lotsOf(cut(extents, extentBytesMax))) {
    const lotBytes = lot.reduce((sum, extent) => sum + pagedBytes(extent.lengthBytes), 0);
    while (underWay.size >= extentsUnderWayMax || underWayBytes + lotBytes > readAheadBytes)
      await Promise.race(underWay);
    const loan = await arena.borrow(lotBytes);
    if (failure !== undefined) {
      loan.release();
      break;
    }
    const bytes = Buffer.from(loan.bytes.buffer, loan.bytes.byteOffset, loan.bytes.byteLength);
    /** Reads that were given up: the kernel may still write there. */
    const late: Promise<unknown>[] = [];
    const work = sendLot(lot, bytes, { ...options, zeroes }, sent, late)
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => {
        if (late.length === 0) loan.release();
        else void Promise.all(late).then(() => loan.release());
        underWayBytes -= lotBytes;
        underWay.delete(work);
      });
    underWayBytes += lotBytes;
    underWay.add(work);
  }
  await Promise.all(underWay);
  if (failure !== undefined) throw failure;
  await zeroes.flush();
  session.throwIfOver();
  return sent;
}

async function sendLot(
  lot: readonly Extent[],
  bytes: Buffer,
  options: SendOptions & { readonly zeroes: ZeroFrames },
  sent: Sent,
  late: Promise<unknown>[],
): Promise<void> {
  const { disk, clock, pace } = options;
  options.session.throwIfOver();
  const startedAt = clock.monotonic();
  let at = 0;
  const reads = lot.map(async (extent) => {
    const part = bytes.subarray(at, at + extent.lengthBytes);
    at += pagedBytes(extent.lengthBytes);
    try {
      await disk.read(part, extent.offsetBytes);
      return part;
    } catch (error) {
      noteUnreadable(sent.unreadable, extent);
      sent.readError = error;
      const released = untilRelease(error);
      if (released) late.push(released);
      return undefined;
    }
  });
  const parts = await Promise.all(reads);
  // Of a lot, as if four had been under way: that is how `estimateMilliseconds` takes it.
  const milliseconds = ((clock.monotonic() - startedAt) * Math.min(4, lot.length)) / lot.length;
  for (const extent of lot) pace.record(extent.lengthBytes, milliseconds);
  const results = await Promise.allSettled(
    parts.map((part, index) => {
      const { offsetBytes, lengthBytes } = lot[index]!;
      if (part === undefined) return undefined;
      sent.readBytes += lengthBytes;
      return sendRuns(part, offsetBytes, options, sent);
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** In order of offset. */
function noteUnreadable(list: Extent[], { offsetBytes, lengthBytes }: Extent): void {
  let at = list.length;
  while (at > 0 && list[at - 1]!.offsetBytes > offsetBytes) at--;
  list.splice(at, 0, { offsetBytes, lengthBytes });
  for (
    let gapBytes = 0;
    gapBytes === 0 || list.length > unreadableExtentsMax;
    gapBytes = 4 * gapBytes + 4096
  ) {
    let kept = 0;
    for (const extent of list) {
      const last = list[kept - 1];
      const end = last === undefined ? 0 : last.offsetBytes + last.lengthBytes;
      if (last !== undefined && extent.offsetBytes - end <= gapBytes)
        list[kept - 1] = {
          offsetBytes: last.offsetBytes,
          lengthBytes: Math.max(end, extent.offsetBytes + extent.lengthBytes) - last.offsetBytes,
        };
      else list[kept++] = extent;
    }
    list.length = kept;
  }
}

/** Sends the chosen runs of `bytes`, which stand at `offsetBytes`; resolves when `bytes` may be reused. `zeroes`: where zero
 * runs wait for their neighbours; without it each is a frame. */
export async function sendRuns(
  bytes: Buffer,
  offsetBytes: number,
  options: Pick<SendOptions, 'session' | 'diskIndex' | 'choose' | 'packer'> & {
    readonly zeroes?: ZeroFrames;
  },
  sent: Pick<Sent, 'dataBytes' | 'zeroBytes'>,
): Promise<void> {
  const { session, diskIndex, packer = inlinePacker() } = options;
  const runs = options.choose ? options.choose(bytes, offsetBytes) : zeroRuns(bytes);
  // Not one after the other: the link joins what is small. At most 256 runs, since an extent has 256 blocks.
  const results = await Promise.allSettled(
    runs.map(({ start, end, isZero }) => {
      const range = { diskIndex, offsetBytes: offsetBytes + start, lengthBytes: end - start };
      if (isZero) sent.zeroBytes += range.lengthBytes;
      else sent.dataBytes += range.lengthBytes;
      if (isZero) return options.zeroes?.add(range.offsetBytes, range.lengthBytes) ?? session.zero(range);
      const run = bytes.subarray(start, end);
      if (run.byteLength < packer.bytesMin) return session.data(range, run);
      return packer.pack(run).then(async (packed) => {
        if (packed === undefined) return await session.data(range, run);
        try {
          await session.data(range, packed);
        } finally {
          packer.release(packed);
        }
      });
    }),
  );
  // All have settled before this throws: a buffer is never given back while the link still reads it.
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Small neighbours in the list together, as much as one large extent; large ones alone. */
export function* lotsOf(extents: Iterable<Extent>): Generator<readonly Extent[]> {
  let lot: Extent[] = [];
  let lotBytes = 0;
  for (const extent of extents) {
    const isSmall = extent.lengthBytes <= lotExtentBytesMax;
    if (lot.length > 0 && (!isSmall || lotBytes + pagedBytes(extent.lengthBytes) > extentBytesMax)) {
      yield lot;
      lot = [];
      lotBytes = 0;
    }
    if (isSmall) {
      lot.push(extent);
      lotBytes += pagedBytes(extent.lengthBytes);
    } else yield [extent];
  }
  if (lot.length > 0) yield lot;
}

/** Memory for direct reads begins at a page. */
export const pagedBytes = (lengthBytes: number) => Math.ceil(lengthBytes / pageBytes) * pageBytes;

function* cut(extents: Iterable<Extent>, lengthBytesMax: number): Generator<Extent> {
  for (const { offsetBytes, lengthBytes } of extents)
    for (let done = 0; done < lengthBytes; done += lengthBytesMax)
      yield { offsetBytes: offsetBytes + done, lengthBytes: Math.min(lengthBytesMax, lengthBytes - done) };
}

/**
 * How fast this disk is read, learnt from every read: a latency for each extent and a rate for its bytes. Small reads
 * teach the latency, large ones the rate. Several are under way at once, so what one read takes is an upper bound.
 */
export class ReadPace {
  /** A slow disk, until it is known better: 2 ms and 100 MB/s. */
  #latencyMilliseconds = 2;
  #bytesPerMillisecond = 100_000;

  record(bytes: number, milliseconds: number): void {
    if (bytes <= 64 << 10) this.#latencyMilliseconds += (milliseconds - this.#latencyMilliseconds) / 16;
    else if (bytes >= 256 << 10 && milliseconds > 0)
      this.#bytesPerMillisecond += (bytes / milliseconds - this.#bytesPerMillisecond) / 16;
  }

  /** How long it takes to read `extentCount` extents of `bytes` together with four under way. */
  estimateMilliseconds(extentCount: number, bytes: number): number {
    return (extentCount * this.#latencyMilliseconds) / 4 + bytes / this.#bytesPerMillisecond;
  }
}
