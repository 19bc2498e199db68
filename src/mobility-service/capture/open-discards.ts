/**
 * Discards that were queued and may not have completed, of a disk whose driver takes several ranges in one request (NVMe; the
 * kernel's `max_discard_segments` is above 1). The completion of such a request names its first range and the bytes of all of
 * them together, so that completions alone would leave the other ranges unmarked.
 *
 *     queued [a), [c) ─▶ merged ─▶ completed "at a, a + c bytes"  ─▶ next two barriers: everything that is open is marked
 *     no completion for two barriers, and no byte outstanding      ─▶ nothing is open any more
 *
 * So a discard marks too much (others that are under way, marked again when they complete) and never too little:
 * - a discard that completed before a barrier was queued before it too, so that both events are read by that barrier;
 * - a completion that is read by chance, while its queue event is still in another processor's ring, is kept in mind for one
 *   barrier more, which reads that ring;
 * - what is open is only forgotten when no completion was read for two barriers: the queue events of all that completed have
 *   then been read, so that the bytes that are outstanding are no fewer than those under way.
 */
import { ChangeMap } from './change-map.ts';

/** A barrier every 2 s: two minutes, several times the 30 s after which drivers give a request up. */
const heldBarriers = 60;

export class OpenDiscards {
  readonly #open: ChangeMap;
  #outstandingBytes = 0;
  #held = 0;
  /** For so many barriers what is open is still to be marked. */
  #markings = 0;

  constructor(sizeBytes: number) {
    this.#open = new ChangeMap(sizeBytes);
  }

  get isEmpty(): boolean {
    return this.#open.isEmpty && this.#markings === 0;
  }

  queued(offsetBytes: number, lengthBytes: number): void {
    this.#open.mark(offsetBytes, lengthBytes);
    this.#outstandingBytes += lengthBytes;
  }

  completed(lengthBytes: number): void {
    this.#outstandingBytes -= lengthBytes;
    this.#markings = 2;
  }

  /** Events were lost, so that the sums mean nothing: what is open stays so for a good while. */
  distrust(): void {
    this.#outstandingBytes = 0;
    this.#held = heldBarriers;
  }

  /** At each barrier, when all rings have been read. */
  settle(map: ChangeMap): void {
    if (this.#markings > 0) {
      this.#markings--;
      map.merge(this.#open);
    } else if (this.#held > 0) this.#held--;
    else if (this.#outstandingBytes <= 0) {
      // Below zero: what was queued before the recording began has completed.
      this.#outstandingBytes = 0;
      this.#open.clear();
    }
  }
}
