/**
 * Digests replica disks in worker threads, each of which reads its stretches itself: the vault's one main thread, which
 * also serves uploads and applies segments, neither reads nor hashes. Threads start with the first resync.
 */
import { Worker } from 'node:worker_threads';
import type { ChunkDigests, DigestedMessage, Digester, DigestStretch } from './chunk-digests.ts';

/** Stretches under way in each thread: one at work, one waiting, so that none idles between two. */
const depth = 2;

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, PromiseWithResolvers<ChunkDigests>>;
}

export class DigestPool implements Digester, AsyncDisposable {
  readonly concurrency: number;
  readonly #workerCount: number;
  #threads: Thread[] = [];
  #ids = 0;
  #isClosed = false;

  constructor(workerCount = 2) {
    this.#workerCount = workerCount;
    this.concurrency = workerCount * depth;
  }

  digest(stretch: DigestStretch): Promise<ChunkDigests> {
    if (this.#isClosed) return Promise.reject(new Error('the vault is stopping'));
    if (this.#threads.length === 0)
      this.#threads = Array.from({ length: this.#workerCount }, () => this.#start());
    let idlest = this.#threads[0]!;
    for (const thread of this.#threads) if (thread.waiting.size < idlest.waiting.size) idlest = thread;
    const id = this.#ids++;
    const answer = Promise.withResolvers<ChunkDigests>();
    idlest.waiting.set(id, answer);
    idlest.worker.postMessage({ id, stretch });
    return answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
  }

  #start(): Thread {
    const thread: Thread = {
      worker: new Worker(new URL('./digest-worker.ts', import.meta.url)),
      waiting: new Map(),
    };
    thread.worker.on('message', (message: DigestedMessage) => {
      const answer = thread.waiting.get(message.id);
      thread.waiting.delete(message.id);
      if ('result' in message) answer?.resolve(message.result);
      else answer?.reject(Object.assign(new Error(message.message), { code: message.code }));
    });
    const failed = (error: Error) => {
      for (const answer of thread.waiting.values()) answer.reject(error);
      thread.waiting.clear();
      const at = this.#threads.indexOf(thread);
      // A thread that died (out of memory) is replaced; the manifest is applied again.
      if (!this.#isClosed && at >= 0) this.#threads[at] = this.#start();
    };
    thread.worker.on('error', failed);
    thread.worker.on('exit', () => failed(new Error('a worker that digests replica disks ended')));
    return thread;
  }
}
