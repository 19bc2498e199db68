/** The worker thread of `scattered-writes.ts`: plain system calls, one after the other. */
import { writeSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { giveBack } from './memory.ts';

export interface ScatteredJob {
  readonly id: number;
  readonly fd: number;
  readonly source: Uint8Array<ArrayBuffer>;
  /** Position and length of each range, in turn. */
  readonly ranges: Float64Array<ArrayBuffer>;
}

export interface ScatteredAnswer {
  readonly id: number;
  readonly failure?: { readonly code: string | undefined; readonly message: string };
}

parentPort!.on('message', ({ id, fd, source, ranges }: ScatteredJob) => {
  let answer: ScatteredAnswer = { id };
  try {
    let from = 0;
    for (let index = 0; index < ranges.length; index += 2) {
      let position = ranges[index]!;
      for (const end = from + ranges[index + 1]!; from < end; ) {
        const count = writeSync(fd, source, from, end - from, position);
        from += count;
        position += count;
      }
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    answer = { id, failure: { code, message } };
  }
  giveBack(source);
  parentPort!.postMessage(answer);
});
