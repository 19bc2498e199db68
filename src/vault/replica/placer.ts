/** Who opens frames and writes them into replica disks, and what its threads are told and answer. */
import type { WriteRange } from '../../platform/files.ts';
import type { OpenJob } from '../../protocol/cache/segment.ts';

/** Opens frames and writes them somewhere else than in this thread. */
export interface Placer {
  /** Frames worth having under way at once. */
  readonly concurrency: number;
  /** Answers the sums of the blocks when all is written (not: durable). The file must stay open until then. Rejects with
   * `FrameDamaged` before anything is written. */
  place(job: OpenJob, descriptor: number, ranges: readonly WriteRange[]): Promise<Uint32Array>;
}

export interface PlaceMessage {
  readonly id: number;
  readonly job: OpenJob;
  readonly descriptor: number;
  /** Position and length of each range, in turn. */
  readonly ranges: Float64Array<ArrayBuffer>;
}

/** A worker's answer: the sums, why the frame is damaged, or what the file said. */
export type PlacedMessage = { readonly id: number } & (
  | { readonly sums: Uint32Array<ArrayBuffer> }
  | { readonly damage: string }
  | { readonly code: string; readonly message: string }
);
