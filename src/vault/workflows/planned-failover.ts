/**
 * Planned failover: the source is well and is left on purpose, so nothing may be lost. It is shut down first, its last
 * changes are waited for, and only then does a machine start from them.
 *
 *     Claim ─▶ Look ─▶ ShutDownSource ─▶ TakeBookmark ─▶ Choose (waits for it) ─▶ Lend ─▶ Record ─▶ PowerOn ─▶ Answer ─▶ Finish
 *
 * A site that takes the last bookmark itself while the machine goes down says so in its answer (the bookmark's id), and
 * is not asked for one: a machine that is off cannot take any.
 */
import type { Step, StepContext, Wait, Workflow } from '../jobs/workflow.ts';
import { errors } from './errors.ts';
import { type ChosenPoint, type FailoverParts, machineFromPoint, shutDownSource } from './failover-steps.ts';
import { PlannedFailoverInput } from './inputs.ts';
import { claim, claimed, type OrderOutcome, outputOf, providerOf, siteOf, siteOrder } from './item-steps.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = PlannedFailoverInput;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: FailoverParts): readonly Step<Input>[] => [
  claim(parts, 'PlannedFailover', 'PlannedFailover', ({ input: { id, itemId } }) => ({ id, itemId })),
  {
    name: 'Look',
    title: 'Looking at what is there',
    where: 'database',
    do: async (context) => {
      await providerOf(parts).check();
      const [newest] = await parts.store.listPoints(claimed(context).itemId, { limit: 1 });
      return { newest: newest?.pointId ?? null, takenAt: newest?.takenAt ?? null };
    },
  },
  shutDownSource<Input>(parts, false),
  takeBookmark(parts),
  {
    name: 'Choose',
    title: 'Waiting for the last recovery point',
    where: 'database',
    do: (context) => awaitPoint(parts, context),
  },
  ...machineFromPoint<Input>(parts, 'planned'),
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function plannedFailover(parts: FailoverParts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'planned-failover',
    scenarioName: 'PlannedFailover',
    friendlyName: 'Planned failover',
    input: PlannedFailoverInput,
    steps: () => steps,
    cancelable: true,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** What the source had not sent yet when it was shut down must come through a slow line. */
const lastPointSeconds = 3600;
const lookMilliseconds = 2_000;

function takeBookmark(parts: FailoverParts): Step<Input> {
  return siteOrder<Input>(parts, {
    name: 'TakeBookmark',
    title: 'Taking the last bookmark',
    timeoutSeconds: lastPointSeconds,
    isOptional: true,
    what: async (context) => {
      const { id, itemId } = claimed(context);
      if (guid.test(outputOf<OrderOutcome>(context, 'ShutDownSource').output ?? '')) return undefined;
      const site = await siteOf(parts, id);
      return (
        site && {
          siteId: site.siteId,
          content: { order: 'take-bookmark', itemId, type: 'CrashConsistent' },
        }
      );
    },
  });
}

/** The point of the bookmark that was named; or, of a site that named none, one that is newer than all before. */
async function awaitPoint(parts: FailoverParts, context: StepContext<Input>): Promise<ChosenPoint | Wait> {
  const { itemId, name } = claimed(context);
  const asked = outputOf<OrderOutcome>(context, 'TakeBookmark');
  if (asked.outcome === 'failed') throw errors.LastPointMissing(name, lastPointSeconds);
  const named = [outputOf<OrderOutcome>(context, 'ShutDownSource').output, asked.output].find(
    (output) => output !== undefined && guid.test(output),
  );
  const before = outputOf<{ newest: string | null; takenAt: string | null }>(context, 'Look');
  const points = await parts.store.listPoints(itemId, { limit: 100 });
  const point =
    named === undefined
      ? points.find(({ takenAt }) => before.takenAt === null || takenAt > before.takenAt)
      : points.find(({ pointId }) => pointId === named.toLowerCase());
  if (point) return { pointId: point.pointId, takenAt: point.takenAt };
  if (parts.clock.now() - Date.parse(context.startedAt) > lastPointSeconds * 1000)
    throw errors.LastPointMissing(name, lastPointSeconds);
  context.report('waiting for the last recovery point', 0.1);
  return { wait: 'time', until: new Date(parts.clock.now() + lookMilliseconds).toISOString() };
}
