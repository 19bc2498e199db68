/** Why an item's log processor cannot go on just now. Ends with the next manifest that is applied, or when there is none left. */
import type { HealthEvent } from '../../model/health.ts';
import type { ProtectedItemId } from '../../model/ids.ts';
import type { Session } from '../../platform/mysql.ts';

export async function put(session: Session, itemId: ProtectedItemId, event: HealthEvent): Promise<void> {
  await session.change('REPLACE INTO paused (item_id, event) VALUES (?, ?)', [itemId, JSON.stringify(event)]);
}

export async function clear(session: Session, itemId: ProtectedItemId): Promise<void> {
  await session.change('DELETE FROM paused WHERE item_id = ?', [itemId]);
}
