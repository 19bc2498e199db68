/** An error as it travels: the fields of the reference's HealthError, cut to what a message may have. */
import type { HealthEvent } from '../../model/health.ts';
import { LeewardError } from '../../platform/errors.ts';

export function healthEventOf(error: unknown, atMilliseconds: number): HealthEvent {
  const told = error instanceof LeewardError ? error : undefined;
  const context = Object.entries(told?.context ?? {}).filter(([, value]) => value !== undefined);
  return {
    code: (told?.code ?? 'UnexpectedError').slice(0, 80),
    severity: told?.severity ?? 'error',
    summary: (told?.summary ?? String(error)).slice(0, 2000),
    possibleCauses: (told?.possibleCauses ?? 'A defect of Leeward, or the machine under it.').slice(0, 2000),
    recommendedAction: (told?.recommendedAction ?? 'Report it with the log.').slice(0, 2000),
    raisedAt: new Date(atMilliseconds).toISOString(),
    context: Object.fromEntries(context) as Record<string, string | number | boolean>,
  };
}
