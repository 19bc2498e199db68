/** Health events: what happened to an item, newest first. */
import { HealthEvent } from '../../model/health.ts';
import { ProtectedItemId } from '../../model/ids.ts';
import type { Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { json } from './rows.ts';
import type { StoredEvent } from './vault-store.ts';

export async function add(
  session: Session,
  itemId: ProtectedItemId,
  events: readonly HealthEvent[],
): Promise<void> {
  for (const event of events)
    await session.change('INSERT INTO events (item_id, event) VALUES (?, ?)', [
      itemId,
      JSON.stringify(event),
    ]);
}

export async function list(
  session: Session,
  page: { itemId?: ProtectedItemId; before?: number; limit: number },
): Promise<StoredEvent[]> {
  const rows = await session.rows(
    `SELECT event_id, item_id, event FROM events WHERE event_id < ? ${page.itemId === undefined ? '' : 'AND item_id = ?'}
     ORDER BY event_id DESC LIMIT ?`,
    [page.before ?? Number.MAX_SAFE_INTEGER, ...(page.itemId === undefined ? [] : [page.itemId]), page.limit],
  );
  return rows.map((row) => ({
    eventId: Number(row.event_id),
    itemId: parse(ProtectedItemId, row.item_id, 'events'),
    event: parse(HealthEvent, json(row.event), 'events'),
  }));
}

export async function trim(session: Session, keep: number): Promise<void> {
  const items = await session.rows('SELECT item_id FROM events GROUP BY item_id HAVING COUNT(*) > ?', [keep]);
  for (const { item_id: itemId } of items) {
    const [oldest] = await session.rows(
      'SELECT event_id FROM events WHERE item_id = ? ORDER BY event_id DESC LIMIT 1 OFFSET ?',
      [itemId as string, keep - 1],
    );
    if (oldest !== undefined)
      await session.change('DELETE FROM events WHERE item_id = ? AND event_id < ?', [
        itemId as string,
        Number(oldest.event_id),
      ]);
  }
}
