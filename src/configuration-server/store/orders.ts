/** The vault's orders and our answers. An answer is here before it is sent, and stays after it, for as long as it may be asked again. */
import type { Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { SiteAnswer, SiteOrder } from '../../protocol/control/site-link.ts';
import { json } from './rows.ts';

/** Orders that were seen before change nothing. */
export async function receive(session: Session, orders: readonly SiteOrder[], at: string): Promise<void> {
  for (const order of orders)
    await session.change(
      'INSERT IGNORE INTO orders (order_id, sequence, content, received_at) VALUES (?, ?, ?, ?)',
      [order.orderId, order.sequence, JSON.stringify(order), new Date(at)],
    );
}

/** Highest sequence that is here. */
export async function lastSequence(session: Session): Promise<number> {
  const [row] = await session.rows('SELECT COALESCE(MAX(sequence), 0) AS last FROM orders');
  return Number(row!.last);
}

export interface OpenOrder {
  readonly order: SiteOrder;
  /** Its effect is durable. */
  readonly isBegun: boolean;
  /** Agents that have to follow; noted when it began. */
  readonly concerns: readonly string[];
}

export async function open(session: Session, limit: number): Promise<OpenOrder[]> {
  const rows = await session.rows(
    'SELECT content, begun_at, concerns FROM orders WHERE answered_at IS NULL ORDER BY sequence LIMIT ?',
    [limit],
  );
  return rows.map((row) => ({
    order: parse(SiteOrder, json(row.content), 'orders'),
    isBegun: row.begun_at !== null,
    concerns: row.concerns === null ? [] : (json(row.concerns) as string[]),
  }));
}

export async function begin(
  session: Session,
  orderId: string,
  at: string,
  concerns: readonly string[] = [],
): Promise<void> {
  await session.change(
    'UPDATE orders SET begun_at = ?, concerns = ? WHERE order_id = ? AND begun_at IS NULL',
    [new Date(at), JSON.stringify(concerns), orderId],
  );
}

/** The first answer stays. */
export async function answer(session: Session, given: SiteAnswer): Promise<void> {
  await session.change(
    'UPDATE orders SET answer = ?, answered_at = ? WHERE order_id = ? AND answered_at IS NULL',
    [JSON.stringify(given), new Date(given.answeredAt), given.orderId],
  );
}

export async function unsent(session: Session, limit: number): Promise<SiteAnswer[]> {
  const rows = await session.rows(
    'SELECT answer FROM orders WHERE sent_at IS NULL AND answered_at IS NOT NULL ORDER BY sequence LIMIT ?',
    [limit],
  );
  return rows.map((row) => parse(SiteAnswer, json(row.answer), 'orders'));
}

export async function sent(session: Session, orderIds: readonly string[], at: string): Promise<void> {
  for (const orderId of orderIds)
    await session.change('UPDATE orders SET sent_at = ? WHERE order_id = ?', [new Date(at), orderId]);
}

/** The last one stays, since it is what `lastSequence` knows. */
export async function trim(session: Session, keep: number): Promise<void> {
  await session.change('DELETE FROM orders WHERE sent_at IS NOT NULL AND sequence < ?', [
    (await lastSequence(session)) - keep,
  ]);
}
