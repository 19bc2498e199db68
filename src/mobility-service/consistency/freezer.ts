/**
 * What the control room asks of consistency: hold all mounted file systems of the protected disks still for a moment,
 * so that what is read in that moment is one consistent state. `helper-freezer.ts` implements it with FIFREEZE and a
 * separate thaw helper that thaws by itself after a hard deadline; the simulation has its own.
 *
 *     prepare() ──▶ session ──[pre()]── writeBack(), drain … freeze() ── (barrier, read the rest) ── thaw() ──[post()]── close()
 *
 * Everything that is slow, allocates, logs or opens files happens in `prepare`, `writeBack`, `pre`, `post` and `close`. Between the
 * start of `freeze` and the end of `thaw` neither side writes to a file system: it may be the frozen one.
 */

import type { LeewardError } from '../../platform/errors.ts';

export interface FrozenTime {
  /** From the first file system that stood still to the last one that was let go. */
  readonly frozenMilliseconds: number;
  /** File systems that know no freeze (vfat: the EFI partition). They were written back just before and are hardly ever
   * written; if a write to the disk did complete between the freeze and the last read, throw the point away. */
  readonly runningMountPoints?: readonly string[];
}

export interface FreezeSession extends AsyncDisposable {
  /** For people: the mount points that will stand still, in the order of freezing (upper layers first). */
  readonly mountPoints: readonly string[];
  /** Set when file systems that belong to the moment are left out of it, because freezing them hung before: what is dirty in them
   * stays in memory. Such a moment is no application-consistent point. It is a crash-consistent one if no write completes
   * meanwhile, as with those that know no freeze. */
  readonly leftOut?: LeewardError | undefined;
  /** What is dirty in memory goes to the disks now, as often as it is asked: what is still dirty at the freeze reaches them
   * inside it, after the last drain, and must be read there. */
  writeBack(): Promise<void>;
  /**
   * Stops all writes. When it resolves, everything written before is on the disks. Throws `FreezeBusy` (somebody else
   * has frozen one; transient) or `FreezeFailed`; then everything is thawed again already.
   * @param deadlineMilliseconds after which the helper thaws by itself, at most 2000.
   */
  freeze(deadlineMilliseconds: number): Promise<void>;
  /**
   * Lets go. Throws `FreezeExpired` when the helper or anybody else had thawed before: what was read is worthless then,
   * and the point must be thrown away.
   */
  thaw(): Promise<FrozenTime>;
  /** Thaws if need be, ends the helper. Never throws. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Freezer {
  /** Finds the file systems on the protected disks (through partitions, device-mapper and md), starts the helper and
   * opens the handles. Nothing is frozen yet. Throws when no helper can be had. */
  prepare(): Promise<FreezeSession>;
  /** Application-consistent points only: quiesces the applications (the operator's pre script, built-in database hooks).
   * Throws `PreScriptFailed`; `post` must still be called. */
  pre(): Promise<void>;
  /** Lets the applications go on; called whatever happened since `pre`. Throws `PostScriptFailed`. */
  post(): Promise<void>;
}
