/**
 * Change recovery point: the machine that failed over is made anew from another point. What it wrote meanwhile goes with
 * its old disks; the old machine comes back when the new one does not answer.
 *
 *     Claim ─▶ Choose ─▶ Lend ─▶ StopOld ─▶ Record ─▶ PowerOn ─▶ Answer ─▶ Finish ─▶ ReturnOld
 *                                   └─undo: started again            point of no return ┘
 */
import { onBuses } from '../failover/buses.ts';
import type { Step, StepContext, Workflow } from '../jobs/workflow.ts';
import { FailoverRecord } from '../store/failovers.ts';
import { answerStep, definitionOf, type FailoverParts, powerOnStep, recordOf } from './failover-steps.ts';
import { ApplyRecoveryPointInput } from './inputs.ts';
import {
  type ChosenPoint,
  choosePoint,
  claim,
  claimed,
  concludeWithPoint,
  finish,
  lendStep,
  outputOf,
  plainName,
  providerOf,
} from './item-steps.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = ApplyRecoveryPointInput;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: FailoverParts): readonly Step<Input>[] => [
  claim(parts, 'ChangePit', 'ApplyRecoveryPoint', ({ input }) => input),
  {
    name: 'Choose',
    title: 'Choosing the recovery point',
    where: 'database',
    do: async (context) => {
      const old = await recordOf(parts, claimed(context).itemId);
      const point = await choosePoint(parts, claimed(context), context.input.point);
      return { ...point, old };
    },
  },
  lendStep(parts),
  {
    name: 'StopOld',
    title: 'Removing the machine of the recovery point before',
    where: 'hypervisor',
    do: async (context) => {
      context.report('removing the machine of the recovery point before', 0.3);
      await providerOf(parts).remove(oldOf(context).machine.name);
      return undefined;
    },
    undo: async (context) => {
      await providerOf(parts).start(definitionOf(oldOf(context)));
    },
  },
  {
    name: 'Record',
    title: 'Recording the recovery point',
    where: 'database',
    do: async (context) => {
      const old = oldOf(context);
      const { pointId, takenAt } = outputOf<ChosenPoint>(context, 'Choose');
      const { address: _, power: __, ...rest } = old;
      await parts.failovers.save({
        ...rest,
        failoverId: context.jobId,
        pointId,
        pointTakenAt: takenAt,
        machine: {
          ...old.machine,
          name: `leeward-${plainName(claimed(context).name)}-${context.jobId.slice(0, 8)}`,
          disks: [...onBuses(outputOf<string[]>(context, 'Lend'))],
        },
      });
      return undefined;
    },
    undo: (context) => parts.failovers.save(oldOf(context)),
  },
  powerOnStep(parts),
  answerStep<Input>(parts),
  finish(parts, async (context) => ({
    failoverPointId: outputOf<ChosenPoint>(context, 'Choose').pointId,
  })),
  {
    name: 'ReturnOld',
    title: 'Removing the disks of the recovery point before',
    where: 'replica',
    do: async (context) => {
      await parts.replica.giveBack(claimed(context).itemId, oldOf(context).failoverId);
      context.report('the machine runs from the chosen point', 1);
      return undefined;
    },
  },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function applyRecoveryPoint(parts: FailoverParts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'apply-recovery-point',
    scenarioName: 'ApplyRecoveryPoint',
    friendlyName: 'Change recovery point',
    input: ApplyRecoveryPointInput,
    steps: () => steps,
    conclude: concludeWithPoint,
    cancelable: true,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

const oldOf = (context: StepContext<Input>): FailoverRecord =>
  FailoverRecord.parse(outputOf<{ old: unknown }>(context, 'Choose').old);
