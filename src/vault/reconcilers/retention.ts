/**
 * Thinning: unlinks the recovery points that the policy no longer keeps, and what nobody knows of. Runs every few
 * minutes, takes no input, and comes to the same end however often it is stopped in between.
 *
 * Order: the record goes first, then the clones. A crash in between leaves a point on the replica store without a record,
 * which the next passes remove as an orphan. The other way round a point would be offered that is not there. Last goes
 * from the archive of manifests what no point needs any more.
 */
import type { RecoveryPointId } from '../../model/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { repeat } from '../../platform/repeat.ts';
import { eventsKeptMax, pageMax, pointsMax, retentionMilliseconds } from '../limits.ts';
import type { Archive } from '../log-processor/archive.ts';
import type { ReplicaStore } from '../replica/replica-store.ts';
import { planRetention } from '../retention/plan.ts';
import {
  comparePlaces,
  type ProtectedItem,
  type RecoveryPoint,
  type VaultStore,
} from '../store/vault-store.ts';

export interface RetentionParts {
  readonly store: VaultStore;
  readonly replica: ReplicaStore;
  readonly archive: Archive;
  readonly clock: Clock;
  readonly log: Log;
}

interface Plan {
  readonly expired: readonly RecoveryPoint[];
  readonly orphans: readonly RecoveryPointId[];
}

export class Retention {
  readonly #parts: RetentionParts;
  /** Orphans seen in the pass before: a point is cut before it is recorded, so one pass alone proves nothing. */
  #suspects = new Set<RecoveryPointId>();

  constructor(parts: RetentionParts) {
    this.#parts = parts;
  }

  run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const onFailure = (error: unknown) => log.warn('retention-failed', { error });
    return repeat({ clock, signal, pauseMilliseconds: retentionMilliseconds, onFailure }, () => this.pass());
  }

  /** Once over all items. */
  async pass(): Promise<void> {
    const { store } = this.#parts;
    const suspects = new Set<RecoveryPointId>();
    let after: string | undefined;
    for (;;) {
      const items = await store.listItems({ limit: pageMax, ...(after === undefined ? {} : { after }) });
      for (const item of items) await this.#act(item, await this.#plan(item, suspects));
      if (items.length < pageMax) break;
      after = items.at(-1)!.name;
    }
    this.#suspects = suspects;
    await store.trimEvents(eventsKeptMax);
  }

  async #plan(item: ProtectedItem, suspects: Set<RecoveryPointId>): Promise<Plan> {
    const { store, replica, clock } = this.#parts;
    const points = await store.listPoints(item.itemId, { limit: pointsMax });
    const known = new Set(points.map(({ pointId }) => pointId));
    const orphans: RecoveryPointId[] = [];
    for (const pointId of await replica.listPoints(item.itemId)) {
      if (known.has(pointId) || (await store.point(item.itemId, pointId)) !== undefined) continue;
      if (this.#suspects.has(pointId)) orphans.push(pointId);
      else suspects.add(pointId);
    }
    return { expired: planRetention(points, item.retention, clock.now()), orphans };
  }

  async #act(item: ProtectedItem, { expired, orphans }: Plan): Promise<void> {
    const { store, replica, archive, log } = this.#parts;
    for (const { pointId } of expired) {
      await store.removePoint(item.itemId, pointId);
      await replica.dropPoint(item.itemId, pointId);
    }
    for (const pointId of orphans) await replica.dropPoint(item.itemId, pointId);
    // The position first: a point that is recorded meanwhile is behind it.
    const { position } = await store.state(item.itemId);
    const points = await store.listPoints(item.itemId, { limit: pointsMax });
    const needed = [...points, ...(position === undefined ? [] : [position])].sort(comparePlaces)[0];
    if (needed !== undefined) await archive.trim(item.itemId, needed);
    if (expired.length + orphans.length > 0)
      log.info('points-thinned', { itemId: item.itemId, expired: expired.length, orphans: orphans.length });
  }
}
