/**
 * Assignments: who replicates what to where. A process server and a mobility service keep them as files; what the site's
 * configuration server wants is written to these files, and a file that was written by hand is taken as it is.
 *
 * Certificates: every process has a certificate of the vault's own authority. A mobility service's common name is its
 * item id; a process server's is `process-server/<name>`; the vault's cache endpoint answers as the host it is reached by.
 * The receiver checks that the peer's common name is the item that the hello names.
 */
import { z } from 'zod';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import { machineIdentityLengthMax } from '../../model/machine-identity.ts';

/** Paths of PEM files. Keys are readable by the service's user only; the file, not its content, is named here. */
export const TlsFiles = z.strictObject({
  caFile: z.string(),
  certificateFile: z.string(),
  keyFile: z.string(),
});
export type TlsFiles = z.infer<typeof TlsFiles>;

export const ProtectedDiskAssignment = z.strictObject({
  diskId: ProtectedDiskId,
  /** On the protected machine, e.g. `/dev/disk/by-id/…` or `/dev/vda`; a whole disk. */
  path: z.string().startsWith('/'),
});
export type ProtectedDiskAssignment = z.infer<typeof ProtectedDiskAssignment>;

/** For the mobility service: `<settings folder>/assignment.json`. */
export const MobilityAssignment = z.strictObject({
  itemId: ProtectedItemId,
  name: z.string().min(1).max(63),
  processServer: z.strictObject({ host: z.string(), port: z.number().int().min(1).max(65535) }),
  tls: TlsFiles,
  disks: z.array(ProtectedDiskAssignment).min(1).max(64),
  policy: z.strictObject({
    /** How often a crash-consistent bookmark is tried. */
    crashConsistentSeconds: z.number().positive(),
    /** 0: never. */
    applicationConsistentSeconds: z.number().nonnegative(),
    /** Above this file systems are not frozen for a bookmark but the next quiet moment is awaited. */
    freezeMillisecondsMax: z.number().positive().max(2000),
  }),
  /** Pre and post scripts of application-consistent points; absolute paths, owned by root, writable by root only. */
  scripts: z
    .strictObject({
      pre: z.string().startsWith('/').optional(),
      post: z.string().startsWith('/').optional(),
      timeoutSeconds: z.number().positive().max(600),
    })
    .optional(),
  bytesPerSecondMax: z.number().int().positive().optional(),
});
export type MobilityAssignment = z.infer<typeof MobilityAssignment>;

/** For the process server: `<settings folder>/items/<itemId>.json`. */
export const ProcessServerAssignment = z.strictObject({
  itemId: ProtectedItemId,
  name: z.string().min(1).max(63),
  /** 32 raw bytes. */
  itemKeyFile: z.string(),
  disks: z
    .array(z.strictObject({ diskId: ProtectedDiskId }))
    .min(1)
    .max(64),
  /** What the machine is, as its hello says it; only such a one is let in. Undefined: what its last session said. */
  machineIdentity: z.string().max(machineIdentityLengthMax).optional(),
  /** Towards the vault; undefined: none. */
  uploadBytesPerSecondMax: z.number().int().positive().optional(),
});
export type ProcessServerAssignment = z.infer<typeof ProcessServerAssignment>;

/** Where a process server puts segments. */
export const CacheTarget = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('vault'), url: z.url(), tls: TlsFiles }),
  /** `connectionStringFile`: an Azure Storage connection string, one line. */
  z.strictObject({
    type: z.literal('azure-blob'),
    connectionStringFile: z.string(),
    container: z.string(),
    caFile: z.string().optional(),
  }),
]);
export type CacheTarget = z.infer<typeof CacheTarget>;
