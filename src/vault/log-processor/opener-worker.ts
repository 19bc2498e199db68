/** A worker thread of the opener pool: opens the frames that it is sent, one after the other. */
import { parentPort } from 'node:worker_threads';
import { giveBack } from '../../platform/memory.ts';
import { FrameDamaged, type OpenJob, openFrame } from '../../protocol/cache/segment.ts';

parentPort!.on('message', ({ id, job }: { id: number; job: OpenJob }) => {
  try {
    const opened = openFrame(job);
    // A stored frame of a later Node might be opened in place.
    if (opened.buffer !== job.sealed.buffer) giveBack(job.sealed);
    // Handed over without a copy; what shares its memory with something else is copied first.
    const plain = opened.byteLength === opened.buffer.byteLength ? opened : Uint8Array.from(opened);
    parentPort!.postMessage({ id, plain }, [plain.buffer as ArrayBuffer]);
  } catch (error) {
    // Anything else is a defect: the thread ends with it, and the pool tells whoever waits.
    if (!(error instanceof FrameDamaged)) throw error;
    parentPort!.postMessage({ id, damage: error.message });
  }
});
