/**
 * Initial replication, as a job for people to watch: the copying is done by the machines, the log processor cuts the first
 * recovery point, and with that the job ends. It holds nothing and changes nothing, so it may be cancelled at any time.
 *
 *     Replicate (looks every half minute) ─▶ Succeeded
 */
import type { Json, Step, StepContext, Wait, Workflow } from '../jobs/workflow.ts';
import { errors } from './errors.ts';
import { InitialReplicationInput } from './inputs.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = InitialReplicationInput;
type Parts = Pick<WorkflowParts, 'store' | 'clock'>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts): readonly Step<Input>[] => [
  {
    name: 'Replicate',
    title: 'Initial replication',
    where: 'storage',
    do: (context) => look(parts, context),
  },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function initialReplication(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'initial-replication',
    scenarioName: 'FinalizeProtection',
    friendlyName: 'Initial replication',
    input: InitialReplicationInput,
    steps: () => steps,
    cancelable: true,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A thousand items at once cost thirty looks a second. */
const lookMilliseconds = 30_000;
/** The first look is soon: small machines are done by then. */
const firstLookMilliseconds = 5_000;
/** 10 TB through 20 Mbit/s take 46 days. */
const daysMax = 60;

async function look({ store, clock }: Parts, context: StepContext<Input>): Promise<Json | Wait> {
  const { input, startedAt } = context;
  const item = await store.item(input.itemId);
  if (!item) return { ended: 'the item is not protected any more' };
  const [point] = await store.listPoints(input.itemId, { limit: 1, isComplete: true });
  if (point) {
    context.report('the first recovery point is there', 1);
    return { pointId: point.pointId };
  }
  const { progress } = await store.state(input.itemId);
  const total = progress.reduce((sum, disk) => sum + disk.totalBytes, 0);
  const done = progress.reduce((sum, disk) => sum + disk.doneBytes, 0);
  context.report(
    total === 0 ? 'waiting for the machine' : `${done} of ${total} bytes compared`,
    total === 0 ? 0 : done / total,
  );
  const sinceMilliseconds = clock.now() - Date.parse(startedAt);
  if (sinceMilliseconds > daysMax * 86_400_000) throw errors.InitialReplicationOverdue(item.name, daysMax);
  const pause = sinceMilliseconds < lookMilliseconds ? firstLookMilliseconds : lookMilliseconds;
  return { wait: 'time', until: new Date(clock.now() + pause).toISOString() };
}
