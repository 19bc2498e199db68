/** The vault's records in MariaDB: the nouns' own files have the SQL, this one is the front door. */
import type { HealthEvent } from '../../model/health.ts';
import type { ProtectedItemId, RecoveryPointId } from '../../model/ids.ts';
import type { Database, Session } from '../../platform/mysql.ts';
import { errors } from '../errors.ts';
import * as events from './events.ts';
import * as fences from './fences.ts';
import * as items from './items.ts';
import * as pauses from './pauses.ts';
import * as points from './points.ts';
import * as states from './states.ts';
import type { Advance, Blocked, Fence, PointPlace, ProtectedItem, VaultStore } from './vault-store.ts';

export class MariaStore implements VaultStore {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  addItem(item: ProtectedItem, sealedKey: Uint8Array) {
    return items.add(this.#database, item, sealedKey);
  }
  item(itemId: ProtectedItemId) {
    return items.byId(this.#database, itemId);
  }
  listItems(page: { after?: string; limit: number }) {
    return items.list(this.#database, page);
  }
  sealedKey(itemId: ProtectedItemId) {
    return items.sealedKey(this.#database, itemId);
  }
  async removeItem(itemId: ProtectedItemId): Promise<void> {
    await this.#database.transaction(async (session) => {
      for (const table of [
        'positions',
        'disks',
        'progress',
        'recovery_points',
        'events',
        'blocked',
        'failover_fences',
        'paused',
        'protected_items',
      ])
        await session.change(`DELETE FROM ${table} WHERE item_id = ?`, [itemId]);
    });
  }
  async state(itemId: ProtectedItemId) {
    return this.#database.transaction(async (session) => {
      await mustExist(session, itemId);
      return states.read(session, itemId);
    });
  }
  async advance(itemId: ProtectedItemId, advance: Advance): Promise<void> {
    await this.#database.transaction(async (session) => {
      await mustExist(session, itemId);
      if (await fences.read(session, itemId)) throw errors.ItemFenced(itemId);
      await states.write(session, itemId, advance);
      await pauses.clear(session, itemId);
      if (advance.point !== undefined) await points.add(session, advance.point);
      await events.add(session, itemId, advance.events);
    });
  }
  async block(itemId: ProtectedItemId, blocked: Blocked): Promise<void> {
    await this.#database.transaction(async (session) => {
      await mustExist(session, itemId);
      await states.block(session, itemId, blocked);
      await events.add(session, itemId, [blocked.event]);
    });
  }
  async fence(itemId: ProtectedItemId, fence: Fence): Promise<void> {
    await this.#database.transaction(async (session) => {
      // After every advance that is under way, and before every later one, which then sees the fence.
      const rows = await session.rows('SELECT 1 FROM protected_items WHERE item_id = ? FOR UPDATE', [itemId]);
      if (rows.length === 0) throw errors.ItemUnknown(itemId);
      await fences.put(session, itemId, fence);
    });
  }
  liftFence(itemId: ProtectedItemId, at: string) {
    return fences.lift(this.#database, itemId, at);
  }
  async pause(itemId: ProtectedItemId, event: HealthEvent | undefined): Promise<void> {
    await this.#database.transaction(async (session) => {
      await mustExist(session, itemId);
      if (event === undefined) await pauses.clear(session, itemId);
      else {
        await pauses.put(session, itemId, event);
        await events.add(session, itemId, [event]);
      }
    });
  }
  listPoints(itemId: ProtectedItemId, page: { before?: PointPlace; limit: number; isComplete?: true }) {
    return points.list(this.#database, itemId, page);
  }
  point(itemId: ProtectedItemId, pointId: RecoveryPointId) {
    return points.byId(this.#database, itemId, pointId);
  }
  removePoint(itemId: ProtectedItemId, pointId: RecoveryPointId) {
    return points.remove(this.#database, itemId, pointId);
  }
  lockPoint(itemId: ProtectedItemId, pointId: RecoveryPointId, until: string | undefined) {
    return points.lock(this.#database, itemId, pointId, until);
  }
  async addEvents(itemId: ProtectedItemId, added: readonly HealthEvent[]) {
    await this.#database.transaction((session) => events.add(session, itemId, added));
  }
  listEvents(page: { itemId?: ProtectedItemId; before?: number; limit: number }) {
    return events.list(this.#database, page);
  }
  trimEvents(keep: number) {
    return events.trim(this.#database, keep);
  }
}

/** Locks the item's row: an item that is being removed gets no new rows behind the remover's back. */
async function mustExist(session: Session, itemId: ProtectedItemId): Promise<void> {
  const rows = await session.rows('SELECT 1 FROM protected_items WHERE item_id = ? LOCK IN SHARE MODE', [
    itemId,
  ]);
  if (rows.length === 0) throw errors.ItemUnknown(itemId);
}
