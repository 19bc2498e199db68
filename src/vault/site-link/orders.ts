/**
 * The orders' desk: workflows place orders here and look for answers, sites come and fetch them.
 *
 *     workflow ── place ──▶ row (a sequence of the site) ──▶ a waiting site wakes, or finds it later
 *     workflow ◀── answer ── row ◀── first answer of the site, or `OrderExpired` after its time
 *
 * Rows are the truth; waking is only haste. A vault process beside this one may place an order, so a waiting request also
 * looks by itself every second. One waiting request a site: the site has hung up on an older one, whether we know it or not.
 */
import { type Clock, pause } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import { repeat } from '../../platform/repeat.ts';
import { healthEventOf } from '../../protocol/control/health-event.ts';
import {
  ordersMax,
  ordersWaitMilliseconds,
  type SiteAnswer,
  type SiteOrder,
} from '../../protocol/control/site-link.ts';
import * as orders from '../store/site-orders.ts';
import { siteLinkErrors } from './errors.ts';
import {
  answeredOrdersDays,
  answeredOrdersTrimmedAtOnce,
  answerGraceMilliseconds,
  ordersPollMilliseconds,
} from './limits.ts';

export type { OrderContent } from '../store/site-orders.ts';

export interface OrdersDeskParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** An order was answered: whoever waits for it may go on. */
  readonly onAnswer: (orderId: string) => void;
}

/** How often overdue orders are looked for, and how many at once. */
const overdueMilliseconds = 10_000;
const overdueMax = 500;

/** A site's request that waits for orders; which of two came later does not change when orders wake them. */
interface WaitingRequest {
  woken: AbortController;
  replaced: boolean;
}

export class OrdersDesk {
  readonly #parts: OrdersDeskParts;
  readonly #waiting = new Map<string, WaitingRequest>();

  constructor(parts: OrdersDeskParts) {
    this.#parts = parts;
  }

  /** Placed once, however often it is called with the same id. Throws `SiteUnknown`. */
  async place(order: {
    readonly orderId: string;
    readonly siteId: string;
    readonly content: orders.OrderContent;
    readonly expiresAt: string;
  }): Promise<void> {
    const { database, clock } = this.#parts;
    await orders.place(database, { ...order, placedAt: new Date(clock.now()).toISOString() });
    this.#wake(order.siteId);
  }

  /** Undefined: not answered yet. */
  async answer(orderId: string): Promise<SiteAnswer | undefined> {
    return (await orders.answerTo(this.#parts.database, orderId))?.answer;
  }

  /** Waits up to 25 s for orders after a sequence. Nothing, at once, when a later request of the site takes its place. */
  async wait(siteId: string, sequence: number, signal: AbortSignal): Promise<SiteOrder[]> {
    const { clock, database } = this.#parts;
    const request: WaitingRequest = { woken: new AbortController(), replaced: false };
    const earlier = this.#waiting.get(siteId);
    this.#waiting.set(siteId, request);
    if (earlier) {
      earlier.replaced = true;
      earlier.woken.abort();
    }
    const until = clock.monotonic() + ordersWaitMilliseconds;
    try {
      while (!request.replaced) {
        // Before it looks: an order that is placed in between wakes it.
        request.woken = new AbortController();
        const found = await orders.after(database, siteId, sequence, ordersMax);
        if (found.length > 0 || signal.aborted || clock.monotonic() >= until) return found;
        await pause(clock, ordersPollMilliseconds, AbortSignal.any([signal, request.woken.signal]));
      }
      return [];
    } finally {
      if (this.#waiting.get(siteId) === request) this.#waiting.delete(siteId);
    }
  }

  /** Answers which of them are kept now, from this call or an earlier one. */
  async keepAnswers(siteId: string, answers: readonly SiteAnswer[]): Promise<string[]> {
    const { database, clock, log } = this.#parts;
    const kept: string[] = [];
    for (const answer of answers) {
      const at = new Date(clock.now()).toISOString();
      const outcome = await orders.keepAnswer(database, siteId, answer, at);
      // Unknown ones are told as kept, too: the site would send them for ever.
      kept.push(answer.orderId);
      if (outcome === 'kept') this.#parts.onAnswer(answer.orderId);
      else log.info('answer-ignored', { siteId, orderId: answer.orderId, outcome });
    }
    return kept;
  }

  /** Answers in the site's place what it has not answered in its time. Until stopped. */
  run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const onFailure = (error: unknown) => log.warn('orders-not-expired', { error });
    return repeat({ clock, signal, pauseMilliseconds: overdueMilliseconds, onFailure }, () => this.expire());
  }

  async expire(): Promise<void> {
    const { database, clock } = this.#parts;
    const now = clock.now();
    const before = new Date(now - answerGraceMilliseconds).toISOString();
    const longAgo = new Date(now - answeredOrdersDays * 86_400_000).toISOString();
    await orders.trim(database, longAgo, answeredOrdersTrimmedAtOnce);
    for (const { orderId, siteId, expiresAt } of await orders.overdue(database, before, overdueMax)) {
      const at = new Date(now).toISOString();
      await this.keepAnswers(siteId, [
        {
          orderId,
          outcome: {
            state: 'failed',
            error: healthEventOf(siteLinkErrors.OrderExpired(orderId, expiresAt), now),
          },
          answeredAt: at,
        },
      ]);
    }
  }

  #wake(siteId: string): void {
    this.#waiting.get(siteId)?.woken.abort();
  }
}
