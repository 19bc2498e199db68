/**
 * What may be done with a protected item, and what becomes of it. One table answers the API's `allowedOperations`, the
 * portal's enabled buttons and the workflow's guard, so that they cannot disagree. States have the reference's names.
 *
 *   (none) ──EnableProtection──▶ EnablingProtection ──▶ InitialReplicationInProgress ──first recovery point──▶ Protected
 *              failed: (none) again
 *
 *                    ┌──failed──▶ UnplannedFailoverFailed, PlannedFailoverFailed: as Protected
 *   Protected ──Unplanned/PlannedFailover──▶ …FailoverInitiated ──▶ …FailoverCommitPendingStatesBegin ──┐
 *      ▲  ▲  ▲                                                          ▲    │    │    │               │
 *      │  │  │                            ChangeRecoveryPointInitiated ─┘◀───┘    │    │               │
 *      │  │  └────────────────────────── CancelFailoverInitiated ◀──CancelFailover┘    │Commit         │CompleteMigration
 *      │  └──RepairReplication (itself)                                                ▼               │
 *      └──── ReprotectInitiated ◀──ReverseReplicate── …FailoverCommitted ◀── CommitFailoverInitiated   ▼
 *                                                                                                    (none)
 *   any settled state ──DisableProtection──▶ DisablingProtection ──▶ (none), or DisablingFailed
 *
 * Beside it runs the test: None ──TestFailover──▶ TestFailoverInitiated ──▶ WaitingForCompletion ──TestFailoverCleanup──▶
 * MarkedForDeletion ──▶ None. A waiting test does not stop a failover: a disaster does not wait for a rehearsal. It does stop
 * the end of protection, because its disks are clones of the item's.
 *
 * The active location turns with a failover and turns back when it is cancelled. `Protected` at the recovery location means
 * that changes flow home; a planned failover from there is the failback.
 *
 * States ending in -Initiated, EnablingProtection, DisablingProtection, TestFailoverInitiated and MarkedForDeletion hold only
 * while a job works: nothing else is allowed meanwhile.
 */

export const protectionStates = [
  'EnablingProtection',
  'InitialReplicationInProgress',
  'Protected',
  'UnplannedFailoverInitiated',
  'UnplannedFailoverFailed',
  'UnplannedFailoverCommitPendingStatesBegin',
  'UnplannedFailoverCommitted',
  'PlannedFailoverInitiated',
  'PlannedFailoverFailed',
  'PlannedFailoverCommitPendingStatesBegin',
  'PlannedFailoverCommitted',
  'ChangeRecoveryPointInitiated',
  'CommitFailoverInitiated',
  'CancelFailoverInitiated',
  'ReprotectInitiated',
  'ReprotectFailed',
  'DisablingProtection',
  'DisablingFailed',
] as const;
export type ProtectionState = (typeof protectionStates)[number];

export const testFailoverStates = [
  'None',
  'TestFailoverInitiated',
  'WaitingForCompletion',
  'MarkedForDeletion',
] as const;
export type TestFailoverState = (typeof testFailoverStates)[number];

export const activeLocations = ['Primary', 'Recovery'] as const;
export type ActiveLocation = (typeof activeLocations)[number];

/** Names of the reference's `ReplicationProtectedItemOperation`, and the one that makes an item. */
export const itemOperations = [
  'EnableProtection',
  'UnplannedFailover',
  'PlannedFailover',
  'TestFailover',
  'TestFailoverCleanup',
  'Commit',
  'ChangePit',
  'CancelFailover',
  'ReverseReplicate',
  'RepairReplication',
  'CompleteMigration',
  'DisableProtection',
] as const;
export type ItemOperation = (typeof itemOperations)[number];

export interface ItemCondition {
  readonly protectionState: ProtectionState;
  readonly testFailoverState: TestFailoverState;
  readonly activeLocation: ActiveLocation;
}

export interface Transition {
  readonly during: ItemCondition;
  /** `removed`: there is no item any more. */
  readonly done: ItemCondition | 'removed';
  readonly failed: ItemCondition | 'removed';
}

/** Undefined: not allowed. `condition` undefined: there is no such item. */
export function transition(
  operation: ItemOperation,
  condition: ItemCondition | undefined,
): Transition | undefined {
  if (condition === undefined) return operation === 'EnableProtection' ? enabling : undefined;
  return table[operation](condition);
}

/** In the order of `itemOperations`; what the workflows of this version do not offer is left out. */
export function allowedOperations(condition: ItemCondition): ItemOperation[] {
  return itemOperations.filter(
    (operation) => !notOffered.has(operation) && transition(operation, condition) !== undefined,
  );
}

/** A job works on it. */
export function isBusy({ protectionState, testFailoverState }: ItemCondition): boolean {
  return (
    busyStates.has(protectionState) ||
    testFailoverState === 'TestFailoverInitiated' ||
    testFailoverState === 'MarkedForDeletion'
  );
}

/** What a person reads beside the state. */
export const protectionStateDescriptions: Readonly<Record<ProtectionState, string>> = {
  EnablingProtection: 'Enabling protection',
  InitialReplicationInProgress: 'Initial replication in progress',
  Protected: 'Protected',
  UnplannedFailoverInitiated: 'Failover in progress',
  UnplannedFailoverFailed: 'Failover failed; replication goes on',
  UnplannedFailoverCommitPendingStatesBegin: 'Failover completed',
  UnplannedFailoverCommitted: 'Failover committed',
  PlannedFailoverInitiated: 'Planned failover in progress',
  PlannedFailoverFailed: 'Planned failover failed; replication goes on',
  PlannedFailoverCommitPendingStatesBegin: 'Planned failover completed',
  PlannedFailoverCommitted: 'Planned failover committed',
  ChangeRecoveryPointInitiated: 'Changing the recovery point',
  CommitFailoverInitiated: 'Committing the failover',
  CancelFailoverInitiated: 'Cancelling the failover',
  ReprotectInitiated: 'Reprotecting',
  ReprotectFailed: 'Reprotecting failed',
  DisablingProtection: 'Disabling protection',
  DisablingFailed: 'Protection could not be disabled',
};

export const testFailoverStateDescriptions: Readonly<Record<TestFailoverState, string>> = {
  None: 'None',
  TestFailoverInitiated: 'Test failover in progress',
  WaitingForCompletion: 'Test failover completed; clean-up is due',
  MarkedForDeletion: 'Cleaning up test environment',
};

/** Reprotect comes with failback: its rows stand in the table, but nobody is told yet that it is allowed. */
const notOffered: ReadonlySet<ItemOperation> = new Set(['ReverseReplicate']);

const fresh: ItemCondition = {
  protectionState: 'EnablingProtection',
  testFailoverState: 'None',
  activeLocation: 'Primary',
};
const enabling: Transition = {
  during: fresh,
  done: { ...fresh, protectionState: 'InitialReplicationInProgress' },
  failed: 'removed',
};

const busyStates: ReadonlySet<ProtectionState> = new Set([
  'EnablingProtection',
  'UnplannedFailoverInitiated',
  'PlannedFailoverInitiated',
  'ChangeRecoveryPointInitiated',
  'CommitFailoverInitiated',
  'CancelFailoverInitiated',
  'ReprotectInitiated',
  'DisablingProtection',
]);
/** Changes flow, and there is a recovery point. */
const replicating: ReadonlySet<ProtectionState> = new Set([
  'Protected',
  'UnplannedFailoverFailed',
  'PlannedFailoverFailed',
]);
const committedOf: Partial<Record<ProtectionState, ProtectionState>> = {
  UnplannedFailoverCommitPendingStatesBegin: 'UnplannedFailoverCommitted',
  PlannedFailoverCommitPendingStatesBegin: 'PlannedFailoverCommitted',
};
const committed: ReadonlySet<ProtectionState> = new Set([
  'UnplannedFailoverCommitted',
  'PlannedFailoverCommitted',
  'ReprotectFailed',
]);

const other = (location: ActiveLocation): ActiveLocation => (location === 'Primary' ? 'Recovery' : 'Primary');

type Row = (condition: ItemCondition) => Transition | undefined;
/** A row that holds for settled items which meet `when`. */
const row =
  (when: (condition: ItemCondition) => boolean, make: (condition: ItemCondition) => Transition): Row =>
  (condition) =>
    isBusy(condition) || !when(condition) ? undefined : make(condition);

const failover = (kind: 'Unplanned' | 'Planned', when: (condition: ItemCondition) => boolean): Row =>
  row(
    (condition) => replicating.has(condition.protectionState) && when(condition),
    (condition) => ({
      during: { ...condition, protectionState: `${kind}FailoverInitiated` },
      done: {
        ...condition,
        protectionState: `${kind}FailoverCommitPendingStatesBegin`,
        activeLocation: other(condition.activeLocation),
      },
      failed: { ...condition, protectionState: `${kind}FailoverFailed` },
    }),
  );

/** Failed over, not committed: both ends still have what they need to choose again. */
const fromCommitPending = (
  during: ProtectionState,
  done: (condition: ItemCondition) => ItemCondition | 'removed',
): Row =>
  row(
    ({ protectionState }) => protectionState in committedOf,
    (condition) => ({
      during: { ...condition, protectionState: during },
      done: done(condition),
      failed: condition,
    }),
  );

const removal = (when: (condition: ItemCondition) => boolean): Row =>
  row(
    (condition) => condition.testFailoverState === 'None' && when(condition),
    (condition) => ({
      during: { ...condition, protectionState: 'DisablingProtection' },
      done: 'removed',
      failed: { ...condition, protectionState: 'DisablingFailed' },
    }),
  );

const table: Readonly<Record<ItemOperation, Row>> = {
  EnableProtection: () => undefined,
  UnplannedFailover: failover('Unplanned', ({ activeLocation }) => activeLocation === 'Primary'),
  PlannedFailover: failover('Planned', () => true),
  TestFailover: row(
    ({ protectionState, testFailoverState, activeLocation }) =>
      replicating.has(protectionState) && testFailoverState === 'None' && activeLocation === 'Primary',
    (condition) => ({
      during: { ...condition, testFailoverState: 'TestFailoverInitiated' },
      done: { ...condition, testFailoverState: 'WaitingForCompletion' },
      failed: condition,
    }),
  ),
  TestFailoverCleanup: row(
    ({ testFailoverState }) => testFailoverState === 'WaitingForCompletion',
    (condition) => ({
      during: { ...condition, testFailoverState: 'MarkedForDeletion' },
      done: { ...condition, testFailoverState: 'None' },
      failed: condition,
    }),
  ),
  Commit: fromCommitPending('CommitFailoverInitiated', (condition) => ({
    ...condition,
    protectionState: committedOf[condition.protectionState]!,
  })),
  ChangePit: fromCommitPending('ChangeRecoveryPointInitiated', (condition) => condition),
  CancelFailover: fromCommitPending('CancelFailoverInitiated', (condition) => ({
    ...condition,
    protectionState: 'Protected',
    activeLocation: other(condition.activeLocation),
  })),
  ReverseReplicate: row(
    ({ protectionState }) => committed.has(protectionState),
    (condition) => ({
      during: { ...condition, protectionState: 'ReprotectInitiated' },
      done: { ...condition, protectionState: 'InitialReplicationInProgress' },
      failed: { ...condition, protectionState: 'ReprotectFailed' },
    }),
  ),
  RepairReplication: row(
    ({ protectionState }) => replicating.has(protectionState),
    (condition) => ({ during: condition, done: condition, failed: condition }),
  ),
  /** The machine stays where it failed over to, for good. */
  CompleteMigration: removal(
    ({ protectionState, activeLocation }) =>
      activeLocation === 'Recovery' && (protectionState in committedOf || committed.has(protectionState)),
  ),
  DisableProtection: removal(() => true),
};
