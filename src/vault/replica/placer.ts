/** Who opens frames and writes them into replica disks, and what its threads are told and answer. */
import type { PackedRanges, WriteRange } from '../../platform/packed-ranges.ts';
import type { OpenJob } from '../../protocol/cache/segment.ts';

/** Opens frames and writes them somewhere else than in this thread. */
export interface Placer {
  /** Frames worth having under way at once. */
  readonly concurrency: number;
  /** Answers the sums of the blocks when all is written (not: durable). The file must stay open until then. Rejects with
   * `FrameDamaged` before anything is written. */
  place(job: OpenJob, descriptor: number, ranges: readonly WriteRange[]): Promise<Uint32Array>;
}

export interface PlaceJob {
  readonly frame: OpenJob;
  readonly descriptor: number;
  readonly ranges: PackedRanges;
}

/** A worker's answer: the sums, or why the frame is damaged. */
export type PlacedFrame = { readonly sums: Uint32Array<ArrayBuffer> } | { readonly damage: string };
