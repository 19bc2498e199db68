/**
 * What the site says of this machine: that it is the one it says it is, that it is a copy of another one, or nothing, because
 * the configuration server does not answer. Reports bring it; replication waits for the first word and ends with a refusal.
 *
 *     asking ──report taken──▶ known ◀──────────────┐
 *        │ └──MachineCopied, MachineStillLive──▶ refused
 *        └──no answer──▶ unknown: goes on, as without a site
 */
import { type Clock, pause } from '../../platform/clock.ts';
import { hasCode, type LeewardError } from '../../platform/errors.ts';

export class Standing {
  readonly #on: { readonly refusal: () => void; readonly known: () => void };
  readonly #first = Promise.withResolvers<void>();
  #refusal: LeewardError | undefined;
  #isKnown = false;
  #isAwaited = false;

  /** @param on `refusal`: it is refused, or not any more; `known`: the site takes its reports, now or again */
  constructor(on: { readonly refusal: () => void; readonly known: () => void }) {
    this.#on = on;
  }

  /** The site has taken its last report that was answered. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  get refusal(): LeewardError | undefined {
    return this.#refusal;
  }

  /** After a report: undefined, or what it ended with. */
  reported(failure: unknown): void {
    const wasRefused = this.#refusal?.code;
    const wasKnown = this.#isKnown;
    if (failure === undefined) {
      this.#refusal = undefined;
      this.#isKnown = true;
    } else if (hasCode(failure, 'MachineCopied', 'MachineStillLive')) {
      this.#refusal = failure as LeewardError;
      this.#isKnown = false;
    }
    // What nobody answers changes nothing: the last word stands.
    this.#first.resolve();
    // Who waits for the word looks at it without being told.
    if (this.#refusal?.code !== wasRefused && !this.#isAwaited) this.#on.refusal();
    if (this.#isKnown && !wasKnown) this.#on.known();
  }

  /** Until there is a word, or none is to be had. */
  async settled(clock: Clock, millisecondsMax: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    this.#isAwaited = true;
    await Promise.race([
      this.#first.promise,
      pause(clock, millisecondsMax, AbortSignal.any([signal, over.signal])),
    ]);
    this.#isAwaited = false;
    over.abort();
  }
}
