/**
 * The room that spools may take: of the server and of each item. Whoever wants to write waits here until there is room,
 * which stops the reading of its socket, which stops its sender: a full spool loses nothing, it only makes wait.
 *
 * Intake stops at the high-water mark, below the quota: what refine makes of the parts that are there must still fit, or a
 * full spool could never empty itself.
 */
import { Bell } from '../gate.ts';

export interface SpaceLimits {
  /** Of all items together. */
  readonly serverBytes: number;
  readonly itemBytes: number;
  /** Kept free of journals for refine: parts refined at once × part size. */
  readonly refineReserveBytes: number;
}

export class SpoolSpace {
  readonly limits: SpaceLimits;
  readonly #used = new Map<string, number>();
  readonly #waiting = new Set<Bell>();
  #usedBytes = 0;

  constructor(limits: SpaceLimits) {
    this.limits = limits;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  usedBy(itemId: string): number {
    return this.#used.get(itemId) ?? 0;
  }

  /** Counts what was written (negative: removed). */
  charge(itemId: string, bytes: number): void {
    this.#usedBytes += bytes;
    this.#used.set(itemId, this.usedBy(itemId) + bytes);
    if (bytes < 0) for (const bell of this.#waiting) bell.wake();
  }

  hasRoom(itemId: string, bytes: number): boolean {
    return (
      // An item that has nothing may always write: a quota below one batch must not stop it for ever.
      (this.usedBy(itemId) === 0 || this.usedBy(itemId) + bytes <= this.limits.itemBytes) &&
      (this.#usedBytes === 0 ||
        this.#usedBytes + bytes <= this.limits.serverBytes - this.limits.refineReserveBytes)
    );
  }

  async waitForRoom(itemId: string, bytes: number, signal: AbortSignal): Promise<void> {
    const bell = new Bell();
    this.#waiting.add(bell);
    try {
      while (!this.hasRoom(itemId, bytes)) {
        await bell.wait(signal);
        signal.throwIfAborted();
      }
    } finally {
      this.#waiting.delete(bell);
    }
  }
}
