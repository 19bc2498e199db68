/**
 * Repair replication (resync): every disk is compared with its replica, in a new chain, and only what differs is sent. The
 * job ends when that is ordered; the item's progress tells the rest.
 *
 *     Claim ─▶ OrderResync ─▶ Finish
 */

import { errors } from '../errors.ts';
import type { Step, Workflow } from '../jobs/workflow.ts';
import { ItemInput, type ItemRef } from './inputs.ts';
import { claim, claimed, finish } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = ItemRef;
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
    title: 'Ordering the comparison of all disks',
    where: 'storage',
    do: async ({ outputs }) => {
      const { chain, cause } = outputs.ChooseChain as {
        chain: number;
        cause: 'ReplicaInvalid' | 'Requested';
      };
      const isNew = await parts.orderResync(claimed({ outputs }).itemId, chain, cause);
      if (isNew)
        await parts.store.addEvents(claimed({ outputs }).itemId, [
          {
            code: 'ResyncRequested',
            severity: 'information',
            summary: `a comparison of all disks with their replica was asked for (chain ${chain} ends)`,
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
    input: ItemInput,
    steps: () => steps,
    cancelable: false,
  };
}
