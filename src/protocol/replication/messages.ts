/**
 * What the two ends of the change stream say to each other. The sender is a mobility service, the receiver a process
 * server (or, on the way home, a process server at the recovery site): direction is data, not code.
 *
 * The conversation, over TLS 1.2/1.3 with mutual certificates, one connection a protected machine:
 *
 *     sender                                          receiver
 *       │ hello {itemId, generation, disks, …}            │
 *       │────────────────────────────────────────────────▶│  accepts only a generation above all it has seen,
 *       │            welcome {disks' states, window, …}   │  and makes it durable before it answers
 *       │◀────────────────────────────────────────────────│  (or `refused`; an older live session gets `fenced`)
 *       │ resync-begin {disk, kind, cause}                │
 *       │────────────────────────────────────────────────▶│  closes what it has, asks the other side for digests
 *       │                          digests …              │  (kind `initial`: the other side is empty, none come)
 *       │◀────────────────────────────────────────────────│
 *       │ data / zero / progress …   resync-end {disk}    │
 *       │────────────────────────────────────────────────▶│
 *       │ data / zero …  bookmark  data / zero … bookmark │
 *       │────────────────────────────────────────────────▶│  journals, syncs, then
 *       │                          ack {sequence}         │
 *       │◀────────────────────────────────────────────────│
 *
 * Rules both ends assert:
 * 1. Journalled frames (data, zero, bookmark, resync-begin, resync-end, progress, health) carry sequence 1, 2, 3 … of
 *    their session. An ack says that everything up to its sequence is durable at the receiver.
 * 2. The sender has at most `windowBytes` un-acknowledged; it remembers their ranges, not their bytes, and puts them
 *    back into the change map when the session ends for whatever reason.
 * 3. A bookmark is sent only when every disk is in sync that it does not name as missing, and its data were all sent in
 *    this session or acknowledged in an earlier one.
 * 4. A refused or fenced session with a permanent reason is not tried again until a person or the configuration server
 *    acts.
 */
import { z } from 'zod';
import { DiskState, ResyncCause } from '../../model/disk-state.ts';
import { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';

/** How often each side shows that it lives, and after how long a silence the other one hangs up. */
export const heartbeatMilliseconds = 5_000;
export const silenceMillisecondsMax = 30_000;

/** Digests of a resync cover this much of a disk each: SHA-256 cut to 16 bytes. 256 MiB of digests for a 1 TiB disk. */
export const digestChunkBytes = 64 << 10;
export const digestBytes = 16;

/** 64 disks a machine, as the reference system. */
export const disksMax = 64;

export const Hello = z.strictObject({
  protocolVersions: z.array(z.number().int()).min(1),
  itemId: ProtectedItemId,
  sessionId: z.guid(),
  generation: z.number().int().nonnegative(),
  bootId: z.string().max(64),
  /**
   * The sender's last welcomed session, and how many frames it had numbered in it. A receiver that holds more of it, or a
   * later session, knows a future that this sender does not: the machine was reverted with its memory. Left out only by
   * a sender that has just started and trusts none of its disks: it compares all of them in any case.
   */
  previous: z
    .strictObject({
      generation: z.number().int().nonnegative(),
      sequence: z.number().int().nonnegative(),
    })
    .optional(),
  agentVersion: z.string().max(40),
  hostName: z.string().max(255),
  /** What the machine is, whatever it is called: see `docs/formats/replication.md`. */
  machineIdentity: z.string().max(512).optional(),
  disks: z
    .array(
      z.strictObject({
        diskId: ProtectedDiskId,
        sizeBytes: z.number().int().positive(),
        /** For people: `/dev/sda`. */
        name: z.string().max(255),
        /** What the disk is, wherever it is attached: see `docs/formats/replication.md`. */
        identity: z.string().max(512).optional(),
        /** The machine has no such disk now; its size is the one last known. */
        isMissing: z.literal(true).optional(),
      }),
    )
    .min(1)
    .max(disksMax),
});
export type Hello = z.infer<typeof Hello>;

export const Welcome = z.strictObject({
  protocolVersion: z.number().int(),
  sessionId: z.guid(),
  generation: z.number().int().positive(),
  /** At most this many payload bytes may be un-acknowledged. */
  windowBytes: z.number().int().positive(),
  /** Throttle of the data frames; undefined: none. */
  bytesPerSecondMax: z.number().int().positive().optional(),
  /** In the order of the hello. */
  disks: z.array(
    z.strictObject({
      diskId: ProtectedDiskId,
      state: DiskState,
      /** Set when the receiver wants a comparison before it trusts this disk again. */
      resyncCause: ResyncCause.optional(),
    }),
  ),
});
export type Welcome = z.infer<typeof Welcome>;

export const Refused = z.strictObject({
  code: z.string(),
  summary: z.string(),
  possibleCauses: z.string(),
  recommendedAction: z.string(),
  retry: z.enum(['transient', 'permanent']),
  /** With `MachineReverted`: what the receiver has. The sender distrusts all its disks and goes on above it. */
  position: z
    .strictObject({
      highestGeneration: z.number().int().nonnegative(),
      generation: z.number().int().nonnegative(),
      sequence: z.number().int().nonnegative(),
    })
    .optional(),
});
export type Refused = z.infer<typeof Refused>;

export const ResyncBegin = z.strictObject({
  resyncId: z.guid(),
  diskId: ProtectedDiskId,
  kind: z.enum(['initial', 'resync']),
  cause: ResyncCause,
  /**
   * Where the walk starts: > 0 when a broken session goes on. Only allowed while the receiver still has the disk as
   * `initial` or `resync` from the same walk, and capture never lost anything in between.
   */
  fromBytes: z.number().int().nonnegative(),
  sizeBytes: z.number().int().positive(),
});
export type ResyncBegin = z.infer<typeof ResyncBegin>;

export const ResyncEnd = z.strictObject({
  resyncId: z.guid(),
  diskId: ProtectedDiskId,
  comparedBytes: z.number().int().nonnegative(),
  sentBytes: z.number().int().nonnegative(),
});
export type ResyncEnd = z.infer<typeof ResyncEnd>;

/** What a receiver may ask of a live sender. Unknown orders are ignored with a log line, so that old senders live on. */
export const Order = z.discriminatedUnion('order', [
  z.strictObject({
    order: z.literal('take-bookmark'),
    type: z.enum(['CrashConsistent', 'ApplicationConsistent']),
  }),
  z.strictObject({ order: z.literal('resync'), diskId: ProtectedDiskId }),
  z.strictObject({
    order: z.literal('throttle'),
    bytesPerSecondMax: z.number().int().positive().optional(),
  }),
]);
export type Order = z.infer<typeof Order>;
