/**
 * A program that writes to raw disks in one order: write n + 1 begins when n has completed, on whichever disk. Each block holds
 * its number, so what a point has of it is a prefix of that order or the point is wrong. As fast as the disks take it, without
 * a pause and past the page cache. Without O_DSYNC, which on a loop device is a pause for the file under it.
 *
 *     node test/support/ordered-writer.ts FIRST PATH…     until SIGTERM; then one line of JSON: { last, longestMilliseconds }
 */
import { strict as assert } from 'node:assert';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { Arena } from '../../src/disk/arena.ts';

export const orderedBlockBytes = 4096;
/** Of each disk, from its beginning. */
export const orderedSlots = 2048;

/** Where write n goes. Every slot is written again after all others, so it is known which write it must hold. */
export function placeOf(n: number, disks: number): { readonly disk: number; readonly slot: number } {
  return { disk: n % disks, slot: (Math.floor(n / disks) * 1021) % orderedSlots };
}

/**
 * Of images at one moment: the newest write in them. Throws when an older one is missing. The one after the newest may be there
 * in part.
 */
export function lastOfPrefix(images: readonly Uint8Array[]): number {
  const disks = images.length;
  const at = ({ disk, slot }: { disk: number; slot: number }): number | undefined => {
    const { buffer, byteOffset } = images[disk]!;
    const block = new Float64Array(buffer, byteOffset + slot * orderedBlockBytes, orderedBlockBytes / 8);
    return block.every((each) => each === block[0]) ? block[0] : undefined;
  };
  let last = 0;
  for (let disk = 0; disk < disks; disk++)
    for (let slot = 0; slot < orderedSlots; slot++) last = Math.max(last, at({ disk, slot }) ?? 0);
  const next = placeOf(last + 1, disks);
  for (let n = last; n > Math.max(0, last - disks * orderedSlots); n--) {
    const place = placeOf(n, disks);
    if (place.disk === next.disk && place.slot === next.slot) continue;
    assert.equal(at(place), n, `write ${n} is missing, though ${last} is there`);
  }
  return last;
}

if (import.meta.main) {
  const [first, ...paths] = process.argv.slice(2);
  const handles = paths.map((path) => openSync(path, constants.O_WRONLY | constants.O_DIRECT));
  const { bytes } = await new Arena(64 << 10).borrow(orderedBlockBytes);
  const numbers = new Float64Array(bytes.buffer, bytes.byteOffset, orderedBlockBytes / 8);
  let isOver = false;
  process.once('SIGTERM', () => {
    isOver = true;
  });
  let n = Number(first) - 1;
  let longestMilliseconds = 0;
  while (!isOver) {
    for (let count = 0; count < 256; count++) {
      n += 1;
      const { disk, slot } = placeOf(n, paths.length);
      numbers.fill(n);
      const began = performance.now();
      writeSync(handles[disk]!, bytes, 0, orderedBlockBytes, slot * orderedBlockBytes);
      longestMilliseconds = Math.max(longestMilliseconds, performance.now() - began);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const handle of handles) closeSync(handle);
  console.log(JSON.stringify({ last: n, longestMilliseconds }));
}
