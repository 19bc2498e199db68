/**
 * What planned and unplanned failover share: from a recovery point to a machine that stays.
 *
 *     … ─▶ Lend ─▶ Record ─▶ PowerOn ─▶ Answer ─▶ Finish
 *
 * The loan is the machine's disk from now on: it is given back only when the failover is cancelled or another point is
 * chosen. The record knows the whole machine, so that it can be put back as it was.
 */
import type { ProtectedItemId } from '../../model/ids.ts';
import { hasCode } from '../../platform/errors.ts';
import { onBuses } from '../failover/buses.ts';
import type { MachineDefinition, ReadinessCheck } from '../failover/provider.ts';
import type { Step, StepContext } from '../jobs/workflow.ts';
import type { FailoverRecord } from '../store/failovers.ts';
import { KeptMachine } from '../store/failovers.ts';
import { errors } from './errors.ts';
import type { ItemRef, MachineShape, NetworkChoice } from './inputs.ts';
import {
  type ChosenPoint,
  claimed,
  finish,
  lendStep,
  machineOf,
  markerOf,
  networkOf,
  outputOf,
  plainName,
  providerOf,
  siteOf,
  siteOrder,
} from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

export type FailoverParts = Pick<
  WorkflowParts,
  | 'items'
  | 'store'
  | 'sites'
  | 'orders'
  | 'replica'
  | 'failovers'
  | 'provider'
  | 'clock'
  | 'powerStateOf'
  | 'signMarker'
>;

interface Input extends ItemRef {
  readonly network: NetworkChoice;
  readonly machine: MachineShape;
  readonly check: ReadinessCheck;
  readonly timeoutSeconds: number;
}

/** A guest with databases takes minutes to stop; the order's own limit is an hour. */
const shutDownSeconds = 900;

/**
 * Done when the machine is off, as far as anybody knows it: because its mobility service was the last one there and said so,
 * or because its hypervisor says so. Otherwise `goOn` goes on and leaves it at that; `ask` waits until a person has looked.
 */
export function shutDownSource<I extends ItemRef>(
  parts: Pick<WorkflowParts, 'items' | 'sites' | 'orders' | 'clock' | 'powerStateOf'>,
  whenUnknown: 'goOn' | 'ask',
): Step<I> {
  const order = shutDownOrder<I>(parts, whenUnknown === 'goOn');
  return {
    ...order,
    do: async (context) => {
      // Somebody has looked, switched it off where that was needed, and said so by resuming the job.
      if (context.resumeComments !== undefined) return { outcome: 'trusted', why: context.resumeComments };
      try {
        return await order.do(context);
      } catch (error) {
        if (whenUnknown !== 'ask' || !hasCode(error, 'MachineNotKnownOff')) throw error;
        const { id, name } = claimed(context);
        const site = await siteOf(parts, id);
        const power = site && (await parts.powerStateOf?.(site.item));
        if (power === 'on') throw errors.SourceStillRuns(name);
        // Known to be off, but not which bookmark was its last one.
        if (power === 'off') return { outcome: 'done' };
        return { wait: 'resume', instructions: switchOff(name) };
      }
    },
  };
}

const switchOff = (name: string): string =>
  `${name} was told to shut down and is silent now, but nobody knows whether it is off. Look at it: switch it off, for ` +
  'example at its hypervisor, and resume this job: then it fails over to the newest recovery point, and what was written ' +
  'after that is not in it. Never resume while it runs: there would be two of it. Cancel this job if it is to stay where it is.';

function shutDownOrder<I extends ItemRef>(
  parts: Pick<WorkflowParts, 'items' | 'sites' | 'orders' | 'clock'>,
  isOptional: boolean,
): Step<I> {
  return siteOrder<I>(parts, {
    name: 'ShutDownSource',
    title: 'Shutting down the source machine',
    timeoutSeconds: shutDownSeconds,
    isOptional,
    what: async (context) => {
      const site = await siteOf(parts, claimed(context).id);
      return (
        site && {
          siteId: site.siteId,
          content: {
            order: 'shut-down-machine',
            machineId: site.item.machineId as never,
            timeoutSeconds: shutDownSeconds,
          },
        }
      );
    },
  });
}

/** A source that was heard of within this time runs, as far as anybody can tell: three of its site's reports. */
const heardMilliseconds = 90_000;

/** What the step `Fence` gives. */
export interface Fenced {
  /** Of a source that nobody has asked to shut down. */
  readonly isSourceHeard: boolean;
}

/**
 * From here on nothing of the source enters the item, also when its site cannot be reached; the site is told by
 * `reconcilers/fences.ts`. Lifted when the failover fails or is cancelled.
 */
export function fenceStep<I>(parts: Pick<WorkflowParts, 'items' | 'sites' | 'store' | 'clock'>): Step<I> {
  return {
    name: 'Fence',
    title: 'Closing the item to its source',
    where: 'database',
    do: async (context) => {
      const { id, itemId } = claimed(context);
      await parts.store.fence(itemId, { failoverId: context.jobId, fencedAt: context.startedAt });
      const site = await siteOf(parts, id);
      const reported = site && (await parts.sites.machine(site.siteId, site.item.machineId));
      const heardAt = reported && Date.parse(reported.mobilityService.lastHeartbeatAt);
      return { isSourceHeard: heardAt !== undefined && parts.clock.now() - heardAt < heardMilliseconds };
    },
    undo: (context) =>
      parts.store.liftFence(claimed(context).itemId, new Date(parts.clock.now()).toISOString()),
  };
}

/** Of a step named `Choose`, which gave a `ChosenPoint`. */
export function machineFromPoint<I extends Input>(
  parts: FailoverParts,
  kind: FailoverRecord['kind'],
): readonly Step<I>[] {
  return [
    lendStep(parts, async (context) => context.report('cloning the disks of the recovery point', 0.2)),
    {
      name: 'Record',
      title: 'Recording the failover',
      where: 'database',
      do: async (context) => {
        const { id, itemId, name } = claimed(context);
        const { pointId, takenAt } = outputOf<ChosenPoint>(context, 'Choose');
        const short = context.jobId.slice(0, 8);
        await parts.failovers.save({
          itemId,
          failoverId: context.jobId,
          kind,
          pointId,
          pointTakenAt: takenAt,
          machine: KeptMachine.parse({
            name: `leeward-${plainName(name)}-${short}`,
            ...(await machineOf(parts, id, context.input.machine)),
            disks: onBuses(outputOf<string[]>(context, 'Lend')),
            network: networkOf(context.input.network, `leeward-${short}`),
            ...(await markerOf(parts, context, 'failover')),
          }),
          startedAt: context.job.createdAt,
        });
        return undefined;
      },
      undo: async (context) => {
        await parts.failovers.remove(claimed(context).itemId, context.jobId);
      },
    },
    powerOnStep(parts),
    answerStep(parts),
    finish(
      parts,
      async (context) => {
        const { pointId } = outputOf<ChosenPoint>(context, 'Choose');
        context.report('the machine runs at the recovery location', 1);
        return { failoverPointId: pointId, lastFailoverAt: new Date(parts.clock.now()).toISOString() };
      },
      'Completing the failover',
      async (context) => {
        const { pointId, pointTakenAt, machine, address } = await recordOf(parts, claimed(context).itemId);
        return {
          pointId,
          pointTakenAt,
          machineName: machine.name,
          networkName: machine.network.name,
          ...(address === undefined ? {} : { address }),
        };
      },
    ),
  ];
}

/** The machine of the item's record. */
export function powerOnStep<I>(parts: Pick<WorkflowParts, 'failovers' | 'provider'>): Step<I> {
  return {
    name: 'PowerOn',
    title: 'Starting the machine',
    where: 'hypervisor',
    do: async (context) => {
      context.report('starting the machine', 0.5);
      await providerOf(parts).start(definitionOf(await recordOf(parts, claimed(context).itemId)));
      return undefined;
    },
    // The record may still be that of the failover before, whose machine is not this job's.
    undo: async (context) => {
      const record = await parts.failovers.ofItem(claimed(context).itemId);
      if (record?.failoverId === context.jobId) await providerOf(parts).remove(record.machine.name);
    },
  };
}

export function answerStep<I extends Pick<Input, 'check' | 'timeoutSeconds'>>(
  parts: Pick<WorkflowParts, 'failovers' | 'provider'>,
): Step<I> {
  return {
    name: 'Answer',
    title: 'Waiting until the machine answers',
    where: 'hypervisor',
    do: async (context: StepContext<I>) => {
      const { input, signal } = context;
      context.report('waiting until the machine answers', 0.7);
      const record = await recordOf(parts, claimed(context).itemId);
      const { address } = await providerOf(parts).waitUntilReady(
        record.machine.name,
        input.check,
        input.timeoutSeconds * 1000,
        signal,
      );
      if (address !== undefined) await parts.failovers.save({ ...record, address });
      return address === undefined ? undefined : { address };
    },
  };
}

export async function recordOf(
  { failovers }: Pick<WorkflowParts, 'failovers'>,
  itemId: ProtectedItemId,
): Promise<FailoverRecord> {
  const record = await failovers.ofItem(itemId);
  if (!record) throw errors.FailoverUnknown(itemId);
  return record;
}

export function definitionOf({ machine }: FailoverRecord): MachineDefinition {
  const { directBoot, ...rest } = machine;
  return { ...rest, ...(directBoot === undefined ? {} : { directBoot }) };
}
