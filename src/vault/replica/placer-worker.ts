/** A worker thread of the placer pool: opens the frames that it is sent, one after the other, and writes what they have. */
import { Arena } from '../../disk/arena.ts';
import { giveBack } from '../../platform/memory.ts';
import { serveJobs } from '../../platform/pool-thread.ts';
import { FrameDamaged, framePlainBytes, openFrame } from '../../protocol/cache/segment.ts';
import { writeLargeDirectly } from './large-writes.ts';
import type { PlacedFrame, PlaceJob } from './placer.ts';
import { sumsOf } from './sums.ts';

const room = await new Arena(framePlainBytes).borrow(framePlainBytes);

serveJobs(
  ({ frame, descriptor, ranges }: PlaceJob): PlacedFrame => {
    try {
      const plain = openFrame(frame);
      const sums = sumsOf(plain);
      writeLargeDirectly(descriptor, plain, ranges, room);
      giveBack(plain, 1);
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
