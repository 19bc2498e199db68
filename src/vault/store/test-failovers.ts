/**
 * Test failovers: a row exists before anything else does, so that whatever a crash leaves behind is found by its row.
 * Rows outlive the item and the clean-up: they are the evidence of rehearsals.
 */
import { z } from 'zod';
import { ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import type { Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { json } from './rows.ts';

/** `starting` and `cleaning` are on their way and taken up again after a crash. */
export const TestFailoverState = z.enum(['starting', 'running', 'failed', 'cleaning', 'cleaned']);

export const TestFailoverRecord = z.strictObject({
  failoverId: z.guid(),
  itemId: ProtectedItemId,
  itemName: z.string(),
  pointId: RecoveryPointId,
  pointTakenAt: z.iso.datetime(),
  machineName: z.string(),
  networkName: z.string(),
  state: TestFailoverState,
  /** The step that was begun last. */
  step: z.string(),
  startedAt: z.iso.datetime(),
  /** From the request to power-on, and to the readiness check's yes. */
  powerOnSeconds: z.number().nonnegative().optional(),
  readySeconds: z.number().nonnegative().optional(),
  address: z.string().optional(),
  accelerator: z.enum(['kvm', 'tcg']).optional(),
  /** Path of the PNG; the report lies beside it. */
  screenshot: z.string().optional(),
  /** Why it failed. */
  failure: z.string().max(4000).optional(),
  notes: z.string().max(4000).optional(),
  cleanedAt: z.iso.datetime().optional(),
});
export type TestFailoverRecord = z.infer<typeof TestFailoverRecord>;

export interface TestFailoverRecords {
  /** Makes or replaces. */
  save(record: TestFailoverRecord): Promise<void>;
  byId(failoverId: string): Promise<TestFailoverRecord | undefined>;
  /** The item's, newest first. */
  allOfItem(itemId: ProtectedItemId, limit: number): Promise<TestFailoverRecord[]>;
  /** The item's that is not cleaned up; the newest. */
  ofItem(itemId: ProtectedItemId): Promise<TestFailoverRecord | undefined>;
}

export function testFailoverRecords(session: Session): TestFailoverRecords {
  const read = async (rest: string, values: (string | number)[]) =>
    (await session.rows(`SELECT record FROM test_failovers ${rest}`, values)).map((row) =>
      parse(TestFailoverRecord, json(row.record), 'test_failovers'),
    );
  return {
    save: async (record) => {
      const text = JSON.stringify(TestFailoverRecord.parse(record));
      await session.change(
        `INSERT INTO test_failovers (failover_id, item_id, state, started_at, record) VALUES (?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE state = VALUES(state), record = VALUES(record)`,
        [record.failoverId, record.itemId, record.state, new Date(record.startedAt), text],
      );
    },
    byId: async (failoverId) => (await read('WHERE failover_id = ?', [failoverId]))[0],
    allOfItem: (itemId, limit) =>
      read('WHERE item_id = ? ORDER BY started_at DESC, failover_id LIMIT ?', [itemId, limit]),
    ofItem: async (itemId) =>
      (
        await read(
          "WHERE item_id = ? AND state IN ('starting', 'running', 'cleaning') ORDER BY started_at DESC LIMIT 1",
          [itemId],
        )
      )[0],
  };
}
