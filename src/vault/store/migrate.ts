/**
 * Brings the database's schema up to this version: `migrations/NNNN-title.sql` in order, one idempotent statement each
 * (MariaDB cannot roll a table's making back, so a statement that was run but not recorded must run again without harm).
 * Numbers may have gaps; they only grow. A schema newer than this version is refused.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '../../platform/mysql.ts';
import { errors } from '../errors.ts';

const folder = join(import.meta.dirname, 'migrations');

export async function migrate(database: Database, from = folder): Promise<number[]> {
  const files = (await readdir(from)).filter((name) => /^\d{4}-[a-z0-9-]+\.sql$/.test(name)).sort();
  await database.change(
    `CREATE TABLE IF NOT EXISTS migrations (
       number INT NOT NULL PRIMARY KEY, title VARCHAR(100) NOT NULL, applied_at DATETIME(3) NOT NULL
     ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin`,
  );
  const done = new Set(
    (await database.rows('SELECT number FROM migrations')).map((row) => Number(row.number)),
  );
  const known = Math.max(0, ...files.map((name) => Number(name.slice(0, 4))));
  const newest = Math.max(0, ...done);
  if (newest > known) throw errors.DatabaseNewer(newest, known);
  const applied: number[] = [];
  for (const name of files) {
    const number = Number(name.slice(0, 4));
    if (done.has(number)) continue;
    await database.change(await readFile(join(from, name), 'utf8'));
    // Two vaults starting at once both run the statement; the second row is then simply there.
    await database.change('INSERT IGNORE INTO migrations VALUES (?, ?, UTC_TIMESTAMP(3))', [
      number,
      name.slice(5, -4),
    ]);
    applied.push(number);
  }
  return applied;
}
