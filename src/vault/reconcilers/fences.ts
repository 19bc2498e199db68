/**
 * Tells sites which of their items are failed over, and which are so no longer: their process servers then turn the source
 * away, or let it in again. A site that cannot be reached is told when it is back; the vault's own fence does not wait for it.
 *
 *     failover_fences, not told ─▶ order `change-failed-over`, one an hour until it is answered ─▶ told
 */
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import { repeat } from '../../platform/repeat.ts';
import { derivedId } from '../jobs/derived-id.ts';
import { fencesAtOnce, fencesMilliseconds } from '../limits.ts';
import type { OrdersDesk } from '../site-link/orders.ts';
import * as fences from '../store/fences.ts';
import * as items from '../store/protected-items.ts';

export interface FencesParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly orders: Pick<OrdersDesk, 'place' | 'answer'>;
  readonly sites: {
    siteOf(item: { readonly vaultId: string; readonly fabricName: string }): Promise<string | undefined>;
  };
}

const againMilliseconds = 3_600_000;

export class Fences {
  readonly #parts: FencesParts;

  constructor(parts: FencesParts) {
    this.#parts = parts;
  }

  run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const onFailure = (error: unknown) => log.warn('fences-not-told', { error });
    return repeat({ clock, signal, pauseMilliseconds: fencesMilliseconds, onFailure }, () => this.pass());
  }

  async pass(): Promise<void> {
    for (const fence of await fences.untold(this.#parts.database, fencesAtOnce)) await this.#tell(fence);
  }

  async #tell(fence: fences.UntoldFence): Promise<void> {
    const { database, clock, log, orders, sites } = this.#parts;
    const { itemId, failoverId, fencedAt, isLifted } = fence;
    const item = await items.byItemId(database, itemId);
    const siteId = item && (await sites.siteOf(item));
    if (siteId === undefined) return;
    const hour = Math.floor(clock.now() / againMilliseconds);
    const orderId = derivedId('change-failed-over', itemId, failoverId, siteId, `${isLifted} ${hour}`);
    await orders.place({
      orderId,
      siteId,
      content: {
        order: 'change-failed-over',
        itemId,
        failedOver: isLifted ? null : { failoverId, at: fencedAt },
      },
      expiresAt: new Date((hour + 1) * againMilliseconds).toISOString(),
    });
    if ((await orders.answer(orderId))?.outcome.state !== 'done') return;
    await fences.told(database, fence, new Date(clock.now()).toISOString());
    log.info('failed-over-told', { itemId, siteId, failoverId, isFailedOver: !isLifted });
  }
}
