/**
 * The other end of `thread-pool.ts`, inside each of its threads: jobs come in, one is done after the other, answers go
 * back. Synchronous on purpose: the thread has nothing else to do, and a system call of 4 KiB costs a tenth of what handing
 * it to another thread does.
 *
 * What the system refuses (an error with a code: a full disk, a file that is gone) is answered, and the thread goes on.
 * Anything else is a defect: the thread ends with it, and the pool tells whoever waits.
 */
import { parentPort, type Transferable } from 'node:worker_threads';

export interface JobMessage<Job> {
  readonly id: number;
  readonly job: Job;
}

export type JobAnswer<Result> = { readonly id: number } & (
  | { readonly result: Result }
  | { readonly refusal: string; readonly code: string }
);

/** @param given what of a result is handed over instead of copied */
export function serveJobs<Job, Result>(
  work: (job: Job) => Result,
  given: (result: Result) => readonly Transferable[] = () => [],
): void {
  parentPort!.on('message', ({ id, job }: JobMessage<Job>) => {
    let answer: JobAnswer<Result>;
    let transfer: readonly Transferable[] = [];
    try {
      const result = work(job);
      transfer = given(result);
      answer = { id, result };
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error;
      answer = { id, refusal: error.message, code: String(error.code) };
    }
    parentPort!.postMessage(answer, transfer);
  });
}
