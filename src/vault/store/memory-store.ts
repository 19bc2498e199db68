/** The vault's records in memory, for the simulation: they survive the crash of everything but this object. */
import type { HealthEvent } from '../../model/health.ts';
import type { ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import { errors } from '../errors.ts';
import {
  type Advance,
  type Blocked,
  comparePlaces,
  type Fence,
  type ItemState,
  isComplete,
  type PointPlace,
  type ProtectedItem,
  type RecoveryPoint,
  type StoredEvent,
  type VaultStore,
} from './vault-store.ts';

interface Entry {
  readonly item: ProtectedItem;
  readonly sealedKey: Uint8Array;
  state: ItemState;
  readonly points: Map<string, RecoveryPoint>;
}

const fresh: ItemState = { disks: [], progress: [], changedBytes: 0 };

export class MemoryStore implements VaultStore {
  readonly #items = new Map<string, Entry>();
  #events: StoredEvent[] = [];
  #lastEventId = 0;

  async addItem(item: ProtectedItem, sealedKey: Uint8Array): Promise<void> {
    const same =
      this.#items.get(item.itemId)?.item ??
      [...this.#items.values()].find((entry) => entry.item.name === item.name)?.item;
    if (same !== undefined) throw errors.ItemAlreadyProtected(`a machine named ${item.name}`, same.name);
    this.#items.set(item.itemId, { item, sealedKey, state: fresh, points: new Map() });
  }
  async item(itemId: ProtectedItemId): Promise<ProtectedItem | undefined> {
    return this.#items.get(itemId)?.item;
  }
  async listItems(page: { after?: string; limit: number }): Promise<ProtectedItem[]> {
    return [...this.#items.values()]
      .map((entry) => entry.item)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .filter((item) => page.after === undefined || item.name > page.after)
      .slice(0, page.limit);
  }
  async sealedKey(itemId: ProtectedItemId): Promise<Uint8Array | undefined> {
    return this.#items.get(itemId)?.sealedKey;
  }
  async removeItem(itemId: ProtectedItemId): Promise<void> {
    this.#items.delete(itemId);
    this.#events = this.#events.filter((event) => event.itemId !== itemId);
  }
  async state(itemId: ProtectedItemId): Promise<ItemState> {
    return this.#entry(itemId).state;
  }
  async advance(itemId: ProtectedItemId, advance: Advance): Promise<void> {
    const entry = this.#entry(itemId);
    if (entry.state.fence) throw errors.ItemFenced(itemId);
    entry.state = {
      position: advance.position,
      disks: [...advance.disks],
      progress: [...advance.progress],
      changedBytes: advance.changedBytes,
    };
    if (advance.point !== undefined && !entry.points.has(advance.point.pointId))
      entry.points.set(advance.point.pointId, advance.point);
    await this.addEvents(itemId, advance.events);
  }
  async block(itemId: ProtectedItemId, blocked: Blocked): Promise<void> {
    const entry = this.#entry(itemId);
    entry.state = { ...entry.state, blocked };
    await this.addEvents(itemId, [blocked.event]);
  }
  async fence(itemId: ProtectedItemId, fence: Fence): Promise<void> {
    const entry = this.#entry(itemId);
    if (entry.state.fence?.failoverId !== fence.failoverId) entry.state = { ...entry.state, fence };
  }
  async liftFence(itemId: ProtectedItemId): Promise<void> {
    const entry = this.#items.get(itemId);
    if (!entry) return;
    const { fence: _, ...rest } = entry.state;
    entry.state = rest;
  }
  async pause(itemId: ProtectedItemId, event: HealthEvent | undefined): Promise<void> {
    this.#entry(itemId);
    if (event !== undefined) await this.addEvents(itemId, [event]);
  }
  async listPoints(
    itemId: ProtectedItemId,
    page: { before?: PointPlace; limit: number; isComplete?: true },
  ): Promise<RecoveryPoint[]> {
    return [...(this.#items.get(itemId)?.points.values() ?? [])]
      .sort((a, b) => comparePlaces(b, a))
      .filter((point) => page.before === undefined || comparePlaces(point, page.before) < 0)
      .filter((point) => page.isComplete === undefined || isComplete(point))
      .slice(0, page.limit);
  }
  async point(itemId: ProtectedItemId, pointId: RecoveryPointId): Promise<RecoveryPoint | undefined> {
    return this.#items.get(itemId)?.points.get(pointId);
  }
  async removePoint(itemId: ProtectedItemId, pointId: RecoveryPointId): Promise<void> {
    this.#items.get(itemId)?.points.delete(pointId);
  }
  async lockPoint(
    itemId: ProtectedItemId,
    pointId: RecoveryPointId,
    until: string | undefined,
  ): Promise<void> {
    const points = this.#entry(itemId).points;
    const point = points.get(pointId);
    if (point === undefined) throw errors.RecoveryPointGone(pointId);
    const { lockedUntil: _, ...rest } = point;
    points.set(pointId, until === undefined ? rest : { ...rest, lockedUntil: until });
  }
  async addEvents(itemId: ProtectedItemId, events: readonly HealthEvent[]): Promise<void> {
    for (const event of events) this.#events.push({ eventId: ++this.#lastEventId, itemId, event });
  }
  async listEvents(page: {
    itemId?: ProtectedItemId;
    before?: number;
    limit: number;
  }): Promise<StoredEvent[]> {
    return this.#events
      .filter((event) => page.itemId === undefined || event.itemId === page.itemId)
      .filter((event) => page.before === undefined || event.eventId < page.before)
      .reverse()
      .slice(0, page.limit);
  }
  async trimEvents(keep: number): Promise<void> {
    const seen = new Map<string, number>();
    this.#events = this.#events
      .reverse()
      .filter((event) => {
        const count = (seen.get(event.itemId) ?? 0) + 1;
        seen.set(event.itemId, count);
        return count <= keep;
      })
      .reverse();
  }

  #entry(itemId: ProtectedItemId): Entry {
    const entry = this.#items.get(itemId);
    if (entry === undefined) throw errors.ItemUnknown(itemId);
    return entry;
  }
}
