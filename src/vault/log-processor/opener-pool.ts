/**
 * Opens the frames of segments in worker threads: decrypting and decompressing a byte costs more than everything else
 * that the log processor does with it, and the vault's one main thread also serves uploads. Tests and the simulation use
 * `inlineOpener` of `segment.ts` instead.
 */
import { Worker } from 'node:worker_threads';
import { FrameDamaged, type FrameOpener, type OpenJob } from '../../protocol/cache/segment.ts';

/** Frames under way in each worker: one being worked on, one waiting, so that none idles between two. */
const depth = 2;

/** A worker's answer: the plain bytes, or why the frame is damaged. */
export interface OpenedMessage {
  readonly id: number;
  readonly plain?: Uint8Array;
  readonly damage?: string;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, PromiseWithResolvers<Uint8Array>>;
}

export class OpenerPool implements FrameOpener, AsyncDisposable {
  readonly concurrency: number;
  readonly #threads: Thread[];
  #ids = 0;
  #isClosed = false;

  constructor(workerCount = 2) {
    this.concurrency = workerCount * depth;
    this.#threads = Array.from({ length: workerCount }, () => this.#start());
  }

  open(job: OpenJob): Promise<Uint8Array> {
    if (this.#isClosed) return Promise.reject(new Error('the vault is stopping'));
    let idlest = this.#threads[0]!;
    for (const thread of this.#threads) if (thread.waiting.size < idlest.waiting.size) idlest = thread;
    const id = this.#ids++;
    const answer = Promise.withResolvers<Uint8Array>();
    idlest.waiting.set(id, answer);
    // Own copies: posting a view would copy all of the memory that it is a view of.
    const sealed = Uint8Array.from(job.sealed);
    const small = { key: Uint8Array.from(job.key), header: Uint8Array.from(job.header) };
    const frameHead = Uint8Array.from(job.frameHead);
    idlest.worker.postMessage({ id, job: { ...job, ...small, frameHead, sealed } }, [sealed.buffer]);
    return answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
  }

  #start(): Thread {
    const thread: Thread = {
      worker: new Worker(new URL('./opener-worker.ts', import.meta.url)),
      waiting: new Map(),
    };
    thread.worker.on('message', ({ id, plain, damage }: OpenedMessage) => {
      const answer = thread.waiting.get(id);
      thread.waiting.delete(id);
      if (plain) answer?.resolve(plain);
      else answer?.reject(new FrameDamaged(damage));
    });
    const failed = (error: Error) => {
      for (const answer of thread.waiting.values()) answer.reject(error);
      thread.waiting.clear();
      const at = this.#threads.indexOf(thread);
      // A worker that died (out of memory) is replaced; the manifest is applied again.
      if (!this.#isClosed && at >= 0) this.#threads[at] = this.#start();
    };
    thread.worker.on('error', failed);
    thread.worker.on('exit', () => failed(new Error('a worker that opens segments ended')));
    return thread;
  }
}
