/** Protected items and their sealed keys. */
import type { ProtectedItemId } from '../../model/ids.ts';
import { hasCode } from '../../platform/errors.ts';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { errors } from '../errors.ts';
import { iso, json } from './rows.ts';
import { ProtectedItem } from './vault-store.ts';

const columns = 'item_id, name, process_server, disks, retention, created_at';

export async function add(session: Session, item: ProtectedItem, sealed: Uint8Array): Promise<void> {
  try {
    await session.change(
      `INSERT INTO protected_items (${columns}, sealed_key) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      [
        item.itemId,
        item.name,
        item.processServer,
        JSON.stringify(item.disks),
        JSON.stringify(item.retention),
        new Date(item.createdAt),
        Buffer.from(sealed),
      ],
    );
  } catch (error) {
    if (hasCode(error, 'ER_DUP_ENTRY'))
      throw errors.ItemAlreadyProtected(`a machine named ${item.name}`, item.name);
    throw error;
  }
}

export async function byId(session: Session, itemId: ProtectedItemId): Promise<ProtectedItem | undefined> {
  const rows = await session.rows(`SELECT ${columns} FROM protected_items WHERE item_id = ?`, [itemId]);
  return rows.map(toItem)[0];
}

export async function byName(session: Session, name: string): Promise<ProtectedItem | undefined> {
  const rows = await session.rows(`SELECT ${columns} FROM protected_items WHERE name = ?`, [name]);
  return rows.map(toItem)[0];
}

export async function list(
  session: Session,
  page: { after?: string; limit: number },
): Promise<ProtectedItem[]> {
  const rows = await session.rows(
    `SELECT ${columns} FROM protected_items WHERE name > ? ORDER BY name LIMIT ?`,
    [page.after ?? '', page.limit],
  );
  return rows.map(toItem);
}

export async function sealedKey(session: Session, itemId: ProtectedItemId): Promise<Uint8Array | undefined> {
  const rows = await session.rows('SELECT sealed_key FROM protected_items WHERE item_id = ?', [itemId]);
  return rows[0]?.sealed_key as Uint8Array | undefined;
}

function toItem(row: Row): ProtectedItem {
  return parse(
    ProtectedItem,
    {
      itemId: row.item_id,
      name: row.name,
      processServer: row.process_server,
      disks: json(row.disks),
      retention: json(row.retention),
      createdAt: iso(row.created_at),
    },
    'protected_items',
  );
}
