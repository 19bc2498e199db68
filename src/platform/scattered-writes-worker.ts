/** The worker thread of `scattered-writes.ts`: plain system calls, one after the other. */
import { giveBack } from './memory.ts';
import { type PackedRanges, writePackedSync } from './packed-ranges.ts';
import { serveJobs } from './pool-thread.ts';

export interface ScatteredJob {
  readonly descriptor: number;
  readonly source: Uint8Array<ArrayBuffer>;
  readonly ranges: PackedRanges;
}

serveJobs(({ descriptor, source, ranges }: ScatteredJob): void => {
  try {
    writePackedSync(descriptor, source, ranges);
  } finally {
    giveBack(source);
  }
});
