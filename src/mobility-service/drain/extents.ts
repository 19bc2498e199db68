/** Arithmetic on lists of extents. Lists are in order and without overlaps. */
import type { Extent } from '../capture/change-map.ts';

/** `extents` without what lies in `holes`. */
export function* without(extents: Iterable<Extent>, holes: readonly Extent[]): Generator<Extent> {
  for (const extent of extents) {
    let at = extent.offsetBytes;
    const end = at + extent.lengthBytes;
    for (const hole of holes) {
      const holeEnd = hole.offsetBytes + hole.lengthBytes;
      if (holeEnd <= at) continue;
      if (hole.offsetBytes >= end) break;
      if (hole.offsetBytes > at) yield { offsetBytes: at, lengthBytes: hole.offsetBytes - at };
      at = holeEnd;
    }
    if (at < end) yield { offsetBytes: at, lengthBytes: end - at };
  }
}

/** `from` up to `to` in pieces that end at multiples of `lengthBytesMax`. */
export function* pieces(fromBytes: number, toBytes: number, lengthBytesMax: number): Generator<Extent> {
  for (let at = fromBytes; at < toBytes; ) {
    const end = Math.min(toBytes, (Math.floor(at / lengthBytesMax) + 1) * lengthBytesMax);
    yield { offsetBytes: at, lengthBytes: end - at };
    at = end;
  }
}

export function totalBytes(extents: Iterable<Extent>): number {
  let total = 0;
  for (const { lengthBytes } of extents) total += lengthBytes;
  return total;
}
