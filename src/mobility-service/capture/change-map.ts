/**
 * The change map of one disk: one bit per 4 KiB block, "may differ from what the process server has durably". It is
 * bounded by the size of the disk (32 MiB for 1 TiB), lives in memory and never overflows.
 */
import { strict as assert } from 'node:assert';
import { blockBytes } from '../../disk/disk.ts';

export interface Extent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Bits are kept in pages (4 KiB of memory each = 128 MiB of disk), made when first marked. */
const pageWords = 1024;
const pageBlocks = pageWords * 32;

export class ChangeMap {
  readonly sizeBytes: number;
  readonly #pages: (Uint32Array | undefined)[];
  #markedBlocks = 0;

  constructor(sizeBytes: number) {
    assert(Number.isSafeInteger(sizeBytes) && sizeBytes > 0);
    this.sizeBytes = sizeBytes;
    this.#pages = new Array(Math.ceil(Math.ceil(sizeBytes / blockBytes) / pageBlocks));
  }

  /** Of marked blocks, each counted whole. */
  get markedBytes(): number {
    return this.#markedBlocks * blockBytes;
  }

  get isEmpty(): boolean {
    return this.#markedBlocks === 0;
  }

  /** Marks every block that the range touches. What lies beyond the end of the disk is not marked. */
  mark(offsetBytes: number, lengthBytes: number): void {
    if (lengthBytes <= 0 || offsetBytes >= this.sizeBytes) return;
    const first = Math.floor(Math.max(offsetBytes, 0) / blockBytes);
    const last = Math.floor((Math.min(offsetBytes + lengthBytes, this.sizeBytes) - 1) / blockBytes);
    for (let block = first; block <= last; ) {
      const page = this.#page(Math.floor(block / pageBlocks));
      const bit = block % 32;
      const word = Math.floor((block % pageBlocks) / 32);
      const count = Math.min(32 - bit, last - block + 1);
      const mask = (count === 32 ? 0xffff_ffff : ((1 << count) - 1) << bit) >>> 0;
      const added = mask & ~page[word]!;
      if (added !== 0) {
        this.#markedBlocks += popCount(added);
        page[word]! |= mask;
      }
      block += count;
    }
  }

  /** Marks everything that `other` has. */
  merge(other: ChangeMap): void {
    assert(other.sizeBytes === this.sizeBytes);
    for (const [index, theirs] of other.#pages.entries()) {
      if (!theirs) continue;
      const ours = this.#page(index);
      for (let word = 0; word < pageWords; word++) {
        const added = theirs[word]! & ~ours[word]!;
        if (added === 0) continue;
        this.#markedBlocks += popCount(added);
        ours[word]! |= added;
      }
    }
  }

  has(offsetBytes: number): boolean {
    const block = Math.floor(offsetBytes / blockBytes);
    const page = this.#pages[Math.floor(block / pageBlocks)];
    return page !== undefined && ((page[Math.floor((block % pageBlocks) / 32)]! >>> (block % 32)) & 1) === 1;
  }

  /** The marked extents in order of offset, neighbours joined up to `lengthBytesMax`, the last one cut at the disk's end. */
  *extents(lengthBytesMax: number): Generator<Extent> {
    const blocksMax = Math.max(1, Math.ceil(lengthBytesMax / blockBytes));
    let start = -1;
    for (const [index, page] of this.#pages.entries()) {
      if (!page) {
        if (start >= 0) yield* this.#cut(start, index * pageBlocks, blocksMax);
        start = -1;
        continue;
      }
      for (let word = 0; word < pageWords; word++) {
        const bits = page[word]!;
        // Whole words are the rule: nothing marked, or the middle of a long run.
        if (start < 0 ? bits === 0 : bits === 0xffff_ffff) continue;
        const first = index * pageBlocks + word * 32;
        for (let bit = 0; bit < 32; ) {
          // What is looked for: the next set bit outside of a run, the next clear one inside.
          const rest = (start < 0 ? bits : ~bits) >>> bit;
          if (rest === 0) break;
          bit += 31 - Math.clz32(rest & -rest);
          if (start < 0) start = first + bit;
          else {
            const end = first + bit;
            // The usual, short run does without the cost of a second generator.
            if (end - start <= blocksMax) yield this.#extent(start, end);
            else yield* this.#cut(start, end, blocksMax);
            start = -1;
          }
        }
      }
    }
    if (start >= 0) yield* this.#cut(start, this.#pages.length * pageBlocks, blocksMax);
  }

  *#cut(start: number, end: number, blocksMax: number): Generator<Extent> {
    for (let block = start; block < end; block += blocksMax)
      yield this.#extent(block, Math.min(block + blocksMax, end));
  }

  #extent(start: number, end: number): Extent {
    const offsetBytes = start * blockBytes;
    return { offsetBytes, lengthBytes: Math.min(end * blockBytes, this.sizeBytes) - offsetBytes };
  }

  #page(index: number): Uint32Array {
    const page = this.#pages[index] ?? new Uint32Array(pageWords);
    this.#pages[index] = page;
    return page;
  }
}

function popCount(word: number): number {
  let bits = word >>> 0;
  bits -= (bits >>> 1) & 0x5555_5555;
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return (((bits + (bits >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24;
}
