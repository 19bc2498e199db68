/**
 * Cancel failover: the machine at the recovery location goes, with all that it wrote, and the item is protected from where
 * it was. The source is not started again: only its site knows whether it is fit. Once it runs it is let in, and goes on where
 * it was: its own maps say what it wrote meanwhile, so nothing is copied whole.
 *
 *     Claim ─▶ Remember ─▶ StopMachine ─▶ Finish ─▶ GiveBack ─▶ LetIn
 *                             └─undo: started again
 */
import type { Step, StepContext, Workflow } from '../jobs/workflow.ts';
import { FailoverRecord } from '../store/failovers.ts';
import { definitionOf, recordOf } from './failover-steps.ts';
import { ItemInput, type ItemRef } from './inputs.ts';
import { claim, claimed, finish, outputOf, providerOf } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = ItemRef;
type Parts = Pick<WorkflowParts, 'items' | 'store' | 'replica' | 'failovers' | 'provider' | 'clock'>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts): readonly Step<Input>[] => [
  claim(parts, 'CancelFailover', 'CancelFailover', ({ input }) => input),
  {
    name: 'Remember',
    title: 'Looking at what is there',
    where: 'database',
    do: async (context) => ({ record: await recordOf(parts, claimed(context).itemId) }),
  },
  {
    name: 'StopMachine',
    title: 'Removing the machine',
    where: 'hypervisor',
    do: async (context) => {
      context.report('removing the machine at the recovery location', 0.3);
      await providerOf(parts).remove(remembered(context).machine.name);
      return undefined;
    },
    undo: async (context) => {
      await providerOf(parts).start(definitionOf(remembered(context)));
    },
  },
  finish(parts, async () => ({ failoverPointId: undefined as never })),
  {
    name: 'GiveBack',
    title: 'Removing its disks',
    where: 'replica',
    do: async (context) => {
      const { itemId, failoverId } = remembered(context);
      await parts.replica.giveBack(itemId, failoverId);
      await parts.failovers.remove(itemId, failoverId);
      return undefined;
    },
  },
  {
    name: 'LetIn',
    title: 'Opening the item to its source',
    where: 'database',
    do: async (context) => {
      const { itemId } = remembered(context);
      await parts.store.liftFence(itemId, new Date(parts.clock.now()).toISOString());
      context.report('the item is protected as before; the source was not started', 1);
      return undefined;
    },
  },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function cancelFailover(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'cancel-failover',
    scenarioName: 'CancelFailover',
    friendlyName: 'Cancel failover',
    input: ItemInput,
    steps: () => steps,
    cancelable: false,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

const remembered = (context: StepContext<Input>): FailoverRecord =>
  FailoverRecord.parse(outputOf<{ record: unknown }>(context, 'Remember').record);
