/** A bookmark: a moment at which all disks of a machine agree. It becomes a recovery point at the vault. */
import { z } from 'zod';
import { BookmarkId, ProtectedDiskId } from './ids.ts';

export const BookmarkType = z.enum(['CrashConsistent', 'ApplicationConsistent']);
export type BookmarkType = z.infer<typeof BookmarkType>;

/** `quiet`: a full drain pass ended with no new write. `brake`: the same, while the write brake held writers back.
 * `freeze`: file systems were frozen. */
export const BookmarkMethod = z.enum(['quiet', 'brake', 'freeze']);

/** A disk of the machine whose state at the bookmark's moment is not in the stream. */
export const MissingDisk = z.strictObject({
  diskId: ProtectedDiskId,
  /** `gone`: the machine has no such disk now. `unreadable`: it answers with errors. `comparing`: its copy is being compared
   * after it came back. */
  cause: z.enum(['gone', 'unreadable', 'comparing']),
});
export type MissingDisk = z.infer<typeof MissingDisk>;

export const Bookmark = z.strictObject({
  bookmarkId: BookmarkId,
  type: BookmarkType,
  method: BookmarkMethod,
  /** The moment itself, on the protected machine's clock, ISO 8601 UTC. */
  takenAt: z.iso.datetime(),
  /** How long file systems stood still; 0 for `quiet` and `brake`. */
  frozenMilliseconds: z.number().nonnegative(),
  /** Set when the bookmark is shared by a multi-VM consistency group. */
  groupId: z.guid().optional(),
  /** How long the write brake held writers back; left out where there was none. */
  heldMilliseconds: z.number().nonnegative().optional(),
  /** Left out where every disk of the machine is in it. */
  missingDisks: z.array(MissingDisk).min(1).max(63).optional(),
});
export type Bookmark = z.infer<typeof Bookmark>;
