/** How far an initial replication or a resync has come. */
import { z } from 'zod';
import { ResyncCause } from './disk-state.ts';
import { ProtectedDiskId } from './ids.ts';

export const ResyncProgress = z.strictObject({
  diskId: ProtectedDiskId,
  kind: z.enum(['initial', 'resync']),
  cause: ResyncCause,
  /** Of the disk: compared, and sent because it differed. */
  doneBytes: z.number().int().nonnegative(),
  sentBytes: z.number().int().nonnegative(),
  totalBytes: z.number().int().nonnegative(),
  startedAt: z.iso.datetime(),
  /** Undefined until there is enough to reckon from. */
  etaSeconds: z.number().nonnegative().optional(),
});
export type ResyncProgress = z.infer<typeof ResyncProgress>;
