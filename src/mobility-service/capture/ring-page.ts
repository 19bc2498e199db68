/**
 * One page of a per-CPU trace ring, as `trace_pipe_raw` gives it, walked event by event. Every write of every protected
 * disk comes through here, so that it allocates nothing for an event and looks at each word once.
 *
 *     0          8          16
 *     ┌──────────┬──────────┬────────────────────────────────────────────┐
 *     │ timestamp│ commit   │ event │ event │ …                  │ unused  │
 *     └──────────┴──────────┴────────────────────────────────────────────┘
 *     commit: bytes of events; bit 31: events were lost before this page, bit 30: their number follows the events
 *
 *     event header, 32 bits:  time_delta:27 │ type_len:5
 *       1..28  data of 4 × type_len bytes        29  padding: array[0] more bytes; delta 0: rest of the page
 *       0      data, array[0] - 4 bytes          30  time extend, 31  time stamp: 4 more bytes
 *
 * Only little-endian kernels (x86-64, arm64, ppc64le) are read; `tracefs.ts` refuses the others.
 *
 * It promises for any bytes whatsoever: it ends, stays inside the page, and what it does not understand is reported as
 * `damaged`, which the caller treats as a loss.
 */
import type { CompletionLayout, MarkerLayout, PageLayout, QueueLayout } from './trace-format.ts';

/** What the walk hands over. Methods, not events: an object for each would cost more than the walk. */
export interface PageVisitor {
  /** `sector` as read; 2^64-1 comes as `noSector`. `operation`: the first letter of rwbs. `isCommand`: an old kernel's
   * passthrough command, whose bytes follow the event. */
  completion(
    deviceNumber: number,
    sector: number,
    sectorCount: number,
    operation: number,
    isCommand: boolean,
  ): void;
  /** A discard was queued. Its device may be a partition; its sector is the disk's. */
  discardQueued?(deviceNumber: number, sector: number, sectorCount: number): void;
  /** A line of `trace_marker`, without its line feed. */
  marker(text: string): void;
}

export interface PageOutcome {
  /** Data events, whatever their type. */
  readonly events: number;
  /** The kernel says that events were lost before this page. */
  readonly missed: boolean;
  /** The page is not what a kernel writes: whatever followed is lost. */
  readonly damaged: boolean;
}

/** What a request without a place on the disk has: flushes and passthrough commands. */
export const noSector = Number.POSITIVE_INFINITY;

/** Longest marker that is looked at; ours are below 64 bytes. */
const markerBytesMax = 256;

const letterD = 'D'.charCodeAt(0);
const missedEvents = 0x8000_0000;
const lengthMask = 0x3fff_ffff;

/** One for each layout and reader: it keeps views of the page's memory, which must be 4-byte aligned and is reused. */
export class RingPage {
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #page: PageLayout;
  readonly #completion: CompletionLayout;
  readonly #marker: MarkerLayout;
  readonly #queue: QueueLayout | undefined;

  constructor(page: PageLayout, completion: CompletionLayout, marker: MarkerLayout, queue?: QueueLayout) {
    const memory = new ArrayBuffer(page.pageBytes);
    this.bytes = new Uint8Array(memory);
    this.#words = new Uint32Array(memory);
    this.#page = page;
    this.#completion = completion;
    this.#marker = marker;
    this.#queue = queue;
  }

  /** Walks what is in `bytes`, of which `lengthBytes` were read. */
  walk(lengthBytes: number, visitor: PageVisitor): PageOutcome {
    const { commitOffset, dataOffset } = this.#page;
    const words = this.#words;
    const readable = Math.min(lengthBytes, this.bytes.byteLength);
    if (readable < dataOffset) return { events: 0, missed: false, damaged: true };
    const commit = words[commitOffset / 4]!;
    const missed = (commit & missedEvents) !== 0;
    const end = dataOffset + (commit & lengthMask);
    if (end > readable) return { events: 0, missed, damaged: true };

    let events = 0;
    let at = dataOffset;
    while (at < end) {
      if (at + 4 > end) return { events, missed, damaged: true };
      const header = words[at >>> 2]!;
      const typeLength = header & 31;
      let dataAt: number;
      let dataLength: number;
      if (typeLength === 0) {
        if (at + 8 > end) return { events, missed, damaged: true };
        // array[0] counts itself.
        const counted = words[(at >>> 2) + 1]!;
        if (counted < 4) return { events, missed, damaged: true };
        dataAt = at + 8;
        dataLength = counted - 4;
        at = at + 4 + roundUp4(counted);
      } else if (typeLength <= 28) {
        dataAt = at + 4;
        dataLength = typeLength * 4;
        at = dataAt + dataLength;
      } else if (typeLength === 29) {
        // A discarded event keeps its place as padding with a length; with delta 0 the page is done.
        if (header >>> 5 === 0) break;
        if (at + 8 > end) return { events, missed, damaged: true };
        at = at + 4 + roundUp4(words[(at >>> 2) + 1]!);
        if (at > end) return { events, missed, damaged: true };
        continue;
      } else {
        at += 8;
        if (at > end) return { events, missed, damaged: true };
        continue;
      }
      if (at > end) return { events, missed, damaged: true };
      events++;
      if (dataLength < 8 || !this.#visit(dataAt, dataLength, visitor))
        return { events, missed, damaged: true };
    }
    return { events, missed, damaged: false };
  }

  /** False: an event of a known type is shorter than its fields. */
  #visit(at: number, length: number, visitor: PageVisitor): boolean {
    const words = this.#words;
    const type = words[at >>> 2]! & 0xffff;
    const layout = this.#completion;
    if (type === layout.id) {
      if (length < layout.bytesMin) return false;
      visitor.completion(
        words[(at + layout.devOffset) >>> 2]!,
        this.#sector(at, layout),
        words[(at + layout.countOffset) >>> 2]!,
        this.bytes[at + layout.rwbsOffset]!,
        // The string of an ordinary request is empty: its length is 1 (the NUL) or 0.
        words[(at + layout.commandOffset) >>> 2]! >>> 16 > 1,
      );
      return true;
    }
    const queue = this.#queue;
    if (queue !== undefined && type === queue.id) {
      if (length < queue.bytesMin) return false;
      if (this.bytes[at + queue.rwbsOffset] === letterD)
        visitor.discardQueued?.(
          words[(at + queue.devOffset) >>> 2]!,
          this.#sector(at, queue),
          words[(at + queue.countOffset) >>> 2]!,
        );
      return true;
    }
    if (type === this.#marker.id) {
      const start = at + this.#marker.textOffset;
      const text = this.bytes.subarray(start, Math.min(at + length, start + markerBytesMax));
      const stop = text.findIndex((byte) => byte === 0 || byte === 10);
      visitor.marker(String.fromCharCode(...(stop < 0 ? text : text.subarray(0, stop))));
    }
    return true;
  }

  #sector(at: number, layout: QueueLayout): number {
    const sectorAt = (at + layout.sectorOffset) >>> 2;
    const low = this.#words[sectorAt]!;
    const high = layout.sectorBytes === 8 ? this.#words[sectorAt + 1]! : low === 0xffff_ffff ? low : 0;
    // No disk has 2^53 sectors: whatever is above is no place on it.
    return high > 0x1f_ffff ? noSector : high * 0x1_0000_0000 + low;
  }
}

function roundUp4(length: number): number {
  return Math.ceil(length / 4) * 4;
}
