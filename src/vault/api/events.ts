/**
 * Events: what happened, newest first, out of two streams that are kept anyway: what the data plane noticed of items, and how
 * jobs ended. They are merged while they are read; each stream goes on where its own last shown event was.
 *
 *     items' events (by arrival) ──┐
 *                                  ├─▶ the later of the two heads ─▶ fits the filter? ─▶ page
 *     ended jobs (newest first) ───┘
 */
import { HealthEvent } from '../../model/health.ts';
import type { ProtectedItemId } from '../../model/ids.ts';
import { parse } from '../../platform/settings.ts';
import { parseFilter } from '../../protocol/arm/filter.ts';
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import { pageKey } from '../jobs/job-store.ts';
import { endedStates, type Job } from '../jobs/jobs.ts';
import * as items from '../store/protected-items.ts';
import { json } from '../store/rows.ts';
import { healthError } from './health-error.ts';
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
  const fabricId = item.id.split('/').slice(0, 11).join('/');
  return {
    eventCode: event.code,
    description: event.summary,
    eventType: 'VmHealth',
    affectedObjectFriendlyName: item.friendlyName,
    affectedObjectCorrelationId: item.itemId ?? '',
    severity: severities[event.severity],
    timeOfOccurrence: event.raisedAt,
    fabricId,
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
    ...(/\/replicationFabrics\//i.test(job.target.id)
      ? { fabricId: job.target.id.split('/').slice(0, 11).join('/') }
      : {}),
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

  const itemEvents = async (vaultId: string, before: number | undefined): Promise<ItemEvent[]> => {
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
    return rows.flatMap((row) => {
      const item = known.get(String(row.item_id));
      const event = parse(HealthEvent, json(row.event), 'events');
      return item === undefined ? [] : [{ eventId: Number(row.event_id), item, event }];
    });
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
      const [fromItems, fromJobs] = (after ?? '|').split('|') as [string, string];
      const one = new Stream<ItemEvent>(
        fromItems,
        async (cursor) => {
          const found = await itemEvents(vaultId, cursor === '' ? undefined : Number(cursor));
          return { found, isLast: found.length < chunk };
        },
        ({ eventId }) => String(eventId),
      );
      const two = new Stream<Job>(
        fromJobs,
        async (cursor) => {
          const page = await jobs.list(
            { vaultId, states: endedStates, topLevelOnly: true },
            { limit: chunk, ...(cursor === '' ? {} : { after: cursor }) },
          );
          return { found: page.jobs, isLast: page.next === undefined };
        },
        pageKey,
      );
      const page: unknown[] = [];
      for (let looked = 0; looked < lookedThroughMax; looked++) {
        const [item, job] = [await one.head(), await two.head()];
        if (item === undefined && job === undefined) return { page };
        if (page.length === limit) break;
        if (
          job === undefined ||
          (item !== undefined && item.event.raisedAt >= (job.endedAt ?? job.createdAt))
        ) {
          one.take();
          const properties = itemEventProperties(item!);
          if (fits(properties, filter))
            page.push(resourceView(eventId(vaultId, `VmMonitoringEvent;${item!.eventId}`), properties));
        } else {
          two.take();
          const properties = jobEventProperties(job);
          if (fits(properties, filter))
            page.push(resourceView(eventId(vaultId, `JobStatus;${job.jobId}`), properties));
        }
      }
      return { page, next: `${one.cursor}|${two.cursor}` };
    },
    'replicationEvents.get': async (request) => {
      const vaultId = vaultOf(request);
      const name = request.parameters.eventName!;
      const id = eventId(vaultId, name);
      const [, kind, key] = /^([A-Za-z]+);([^;_]+)/.exec(name) ?? [];
      if (kind?.toLowerCase() === 'jobstatus') {
        const job = await jobs.get(key!);
        if (job !== undefined && idKey(job.vaultId) === idKey(vaultId) && job.endedAt !== undefined)
          return { body: resourceView(eventId(vaultId, `JobStatus;${job.jobId}`), jobEventProperties(job)) };
      } else if (/^\d{1,15}$/.test(key ?? '')) {
        const found = (await itemEvents(vaultId, Number(key) + 1))[0];
        if (found?.eventId === Number(key))
          return {
            body: resourceView(
              eventId(vaultId, `VmMonitoringEvent;${found!.eventId}`),
              itemEventProperties(found!),
            ),
          };
      }
      throw notFound(id);
    },
  };
}

const eventId = (vaultId: string, name: string) => childId(vaultId, 'replicationEvents', name);

/** A list that is read in chunks and taken from one by one; `cursor` is behind the last one taken. */
class Stream<T> {
  cursor: string;
  readonly #read: (cursor: string) => Promise<{ readonly found: readonly T[]; readonly isLast: boolean }>;
  readonly #cursorOf: (one: T) => string;
  #held: readonly T[] = [];
  #at = 0;
  #isLast = false;

  constructor(
    cursor: string,
    read: (cursor: string) => Promise<{ readonly found: readonly T[]; readonly isLast: boolean }>,
    cursorOf: (one: T) => string,
  ) {
    this.cursor = cursor;
    this.#read = read;
    this.#cursorOf = cursorOf;
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
    this.cursor = this.#cursorOf(this.#held[this.#at]!);
    this.#at++;
  }
}
