/** Places frames in the calling thread: what the threads of the pool are compared with. */
import { writeSync } from 'node:fs';
import { openFrame } from '../../src/protocol/cache/segment.ts';
import type { Placer } from '../../src/vault/replica/placer.ts';
import { sumsOf } from '../../src/vault/replica/sums.ts';

export const inlinePlacer: Placer = {
  concurrency: 1,
  place: async (job, descriptor, ranges) => {
    const plain = openFrame(job);
    let from = 0;
    for (const { positionBytes, lengthBytes } of ranges) {
      writeSync(descriptor, plain, from, lengthBytes, positionBytes);
      from += lengthBytes;
    }
    return sumsOf(plain);
  },
};
