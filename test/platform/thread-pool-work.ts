/** What the threads do in the test of `thread-pool.ts`. */
import { threadId } from 'node:worker_threads';
import { serveJobs } from '../../src/platform/pool-thread.ts';

/** Shared with the test: how many threads have come to it, and whether they may go on. */
export type Gate = Int32Array<SharedArrayBuffer>;

export type PooledJob =
  | { readonly do: 'say-who' }
  | { readonly do: 'wait'; readonly gate: Gate }
  | { readonly do: 'turn-around'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly do: 'be-refused' }
  | { readonly do: 'blunder' }
  | { readonly do: 'end' };

export interface PooledResult {
  readonly threadId: number;
  readonly bytes?: Uint8Array<ArrayBuffer>;
}

serveJobs(
  (job: PooledJob): PooledResult => {
    switch (job.do) {
      case 'say-who':
        return { threadId };
      case 'wait':
        Atomics.add(job.gate, 0, 1);
        Atomics.notify(job.gate, 0);
        Atomics.wait(job.gate, 1, 0);
        return { threadId };
      case 'turn-around':
        return { threadId, bytes: job.bytes.reverse() };
      case 'be-refused':
        throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
      case 'blunder':
        throw new Error('a defect');
      case 'end':
        return process.exit(3);
    }
  },
  ({ bytes }) => (bytes ? [bytes.buffer] : []),
);
