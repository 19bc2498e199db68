/**
 * Capture: which blocks of the protected disks were written. The byte's first station: the application's write completes
 * in the kernel, its tracepoint tells us where, and the block is marked in the disk's change map; `drain` takes it from
 * there. Nothing here reads data, and nothing here sits in the write path.
 *
 * Implementations: `trace-capture.ts` (block_rq_complete through tracefs) and the simulation's. Both keep the promise:
 *
 *   When `barrier()` resolves without a loss, every write to a protected disk that completed before the call is marked,
 *   either in the map that is there now or in one that was taken earlier.
 */
import type { ResyncCause } from '../../model/disk-state.ts';
import type { ChangeMap } from './change-map.ts';

export interface CaptureLoss {
  readonly cause: ResyncCause;
  /** For people: counters, CPU, what was found changed. */
  readonly detail: string;
  /** Undefined: all disks. */
  readonly diskIndex?: number;
}

export interface Capture extends AsyncDisposable {
  /** See above. `losses` is empty when the promise holds; otherwise those disks' maps are not to be trusted any more
   * (the caller starts a resync; capture itself goes on and is trustworthy again from this barrier on). */
  barrier(): Promise<{ readonly losses: readonly CaptureLoss[] }>;
  /** Takes the disk's map and leaves an empty one. Take first, then read the disk. Whoever took it clears it once it
   * is drained, or restores it. */
  take(diskIndex: number): ChangeMap;
  /** Marks again what was taken but did not become durable at the other end. It may be capture's own map from then on: the
   * caller neither marks nor clears it any more. */
  restore(diskIndex: number, map: ChangeMap): void;
  /** Marked and not taken, of all disks together or of one. */
  pendingBytes(diskIndex?: number): number;
  /** Bytes of completed writes since the start, for churn figures; never decreases. */
  readonly writtenBytes: number;
}
