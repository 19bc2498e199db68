/**
 * Many small writes of one buffer to one file, told to a thread: a list of ranges as one block of memory, which is handed
 * over and not copied, and the plain system calls that write them there.
 */
import { writeSync } from 'node:fs';

export interface WriteRange {
  readonly positionBytes: number;
  /** Of the source, which has the ranges' bytes one after the other. */
  readonly lengthBytes: number;
}

/** Position and length of each range, in turn. */
export type PackedRanges = Float64Array<ArrayBuffer>;

export function packRanges(ranges: readonly WriteRange[]): PackedRanges {
  const packed = new Float64Array(ranges.length * 2);
  for (const [index, { positionBytes, lengthBytes }] of ranges.entries()) {
    packed[index * 2] = positionBytes;
    packed[index * 2 + 1] = lengthBytes;
  }
  return packed;
}

/** One after the other, in the calling thread: for threads that have nothing else to do. */
export function writePackedSync(descriptor: number, source: Uint8Array, packed: PackedRanges): void {
  let from = 0;
  for (let index = 0; index < packed.length; index += 2) {
    let position = packed[index]!;
    for (const end = from + packed[index + 1]!; from < end; ) {
      const count = writeSync(descriptor, source, from, end - from, position);
      from += count;
      position += count;
    }
  }
}
