/** Whole contents compared by their digest: the oracle of every test that moves data. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { run } from '../../src/platform/exec.ts';

/** SHA-256 of a file or block device, past the page cache of a device that others write to. */
export async function sha256Of(path: string): Promise<string> {
  if (path.startsWith('/dev/')) await run('blockdev', ['--flushbufs', path], { timeoutMilliseconds: 60_000 });
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/**
 * Where two files or devices differ, for people: what a digest cannot say. Undefined when they are equal; otherwise the
 * first ranges of 4 KiB blocks, and whether one side has zeroes there.
 */
export async function difference(leftPath: string, rightPath: string): Promise<string | undefined> {
  if (rightPath.startsWith('/dev/'))
    await run('blockdev', ['--flushbufs', rightPath], { timeoutMilliseconds: 60_000 });
  await using left = await open(leftPath);
  await using right = await open(rightPath);
  const block = 4096;
  const [a, b] = [Buffer.alloc(256 * block), Buffer.alloc(256 * block)];
  const ranges: { first: number; last: number; what: string }[] = [];
  let differing = 0;
  for (let at = 0; ; at += a.byteLength) {
    const [{ bytesRead: inLeft }, { bytesRead: inRight }] = [
      await left.read(a, 0, a.byteLength, at),
      await right.read(b, 0, b.byteLength, at),
    ];
    if (inLeft !== inRight) return `one ends at ${at + inLeft}, the other at ${at + inRight}`;
    if (inLeft === 0) break;
    for (let from = 0; from < inLeft; from += block) {
      const [mine, other] = [a.subarray(from, from + block), b.subarray(from, from + block)];
      if (mine.equals(other)) continue;
      differing++;
      const what = isZero(mine)
        ? 'zeroes in the first'
        : isZero(other)
          ? 'zeroes in the second'
          : 'other bytes';
      const last = ranges.at(-1);
      const number = (at + from) / block;
      if (last?.last === number - 1 && last.what === what) last.last = number;
      else ranges.push({ first: number, last: number, what });
    }
  }
  if (differing === 0) return undefined;
  const shown = ranges.slice(0, 40).map(({ first, last, what }) => `${first}-${last} (${what})`);
  return `${differing} blocks of 4 KiB differ, in ${ranges.length} ranges: ${shown.join(', ')}`;
}

const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
