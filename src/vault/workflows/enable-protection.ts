/**
 * Enable protection: a machine that a site reports becomes a protected item. The job ends when the site has taken the
 * assignments; the initial replication is a job of its own (`initial-replication.ts`), as in the reference.
 *
 *     Register (row) ─▶ Check (disks, as reported) ─▶ AddItem (data plane, key) ─▶ Protect (order) ─▶ Finish ─▶ Follow
 *         └──────────────────────── any failure: the order is taken back, the item and the row go ─────────────┘
 */
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import { errors as vaultErrors } from '../errors.ts';
import { disksLeftOut, disksSharedWithOthers } from '../health/disks-left-out.ts';
import { derivedId } from '../jobs/derived-id.ts';
import type { Step, StepContext, Workflow } from '../jobs/workflow.ts';
import type { ProtectedItem } from '../store/vault-store.ts';
import { errors } from './errors.ts';
import { EnableProtectionInput } from './inputs.ts';
import { siteOrder } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = EnableProtectionInput;
type Context = StepContext<Input>;
type Parts = Pick<
  WorkflowParts,
  | 'items'
  | 'store'
  | 'sites'
  | 'orders'
  | 'replica'
  | 'clock'
  | 'newSealedKey'
  | 'releaseItem'
  | 'dropLeftovers'
>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts): readonly Step<Input>[] => [
  {
    name: 'Register',
    title: 'Checking prerequisites',
    where: 'database',
    do: (context) => register(parts, context),
    undo: async ({ input, jobId }) => {
      await parts.items.end(input.id, jobId, 'failed');
    },
  },
  {
    name: 'Check',
    title: 'Looking at the machine’s disks',
    where: 'database',
    do: (context) => check(parts, context),
  },
  {
    name: 'AddItem',
    title: 'Preparing the replica',
    where: 'database',
    do: (context) => addItem(parts, context),
    undo: async (context) => {
      const { itemId } = idsOf(context);
      await parts.releaseItem(itemId);
      await parts.store.removeItem(itemId);
      await parts.replica.dropItem(itemId);
      await parts.dropLeftovers(itemId);
    },
  },
  siteOrder<Input>(parts, {
    name: 'Protect',
    title: 'Assigning the machine to its process server',
    timeoutSeconds: protectSeconds,
    what: async (context) => {
      const { input } = context;
      const { itemId, disks } = idsOf(context);
      const siteId = await siteIdOf(parts, input.id);
      return {
        siteId,
        content: {
          order: 'protect',
          itemId,
          name: input.name,
          machineId: input.machineId,
          processServerId: input.processServerId,
          disks: [...disks],
          sealedItemKey: await parts.sites.sealItemKey(siteId, itemId),
          policy: input.replication,
        },
      };
    },
    undo: async (context) => {
      const item = await parts.items.byId(context.input.id);
      const siteId = item && (await parts.sites.siteOf(item));
      // Without a site there is nobody who could have taken the order.
      if (siteId === undefined) return;
      await parts.orders.place({
        orderId: derivedId(context.jobId, 'Unprotect'),
        siteId,
        content: { order: 'unprotect', itemId: idsOf(context).itemId },
        expiresAt: new Date(Date.parse(context.job.createdAt) + takenBackMilliseconds).toISOString(),
      });
    },
  }),
  {
    name: 'Finish',
    title: 'Completing',
    where: 'database',
    isPivot: true,
    do: async ({ input, jobId }) => {
      await parts.items.end(input.id, jobId, 'done');
      return undefined;
    },
  },
  {
    name: 'Follow',
    title: 'Starting the initial replication',
    where: 'database',
    do: async (context) => {
      const { input, job } = context;
      const { itemId } = idsOf(context);
      const jobId = await context.startChild(
        'initial-replication',
        'initial-replication',
        { id: input.id, itemId },
        job.target,
        { exclusiveKey: `initial-replication:${input.id}`, detached: true },
      );
      return { jobId };
    },
  },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function enableProtection(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'enable-protection',
    scenarioName: 'EnableDr',
    friendlyName: 'Enable replication',
    input: EnableProtectionInput,
    steps: () => steps,
    conclude: (outputs) => {
      const { leftOut = [] } = (outputs.Check ?? {}) as { leftOut?: LeftOut[] };
      return {
        stateDescription: leftOut.length === 0 ? 'Completed' : 'CompletedWithInformation',
        information: leftOut.map((each) => ({ ...each, severity: 'warning', context: {} })),
      };
    },
    cancelable: true,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A site answers in seconds; one that is being restarted, in minutes. */
const protectSeconds = 900;
/** A site that comes back within a year hears that it has nothing to protect. */
const takenBackMilliseconds = 365 * 86_400_000;

async function register(parts: Parts, context: Context) {
  const { input, jobId, job } = context;
  const known = await parts.items.byId(input.id);
  if (known?.jobId !== jobId) {
    if (known) throw vaultErrors.ItemAlreadyProtected(`the machine ${input.friendlyName}`, known.name);
    const segments = input.id.split('/');
    const { id, friendlyName, instanceType, machineId, processServerId, vCenterName, groupOption } = input;
    const { groupName, policyId, protectableItemId, settings } = input;
    await parts.items.add(
      {
        id,
        vaultId: segments.slice(0, 9).join('/'),
        containerId: segments.slice(0, 13).join('/'),
        fabricName: segments[10] ?? '',
        name: segments.at(-1) ?? '',
        friendlyName,
        instanceType,
        machineId,
        processServerId,
        ...(vCenterName === undefined ? {} : { vCenterName }),
        ...(groupOption === undefined ? {} : { groupOption }),
        ...(groupName === undefined ? {} : { groupName }),
        policyId,
        protectableItemId,
        settings,
        replication: { ...input.replication, change: 0, heardChange: 0 },
        createdAt: job.createdAt,
      },
      { jobId, scenarioName: 'EnableDr', startedAt: job.createdAt },
    );
  }
  return undefined;
}

async function check(parts: Parts, { input }: Context) {
  const siteId = await siteIdOf(parts, input.id);
  const machine = await parts.sites.machine(siteId, input.machineId);
  if (!machine) throw errors.MachineNotReported(input.friendlyName);
  for (const { path } of input.disks) {
    const disk = machine.disks.find((one) => one.path === path);
    if (!disk)
      throw errors.DiskNotReported(input.friendlyName, path, machine.disks.map((one) => one.path).join(', '));
    const [why] = disk.readinessErrors;
    if (why) throw errors.DiskNotReady(input.friendlyName, path, why.summary, why.recommendedAction);
  }
  return { leftOut: leftOut(input, machine.disks) };
}

/** What is told of disks that are not protected. */
type LeftOut = {
  readonly code: string;
  readonly summary: string;
  readonly possibleCauses: string;
  readonly recommendedAction: string;
};

/** Said when protection is enabled; the health reconciler says it for as long as it is so (`health/conditions.ts`). */
function leftOut(
  { friendlyName, disks, settings }: Input,
  reported: Parameters<typeof disksLeftOut>[0],
): LeftOut[] {
  const paths = disks.map(({ path }) => path);
  const wantsAll = ((settings.disksToInclude ?? []) as readonly unknown[]).length === 0;
  const told = [
    ...disksSharedWithOthers(reported, paths).map(({ through, path }) =>
      errors.DataOnUnprotectedDisk(friendlyName, through, path),
    ),
    ...(wantsAll ? disksLeftOut(reported, paths) : []).map(({ path, reason }) =>
      errors.DiskNotProtected(friendlyName, path, reason ?? 'it was not chosen'),
    ),
  ];
  return told.slice(0, leftOutMax).map(({ code, summary, possibleCauses, recommendedAction }) => ({
    code,
    summary: summary.slice(0, 2000),
    possibleCauses,
    recommendedAction,
  }));
}

/** Told one by one by the job; the condition names them all. */
const leftOutMax = 20;

async function addItem(parts: Parts, context: Context) {
  const { input, job } = context;
  const { itemId, disks } = idsOf(context);
  if (!(await parts.store.item(itemId))) {
    const item: ProtectedItem = {
      itemId,
      name: input.name,
      processServer: input.processServerId,
      disks: [...disks],
      retention: input.retention,
      createdAt: job.createdAt,
    };
    await parts.store.addItem(item, parts.newSealedKey());
  }
  await parts.items.tie(input.id, itemId);
  return { itemId };
}

/** Of the job's id, so that they need no step of their own. */
function idsOf({ jobId, input }: Pick<Context, 'jobId' | 'input'>) {
  return {
    itemId: ProtectedItemId.parse(derivedId(jobId, 'item')),
    disks: input.disks.map(({ path, diskId }) => ({
      path,
      diskId: diskId ?? ProtectedDiskId.parse(derivedId(jobId, 'disk', path)),
    })),
  };
}

async function siteIdOf(parts: Parts, id: string): Promise<string> {
  const item = await parts.items.byId(id);
  const siteId = item && (await parts.sites.siteOf(item));
  if (siteId === undefined) throw errors.SiteMissing(item?.friendlyName ?? id);
  return siteId;
}
