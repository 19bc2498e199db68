/**
 * The audit trail: every write that somebody with a valid token tried, also the refused ones, kept for 90 days.
 *
 *     API ─▶ write, status ─▶ entry ─▶ row ─▶ GET …/Microsoft.Insights/eventtypes/management/values
 *
 * Promises: the row is there before the client has its answer. It says who, what, where, when, from where and with what
 * result, and nothing of the body: secrets cannot get in.
 */
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { repeat } from '../../platform/repeat.ts';
import { operations } from '../../protocol/arm/description.ts';
import { ownOperations } from '../../protocol/arm/own-operations.ts';
import type { Audit, AuditedWrite } from '../api/access-check.ts';
import type { AuditEntries, AuditEntry } from '../store/audit-entries.ts';
import { actionOf } from './actions.ts';
import { auditDays, auditTrimMax } from './limits.ts';
import type { SigningKeys } from './signing-keys.ts';

const actions: ReadonlyMap<string, string> = new Map(
  [...operations, ...ownOperations].map(({ id, method, path }) => [id, actionOf(method, path)]),
);

/** Of an operation's id; those of the directory have none in the description. */
export const actionById = (operationId: string): string =>
  actions.get(operationId) ?? `Leeward.Directory/${operationId.replace('.', '/')}`;

export function auditTrail(entries: AuditEntries, clock: Clock): Audit {
  return (write) => entries.add(entryOf(write), new Date(clock.now()).toISOString());
}

function entryOf(write: AuditedWrite): AuditEntry {
  const { principal, status } = write;
  return {
    principalId: principal.objectId,
    principalName: principal.displayName,
    ...(principal.applicationId === undefined ? {} : { applicationId: principal.applicationId }),
    operationId: write.operationId,
    action: actionById(write.operationId),
    resourceId: write.resourceId,
    outcome: status === 202 ? 'Accepted' : status < 400 ? 'Succeeded' : status < 500 ? 'Refused' : 'Failed',
    status,
    ...(write.code === undefined ? {} : { code: write.code }),
    ...(write.jobId === undefined ? {} : { jobId: write.jobId }),
    correlationId: write.correlationId,
    clientRequestId: write.clientRequestId,
    address: write.from,
  };
}

export interface UpkeepParts {
  readonly entries: AuditEntries;
  readonly keys: SigningKeys;
  readonly clock: Clock;
  readonly log: Log;
}

const hour = 3_600_000;

/** Old entries out, a new signing key in time: once an hour until told to stop. What fails is tried again an hour later. */
export function keepAccess(parts: UpkeepParts, signal: AbortSignal): Promise<void> {
  const { clock, log, keys } = parts;
  const onFailure = (error: unknown) => log.error('access-upkeep-failed', { error });
  return repeat({ clock, signal, pauseMilliseconds: hour, onFailure }, async () => {
    await keys.keep();
    await trimAudit(parts, signal);
  });
}

export async function trimAudit(
  { entries, clock }: Pick<UpkeepParts, 'entries' | 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  const before = new Date(clock.now() - auditDays * 24 * hour).toISOString();
  while (!signal.aborted && (await entries.trim(before, auditTrimMax)) === auditTrimMax);
}
