/** What came of the latest orders: whoever gave one waits here until the service does it, rests, or says why it cannot. */
export class Settling {
  #latest = fresh();
  #isOver = false;

  get promise(): Promise<void> {
    return this.#latest.promise;
  }

  /** New orders. Who waits for what came of the earlier ones hears what comes of these. */
  anew(): Promise<void> {
    const before = this.#latest;
    this.#latest = fresh();
    this.#isOver = false;
    this.#latest.promise.then(before.resolve, before.reject);
    return this.#latest.promise;
  }

  /** A try begins. What it comes to counts for the orders of this moment, not for later ones. */
  begin(): { good(): void; bad(error: Error): void } {
    if (this.#isOver) void this.anew();
    const mine = this.#latest;
    const end = (): void => {
      if (mine === this.#latest) this.#isOver = true;
    };
    return {
      good: () => {
        end();
        mine.resolve();
      },
      bad: (error) => {
        end();
        mine.reject(error);
      },
    };
  }
}

function fresh() {
  const made = Promise.withResolvers<void>();
  // Nobody may be waiting.
  made.promise.catch(() => {});
  return made;
}
