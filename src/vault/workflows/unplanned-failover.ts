/**
 * Unplanned failover: the source is lost, or about to be. A recovery point becomes a machine that stays; until it is
 * committed another point may be chosen, or all of it be taken back.
 *
 *     Claim ─▶ Room ─▶ ShutDownSource (if asked for; goes on without) ─▶ Fence ─▶ Choose ─▶ Lend ─▶ Record ─▶ PowerOn ─▶ Answer ─▶ Finish
 *
 * The point is chosen after the source has been asked to stop, so that the newest one is as new as it can be, and after the
 * item is closed to it. When the source may still run, the job says so: `CompletedWithInformation`.
 */
import type { Step, Workflow } from '../jobs/workflow.ts';
import {
  type FailoverParts,
  type Fenced,
  fenceStep,
  machineFromPoint,
  shutDownSource,
} from './failover-steps.ts';
import { UnplannedFailoverInput } from './inputs.ts';
import {
  choosePoint,
  claim,
  claimed,
  concludeWithPoint,
  type OrderOutcome,
  outputOf,
  providerOf,
  roomStep,
} from './item-steps.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = UnplannedFailoverInput;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: FailoverParts, input: Input): readonly Step<Input>[] => [
  claim(parts, 'UnplannedFailover', 'UnplannedFailover', ({ input }) => input),
  roomStep<Input>(parts),
  ...(input.shutDownSource ? [shutDownSource<Input>(parts, 'goOn')] : []),
  fenceStep(parts),
  {
    name: 'Choose',
    title: 'Choosing the recovery point',
    where: 'database',
    do: async (context) => {
      await providerOf(parts).check();
      return { ...(await choosePoint(parts, claimed(context), context.input.point, context.input)) };
    },
  },
  ...machineFromPoint<Input>(parts, 'unplanned'),
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function unplannedFailover(parts: FailoverParts): Workflow<Input> {
  return {
    name: 'unplanned-failover',
    scenarioName: 'UnplannedFailover',
    friendlyName: 'Failover',
    input: UnplannedFailoverInput,
    steps: (input) => stepsOf(parts, input),
    conclude: (outputs, { shutDownSource: isAsked }) => {
      const isKnownOff = isAsked
        ? outputOf<OrderOutcome>({ outputs }, 'ShutDownSource').outcome === 'done'
        : !outputOf<Fenced>({ outputs }, 'Fence').isSourceHeard;
      const ofPoint = concludeWithPoint(outputs);
      return isKnownOff ? ofPoint : { ...ofPoint, stateDescription: 'CompletedWithInformation' };
    },
    cancelable: true,
  };
}
