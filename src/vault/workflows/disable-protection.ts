/**
 * Disable protection: the site forgets the item, then the vault does. With `purge` the site is not waited for: the order
 * waits for it instead. A machine that failed over keeps its disks, which are its own by then.
 *
 *     Claim ─▶ Unprotect (order) ─▶ Release (no return) ─▶ DropReplica ─▶ DropLeftovers ─▶ Remove (row)
 */
import { derivedId } from '../jobs/derived-id.ts';
import type { Step, StepContext, Workflow } from '../jobs/workflow.ts';
import { removePoints } from './commit-failover.ts';
import { DisableProtectionInput } from './inputs.ts';
import { claim, claimed, dataItem, resourceOf, siteOf, siteOrder } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = DisableProtectionInput;
type Context = StepContext<Input>;
type Parts = Pick<
  WorkflowParts,
  'items' | 'store' | 'sites' | 'orders' | 'replica' | 'failovers' | 'clock' | 'releaseItem' | 'dropLeftovers'
>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts, input: Input): readonly Step<Input>[] => [
  claim(parts, 'DisableProtection', 'DisableDr', ({ input }) => input),
  input.purge ? leaveOrder(parts) : unprotect(parts),
  {
    name: 'Release',
    title: 'Ending the processing of its changes',
    where: 'database',
    isPivot: true,
    do: async (context) => {
      await parts.releaseItem(claimed(context).itemId);
      return undefined;
    },
  },
  {
    name: 'DropReplica',
    title: 'Removing the replica',
    where: 'replica',
    do: async (context) => {
      await dropReplica(parts, context);
      return undefined;
    },
  },
  {
    name: 'DropLeftovers',
    title: 'Removing what waits in cache storage',
    where: 'storage',
    do: async (context) => {
      await parts.dropLeftovers(claimed(context).itemId);
      return undefined;
    },
  },
  {
    name: 'Remove',
    title: 'Removing the item',
    where: 'database',
    do: async (context) => {
      await parts.items.end(claimed(context).id, context.jobId, 'done');
      return undefined;
    },
  },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function disableProtection(parts: Parts): Workflow<Input> {
  return {
    name: 'disable-protection',
    scenarioName: 'DisableDr',
    friendlyName: 'Disable replication',
    input: DisableProtectionInput,
    steps: (input) => stepsOf(parts, input),
    cancelable: false,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A site answers in seconds; one that is being restarted, in minutes. Whoever cannot wait purges. */
const unprotectSeconds = 900;
const purgeSeconds = 365 * 86_400;

function orderOf(parts: Parts) {
  return async (context: Pick<Context, 'outputs'>) => {
    const { id, itemId } = claimed(context);
    const site = await siteOf(parts, id);
    return site && { siteId: site.siteId, content: { order: 'unprotect' as const, itemId } };
  };
}

function unprotect(parts: Parts): Step<Input> {
  const step = siteOrder<Input>(parts, {
    name: 'Unprotect',
    title: 'Taking the machine’s assignments away',
    timeoutSeconds: unprotectSeconds,
    what: orderOf(parts),
  });
  return {
    ...step,
    do: async (context) => {
      // A fabric whose site is gone has nobody to tell.
      const resource = await resourceOf(parts, context.input);
      if (!resource || (await parts.sites.siteOf(resource)) === undefined) return { outcome: 'skipped' };
      return step.do(context);
    },
  };
}

function leaveOrder(parts: Parts): Step<Input> {
  return {
    name: 'Unprotect',
    title: 'Leaving word for the site',
    where: 'site',
    do: async (context) => {
      const what = await orderOf(parts)(context);
      if (what)
        await parts.orders.place({
          ...what,
          orderId: derivedId(context.jobId, 'Unprotect'),
          expiresAt: new Date(Date.parse(context.startedAt) + purgeSeconds * 1000).toISOString(),
        });
      return { outcome: what ? 'done' : 'skipped' };
    },
  };
}

async function dropReplica(parts: Parts, context: Context): Promise<void> {
  const { itemId } = claimed(context);
  const item = await parts.store.item(itemId);
  if (!item) return;
  if ((await parts.failovers.ofItem(itemId)) === undefined) {
    await parts.store.removeItem(itemId);
    await parts.replica.dropItem(itemId);
    return;
  }
  await removePoints(parts, itemId);
  for (const { diskId } of (await dataItem(parts, itemId)).disks)
    await parts.replica.clearHead(itemId, diskId);
  await parts.store.removeItem(itemId);
}
