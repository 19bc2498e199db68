/**
 * Unplanned failover: the source is lost, or about to be. A recovery point becomes a machine that stays; until it is
 * committed another point may be chosen, or all of it be taken back.
 *
 *     Claim ─▶ Room ─▶ ShutDownSource (if asked for; goes on without) ─▶ Choose ─▶ Lend ─▶ Record ─▶ PowerOn ─▶ Answer ─▶ Finish
 *
 * The point is chosen after the source has been asked to stop, so that the newest one is as new as it can be.
 */
import type { Step, Workflow } from '../jobs/workflow.ts';
import { type FailoverParts, machineFromPoint, shutDownSource } from './failover-steps.ts';
import { UnplannedFailoverInput } from './inputs.ts';
import { choosePoint, claim, claimed, concludeWithPoint, providerOf, roomStep } from './item-steps.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = UnplannedFailoverInput;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: FailoverParts, input: Input): readonly Step<Input>[] => [
  claim(parts, 'UnplannedFailover', 'UnplannedFailover', ({ input }) => input),
  roomStep<Input>(parts),
  ...(input.shutDownSource ? [shutDownSource<Input>(parts, true)] : []),
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
    conclude: concludeWithPoint,
    cancelable: true,
  };
}
