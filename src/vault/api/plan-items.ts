/** Which items a recovery plan has, from its row. */
import type { Resource } from '../store/resources.ts';

export interface PlanGroup {
  readonly groupType: string;
  readonly replicationProtectedItems?: readonly {
    readonly id?: string;
    readonly virtualMachineId?: string;
  }[];
  readonly startGroupActions?: readonly PlanAction[];
  readonly endGroupActions?: readonly PlanAction[];
}

export interface PlanAction {
  readonly actionName: string;
  readonly failoverTypes: readonly string[];
  readonly failoverDirections: readonly string[];
  readonly customDetails: { readonly instanceType: string; readonly [field: string]: unknown };
}

export const planGroups = (plan: Resource | undefined): readonly PlanGroup[] =>
  (plan?.properties.groups ?? []) as readonly PlanGroup[];

/** Resource ids, in the order of the plan; a plan that is not there has none. */
export function planItemIds(plan: Resource | undefined): string[] {
  return planGroups(plan).flatMap(({ replicationProtectedItems }) =>
    (replicationProtectedItems ?? []).flatMap(({ id }) => id ?? []),
  );
}
