/** Orders to sites and their answers. */
import type { Database, Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { SiteAnswer, SiteOrder } from '../../protocol/control/site-link.ts';
import { siteLinkErrors } from '../site-link/errors.ts';
import { json } from './rows.ts';

/** An order without what its place in the row decides. */
export type OrderContent = SiteOrder extends infer Each
  ? Each extends SiteOrder
    ? Omit<Each, 'orderId' | 'sequence' | 'expiresAt'>
    : never
  : never;

/** Places an order once, however often it is called with its id. */
export async function place(
  database: Database,
  order: {
    readonly orderId: string;
    readonly siteId: string;
    readonly content: OrderContent;
    readonly placedAt: string;
    readonly expiresAt: string;
  },
): Promise<void> {
  await database.transaction(async (session) => {
    // The site's row first: it is the lock that makes sequences gapless.
    const [site] = await session.rows(
      'SELECT order_sequence FROM sites WHERE site_id = ? AND removed_at IS NULL FOR UPDATE',
      [order.siteId],
    );
    if (!site) throw siteLinkErrors.SiteUnknown();
    const [before] = await session.rows('SELECT site_id, content FROM site_orders WHERE order_id = ?', [
      order.orderId,
    ]);
    if (before) {
      const { order: kind } = json(before.content) as { order: string };
      if (before.site_id !== order.siteId || kind !== order.content.order)
        throw siteLinkErrors.OrderIdTaken(order.orderId);
      return;
    }
    const sequence = Number(site.order_sequence) + 1;
    const content = SiteOrder.parse({
      ...order.content,
      orderId: order.orderId,
      sequence,
      expiresAt: order.expiresAt,
    });
    await session.change('UPDATE sites SET order_sequence = ? WHERE site_id = ?', [sequence, order.siteId]);
    await session.change(
      `INSERT INTO site_orders (order_id, site_id, sequence, content, placed_at, expires_at)
       VALUES (?, ?, ?, ?, ?, ?)`,
      [
        order.orderId,
        order.siteId,
        sequence,
        JSON.stringify(content),
        new Date(order.placedAt),
        new Date(order.expiresAt),
      ],
    );
  });
}

/** Orders that are not answered, after a sequence, in order. */
export async function after(
  session: Session,
  siteId: string,
  sequence: number,
  limit: number,
): Promise<SiteOrder[]> {
  const rows = await session.rows(
    `SELECT content FROM site_orders WHERE site_id = ? AND sequence > ? AND answered_at IS NULL
     ORDER BY sequence LIMIT ?`,
    [siteId, sequence, limit],
  );
  return rows.map((row) => parse(SiteOrder, json(row.content), 'site_orders'));
}

/** Keeps the first answer; says whether the order is this site's at all. */
export async function keepAnswer(
  session: Session,
  siteId: string,
  answer: SiteAnswer,
  at: string,
): Promise<'kept' | 'answered-before' | 'unknown'> {
  const changed = await session.change(
    `UPDATE site_orders SET answer = ?, answered_at = ? WHERE order_id = ? AND site_id = ? AND answered_at IS NULL`,
    [JSON.stringify(answer), new Date(at), answer.orderId, siteId],
  );
  if (changed > 0) return 'kept';
  const rows = await session.rows('SELECT 1 FROM site_orders WHERE order_id = ? AND site_id = ?', [
    answer.orderId,
    siteId,
  ]);
  return rows.length > 0 ? 'answered-before' : 'unknown';
}

export async function answerTo(
  session: Session,
  orderId: string,
): Promise<{ readonly order: SiteOrder; readonly answer: SiteAnswer | undefined } | undefined> {
  const [row] = await session.rows('SELECT content, answer FROM site_orders WHERE order_id = ?', [orderId]);
  if (!row) return undefined;
  return {
    order: parse(SiteOrder, json(row.content), 'site_orders'),
    answer: row.answer === null ? undefined : parse(SiteAnswer, json(row.answer), 'site_orders'),
  };
}

/** Ids and moments of unanswered orders that should have been answered before `before`. */
export async function overdue(
  session: Session,
  before: string,
  limit: number,
): Promise<{ readonly orderId: string; readonly siteId: string; readonly expiresAt: string }[]> {
  const rows = await session.rows(
    `SELECT order_id, site_id, content FROM site_orders WHERE answered_at IS NULL AND expires_at < ?
     ORDER BY expires_at LIMIT ?`,
    [new Date(before), limit],
  );
  return rows.map((row) => ({
    orderId: String(row.order_id),
    siteId: String(row.site_id),
    expiresAt: (json(row.content) as SiteOrder).expiresAt,
  }));
}

/** Answered orders before a moment are forgotten: their jobs are over. */
export async function trim(session: Session, before: string, limit: number): Promise<number> {
  return session.change('DELETE FROM site_orders WHERE answered_at < ? LIMIT ?', [new Date(before), limit]);
}
