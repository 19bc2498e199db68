/**
 * Recovery points. A row exists only when the point is whole on the replica store. Their order is that of the chain
 * (`PointPlace`), never that of their dates.
 */
import type { ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { errors } from '../errors.ts';
import { iso, json } from './rows.ts';
import { type PointPlace, RecoveryPoint } from './vault-store.ts';

const columns = `item_id, point_id, type, method, taken_at, processed_at, frozen_milliseconds, size_bytes, changed_bytes,
  chain, sequence, locked_until, missing_disks, held_milliseconds`;

export async function add(session: Session, point: RecoveryPoint): Promise<void> {
  await session.change(
    `INSERT IGNORE INTO recovery_points (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      point.itemId,
      point.pointId,
      point.type,
      point.method,
      new Date(point.takenAt),
      new Date(point.processedAt),
      point.frozenMilliseconds,
      point.sizeBytes,
      point.changedBytes,
      point.chain,
      point.sequence,
      point.lockedUntil === undefined ? null : new Date(point.lockedUntil),
      point.missingDisks === undefined ? null : JSON.stringify(point.missingDisks),
      point.heldMilliseconds ?? null,
    ],
  );
}

export async function list(
  session: Session,
  itemId: ProtectedItemId,
  page: { before?: PointPlace; limit: number; isComplete?: true },
): Promise<RecoveryPoint[]> {
  const { chain, sequence } = page.before ?? { chain: Number.MAX_SAFE_INTEGER, sequence: 0 };
  const rows = await session.rows(
    `SELECT ${columns} FROM recovery_points WHERE item_id = ? AND (chain < ? OR (chain = ? AND sequence < ?))
       ${page.isComplete ? complete : ''}
     ORDER BY chain DESC, sequence DESC LIMIT ?`,
    [itemId, chain, chain, sequence, page.limit],
  );
  return rows.map(toPoint);
}

/** Of a condition on points: those that have every disk of their machine. */
export const complete = 'AND missing_disks IS NULL';

/** Of a page's last point, for the token of the next one. */
export const placeToText = ({ chain, sequence }: PointPlace): string => `${chain}/${sequence}`;

export function placeOfText(text: string): PointPlace {
  const [chain, sequence] = text.split('/').map(Number) as [number, number];
  return { chain, sequence };
}

export async function count(session: Session, itemId: ProtectedItemId): Promise<number> {
  const [row] = await session.rows('SELECT COUNT(*) AS count FROM recovery_points WHERE item_id = ?', [
    itemId,
  ]);
  return Number(row!.count);
}

export async function byId(
  session: Session,
  itemId: ProtectedItemId,
  pointId: RecoveryPointId,
): Promise<RecoveryPoint | undefined> {
  const rows = await session.rows(
    `SELECT ${columns} FROM recovery_points WHERE item_id = ? AND point_id = ?`,
    [itemId, pointId],
  );
  return rows.map(toPoint)[0];
}

export async function remove(
  session: Session,
  itemId: ProtectedItemId,
  pointId: RecoveryPointId,
): Promise<void> {
  await session.change('DELETE FROM recovery_points WHERE item_id = ? AND point_id = ?', [itemId, pointId]);
}

export async function lock(
  session: Session,
  itemId: ProtectedItemId,
  pointId: RecoveryPointId,
  until: string | undefined,
): Promise<void> {
  if ((await byId(session, itemId, pointId)) === undefined) throw errors.RecoveryPointGone(pointId);
  await session.change('UPDATE recovery_points SET locked_until = ? WHERE item_id = ? AND point_id = ?', [
    until === undefined ? null : new Date(until),
    itemId,
    pointId,
  ]);
}

function toPoint(row: Row): RecoveryPoint {
  return parse(
    RecoveryPoint,
    {
      pointId: row.point_id,
      itemId: row.item_id,
      type: row.type,
      method: row.method,
      takenAt: iso(row.taken_at),
      processedAt: iso(row.processed_at),
      frozenMilliseconds: row.frozen_milliseconds,
      sizeBytes: row.size_bytes,
      changedBytes: row.changed_bytes,
      chain: row.chain,
      sequence: row.sequence,
      ...(row.locked_until === null ? {} : { lockedUntil: iso(row.locked_until) }),
      ...(row.held_milliseconds === null ? {} : { heldMilliseconds: row.held_milliseconds }),
      ...(row.missing_disks === null ? {} : { missingDisks: json(row.missing_disks) }),
    },
    'recovery_points',
  );
}
