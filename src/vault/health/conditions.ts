/**
 * What can be wrong, from facts alone: pure, so that every threshold is tested without a vault. A condition holds or does
 * not; `planChanges` says what to raise and what to clear. The reconciler (`reconcilers/health.ts`) finds the facts and
 * keeps the outcome.
 *
 *     facts ─▶ conditions that hold ─┐
 *                                    ├─▶ begin (seen), raise (held long enough), refresh, clear
 *     conditions that are kept ──────┘
 *
 * Thresholds of process servers are the reference's; see docs/operations/health.md.
 */
import { z } from 'zod';
import type { MissingDisk } from '../../model/bookmark.ts';
import type { DiskState, ResyncCause } from '../../model/disk-state.ts';
import type { HealthEvent } from '../../model/health.ts';
import type { ReportedDisk } from '../../protocol/control/site-link.ts';
import { disksLeftOut, disksSharedWithOthers } from './disks-left-out.ts';

/** Names of the reference's `HealthErrorCategory`. */
export const HealthCategory = z.enum([
  'None',
  'Replication',
  'TestFailover',
  'Configuration',
  'FabricInfrastructure',
  'VersionExpiry',
]);

export const HealthCondition = z.strictObject({
  code: z.string().max(80),
  category: HealthCategory,
  /** The reference's `errorLevel`. */
  severity: z.enum(['Information', 'Warning', 'Critical']),
  summary: z.string().max(2000),
  possibleCauses: z.string().max(2000),
  recommendedAction: z.string().max(2000),
  context: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  /** How long it must hold before anybody is told. */
  sustainSeconds: z.number().nonnegative(),
});
export type HealthCondition = z.infer<typeof HealthCondition>;

export interface ItemFacts {
  readonly name: string;
  readonly createdAt: number;
  readonly rpoThresholdSeconds: number;
  /** 0: none are taken. */
  readonly applicationConsistentSeconds: number;
  /** How often its policy wants points; undefined: nobody knows. */
  readonly crashConsistentSeconds?: number | undefined;
  /** Of points that have every disk, like the next. */
  readonly newestPointAt: number | undefined;
  readonly newestApplicationConsistentAt: number | undefined;
  /** What the newest point of all lacks. */
  readonly missingDisks?: readonly { readonly path: string; readonly cause: MissingDisk['cause'] }[];
  /** When something of it was applied last. */
  readonly appliedAt?: number | undefined;
  readonly protectedPaths?: readonly string[];
  /** As its site reported them last. */
  readonly reportedDisks?: readonly ReportedDisk[] | undefined;
  /** Protection was enabled for all disks, not for some that somebody chose. */
  readonly wantsAllDisks?: boolean;
  /** The last failover, if it failed. */
  readonly failedFailover?: FailedJobFacts | undefined;
  /** The last failover or test, if that was a test that failed. */
  readonly failedTestFailover?: FailedJobFacts | undefined;
  /** Why the log processor cannot go on just now. */
  readonly paused?: HealthEvent | undefined;
  readonly disks: readonly {
    readonly diskId: string;
    readonly path?: string;
    readonly state: DiskState;
    readonly cause: ResyncCause | undefined;
  }[];
  readonly blocked:
    | {
        readonly code: string;
        readonly summary: string;
        readonly possibleCauses: string;
        readonly recommendedAction: string;
      }
    | undefined;
  /** Undefined: its site does not report machines. */
  readonly machineHeartbeatAt: number | undefined;
  /** What the site says of its machines it said then: a site that is silent says nothing about them. */
  readonly siteReportedAt?: number | undefined;
  /** Undefined where the item runs at the recovery site: nothing is replicated then. */
  readonly isReplicating: boolean;
  readonly lastTestFailoverAt: number | undefined;
  /** Since when a failover keeps its source out. */
  readonly fencedAt?: number | undefined;
  /** Of the machine at the recovery location, once it was seen off. */
  readonly machinePower?:
    | { readonly isOn: boolean; readonly why: string; readonly since: string }
    | undefined;
  /** When its source was heard of last, by the vault's clock, whatever the site's says. */
  readonly sourceHeardAt?: number | undefined;
}

export interface FailedJobFacts {
  readonly jobId: string;
  /** In the words of the reference: "Test failover". */
  readonly name: string;
  readonly endedAt: number;
  readonly summary: string;
  readonly possibleCauses: string;
  readonly recommendedAction: string;
}

export interface ProcessServerFacts {
  readonly name: string;
  readonly lastHeartbeatAt: number;
  /** As with machines. */
  readonly siteReportedAt?: number | undefined;
  readonly cpuPercent: number;
  readonly memoryUsedPercent: number;
  readonly spoolFreePercent: number;
  readonly pendingBytes: number;
  readonly uploadBytesPerSecond: number;
  /** What it says of itself. */
  readonly health?: readonly HealthEvent[];
}

export interface SiteFacts {
  readonly name: string;
  readonly lastReportAt: number | undefined;
  readonly registeredAt: number;
  /** What its configuration server says of itself. */
  readonly health?: readonly HealthEvent[];
}

/** A job that stands still until somebody resumes or cancels it. */
export interface SuspendedJobFacts {
  /** Of the job, in the words of the reference: "Test failover". */
  readonly name: string;
  readonly jobId: string;
  readonly targetName: string;
  readonly instructions: string;
}

export interface StoreFacts {
  readonly replicaFreePercent: number;
  readonly cacheFreePercent: number;
}

const minute = 60;
const day = 86_400;

/** The reference calls a component silent after 15 minutes. */
export const silentSeconds = 15 * minute;
/** From here on intake waits: the last tenth is kept for refine. */
const spoolFullPercent = 10;
/** A load counts when it holds for 15 minutes, as in the reference. */
const loadSustainSeconds = 15 * minute;
/** The reference recommends a test failover every six months. */
const rehearsalSeconds = 182 * day;
/** Without a new point for so many of their intervals, application-consistent points are said to fail. */
const applicationIntervalsMax = 3;

export function itemConditions(facts: ItemFacts, now: number): HealthCondition[] {
  const found: HealthCondition[] = [];
  const since = (moment: number) => (now - moment) / 1000;
  if (facts.blocked !== undefined)
    found.push({
      ...facts.blocked,
      category: 'Replication',
      severity: 'Critical',
      context: {},
      sustainSeconds: 0,
    });
  found.push(...sourceConditions(facts, now), ...machineConditions(facts, now));
  found.push(...failoverConditions(facts));
  if (!facts.isReplicating) return found;
  if (facts.paused !== undefined && facts.paused.code !== facts.blocked?.code)
    found.push({
      ...saidOf(facts.paused, 'Replication'),
      // Most of these are over at the next try.
      sustainSeconds: minute,
    });
  const missing = facts.missingDisks ?? [];
  if (missing.length > 0)
    found.push({
      code: 'DisksNotInRecoveryPoints',
      category: 'Replication',
      severity: 'Critical',
      summary: `recovery points of ${facts.name} lack ${missing.map(({ path, cause }) => `${path} (${cause})`).join(', ')}${facts.newestPointAt === undefined ? '; none has every disk' : `; the newest that has every disk is ${inWords(since(facts.newestPointAt))} old`}`,
      possibleCauses:
        'gone: the machine has no such disk now. unreadable: it answers with errors. comparing: it came back and is being compared with its copy.',
      recommendedAction:
        'Bring the disk back, or disable protection and enable it again without it. The other disks go on; a failover takes the newest point that has every disk unless another one is named.',
      context: { disks: missing.map(({ path }) => path).join(' ') },
      sustainSeconds: 0,
    });
  found.push(...diskConditions(facts, now));
  // Points that lack disks are none: what they lack is lost since protection began.
  const counted = facts.newestPointAt ?? (missing.length > 0 ? facts.createdAt : undefined);
  const rpoSeconds = counted === undefined ? undefined : since(counted);
  const waitsFor = [
    ...new Set([
      ...missing.map(({ path }) => path),
      ...facts.disks.flatMap(({ state, path }) => (state === 'in-sync' ? [] : (path ?? []))),
    ]),
  ];
  if (rpoSeconds !== undefined && rpoSeconds > facts.rpoThresholdSeconds)
    found.push({
      code: 'RpoExceeded',
      category: 'Replication',
      severity: rpoSeconds > 4 * facts.rpoThresholdSeconds ? 'Critical' : 'Warning',
      summary: `${facts.newestPointAt === undefined ? `${facts.name} has had no recovery point with every disk for ${inWords(rpoSeconds)}` : `the newest recovery point of ${facts.name} is ${inWords(rpoSeconds)} old`}; the policy allows ${inWords(facts.rpoThresholdSeconds)}${waitsFor.length === 0 ? '' : `; what is missing: ${waitsFor.join(', ')}`}`,
      possibleCauses:
        'The machine changes more than the line carries, a resync is running, or a part of the way to the vault stands still.',
      recommendedAction:
        'Look at the other conditions of this machine, its process server and its site; the oldest one is usually the cause. Give the line more room, or raise the threshold of the policy.',
      context: { rpoSeconds: Math.round(rpoSeconds), thresholdSeconds: facts.rpoThresholdSeconds },
      sustainSeconds: 0,
    });
  const quietSeconds = since(Math.max(facts.appliedAt ?? 0, facts.createdAt));
  if (counted === undefined && quietSeconds > facts.rpoThresholdSeconds)
    found.push({
      code: 'NothingArrives',
      category: 'Replication',
      severity: quietSeconds > 4 * facts.rpoThresholdSeconds ? 'Critical' : 'Warning',
      summary: `${facts.name} has no recovery point, and nothing of it has arrived for ${inWords(quietSeconds)}`,
      possibleCauses:
        'Its mobility service does not run or cannot reach its process server, or that one cannot reach the vault.',
      recommendedAction:
        'Look at the log of the mobility service, and at the conditions of its process server and its site.',
      context: { quietSeconds: Math.round(quietSeconds) },
      sustainSeconds: 0,
    });
  // The reference gives initial replication as long as it takes, and speaks up when nothing came of it for a day.
  if (facts.newestPointAt === undefined && since(facts.createdAt) > day)
    found.push({
      code: 'NoRecoveryPointYet',
      category: 'Replication',
      severity: 'Warning',
      summary: `${facts.name} has no recovery point ${inWords(since(facts.createdAt))} after protection was enabled`,
      possibleCauses: 'Initial replication is slow or stands still, or the mobility service does not run.',
      recommendedAction:
        'Look at the progress of initial replication and at the log of the mobility service.',
      context: {},
      sustainSeconds: 0,
    });
  const applicationDue = applicationIntervalsMax * facts.applicationConsistentSeconds;
  if (
    facts.applicationConsistentSeconds > 0 &&
    facts.newestPointAt !== undefined &&
    since(facts.newestApplicationConsistentAt ?? facts.createdAt) >
      Math.max(applicationDue, facts.rpoThresholdSeconds)
  )
    found.push({
      code: 'NoApplicationConsistentPoint',
      category: 'Replication',
      severity: 'Warning',
      summary: `${facts.name} had no application-consistent point for ${inWords(since(facts.newestApplicationConsistentAt ?? facts.createdAt))}; one is due every ${inWords(facts.applicationConsistentSeconds)}`,
      possibleCauses:
        'The scripts or the hook of its database fail, or its file systems do not freeze within the limit.',
      recommendedAction: 'Look at the events of the machine: each attempt that failed says why.',
      context: {},
      sustainSeconds: 0,
    });
  const resyncing = facts.disks.filter(({ state }) => state === 'resync');
  if (resyncing.length > 0)
    found.push({
      code: 'ResyncRequired',
      category: 'Replication',
      severity: 'Warning',
      summary: `${resyncing.length} disk${resyncing.length === 1 ? '' : 's'} of ${facts.name} ${resyncing.length === 1 ? 'is' : 'are'} being compared with the replica (${[...new Set(resyncing.map(({ cause }) => cause ?? 'unknown cause'))].join(', ')}); no new points meanwhile`,
      possibleCauses: 'Changes could not be followed for a while; the cause is named.',
      recommendedAction:
        'Nothing: it ends by itself. When the same cause comes again and again, docs/operations/resync.md says what to do.',
      context: { disks: resyncing.length },
      sustainSeconds: 0,
    });
  if (isSilent(facts.machineHeartbeatAt, facts.siteReportedAt, now))
    found.push({
      code: 'MobilityServiceSilent',
      category: 'Replication',
      severity: 'Critical',
      summary: `the mobility service on ${facts.name} has not been heard of for ${inWords(since(facts.machineHeartbeatAt!))}`,
      possibleCauses:
        'The machine is off, the service is stopped, or it cannot reach the configuration server.',
      recommendedAction: 'Start the machine or its service: `systemctl status leeward-mobility-service`.',
      context: {},
      sustainSeconds: 0,
    });
  if (
    facts.newestPointAt !== undefined &&
    since(facts.lastTestFailoverAt ?? facts.createdAt) > rehearsalSeconds
  )
    found.push({
      code: 'TestFailoverRecommended',
      category: 'TestFailover',
      severity: 'Information',
      summary: `${facts.name} was ${facts.lastTestFailoverAt === undefined ? 'never rehearsed' : `last rehearsed ${inWords(since(facts.lastTestFailoverAt))} ago`}`,
      possibleCauses: 'A recovery that was never tried is a hope.',
      recommendedAction: `Run a test failover: \`leeward protected-item test-failover ${facts.name} --wait\`.`,
      context: {},
      sustainSeconds: 0,
    });
  return found;
}

/** Both ends of a rehearsal or of the real thing: nobody must find out on the day that it cannot be done. */
function failoverConditions({ name, failedFailover, failedTestFailover }: ItemFacts): HealthCondition[] {
  const failed = (
    job: FailedJobFacts,
    told: Pick<HealthCondition, 'code' | 'category' | 'severity'>,
  ): HealthCondition => ({
    ...told,
    summary: `the last ${job.name.toLowerCase()} of ${name} failed: ${job.summary}`.slice(0, 2000),
    possibleCauses: job.possibleCauses,
    recommendedAction:
      `${job.recommendedAction} Then try again: this stays until one succeeds (\`leeward job show ${job.jobId}\`).`.slice(
        0,
        2000,
      ),
    context: { jobId: job.jobId },
    sustainSeconds: 0,
  });
  return [
    ...(failedFailover === undefined
      ? []
      : [
          failed(failedFailover, { code: 'FailoverFailed', category: 'Configuration', severity: 'Critical' }),
        ]),
    ...(failedTestFailover === undefined
      ? []
      : [
          failed(failedTestFailover, {
            code: 'TestFailoverFailed',
            category: 'TestFailover',
            severity: 'Warning',
          }),
        ]),
  ];
}

/** Points that were due and did not come before a disk that is not reported counts as gone: one may just be under way. */
const pointsDue = 2;

/** From the disks that the site reports: those that are protected and not there, and those that are there and not protected. */
function diskConditions(facts: ItemFacts, now: number): HealthCondition[] {
  const { name, reportedDisks, protectedPaths = [], missingDisks = [] } = facts;
  // A machine that is silent, or whose site is, says nothing of its disks.
  if (reportedDisks === undefined || isSilent(facts.machineHeartbeatAt, facts.siteReportedAt, now)) return [];
  const found: HealthCondition[] = [];
  const absent = protectedPaths.filter((path) => !reportedDisks.some((disk) => disk.path === path));
  const dueSeconds = pointsDue * (facts.crashConsistentSeconds ?? facts.rpoThresholdSeconds);
  const hasFreshPoint = (now - (facts.newestPointAt ?? facts.createdAt)) / 1000 <= dueSeconds;
  // A disk may be followed under another name: then points that have it go on.
  const gone = hasFreshPoint ? [] : absent.filter((path) => !missingDisks.some((disk) => disk.path === path));
  if (gone.length > 0)
    found.push({
      code: 'DiskNotReported',
      category: 'Replication',
      severity: 'Critical',
      summary: `${name} does not report ${gone.join(', ')} any more, which ${gone.length === 1 ? 'is' : 'are'} protected, and has no new recovery point`,
      possibleCauses: 'The disk was removed, its controller has failed, or it has another name now.',
      recommendedAction:
        'Bring the disk back. When it is gone for good, disable protection and enable it again without it.',
      context: { disks: gone.join(' ') },
      sustainSeconds: 0,
    });
  const shared = disksSharedWithOthers(reportedDisks, protectedPaths);
  if (shared.length > 0 && absent.length === 0)
    found.push({
      code: 'DataOnUnprotectedDisk',
      category: 'Replication',
      severity: 'Critical',
      summary: `data of ${name} lies on protected disks and on others together: ${shared.map(({ through, path }) => `${through} is also on ${path}`).join('; ')}`,
      possibleCauses:
        'A volume group, RAID or file system grew onto a disk that is not protected, or that was left out when protection was enabled.',
      recommendedAction:
        'Disable protection and enable it again with these disks. Until then what a failover starts cannot mount what is named.',
      context: { disks: [...new Set(shared.map(({ path }) => path))].join(' ') },
      sustainSeconds: 0,
    });
  const left = facts.wantsAllDisks
    ? disksLeftOut(reportedDisks, protectedPaths).filter(
        // One that is protected may be there under another name.
        ({ reason }) => reason !== undefined || absent.length === 0,
      )
    : [];
  if (left.length > 0)
    found.push({
      code: 'DiskNotProtected',
      category: 'Configuration',
      severity: 'Warning',
      summary:
        `${left.length === 1 ? 'a disk' : `${left.length} disks`} of ${name} ${left.length === 1 ? 'is' : 'are'} not protected: ${left.map(({ path, reason }) => `${path} (${reason ?? 'it was added after protection was enabled'})`).join(', ')}`.slice(
          0,
          2000,
        ),
      possibleCauses: 'It could not be protected when that was enabled for all disks, or it came later.',
      recommendedAction:
        'Put right what is named, then disable protection and enable it again. If it is right so, enable it with the disks that you choose (`--disk`).',
      context: { disks: left.map(({ path }) => path).join(' ') },
      sustainSeconds: 0,
    });
  return found;
}

/** What a part says of itself. */
function saidOf(event: HealthEvent, category: HealthCondition['category']): HealthCondition {
  const { code, summary, possibleCauses, recommendedAction, context } = event;
  const severity =
    event.severity === 'critical' || event.severity === 'error'
      ? ('Critical' as const)
      : event.severity === 'warning'
        ? ('Warning' as const)
        : ('Information' as const);
  return {
    ...{ code, category, severity, summary, possibleCauses, recommendedAction, context },
    sustainSeconds: 0,
  };
}

/** Of several events of one code one condition, which says all of them. */
function saidByItself(events: readonly HealthEvent[] = []): HealthCondition[] {
  return [...Map.groupBy(events, ({ code }) => code).values()].map((same) => ({
    ...saidOf(same[0]!, 'FabricInfrastructure'),
    summary: [...new Set(same.map(({ summary }) => summary))].join('; ').slice(0, 2000),
  }));
}

/**
 * The source of an item that is failed over is to be off. It is told of as long as it was heard of when its site spoke last:
 * a site that is silent says nothing of a machine that ran.
 */
function sourceConditions(
  { name, fencedAt, sourceHeardAt, siteReportedAt }: ItemFacts,
  now: number,
): HealthCondition[] {
  if (fencedAt === undefined || sourceHeardAt === undefined) return [];
  const spokenAt = Math.min(siteReportedAt ?? now, now);
  if (
    sourceHeardAt - fencedAt < sourceLatencyMilliseconds ||
    spokenAt - sourceHeardAt > sourceHeardMilliseconds
  )
    return [];
  return [
    {
      code: 'SourceRunsAgain',
      category: 'Replication',
      severity: 'Critical',
      summary: `the source of ${name} runs, and so does its copy at the recovery location: two of one machine`,
      possibleCauses:
        'The source was started again after the failover, came back with its site, or was never switched off.',
      recommendedAction: `Switch the source off. Or, when it is to go on there: \`leeward protected-item cancel-failover ${name} --wait\`. Nothing that it writes enters the item meanwhile.`,
      context: {},
      sustainSeconds: 0,
    },
  ];
}

/** A failed-over machine is the machine now: that it is off is critical, whoever wanted it. */
function machineConditions(
  { name, isReplicating, machinePower: power }: ItemFacts,
  now: number,
): HealthCondition[] {
  if (isReplicating || power === undefined || power.isOn) return [];
  return [
    {
      code: 'FailedOverMachineOff',
      category: 'Replication',
      severity: 'Critical',
      summary: `the failed-over machine of ${name} has not been running for ${inWords((now - Date.parse(power.since)) / 1000)}: ${power.why}`,
      possibleCauses:
        'Its host was restarted and it could not be started again, it crashed, its disks are full, or somebody switched it off.',
      recommendedAction:
        'Start it at the hypervisor (virsh start), after what is named was mended. If it is to stay off: cancel the failover, or disable protection.',
      context: {},
      // Started again within a moment, it is an event in the log and no alarm.
      sustainSeconds: 0,
    },
  ];
}

/** A heartbeat from before the failover may arrive this much later. */
const sourceLatencyMilliseconds = 15_000;
/** A machine speaks every 10 s, its site reports every 30 s. */
const sourceHeardMilliseconds = 60_000;

/**
 * Whether something at a site was silent for too long when the site spoke last. A site whose configuration server is away is
 * one condition, not one of each of its machines besides: they may be well, and replicate without it.
 */
function isSilent(heartbeatAt: number | undefined, siteReportedAt: number | undefined, now: number): boolean {
  const spokenAt = Math.min(siteReportedAt ?? now, now);
  return heartbeatAt !== undefined && (spokenAt - heartbeatAt) / 1000 > silentSeconds;
}

export function processServerConditions(facts: ProcessServerFacts, now: number): HealthCondition[] {
  const found: HealthCondition[] = [];
  const silence = (now - facts.lastHeartbeatAt) / 1000;
  if (isSilent(facts.lastHeartbeatAt, facts.siteReportedAt, now)) {
    found.push({
      code: 'ProcessServerSilent',
      category: 'FabricInfrastructure',
      severity: 'Critical',
      summary: `the process server ${facts.name} has not been heard of for ${inWords(silence)}`,
      possibleCauses: 'It is off or stopped, or it cannot reach the configuration server.',
      recommendedAction: 'Start it; its machines go on by themselves and nothing is compared anew.',
      context: {},
      sustainSeconds: 0,
    });
    // What it said last says nothing about now.
    return found;
  }
  found.push(...saidByItself(facts.health));
  if (facts.spoolFreePercent < spoolFullPercent)
    found.push({
      code: 'ProcessServerSpoolFull',
      category: 'FabricInfrastructure',
      severity: 'Critical',
      summary: `the spool of the process server ${facts.name} is full: ${Math.round(facts.spoolFreePercent)} % is free, and its machines wait`,
      possibleCauses:
        'The line to the vault is cut or slower than the changes come, cache storage is full, or the spool is too small.',
      recommendedAction:
        'Look at the line and at the conditions of the vault; enlarge the spool. Nothing is lost: machines wait, but have no new points meanwhile.',
      context: { percent: Math.round(facts.spoolFreePercent) },
      sustainSeconds: 0,
    });
  const level = (
    what: string,
    code: string,
    value: number,
    limits: { readonly warning: number; readonly critical: number },
    advice: string,
  ) => {
    const isBad = limits.warning < limits.critical ? value > limits.warning : value < limits.warning;
    const isCritical = limits.warning < limits.critical ? value > limits.critical : value < limits.critical;
    if (isBad)
      found.push({
        code,
        category: 'FabricInfrastructure',
        severity: isCritical ? 'Critical' : 'Warning',
        summary: `the process server ${facts.name} has ${Math.round(value)} % ${what}`,
        possibleCauses: 'More machines, or more changes, than it was sized for.',
        recommendedAction: advice,
        context: { percent: Math.round(value) },
        sustainSeconds: loadSustainSeconds,
      });
  };
  level(
    'of its processors in use',
    'ProcessServerCpuHigh',
    facts.cpuPercent,
    { warning: 80, critical: 95 },
    'Give it more processors, or move machines to another process server.',
  );
  level(
    'of its memory in use',
    'ProcessServerMemoryHigh',
    facts.memoryUsedPercent,
    { warning: 80, critical: 95 },
    'Give it more memory, or move machines to another process server.',
  );
  level(
    'of its spool free',
    'ProcessServerSpoolLow',
    facts.spoolFreePercent,
    { warning: 30, critical: 25 },
    'Give the line to the vault more room, or the spool a larger disk.',
  );
  const backlogSeconds =
    facts.pendingBytes === 0
      ? 0
      : facts.uploadBytesPerSecond === 0
        ? Number.POSITIVE_INFINITY
        : facts.pendingBytes / facts.uploadBytesPerSecond;
  if (backlogSeconds > 30 * minute)
    found.push({
      code: 'UploadBacklog',
      category: 'FabricInfrastructure',
      severity: backlogSeconds > 45 * minute ? 'Critical' : 'Warning',
      summary: `what waits at the process server ${facts.name} takes ${Number.isFinite(backlogSeconds) ? inWords(backlogSeconds) : 'for ever'} to upload at its present rate`,
      possibleCauses: 'The line to the vault is slow, cut or throttled.',
      recommendedAction: 'Check the line and the throttle of the process server.',
      context: { pendingBytes: facts.pendingBytes },
      sustainSeconds: 5 * minute,
    });
  return found;
}

export function siteConditions(facts: SiteFacts, now: number): HealthCondition[] {
  const silence = (now - (facts.lastReportAt ?? facts.registeredAt)) / 1000;
  if (silence <= silentSeconds) return saidByItself(facts.health);
  return [
    {
      code: 'ConfigurationServerSilent',
      category: 'FabricInfrastructure',
      severity: 'Critical',
      summary: `the configuration server of ${facts.name} has not been heard of for ${inWords(silence)}`,
      possibleCauses:
        'The site is down, its configuration server is stopped, or its way out to the vault is blocked.',
      recommendedAction:
        'If the site is lost, fail its machines over. Otherwise start the configuration server; replication goes on without it.',
      context: {},
      sustainSeconds: 0,
    },
  ];
}

export function jobConditions({
  name,
  jobId,
  targetName,
  instructions,
}: SuspendedJobFacts): HealthCondition[] {
  return [
    {
      code: 'JobWaits',
      category: 'Configuration',
      severity: 'Warning',
      summary: `${name} of ${targetName} waits for a person`,
      possibleCauses:
        'A manual action of a plan, or a step that failed and cannot be undone without a decision.',
      recommendedAction: `${instructions.slice(0, 1500)} (\`leeward job resume ${jobId}\`, or \`leeward job cancel ${jobId}\`)`,
      context: { jobId },
      // Whoever started it and sits before it is not sent a mail for each step.
      sustainSeconds: minute,
    },
  ];
}

export function storeConditions(facts: StoreFacts): HealthCondition[] {
  const low = (code: string, what: string, percent: number, advice: string): HealthCondition[] =>
    percent >= 20
      ? []
      : [
          {
            code,
            category: 'Configuration',
            severity: percent < 10 ? 'Critical' : 'Warning',
            summary: `${Math.round(percent)} % of ${what} is free`,
            possibleCauses: 'More machines, more changes or a longer history than it was sized for.',
            recommendedAction: advice,
            context: { percent: Math.round(percent) },
            sustainSeconds: 0,
          },
        ];
  return [
    ...low(
      'ReplicaStoreLow',
      'the replica store',
      facts.replicaFreePercent,
      'Add disk to the volume, shorten the history of a policy, or clean test failovers up.',
    ),
    ...low(
      'CacheStorageLow',
      'cache storage',
      facts.cacheFreePercent,
      'Look why segments are not applied (the events of the machines say it), or add disk.',
    ),
  ];
}

/** A condition that is kept. */
export interface KeptCondition {
  readonly condition: HealthCondition;
  readonly seenAt: number;
  /** Undefined: nobody was told. */
  readonly raisedAt: number | undefined;
}

export interface ConditionChanges {
  /** New, but not to be told yet. */
  readonly begin: readonly HealthCondition[];
  /** To be told now, whether it was kept or not. */
  readonly raise: readonly HealthCondition[];
  /** Still true, said differently. */
  readonly refresh: readonly HealthCondition[];
  readonly clear: readonly KeptCondition[];
}

/** What changes about one object, by code. */
export function planChanges(
  kept: readonly KeptCondition[],
  holds: readonly HealthCondition[],
  now: number,
): ConditionChanges {
  const keptByCode = new Map(kept.map((each) => [each.condition.code, each]));
  const changes = {
    begin: [] as HealthCondition[],
    raise: [] as HealthCondition[],
    refresh: [] as HealthCondition[],
  };
  for (const condition of holds) {
    const known = keptByCode.get(condition.code);
    const heldSeconds = known === undefined ? 0 : (now - known.seenAt) / 1000;
    if (known?.raisedAt === undefined && heldSeconds >= condition.sustainSeconds)
      changes.raise.push(condition);
    else if (known === undefined) changes.begin.push(condition);
    else if (JSON.stringify(known.condition) !== JSON.stringify(condition))
      // A warning that becomes critical is news.
      (known.raisedAt !== undefined && known.condition.severity !== condition.severity
        ? changes.raise
        : changes.refresh
      ).push(condition);
  }
  const holding = new Set(holds.map(({ code }) => code));
  return { ...changes, clear: kept.filter(({ condition }) => !holding.has(condition.code)) };
}

/** For people: the two largest units say enough. */
export function inWords(seconds: number): string {
  if (seconds < 2 * minute) return `${Math.round(seconds)} s`;
  if (seconds < 2 * 3600) return `${Math.round(seconds / minute)} min`;
  if (seconds < 2 * day) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / day)} days`;
}
