/**
 * Health: every half minute looks at every item, site, store and waiting job, and keeps what is wrong: raised once, refreshed
 * while it holds, cleared when it is over. Takes no input; two vault processes that look at the same time come to the same
 * rows.
 *
 *     store ─ facts ─▶ conditions (health/conditions.ts) ─ changes ─▶ health_conditions, health_changes ─▶ notify
 *                                                                   └▶ item_history (RPO, churn)
 */
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Labels, Metrics } from '../../platform/metrics.ts';
import type { Database } from '../../platform/mysql.ts';
import { repeat } from '../../platform/repeat.ts';
import { childId } from '../../protocol/arm/resource-id.ts';
import type { ReportedProcessServer } from '../../protocol/control/site-link.ts';
import {
  HealthCondition,
  itemConditions,
  jobConditions,
  type ProcessServerFacts,
  planChanges,
  processServerConditions,
  type StoreFacts,
  siteConditions,
  storeConditions,
} from '../health/conditions.ts';
import { machineCopied } from '../health/machine-copied.ts';
import { healthChangesKeptDays, healthMilliseconds, pageMax } from '../limits.ts';
import * as conditions from '../store/conditions.ts';
import * as facts from '../store/health-facts.ts';
import * as history from '../store/item-history.ts';
import { countUnfinished, suspendedIn } from '../store/jobs.ts';
import * as sites from '../store/sites.ts';

export interface PolicyTimes {
  readonly rpoThresholdSeconds: number;
  readonly crashConsistentSeconds?: number;
  /** 0: none. */
  readonly applicationConsistentSeconds: number;
}

export interface HealthParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly policyTimes: (policyId: string) => Promise<PolicyTimes>;
  /** Resource ids of all vaults. */
  readonly vaultIds: () => Promise<readonly string[]>;
  readonly storeFacts: () => Promise<StoreFacts>;
  /** Something was raised or cleared. */
  readonly onChange: () => void;
}

export class HealthReconciler {
  readonly #parts: HealthParts;

  constructor(parts: HealthParts) {
    this.#parts = parts;
  }

  run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const onFailure = (error: unknown) => log.warn('health-failed', { error });
    return repeat({ clock, signal, pauseMilliseconds: healthMilliseconds, onFailure }, () => this.pass());
  }

  /** Once over everything. */
  async pass(): Promise<void> {
    const { database, clock } = this.#parts;
    const seen = new Set<string>();
    await this.#items(seen);
    for (const vaultId of await this.#parts.vaultIds()) await this.#vault(vaultId, seen);
    await this.#forget(seen);
    await this.#figures();
    const now = clock.now();
    await history.sample(database, now);
    await history.thin(database, now);
    await conditions.trimChanges(database, new Date(now - healthChangesKeptDays * 86_400_000).toISOString());
  }

  /** What is true now, for who draws curves of it. */
  async #figures(): Promise<void> {
    const { database, metrics, storeFacts } = this.#parts;
    const by = (name: string, label: string, help: string, counts: ReadonlyMap<string, number>) =>
      metrics.gauge(name, help).replace([...counts].map(([value, count]) => [{ [label]: value }, count]));
    const raised = await conditions.countRaised(database);
    // A level at which nothing holds is a zero and not a hole.
    const levels = HealthCondition.shape.severity.options.map((level) => [level, raised.get(level) ?? 0]);
    by(
      'leeward_conditions',
      'severity',
      'health conditions that hold',
      new Map(levels as [string, number][]),
    );
    by('leeward_jobs_unfinished', 'state', 'jobs that have not ended', await countUnfinished(database));
    const { replicaFreePercent, cacheFreePercent } = await storeFacts();
    const free = [
      [{ store: 'replica' }, replicaFreePercent],
      [{ store: 'cache' }, cacheFreePercent],
    ] as const;
    metrics.gauge('leeward_store_free_percent', 'room in the stores of the vault').replace(free);
  }

  async #items(seen: Set<string>): Promise<void> {
    const { database, clock, metrics, policyTimes } = this.#parts;
    // Policies are few and shared: each is read once a pass.
    const policies = new Map<string, Promise<PolicyTimes>>();
    const timesOf = (policyId: string) => {
      const known = policies.get(policyId.toLowerCase()) ?? policyTimes(policyId);
      policies.set(policyId.toLowerCase(), known);
      return known;
    };
    const rpo: (readonly [Labels, number])[] = [];
    let count = 0;
    for (let after = 0; ; ) {
      const page = await facts.items(database, { after, limit: pageMax });
      const looked: Looked[] = [];
      for (const item of page) {
        const now = clock.now();
        looked.push([
          item,
          [
            ...itemConditions({ ...item, ...(await timesOf(item.policyId)) }, now),
            ...machineCopied(item.name, item.machineCopies),
          ],
        ]);
        // The registry is bounded; beyond that many items the vault's own figures and history serve.
        if (item.newestPointAt !== undefined && count < metricItemsMax)
          rpo.push([
            { item: item.name, site: item.id.split('/')[10] ?? '', vault: nameOf(item.vaultId) },
            (now - item.newestPointAt) / 1000,
          ]);
        count += 1;
      }
      await this.#keep(looked, seen);
      if (page.length < pageMax) break;
      after = page.at(-1)!.key;
    }
    metrics.gauge('leeward_items', 'protected items').set(count);
    metrics.gauge('leeward_item_rpo_seconds', 'age of the newest recovery point').replace(rpo);
  }

  async #vault(vaultId: string, seen: Set<string>): Promise<void> {
    const { database, clock, storeFacts } = this.#parts;
    const now = clock.now();
    const looked: Looked[] = [
      [{ id: vaultId, name: nameOf(vaultId), vaultId }, storeConditions(await storeFacts())],
    ];
    for (const site of await sites.list(database, vaultId.toLowerCase())) {
      const fabricId = childId(vaultId, 'replicationFabrics', site.fabricName);
      const facts = {
        name: site.fabricName,
        registeredAt: Date.parse(site.registeredAt),
        lastReportAt: site.lastReportAt === undefined ? undefined : Date.parse(site.lastReportAt),
        health: site.configurationServer?.health ?? [],
      };
      looked.push([{ id: fabricId, name: site.fabricName, vaultId }, siteConditions(facts, now)]);
      for (const server of await sites.listProcessServers(database, site.siteId))
        looked.push([
          { id: childId(fabricId, 'processServers', server.name), name: server.name, vaultId },
          processServerConditions({ ...processServerFacts(server), siteReportedAt: facts.lastReportAt }, now),
        ]);
    }
    for (const job of await suspendedIn(database, vaultId, pageMax))
      looked.push([
        { id: childId(vaultId, 'replicationJobs', job.jobId), name: job.name, vaultId },
        jobConditions(job),
      ]);
    await this.#keep(looked, seen);
  }

  async #keep(looked: readonly Looked[], seen: Set<string>): Promise<void> {
    const { database, clock, metrics, log, onChange } = this.#parts;
    const kept = await conditions.keptOf(
      database,
      looked.map(([{ id }]) => id),
    );
    const raised = metrics.counter(
      'leeward_conditions_raised_total',
      'health conditions that began, by code',
    );
    for (const [object, holds] of looked) {
      const key = object.id.toLowerCase();
      seen.add(key);
      const now = clock.now();
      const changes = planChanges(kept.get(key) ?? [], holds, now);
      if (Object.values(changes).every((list) => list.length === 0)) continue;
      await conditions.keep(database, object, changes, new Date(now).toISOString());
      for (const { code, severity, summary } of changes.raise) {
        raised.add(1, { code });
        log.info('condition-raised', { objectId: object.id, code, severity, summary });
      }
      for (const { condition, raisedAt } of changes.clear)
        if (raisedAt !== undefined)
          log.info('condition-cleared', { objectId: object.id, code: condition.code });
      if (changes.raise.length + changes.clear.length > 0) onChange();
    }
  }

  /** Conditions of what is not there any more end with it. */
  async #forget(seen: Set<string>): Promise<void> {
    const gone = (await conditions.objectIds(this.#parts.database, objectsMax)).filter(
      (id) => !seen.has(id.toLowerCase()),
    );
    for (let first = 0; first < gone.length; first += pageMax)
      await this.#keep(
        gone
          .slice(first, first + pageMax)
          .map((id) => [{ id, name: nameOf(id), vaultId: id.split('/').slice(0, 9).join('/') }, []]),
        seen,
      );
  }
}

type Looked = readonly [conditions.HealthObject, readonly HealthCondition[]];

/** Series of one metric; `Metrics` allows 10,000. */
const metricItemsMax = 5_000;
/** Objects with conditions looked through in a pass: every item of ten thousand, and its servers. */
const objectsMax = 20_000;

const nameOf = (id: string): string => id.split('/').at(-1) ?? '';

function processServerFacts(server: ReportedProcessServer): ProcessServerFacts {
  return {
    name: server.name,
    lastHeartbeatAt: Date.parse(server.lastHeartbeatAt),
    cpuPercent: server.cpuPercent,
    memoryUsedPercent: percent(
      server.memoryTotalBytes - server.memoryAvailableBytes,
      server.memoryTotalBytes,
      0,
    ),
    spoolFreePercent: percent(server.spoolFreeBytes, server.spoolTotalBytes, 100),
    pendingBytes: server.pendingBytes,
    uploadBytesPerSecond: server.uploadBytesPerSecond,
    health: server.health,
  };
}

const percent = (part: number, whole: number, otherwise: number): number =>
  whole <= 0 ? otherwise : (part / whole) * 100;
