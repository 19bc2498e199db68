import test from 'ava';
import { allowedPlanOperations } from '../../src/model/plan-operations.ts';
import {
  activeLocations,
  allowedOperations,
  type ItemCondition,
  isBusy,
  itemOperations,
  protectionStateDescriptions,
  protectionStates,
  testFailoverStateDescriptions,
  testFailoverStates,
  transition,
} from '../../src/model/protection-state.ts';

const every: ItemCondition[] = protectionStates.flatMap((protectionState) =>
  testFailoverStates.flatMap((testFailoverState) =>
    activeLocations.map((activeLocation) => ({ protectionState, testFailoverState, activeLocation })),
  ),
);
const at = (
  protectionState: ItemCondition['protectionState'],
  activeLocation: ItemCondition['activeLocation'] = 'Primary',
  testFailoverState: ItemCondition['testFailoverState'] = 'None',
): ItemCondition => ({ protectionState, testFailoverState, activeLocation });
const key = (condition: ItemCondition) => Object.values(condition).join(' ');

/** What can come about: from nothing, by every operation that is allowed, with every outcome. */
function reachable(): Map<string, ItemCondition> {
  const found = new Map<string, ItemCondition>();
  const todo: (ItemCondition | undefined)[] = [undefined];
  const visit = (condition: ItemCondition | 'removed') => {
    if (condition === 'removed' || found.has(key(condition))) return;
    found.set(key(condition), condition);
    todo.push(condition);
  };
  while (todo.length > 0) {
    const condition = todo.pop();
    if (condition?.protectionState === 'InitialReplicationInProgress')
      visit({ ...condition, protectionState: 'Protected' });
    for (const operation of itemOperations) {
      const next = transition(operation, condition);
      if (next) for (const each of [next.during, next.done, next.failed]) visit(each);
    }
  }
  return found;
}

test('while a job works on an item nothing is allowed', (t) => {
  for (const condition of every.filter(isBusy)) {
    t.deepEqual(allowedOperations(condition), [], key(condition));
    for (const operation of itemOperations) t.is(transition(operation, condition), undefined);
  }
});

test('every operation ends settled, however it ends, and is busy meanwhile unless it changes no state', (t) => {
  for (const condition of [undefined, ...every])
    for (const operation of itemOperations) {
      const next = transition(operation, condition);
      if (next === undefined) continue;
      t.is(isBusy(next.during), operation !== 'RepairReplication', `${operation} during`);
      for (const end of [next.done, next.failed])
        if (end !== 'removed') t.false(isBusy(end), `${operation} from ${condition && key(condition)}`);
    }
});

test('every state of the table is reached from nothing, and has its sentence', (t) => {
  const found = [...reachable().values()];
  t.deepEqual(
    protectionStates.filter((state) => !found.some(({ protectionState }) => protectionState === state)),
    [],
  );
  t.deepEqual(Object.keys(protectionStateDescriptions).sort(), [...protectionStates].sort());
  t.deepEqual(Object.keys(testFailoverStateDescriptions).sort(), [...testFailoverStates].sort());
});

test('from every reachable settled condition protection can be ended, after the test is cleaned up', (t) => {
  for (const condition of reachable().values()) {
    if (isBusy(condition)) continue;
    const allowed = allowedOperations(condition);
    if (condition.testFailoverState === 'None') t.true(allowed.includes('DisableProtection'), key(condition));
    else t.true(allowed.includes('TestFailoverCleanup'), key(condition));
  }
});

test('a failover turns the active location, cancelling turns it back, committing keeps it', (t) => {
  for (const condition of every)
    for (const operation of ['UnplannedFailover', 'PlannedFailover'] as const) {
      const failedOver = transition(operation, condition)?.done;
      if (failedOver === undefined || failedOver === 'removed') continue;
      t.not(failedOver.activeLocation, condition.activeLocation);
      t.deepEqual(transition('CancelFailover', failedOver)!.done, {
        ...condition,
        protectionState: 'Protected',
      });
      const committed = transition('Commit', failedOver)!.done;
      t.is((committed as ItemCondition).activeLocation, failedOver.activeLocation);
      t.deepEqual(transition('ChangePit', failedOver)!.done, failedOver);
    }
});

test('what is allowed is what the reference allows, state by state', (t) => {
  const expected: [ItemCondition, string[]][] = [
    [at('EnablingProtection'), []],
    [at('InitialReplicationInProgress'), ['DisableProtection']],
    [
      at('Protected'),
      ['UnplannedFailover', 'PlannedFailover', 'TestFailover', 'RepairReplication', 'DisableProtection'],
    ],
    [
      at('Protected', 'Primary', 'WaitingForCompletion'),
      ['UnplannedFailover', 'PlannedFailover', 'TestFailoverCleanup', 'RepairReplication'],
    ],
    [
      at('UnplannedFailoverCommitPendingStatesBegin', 'Recovery'),
      ['Commit', 'ChangePit', 'CancelFailover', 'CompleteMigration', 'DisableProtection'],
    ],
    [at('UnplannedFailoverCommitted', 'Recovery'), ['CompleteMigration', 'DisableProtection']],
    [at('Protected', 'Recovery'), ['PlannedFailover', 'RepairReplication', 'DisableProtection']],
    [at('PlannedFailoverCommitted', 'Primary'), ['DisableProtection']],
    [at('DisablingFailed'), ['DisableProtection']],
  ];
  for (const [condition, allowed] of expected)
    t.deepEqual(allowedOperations(condition), allowed as never, key(condition));
});

test('only nothing can be enabled, and nothing can only be enabled', (t) => {
  for (const operation of itemOperations)
    t.is(transition(operation, undefined) !== undefined, operation === 'EnableProtection');
  for (const condition of every) t.is(transition('EnableProtection', condition), undefined);
});

test('a plan is rehearsed only whole, but saves what it can', (t) => {
  const ready = at('Protected');
  const past = at('UnplannedFailoverCommitPendingStatesBegin', 'Recovery');
  t.deepEqual(allowedPlanOperations([ready, ready], false), [
    'UnplannedFailover',
    'PlannedFailover',
    'TestFailover',
  ]);
  t.deepEqual(allowedPlanOperations([ready, past], false), [
    'UnplannedFailover',
    'PlannedFailover',
    'Commit',
    'CancelFailover',
  ]);
  t.deepEqual(allowedPlanOperations([ready, at('InitialReplicationInProgress')], false), [
    'UnplannedFailover',
  ]);
  t.deepEqual(allowedPlanOperations([ready], true), []);
  t.deepEqual(allowedPlanOperations([], false), []);
});
