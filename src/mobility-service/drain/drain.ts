/**
 * Drain: marked extents are read back from the disk and sent. The byte comes from the disk itself, after capture said
 * where; it goes to the outlet as data and zero frames.
 *
 *     extents ──▶ borrow memory ──▶ read (O_DIRECT) ──▶ choose runs ──▶ session.data / session.zero ──▶ release
 *                 (waits: back-pressure)                (drain: all of it; a walk: only what differs)
 *
 * Several extents are under way at once, as far as the arena reaches, so their frames may change places; extents of
 * one call never overlap, so this changes nothing. Two calls for one disk never overlap in time: `control/stream.ts`
 * makes one after the other, and this gives the order that its argument rests on.
 *
 * What cannot be read is answered, not thrown: the rest goes on, and the caller marks it again.
 */
import type { Arena } from '../../disk/arena.ts';
import { type Disk, extentBytesMax } from '../../disk/disk.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Extent } from '../capture/change-map.ts';
import { extentsUnderWayMax, readAheadBytes } from '../limits.ts';
import type { Session } from '../outlet/session.ts';
import { type Run, zeroRuns } from './zero-runs.ts';

export interface Sent {
  dataBytes: number;
  zeroBytes: number;
  readBytes: number;
  /** Extents that the disk would not give, with the last error. */
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
  for (const extent of cut(extents, extentBytesMax)) {
    while (underWay.size >= extentsUnderWayMax || underWayBytes + extent.lengthBytes > readAheadBytes)
      await Promise.race(underWay);
    const loan = await arena.borrow(extent.lengthBytes);
    if (failure !== undefined) {
      loan.release();
      break;
    }
    const bytes = Buffer.from(loan.bytes.buffer, loan.bytes.byteOffset, loan.bytes.byteLength);
    const work = sendOne(extent, bytes, options, sent)
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => {
        loan.release();
        underWayBytes -= extent.lengthBytes;
        underWay.delete(work);
      });
    underWayBytes += extent.lengthBytes;
    underWay.add(work);
  }
  await Promise.all(underWay);
  if (failure !== undefined) throw failure;
  session.throwIfOver();
  return sent;
}

async function sendOne(extent: Extent, bytes: Buffer, options: SendOptions, sent: Sent): Promise<void> {
  const { disk, clock, pace } = options;
  options.session.throwIfOver();
  const startedAt = clock.monotonic();
  try {
    await disk.read(bytes, extent.offsetBytes);
  } catch (error) {
    sent.unreadable.push(extent);
    sent.readError = error;
    return;
  }
  pace.record(extent.lengthBytes, clock.monotonic() - startedAt);
  sent.readBytes += extent.lengthBytes;
  await sendRuns(bytes, extent.offsetBytes, options, sent);
}

/** Sends the chosen runs of `bytes`, which stand at `offsetBytes`; resolves when `bytes` may be reused. */
export async function sendRuns(
  bytes: Buffer,
  offsetBytes: number,
  options: Pick<SendOptions, 'session' | 'diskIndex' | 'choose'>,
  sent: Pick<Sent, 'dataBytes' | 'zeroBytes'>,
): Promise<void> {
  const { session, diskIndex } = options;
  const runs = options.choose ? options.choose(bytes, offsetBytes) : zeroRuns(bytes);
  // Not one after the other: the link joins what is small. At most 256 runs, since an extent has 256 blocks.
  const results = await Promise.allSettled(
    runs.map(({ start, end, isZero }) => {
      const range = { diskIndex, offsetBytes: offsetBytes + start, lengthBytes: end - start };
      if (isZero) sent.zeroBytes += range.lengthBytes;
      else sent.dataBytes += range.lengthBytes;
      return isZero ? session.zero(range) : session.data(range, bytes.subarray(start, end));
    }),
  );
  // All have settled before this throws: a buffer is never given back while the link still reads it.
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

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
