/** Ids are branded strings, so that a disk's can never be passed where a machine's belongs. */
import { z } from 'zod';

const guid = z.guid();

export const ProtectedItemId = guid.brand<'ProtectedItemId'>();
export type ProtectedItemId = z.infer<typeof ProtectedItemId>;

export const ProtectedDiskId = guid.brand<'ProtectedDiskId'>();
export type ProtectedDiskId = z.infer<typeof ProtectedDiskId>;

export const BookmarkId = guid.brand<'BookmarkId'>();
export type BookmarkId = z.infer<typeof BookmarkId>;

/** A recovery point has the id of the bookmark that it was cut at. */
export const RecoveryPointId = guid.brand<'RecoveryPointId'>();
export type RecoveryPointId = z.infer<typeof RecoveryPointId>;
