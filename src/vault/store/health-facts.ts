/** What the health reconciler looks at, a page of items in a few statements: ten thousand items are ten pages. */
import { z } from 'zod';
import { MissingDisk } from '../../model/bookmark.ts';
import { DiskState, ResyncCause } from '../../model/disk-state.ts';
import { HealthEvent } from '../../model/health.ts';
import type { Row, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';

import { ReportedDisk, ReportedMachine } from '../../protocol/control/site-link.ts';
import type { FailedJobFacts, ItemFacts } from '../health/conditions.ts';
import type { MachineCopy } from '../health/machine-copied.ts';
import { JobError } from '../jobs/jobs.ts';
import { NotedPower } from './failovers.ts';

import { iso, json } from './rows.ts';

export type ItemRow = Omit<
  ItemFacts,
  'rpoThresholdSeconds' | 'crashConsistentSeconds' | 'applicationConsistentSeconds'
> & {
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

/** The site says by its own clock when it heard of a machine, and when it said so: the difference holds by any clock. */
function heardAt(row: Row): number | undefined {
  const reportedAt = moment(row.site_reported_at);
  if (reportedAt === undefined || row.heartbeat_at === null || row.site_clock_at === null) return undefined;
  return reportedAt - (Date.parse(String(row.site_clock_at)) - Date.parse(String(row.heartbeat_at)));
}

/** The site that reports an item's machine now: one that registered anew may have left an older row. */
const reporter = `FROM site_machines m JOIN sites s ON s.site_id = m.site_id AND s.removed_at IS NULL
        WHERE m.item_id = i.item_id ORDER BY s.last_report_at DESC LIMIT 1`;

/** When the latest point with every disk was taken. A machine whose clock is fast must not look fresh for as long as that. */
const newestAt = (condition = '') =>
  `(SELECT LEAST(p.taken_at, p.processed_at) FROM recovery_points p WHERE p.item_id = i.item_id AND p.missing_disks IS NULL ${condition}
        ORDER BY p.chain DESC, p.sequence DESC LIMIT 1)`;

/** Of these operations on the item the last that came to an end of its own; one that was cancelled says nothing. */
const lastJob = (workflows: string) =>
  `(SELECT j.job_id FROM jobs j WHERE j.target_key = r.id_key AND j.workflow IN (${workflows})
          AND j.state IN ('Succeeded', 'Failed') ORDER BY j.created_at DESC, j.job_id LIMIT 1)`;

/** Items that the API knows and that the data plane has taken up. */
export async function items(
  session: Session,
  page: { readonly after: number; readonly limit: number },
): Promise<ItemRow[]> {
  const rows = await session.rows(
    `SELECT r.row_id, r.id, r.friendly_name, r.active_location, r.record, i.item_id, i.created_at, i.disks,
       ${newestAt()} AS newest_at,
       ${newestAt("AND p.type = 'ApplicationConsistent'")} AS newest_application_at,
       (SELECT event FROM blocked b WHERE b.item_id = i.item_id) AS blocked,
       (SELECT event FROM paused b WHERE b.item_id = i.item_id) AS paused,
       (SELECT applied_at FROM positions b WHERE b.item_id = i.item_id) AS applied_at,
       (SELECT p.missing_disks FROM recovery_points p WHERE p.item_id = i.item_id
        ORDER BY p.chain DESC, p.sequence DESC LIMIT 1) AS missing_disks,
       (SELECT JSON_EXTRACT(m.said, '$.disks') ${reporter}) AS reported_disks,
       ${lastJob("'unplanned-failover', 'planned-failover'")} AS failover_job,
       ${lastJob("'test-failover', 'unplanned-failover', 'planned-failover'")} AS test_failover_job,
       (SELECT JSON_VALUE(m.said, '$.mobilityService.lastHeartbeatAt') ${reporter}) AS heartbeat_at,
       (SELECT JSON_EXTRACT(m.said, '$.copies') ${reporter}) AS machine_copies,
       (SELECT s.last_report_at ${reporter}) AS site_reported_at,
       (SELECT JSON_VALUE(s.said, '$.at') ${reporter}) AS site_clock_at,
       (SELECT f.fenced_at FROM failover_fences f WHERE f.item_id = i.item_id AND f.lifted_at IS NULL) AS fenced_at,
       (SELECT JSON_EXTRACT(v.record, '$.power') FROM failovers v WHERE v.item_id = i.item_id) AS machine_power
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
  const failures = await failedJobs(session, rows);
  return rows.map((row) => {
    const id = String(row.id);
    const record = json(row.record) as {
      policyId: string;
      lastTestFailoverAt?: string;
      settings?: { disksToInclude?: readonly unknown[] };
    };
    const protectedDisks = parse(Disks, json(row.disks), 'protected_items');
    const pathOf = (diskId: string) => protectedDisks.find((disk) => disk.diskId === diskId)?.path ?? diskId;
    const missing =
      row.missing_disks === null ? [] : parse(Missing, json(row.missing_disks), 'recovery_points');
    const failedFailover = failures.get(String(row.failover_job));
    const failedTestFailover = failures.get(String(row.test_failover_job));
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
          path: pathOf(String(disk.disk_id)),
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
      paused: row.paused === null ? undefined : parse(HealthEvent, json(row.paused), 'paused'),
      appliedAt: moment(row.applied_at),
      missingDisks: missing.map(({ diskId, cause }) => ({ path: pathOf(diskId), cause })),
      protectedPaths: protectedDisks.map(({ path }) => path),
      reportedDisks:
        row.reported_disks === null
          ? undefined
          : parse(z.array(ReportedDisk), json(row.reported_disks), 'site_machines'),
      wantsAllDisks: (record.settings?.disksToInclude ?? []).length === 0,
      failedFailover,
      failedTestFailover: failedTestFailover === failedFailover ? undefined : failedTestFailover,
      machineHeartbeatAt: row.heartbeat_at === null ? undefined : Date.parse(String(row.heartbeat_at)),
      siteReportedAt: moment(row.site_reported_at),
      fencedAt: moment(row.fenced_at),
      sourceHeardAt: heardAt(row),
      machineCopies:
        row.machine_copies === null
          ? []
          : (parse(ReportedMachine.shape.copies, json(row.machine_copies), 'site_machines') ?? []),
      machinePower:
        row.machine_power === null ? undefined : parse(NotedPower, json(row.machine_power), 'failovers'),
      isReplicating: row.active_location === 'Primary',
      lastTestFailoverAt: moment(record.lastTestFailoverAt),
    };
  });
}

const Disks = z.array(z.object({ diskId: z.string(), path: z.string() }));
const Missing = z.array(MissingDisk);

/** Of the last failovers and test failovers those that failed, by job id. */
async function failedJobs(session: Session, rows: readonly Row[]): Promise<Map<string, FailedJobFacts>> {
  const ids = [...new Set(rows.flatMap((row) => [row.failover_job, row.test_failover_job]))].filter(
    (id) => id !== null,
  );
  if (ids.length === 0) return new Map();
  const found = await session.rows(
    `SELECT job_id, friendly_name, errors, ended_at FROM jobs
     WHERE state = 'Failed' AND job_id IN (${ids.map(() => '?').join(', ')})`,
    ids.map(String),
  );
  return new Map(
    found.map((row) => {
      const [error] = parse(z.array(JobError), json(row.errors), 'jobs');
      return [
        String(row.job_id),
        {
          jobId: String(row.job_id),
          name: String(row.friendly_name),
          endedAt: moment(row.ended_at) ?? 0,
          summary: error?.summary ?? 'it named no error',
          possibleCauses: error?.possibleCauses ?? 'The tasks of the job say more.',
          recommendedAction: error?.recommendedAction ?? 'Look at the job.',
        },
      ];
    }),
  );
}
