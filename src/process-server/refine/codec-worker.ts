/** A worker thread of the codec pool: compresses and encrypts the frames that it is sent, one after the other. */
import { serveJobs } from '../../platform/pool-thread.ts';
import { type FrameJob, sealFrame } from '../../protocol/cache/segment.ts';

export interface SealedFrame {
  readonly sealed: Uint8Array<ArrayBuffer>;
  /** The job's plain buffer, given back. */
  readonly room: ArrayBuffer;
}

serveJobs(
  (job: FrameJob): SealedFrame => ({ sealed: sealFrame(job), room: job.plain.buffer }),
  ({ sealed, room }) => [sealed.buffer, room],
);
