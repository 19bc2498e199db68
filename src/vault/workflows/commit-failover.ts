/**
 * Commit: the failover is right as it is. From now on no other point can be chosen, so the points go; the replica's heads
 * stay, because reprotecting compares with them instead of copying everything.
 *
 *     Claim ─▶ Mark ─▶ Finish ─▶ RemovePoints
 */
import type { Step, Workflow } from '../jobs/workflow.ts';
import { ItemInput, type ItemRef } from './inputs.ts';
import { claim, claimed, finish } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = ItemRef;
type Parts = Pick<WorkflowParts, 'items' | 'store' | 'replica' | 'failovers' | 'clock'>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts): readonly Step<Input>[] => [
  claim(parts, 'Commit', 'FailoverCommit', ({ input }) => input),
  {
    name: 'Mark',
    title: 'Committing the failover',
    where: 'database',
    do: async (context) => {
      const record = await parts.failovers.ofItem(claimed(context).itemId);
      if (record && record.committedAt === undefined)
        await parts.failovers.save({ ...record, committedAt: new Date(parts.clock.now()).toISOString() });
      return undefined;
    },
    undo: async (context) => {
      const record = await parts.failovers.ofItem(claimed(context).itemId);
      if (record === undefined) return;
      const { committedAt: _, ...open } = record;
      await parts.failovers.save(open);
    },
  },
  finish(parts, async () => ({})),
  {
    name: 'RemovePoints',
    title: 'Removing the recovery points',
    where: 'replica',
    do: async (context) => {
      await removePoints(parts, claimed(context).itemId);
      return undefined;
    },
  },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function commitFailover(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'commit-failover',
    scenarioName: 'CommitFailover',
    friendlyName: 'Commit failover',
    input: ItemInput,
    steps: () => steps,
    cancelable: false,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Points at once; each round removes what it has read. */
const pageSize = 500;

/** The record first, then the clones: what a crash leaves in between is swept by retention. */
export async function removePoints(
  { store, replica }: Pick<WorkflowParts, 'store' | 'replica'>,
  itemId: Parameters<WorkflowParts['store']['listPoints']>[0],
): Promise<void> {
  for (;;) {
    const points = await store.listPoints(itemId, { limit: pageSize });
    for (const { pointId } of points) {
      await store.removePoint(itemId, pointId);
      await replica.dropPoint(itemId, pointId);
    }
    if (points.length < pageSize) break;
  }
  for (const pointId of await replica.listPoints(itemId)) await replica.dropPoint(itemId, pointId);
}
