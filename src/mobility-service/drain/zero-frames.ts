/**
 * Zero ranges of one drain or one step of a walk on their way out: neighbours become one frame, up to `zeroFrameBytesMax`,
 * so that 40 GiB that were trimmed travel as forty frames. Extents are under way side by side and end in any order, so a few
 * ranges stay open and wait for their neighbours; the oldest goes out when there are more. Extents of one call never overlap
 * one another, so it does not matter that a zero range goes out after what was read later.
 */
import type { SentRange } from '../../protocol/replication/sender.ts';
import { openZeroRangesMax, zeroFrameBytesMax } from '../limits.ts';

interface OpenRange {
  start: number;
  end: number;
}

export class ZeroFrames {
  readonly #diskIndex: number;
  readonly #send: (range: SentRange) => Promise<void>;
  readonly #open: OpenRange[] = [];

  constructor(diskIndex: number, send: (range: SentRange) => Promise<void>) {
    this.#diskIndex = diskIndex;
    this.#send = send;
  }

  /** Resolves when whatever has to go out because of it is on the link. */
  async add(offsetBytes: number, lengthBytes: number): Promise<void> {
    const end = offsetBytes + lengthBytes;
    const before = this.#open.findIndex((range) => range.end === offsetBytes);
    const after = this.#open.findIndex((range) => range.start === end);
    if (before >= 0 && after >= 0) {
      this.#open[before]!.end = this.#open[after]!.end;
      this.#open.splice(after, 1);
    } else if (before >= 0) this.#open[before]!.end = end;
    else if (after >= 0) this.#open[after]!.start = offsetBytes;
    else this.#open.push({ start: offsetBytes, end });
    const long = this.#open.findIndex((range) => range.end - range.start >= zeroFrameBytesMax);
    if (long >= 0) await this.#sendOut(this.#open.splice(long, 1));
    else if (this.#open.length > openZeroRangesMax) await this.#sendOut(this.#open.splice(0, 1));
  }

  /** Sends what is still open. */
  async flush(): Promise<void> {
    await this.#sendOut(this.#open.splice(0));
  }

  async #sendOut(ranges: readonly OpenRange[]): Promise<void> {
    await Promise.all(
      ranges.map(({ start, end }) =>
        this.#send({ diskIndex: this.#diskIndex, offsetBytes: start, lengthBytes: end - start }),
      ),
    );
  }
}
