/**
 * The audit trail in the shape of the reference's activity log, so that `az monitor activity-log list` reads it:
 *
 *     GET /subscriptions/{s}/providers/Microsoft.Insights/eventtypes/management/values?$filter=eventTimestamp ge '…' and …
 */
import type { AuditEntries, AuditQuery, StoredAuditEntry } from '../store/audit-entries.ts';
import { errors } from './errors.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';

export interface ActivityLogParts {
  readonly entries: AuditEntries;
  readonly subscriptionId: string;
  readonly tenantId: string;
}

export function activityLogHandlers(parts: ActivityLogParts): Handlers {
  return {
    'activityLogs.list': async (request) => {
      const { limit, after } = pageOf(request);
      if (after !== undefined && !/^\d{1,15}$/.test(after))
        throw errors.InvalidQueryParameter('$skipToken', 'it is not a token of this list');
      const found = await parts.entries.list({
        ...queryOf(request, parts.subscriptionId),
        before: after === undefined ? undefined : Number(after),
        limit: limit + 1,
      });
      const page = found.slice(0, limit);
      return {
        page: page.map((entry) => eventOf(entry, parts)),
        next: found.length > limit ? String(page.at(-1)!.entryId) : undefined,
      };
    },
  };
}

/** What the reference's filter knows; what says nothing here (channels, levels of everything) is read and passed over. */
function queryOf({ query }: ArmRequest, subscriptionId: string): Omit<AuditQuery, 'limit'> {
  const text = query.get('$filter')?.trim() ?? '';
  const found: { -readonly [K in keyof AuditQuery]?: AuditQuery[K] } = {};
  if (text === '') return found;
  const refuse = (what: string) => errors.InvalidQueryParameter('$filter', what);
  if (text.length > 4000) throw refuse('it is longer than 4000 characters');
  for (const term of text.split(/\s+and\s+/i)) {
    const match = /^(\w+)\s+(eq|ge|le)\s+'?([^']*)'?$/i.exec(term.trim());
    if (!match) throw refuse(`"${term.slice(0, 60)}" is not understood`);
    const [, name, operator, value] = match as unknown as [string, string, string, string];
    const field = `${name.toLowerCase()} ${operator.toLowerCase()}`;
    if (field === 'eventtimestamp ge') found.from = moment(value, refuse);
    else if (field === 'eventtimestamp le') found.to = moment(value, refuse);
    else if (field === 'correlationid eq') found.correlationId = value;
    else if (field === 'caller eq') found.principalId = value.toLowerCase();
    else if (field === 'resourceuri eq' || field === 'resourceid eq') found.under = value;
    else if (field === 'resourcegroupname eq')
      found.under = `/subscriptions/${subscriptionId}/resourceGroups/${value}`;
    else if (!['eventchannels eq', 'resourceprovider eq', 'levels eq'].includes(field))
      throw refuse(`"${term.slice(0, 60)}" is not a field of it`);
  }
  return found;
}

function moment(text: string, refuse: (what: string) => Error): string {
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw refuse(`"${text.slice(0, 40)}" is not a time`);
  return new Date(at).toISOString();
}

const words = (value: string) => ({ value, localizedValue: value });

function eventOf(entry: StoredAuditEntry, { subscriptionId, tenantId }: ActivityLogParts): unknown {
  const id = `${entry.resourceId}/events/${entry.entryId}`;
  const provider = entry.action.split('/')[0]!;
  const group = /\/resourcegroups\/([^/]+)/i.exec(entry.resourceId)?.[1] ?? '';
  const types = entry.action.split('/').slice(1, -1);
  return {
    id,
    eventDataId: String(entry.entryId),
    eventTimestamp: entry.happenedAt,
    submissionTimestamp: entry.happenedAt,
    correlationId: entry.correlationId,
    operationId: entry.correlationId,
    caller: entry.applicationId ?? entry.principalName,
    claims: {
      'http://schemas.microsoft.com/identity/claims/objectidentifier': entry.principalId,
      name: entry.principalName,
      ...(entry.applicationId === undefined ? {} : { appid: entry.applicationId }),
    },
    authorization: { action: entry.action, scope: entry.resourceId },
    channels: 'Operation',
    category: words('Administrative'),
    level: entry.outcome === 'Succeeded' || entry.outcome === 'Accepted' ? 'Informational' : 'Error',
    eventName: words('EndRequest'),
    operationName: words(entry.action),
    resourceGroupName: group,
    resourceProviderName: words(provider),
    resourceType: words([provider, ...types].join('/')),
    resourceId: entry.resourceId,
    status: words(entry.outcome === 'Refused' ? 'Failed' : entry.outcome),
    subStatus: { value: String(entry.status), localizedValue: `HTTP status ${entry.status}` },
    httpRequest: { clientRequestId: entry.clientRequestId, clientIpAddress: entry.address },
    properties: {
      outcome: entry.outcome,
      statusCode: String(entry.status),
      ...(entry.code === undefined ? {} : { errorCode: entry.code }),
      ...(entry.jobId === undefined ? {} : { jobId: entry.jobId }),
    },
    subscriptionId,
    tenantId,
  };
}
