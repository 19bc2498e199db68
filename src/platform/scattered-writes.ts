/**
 * Many small writes of one buffer to one file, in a worker thread that does them one after the other: what a system call
 * of 4 KiB costs is a tenth of what handing each of them to libuv's threads does (80 µs where a core must be woken). One
 * thread for the whole process, started at the first use; it never keeps the process alive. Writes of several files take
 * turns: they only fill the page cache, and making them durable is the caller's `sync`.
 */
import { Worker } from 'node:worker_threads';
import type { ScatteredAnswer, ScatteredJob } from './scattered-writes-worker.ts';

export interface WriteRange {
  readonly positionBytes: number;
  /** Of the source, which has the ranges' bytes one after the other. */
  readonly lengthBytes: number;
}

let worker: Worker | undefined;
let ids = 0;
const waiting = new Map<number, PromiseWithResolvers<void>>();

/** `source` is given away where its memory is its own. */
export function writeScattered(fd: number, source: Uint8Array, ranges: readonly WriteRange[]): Promise<void> {
  const own = (
    source.byteLength === source.buffer.byteLength ? source : Uint8Array.from(source)
  ) as Uint8Array<ArrayBuffer>;
  const table = new Float64Array(ranges.length * 2);
  for (const [index, { positionBytes, lengthBytes }] of ranges.entries())
    table.set([positionBytes, lengthBytes], index * 2);
  const answer = Promise.withResolvers<void>();
  const job: ScatteredJob = { id: ids++, fd, source: own, ranges: table };
  waiting.set(job.id, answer);
  worker ??= start();
  worker.ref();
  worker.postMessage(job, [own.buffer, table.buffer]);
  return answer.promise;
}

function start(): Worker {
  const started = new Worker(new URL('./scattered-writes-worker.ts', import.meta.url));
  started.on('message', ({ id, failure }: ScatteredAnswer) => {
    const answer = waiting.get(id);
    waiting.delete(id);
    if (waiting.size === 0) started.unref();
    if (failure) answer?.reject(Object.assign(new Error(failure.message), { code: failure.code }));
    else answer?.resolve();
  });
  const failed = (error: Error) => {
    if (worker === started) worker = undefined;
    for (const answer of waiting.values()) answer.reject(error);
    waiting.clear();
  };
  started.on('error', failed);
  started.on('exit', () => failed(new Error('the thread that writes ended')));
  return started;
}
