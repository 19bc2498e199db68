/** A protected disk as replication goes on with it: what it is, how it is read, and what stands in the way of its copy. */
import type { Disk } from '../../disk/disk.ts';
import type { MissingDisk } from '../../model/bookmark.ts';
import type { ProtectedDiskId } from '../../model/ids.ts';
import type { ChangeMap, Extent } from '../capture/change-map.ts';
import type { ReadPace } from '../drain/drain.ts';
import type { Walk } from '../resync/walk.ts';

export interface ReplicatedDisk {
  readonly index: number;
  readonly diskId: ProtectedDiskId;
  readonly name: string;
  readonly disk: Disk;
  /** The machine has no such disk now, or it cannot be opened: nothing of it is read until the service opens its disks anew. */
  readonly missing: MissingDisk['cause'] | undefined;
  readonly pace: ReadPace;
  /** Swap contents: never read or sent. */
  skip: readonly Extent[];
  walk: Walk | undefined;
  /** Could not be read; marked again at `retryAt`. No bookmark with this disk meanwhile. */
  unreadable: ChangeMap | undefined;
  retryAt: number;
  /** Since when something of it cannot be read; undefined: all of it can. */
  failingSince: number | undefined;
  isWalkFailing: boolean;
}
