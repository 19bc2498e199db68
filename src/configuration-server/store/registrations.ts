/** Which site's orders and assignments are in this database. */
import type { Database } from '../../platform/mysql.ts';

/**
 * Orders are numbered by the vault, a site at a time: those of an earlier registration would hide the first ones of this, and
 * its assignments are of items that the vault no longer knows by this site. Agents stay enrolled.
 */
export async function adopt(database: Database, siteId: string, at: string): Promise<boolean> {
  return database.transaction(async (session) => {
    const [row] = await session.rows('SELECT site_id FROM registrations LIMIT 1 FOR UPDATE');
    if (row?.site_id === siteId) return false;
    for (const table of ['orders', 'items', 'registrations']) await session.change(`DELETE FROM ${table}`);
    await session.change('INSERT INTO registrations (site_id, adopted_at) VALUES (?, ?)', [
      siteId,
      new Date(at),
    ]);
    return true;
  });
}
