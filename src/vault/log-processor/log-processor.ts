/**
 * The log processor: all protected items, each strictly in order by itself, a bounded number at once. An item is looked at
 * when an upload wakes it, and once a poll interval in any case; one that fails is left alone for a while, the others go
 * on. Holds no state that a crash could lose.
 */
import type { ProtectedItemId } from '../../model/ids.ts';
import { Bell } from '../../platform/bell.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { repeat } from '../../platform/repeat.ts';
import { itemsAtOnceMax, pageMax, pauseMilliseconds, pollMilliseconds } from '../limits.ts';
import type { ProtectedItem, VaultStore } from '../store/vault-store.ts';
import { type ItemProcessor, toHealthEvent } from './item-processor.ts';

export interface LogProcessorParts {
  readonly store: VaultStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Makes the processor of an item; opens its key. */
  open(item: ProtectedItem): Promise<ItemProcessor>;
}

export class LogProcessor {
  readonly #parts: LogProcessorParts;
  readonly #processors = new Map<ProtectedItemId, ItemProcessor>();
  readonly #busy = new Map<ProtectedItemId, Promise<void>>();
  /** Came to their turn while they were busy: what arrived then may not have been seen. */
  readonly #missed = new Set<ProtectedItemId>();
  readonly #notBefore = new Map<ProtectedItemId, number>();
  readonly #bell = new Bell();
  /** Why an item could not be opened, by the error's code: told once. */
  readonly #told = new Map<ProtectedItemId, string>();

  constructor(parts: LogProcessorParts) {
    this.#parts = parts;
  }

  /** Something arrived in cache storage. */
  wake(): void {
    this.#bell.ring();
  }

  /** Until the signal; resolves when every item under way has come to rest. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const onFailure = (error: unknown) => log.warn('items-not-listed', { error });
    await repeat({ clock, signal, pauseMilliseconds: pollMilliseconds, bell: this.#bell, onFailure }, () =>
      this.#start(signal),
    );
    await Promise.all(this.#busy.values());
    for (const processor of this.#processors.values()) await processor.close();
    this.#processors.clear();
  }

  /** Waits until the item is at rest and closes its files: before its replica is removed. */
  async release(itemId: ProtectedItemId): Promise<void> {
    this.#notBefore.set(itemId, Number.POSITIVE_INFINITY);
    await this.#busy.get(itemId);
    await this.#processors.get(itemId)?.close();
    this.#processors.delete(itemId);
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#parts;
    let after: string | undefined;
    for (;;) {
      const items = await store.listItems({ limit: pageMax, ...(after === undefined ? {} : { after }) });
      for (const item of items) {
        while (this.#busy.size >= itemsAtOnceMax && !signal.aborted) await Promise.race(this.#busy.values());
        if (signal.aborted) return;
        if (this.#busy.has(item.itemId)) {
          this.#missed.add(item.itemId);
          continue;
        }
        this.#missed.delete(item.itemId);
        if (clock.monotonic() < (this.#notBefore.get(item.itemId) ?? 0)) continue;
        const work = this.#work(item, signal).finally(() => {
          this.#busy.delete(item.itemId);
          if (this.#missed.has(item.itemId)) this.wake();
        });
        this.#busy.set(item.itemId, work);
      }
      if (items.length < pageMax) return;
      after = items.at(-1)!.name;
    }
  }

  /** What keeps an item's processor from being made, e.g. a key that cannot be opened, is told: nothing of it is applied. */
  async #open(item: ProtectedItem, store: VaultStore): Promise<ItemProcessor> {
    try {
      return await this.#parts.open(item);
    } catch (error) {
      const event = toHealthEvent(error, this.#parts.clock);
      if (this.#told.get(item.itemId) !== event.code) await store.pause(item.itemId, event);
      this.#told.set(item.itemId, event.code);
      throw error;
    }
  }

  /** As many manifests as are there, but no more than a poll's worth of time at once, so that others get their turn. */
  async #work(item: ProtectedItem, signal: AbortSignal): Promise<void> {
    const { clock, log, store } = this.#parts;
    try {
      let processor = this.#processors.get(item.itemId);
      if (processor === undefined) {
        processor = await this.#open(item, store);
        this.#processors.set(item.itemId, processor);
      }
      const until = clock.monotonic() + pollMilliseconds;
      while ((await processor.step(signal)) === 'applied') {
        if (clock.monotonic() < until) continue;
        this.wake();
        break;
      }
    } catch (error) {
      if (signal.aborted) return;
      log.warn('item-left-alone', { itemId: item.itemId, milliseconds: pauseMilliseconds, error });
      if (this.#notBefore.get(item.itemId) !== Number.POSITIVE_INFINITY)
        this.#notBefore.set(item.itemId, clock.monotonic() + pauseMilliseconds);
    }
  }
}
