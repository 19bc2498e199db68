/**
 * Puts frames of segments into replica disks in worker threads: each decrypts and decompresses a frame, sums its blocks and
 * writes them, so that a plain byte never leaves the thread that made it. The vault's one main thread, which also serves
 * uploads, sees where bytes go and what their sums are. A manifest whose thread died is applied again. The simulation opens
 * and writes in its one thread instead.
 */
import { packRanges, type WriteRange } from '../../platform/packed-ranges.ts';
import { ThreadPool } from '../../platform/thread-pool.ts';
import { FrameDamaged, type OpenJob } from '../../protocol/cache/segment.ts';
import type { PlacedFrame, PlaceJob, Placer } from './placer.ts';

export class PlacerPool implements Placer, AsyncDisposable {
  readonly concurrency: number;
  readonly #threads: ThreadPool<PlaceJob, PlacedFrame>;

  constructor(threadCount = 2) {
    const entry = new URL('./placer-worker.ts', import.meta.url);
    this.#threads = new ThreadPool({ entry, name: 'a worker that writes replica disks', threadCount });
    this.concurrency = this.#threads.concurrency;
  }

  async place(job: OpenJob, descriptor: number, ranges: readonly WriteRange[]): Promise<Uint32Array> {
    // Own copies of what is small: posting a view would copy all of the memory that it is a view of.
    const small = {
      key: Uint8Array.from(job.key),
      header: Uint8Array.from(job.header),
      frameHead: Uint8Array.from(job.frameHead),
    };
    const { sealed } = job;
    const isShared = sealed.buffer instanceof SharedArrayBuffer;
    const own = isShared
      ? new Uint8Array(sealed.buffer, sealed.byteOffset, sealed.byteLength)
      : Uint8Array.from(sealed);
    const packed = packRanges(ranges);
    const placed = await this.#threads.run(
      { frame: { ...job, ...small, sealed: own }, descriptor, ranges: packed },
      [packed.buffer, ...(own.buffer instanceof ArrayBuffer ? [own.buffer] : [])],
    );
    if ('damage' in placed) throw new FrameDamaged(placed.damage);
    return placed.sums;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }
}
