/**
 * Events: what happened, newest first, out of three streams that are kept anyway: what the data plane noticed of items, health
 * conditions that were raised or cleared, and how jobs ended. They are merged while they are read; each stream goes on where
 * its own last shown event was.
 *
 *     items' events ──┐
 *     health changes ─┼─▶ the latest of the heads ─▶ fits the filter? ─▶ page
 *     ended jobs ─────┘
 */
import { HealthEvent } from '../../model/health.ts';
import type { ProtectedItemId } from '../../model/ids.ts';
import { parse } from '../../platform/settings.ts';
import { parseFilter } from '../../protocol/arm/filter.ts';
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import { pageKey } from '../jobs/job-store.ts';
import { endedStates, type Job } from '../jobs/jobs.ts';
import * as conditions from '../store/conditions.ts';
import * as items from '../store/protected-items.ts';
import { json } from '../store/rows.ts';
import { conditionError, healthError } from './health-error.ts';
import { moment } from './job-query.ts';
import { type NounParts, notFound, resourceView, vaultOf } from './noun.ts';
import type { Handlers } from './operation.ts';
import { pageOf } from './paging.ts';
import { fabricNameOf } from './site-reader.ts';

const filterFields = [
  'eventCode',
  'severity',
  'eventType',
  'fabricName',
  'affectedObjectFriendlyName',
  'affectedObjectCorrelationId',
  'startTime',
  'endTime',
] as const;
type EventFilter = Partial<Record<(typeof filterFields)[number], string>>;

interface ItemEvent {
  readonly eventId: number;
  readonly item: items.ItemResource;
  readonly event: HealthEvent;
}

/** Read at once of each stream. */
const chunk = 200;
/** Events looked through for one page of those that fit, before what was found is answered as it is. */
const lookedThroughMax = 5000;

const severities = {
  information: 'OK',
  warning: 'Warning',
  error: 'Critical',
  critical: 'Critical',
} as const;
const jobSeverities: Partial<Record<Job['state'], string>> = {
  Succeeded: 'OK',
  Failed: 'Critical',
  Cancelled: 'Warning',
};

function itemEventProperties({ item, event }: ItemEvent) {
  return {
    eventCode: event.code,
    description: event.summary,
    eventType: 'VmHealth',
    affectedObjectFriendlyName: item.friendlyName,
    affectedObjectCorrelationId: item.itemId ?? '',
    severity: severities[event.severity],
    timeOfOccurrence: event.raisedAt,
    ...fabricIdOf(item.id),
    providerSpecificDetails:
      item.instanceType === 'InMageRcm'
        ? {
            instanceType: 'InMageRcm',
            protectedItemName: item.name,
            vmName: item.friendlyName,
            fabricName: item.fabricName,
            serverType: '',
            componentDisplayName: 'Replication',
          }
        : {
            instanceType: 'InMageAzureV2',
            eventType: 'VmHealth',
            category: 'Replication',
            component: 'Replication',
            correctiveAction: event.recommendedAction,
            details: event.possibleCauses,
            summary: event.summary,
            siteName: item.fabricName,
          },
    healthErrors: event.severity === 'information' ? [] : [healthError(event, item.id)],
  };
}

function jobEventProperties(job: Job) {
  const error = job.errors[0];
  return {
    eventCode: `${job.scenarioName}${job.state}`,
    description: `${job.friendlyName} - ${job.state}`,
    eventType: 'JobStatus',
    affectedObjectFriendlyName: job.target.name,
    affectedObjectCorrelationId: job.target.id,
    severity: jobSeverities[job.state] ?? 'OK',
    timeOfOccurrence: job.endedAt ?? job.createdAt,
    ...fabricIdOf(job.target.id),
    eventSpecificDetails: {
      instanceType: 'JobStatus',
      jobId: childId(job.vaultId, 'replicationJobs', job.jobId),
      jobFriendlyName: job.friendlyName,
      jobStatus: job.state,
      affectedObjectType: job.target.type,
    },
    healthErrors: error === undefined ? [] : [healthError(error, job.target.id)],
  };
}

/** A condition that began or ended; its severity is OK when it ended. */
function healthEventProperties({ id, name, kind, condition, at, ...rest }: conditions.HealthChange) {
  const error = conditionError({ id, name, vaultId: rest.vaultId, condition, raisedAt: at });
  const hasEnded = kind === 'Cleared';
  return {
    eventCode: condition.code,
    description: hasEnded ? `over: ${condition.summary}` : condition.summary,
    eventType: /\/replicationProtectedItems\//i.test(id) ? 'VmHealth' : 'ServerHealth',
    affectedObjectFriendlyName: name,
    affectedObjectCorrelationId: id,
    severity: hasEnded || condition.severity === 'Information' ? 'OK' : condition.severity,
    timeOfOccurrence: at,
    ...fabricIdOf(id),
    healthErrors: hasEnded ? [] : [error],
  };
}

const fabricIdOf = (id: string): { fabricId?: string } =>
  /\/replicationFabrics\//i.test(id) ? { fabricId: id.split('/').slice(0, 11).join('/') } : {};

interface EventProperties {
  readonly eventCode: string;
  readonly severity: string;
  readonly eventType: string;
  readonly affectedObjectFriendlyName: string;
  readonly affectedObjectCorrelationId: string;
  readonly timeOfOccurrence: string;
  readonly fabricId?: string;
}

function fits(event: EventProperties, filter: EventFilter): boolean {
  const same = (wish: string | undefined, value: string) =>
    wish === undefined || wish.split(',').some((one) => one.trim().toLowerCase() === value.toLowerCase());
  return (
    same(filter.eventCode, event.eventCode) &&
    same(filter.severity, event.severity) &&
    same(filter.eventType, event.eventType) &&
    same(filter.fabricName, fabricNameOf(event.fabricId ?? '')) &&
    same(filter.affectedObjectFriendlyName, event.affectedObjectFriendlyName) &&
    same(filter.affectedObjectCorrelationId, event.affectedObjectCorrelationId) &&
    (filter.startTime === undefined || event.timeOfOccurrence >= filter.startTime) &&
    (filter.endTime === undefined || event.timeOfOccurrence <= filter.endTime)
  );
}

export function events(parts: NounParts): Handlers {
  const { database, jobs } = parts;

  const itemEvents = async (
    vaultId: string,
    before: number | undefined,
  ): Promise<{ readonly found: ItemEvent[]; readonly isLast: boolean }> => {
    const rows = await database.rows(
      `SELECT e.event_id, e.item_id, e.event FROM events e JOIN item_resources r ON r.item_id = e.item_id
       WHERE r.vault_key = ? AND e.event_id < ? ORDER BY e.event_id DESC LIMIT ?`,
      [idKey(vaultId), before ?? Number.MAX_SAFE_INTEGER, chunk],
    );
    const known = new Map<string, items.ItemResource>();
    for (const itemId of new Set(rows.map((row) => String(row.item_id)))) {
      const item = await items.byItemId(database, itemId as ProtectedItemId);
      if (item) known.set(itemId, item);
    }
    const found = rows.flatMap((row) => {
      const item = known.get(String(row.item_id));
      const event = parse(HealthEvent, json(row.event), 'events');
      return item === undefined ? [] : [{ eventId: Number(row.event_id), item, event }];
    });
    // Of an item that was removed meanwhile there is nothing to say, but the stream goes on.
    return { found, isLast: rows.length < chunk };
  };

  return {
    'replicationEvents.list': async (request) => {
      const vaultId = vaultOf(request);
      const asked = parseFilter(request.query.get('$filter'), filterFields);
      const filter = {
        ...asked,
        ...(asked.startTime && { startTime: moment(asked.startTime, 'startTime')! }),
        ...(asked.endTime && { endTime: moment(asked.endTime, 'endTime')! }),
      };
      const { limit, after } = pageOf(request);
      const [fromItems = '', fromHealth = '', fromJobs = ''] = (after ?? '').split('|');
      const streams = [
        new Stream<Happened>(fromItems, async (cursor) => {
          const page = await itemEvents(vaultId, cursor === '' ? undefined : Number(cursor));
          return { ...page, found: page.found.map((one) => ofItem(vaultId, one)) };
        }),
        new Stream<Happened>(fromHealth, async (cursor) => {
          const found = await conditions.changesBefore(database, {
            vaultId,
            limit: chunk,
            ...(cursor === '' ? {} : { before: Number(cursor) }),
          });
          return { found: found.map((one) => ofHealth(vaultId, one)), isLast: found.length < chunk };
        }),
        new Stream<Happened>(fromJobs, async (cursor) => {
          const page = await jobs.list(
            { vaultId, states: endedStates, topLevelOnly: true },
            { limit: chunk, ...(cursor === '' ? {} : { after: cursor }) },
          );
          return { found: page.jobs.map((one) => ofJob(vaultId, one)), isLast: page.next === undefined };
        }),
      ];
      const page: unknown[] = [];
      for (let looked = 0; looked < lookedThroughMax; looked++) {
        let latest: { stream: Stream<Happened>; head: Happened } | undefined;
        for (const stream of streams) {
          const head = await stream.head();
          if (head === undefined) continue;
          if (
            latest === undefined ||
            head.properties.timeOfOccurrence > latest.head.properties.timeOfOccurrence
          )
            latest = { stream, head };
        }
        if (latest === undefined) return { page };
        if (page.length === limit) break;
        latest.stream.take();
        if (fits(latest.head.properties, filter))
          page.push(resourceView(latest.head.id, latest.head.properties));
      }
      return { page, next: streams.map(({ cursor }) => cursor).join('|') };
    },
    'replicationEvents.get': async (request) => {
      const vaultId = vaultOf(request);
      const name = request.parameters.eventName!;
      const id = eventId(vaultId, name);
      const [, kind = '', key = ''] = /^([A-Za-z]+);([^;_]+)/.exec(name) ?? [];
      const number = /^\d{1,15}$/.test(key) ? Number(key) : undefined;
      let found: Happened | undefined;
      if (kind.toLowerCase() === 'jobstatus') {
        const job = await jobs.get(key);
        if (job !== undefined && idKey(job.vaultId) === idKey(vaultId) && job.endedAt !== undefined)
          found = ofJob(vaultId, job);
      } else if (kind.toLowerCase() === 'health' && number !== undefined) {
        const [change] = await conditions.changesBefore(database, { vaultId, before: number + 1, limit: 1 });
        if (change?.changeId === number) found = ofHealth(vaultId, change);
      } else if (number !== undefined) {
        const event = (await itemEvents(vaultId, number + 1)).found[0];
        if (event?.eventId === number) found = ofItem(vaultId, event);
      }
      if (found === undefined) throw notFound(id);
      return { body: resourceView(found.id, found.properties) };
    },
  };
}

/** One event, with the cursor behind it. */
interface Happened {
  readonly id: string;
  readonly cursor: string;
  readonly properties: EventProperties;
}

const ofItem = (vaultId: string, event: ItemEvent): Happened => ({
  id: eventId(vaultId, `VmMonitoringEvent;${event.eventId}`),
  cursor: String(event.eventId),
  properties: itemEventProperties(event),
});
const ofHealth = (vaultId: string, change: conditions.HealthChange): Happened => ({
  id: eventId(vaultId, `Health;${change.changeId}`),
  cursor: String(change.changeId),
  properties: healthEventProperties(change),
});
const ofJob = (vaultId: string, job: Job): Happened => ({
  id: eventId(vaultId, `JobStatus;${job.jobId}`),
  cursor: pageKey(job),
  properties: jobEventProperties(job),
});

const eventId = (vaultId: string, name: string) => childId(vaultId, 'replicationEvents', name);

/** A list that is read in chunks and taken from one by one; `cursor` is behind the last one taken. */
class Stream<T extends { readonly cursor: string }> {
  cursor: string;
  readonly #read: (cursor: string) => Promise<{ readonly found: readonly T[]; readonly isLast: boolean }>;
  #held: readonly T[] = [];
  #at = 0;
  #isLast = false;

  constructor(
    cursor: string,
    read: (cursor: string) => Promise<{ readonly found: readonly T[]; readonly isLast: boolean }>,
  ) {
    this.cursor = cursor;
    this.#read = read;
  }

  async head(): Promise<T | undefined> {
    if (this.#at === this.#held.length && !this.#isLast) {
      const { found, isLast } = await this.#read(this.cursor);
      this.#held = found;
      this.#at = 0;
      this.#isLast = isLast;
    }
    return this.#held[this.#at];
  }

  take(): void {
    this.cursor = this.#held[this.#at]!.cursor;
    this.#at++;
  }
}
