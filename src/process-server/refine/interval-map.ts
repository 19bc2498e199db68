/**
 * Which bytes of a disk a stretch of the change stream leaves behind: ranges in the order they were written go in, the
 * last version of every byte comes out, sorted. Each range of data remembers where its bytes lie in the journal.
 *
 * A sorted array with binary search: a part of 64 MiB has at most 16 Ki blocks, whose worst order costs a few hundred
 * megabytes of pointer moves (some 50 ms), an order below what compressing them costs. A tree was not worth its code.
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

  put(added: Interval): void {
    if (added.lengthBytes <= 0) return;
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
