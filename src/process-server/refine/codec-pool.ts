/**
 * Compresses and encrypts frames in worker threads. zstd is the slowest stage of the whole path (0.4 GB/s a thread), so it
 * gets both cores; the synchronous form in threads of our own scales, the asynchronous form of `node:zlib` hardly does.
 * Buffers are handed over, not copied, and the plain ones come back to be filled again: fresh memory of 1 MiB a frame cost
 * more in page faults and garbage collection than encrypting. The simulation uses `inlineSealer` of `segment.ts` instead.
 */
import { Worker } from 'node:worker_threads';
import { type FrameJob, type FrameSealer, framePlainBytes } from '../../protocol/cache/segment.ts';

/** Frames under way in each worker: one being worked on, one waiting, so that none idles between two. */
const depth = 2;

/** A worker's answer; `room` is the job's plain buffer, given back. */
export interface SealedMessage {
  readonly id: number;
  readonly sealed: Uint8Array;
  readonly room: ArrayBuffer;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, PromiseWithResolvers<Uint8Array>>;
}

export class CodecPool implements FrameSealer, AsyncDisposable {
  readonly concurrency: number;
  readonly #threads: Thread[];
  /** Plain buffers that came back; at most as many as were under way at once. */
  readonly #rooms: ArrayBuffer[] = [];
  #ids = 0;
  #isClosed = false;

  constructor(workerCount = 2) {
    this.concurrency = workerCount * depth;
    this.#threads = Array.from({ length: workerCount }, () => this.#start());
  }

  room(lengthBytes: number): Uint8Array<ArrayBuffer> {
    const buffer = lengthBytes <= framePlainBytes ? this.#rooms.pop() : undefined;
    return new Uint8Array(buffer ?? new ArrayBuffer(Math.max(lengthBytes, framePlainBytes)), 0, lengthBytes);
  }

  seal(job: FrameJob): Promise<Uint8Array> {
    let idlest = this.#threads[0]!;
    for (const thread of this.#threads) if (thread.waiting.size < idlest.waiting.size) idlest = thread;
    const id = this.#ids++;
    const answer = Promise.withResolvers<Uint8Array>();
    idlest.waiting.set(id, answer);
    idlest.worker.postMessage({ id, job }, [job.plain.buffer]);
    return answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
  }

  #start(): Thread {
    const thread: Thread = {
      worker: new Worker(new URL('./codec-worker.ts', import.meta.url)),
      waiting: new Map(),
    };
    thread.worker.on('message', ({ id, sealed, room }: SealedMessage) => {
      if (room.byteLength === framePlainBytes && this.#rooms.length < this.concurrency + 1)
        this.#rooms.push(room);
      thread.waiting.get(id)?.resolve(sealed);
      thread.waiting.delete(id);
    });
    const failed = (error: Error) => {
      for (const answer of thread.waiting.values()) answer.reject(error);
      thread.waiting.clear();
      const at = this.#threads.indexOf(thread);
      // A worker that died (out of memory) is replaced; the part it worked on is refined again from the journal.
      if (!this.#isClosed && at >= 0) this.#threads[at] = this.#start();
    };
    thread.worker.on('error', failed);
    thread.worker.on('exit', () => failed(new Error('a codec worker ended')));
    return thread;
  }
}
