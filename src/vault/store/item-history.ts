/**
 * RPO and churn of each item over time: a row per five minutes for a day, then one per hour for thirty. Ten thousand items
 * make 10,000 × (288 + 720) ≈ 10 million rows of about 50 bytes: half a gigabyte, and no more.
 */
import type { Database, Session } from '../../platform/mysql.ts';
import { iso } from './rows.ts';

export const fineSeconds = 300;
export const coarseSeconds = 3600;
const fineKeptSeconds = 86_400;
const coarseKeptSeconds = 30 * 86_400;

export interface HistorySample {
  readonly at: string;
  /** How long a time this row stands for. */
  readonly seconds: number;
  /** The largest in that time; undefined: there was no point yet. */
  readonly rpoSeconds: number | undefined;
  readonly changedBytes: number;
  readonly points: number;
}

/** A point is recorded a moment after it is processed, and nobody looks at the very end of five minutes. */
const lateMilliseconds = 60_000;

/**
 * Writes the row of these five minutes for all items at once; again is the same, and a larger RPO stays. What changed is
 * read from the points that were processed in that time, so nothing is counted twice; those that came after the last look at
 * the five minutes before are counted there.
 */
export async function sample(session: Session, now: number): Promise<void> {
  const from = new Date(Math.floor(now / (fineSeconds * 1000)) * fineSeconds * 1000);
  if (now - from.getTime() < lateMilliseconds)
    await recount(session, new Date(from.getTime() - fineSeconds * 1000), from);
  const to = new Date(from.getTime() + fineSeconds * 1000);
  await session.change(
    `INSERT INTO item_history (item_id, at, seconds, rpo_seconds, changed_bytes, points)
     SELECT item.item_id, ?, ?,
       (SELECT TIMESTAMPDIFF(MICROSECOND, LEAST(taken_at, processed_at), ?) / 1000000 FROM recovery_points
        WHERE item_id = item.item_id AND missing_disks IS NULL ORDER BY chain DESC, sequence DESC LIMIT 1),
       COALESCE(recent.changed_bytes, 0), COALESCE(recent.points, 0)
     FROM protected_items item
     LEFT JOIN (
       SELECT item_id, SUM(changed_bytes) AS changed_bytes, COUNT(*) AS points FROM recovery_points
       WHERE processed_at >= ? AND processed_at < ? GROUP BY item_id
     ) recent ON recent.item_id = item.item_id
     ON DUPLICATE KEY UPDATE
       rpo_seconds = GREATEST(COALESCE(item_history.rpo_seconds, 0), COALESCE(VALUES(rpo_seconds), item_history.rpo_seconds)),
       changed_bytes = VALUES(changed_bytes), points = VALUES(points)`,
    [from, fineSeconds, new Date(now), from, to],
  );
}

/** What changed in five minutes that are over, where they have a row. */
async function recount(session: Session, from: Date, to: Date): Promise<void> {
  await session.change(
    `UPDATE item_history JOIN (
       SELECT item_id, SUM(changed_bytes) AS changed_bytes, COUNT(*) AS points FROM recovery_points
       WHERE processed_at >= ? AND processed_at < ? GROUP BY item_id
     ) recent ON recent.item_id = item_history.item_id
     SET item_history.changed_bytes = recent.changed_bytes, item_history.points = recent.points
     WHERE item_history.at = ? AND item_history.seconds = ?`,
    [from, to, from, fineSeconds],
  );
}

/**
 * Sums hours up that are older than a day, and forgets what is older than thirty. One transaction, because an hour's row
 * takes the place of its first five minutes: half of it done twice would count eleven twelfths.
 */
export async function thin(database: Database, now: number): Promise<void> {
  // Whole hours only, so that an hour is summed up once.
  const fineUntil = new Date(
    Math.floor((now / 1000 - fineKeptSeconds) / coarseSeconds) * coarseSeconds * 1000,
  );
  await database.transaction(async (session) => {
    await session.change(
      `INSERT INTO item_history (item_id, at, seconds, rpo_seconds, changed_bytes, points)
       SELECT item_id, CAST(DATE_FORMAT(at, '%Y-%m-%d %H:00:00') AS DATETIME) AS hour, ?, MAX(rpo_seconds),
         SUM(changed_bytes), SUM(points)
       FROM item_history WHERE seconds = ? AND at < ? GROUP BY item_id, hour
       ON DUPLICATE KEY UPDATE seconds = VALUES(seconds), rpo_seconds = VALUES(rpo_seconds),
         changed_bytes = VALUES(changed_bytes), points = VALUES(points)`,
      [coarseSeconds, fineSeconds, fineUntil],
    );
    await session.change('DELETE FROM item_history WHERE seconds = ? AND at < ?', [fineSeconds, fineUntil]);
  });
  await database.change('DELETE FROM item_history WHERE at < ? LIMIT 100000', [
    new Date(now - coarseKeptSeconds * 1000),
  ]);
}

/** Oldest first. */
export async function list(
  session: Session,
  itemId: string,
  page: { readonly from: string; readonly to: string; readonly limit: number },
): Promise<HistorySample[]> {
  const rows = await session.rows(
    `SELECT at, seconds, rpo_seconds, changed_bytes, points FROM item_history
     WHERE item_id = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?`,
    [itemId, new Date(page.from), new Date(page.to), page.limit],
  );
  return rows.map((row) => ({
    at: iso(row.at),
    seconds: Number(row.seconds),
    rpoSeconds: row.rpo_seconds === null ? undefined : Number(row.rpo_seconds),
    changedBytes: Number(row.changed_bytes),
    points: Number(row.points),
  }));
}
