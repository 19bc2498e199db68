/** Our health events and errors as the reference's `HealthError`. */
import type { HealthEvent } from '../../model/health.ts';
import type { RaisedCondition } from '../store/conditions.ts';

export interface HealthErrorView {
  readonly errorSource: string;
  readonly errorType: string;
  readonly errorLevel: string;
  readonly errorCategory: string;
  readonly errorCode: string;
  readonly summaryMessage: string;
  readonly errorMessage: string;
  readonly possibleCauses: string;
  readonly recommendedAction: string;
  readonly creationTimeUtc: string;
  readonly recoveryProviderErrorMessage: string;
  readonly entityId: string;
  readonly errorId: string;
  readonly customerResolvability: 'Allowed' | 'NotAllowed';
  readonly innerHealthErrors: readonly never[];
}

export type HealthCategory = RaisedCondition['condition']['category'];

/** `entityId`: what it is about. The same event has the same error id each time it is asked for. */
export function healthError(
  event: HealthEvent,
  entityId: string,
  category: HealthCategory = 'Replication',
): HealthErrorView {
  return {
    errorSource: 'Leeward',
    errorType: category,
    errorLevel: levels[event.severity],
    errorCategory: category,
    errorCode: event.code,
    summaryMessage: event.summary,
    errorMessage: event.summary,
    possibleCauses: event.possibleCauses,
    recommendedAction: event.recommendedAction,
    creationTimeUtc: event.raisedAt,
    recoveryProviderErrorMessage: '',
    entityId,
    errorId: `${event.code}-${Date.parse(event.raisedAt)}`,
    // What is listed here is true as long as its cause lasts: nobody can wish it away.
    customerResolvability: 'NotAllowed',
    innerHealthErrors: [],
  };
}

/** A condition that the health reconciler has raised. */
export function conditionError({ id, condition, raisedAt }: RaisedCondition): HealthErrorView {
  return {
    ...healthError(
      {
        ...condition,
        severity: severities[condition.severity],
        raisedAt,
      },
      id,
      condition.category,
    ),
    errorLevel: condition.severity,
  };
}

const levels = {
  information: 'Information',
  warning: 'Warning',
  error: 'Error',
  critical: 'Critical',
} as const;
const severities = { Information: 'information', Warning: 'warning', Critical: 'critical' } as const;

export type Health = 'Normal' | 'Warning' | 'Critical';

/** The worst of them, in the reference's three words. */
export function healthOf(errors: readonly Pick<HealthErrorView, 'errorLevel'>[]): Health {
  if (errors.some(({ errorLevel }) => errorLevel === 'Critical' || errorLevel === 'Error')) return 'Critical';
  return errors.some(({ errorLevel }) => errorLevel === 'Warning') ? 'Warning' : 'Normal';
}
