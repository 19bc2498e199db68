/**
 * Digests replica disks in worker threads, each of which reads its stretches itself: the vault's one main thread, which
 * also serves uploads and applies segments, neither reads nor hashes. Threads start with the first resync; a manifest whose
 * thread died is applied again.
 */
import { ThreadPool } from '../../platform/thread-pool.ts';
import type { ChunkDigests, Digester, DigestStretch } from './chunk-digests.ts';

export class DigestPool implements Digester, AsyncDisposable {
  readonly concurrency: number;
  readonly #threads: ThreadPool<DigestStretch, ChunkDigests>;

  constructor(threadCount = 2) {
    const entry = new URL('./digest-worker.ts', import.meta.url);
    this.#threads = new ThreadPool({ entry, name: 'a worker that digests replica disks', threadCount });
    this.concurrency = this.#threads.concurrency;
  }

  digest(stretch: DigestStretch): Promise<ChunkDigests> {
    return this.#threads.run(stretch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }
}
