/**
 * What the workflows of a protected item are given: whoever starts one builds this and nothing else. An item is named by
 * its resource id.
 */
import { z } from 'zod';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import { MachineId } from '../../protocol/control/site-link.ts';
import { ItemInstanceType } from '../store/protected-items.ts';
import { RetentionPolicy } from '../store/vault-store.ts';

const itemRef = { id: z.string().max(1500) };
export type ItemRef = { readonly id: string };

const absolute = z.string().startsWith('/');

/** The machine that is made; what is left out comes from what the site reports of the source. */
export const MachineShape = z.strictObject({
  cpuCount: z.number().int().min(1).max(128).optional(),
  memoryMebibytes: z
    .number()
    .int()
    .min(64)
    .max(1 << 20)
    .optional(),
  firmware: z.enum(['bios', 'efi']).optional(),
  directBoot: z.strictObject({ kernel: absolute, initrd: absolute, commandLine: z.string() }).optional(),
});
export type MachineShape = z.infer<typeof MachineShape>;

/** `isolated`: one that reaches nothing, made for the occasion. */
export const NetworkChoice = z.discriminatedUnion('mode', [
  z.strictObject({
    mode: z.literal('isolated'),
    /** Of one that several machines of a test share; default: each has its own. */
    name: z
      .string()
      .regex(/^[A-Za-z0-9-]{1,40}$/)
      .optional(),
  }),
  z.strictObject({ mode: z.literal('existing'), name: z.string().min(1).max(200) }),
]);
export type NetworkChoice = z.infer<typeof NetworkChoice>;

export const Readiness = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('console'), text: z.string().min(1) }),
  z.strictObject({ type: z.literal('port'), port: z.number().int().min(1).max(65535) }),
  z.strictObject({ type: z.literal('power') }),
]);

/**
 * A point's id, or `latest`, `latestProcessed`, `latestApplicationConsistent`, `latestCrashConsistent`. The first two are
 * the same: the log processor applies segments as they come, so there is no backlog that waits to be processed first. All of
 * them mean points that have every disk of the machine, unless `allowMissingDisks`; one that is named by its id is taken as it is.
 */
const point = z.string().min(1).max(100).default('latestProcessed');

const machineMade = {
  point,
  /** Take the newest point also when it lacks disks; the machine then starts without these. */
  allowMissingDisks: z.boolean().default(false),
  network: NetworkChoice.default({ mode: 'isolated' }),
  machine: MachineShape.default({}),
  /** What must be seen before the machine counts as running. */
  check: Readiness.default({ type: 'power' }),
  timeoutSeconds: z.number().positive().max(3600).default(600),
};

export const TestFailoverInput = z.strictObject({ ...itemRef, ...machineMade });
export type TestFailoverInput = z.infer<typeof TestFailoverInput>;

/** `failoverId`: default, the item's test that runs. */
export const TestFailoverCleanupInput = z.strictObject({
  ...itemRef,
  failoverId: z.string().optional(),
  comments: z.string().max(4000).default(''),
});
export type TestFailoverCleanupInput = z.infer<typeof TestFailoverCleanupInput>;

export const UnplannedFailoverInput = z.strictObject({
  ...itemRef,
  ...machineMade,
  /** Shut the source down first. When that does not succeed, the failover goes on: it may be gone already. */
  shutDownSource: z.boolean().default(false),
});
export type UnplannedFailoverInput = z.infer<typeof UnplannedFailoverInput>;

/** Always shuts the source down, takes a last point and fails over to that. */
export const PlannedFailoverInput = z.strictObject({
  ...itemRef,
  network: machineMade.network,
  machine: machineMade.machine,
  check: machineMade.check,
  timeoutSeconds: machineMade.timeoutSeconds,
});
export type PlannedFailoverInput = z.infer<typeof PlannedFailoverInput>;

export const ApplyRecoveryPointInput = z.strictObject({
  ...itemRef,
  point,
  check: machineMade.check,
  timeoutSeconds: machineMade.timeoutSeconds,
});
export type ApplyRecoveryPointInput = z.infer<typeof ApplyRecoveryPointInput>;

/** Commit, cancel failover, verify. */
export const ItemInput = z.strictObject(itemRef);
export type ItemInput = z.infer<typeof ItemInput>;

/** `diskIds`: these only; left out: all. */
export const RepairReplicationInput = z.strictObject({
  ...itemRef,
  diskIds: z.array(ProtectedDiskId).min(1).max(64).optional(),
});
export type RepairReplicationInput = z.infer<typeof RepairReplicationInput>;

export const EnableProtectionInput = z.strictObject({
  /** Of the row that is made (`store/protected-items.ts`). */
  id: z.string().max(1500),
  friendlyName: z.string().max(253),
  instanceType: ItemInstanceType,
  machineId: MachineId,
  processServerId: z.guid(),
  vCenterName: z.string().optional(),
  groupOption: z.enum(['AutoCreated', 'UserSpecified']).optional(),
  groupName: z.string().optional(),
  policyId: z.string(),
  protectableItemId: z.string(),
  settings: z.record(z.string(), z.unknown()),
  /** Letters, digits and hyphens; what the machine is called in paths and at the site. */
  name: z
    .string()
    .min(1)
    .max(63)
    .regex(/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/),
  /** Paths as the site reports them. */
  disks: z
    .array(z.strictObject({ path: absolute, diskId: ProtectedDiskId.optional() }))
    .min(1)
    .max(64),
  replication: z.strictObject({
    crashConsistentSeconds: z.number().positive(),
    applicationConsistentSeconds: z.number().nonnegative(),
  }),
  retention: RetentionPolicy,
});
export type EnableProtectionInput = z.infer<typeof EnableProtectionInput>;

export const InitialReplicationInput = z.strictObject({ id: z.string(), itemId: ProtectedItemId });
export type InitialReplicationInput = z.infer<typeof InitialReplicationInput>;

export const DisableProtectionInput = z.strictObject({
  ...itemRef,
  /** Without waiting for the site: what it still has is taken away when it comes back. */
  purge: z.boolean().default(false),
  reason: z.string().max(1000).default(''),
});
export type DisableProtectionInput = z.infer<typeof DisableProtectionInput>;

export const UpdateProtectionInput = z.strictObject({
  id: z.string().max(1500),
  friendlyName: z.string().max(253).optional(),
  /** Merged into the item's settings; a field that is null here is taken away. */
  settings: z.record(z.string(), z.unknown()).default({}),
});
export type UpdateProtectionInput = z.infer<typeof UpdateProtectionInput>;
