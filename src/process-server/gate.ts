/**
 * Bounds what is done or held at once: whoever comes when all places are taken waits in line. This is what keeps memory
 * the same for ten machines and a thousand.
 */
export class Gate {
  #free: number;
  readonly #line: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** Resolves with the way back out; rejects with the signal's reason when it aborts first. */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const abort = () => {
        const at = this.#line.indexOf(resolve);
        if (at < 0) return;
        this.#line.splice(at, 1);
        reject(signal.reason);
      };
      this.#line.push(resolve);
      signal.addEventListener('abort', abort, { once: true });
      try {
        await promise;
      } finally {
        signal.removeEventListener('abort', abort);
      }
    }
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const next = this.#line.shift();
      if (next) next();
      else this.#free++;
    };
  }
}

/** Wakes whoever waits: `wait()` resolves at the next `wake()`, or at once when one came since the last wait. */
export class Bell {
  #rang = false;
  #waiting: PromiseWithResolvers<void> | undefined;

  wake(): void {
    this.#rang = true;
    this.#waiting?.resolve();
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#rang && !signal.aborted) {
      this.#waiting = Promise.withResolvers<void>();
      const abort = () => this.#waiting?.resolve();
      signal.addEventListener('abort', abort, { once: true });
      await this.#waiting.promise;
      signal.removeEventListener('abort', abort);
      this.#waiting = undefined;
    }
    this.#rang = false;
  }
}
