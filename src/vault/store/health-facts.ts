/** What the health reconciler looks at, a page of items in a few statements: ten thousand items are ten pages. */
import { DiskState, ResyncCause } from '../../model/disk-state.ts';
import { HealthEvent } from '../../model/health.ts';
import type { Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { ReportedMachine } from '../../protocol/control/site-link.ts';
import type { ItemFacts } from '../health/conditions.ts';
import type { MachineCopy } from '../health/machine-copied.ts';
import { iso, json } from './rows.ts';

export type ItemRow = Omit<ItemFacts, 'rpoThresholdSeconds' | 'applicationConsistentSeconds'> & {
  /** Resource id. */
  readonly id: string;
  readonly vaultId: string;
  readonly policyId: string;
  /** Machines that came with the identity of this one. */
  readonly machineCopies: readonly MachineCopy[];
  /** Give it back as `after`. */
  readonly key: number;
};

const moment = (value: unknown) =>
  value === null || value === undefined ? undefined : Date.parse(iso(value));

/** The site that reports an item's machine now: one that registered anew may have left an older row. */
const reporter = `FROM site_machines m JOIN sites s ON s.site_id = m.site_id AND s.removed_at IS NULL
        WHERE m.item_id = i.item_id ORDER BY s.last_report_at DESC LIMIT 1`;

/** When the latest point was taken. A machine whose clock is fast must not look fresh for as long as that. */
const newestAt = (condition = '') =>
  `(SELECT LEAST(p.taken_at, p.processed_at) FROM recovery_points p WHERE p.item_id = i.item_id ${condition}
        ORDER BY p.chain DESC, p.sequence DESC LIMIT 1)`;

/** Items that the API knows and that the data plane has taken up. */
export async function items(
  session: Session,
  page: { readonly after: number; readonly limit: number },
): Promise<ItemRow[]> {
  const rows = await session.rows(
    `SELECT r.row_id, r.id, r.friendly_name, r.active_location, r.record, i.item_id, i.created_at,
       ${newestAt()} AS newest_at,
       ${newestAt("AND p.type = 'ApplicationConsistent'")} AS newest_application_at,
       (SELECT event FROM blocked b WHERE b.item_id = i.item_id) AS blocked,
       (SELECT JSON_VALUE(m.said, '$.mobilityService.lastHeartbeatAt') ${reporter}) AS heartbeat_at,
       (SELECT JSON_EXTRACT(m.said, '$.copies') ${reporter}) AS machine_copies,
       (SELECT s.last_report_at ${reporter}) AS site_reported_at
     FROM item_resources r JOIN protected_items i ON i.item_id = r.item_id
     WHERE r.row_id > ? ORDER BY r.row_id LIMIT ?`,
    [page.after, page.limit],
  );
  if (rows.length === 0) return [];
  const disks = await session.rows(
    `SELECT item_id, disk_id, state, cause FROM disks WHERE item_id IN (${rows.map(() => '?').join(', ')})
     ORDER BY item_id, place`,
    rows.map((row) => String(row.item_id)),
  );
  return rows.map((row) => {
    const id = String(row.id);
    const record = json(row.record) as { policyId: string; lastTestFailoverAt?: string };
    const blocked = row.blocked === null ? undefined : parse(HealthEvent, json(row.blocked), 'blocked');
    return {
      id,
      key: Number(row.row_id),
      vaultId: id.split('/').slice(0, 9).join('/'),
      policyId: record.policyId,
      name: String(row.friendly_name),
      createdAt: moment(row.created_at)!,
      newestPointAt: moment(row.newest_at),
      newestApplicationConsistentAt: moment(row.newest_application_at),
      disks: disks
        .filter((disk) => disk.item_id === row.item_id)
        .map((disk) => ({
          diskId: String(disk.disk_id),
          state: parse(DiskState, disk.state, 'disks'),
          cause: disk.cause === null ? undefined : parse(ResyncCause, disk.cause, 'disks'),
        })),
      blocked:
        blocked === undefined
          ? undefined
          : {
              code: blocked.code,
              summary: blocked.summary,
              possibleCauses: blocked.possibleCauses,
              recommendedAction: blocked.recommendedAction,
            },
      machineHeartbeatAt: row.heartbeat_at === null ? undefined : Date.parse(String(row.heartbeat_at)),
      siteReportedAt: moment(row.site_reported_at),
      machineCopies:
        row.machine_copies === null
          ? []
          : (parse(ReportedMachine.shape.copies, json(row.machine_copies), 'site_machines') ?? []),
      isReplicating: row.active_location === 'Primary',
      lastTestFailoverAt: moment(record.lastTestFailoverAt),
    };
  });
}
