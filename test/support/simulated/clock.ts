/**
 * Simulated time. One `Timeline` holds everything that will happen, in order of time; nothing else moves the world. When
 * every promise of the program has run dry (one turn of the event loop: with no real input or output in the process
 * nothing can come from elsewhere), the next entry happens, and time jumps to it. A day takes seconds, and the same
 * entries in the same order happen every time.
 *
 * A `Life` is one run of one process of the simulated world: what it waits for belongs to it. `end()` is kill -9 at
 * whatever `await` the process stands: none of its waits ever comes back, so not one more line of it runs, no `finally`
 * either. What was already handed to the world (a frame on the wire, a write in the disk's queue) goes on without it.
 */
import { strict as assert } from 'node:assert';
import type { Clock } from '../../../src/platform/clock.ts';

export interface Entry {
  cancelled: boolean;
  readonly atMilliseconds: number;
  readonly order: number;
  readonly life: Life | undefined;
  readonly action: () => void;
}

/** What never comes back. */
export const never = <T>(): Promise<T> => new Promise<T>(() => {});

export class Timeline {
  /** Milliseconds since the world began. */
  nowMilliseconds = 0;
  /** Counts what has happened: two things of the same millisecond still have an order. */
  moment = 0;
  readonly #heap: Entry[] = [];
  #order = 0;

  after(milliseconds: number, action: () => void, life?: Life): Entry {
    assert(milliseconds >= 0 && !Number.isNaN(milliseconds), `a wait of ${milliseconds} ms`);
    const entry: Entry = {
      cancelled: false,
      atMilliseconds: this.nowMilliseconds + milliseconds,
      order: this.#order++,
      life,
      action,
    };
    this.#push(entry);
    return entry;
  }

  /** Lets things happen until `done()`, the limit of simulated time, or the end of all entries; says which. */
  async run(
    untilMilliseconds: number,
    done: () => boolean = () => false,
  ): Promise<'done' | 'time' | 'nothing left'> {
    for (;;) {
      await settled();
      if (done()) return 'done';
      const next = this.#heap[0];
      if (!next) return 'nothing left';
      if (next.atMilliseconds > untilMilliseconds) {
        this.nowMilliseconds = untilMilliseconds;
        return 'time';
      }
      this.#pop();
      if (next.cancelled || next.life?.hasEnded) continue;
      this.nowMilliseconds = next.atMilliseconds;
      this.moment++;
      next.action();
    }
  }

  #before(left: Entry, right: Entry): boolean {
    return (
      left.atMilliseconds < right.atMilliseconds ||
      (left.atMilliseconds === right.atMilliseconds && left.order < right.order)
    );
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(entry, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

/** Resolves when all microtasks and ticks have run dry. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export class Life {
  readonly name: string;
  hasEnded = false;
  readonly #atEnd: (() => void)[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** What the world does when the process dies: the kernel closes its sockets, for one. */
  onEnd(action: () => void): void {
    this.#atEnd.push(action);
  }

  end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    for (const action of this.#atEnd) action();
  }
}

/** Looks at one wall clock that are remembered: more than happen from a bookmark's date to its sending. */
const looksMax = 100_000;

/** A machine's wall clock, which may be stepped, and when it was looked at. */
export class WallClock {
  offsetMilliseconds: number;
  readonly #looks = new Map<number, { readonly atMilliseconds: number; readonly moment: number }>();

  constructor(offsetMilliseconds: number) {
    this.offsetMilliseconds = offsetMilliseconds;
  }

  look({ nowMilliseconds, moment }: Timeline): number {
    const shown = Math.floor(nowMilliseconds + this.offsetMilliseconds);
    const before = this.#looks.get(shown);
    // Of several looks within a millisecond the first; what it showed before it was stepped back does not count.
    if (before === undefined || nowMilliseconds - before.atMilliseconds > 1) {
      this.#looks.delete(shown);
      this.#looks.set(shown, { atMilliseconds: nowMilliseconds, moment });
    }
    if (this.#looks.size > looksMax) this.#looks.delete(this.#looks.keys().next().value!);
    return shown;
  }

  /** The moment in which somebody was last shown this; undefined: nobody was. */
  momentOf(shownMilliseconds: number): number | undefined {
    return this.#looks.get(shownMilliseconds)?.moment;
  }
}

/** A machine's clock as one process of it sees it. Steps of the wall clock are the machine's. */
export class SimulatedClock implements Clock {
  readonly #timeline: Timeline;
  readonly #life: Life;
  readonly #wall: WallClock;

  constructor(timeline: Timeline, life: Life, wall: WallClock) {
    this.#timeline = timeline;
    this.#life = life;
    this.#wall = wall;
  }

  now(): number {
    return this.#wall.look(this.#timeline);
  }

  monotonic(): number {
    return this.#timeline.nowMilliseconds;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (this.#life.hasEnded) return never();
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        entry.cancelled = true;
        if (!this.#life.hasEnded) reject(signal!.reason as Error);
      };
      const entry = this.#timeline.after(
        Math.max(0, milliseconds),
        () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        this.#life,
      );
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}
