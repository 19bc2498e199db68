/**
 * Fences: an item that is failed over takes nothing more from its source until the failover is cancelled. The row is written by
 * the failover itself, so it holds also where the site cannot be reached; what the site is told follows it
 * (`reconcilers/fences.ts`).
 *
 *     failover ─▶ put ─▶ told ─────▶ cancelled ─▶ lift ─▶ told: the row goes
 */
import type { ProtectedItemId } from '../../model/ids.ts';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { iso } from './rows.ts';
import { Fence } from './vault-store.ts';

export interface UntoldFence extends Fence {
  readonly itemId: ProtectedItemId;
  readonly isLifted: boolean;
}

/** Twice by the same failover is once. One that was lifted, and that its site has not heard of, is replaced. */
export async function put(session: Session, itemId: ProtectedItemId, fence: Fence): Promise<void> {
  await session.change(
    `INSERT INTO failover_fences (item_id, failover_id, fenced_at) VALUES (?, ?, ?)
     ON DUPLICATE KEY UPDATE
       told_at = IF(failover_id = VALUES(failover_id) AND lifted_at IS NULL, told_at, NULL),
       fenced_at = IF(failover_id = VALUES(failover_id) AND lifted_at IS NULL, fenced_at, VALUES(fenced_at)),
       failover_id = VALUES(failover_id), lifted_at = NULL`,
    [itemId, fence.failoverId, new Date(fence.fencedAt)],
  );
}

export async function lift(session: Session, itemId: ProtectedItemId, at: string): Promise<void> {
  await session.change(
    'UPDATE failover_fences SET lifted_at = ?, told_at = NULL WHERE item_id = ? AND lifted_at IS NULL',
    [new Date(at), itemId],
  );
}

/** One that holds. */
export async function read(session: Session, itemId: ProtectedItemId): Promise<Fence | undefined> {
  const rows = await session.rows('SELECT * FROM failover_fences WHERE item_id = ? AND lifted_at IS NULL', [
    itemId,
  ]);
  return rows.map(toFence)[0];
}

export async function untold(session: Session, limit: number): Promise<UntoldFence[]> {
  const rows = await session.rows(
    'SELECT * FROM failover_fences WHERE told_at IS NULL ORDER BY item_id LIMIT ?',
    [limit],
  );
  return rows.map((row) => ({
    ...toFence(row),
    itemId: String(row.item_id) as ProtectedItemId,
    isLifted: row.lifted_at !== null,
  }));
}

/** Only if it is as it was when it was told. */
export async function told(session: Session, fence: UntoldFence, at: string): Promise<void> {
  if (fence.isLifted)
    await session.change(
      'DELETE FROM failover_fences WHERE item_id = ? AND failover_id = ? AND lifted_at IS NOT NULL',
      [fence.itemId, fence.failoverId],
    );
  else
    await session.change(
      'UPDATE failover_fences SET told_at = ? WHERE item_id = ? AND failover_id = ? AND lifted_at IS NULL',
      [new Date(at), fence.itemId, fence.failoverId],
    );
}

const toFence = (row: Row): Fence =>
  parse(Fence, { failoverId: row.failover_id, fencedAt: iso(row.fenced_at) }, 'failover_fences');
