/** Counts wrong answers of a guesser within a window, for a bounded number of guessers. */
import type { Clock } from '../../platform/clock.ts';

export interface GuessLimitOptions {
  readonly clock: Clock;
  readonly most: number;
  readonly windowMilliseconds: number;
  readonly rememberedMax: number;
}

export class GuessLimit {
  readonly #options: GuessLimitOptions;
  readonly #wrong = new Map<string, { count: number; readonly since: number }>();

  constructor(options: GuessLimitOptions) {
    this.#options = options;
  }

  /** Seconds until the guesser may try again; undefined: now. */
  waitSeconds(guesser: string): number | undefined {
    const entry = this.#current(guesser);
    if (entry === undefined || entry.count < this.#options.most) return undefined;
    const left = entry.since + this.#options.windowMilliseconds - this.#options.clock.monotonic();
    return Math.max(1, Math.ceil(left / 1000));
  }

  wrong(guesser: string): void {
    const entry = this.#current(guesser);
    if (entry !== undefined) {
      entry.count += 1;
      return;
    }
    // Maps keep the order of insertion: the oldest window makes room.
    if (this.#wrong.size >= this.#options.rememberedMax) {
      const [oldest] = this.#wrong.keys();
      if (oldest !== undefined) this.#wrong.delete(oldest);
    }
    this.#wrong.set(guesser, { count: 1, since: this.#options.clock.monotonic() });
  }

  #current(guesser: string): { count: number; readonly since: number } | undefined {
    const entry = this.#wrong.get(guesser);
    if (entry === undefined) return undefined;
    if (this.#options.clock.monotonic() - entry.since < this.#options.windowMilliseconds) return entry;
    this.#wrong.delete(guesser);
    return undefined;
  }
}
