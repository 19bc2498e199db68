/**
 * Steps that the workflows of a protected item share: taking hold of the item by its state, letting it go, ordering the
 * site, choosing a point, and making a machine of a loan.
 *
 *     Claim ──▶ … ──▶ Finish          Claim's undo, which is the last of all, puts the item into its state for failures
 *
 * Every id is derived from the job's, so a step that is run again finds what it made.
 */

import type { HealthEvent } from '../../model/health.ts';
import type { ProtectedItemId } from '../../model/ids.ts';
import type { ItemOperation } from '../../model/protection-state.ts';
import { LeewardError } from '../../platform/errors.ts';
import { errors } from '../errors.ts';
import type { FailoverProvider, MachineDefinition } from '../failover/provider.ts';
import { derivedId } from '../jobs/derived-id.ts';
import type { Json, Step, StepContext, Wait } from '../jobs/workflow.ts';
import { failoverFreeBytesMin, replicaReserveBytes } from '../limits.ts';
import type { ItemChanges, ItemResource } from '../store/protected-items.ts';
import type { OrderContent } from '../store/site-orders.ts';
import { isComplete, type ProtectedItem, type RecoveryPoint } from '../store/vault-store.ts';
import { errors as workflowErrors } from './errors.ts';
import type { ItemRef, MachineShape, NetworkChoice } from './inputs.ts';
import type { WorkflowParts } from './parts.ts';

type Context<I> = StepContext<I>;

export interface ClaimedItem {
  readonly id: string;
  readonly itemId: ProtectedItemId;
  readonly name: string;
}

/** Guards and marks the item; idempotent by the job. */
export function claim<I>(
  parts: Pick<WorkflowParts, 'items'>,
  operation: ItemOperation,
  scenarioName: string,
  refOf: (context: Context<I>) => ItemRef,
): Step<I> {
  return {
    name: 'Claim',
    title: 'Checking prerequisites',
    where: 'database',
    do: async (context) => {
      const ref = refOf(context);
      const resource = await resourceOf(parts, ref);
      if (resource === undefined) throw errors.ItemUnknown(ref.id);
      await parts.items.begin(resource.id, operation, {
        jobId: context.jobId,
        scenarioName,
        startedAt: context.job.createdAt,
      });
      if (resource.itemId === undefined) throw errors.ItemUnknown(resource.friendlyName);
      return { id: resource.id, itemId: resource.itemId, name: resource.friendlyName };
    },
    undo: async (context) => {
      const resource = await resourceOf(parts, refOf(context));
      if (resource) await parts.items.end(resource.id, context.jobId, 'failed');
    },
  };
}

/** Lets the item go. The job's point of no return: what is left to do afterwards is only tidying. */
export function finish<I>(
  parts: Pick<WorkflowParts, 'items'>,
  before: (context: Context<I>) => Promise<ItemChanges>,
  title = 'Completing',
  output: (context: Context<I>) => Promise<Json | undefined> = async () => undefined,
): Step<I> {
  return {
    name: 'Finish',
    title,
    where: 'database',
    isPivot: true,
    do: async (context) => {
      const changes = await before(context);
      await parts.items.end(claimed(context).id, context.jobId, 'done', changes);
      return output(context);
    },
  };
}

export const claimed = ({ outputs }: Pick<StepContext<unknown>, 'outputs'>): ClaimedItem =>
  outputs.Claim as unknown as ClaimedItem;

/** What an earlier step gave. */
export const outputOf = <T>({ outputs }: Pick<StepContext<unknown>, 'outputs'>, step: string): T =>
  outputs[step] as unknown as T;

export const resourceOf = (
  { items }: Pick<WorkflowParts, 'items'>,
  { id }: ItemRef,
): Promise<ItemResource | undefined> => items.byId(id);

export async function dataItem(
  { store }: Pick<WorkflowParts, 'store'>,
  itemId: ProtectedItemId,
): Promise<ProtectedItem> {
  const item = await store.item(itemId);
  if (!item) throw errors.ItemUnknown(itemId);
  return item;
}

export function providerOf({ provider }: Pick<WorkflowParts, 'provider'>): FailoverProvider {
  if (!provider) throw errors.FeatureMissing('failover');
  return provider;
}

// ── the site ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What became of an order that may fail. */
export interface OrderOutcome {
  readonly outcome: 'done' | 'failed' | 'skipped' | 'trusted';
  readonly output?: string;
  readonly why?: string;
}

/** Orders the site something and waits for its answer, once. */
export function siteOrder<I>(
  { orders, clock }: Pick<WorkflowParts, 'orders' | 'clock'>,
  order: {
    readonly name: string;
    readonly title: string;
    readonly timeoutSeconds: number;
    /** Undefined: there is nothing to order, or nobody. */
    readonly what: (
      context: Context<I>,
    ) => Promise<{ readonly siteId: string; readonly content: OrderContent } | undefined>;
    /** The job goes on when the site fails or has none to order. */
    readonly isOptional?: boolean;
    readonly undo?: (context: Context<I>) => Promise<void>;
  },
): Step<I> {
  return {
    name: order.name,
    title: order.title,
    where: 'site',
    do: async (context): Promise<Json | Wait> => {
      const orderId = derivedId(context.jobId, order.name);
      const expiresAt = new Date(Date.parse(context.startedAt) + order.timeoutSeconds * 1000).toISOString();
      let answer = await orders.answer(orderId);
      if (answer === undefined) {
        const what = await order.what(context);
        if (!what) {
          if (order.isOptional) return { outcome: 'skipped' };
          throw workflowErrors.SiteMissing(context.job.target.name);
        }
        context.report(order.title);
        await orders.place({ orderId, siteId: what.siteId, content: what.content, expiresAt });
        answer = await orders.answer(orderId);
      }
      if (answer === undefined) {
        // The desk answers in the site's place when the time is over; this is for a desk that does not.
        const until = new Date(Date.parse(expiresAt) + 5 * 60_000).toISOString();
        if (new Date(clock.now()).toISOString() < until) return { wait: 'order', orderId, until };
      }
      if (answer?.outcome.state === 'done')
        return {
          outcome: 'done',
          ...(answer.outcome.output === undefined ? {} : { output: answer.outcome.output }),
        };
      const error = answer?.outcome.state === 'failed' ? ofEvent(answer.outcome.error) : undefined;
      if (order.isOptional) return { outcome: 'failed', why: error?.summary ?? 'the site did not answer' };
      throw error ?? workflowErrors.SiteMissing(context.job.target.name);
    },
    ...(order.undo === undefined ? {} : { undo: order.undo }),
  };
}

/** The site's error as it said it. */
function ofEvent({ code, severity, summary, possibleCauses, recommendedAction, context }: HealthEvent) {
  return new LeewardError({
    code,
    summary,
    possibleCauses,
    recommendedAction,
    context,
    severity: severity === 'information' ? 'warning' : severity,
  });
}

/** Site and machine of an item, if it still has them. */
export async function siteOf(
  { items, sites }: Pick<WorkflowParts, 'items' | 'sites'>,
  id: string,
): Promise<{ readonly siteId: string; readonly item: ItemResource } | undefined> {
  const item = await items.byId(id);
  const siteId = item && (await sites.siteOf(item));
  return item && siteId !== undefined ? { siteId, item } : undefined;
}

// ── points ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Points looked through for one of a kind, or for an id, a page at a time. */
const pointsPage = 500;

/** What a step named `Choose` gives: a point, what it lacks, and what was left aside for it. */
export type ChosenPoint = {
  readonly pointId: RecoveryPoint['pointId'];
  readonly takenAt: string;
  /** Disks that are not in it, as a person reads them: `/dev/sdb (gone)`. */
  readonly lacks?: readonly string[];
  /** Points that are newer and were not taken because they lack disks. */
  readonly passedOver?: {
    readonly count: number;
    readonly takenAt: string;
    readonly lacks: readonly string[];
  };
};

/**
 * The point that was wished for. The latest of a kind is the latest that has every disk: a machine without one of its disks is
 * not what was lost, so who wants it says so, by the point's id or with `allowMissingDisks`.
 */
export async function choosePoint(
  { store }: { readonly store: Pick<WorkflowParts['store'], 'listPoints' | 'item'> },
  item: Pick<ProtectedItem, 'itemId' | 'name'>,
  wish: string,
  { allowMissingDisks = false }: { readonly allowMissingDisks?: boolean } = {},
): Promise<ChosenPoint> {
  const isKind = wish.startsWith('latest');
  const fits = (point: RecoveryPoint) =>
    wish === 'latestApplicationConsistent'
      ? point.type === 'ApplicationConsistent'
      : wish === 'latestCrashConsistent'
        ? point.type === 'CrashConsistent'
        : isKind || point.pointId === wish;
  const left: RecoveryPoint[] = [];
  for (let before: RecoveryPoint | undefined; ; ) {
    const page = await store.listPoints(item.itemId, {
      limit: pointsPage,
      ...(before === undefined ? {} : { before }),
    });
    for (const point of page) {
      if (!fits(point)) continue;
      if (!isKind || allowMissingDisks || isComplete(point)) return described(point);
      left.push(point);
    }
    if (page.length < pointsPage) break;
    before = page.at(-1)!;
  }
  if (!isKind) throw errors.RecoveryPointGone(wish);
  if (left[0] === undefined) throw workflowErrors.NoRecoveryPoint(item.name, wish);
  throw workflowErrors.NoCompleteRecoveryPoint(item.name, left[0].takenAt, await lacks(left[0]));

  async function described(point: RecoveryPoint): Promise<ChosenPoint> {
    const newest = left[0];
    return {
      pointId: point.pointId,
      takenAt: point.takenAt,
      ...(isComplete(point) ? {} : { lacks: await lacks(point) }),
      ...(newest === undefined
        ? {}
        : { passedOver: { count: left.length, takenAt: newest.takenAt, lacks: await lacks(newest) } }),
    };
  }

  async function lacks({ missingDisks = [] }: RecoveryPoint): Promise<string[]> {
    const disks = (await store.item(item.itemId))?.disks ?? [];
    return missingDisks.map(
      ({ diskId, cause }) => `${disks.find((disk) => disk.diskId === diskId)?.path ?? diskId} (${cause})`,
    );
  }
}

/** What a failover tells of the point that it took, beyond that it succeeded. */
export function pointInformation(
  name: string,
  { takenAt, lacks, passedOver }: ChosenPoint,
): Omit<HealthEvent, 'raisedAt'>[] {
  const told = [
    ...(lacks === undefined ? [] : [workflowErrors.MachineLacksDisks(name, takenAt, lacks)]),
    ...(passedOver === undefined
      ? []
      : [
          workflowErrors.NewerPointsLackDisks(
            name,
            takenAt,
            passedOver.count,
            passedOver.takenAt,
            passedOver.lacks,
          ),
        ]),
  ];
  return told.map(({ code, severity, summary, possibleCauses, recommendedAction }) => ({
    code,
    severity,
    summary: summary.slice(0, 2000),
    possibleCauses,
    recommendedAction,
    context: {},
  }));
}

/** Of a workflow with a step named `Choose` behind its `Claim`. */
export function concludeWithPoint(outputs: StepContext<unknown>['outputs']): {
  readonly stateDescription: string;
  readonly information: readonly Omit<HealthEvent, 'raisedAt'>[];
} {
  const information = pointInformation(
    claimed({ outputs }).name,
    outputOf<ChosenPoint>({ outputs }, 'Choose'),
  );
  return {
    stateDescription: information.length === 0 ? 'Completed' : 'CompletedWithInformation',
    information,
  };
}

// ── machines ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Lends the point of a step named `Choose` under the job's id, and gives the paths of its disks; undone, the loan is given
 * back.
 */
export function lendStep<I>(
  parts: Pick<WorkflowParts, 'store' | 'replica'>,
  before: (context: Context<I>) => Promise<void> = async () => {},
): Step<I> {
  return {
    name: 'Lend',
    title: 'Cloning the disks of the recovery point',
    where: 'replica',
    do: async (context) => {
      const { pointId } = outputOf<Pick<RecoveryPoint, 'pointId'>>(context, 'Choose');
      await before(context);
      return lendDisks(parts, await dataItem(parts, claimed(context).itemId), pointId, context.jobId);
    },
    undo: (context) => parts.replica.giveBack(claimed(context).itemId, context.jobId),
  };
}

/**
 * Clones of a point's disks, in the order of the source machine's, because firmware boots the first; without those that the point
 * says that it lacks.
 */
async function lendDisks(
  { replica, store }: Pick<WorkflowParts, 'replica' | 'store'>,
  item: ProtectedItem,
  pointId: RecoveryPoint['pointId'],
  loanId: string,
): Promise<string[]> {
  const lent = await replica.lend(item.itemId, pointId, loanId);
  const missing = (await store.point(item.itemId, pointId))?.missingDisks ?? [];
  return item.disks.flatMap(({ diskId }) => {
    if (missing.some((disk) => disk.diskId === diskId)) return [];
    const disk = lent.find((one) => one.diskId === diskId);
    if (!disk) throw errors.PointDiskMissing(pointId, diskId);
    return [disk.path];
  });
}

/** What a machine gets when nobody says and the site reports nothing of it. */
const plainShape = { cpuCount: 2, memoryMebibytes: 2048, firmware: 'bios' } as const;
const mebibyte = 1 << 20;

export async function machineOf(
  parts: Pick<WorkflowParts, 'items' | 'sites'>,
  id: string,
  wish: MachineShape,
): Promise<Pick<MachineDefinition, 'cpuCount' | 'memoryMebibytes' | 'firmware' | 'directBoot'>> {
  const site = await siteOf(parts, id);
  const reported = site && (await parts.sites.machine(site.siteId, site.item.machineId));
  return {
    cpuCount: wish.cpuCount ?? reported?.cpuCount ?? plainShape.cpuCount,
    memoryMebibytes:
      wish.memoryMebibytes ??
      (reported ? Math.max(64, Math.ceil(reported.memoryBytes / mebibyte)) : plainShape.memoryMebibytes),
    firmware: wish.firmware ?? reported?.firmware ?? plainShape.firmware,
    ...(wish.directBoot === undefined ? {} : { directBoot: wish.directBoot }),
  };
}

/**
 * Whether the recovery host has room for a machine, before anything is started, and before the source is stopped for it: a
 * hypervisor that finds out at power-on says `cannot set up guest memory`, when the source may be off already.
 */
export async function mustFit(
  parts: Pick<WorkflowParts, 'items' | 'sites' | 'provider' | 'replica'>,
  { id, itemId, name }: ClaimedItem,
  wish: MachineShape,
): Promise<void> {
  const machine = await machineOf(parts, id, wish);
  const room = await providerOf(parts).room();
  const { freeBytes } = await parts.replica.usage(itemId);
  const short: string[] = [];
  const need = (what: string, needed: number, available: number, unit: string) => {
    if (needed > available) short.push(`${what}: ${needed}${unit} needed, ${available}${unit} available`);
  };
  need('memory', machine.memoryMebibytes, room.memoryMebibytes, ' MiB');
  need('processors', machine.cpuCount, room.cpuCount, '');
  need(
    'disk space for what it writes',
    Math.ceil(failoverFreeBytesMin / mebibyte),
    Math.floor(Math.max(0, freeBytes - replicaReserveBytes) / mebibyte),
    ' MiB',
  );
  if (short.length > 0) throw workflowErrors.RecoveryHostTooSmall(name, short);
}

/** A step of its own, where the source may be stopped next. */
export function roomStep<I extends { readonly machine: MachineShape }>(
  parts: Pick<WorkflowParts, 'items' | 'sites' | 'provider' | 'replica'>,
): Step<I> {
  return {
    name: 'Room',
    title: 'Looking whether the recovery host has room',
    where: 'hypervisor',
    do: async (context) => {
      await providerOf(parts).check();
      await mustFit(parts, claimed(context), context.input.machine);
      return undefined;
    },
  };
}

export function networkOf(choice: NetworkChoice, isolatedName: string): MachineDefinition['network'] {
  return choice.mode === 'isolated' ? { mode: 'isolated', name: choice.name ?? isolatedName } : choice;
}

/** Part of machine names: what every hypervisor takes. */
export const plainName = (name: string): string => name.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 60);
