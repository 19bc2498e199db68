/**
 * Brings a database's schema up to a version: `NNNN-title.sql` in order, one idempotent statement each (MariaDB cannot roll a
 * table's making back, so a statement that was run but not recorded must run again without harm). Numbers may have gaps;
 * they only grow. A schema newer than this version is refused with what `newer` answers.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from './mysql.ts';

export async function applyMigrations(
  database: Database,
  folder: string,
  newer: (found: number, known: number) => Error,
): Promise<number[]> {
  const files = (await readdir(folder)).filter((name) => /^\d{4}-[a-z0-9-]+\.sql$/.test(name)).sort();
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
  if (newest > known) throw newer(newest, known);
  const applied: number[] = [];
  for (const name of files) {
    const number = Number(name.slice(0, 4));
    if (done.has(number)) continue;
    await database.change(await readFile(join(folder, name), 'utf8'));
    // Two processes starting at once both run the statement; the second row is then simply there.
    await database.change('INSERT IGNORE INTO migrations VALUES (?, ?, UTC_TIMESTAMP(3))', [
      number,
      name.slice(5, -4),
    ]);
    applied.push(number);
  }
  return applied;
}
