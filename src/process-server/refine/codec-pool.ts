/**
 * Compresses and encrypts frames in worker threads. zstd is the slowest stage of the whole path (0.4 GB/s a thread), so it
 * gets both cores; the synchronous form in threads of our own scales, the asynchronous form of `node:zlib` hardly does.
 * Buffers are handed over, not copied, and the plain ones come back to be filled again: fresh memory of 1 MiB a frame cost
 * more in page faults and garbage collection than encrypting. A part whose thread died is refined again from the journal.
 * The simulation uses `inlineSealer` of `segment.ts` instead.
 */
import { ThreadPool } from '../../platform/thread-pool.ts';
import { type FrameJob, type FrameSealer, framePlainBytes } from '../../protocol/cache/segment.ts';
import type { SealedFrame } from './codec-worker.ts';

export class CodecPool implements FrameSealer, AsyncDisposable {
  readonly concurrency: number;
  readonly #threads: ThreadPool<FrameJob, SealedFrame>;
  /** Plain buffers that came back; at most as many as were under way at once. */
  readonly #rooms: ArrayBuffer[] = [];

  constructor(threadCount = 2) {
    const entry = new URL('./codec-worker.ts', import.meta.url);
    this.#threads = new ThreadPool({ entry, name: 'a codec worker', threadCount });
    this.concurrency = this.#threads.concurrency;
  }

  room(lengthBytes: number): Uint8Array<ArrayBuffer> {
    const buffer = lengthBytes <= framePlainBytes ? this.#rooms.pop() : undefined;
    return new Uint8Array(buffer ?? new ArrayBuffer(Math.max(lengthBytes, framePlainBytes)), 0, lengthBytes);
  }

  async seal(job: FrameJob): Promise<Uint8Array> {
    const { sealed, room } = await this.#threads.run(job, [job.plain.buffer]);
    if (room.byteLength === framePlainBytes && this.#rooms.length < this.concurrency + 1)
      this.#rooms.push(room);
    return sealed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }
}
