/** Who tried to change what, and what came of it: one row a write, newest first, never a body or a secret. */
import { z } from 'zod';
import type { Row, Session, SqlValue } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { iso, json } from './rows.ts';

export const AuditEntry = z.strictObject({
  principalId: z.guid(),
  principalName: z.string(),
  applicationId: z.string().optional(),
  operationId: z.string(),
  /** `Microsoft.RecoveryServices/vaults/write`. */
  action: z.string(),
  resourceId: z.string(),
  outcome: z.enum(['Succeeded', 'Accepted', 'Refused', 'Failed']),
  status: z.number().int(),
  /** Of the refusal. */
  code: z.string().optional(),
  jobId: z.string().optional(),
  correlationId: z.string().max(128),
  clientRequestId: z.string().max(128),
  address: z.string(),
});
export type AuditEntry = z.infer<typeof AuditEntry>;

export interface StoredAuditEntry extends AuditEntry {
  readonly entryId: number;
  readonly happenedAt: string;
}

export interface AuditQuery {
  /** Included. */
  readonly from?: string | undefined;
  /** Included. */
  readonly to?: string | undefined;
  readonly correlationId?: string | undefined;
  readonly principalId?: string | undefined;
  /** This resource and all in it. */
  readonly under?: string | undefined;
  /** Only entries before this one. */
  readonly before?: number | undefined;
  readonly limit: number;
}

export interface AuditEntries {
  add(entry: AuditEntry, happenedAt: string): Promise<void>;
  list(query: AuditQuery): Promise<StoredAuditEntry[]>;
  /** Removes at most `limit` entries older than this; answers how many. */
  trim(before: string, limit: number): Promise<number>;
}

const resourceKeyMax = 1000;
const keyOf = (resourceId: string) => resourceId.toLowerCase().slice(0, resourceKeyMax);

export function auditEntries(session: Session): AuditEntries {
  return {
    add: async (entry, happenedAt) => {
      await session.change(
        `INSERT INTO audit_entries (happened_at, correlation_id, resource_key, principal_id, entry)
         VALUES (?, ?, ?, ?, ?)`,
        [
          new Date(happenedAt),
          entry.correlationId,
          keyOf(entry.resourceId),
          entry.principalId,
          JSON.stringify(entry),
        ],
      );
    },
    list: async (query) => {
      const where: string[] = ['entry_id < ?'];
      const values: SqlValue[] = [query.before ?? Number.MAX_SAFE_INTEGER];
      const and = (sql: string, ...more: SqlValue[]) => {
        where.push(sql);
        values.push(...more);
      };
      if (query.from !== undefined) and('happened_at >= ?', new Date(query.from));
      if (query.to !== undefined) and('happened_at <= ?', new Date(query.to));
      if (query.correlationId !== undefined) and('correlation_id = ?', query.correlationId);
      if (query.principalId !== undefined) and('principal_id = ?', query.principalId);
      if (query.under !== undefined) {
        const key = keyOf(query.under.replace(/\/+$/, ''));
        // `0` is the character after `/`: everything that begins with the id and a slash.
        and('(resource_key = ? OR (resource_key >= ? AND resource_key < ?))', key, `${key}/`, `${key}0`);
      }
      const rows = await session.rows(
        `SELECT entry_id, happened_at, entry FROM audit_entries WHERE ${where.join(' AND ')}
         ORDER BY entry_id DESC LIMIT ?`,
        [...values, query.limit],
      );
      return rows.map(storedOf);
    },
    trim: (before, limit) =>
      session.change('DELETE FROM audit_entries WHERE happened_at < ? ORDER BY happened_at LIMIT ?', [
        new Date(before),
        limit,
      ]),
  };
}

function storedOf(row: Row): StoredAuditEntry {
  return {
    ...parse(AuditEntry, json(row.entry), 'audit_entries'),
    entryId: Number(row.entry_id),
    happenedAt: iso(row.happened_at),
  };
}
