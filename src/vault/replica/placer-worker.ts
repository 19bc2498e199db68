/** A worker thread of the placer pool: opens the frames that it is sent, one after the other, and writes what they have. */
import { giveBack } from '../../platform/memory.ts';
import { writePackedSync } from '../../platform/packed-ranges.ts';
import { serveJobs } from '../../platform/pool-thread.ts';
import { FrameDamaged, openFrame } from '../../protocol/cache/segment.ts';
import type { PlacedFrame, PlaceJob } from './placer.ts';
import { sumsOf } from './sums.ts';

serveJobs(
  ({ frame, descriptor, ranges }: PlaceJob): PlacedFrame => {
    try {
      const plain = openFrame(frame);
      const sums = sumsOf(plain);
      writePackedSync(descriptor, plain, ranges);
      giveBack(plain);
      return { sums };
    } catch (error) {
      if (error instanceof FrameDamaged) return { damage: error.message };
      throw error;
    } finally {
      if (frame.sealed.buffer instanceof ArrayBuffer) giveBack(frame.sealed);
    }
  },
  (placed) => ('sums' in placed ? [placed.sums.buffer] : []),
);
