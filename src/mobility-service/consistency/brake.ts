/**
 * What the control room asks of consistency besides a freeze: hold back the writes to the protected disks for a moment, so
 * that a pass of drain ends in which no write completed. `write-brake.ts` implements it with the kernel's throttle and a
 * separate program that lets go by itself after a hard deadline; tests have their own.
 *
 *     prepare() ──▶ session ── hold() ── (barrier, take, read, until no write completed) ── release() ── again, or close()
 *
 * A held disk proves nothing: not every writer can be held (`HeldWrites.unheld`), and what was under way completes. The proof
 * is the pass in which no write completed; so a hold that ended early spoils no point. Between the start of `hold` and
 * the end of `release` the service writes to no file system, as between freeze and thaw.
 */

export interface HeldWrites {
  /** For people: who could not be held, e.g. `the root group`. */
  readonly unheld: readonly string[];
}

export interface HeldTime {
  readonly heldMilliseconds: number;
  /** False when the deadline, a signal or somebody's death had let go before `release` was called. */
  readonly isByCommand: boolean;
}

export interface BrakeSession extends AsyncDisposable {
  /** Holds writes back; in-flight ones still complete. Throws `BrakeUnusable`; then nothing is held.
   * @param deadlineMilliseconds after which the program lets go by itself, at most `holdMillisecondsMax`. */
  hold(deadlineMilliseconds: number): Promise<HeldWrites>;
  /** Lets go. Throws `BrakeStuck` when the kernel refuses to take a limit back. */
  release(): Promise<HeldTime>;
  /** Lets go if need be, ends the program. Never throws. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Brake {
  /** Starts the program and finds the groups to hold. Nothing is held yet. Throws `BrakeUnusable`. */
  prepare(): Promise<BrakeSession>;
}
