/**
 * Writes of a placer's thread, large ones past the page cache. A first copy writes every byte of a replica disk once, and
 * nobody reads it again soon: through the cache each byte is copied into a page that had to be found for it, and two threads
 * that write one file wait for each other; past it the disk takes the bytes from where they lie. Small pieces go through
 * the cache, which gathers them. The kernel keeps both views of the file the same, and `sync` of the file makes both durable.
 */
import { closeSync, constants, writeSync } from 'node:fs';
import { type Loan, pageBytes } from '../../disk/arena.ts';
import { openDirectSync } from '../../disk/device.ts';
import { hasCode } from '../../platform/errors.ts';
import { type PackedRanges, writePackedSync } from '../../platform/packed-ranges.ts';
import { directBytesMin } from '../limits.ts';

/** As `writePackedSync`, whose errors it has. `room`: where large pieces lie aligned, in turn. */
export function writeLargeDirectly(
  descriptor: number,
  source: Uint8Array,
  packed: PackedRanges,
  room: Loan,
): void {
  if (!hasLarge(packed)) {
    writePackedSync(descriptor, source, packed);
    return;
  }
  const direct = openDirectSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY);
  try {
    let from = 0;
    for (let index = 0; index < packed.length; index += 2) {
      const position = packed[index]!;
      const length = packed[index + 1]!;
      const done = isLarge(position, length)
        ? writeDirect(direct, source.subarray(from, from + length), position, room)
        : 0;
      const rest = Float64Array.of(position + done, length - done);
      writePackedSync(descriptor, source.subarray(from + done, from + length), rest);
      from += length;
    }
  } finally {
    closeSync(direct);
  }
}

const isLarge = (position: number, length: number) => length >= directBytesMin && position % pageBytes === 0;

function hasLarge(packed: PackedRanges): boolean {
  for (let index = 0; index < packed.length; index += 2)
    if (isLarge(packed[index]!, packed[index + 1]!)) return true;
  return false;
}

/** How many bytes, whole pages from the beginning, are written; the rest is the page cache's. */
function writeDirect(direct: number, piece: Uint8Array, position: number, room: Loan): number {
  let done = 0;
  try {
    while (piece.byteLength - done >= pageBytes) {
      const wanted = Math.min(piece.byteLength - done, room.bytes.byteLength);
      const count = wanted - (wanted % pageBytes);
      room.bytes.set(piece.subarray(done, done + count));
      const written = writeSync(direct, room.bytes, 0, count, position + done);
      done += written - (written % pageBytes);
      // What a nearly full disk took the half of, it refuses by its name when it is asked for the rest.
      if (written < count) break;
    }
  } catch (error) {
    // Opened so, and yet refused: some network file systems.
    if (!hasCode(error, 'EINVAL')) throw error;
  }
  return done;
}
