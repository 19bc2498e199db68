/**
 * Planned failover: the source is well and is left on purpose. It takes a bookmark, is shut down, and its last point is
 * waited for; only then does a machine start from that.
 *
 *     Claim ─▶ Look ─▶ TakeBookmark ─▶ ShutDownSource ─▶ Choose (waits) ─▶ Fence ─▶ Lend ─▶ Record ─▶ PowerOn ─▶ Answer ─▶ Finish
 *                       a failure up to here costs no downtime
 *
 * The machine's mobility service is the last one there: it stops whatever writes, takes the last bookmark, and says so. The
 * site names that bookmark; its point is waited for, and nothing that was synced is lost. A machine that fell silent without
 * that is not believed to be off: the job waits for a person (`Suspended`), and what is then used is the newest point there
 * is. Such a failover ends as `CompletedWithInformation`.
 */
import type { Step, StepContext, Wait, Workflow } from '../jobs/workflow.ts';
import {
  comparePlaces,
  isComplete,
  type PointPlace,
  type ProtectedItem,
  type RecoveryPoint,
} from '../store/vault-store.ts';
import { errors } from './errors.ts';
import { type FailoverParts, fenceStep, machineFromPoint, shutDownSource } from './failover-steps.ts';
import { PlannedFailoverInput } from './inputs.ts';
import {
  type ChosenPoint,
  choosePoint,
  claim,
  claimed,
  mustFit,
  type OrderOutcome,
  outputOf,
  providerOf,
  siteOf,
  siteOrder,
} from './item-steps.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = PlannedFailoverInput;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: FailoverParts): readonly Step<Input>[] => [
  claim(parts, 'PlannedFailover', 'PlannedFailover', ({ input }) => input),
  {
    name: 'Look',
    title: 'Looking at what is there',
    where: 'database',
    do: async (context) => {
      await providerOf(parts).check();
      await mustFit(parts, claimed(context), context.input.machine);
      const { itemId, name } = claimed(context);
      const [newest] = await parts.store.listPoints(itemId, { limit: 1 });
      // Before the source is stopped: what its points lack now, the last one would lack, too.
      await mustHaveEveryDisk(parts, { itemId, name }, newest);
      // Its place, not its date: the machine's clock may be stepped before the next one.
      return { newest: newest ? { chain: newest.chain, sequence: newest.sequence } : null };
    },
  },
  takeBookmark(parts),
  shutDownSource<Input>(parts, 'ask'),
  {
    name: 'Choose',
    title: 'Waiting for the last recovery point',
    where: 'database',
    do: (context) => awaitPoint(parts, context),
  },
  fenceStep(parts),
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
    conclude: (outputs) => ({
      stateDescription: outputOf<Chosen>({ outputs }, 'Choose').isLast
        ? 'Completed'
        : 'CompletedWithInformation',
    }),
    cancelable: true,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** A freeze takes a second; a machine that is busy or far away, minutes. */
const bookmarkSeconds = 600;
/** What the source had not sent yet when it was shut down must come through a slow line. */
const lastPointSeconds = 3600;
const lookMilliseconds = 2_000;

type Chosen = ChosenPoint & {
  /** Nothing was written after it. */
  readonly isLast: boolean;
};

function takeBookmark(parts: FailoverParts): Step<Input> {
  return siteOrder<Input>(parts, {
    name: 'TakeBookmark',
    title: 'Taking a bookmark',
    timeoutSeconds: bookmarkSeconds,
    what: async (context) => {
      const { id, itemId } = claimed(context);
      const site = await siteOf(parts, id);
      return (
        site && {
          siteId: site.siteId,
          content: { order: 'take-bookmark', itemId, type: 'ApplicationConsistent' },
        }
      );
    },
  });
}

async function awaitPoint(parts: FailoverParts, context: StepContext<Input>): Promise<Chosen | Wait> {
  const { itemId, name } = claimed(context);
  const { output = '' } = outputOf<OrderOutcome>(context, 'ShutDownSource');
  const named = guid.test(output) ? output.toLowerCase() : undefined;
  const { newest: before } = outputOf<{ newest: PointPlace | null }>(context, 'Look');
  const points = await parts.store.listPoints(itemId, { limit: pointsLookedAt });
  const point =
    named === undefined
      ? // The one that was asked for is there; there may be newer ones by now.
        points.some(
          (point) =>
            point.type === 'ApplicationConsistent' && (before === null || comparePlaces(point, before) > 0),
        )
        ? points[0]
        : undefined
      : points.find(({ pointId }) => pointId === named);
  await mustHaveEveryDisk(parts, { itemId, name }, point);
  if (point) return { pointId: point.pointId, takenAt: point.takenAt, isLast: named !== undefined };
  if (parts.clock.now() - Date.parse(context.startedAt) > lastPointSeconds * 1000)
    throw errors.LastPointMissing(name, lastPointSeconds);
  context.report('waiting for the last recovery point', 0.1);
  return { wait: 'time', until: new Date(parts.clock.now() + lookMilliseconds).toISOString() };
}

/** A planned failover loses nothing, so it never takes a point that lacks a disk. */
async function mustHaveEveryDisk(
  parts: FailoverParts,
  item: Pick<ProtectedItem, 'itemId' | 'name'>,
  point: RecoveryPoint | undefined,
): Promise<void> {
  if (point === undefined || isComplete(point)) return;
  const { lacks = [] } = await choosePoint(parts, item, point.pointId);
  throw errors.LastPointIncomplete(item.name, lacks);
}

/** An hour's of the closest policy, and room. */
const pointsLookedAt = 100;
