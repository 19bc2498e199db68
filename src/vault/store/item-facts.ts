/**
 * All that the data plane knows of many items at once, in as many queries as there are tables: a page of the API's list must
 * not ask the database once an item. Durable facts only; what RPO and health follow from them is reckoned elsewhere.
 */
import { z } from 'zod';
import { HealthEvent } from '../../model/health.ts';
import { ProtectedDiskId, type ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import { ResyncProgress } from '../../model/progress.ts';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { ReportedMachine } from '../../protocol/control/site-link.ts';
import { iso, json } from './rows.ts';
import { DiskRecord } from './vault-store.ts';

export interface ItemFacts {
  /** As protection was enabled with. */
  readonly disks: readonly { readonly diskId: ProtectedDiskId; readonly path: string }[];
  /** As the log processor knows them; empty before the first manifest. */
  readonly states: readonly DiskRecord[];
  readonly progress: readonly ResyncProgress[];
  /** When the last manifest was applied. */
  readonly appliedAt: string | undefined;
  /** Why the log processor stands still. */
  readonly blocked: HealthEvent | undefined;
  /** That has every disk. */
  readonly latestPoint:
    | { readonly pointId: RecoveryPointId; readonly takenAt: string; readonly processedAt: string }
    | undefined;
  /** The newest few, newest first. */
  readonly events: readonly HealthEvent[];
}

/** Of each item that the data plane has. */
const eventsOfItem = 3;

export async function itemFacts(
  session: Session,
  itemIds: readonly ProtectedItemId[],
): Promise<ReadonlyMap<ProtectedItemId, ItemFacts>> {
  if (itemIds.length === 0) return new Map();
  const marks = itemIds.map(() => '?').join(', ');
  const of = (sql: string) => session.rows(sql.replace('(?)', `(${marks})`), itemIds);
  const [items, positions, states, progress, blocked, points, events] = await Promise.all([
    of('SELECT item_id, disks FROM protected_items WHERE item_id IN (?)'),
    of('SELECT item_id, applied_at FROM positions WHERE item_id IN (?)'),
    of('SELECT item_id, disk_id, size_bytes, state, cause FROM disks WHERE item_id IN (?) ORDER BY place'),
    of('SELECT item_id, progress FROM progress WHERE item_id IN (?) ORDER BY place'),
    of('SELECT item_id, event FROM blocked WHERE item_id IN (?)'),
    // A dive into the index of their order for each item.
    of(`SELECT p.item_id, p.point_id, p.taken_at, p.processed_at FROM protected_items i JOIN recovery_points p
          ON p.item_id = i.item_id AND p.point_id = (
            SELECT n.point_id FROM recovery_points n WHERE n.item_id = i.item_id AND n.missing_disks IS NULL
            ORDER BY n.chain DESC, n.sequence DESC LIMIT 1)
        WHERE i.item_id IN (?)`),
    newestEvents(session, itemIds),
  ]);
  const grouped = (rows: readonly Row[]) => Map.groupBy(rows, (row) => String(row.item_id));
  const [positionOf, statesOf, progressOf, blockedOf, pointOf, eventsOf] = [
    positions,
    states,
    progress,
    blocked,
    points,
    events,
  ].map(grouped) as [Groups, Groups, Groups, Groups, Groups, Groups];
  const found = new Map<ProtectedItemId, ItemFacts>();
  for (const row of items) {
    const id = String(row.item_id);
    const position = positionOf.get(id)?.[0];
    const stop = blockedOf.get(id)?.[0];
    const point = pointOf.get(id)?.[0];
    found.set(id as ProtectedItemId, {
      disks: parse(Disks, json(row.disks), 'protected_items'),
      states: (statesOf.get(id) ?? []).map((state) =>
        parse(
          DiskRecord,
          {
            diskId: state.disk_id,
            sizeBytes: state.size_bytes,
            state: state.state,
            ...(state.cause === null ? {} : { cause: state.cause }),
          },
          'disks',
        ),
      ),
      progress: (progressOf.get(id) ?? []).map((one) =>
        parse(ResyncProgress, json(one.progress), 'progress'),
      ),
      appliedAt: position && iso(position.applied_at),
      blocked: stop && parse(HealthEvent, json(stop.event), 'blocked'),
      latestPoint: point && {
        pointId: parse(RecoveryPointId, point.point_id, 'recovery_points'),
        takenAt: iso(point.taken_at),
        processedAt: iso(point.processed_at),
      },
      events: (eventsOf.get(id) ?? []).map((one) => parse(HealthEvent, json(one.event), 'events')),
    });
  }
  return found;
}

type Groups = Map<string, Row[]>;
const Disks = z.array(z.object({ diskId: ProtectedDiskId, path: z.string() }));

/**
 * The newest few of each, as dives into the index: a window over all events of a hundred items, or a union of a hundred
 * queries, took several times as long.
 */
async function newestEvents(session: Session, itemIds: readonly ProtectedItemId[]): Promise<Row[]> {
  const places = Array.from({ length: eventsOfItem }, (_, place) => place);
  const rows = await session.rows(
    `SELECT item_id, ${places
      .map(
        (place) =>
          `(SELECT event FROM events WHERE events.item_id = i.item_id ORDER BY event_id DESC LIMIT 1 OFFSET ${place}) AS event${place}`,
      )
      .join(', ')}
     FROM protected_items i WHERE item_id IN (${itemIds.map(() => '?').join(', ')})`,
    itemIds,
  );
  return rows.flatMap((row) =>
    places.flatMap((place) => {
      const event = row[`event${place}`];
      return event === null ? [] : [{ item_id: row.item_id, event }];
    }),
  );
}

/** As their sites last reported them, by machine id in lower case. */
export async function machineFacts(
  session: Session,
  machineIds: readonly string[],
): Promise<ReadonlyMap<string, ReportedMachine>> {
  if (machineIds.length === 0) return new Map();
  const rows = await session.rows(
    `SELECT machine_id, said FROM site_machines WHERE machine_id IN (${machineIds.map(() => '?').join(', ')})`,
    machineIds.map((id) => id.toLowerCase()),
  );
  return new Map(
    rows.map((row) => [
      String(row.machine_id).toLowerCase(),
      parse(ReportedMachine, json(row.said), 'site_machines'),
    ]),
  );
}

/** Names of process servers by id in lower case. */
export async function processServerNames(
  session: Session,
  ids: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const asked = [...new Set(ids.map((id) => id.toLowerCase()))];
  if (asked.length === 0) return new Map();
  const rows = await session.rows(
    `SELECT process_server_id, name FROM site_process_servers
     WHERE process_server_id IN (${asked.map(() => '?').join(', ')})`,
    asked,
  );
  return new Map(rows.map((row) => [String(row.process_server_id).toLowerCase(), String(row.name)]));
}
