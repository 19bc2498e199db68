/**
 * Verify: everything that the vault holds of an item is read back and compared with its chains, digests and sums. The job
 * fails when something is not what was replicated, and names it; nothing is changed, so nothing is undone.
 *
 *     Find ─▶ ReadBack ─▶ as recorded: Succeeded
 *                     └─▶ damaged:     Failed, with a critical event of the item that says the same
 *
 * The item is not claimed: reading back may take hours, and a failover must not wait for it. A vault that dies meanwhile is
 * followed by one that reads from the beginning.
 */
import { HealthEvent } from '../../model/health.ts';
import type { ProtectedItemId } from '../../model/ids.ts';
import { errors as vaultErrors } from '../errors.ts';
import type { Step, StepContext, Workflow } from '../jobs/workflow.ts';
import { toHealthEvent } from '../log-processor/item-processor.ts';
import { errors } from './errors.ts';
import { ItemInput, type ItemRef } from './inputs.ts';
import { dataItem, outputOf, resourceOf } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = ItemRef;
type Context = StepContext<Input>;
type Parts = Pick<WorkflowParts, 'items' | 'store' | 'clock' | 'verifyItem'>;

/** What the job gives. */
export interface VerifyOutput {
  readonly manifestCount: number;
  readonly pointCount: number;
  readonly checkedBytes: number;
  readonly findings: readonly string[];
}

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts): readonly Step<Input>[] => [
  {
    name: 'Find',
    title: 'Looking the item up',
    where: 'database',
    do: (context) => find(parts, context),
  },
  {
    name: 'ReadBack',
    title: 'Reading everything back',
    where: 'replica',
    do: (context) => readBack(parts, context),
  },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function verifyItemWorkflow(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'verify-item',
    scenarioName: 'VerifyItem',
    friendlyName: 'Verify',
    input: ItemInput,
    steps: () => steps,
    conclude: (outputs) => {
      const { damage } = outputs.ReadBack as { damage: unknown };
      return damage === null
        ? { stateDescription: 'Completed' }
        : { stateDescription: 'Damaged', failed: HealthEvent.parse(damage) };
    },
    cancelable: true,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

async function find(parts: Parts, { input }: Context) {
  const resource = await resourceOf(parts, input);
  if (resource?.itemId === undefined) throw vaultErrors.ItemUnknown(resource?.friendlyName ?? input.id);
  return { itemId: resource.itemId, name: resource.friendlyName };
}

async function readBack(parts: Parts, context: Context) {
  const { itemId, name } = outputOf<{ itemId: ProtectedItemId; name: string }>(context, 'Find');
  const found = await parts.verifyItem(
    await dataItem(parts, itemId),
    ({ doneBytes, totalBytes }) => {
      const fraction = doneBytes / Math.max(totalBytes, 1);
      context.report(`reading back, ${Math.floor(fraction * 100)} %`, Math.min(1, fraction));
    },
    context.signal,
  );
  // Protection was disabled meanwhile: what is missing was meant to go.
  await dataItem(parts, itemId);
  const findings = found.findings.map(({ code, summary }) => `${code}: ${summary}`);
  const damage =
    findings.length === 0
      ? null
      : toHealthEvent(
          errors.ReplicaDamaged(
            name,
            found.findings.map(({ summary }) => summary),
          ),
          parts.clock,
        );
  if (damage !== null) await parts.store.addEvents(itemId, [damage]);
  return {
    manifestCount: found.manifests,
    pointCount: found.points,
    checkedBytes: found.bytesRead,
    findings,
    damage,
  };
}
