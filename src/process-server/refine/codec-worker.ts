/** A worker thread of the codec pool: compresses and encrypts the frames that it is sent, one after the other. */
import { parentPort } from 'node:worker_threads';
import { type FrameJob, sealFrame } from '../../protocol/cache/segment.ts';

parentPort!.on('message', ({ id, job }: { id: number; job: FrameJob }) => {
  const sealed = sealFrame(job);
  const room = job.plain.buffer;
  // The buffers go over without a copy.
  parentPort!.postMessage({ id, sealed, room }, [sealed.buffer, room]);
});
