/**
 * A worker thread of the placer pool: opens the frames that it is sent, one after the other, and writes what they have.
 * Synchronous on purpose: this thread has nothing else to do, and a system call of 4 KiB costs a tenth of what handing it
 * to another thread does.
 */
import { writeSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { giveBack } from '../../platform/memory.ts';
import { FrameDamaged, openFrame } from '../../protocol/cache/segment.ts';
import type { PlacedMessage, PlaceMessage } from './placer.ts';
import { sumsOf } from './sums.ts';

parentPort!.on('message', (message: PlaceMessage) => {
  const { id, job } = message;
  let answer: PlacedMessage;
  try {
    const plain = openFrame(job);
    const sums = sumsOf(plain);
    write(plain, message);
    giveBack(plain);
    answer = { id, sums };
  } catch (error) {
    if (error instanceof FrameDamaged) answer = { id, damage: error.message };
    // Anything else is a defect: the thread ends with it, and the pool tells whoever waits.
    else if (!(error instanceof Error) || !('code' in error)) throw error;
    else answer = { id, code: String(error.code), message: error.message };
  }
  if (job.sealed.buffer instanceof ArrayBuffer) giveBack(job.sealed);
  parentPort!.postMessage(answer, 'sums' in answer ? [answer.sums.buffer] : []);
});

function write(plain: Uint8Array, { descriptor, ranges }: PlaceMessage): void {
  let from = 0;
  for (let index = 0; index < ranges.length; index += 2) {
    let position = ranges[index]!;
    for (const end = from + ranges[index + 1]!; from < end; ) {
      const count = writeSync(descriptor, plain, from, end - from, position);
      from += count;
      position += count;
    }
  }
}
