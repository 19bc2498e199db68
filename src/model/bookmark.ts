/** A bookmark: a moment at which all disks of a machine agree. It becomes a recovery point at the vault. */
import { z } from 'zod';
import { BookmarkId } from './ids.ts';

export const BookmarkType = z.enum(['CrashConsistent', 'ApplicationConsistent']);
export type BookmarkType = z.infer<typeof BookmarkType>;

/** `quiet`: a full drain pass ended with no new write. `freeze`: file systems were frozen. */
export const BookmarkMethod = z.enum(['quiet', 'freeze']);

export const Bookmark = z.strictObject({
  bookmarkId: BookmarkId,
  type: BookmarkType,
  method: BookmarkMethod,
  /** The moment itself, on the protected machine's clock, ISO 8601 UTC. */
  takenAt: z.iso.datetime(),
  /** How long file systems stood still; 0 for `quiet`. */
  frozenMilliseconds: z.number().nonnegative(),
  /** Set when the bookmark is shared by a multi-VM consistency group. */
  groupId: z.guid().optional(),
});
export type Bookmark = z.infer<typeof Bookmark>;
