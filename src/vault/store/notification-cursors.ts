/** How far each channel has got in the log of health changes. */
import { createHash } from 'node:crypto';
import type { Session } from '../../platform/mysql.ts';

export interface Cursor {
  readonly changeId: number;
  readonly failures: number;
  readonly retryAt: number | undefined;
}

const hash = (channel: string): Buffer => createHash('sha256').update(channel).digest();

export async function read(session: Session, channel: string): Promise<Cursor | undefined> {
  const [row] = await session.rows(
    'SELECT change_id, failures, retry_at FROM notification_cursors WHERE channel_hash = ?',
    [hash(channel)],
  );
  if (row === undefined) return undefined;
  return {
    changeId: Number(row.change_id),
    failures: Number(row.failures),
    retryAt: row.retry_at instanceof Date ? row.retry_at.getTime() : undefined,
  };
}

/** A channel that is new begins here: it does not tell old news. Silent when it is there. */
export async function begin(session: Session, channel: string, changeId: number): Promise<void> {
  await session.change(
    'INSERT IGNORE INTO notification_cursors (channel_hash, channel, change_id) VALUES (?, ?, ?)',
    [hash(channel), channel, changeId],
  );
}

export async function delivered(
  session: Session,
  channel: string,
  changeId: number,
  at: number,
): Promise<void> {
  await session.change(
    `UPDATE notification_cursors SET change_id = GREATEST(change_id, ?), delivered_at = ?, failures = 0, failure = NULL,
       retry_at = NULL WHERE channel_hash = ?`,
    [changeId, new Date(at), hash(channel)],
  );
}

export async function failed(
  session: Session,
  channel: string,
  failure: string,
  retryAt: number,
): Promise<void> {
  await session.change(
    'UPDATE notification_cursors SET failures = failures + 1, failure = ?, retry_at = ? WHERE channel_hash = ?',
    [failure.slice(0, 2000), new Date(retryAt), hash(channel)],
  );
}
