/** A token bucket on the injected clock: at most so many bytes a second, with a burst of a quarter of a second. */
import { type Clock, pause } from './clock.ts';

export class Throttle {
  readonly #clock: Clock;
  #bytesPerSecond: number | undefined;
  /** When everything that was let through so far is paid for. */
  #paidAt: number;

  constructor(clock: Clock, bytesPerSecond: number | undefined) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#paidAt = clock.monotonic();
  }

  setRate(bytesPerSecond: number | undefined): void {
    this.#bytesPerSecond = bytesPerSecond;
    this.#paidAt = this.#clock.monotonic();
  }

  /** Resolves when these bytes may go. Callers are served in the order of their calls. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === undefined) return;
    const now = this.#clock.monotonic();
    this.#paidAt = Math.max(this.#paidAt, now - burstMilliseconds) + (bytes / this.#bytesPerSecond) * 1000;
    const wait = this.#paidAt - now;
    if (wait > 0) await pause(this.#clock, wait, signal);
    signal.throwIfAborted();
  }
}

const burstMilliseconds = 250;
