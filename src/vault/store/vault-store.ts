/**
 * The vault's records. What the log processor has done with an item is one row that changes in one transaction with all
 * that it learned from the manifest (`advance`), so a crash leaves either the whole of it or nothing.
 *
 * Implementations: `maria-store.ts` (MariaDB) and `memory-store.ts` (simulation); one suite in `test/support/`.
 */
import { z } from 'zod';
import { BookmarkMethod, BookmarkType, MissingDisk } from '../../model/bookmark.ts';
import { DiskState, ResyncCause } from '../../model/disk-state.ts';
import { HealthEvent } from '../../model/health.ts';
import { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import { ResyncProgress } from '../../model/progress.ts';

/** Keep one point in each `everySeconds` up to the age of `untilSeconds`; 0: every point. Rules go from young to old. */
export const RetentionRule = z.strictObject({
  untilSeconds: z.number().positive(),
  everySeconds: z.number().nonnegative(),
});
export type RetentionRule = z.infer<typeof RetentionRule>;
export const RetentionPolicy = z.strictObject({ rules: z.array(RetentionRule).min(1).max(20) });
export type RetentionPolicy = z.infer<typeof RetentionPolicy>;

export const ProtectedItem = z.strictObject({
  itemId: ProtectedItemId,
  name: z.string().min(1).max(63),
  /** Name of the process server that may touch this item's cache objects. */
  processServer: z.string().min(1).max(63),
  disks: z
    .array(z.strictObject({ diskId: ProtectedDiskId, path: z.string().startsWith('/') }))
    .min(1)
    .max(64),
  retention: RetentionPolicy,
  createdAt: z.iso.datetime(),
});
export type ProtectedItem = z.infer<typeof ProtectedItem>;

export const DiskRecord = z.strictObject({
  diskId: ProtectedDiskId,
  sizeBytes: z.number().int().nonnegative(),
  state: DiskState,
  cause: ResyncCause.optional(),
});
export type DiskRecord = z.infer<typeof DiskRecord>;

/** The last manifest that was applied. */
export const Position = z.strictObject({
  chain: z.number().int().nonnegative(),
  sequence: z.number().int().nonnegative(),
  /** Of the manifest's object; null before the first. */
  digest: z.string().nullable(),
  generation: z.number().int().nonnegative(),
  /** End of the manifest in its archive file (`archive.ts`). */
  archiveBytes: z.number().int().nonnegative(),
  appliedAt: z.iso.datetime(),
});
export type Position = z.infer<typeof Position>;

/** Why the log processor stopped at an item; only a chain newer than `chain` gets it going again. */
export const Blocked = z.strictObject({ chain: z.number().int(), event: HealthEvent });
export type Blocked = z.infer<typeof Blocked>;

export const RecoveryPoint = z.strictObject({
  pointId: RecoveryPointId,
  itemId: ProtectedItemId,
  type: BookmarkType,
  method: BookmarkMethod,
  takenAt: z.iso.datetime(),
  processedAt: z.iso.datetime(),
  frozenMilliseconds: z.number().nonnegative(),
  /** How long writers were held back; left out where they were not. */
  heldMilliseconds: z.number().nonnegative().optional(),
  /** Of all disks. */
  sizeBytes: z.number().int().nonnegative(),
  /** Replaced since the point before it. */
  changedBytes: z.number().int().nonnegative(),
  chain: z.number().int(),
  sequence: z.number().int(),
  lockedUntil: z.iso.datetime().optional(),
  /** Disks of the machine that are not in it; left out where it has all. */
  missingDisks: z.array(MissingDisk).min(1).max(64).optional(),
});
export type RecoveryPoint = z.infer<typeof RecoveryPoint>;

/**
 * Where a point stands among its item's. Not its date: that is of the protected machine's clock, which may be stepped, and the
 * point that was taken after another one holds what was written since, whatever its date says.
 */
export type PointPlace = Pick<RecoveryPoint, 'chain' | 'sequence'>;

/** Above 0: `one` is the later. */
export const comparePlaces = (one: PointPlace, other: PointPlace): number =>
  one.chain - other.chain || one.sequence - other.sequence;

/** Whether a point has every disk of its machine: only such a one is the latest of anything unless somebody asks for less. */
export const isComplete = ({ missingDisks }: Pick<RecoveryPoint, 'missingDisks'>): boolean =>
  missingDisks === undefined;
/** An item that is failed over takes nothing from its source. */
export const Fence = z.strictObject({ failoverId: z.guid(), fencedAt: z.iso.datetime() });
export type Fence = z.infer<typeof Fence>;

export const ItemState = z.strictObject({
  position: Position.optional(),
  disks: z.array(DiskRecord),
  progress: z.array(ResyncProgress),
  /** Bytes applied since the last point. */
  changedBytes: z.number().int().nonnegative(),
  blocked: Blocked.optional(),
  fence: Fence.optional(),
});
export type ItemState = z.infer<typeof ItemState>;

export interface StoredEvent {
  /** Grows with time; the page's key. */
  readonly eventId: number;
  readonly itemId: ProtectedItemId;
  readonly event: HealthEvent;
}

export interface Advance {
  readonly position: Position;
  readonly disks: readonly DiskRecord[];
  readonly progress: readonly ResyncProgress[];
  readonly events: readonly HealthEvent[];
  readonly changedBytes: number;
  readonly point?: RecoveryPoint;
}

export interface VaultStore {
  /** `sealedKey`: the item key under the vault's master key. Throws `ItemAlreadyProtected` when name or id is in use. */
  addItem(item: ProtectedItem, sealedKey: Uint8Array): Promise<void>;
  item(itemId: ProtectedItemId): Promise<ProtectedItem | undefined>;
  /** Sorted by name, those after `after`. */
  listItems(page: { readonly after?: string; readonly limit: number }): Promise<ProtectedItem[]>;
  sealedKey(itemId: ProtectedItemId): Promise<Uint8Array | undefined>;
  /** With everything about it. Silent when it is not there. */
  removeItem(itemId: ProtectedItemId): Promise<void>;

  state(itemId: ProtectedItemId): Promise<ItemState>;
  /** All or nothing; the same again changes nothing but events. Clears `blocked`. Throws `ItemFenced` while a fence holds. */
  advance(itemId: ProtectedItemId, advance: Advance): Promise<void>;
  block(itemId: ProtectedItemId, blocked: Blocked): Promise<void>;
  /** From when this resolves no `advance` succeeds. Twice by the same failover is once. */
  fence(itemId: ProtectedItemId, fence: Fence): Promise<void>;
  /** Silent when there is none. */
  liftFence(itemId: ProtectedItemId, at: string): Promise<void>;
  /** It cannot go on just now, and tries again by itself. With the event; `undefined`: that is over. `advance` ends it, too. */
  pause(itemId: ProtectedItemId, event: HealthEvent | undefined): Promise<void>;

  /** The latest first, those before `before`; with `isComplete` only those that have every disk. */
  listPoints(
    itemId: ProtectedItemId,
    page: { readonly before?: PointPlace; readonly limit: number; readonly isComplete?: true },
  ): Promise<RecoveryPoint[]>;
  point(itemId: ProtectedItemId, pointId: RecoveryPointId): Promise<RecoveryPoint | undefined>;
  removePoint(itemId: ProtectedItemId, pointId: RecoveryPointId): Promise<void>;
  lockPoint(itemId: ProtectedItemId, pointId: RecoveryPointId, until: string | undefined): Promise<void>;

  addEvents(itemId: ProtectedItemId, events: readonly HealthEvent[]): Promise<void>;
  /** Newest first, those before `before`. */
  listEvents(page: {
    readonly itemId?: ProtectedItemId;
    readonly before?: number;
    readonly limit: number;
  }): Promise<StoredEvent[]>;
  /** Leaves the newest `keep` of each item. */
  trimEvents(keep: number): Promise<void>;
}
