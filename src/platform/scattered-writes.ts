/**
 * Many small writes of one buffer to one file, in a worker thread that does them one after the other: what a system call
 * of 4 KiB costs is a tenth of what handing each of them to libuv's threads does (80 µs where a core must be woken). One
 * thread for the whole process, started at the first use; it never keeps the process alive. Writes of several files take
 * turns: they only fill the page cache, and making them durable is the caller's `sync`.
 */
import { packRanges, type WriteRange } from './packed-ranges.ts';
import type { ScatteredJob } from './scattered-writes-worker.ts';
import { ThreadPool } from './thread-pool.ts';

const pool = new ThreadPool<ScatteredJob, void>({
  entry: new URL('./scattered-writes-worker.ts', import.meta.url),
  name: 'the thread that writes',
  threadCount: 1,
});

/** `source` is given away where its memory is its own. */
export function writeScattered(
  descriptor: number,
  source: Uint8Array,
  ranges: readonly WriteRange[],
): Promise<void> {
  const own = (
    source.byteLength === source.buffer.byteLength ? source : Uint8Array.from(source)
  ) as Uint8Array<ArrayBuffer>;
  const packed = packRanges(ranges);
  return pool.run({ descriptor, source: own, ranges: packed }, [own.buffer, packed.buffer]);
}
