/** A throttle: so many bytes a second, on the injected clock, with a quarter of a second of burst. */
import type { Clock } from '../../platform/clock.ts';

export class TokenBucket {
  readonly #clock: Clock;
  #bytesPerSecond: number | undefined;
  /** May go below zero by one frame: a frame larger than the burst must get through, too. */
  #tokens = 0;
  #filledAt: number;

  constructor(clock: Clock, bytesPerSecond?: number) {
    this.#clock = clock;
    this.#filledAt = clock.monotonic();
    this.setRate(bytesPerSecond);
  }

  /** @param bytesPerSecond undefined: no limit */
  setRate(bytesPerSecond: number | undefined): void {
    this.#fill();
    this.#bytesPerSecond = bytesPerSecond;
    this.#tokens = Math.min(this.#tokens, this.#burst);
  }

  /** Takes and answers 0, or takes nothing and answers how long to wait before asking again. */
  take(bytes: number): number {
    if (this.#bytesPerSecond === undefined) return 0;
    this.#fill();
    if (this.#tokens > 0) {
      this.#tokens -= bytes;
      return 0;
    }
    return Math.max(1, Math.ceil(((1 - this.#tokens) / this.#bytesPerSecond) * 1000));
  }

  get #burst(): number {
    return (this.#bytesPerSecond ?? 0) / 4;
  }

  #fill(): void {
    const now = this.#clock.monotonic();
    if (this.#bytesPerSecond !== undefined)
      this.#tokens = Math.min(
        this.#burst,
        this.#tokens + ((now - this.#filledAt) / 1000) * this.#bytesPerSecond,
      );
    this.#filledAt = now;
  }
}
