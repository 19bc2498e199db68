/**
 * What the `leeward` command asks of a vault on the same machine: JSON over HTTP on a unix socket in the vault's data
 * folder, which only root can open. No secret crosses it: certificates and keys are written by the vault into a folder
 * that the caller names.
 *
 * Long work answers as lines of JSON (`AdminLine`), so that the caller can show progress; the last line is a result or an
 * error. The reference API over HTTPS takes this place for everything that is not set-up.
 */
import { z } from 'zod';
import { Bookmark, BookmarkType } from '../../model/bookmark.ts';
import { DiskState, ResyncCause } from '../../model/disk-state.ts';
import { HealthEvent } from '../../model/health.ts';
import { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import { ResyncProgress } from '../../model/progress.ts';

export const adminSocketName = 'admin.sock';

/** A name that people type: becomes part of paths, certificates' names and machine names. */
export const ResourceName = z
  .string()
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
    'letters, digits and hyphens, 1 to 63, no hyphen at the ends',
  );

const absolute = z.string().startsWith('/', 'an absolute path');

export const AddProcessServer = z.strictObject({
  name: ResourceName.max(40),
  host: z.string().min(1).max(255),
  port: z.number().int().min(1).max(65535),
  /** Gets `tls/` and `process-server.json`; made when missing. */
  outFolder: absolute,
  /** Of its spool; what it cannot deliver waits there. */
  spoolBytes: z.number().int().positive(),
  /** Where the folder will be on the process server's machine; paths in what is written begin with it. */
  installedAt: absolute,
});
export type AddProcessServer = z.infer<typeof AddProcessServer>;

export const ProcessServerView = z.object({
  name: z.string(),
  host: z.string(),
  port: z.number(),
  createdAt: z.string(),
  itemCount: z.number(),
});
export type ProcessServerView = z.infer<typeof ProcessServerView>;

export const ProtectRequest = z.strictObject({
  name: ResourceName,
  disks: z.array(absolute).min(1).max(64),
  processServer: z.string(),
  /** Gets `mobility-service/` and `process-server/`. */
  outFolder: absolute,
  mobilityServiceAt: absolute,
  processServerAt: absolute,
  crashConsistentSeconds: z.number().positive(),
  applicationConsistentSeconds: z.number().nonnegative(),
});
export type ProtectRequest = z.infer<typeof ProtectRequest>;

export const ItemView = z.object({
  itemId: ProtectedItemId,
  name: z.string(),
  processServer: z.string(),
  createdAt: z.string(),
  disks: z.array(
    z.object({
      diskId: ProtectedDiskId,
      path: z.string(),
      sizeBytes: z.number(),
      state: DiskState,
      cause: ResyncCause.optional(),
    }),
  ),
  progress: z.array(ResyncProgress),
  pointCount: z.number(),
  latestPoint: z.object({ pointId: RecoveryPointId, type: BookmarkType, takenAt: z.string() }).optional(),
  /** Now minus the newest recovery point's moment; undefined before the first. */
  rpoSeconds: z.number().optional(),
  appliedSequence: z.number(),
  blocked: HealthEvent.optional(),
  usedBytes: z.number(),
});
export type ItemView = z.infer<typeof ItemView>;

/** `chain`: the one that ends. `isNew`: false when it was ordered to end before. */
export const ResyncView = z.object({
  itemId: ProtectedItemId,
  name: z.string(),
  chain: z.number(),
  isNew: z.boolean(),
});
export type ResyncView = z.infer<typeof ResyncView>;

export const PointView = z.object({
  pointId: RecoveryPointId,
  type: BookmarkType,
  method: Bookmark.shape.method,
  takenAt: z.string(),
  processedAt: z.string(),
  frozenMilliseconds: z.number(),
  sizeBytes: z.number(),
  changedBytes: z.number(),
  lockedUntil: z.string().optional(),
});
export type PointView = z.infer<typeof PointView>;

export const EventView = z.object({ eventId: z.number(), itemId: ProtectedItemId, event: HealthEvent });
export type EventView = z.infer<typeof EventView>;

export const ReadinessRequest = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('console'), text: z.string().min(1) }),
  z.strictObject({ type: z.literal('port'), port: z.number().int().min(1).max(65535) }),
  z.strictObject({ type: z.literal('power') }),
]);

export const TestFailoverRequest = z.strictObject({
  /** A point's id, `latest` or `latestApplicationConsistent`. */
  point: z.string(),
  check: ReadinessRequest,
  timeoutSeconds: z.number().positive().max(3600),
  cpuCount: z.number().int().min(1).max(128),
  memoryMebibytes: z
    .number()
    .int()
    .min(64)
    .max(1 << 20),
  firmware: z.enum(['bios', 'efi']),
  /** Where the source machine boots with a kernel from outside its disks. */
  directBoot: z.strictObject({ kernel: absolute, initrd: absolute, commandLine: z.string() }).optional(),
});
export type TestFailoverRequest = z.infer<typeof TestFailoverRequest>;

export const FailoverView = z.object({
  failoverId: z.string(),
  itemId: ProtectedItemId,
  pointId: RecoveryPointId,
  machineName: z.string(),
  state: z.string(),
  startedAt: z.string(),
  powerOnSeconds: z.number().optional(),
  readySeconds: z.number().optional(),
  address: z.string().optional(),
  screenshot: z.string().optional(),
  accelerator: z.string().optional(),
  notes: z.string().optional(),
});
export type FailoverView = z.infer<typeof FailoverView>;

export const VerifyView = z.object({
  itemId: ProtectedItemId,
  manifestCount: z.number(),
  pointCount: z.number(),
  checkedBytes: z.number(),
  findings: z.array(z.string()),
});
export type VerifyView = z.infer<typeof VerifyView>;

/** Of an error's fields, what a person needs. */
export const AdminError = z.object({
  code: z.string(),
  summary: z.string(),
  possibleCauses: z.string(),
  recommendedAction: z.string(),
  /** What lies under it, outermost first. */
  because: z.array(z.string()).default([]),
});
export type AdminError = z.infer<typeof AdminError>;

export const AdminLine = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('progress'), text: z.string(), fraction: z.number().optional() }),
  z.object({ kind: z.literal('result'), value: z.unknown() }),
  z.object({ kind: z.literal('error'), error: AdminError }),
]);
export type AdminLine = z.infer<typeof AdminLine>;
