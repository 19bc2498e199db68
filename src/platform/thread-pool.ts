/**
 * Threads of ours for work that would hold the main thread up: compressing, encrypting, hashing, many small system calls.
 * A job goes to the thread with the least in hand, and each thread does its jobs one after the other (`pool-thread.ts`).
 *
 *     run(job) ─ posted ─▶ the thread with the least in hand ─ result ───▶ resolves
 *                              │                       └───── refused ─▶ rejects with what the system said; it goes on
 *                              └ ends (a defect, out of memory) ─▶ all that it had in hand rejects;
 *                                                                   the next job starts another in its place
 *
 * Promises: every job is answered or rejected, also when the pool is closed. A thread starts when there is a job and no
 * idle thread, and one without work keeps no process alive. Nothing is done twice: whoever gave a job that was lost gives
 * it again.
 */
import { type Transferable, Worker } from 'node:worker_threads';
import type { JobAnswer, JobMessage } from './pool-thread.ts';

export interface ThreadPoolOptions {
  /** The module that each thread runs; it calls `serveJobs`. */
  readonly entry: URL;
  /** One of the threads, in messages: `a codec worker`. */
  readonly name: string;
  readonly threadCount: number;
}

/** Jobs under way in each thread: one being worked on, one waiting, so that none idles between two. */
const depth = 2;
/**
 * Jobs in hand of one thread. Its callers keep to `concurrency` each, and there are a few of them at once: two refines, or
 * four items. More are a defect, which would otherwise be seen as memory that is gone: 1024 frames are a GiB.
 */
export const jobsInHandMax = 1024;

interface Thread<Result> {
  readonly worker: Worker;
  readonly inHand: Map<number, PromiseWithResolvers<Result>>;
}

export class ThreadPool<Job, Result> implements AsyncDisposable {
  /** Jobs worth having under way at once. */
  readonly concurrency: number;
  readonly #options: ThreadPoolOptions;
  readonly #threads: (Thread<Result> | undefined)[];
  #ids = 0;
  #isClosed = false;

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
    this.concurrency = options.threadCount * depth;
    this.#threads = Array.from({ length: options.threadCount }, () => undefined);
  }

  /** @param given handed over instead of copied: the caller has them no more */
  run(job: Job, given: readonly Transferable[] = []): Promise<Result> {
    const { name } = this.#options;
    if (this.#isClosed) return Promise.reject(new Error(`${name} was asked for after its pool was closed`));
    const { worker, inHand } = this.#idlest();
    if (inHand.size >= jobsInHandMax)
      return Promise.reject(
        new RangeError(`${name} has ${inHand.size} jobs in hand, and so have all others`),
      );
    const id = this.#ids++;
    const message: JobMessage<Job> = { id, job };
    // First of all, since it throws for a job that cannot be posted.
    worker.postMessage(message, given);
    if (inHand.size === 0) worker.ref();
    const answer = Promise.withResolvers<Result>();
    inHand.set(id, answer);
    return answer.promise;
  }

  /** Jobs in hand are rejected. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map((thread) => thread?.worker.terminate()));
  }

  /** One that is there before one that would have to be started, where both are idle. */
  #idlest(): Thread<Result> {
    let idlest: Thread<Result> | undefined;
    for (const thread of this.#threads)
      if (thread && thread.inHand.size < (idlest?.inHand.size ?? Number.POSITIVE_INFINITY)) idlest = thread;
    const free = idlest?.inHand.size === 0 ? -1 : this.#threads.indexOf(undefined);
    if (free < 0) return idlest!;
    const started = this.#start();
    this.#threads[free] = started;
    return started;
  }

  #start(): Thread<Result> {
    const { entry, name } = this.#options;
    const worker = new Worker(entry);
    const inHand: Thread<Result>['inHand'] = new Map();
    const thread = { worker, inHand };
    worker.on('message', (message: JobAnswer<Result>) => {
      const answer = inHand.get(message.id);
      inHand.delete(message.id);
      if (inHand.size === 0) worker.unref();
      if ('result' in message) answer?.resolve(message.result);
      else answer?.reject(Object.assign(new Error(message.refusal), { code: message.code }));
    });
    const ended = (cause?: unknown) => {
      const at = this.#threads.indexOf(thread);
      if (at >= 0) this.#threads[at] = undefined;
      const error = new Error(`${name} ended`, cause === undefined ? {} : { cause });
      for (const answer of inHand.values()) answer.reject(error);
      inHand.clear();
    };
    worker.on('error', ended);
    worker.on('exit', () => ended());
    return thread;
  }
}
