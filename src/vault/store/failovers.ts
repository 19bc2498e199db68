/**
 * Failovers: of each item the one that it is in, with the machine that was made of its loan. The row is there before the
 * machine is, so that whatever a crash leaves behind is found by it; it goes when the failover is cancelled.
 */
import { z } from 'zod';
import { ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import type { Database, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { json } from './rows.ts';

/** `failover/provider.ts`'s definition, as it is kept. */
export const KeptMachine = z.strictObject({
  name: z.string(),
  cpuCount: z.number().int(),
  memoryMebibytes: z.number().int(),
  firmware: z.enum(['bios', 'efi']),
  disks: z.array(z.strictObject({ path: z.string(), bus: z.enum(['virtio', 'scsi']) })),
  network: z.strictObject({ mode: z.enum(['isolated', 'existing']), name: z.string() }),
  directBoot: z.strictObject({ kernel: z.string(), initrd: z.string(), commandLine: z.string() }).optional(),
});
export type KeptMachine = z.infer<typeof KeptMachine>;

/** What was seen of a failed-over machine's power last, once there was anything to see. */
export const NotedPower = z.strictObject({
  isOn: z.boolean(),
  why: z.string().max(1000),
  since: z.iso.datetime(),
  /** Somebody switched it off: it is not started, also not after its host was restarted. */
  isLeftOff: z.boolean(),
  /** When it was started again, those of the last hour. */
  starts: z.array(z.iso.datetime()).max(16),
});
export type NotedPower = z.infer<typeof NotedPower>;

export const FailoverRecord = z.strictObject({
  itemId: ProtectedItemId,
  /** Also the loan's name. */
  failoverId: z.guid(),
  kind: z.enum(['unplanned', 'planned']),
  pointId: RecoveryPointId,
  pointTakenAt: z.iso.datetime(),
  machine: KeptMachine,
  startedAt: z.iso.datetime(),
  address: z.string().optional(),
  committedAt: z.iso.datetime().optional(),
  power: NotedPower.optional(),
});
export type FailoverRecord = z.infer<typeof FailoverRecord>;

export interface FailoverRecords {
  /** Makes or replaces the item's. */
  save(record: FailoverRecord): Promise<void>;
  ofItem(itemId: ProtectedItemId): Promise<FailoverRecord | undefined>;
  /** Only if it is this one; silent otherwise. */
  remove(itemId: ProtectedItemId, failoverId: string): Promise<void>;
}

export function failoverRecords(session: Session): FailoverRecords {
  return {
    save: async (record) => {
      const text = JSON.stringify(FailoverRecord.parse(record));
      await session.change(
        `INSERT INTO failovers (item_id, failover_id, record) VALUES (?, ?, ?)
         ON DUPLICATE KEY UPDATE failover_id = VALUES(failover_id), record = VALUES(record)`,
        [record.itemId, record.failoverId, text],
      );
    },
    ofItem: async (itemId) => {
      const rows = await session.rows('SELECT record FROM failovers WHERE item_id = ?', [itemId]);
      return rows.map((row) => parse(FailoverRecord, json(row.record), 'failovers'))[0];
    },
    remove: async (itemId, failoverId) => {
      await session.change('DELETE FROM failovers WHERE item_id = ? AND failover_id = ?', [
        itemId,
        failoverId,
      ]);
    },
  };
}

export async function listFailovers(
  session: Session,
  page: { readonly after: string; readonly limit: number },
): Promise<FailoverRecord[]> {
  const rows = await session.rows('SELECT record FROM failovers WHERE item_id > ? ORDER BY item_id LIMIT ?', [
    page.after,
    page.limit,
  ]);
  return rows.map((row) => parse(FailoverRecord, json(row.record), 'failovers'));
}

/** Of this failover, if the item is still in it; whatever else its record says by now stays. */
export async function notePower(
  database: Database,
  { itemId, failoverId }: Pick<FailoverRecord, 'itemId' | 'failoverId'>,
  power: NotedPower,
): Promise<void> {
  await database.transaction(async (session) => {
    const rows = await session.rows(
      'SELECT record FROM failovers WHERE item_id = ? AND failover_id = ? FOR UPDATE',
      [itemId, failoverId],
    );
    for (const row of rows) {
      const record = FailoverRecord.parse({ ...parse(FailoverRecord, json(row.record), 'failovers'), power });
      await session.change('UPDATE failovers SET record = ? WHERE item_id = ? AND failover_id = ?', [
        JSON.stringify(record),
        itemId,
        failoverId,
      ]);
    }
  });
}
