/**
 * A process of the simulated world as its supervisor sees it: started, killed at any `await`, started again. What runs
 * inside are the real classes; everything they reach the world through belongs to the `Life` of one start.
 */
import { Life, never, type Timeline } from '../support/simulated/clock.ts';
import type { SeededRandom } from '../support/simulated/random.ts';
import type { EventLog } from './event-log.ts';

export class House {
  readonly name: string;
  life: Life | undefined;
  /** Times it ended by an error of its own, not by a fault that was made. */
  deaths = 0;
  /** False: nobody starts it again. */
  isWanted = true;
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  readonly #log: EventLog;
  readonly #main: (life: Life) => Promise<void>;

  /** @param main the process from start to end; it resolves only when the process is done for good */
  constructor(
    name: string,
    parts: { readonly timeline: Timeline; readonly random: SeededRandom; readonly log: EventLog },
    main: (life: Life) => Promise<void>,
  ) {
    this.name = name;
    this.#timeline = parts.timeline;
    this.#random = parts.random.fork(`house/${name}`);
    this.#log = parts.log;
    this.#main = main;
  }

  get isUp(): boolean {
    return this.life !== undefined && !this.life.hasEnded;
  }

  start(): void {
    if (this.isUp || !this.isWanted) return;
    const life = new Life(this.name);
    this.life = life;
    this.stop = undefined;
    this.#log.add(this.name, 'starts');
    this.#main(life).then(
      () => this.#ended(life, undefined),
      (error: unknown) => this.#ended(life, error),
    );
  }

  /** Set by the process: asks it to end in good order, as SIGTERM does. */
  stop: (() => void) | undefined;

  /** kill -9. */
  kill(): void {
    if (!this.isUp) return;
    this.#log.add(this.name, 'is killed');
    this.life?.end();
  }

  startSoon(low = 100, high = 5000): void {
    this.#timeline.after(this.#random.range(low, high), () => this.start());
  }

  #ended(life: Life, error: unknown): void {
    if (life.hasEnded) return;
    life.end();
    if (error === undefined) {
      this.#log.add(this.name, 'ends');
      return;
    }
    this.deaths++;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#log.add(this.name, `!! dies of ${text.split('\n').slice(0, 6).join(' | ')}`);
    this.startSoon(1000, 2000);
  }
}

/**
 * `target` as a process reaches it over something that takes a while: each call of a method waits, is made as a whole,
 * and waits again before its result is known; the process may die in between and never learn whether it was made.
 */
export function reachedBy<T extends object>(
  target: T,
  life: Life,
  timeline: Timeline,
  random: SeededRandom,
): T {
  const wait = (): Promise<void> =>
    life.hasEnded
      ? never()
      : new Promise((resolve) => {
          timeline.after(random.range(0.05, 3), resolve, life);
        });
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name, object);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        await wait();
        let result: unknown;
        try {
          result = await (value as (...args: unknown[]) => unknown).apply(object, args);
        } catch (error) {
          await wait();
          throw error;
        }
        await wait();
        return structuredClone(result);
      };
    },
  });
}
