/** Something has changed: whoever waits looks again. A ring while nobody waits is not lost: counts tell. */
import { type Clock, pause } from './clock.ts';

export class Bell {
  #count = 0;
  #waiting = new Set<AbortController>();

  /** Taken before looking; `wait` returns at once when the bell has rung since. */
  get count(): number {
    return this.#count;
  }

  ring(): void {
    this.#count += 1;
    for (const waiting of this.#waiting) waiting.abort();
    this.#waiting.clear();
  }

  /** Until the bell rings after `seen`, the time is over, or the signal aborts. */
  async wait(clock: Clock, seen: number, milliseconds: number, signal: AbortSignal): Promise<void> {
    if (this.#count !== seen || signal.aborted || milliseconds <= 0) return;
    const rung = new AbortController();
    this.#waiting.add(rung);
    try {
      await pause(clock, milliseconds, AbortSignal.any([rung.signal, signal]));
    } finally {
      this.#waiting.delete(rung);
    }
  }
}
