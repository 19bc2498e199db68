/**
 * Puts frames of segments into replica disks in worker threads: each decrypts and decompresses a frame, sums its blocks and
 * writes them, so that a plain byte never leaves the thread that made it. The vault's one main thread, which also serves
 * uploads, sees where bytes go and what their sums are. The simulation opens and writes in its one thread instead.
 */
import { Worker } from 'node:worker_threads';
import type { WriteRange } from '../../platform/files.ts';
import { FrameDamaged, type OpenJob } from '../../protocol/cache/segment.ts';
import type { PlacedMessage, PlaceMessage, Placer } from './placer.ts';

/** Frames under way in each worker: one being worked on, one waiting, so that none idles between two. */
const depth = 2;

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, PromiseWithResolvers<Uint32Array>>;
}

export class PlacerPool implements Placer, AsyncDisposable {
  readonly concurrency: number;
  readonly #threads: Thread[];
  #ids = 0;
  #isClosed = false;

  constructor(workerCount = 2) {
    this.concurrency = workerCount * depth;
    this.#threads = Array.from({ length: workerCount }, () => this.#start());
  }

  place(job: OpenJob, descriptor: number, ranges: readonly WriteRange[]): Promise<Uint32Array> {
    if (this.#isClosed) return Promise.reject(new Error('the vault is stopping'));
    let idlest = this.#threads[0]!;
    for (const thread of this.#threads) if (thread.waiting.size < idlest.waiting.size) idlest = thread;
    const id = this.#ids++;
    const answer = Promise.withResolvers<Uint32Array>();
    idlest.waiting.set(id, answer);
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
    const table = new Float64Array(ranges.length * 2);
    for (const [index, { positionBytes, lengthBytes }] of ranges.entries()) {
      table[index * 2] = positionBytes;
      table[index * 2 + 1] = lengthBytes;
    }
    const message: PlaceMessage = {
      ...{ id, descriptor, ranges: table },
      job: { ...job, ...small, sealed: own },
    };
    idlest.worker.postMessage(message, [
      table.buffer,
      ...(own.buffer instanceof ArrayBuffer ? [own.buffer] : []),
    ]);
    return answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
  }

  #start(): Thread {
    const thread: Thread = {
      worker: new Worker(new URL('./placer-worker.ts', import.meta.url)),
      waiting: new Map(),
    };
    thread.worker.on('message', (message: PlacedMessage) => {
      const answer = thread.waiting.get(message.id);
      thread.waiting.delete(message.id);
      if ('sums' in message) answer?.resolve(message.sums);
      else if ('damage' in message) answer?.reject(new FrameDamaged(message.damage));
      else answer?.reject(Object.assign(new Error(message.message), { code: message.code }));
    });
    const failed = (error: Error) => {
      for (const answer of thread.waiting.values()) answer.reject(error);
      thread.waiting.clear();
      const at = this.#threads.indexOf(thread);
      // A worker that died (out of memory) is replaced; the manifest is applied again.
      if (!this.#isClosed && at >= 0) this.#threads[at] = this.#start();
    };
    thread.worker.on('error', failed);
    thread.worker.on('exit', () => failed(new Error('a worker that writes replica disks ended')));
    return thread;
  }
}
