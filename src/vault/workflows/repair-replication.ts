/**
 * Repair replication (resync): every disk is compared with its replica, in a new chain, and only what differs is sent. When
 * disks are named, only they are, in the chain that is: the others are still trusted. An item whose chain is broken trusts
 * none, so all are compared whatever was named. The job ends when that is ordered; the item's progress tells the rest.
 *
 *     Claim ─▶ OrderResync ─▶ Finish
 */

import { errors } from '../errors.ts';
import type { Step, Workflow } from '../jobs/workflow.ts';
import { RepairReplicationInput } from './inputs.ts';
import { claim, claimed, finish } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = RepairReplicationInput;
type Parts = Pick<WorkflowParts, 'items' | 'store' | 'clock' | 'orderResync'>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts): readonly Step<Input>[] => [
  claim(parts, 'RepairReplication', 'RepairReplication', ({ input }) => input),
  {
    name: 'ChooseChain',
    title: 'Looking at the replica',
    where: 'database',
    do: async (context) => {
      const { itemId, name } = claimed(context);
      const { position, blocked } = await parts.store.state(itemId);
      const chain = Math.max(position?.chain ?? 0, blocked?.chain ?? 0);
      if (chain === 0) throw errors.NothingToResync(name);
      return { chain, cause: blocked === undefined ? 'Requested' : 'ReplicaInvalid' };
    },
  },
  {
    name: 'OrderResync',
    title: 'Ordering the comparison',
    where: 'storage',
    do: async ({ input, outputs }) => {
      const { chain, cause } = outputs.ChooseChain as {
        chain: number;
        cause: 'ReplicaInvalid' | 'Requested';
      };
      const { itemId } = claimed({ outputs });
      const diskIds = cause === 'Requested' ? input.diskIds : undefined;
      let isNew = false;
      for (const diskId of diskIds ?? [undefined])
        if (await parts.orderResync(itemId, chain, cause, diskId)) isNew = true;
      if (isNew)
        await parts.store.addEvents(claimed({ outputs }).itemId, [
          {
            code: 'ResyncRequested',
            severity: 'information',
            summary:
              diskIds === undefined
                ? `a comparison of all disks with their replica was asked for (chain ${chain} ends)`
                : `a comparison of ${diskIds.length} of its disks with their replica was asked for`,
            possibleCauses: 'Somebody asked for it.',
            recommendedAction:
              'Nothing: it begins when the machine is connected, and only what differs is sent.',
            raisedAt: new Date(parts.clock.now()).toISOString(),
            context: { chain },
          },
        ]);
      return { chain, isNew };
    },
  },
  finish(parts, async () => ({})),
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function repairReplication(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'repair-replication',
    scenarioName: 'RepairReplication',
    friendlyName: 'Resynchronize',
    input: RepairReplicationInput,
    steps: () => steps,
    cancelable: false,
  };
}
