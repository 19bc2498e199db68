/**
 * Protected items as the API knows them: one row an item, with what the client sent, what state it is in and which job works
 * on it. The data plane's side (disks, keys, chain, points) is `items.ts` and its neighbours; `itemId` ties the two together.
 *
 *     PUT ─▶ add (EnablingProtection) ─▶ tie(itemId) ─▶ … job ends ─▶ end
 *     POST testFailover ─▶ begin(operation, job): the state while it works ─▶ end(done | failed): the state after it
 *
 * `begin` and `end` are idempotent by the job's id, so a step that is run again after a crash finds its own work done. At most
 * one job holds an item. `InitialReplicationInProgress` becomes `Protected` when the first recovery point is there: nobody
 * tells the row, whoever reads it looks.
 */
import { z } from 'zod';
import { ProtectedItemId } from '../../model/ids.ts';
import {
  activeLocations,
  type ItemCondition,
  type ItemOperation,
  protectionStates,
  testFailoverStates,
  transition,
} from '../../model/protection-state.ts';
import { hasCode } from '../../platform/errors.ts';
import type { Row, Session, SqlValue } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { idKey } from '../../protocol/arm/resource-id.ts';
import { errors } from '../errors.ts';
import { json } from './rows.ts';

export const ItemInstanceType = z.enum(['InMageAzureV2', 'InMageRcm']);
export type ItemInstanceType = z.infer<typeof ItemInstanceType>;

const Condition = z.strictObject({
  protectionState: z.enum(protectionStates),
  testFailoverState: z.enum(testFailoverStates),
  activeLocation: z.enum(activeLocations),
});

const Replication = z.strictObject({
  crashConsistentSeconds: z.number().positive(),
  applicationConsistentSeconds: z.number().nonnegative(),
});
export type Replication = z.infer<typeof Replication>;

/** What is kept of an item besides the columns that lists are narrowed by. Optional fields may be added at any time. */
const Kept = z.strictObject({
  policyId: z.string(),
  protectableItemId: z.string(),
  /** `EnableProtectionInput.properties.providerSpecificDetails` as the client sent it, with later updates merged in. */
  settings: z.record(z.string(), z.unknown()),
  groupName: z.string().optional(),
  /** What its site is to know of the policy: how often that changed, and which change it has heard of. */
  replication: Replication.extend({
    change: z.number().int().nonnegative(),
    heardChange: z.number().int().nonnegative(),
  }).optional(),
  /** The point that the machine at the recovery location was made of. */
  failoverPointId: z.string().optional(),
  lastFailoverAt: z.iso.datetime().optional(),
  lastTestFailoverAt: z.iso.datetime().optional(),
  /** Of the operation at work. */
  scenario: z.strictObject({ name: z.string(), startedAt: z.iso.datetime() }).optional(),
  createdAt: z.iso.datetime(),
});

export const ItemResource = Kept.extend({
  id: z.string(),
  vaultId: z.string(),
  containerId: z.string(),
  fabricName: z.string(),
  name: z.string(),
  friendlyName: z.string(),
  instanceType: ItemInstanceType,
  /** Undefined until the enabling job has made the data plane's side. */
  itemId: ProtectedItemId.optional(),
  machineId: z.string(),
  processServerId: z.string(),
  vCenterName: z.string().optional(),
  groupOption: z.enum(['AutoCreated', 'UserSpecified']).optional(),
  condition: Condition,
  jobId: z.string().optional(),
});
export type ItemResource = z.infer<typeof ItemResource>;

export interface ItemFilter {
  readonly vaultId?: string | undefined;
  readonly containerId?: string | undefined;
  readonly fabricName?: string | undefined;
  readonly instanceType?: string | undefined;
  readonly machineId?: string | undefined;
  readonly vCenterName?: string | undefined;
  readonly groupOption?: string | undefined;
  readonly processServerId?: string | undefined;
  readonly policyId?: string | undefined;
  /** Only these, e.g. a recovery plan's. */
  readonly ids?: readonly string[] | undefined;
}

const columns = `row_id, id, vault_key, container_key, fabric_key, name, friendly_name, instance_type, item_id, machine_id,
  process_server_id, vcenter_name, group_option, protection_state, test_failover_state, active_location, job_id, record`;

/** A new item, in the state that enabling begins with, held by the job. Throws `ResourceExists`-like `ItemAlreadyProtected`. */
export async function add(
  session: Session,
  item: Omit<ItemResource, 'condition' | 'jobId' | 'scenario'>,
  job: { readonly jobId: string; readonly scenarioName: string; readonly startedAt: string },
): Promise<void> {
  const enabling = transition('EnableProtection', undefined)!;
  const { protectionState, testFailoverState, activeLocation } = enabling.during;
  try {
    await session.change(
      `INSERT INTO item_resources (id_key, id, vault_key, container_key, fabric_key, name, friendly_name, instance_type,
         policy_key, item_id, machine_id, process_server_id, vcenter_name, group_option, protection_state,
         test_failover_state, active_location, job_id, pending, record)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        idKey(item.id),
        item.id,
        idKey(item.vaultId),
        idKey(item.containerId),
        item.fabricName.toLowerCase(),
        item.name,
        item.friendlyName,
        item.instanceType,
        idKey(item.policyId),
        item.itemId ?? null,
        item.machineId.toLowerCase(),
        item.processServerId.toLowerCase(),
        item.vCenterName?.toLowerCase() ?? '',
        item.groupOption ?? '',
        protectionState,
        testFailoverState,
        activeLocation,
        job.jobId,
        JSON.stringify(enabling),
        keptText({ ...item, scenario: { name: job.scenarioName, startedAt: job.startedAt } }),
      ],
    );
  } catch (error) {
    if (hasCode(error, 'ER_DUP_ENTRY')) throw errors.ItemAlreadyProtected(`the item ${item.name}`, item.name);
    throw error;
  }
}

/** Names the data plane's item. The same again is fine. */
export async function tie(session: Session, id: string, itemId: ProtectedItemId): Promise<void> {
  await session.change('UPDATE item_resources SET item_id = ? WHERE id_key = ?', [itemId, idKey(id)]);
}

export async function byId(session: Session, id: string): Promise<ItemResource | undefined> {
  return (await read(session, 'id_key = ?', [idKey(id)], 1)).items[0];
}

/** By the data plane's id. */
export async function byItemId(session: Session, itemId: ProtectedItemId): Promise<ItemResource | undefined> {
  return (await read(session, 'item_id = ?', [itemId], 1)).items[0];
}

/** Whoever protects this machine, in any vault of this installation. */
export async function byMachine(session: Session, machineId: string): Promise<ItemResource | undefined> {
  return (await read(session, 'machine_id = ?', [machineId.toLowerCase()], 1)).items[0];
}

/** The same for many machines, by machine id in lower case. */
export async function byMachines(
  session: Session,
  machineIds: readonly string[],
): Promise<ReadonlyMap<string, ItemResource>> {
  if (machineIds.length === 0) return new Map();
  const { items } = await read(
    session,
    `machine_id IN (${machineIds.map(() => '?').join(', ')})`,
    machineIds.map((id) => id.toLowerCase()),
    undefined,
  );
  return new Map(items.map((item) => [item.machineId, item]));
}

/** Oldest first. `next` goes back as `after`. */
export async function list(
  session: Session,
  filter: ItemFilter,
  page: { readonly limit: number; readonly after?: string | undefined },
): Promise<{ readonly items: ItemResource[]; readonly next: string | undefined }> {
  const { conditions, values } = where(filter);
  if (filter.ids?.length === 0) return { items: [], next: undefined };
  conditions.push('row_id > ?');
  values.push(Number(page.after ?? 0));
  const { items, lastRow } = await read(session, conditions.join(' AND '), values, page.limit + 1);
  const isMore = items.length > page.limit;
  return {
    items: items.slice(0, page.limit),
    next: isMore ? String(lastRow.at(page.limit - 1)) : undefined,
  };
}

export async function count(session: Session, filter: ItemFilter): Promise<number> {
  if (filter.ids?.length === 0) return 0;
  const { conditions, values } = where(filter);
  const [row] = await session.rows(
    `SELECT COUNT(*) AS number FROM item_resources WHERE ${conditions.join(' AND ') || 'TRUE'}`,
    values,
  );
  return Number(row!.number);
}

/**
 * Items of a policy whose sites are to know something else of it, or have not heard it yet. Not those whom a job works on: what
 * that orders comes first.
 */
export async function toBeTold(
  session: Session,
  policyId: string,
  { crashConsistentSeconds, applicationConsistentSeconds }: Replication,
  limit: number,
): Promise<ItemResource[]> {
  const { items } = await read(
    session,
    `policy_key = ? AND active_location = 'Primary' AND item_id IS NOT NULL AND job_id IS NULL
     AND (JSON_VALUE(record, '$.replication.crashConsistentSeconds') <> ?
       OR JSON_VALUE(record, '$.replication.applicationConsistentSeconds') <> ?
       OR JSON_VALUE(record, '$.replication.change') <> JSON_VALUE(record, '$.replication.heardChange'))`,
    [idKey(policyId), crashConsistentSeconds, applicationConsistentSeconds],
    limit,
  );
  return items;
}

/** False: somebody else has noted a later change meanwhile. In a transaction, for the row is held until its end. */
export async function noteReplication(
  session: Session,
  id: string,
  before: number,
  replication: NonNullable<ItemResource['replication']>,
): Promise<boolean> {
  const item = (await read(session, 'id_key = ? FOR UPDATE', [idKey(id)], undefined)).items[0];
  if (item?.replication?.change !== before) return false;
  await change(session, id, { replication });
  return true;
}

/** How many of a vault's items each process server, container, … has. */
export async function countBy(
  session: Session,
  vaultId: string,
  column: 'container_key' | 'fabric_key' | 'process_server_id' | 'policy_key' | 'protection_state',
): Promise<Map<string, number>> {
  const rows = await session.rows(
    `SELECT ${column} AS value, COUNT(*) AS number FROM item_resources WHERE vault_key = ? GROUP BY ${column}`,
    [idKey(vaultId)],
  );
  return new Map(rows.map((row) => [String(row.value), Number(row.number)]));
}

/**
 * Puts the item into the state of an operation at work. The same job again changes nothing. Throws `ItemUnknown` and
 * `OperationNotAllowed`.
 */
export async function begin(
  session: Session,
  id: string,
  operation: ItemOperation,
  job: { readonly jobId: string; readonly scenarioName: string; readonly startedAt: string },
): Promise<void> {
  await settle(session, [idKey(id)]);
  const item = (await read(session, 'id_key = ? FOR UPDATE', [idKey(id)], undefined)).items[0];
  if (item === undefined) throw errors.ItemUnknown(id);
  if (item.jobId === job.jobId) return;
  const next = item.jobId === undefined ? transition(operation, item.condition) : undefined;
  if (next === undefined)
    throw errors.OperationNotAllowed(operation, item.friendlyName, item.condition.protectionState);
  await session.change(
    `UPDATE item_resources SET protection_state = ?, test_failover_state = ?, active_location = ?, job_id = ?, pending = ?,
       record = ? WHERE id_key = ?`,
    [
      next.during.protectionState,
      next.during.testFailoverState,
      next.during.activeLocation,
      job.jobId,
      JSON.stringify(next),
      keptText({ ...item, scenario: { name: job.scenarioName, startedAt: job.startedAt } }),
      idKey(id),
    ],
  );
}

export type ItemChanges = Partial<
  Pick<
    z.infer<typeof Kept>,
    | 'settings'
    | 'policyId'
    | 'groupName'
    | 'replication'
    | 'failoverPointId'
    | 'lastFailoverAt'
    | 'lastTestFailoverAt'
  >
> & { readonly friendlyName?: string; readonly processServerId?: string };

/** What the operation of this job came to. Silent when another job, or none, holds the item. */
export async function end(
  session: Session,
  id: string,
  jobId: string,
  outcome: 'done' | 'failed',
  changes: ItemChanges = {},
): Promise<void> {
  const rows = await session.rows(
    'SELECT pending FROM item_resources WHERE id_key = ? AND job_id = ? FOR UPDATE',
    [idKey(id), jobId],
  );
  if (rows.length === 0) return;
  const end = parse(Pending, json(rows[0]!.pending), 'item_resources')[outcome];
  if (end === 'removed') {
    await remove(session, id);
    return;
  }
  await session.change(
    `UPDATE item_resources SET protection_state = ?, test_failover_state = ?, active_location = ?, job_id = NULL,
       pending = NULL WHERE id_key = ?`,
    [end.protectionState, end.testFailoverState, end.activeLocation, idKey(id)],
  );
  await change(session, id, changes);
}

/** Changes of values that are no state. Fields that are left out stay; silent when the item is not there. */
export async function change(session: Session, id: string, changes: ItemChanges): Promise<void> {
  const item = (await read(session, 'id_key = ? FOR UPDATE', [idKey(id)], undefined)).items[0];
  if (item === undefined) return;
  const { scenario, ...rest } = item;
  const changed = { ...rest, ...(item.jobId === undefined ? {} : { scenario }), ...changes };
  await session.change(
    'UPDATE item_resources SET friendly_name = ?, policy_key = ?, process_server_id = ?, record = ? WHERE id_key = ?',
    [
      changed.friendlyName,
      idKey(changed.policyId),
      changed.processServerId.toLowerCase(),
      keptText(changed),
      idKey(id),
    ],
  );
}

/** Silent when it is not there. */
export async function remove(session: Session, id: string): Promise<void> {
  await session.change('DELETE FROM item_resources WHERE id_key = ?', [idKey(id)]);
}

const Pending = z.object({
  done: z.union([z.literal('removed'), Condition]),
  failed: z.union([z.literal('removed'), Condition]),
});

function keptText(value: Partial<ItemResource>): string {
  return JSON.stringify(z.object(Kept.shape).parse(value));
}

function where(filter: ItemFilter): { conditions: string[]; values: SqlValue[] } {
  const conditions: string[] = [];
  const values: SqlValue[] = [];
  const equal = (column: string, value: string | undefined) => {
    if (value === undefined) return;
    conditions.push(`${column} = ?`);
    values.push(value);
  };
  equal('vault_key', filter.vaultId && idKey(filter.vaultId));
  equal('container_key', filter.containerId && idKey(filter.containerId));
  equal('fabric_key', filter.fabricName?.toLowerCase());
  equal('machine_id', filter.machineId?.toLowerCase());
  equal('vcenter_name', filter.vCenterName?.toLowerCase());
  equal('process_server_id', filter.processServerId?.toLowerCase());
  equal('policy_key', filter.policyId && idKey(filter.policyId));
  // Two words each: compared as people write them.
  const spelled = (known: readonly string[], value: string | undefined) =>
    value === undefined ? undefined : (known.find((k) => k.toLowerCase() === value.toLowerCase()) ?? value);
  equal('instance_type', spelled(ItemInstanceType.options, filter.instanceType));
  equal('group_option', spelled(['AutoCreated', 'UserSpecified'], filter.groupOption));
  if (filter.ids !== undefined) {
    conditions.push(`id_key IN (${filter.ids.map(() => '?').join(', ')})`);
    values.push(...filter.ids.map(idKey));
  }
  return { conditions, values };
}

async function read(
  session: Session,
  condition: string,
  values: readonly SqlValue[],
  limit: number | undefined,
): Promise<{ items: ItemResource[]; lastRow: number[] }> {
  const sql = `SELECT ${columns} FROM item_resources WHERE ${condition}`;
  const rows = await session.rows(
    limit === undefined ? sql : `${sql} ORDER BY row_id LIMIT ?`,
    limit === undefined ? values : [...values, limit],
  );
  const waiting = rows.filter((row) => row.protection_state === 'InitialReplicationInProgress');
  const replicated = await settle(
    session,
    waiting.map((row) => idKey(String(row.id))),
  );
  return {
    items: rows.map((row) => toItem(row, replicated)),
    lastRow: rows.map((row) => Number(row.row_id)),
  };
}

/** Those of the given items that wait for their first recovery point and have it: they are Protected from now on. */
async function settle(session: Session, keys: readonly string[]): Promise<ReadonlySet<string>> {
  if (keys.length === 0) return new Set();
  const marks = keys.map(() => '?').join(', ');
  const rows = await session.rows(
    `SELECT id_key FROM item_resources WHERE id_key IN (${marks}) AND protection_state = 'InitialReplicationInProgress'
       AND EXISTS (SELECT 1 FROM recovery_points
         WHERE recovery_points.item_id = item_resources.item_id AND missing_disks IS NULL)`,
    keys,
  );
  const found = rows.map((row) => String(row.id_key));
  if (found.length > 0)
    await session.change(
      `UPDATE item_resources SET protection_state = 'Protected'
       WHERE protection_state = 'InitialReplicationInProgress' AND id_key IN (${found.map(() => '?').join(', ')})`,
      found,
    );
  return new Set(found);
}

function toItem(row: Row, replicated: ReadonlySet<string>): ItemResource {
  const id = String(row.id);
  // Names come back in the case of the id, whose segments they are.
  const segments = id.split('/');
  const condition: ItemCondition = {
    protectionState: replicated.has(idKey(id)) ? 'Protected' : (row.protection_state as never),
    testFailoverState: row.test_failover_state as never,
    activeLocation: row.active_location as never,
  };
  return parse(
    ItemResource,
    {
      ...(json(row.record) as object),
      id,
      vaultId: segments.slice(0, 9).join('/'),
      containerId: segments.slice(0, 13).join('/'),
      fabricName: segments[10],
      name: row.name,
      friendlyName: row.friendly_name,
      instanceType: row.instance_type,
      ...(row.item_id === null ? {} : { itemId: row.item_id }),
      machineId: row.machine_id,
      processServerId: row.process_server_id,
      ...(row.vcenter_name === '' ? {} : { vCenterName: row.vcenter_name }),
      ...(row.group_option === '' ? {} : { groupOption: row.group_option }),
      condition,
      ...(row.job_id === null ? {} : { jobId: row.job_id }),
    },
    'item_resources',
  );
}
