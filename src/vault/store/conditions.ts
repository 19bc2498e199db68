/**
 * Health conditions that hold, and the log of what was raised and cleared. Written by the health reconciler; read by the
 * API (`HealthError`, events, vault health) and by whoever sends mail.
 */
import { createHash } from 'node:crypto';
import type { Database, Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { type ConditionChanges, HealthCondition, type KeptCondition } from '../health/conditions.ts';
import { iso, json } from './rows.ts';

/** What a condition is about. `id`: a resource id; what is no resource has one made of its vault's and a word. */
export interface HealthObject {
  readonly id: string;
  readonly name: string;
  readonly vaultId: string;
}

export interface RaisedCondition extends HealthObject {
  readonly condition: HealthCondition;
  readonly raisedAt: string;
}

export interface HealthChange extends HealthObject {
  /** Grows with time; the page's key. */
  readonly changeId: number;
  readonly kind: 'Raised' | 'Cleared';
  readonly condition: HealthCondition;
  readonly at: string;
}

const hash = (id: string): Buffer => createHash('sha256').update(id.toLowerCase()).digest();

/** Of many objects at once, raised or not, by lower-cased object id. */
export async function keptOf(
  session: Session,
  objectIds: readonly string[],
): Promise<Map<string, KeptCondition[]>> {
  const found = new Map<string, KeptCondition[]>();
  if (objectIds.length === 0) return found;
  const rows = await session.rows(
    `SELECT object_id, said, seen_at, raised_at FROM health_conditions
     WHERE object_hash IN (${objectIds.map(() => '?').join(', ')})`,
    objectIds.map(hash),
  );
  for (const row of rows) {
    const key = String(row.object_id).toLowerCase();
    const kept = {
      condition: parse(HealthCondition, json(row.said), 'health_conditions'),
      seenAt: Date.parse(iso(row.seen_at)),
      raisedAt: row.raised_at === null ? undefined : Date.parse(iso(row.raised_at)),
    };
    found.set(key, [...(found.get(key) ?? []), kept]);
  }
  return found;
}

/** All or nothing, so that what is raised is in the log, too. */
export async function keep(
  database: Database,
  object: HealthObject,
  changes: ConditionChanges,
  at: string,
): Promise<void> {
  const moment = new Date(at);
  await database.transaction(async (session) => {
    const put = (condition: HealthCondition, raisedAt: Date | null) =>
      session.change(
        `INSERT INTO health_conditions
           (object_hash, code, object_id, object_name, vault_hash, vault_id, said, seen_at, raised_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE said = VALUES(said), object_name = VALUES(object_name),
           raised_at = COALESCE(raised_at, VALUES(raised_at))`,
        [
          hash(object.id),
          condition.code,
          object.id,
          object.name,
          hash(object.vaultId),
          object.vaultId,
          JSON.stringify(condition),
          moment,
          raisedAt,
        ],
      );
    for (const condition of [...changes.begin, ...changes.refresh]) await put(condition, null);
    for (const condition of changes.raise) {
      await put(condition, moment);
      await log(session, object, 'Raised', condition, moment);
    }
    for (const { condition, raisedAt } of changes.clear) {
      const gone = await session.change('DELETE FROM health_conditions WHERE object_hash = ? AND code = ?', [
        hash(object.id),
        condition.code,
      ]);
      // Two vault processes may both see it end; only one deletes the row.
      if (gone > 0 && raisedAt !== undefined) await log(session, object, 'Cleared', condition, moment);
    }
  });
}

async function log(
  session: Session,
  object: HealthObject,
  kind: HealthChange['kind'],
  condition: HealthCondition,
  at: Date,
): Promise<void> {
  await session.change(
    `INSERT INTO health_changes (vault_hash, vault_id, object_id, object_name, kind, said, at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    [hash(object.vaultId), object.vaultId, object.id, object.name, kind, JSON.stringify(condition), at],
  );
}

const raisedColumns = 'object_id, object_name, vault_id, said, raised_at';

/** Of one object; only what was told. */
export async function raised(session: Session, objectId: string): Promise<RaisedCondition[]> {
  const rows = await session.rows(
    `SELECT ${raisedColumns} FROM health_conditions WHERE object_hash = ? AND raised_at IS NOT NULL ORDER BY raised_at`,
    [hash(objectId)],
  );
  return rows.map(toRaised);
}

/** Of many objects at once, by lower-cased object id: a page of items in one query. */
export async function raisedOf(
  session: Session,
  objectIds: readonly string[],
): Promise<Map<string, RaisedCondition[]>> {
  const found = new Map<string, RaisedCondition[]>();
  if (objectIds.length === 0) return found;
  const rows = await session.rows(
    `SELECT ${raisedColumns} FROM health_conditions
     WHERE object_hash IN (${objectIds.map(() => '?').join(', ')}) AND raised_at IS NOT NULL ORDER BY raised_at`,
    objectIds.map(hash),
  );
  for (const condition of rows.map(toRaised)) {
    const key = condition.id.toLowerCase();
    found.set(key, [...(found.get(key) ?? []), condition]);
  }
  return found;
}

/** Of a whole vault, oldest first. */
export async function raisedInVault(
  session: Session,
  vaultId: string,
  limit: number,
): Promise<RaisedCondition[]> {
  const rows = await session.rows(
    `SELECT ${raisedColumns} FROM health_conditions WHERE vault_hash = ? AND raised_at IS NOT NULL
     ORDER BY raised_at LIMIT ?`,
    [hash(vaultId), limit],
  );
  return rows.map(toRaised);
}

/** How many are told now, by severity. */
export async function countRaised(session: Session): Promise<ReadonlyMap<string, number>> {
  const rows = await session.rows(
    `SELECT JSON_VALUE(said, '$.severity') AS severity, COUNT(*) AS number FROM health_conditions
     WHERE raised_at IS NOT NULL GROUP BY severity`,
  );
  return new Map(rows.map((row) => [String(row.severity), Number(row.number)]));
}

/** Vaults with a change after this one. */
export async function vaultsChangedAfter(session: Session, changeId: number): Promise<string[]> {
  const rows = await session.rows('SELECT DISTINCT vault_id FROM health_changes WHERE change_id > ?', [
    changeId,
  ]);
  return rows.map((row) => String(row.vault_id));
}

const changeColumns = 'change_id, vault_id, object_id, object_name, kind, said, at';

/**
 * Oldest first, those after `after`; of one vault, or of all. Numbers are given before a transaction commits: a plain read would
 * find a later one without an earlier one that is under way, and whoever goes on behind it would never be told. This one
 * waits for those under way.
 */
export async function changesAfter(
  session: Session,
  page: { readonly vaultId?: string | undefined; readonly after: number; readonly limit: number },
): Promise<HealthChange[]> {
  const rows = await session.rows(
    `SELECT ${changeColumns} FROM health_changes
     WHERE change_id > ? ${page.vaultId === undefined ? '' : 'AND vault_hash = ?'} ORDER BY change_id LIMIT ?
     LOCK IN SHARE MODE`,
    [page.after, ...(page.vaultId === undefined ? [] : [hash(page.vaultId)]), page.limit],
  );
  return rows.map(toChange);
}

/** Newest first, those before `before`. */
export async function changesBefore(
  session: Session,
  page: { readonly vaultId: string; readonly before?: number | undefined; readonly limit: number },
): Promise<HealthChange[]> {
  const rows = await session.rows(
    `SELECT ${changeColumns} FROM health_changes WHERE vault_hash = ? AND change_id < ?
     ORDER BY change_id DESC LIMIT ?`,
    [hash(page.vaultId), page.before ?? Number.MAX_SAFE_INTEGER, page.limit],
  );
  return rows.map(toChange);
}

/** The newest change there is; 0: none. */
export async function newestChange(session: Session): Promise<number> {
  const [row] = await session.rows('SELECT MAX(change_id) AS newest FROM health_changes');
  return Number(row?.newest ?? 0);
}

export async function trimChanges(session: Session, before: string): Promise<void> {
  await session.change('DELETE FROM health_changes WHERE at < ? LIMIT 10000', [new Date(before)]);
}

/** Conditions of objects that are gone: nobody looked at them in the last pass. */
export async function objectIds(session: Session, limit: number): Promise<string[]> {
  const rows = await session.rows('SELECT DISTINCT object_id FROM health_conditions LIMIT ?', [limit]);
  return rows.map((row) => String(row.object_id));
}

function toRaised(row: Row): RaisedCondition {
  return {
    id: String(row.object_id),
    name: String(row.object_name),
    vaultId: String(row.vault_id),
    condition: parse(HealthCondition, json(row.said), 'health_conditions'),
    raisedAt: iso(row.raised_at),
  };
}

function toChange(row: Row): HealthChange {
  return {
    changeId: Number(row.change_id),
    id: String(row.object_id),
    name: String(row.object_name),
    vaultId: String(row.vault_id),
    kind: row.kind === 'Raised' ? 'Raised' : 'Cleared',
    condition: parse(HealthCondition, json(row.said), 'health_changes'),
    at: iso(row.at),
  };
}
