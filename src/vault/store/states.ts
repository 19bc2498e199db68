/** How far an item's chain is applied, what its disks are, how its resyncs come on, and why it stands still. */
import type { ProtectedItemId } from '../../model/ids.ts';
import type { Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import * as fences from './fences.ts';
import { iso, json } from './rows.ts';
import { type Advance, type Blocked, ItemState } from './vault-store.ts';

export async function read(session: Session, itemId: ProtectedItemId): Promise<ItemState> {
  const [position] = await session.rows('SELECT * FROM positions WHERE item_id = ?', [itemId]);
  const disks = await session.rows('SELECT * FROM disks WHERE item_id = ? ORDER BY place', [itemId]);
  const progress = await session.rows('SELECT * FROM progress WHERE item_id = ? ORDER BY place', [itemId]);
  const fence = await fences.read(session, itemId);
  const [blocked] = await session.rows('SELECT * FROM blocked WHERE item_id = ?', [itemId]);
  return parse(
    ItemState,
    {
      ...(position === undefined
        ? {}
        : {
            position: {
              chain: position.chain,
              sequence: position.sequence,
              digest: position.digest,
              generation: position.generation,
              archiveBytes: position.archive_bytes,
              appliedAt: iso(position.applied_at),
            },
          }),
      disks: disks.map((row) => ({
        diskId: row.disk_id,
        sizeBytes: row.size_bytes,
        state: row.state,
        ...(row.cause === null ? {} : { cause: row.cause }),
      })),
      progress: progress.map((row) => json(row.progress)),
      changedBytes: position?.changed_bytes ?? 0,
      ...(blocked === undefined ? {} : { blocked: { chain: blocked.chain, event: json(blocked.event) } }),
      ...(fence === undefined ? {} : { fence }),
    },
    `the state of ${itemId}`,
  );
}

export async function write(session: Session, itemId: ProtectedItemId, advance: Advance): Promise<void> {
  const { position } = advance;
  await session.change(
    `REPLACE INTO positions (item_id, chain, sequence, digest, generation, archive_bytes, changed_bytes, applied_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      itemId,
      position.chain,
      position.sequence,
      position.digest,
      position.generation,
      position.archiveBytes,
      advance.changedBytes,
      new Date(position.appliedAt),
    ],
  );
  await session.change('DELETE FROM disks WHERE item_id = ?', [itemId]);
  for (const [place, disk] of advance.disks.entries())
    await session.change(
      'INSERT INTO disks (item_id, disk_id, place, size_bytes, state, cause) VALUES (?, ?, ?, ?, ?, ?)',
      [itemId, disk.diskId, place, disk.sizeBytes, disk.state, disk.cause ?? null],
    );
  await session.change('DELETE FROM progress WHERE item_id = ?', [itemId]);
  for (const [place, progress] of advance.progress.entries())
    await session.change('REPLACE INTO progress (item_id, disk_id, place, progress) VALUES (?, ?, ?, ?)', [
      itemId,
      progress.diskId,
      place,
      JSON.stringify(progress),
    ]);
  await session.change('DELETE FROM blocked WHERE item_id = ?', [itemId]);
}

export async function block(session: Session, itemId: ProtectedItemId, blocked: Blocked): Promise<void> {
  await session.change('REPLACE INTO blocked (item_id, chain, event) VALUES (?, ?, ?)', [
    itemId,
    blocked.chain,
    JSON.stringify(blocked.event),
  ]);
}
