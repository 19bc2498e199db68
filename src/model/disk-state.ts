/**
 * Whether the copy of a protected disk can be trusted.
 *
 *     empty ──resync-begin──▶ initial ──resync-end──▶ in-sync ◀──resync-end── resync
 *       ▲                                               │  ▲                     ▲
 *       │                                               │  └─────────────────────│── (a new resync-begin)
 *     (protection enabled)                              └──── resync-begin ──────┘
 *
 * A bookmark is allowed only while every disk of the machine is `in-sync` that it does not name as missing from it.
 */
import { z } from 'zod';

export const DiskState = z.enum(['empty', 'initial', 'resync', 'in-sync']);
export type DiskState = z.infer<typeof DiskState>;

/** Why a disk must be compared with its copy; the names the vault shows as a health event's reason. */
export const ResyncCause = z.enum([
  'InitialReplication',
  'TraceEventsLost',
  'CanaryMissing',
  'TracingChanged',
  'UncleanShutdown',
  'MachineRebooted',
  'MachineReverted',
  'DiskResized',
  'PassthroughCommands',
  'ProcessServerLostState',
  'ReplicaInvalid',
  'ReadError',
  'DiskReturned',
  'DiskReplaced',
  'Requested',
]);
export type ResyncCause = z.infer<typeof ResyncCause>;
