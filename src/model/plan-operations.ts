/**
 * What may be done with a recovery plan, reckoned from its items. What must be whole to mean anything needs every item; what
 * saves or tidies what it can needs one, and the workflow skips those that are past it.
 */
import { allowedOperations, type ItemCondition, type ItemOperation } from './protection-state.ts';

export const planOperations = [
  'UnplannedFailover',
  'PlannedFailover',
  'TestFailover',
  'TestFailoverCleanup',
  'Commit',
  'CancelFailover',
  'ReverseReplicate',
] as const satisfies readonly ItemOperation[];
export type PlanOperation = (typeof planOperations)[number];

const needs: Readonly<Record<PlanOperation, 'every' | 'some' | 'rest'>> = {
  // A machine that was failed over by itself must not keep the others from being saved.
  UnplannedFailover: 'some',
  // One that stopped half-way is run again for those that still run at home.
  PlannedFailover: 'rest',
  // A rehearsal that leaves machines out proves nothing about the plan.
  TestFailover: 'every',
  TestFailoverCleanup: 'some',
  Commit: 'some',
  CancelFailover: 'some',
  ReverseReplicate: 'some',
};

/** `isBusy`: a job of the plan itself is at work. */
export function allowedPlanOperations(items: readonly ItemCondition[], isBusy: boolean): PlanOperation[] {
  if (isBusy || items.length === 0) return [];
  const allowed = items.map((item) => new Set(allowedOperations(item)));
  return planOperations.filter((operation) => {
    const need = needs[operation];
    return (
      allowed.some((set) => set.has(operation)) &&
      (need === 'some' ||
        items.every(
          ({ activeLocation }, index) =>
            allowed[index]!.has(operation) || (need === 'rest' && activeLocation === 'Recovery'),
        ))
    );
  });
}
