/** What is replicated by whom to where: the assignments, as the vault's orders left them. */
import { z } from 'zod';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { FailedOver } from '../../protocol/control/site-link.ts';
import { json } from './rows.ts';

const Content = z.strictObject({
  name: z.string(),
  disks: z.array(z.strictObject({ diskId: ProtectedDiskId, path: z.string() })),
  policy: z.strictObject({ crashConsistentSeconds: z.number(), applicationConsistentSeconds: z.number() }),
  /** It runs at the recovery location: its source is turned away. */
  failedOver: FailedOver.optional(),
});

export interface AssignedItem extends z.infer<typeof Content> {
  readonly itemId: ProtectedItemId;
  readonly machineId: string;
  readonly processServerId: string;
  readonly sealedKey: Buffer;
  /** The process server has taken it: now its machine may come. */
  readonly isServed: boolean;
}

export async function put(session: Session, item: Omit<AssignedItem, 'isServed'>, at: string): Promise<void> {
  const { name, disks, policy, failedOver } = item;
  await session.change(
    `INSERT INTO items (item_id, machine_id, process_server_id, content, sealed_key, assigned_at)
     VALUES (?, ?, ?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE machine_id = VALUES(machine_id), process_server_id = VALUES(process_server_id),
       content = VALUES(content), sealed_key = VALUES(sealed_key)`,
    [
      item.itemId,
      item.machineId,
      item.processServerId,
      JSON.stringify({ name, disks, policy, failedOver }),
      item.sealedKey,
      new Date(at),
    ],
  );
}

export async function served(session: Session, itemId: string, at: string): Promise<void> {
  await session.change('UPDATE items SET served_at = COALESCE(served_at, ?) WHERE item_id = ?', [
    new Date(at),
    itemId,
  ]);
}

export async function remove(session: Session, itemId: string): Promise<void> {
  await session.change('DELETE FROM items WHERE item_id = ?', [itemId]);
}

export async function byId(session: Session, itemId: string): Promise<AssignedItem | undefined> {
  return (await session.rows('SELECT * FROM items WHERE item_id = ?', [itemId])).map(toItem)[0];
}

export async function ofMachine(session: Session, machineId: string): Promise<AssignedItem | undefined> {
  return (await session.rows('SELECT * FROM items WHERE machine_id = ?', [machineId])).map(toItem)[0];
}

/** A process server takes a thousand at most. */
export async function ofProcessServer(session: Session, processServerId: string): Promise<AssignedItem[]> {
  const rows = await session.rows(
    'SELECT * FROM items WHERE process_server_id = ? ORDER BY item_id LIMIT 1000',
    [processServerId],
  );
  return rows.map(toItem);
}

/** Machine id → item id, of a page of machines. */
export async function itemIds(
  session: Session,
  machineIds: readonly string[],
): Promise<ReadonlyMap<string, ProtectedItemId>> {
  if (machineIds.length === 0) return new Map();
  const rows = await session.rows(
    `SELECT machine_id, item_id FROM items WHERE machine_id IN (${machineIds.map(() => '?').join(', ')})`,
    machineIds,
  );
  return new Map(rows.map((row) => [String(row.machine_id), String(row.item_id) as ProtectedItemId]));
}

function toItem(row: Row): AssignedItem {
  return {
    itemId: parse(ProtectedItemId, row.item_id, 'items'),
    machineId: String(row.machine_id),
    processServerId: String(row.process_server_id),
    sealedKey: Buffer.from(row.sealed_key as Uint8Array),
    isServed: row.served_at !== null,
    ...parse(Content, json(row.content), 'items'),
  };
}
