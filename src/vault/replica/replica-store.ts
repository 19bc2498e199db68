/**
 * Replica disks and their recovery points, behind one small interface: a point is opaque to everybody else (a cloned
 * file here; a snapshot in Ceph or Azure later). The log processor writes heads and cuts points; failover borrows
 * clones; retention drops any point.
 *
 * Implementations: `reflink-store.ts` (raw files on XFS or btrfs) and the simulation's use of it over simulated files;
 * one conformance suite in `test/support/`.
 */
import type { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import type { DiskRange, OpenJob, SegmentTarget } from '../../protocol/cache/segment.ts';

export interface ReplicaDisk extends SegmentTarget, AsyncDisposable {
  readonly sizeBytes: number;
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
  write(source: Uint8Array, offsetBytes: number): Promise<void>;
  /** Writes what `source` has, one range after the other, to these places. `source` is given away. */
  writeRanges(
    source: Uint8Array,
    ranges: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[],
  ): Promise<void>;
  /** As `writeRanges`, with what the frame has; opens it in another thread where there are some. */
  writeFrame(job: OpenJob, ranges: readonly DiskRange[]): Promise<void>;
  /** Makes the range read as zeroes, giving back space where that is cheap. */
  zero(offsetBytes: number, lengthBytes: number): Promise<void>;
  /**
   * Digests of the chunks of a stretch (it begins at a chunk, and is at most `digestStretchBytes`), from what is really
   * there; the sums are made anew from the same reading. Several may be under way at once.
   */
  digests(offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
  /** Stretches worth having under way at once. */
  readonly digestConcurrency: number;
  /** All earlier writes are durable when it resolves. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface ReadableDisk extends AsyncDisposable {
  readonly sizeBytes: number;
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface ReplicaStore {
  /** Throws `ReplicaFolderCannotClone` when the folder's file system has no reflinks. */
  prepare(): Promise<void>;
  /** Opens (and makes, or grows or cuts, to `sizeBytes`) the head of a disk. */
  openHead(itemId: ProtectedItemId, diskId: ProtectedDiskId, sizeBytes: number): Promise<ReplicaDisk>;
  /** Forgets a head, so that it begins empty: before an initial replication. Its points stay. */
  clearHead(itemId: ProtectedItemId, diskId: ProtectedDiskId): Promise<void>;
  /**
   * Clones the heads of these disks as they are now into a point. All or nothing; idempotent for the same id: what a
   * crash left half made is made anew. Durable when it resolves.
   */
  cutPoint(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    diskIds: readonly ProtectedDiskId[],
  ): Promise<void>;
  listPoints(itemId: ProtectedItemId): Promise<RecoveryPointId[]>;
  openPoint(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    diskId: ProtectedDiskId,
  ): Promise<ReadableDisk>;
  /** The disks that a point has; throws `RecoveryPointGone`. */
  pointDisks(itemId: ProtectedItemId, pointId: RecoveryPointId): Promise<ProtectedDiskId[]>;
  /** The sums of a point's disk (`sums.ts`), for `verify`. */
  openPointSums(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    diskId: ProtectedDiskId,
  ): Promise<ReadableDisk>;
  /**
   * A writable clone of a point's disks for a failover, under a name of its own; answers where each disk is (a path that
   * a hypervisor on this machine can open). Idempotent.
   */
  lend(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    loanId: string,
  ): Promise<{ readonly diskId: ProtectedDiskId; readonly path: string }[]>;
  listLoans(itemId: ProtectedItemId): Promise<string[]>;
  /** Silent when it is not there. */
  giveBack(itemId: ProtectedItemId, loanId: string): Promise<void>;
  dropPoint(itemId: ProtectedItemId, pointId: RecoveryPointId): Promise<void>;
  /** Heads, points and loans of an item. */
  dropItem(itemId: ProtectedItemId): Promise<void>;
  /**
   * What the item's heads occupy, and what the store has left. Blocks that heads share with points count once; what only
   * older points still hold does not count, so this is the least that the item occupies (docs/formats/replica.md).
   */
  usage(itemId: ProtectedItemId): Promise<{ readonly usedBytes: number; readonly freeBytes: number }>;
}
