/**
 * Which bytes of a disk a stretch of the change stream leaves behind: ranges in the order they were written go in, the
 * last version of every byte comes out, sorted. Each range of data remembers where its bytes lie in the journal.
 *
 * A sorted array with binary search: a part has at most 65,536 frames (`partFramesMax`), whose worst order costs a few gigabytes of
 * pointer moves (some 0.5 s), and the usual one, in order, none. A tree was not worth its code. Zero ranges that touch are one.
 */
export interface Interval {
  readonly kind: 'data' | 'zero';
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Where its first byte lies in the journal part, or where what it is packed in begins; 0 for zero ranges. */
  readonly sourceBytes: number;
  readonly packed?: Packed | undefined;
}

/** Bytes of the journal part that are one zstd frame. */
export interface Packed {
  readonly sizeBytes: number;
  readonly plainBytes: number;
  /** How many of the plain bytes come before the interval's first. */
  readonly skipBytes: number;
}

export class IntervalMap {
  #intervals: Interval[] = [];

  /** Sorted by offset, not overlapping. */
  get intervals(): readonly Interval[] {
    return this.#intervals;
  }

  put(given: Interval): void {
    if (given.lengthBytes <= 0) return;
    const added = given.kind === 'zero' ? this.#joined(given) : given;
    const end = added.offsetBytes + added.lengthBytes;
    const first = this.#firstEndingAfter(added.offsetBytes);
    let last = first;
    while (last < this.#intervals.length && this.#intervals[last]!.offsetBytes < end) last++;
    const pieces: Interval[] = [];
    const before = this.#intervals[first];
    if (before && before.offsetBytes < added.offsetBytes)
      pieces.push({ ...before, lengthBytes: added.offsetBytes - before.offsetBytes });
    pieces.push(added);
    const after = last > first ? this.#intervals[last - 1]! : undefined;
    if (after && after.offsetBytes + after.lengthBytes > end) {
      const cut = end - after.offsetBytes;
      pieces.push({
        kind: after.kind,
        offsetBytes: end,
        lengthBytes: after.lengthBytes - cut,
        sourceBytes: after.kind === 'data' && !after.packed ? after.sourceBytes + cut : after.sourceBytes,
        ...(after.packed ? { packed: { ...after.packed, skipBytes: after.packed.skipBytes + cut } } : {}),
      });
    }
    if (first === this.#intervals.length) this.#intervals.push(...pieces);
    else this.#intervals.splice(first, last - first, ...pieces);
  }

  /** A zero range together with the zero ranges that it touches: a trim comes in pieces. */
  #joined({ kind, offsetBytes, lengthBytes, sourceBytes }: Interval): Interval {
    let start = offsetBytes;
    let end = offsetBytes + lengthBytes;
    const before = this.#intervals[this.#firstEndingAfter(start) - 1];
    const after = this.#intervals[this.#firstEndingAfter(end)];
    if (before?.kind === 'zero' && before.offsetBytes + before.lengthBytes === start)
      start = before.offsetBytes;
    if (after?.kind === 'zero' && after.offsetBytes === end) end = after.offsetBytes + after.lengthBytes;
    return { kind, offsetBytes: start, lengthBytes: end - start, sourceBytes };
  }

  /** The interval that has this byte, or the first one after it. */
  indexAt(offsetBytes: number): number {
    return this.#firstEndingAfter(offsetBytes);
  }

  #firstEndingAfter(offsetBytes: number): number {
    let low = 0;
    let high = this.#intervals.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const interval = this.#intervals[middle]!;
      if (interval.offsetBytes + interval.lengthBytes > offsetBytes) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
