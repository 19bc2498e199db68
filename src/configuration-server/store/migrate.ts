/** Brings the site's database up to this version: `migrations/NNNN-title.sql`, as `platform/migrations.ts` says. */
import { join } from 'node:path';
import { LeewardError } from '../../platform/errors.ts';
import { applyMigrations } from '../../platform/migrations.ts';
import type { Database } from '../../platform/mysql.ts';

export function migrate(database: Database): Promise<number[]> {
  return applyMigrations(
    database,
    join(import.meta.dirname, 'migrations'),
    (found, known) =>
      new LeewardError({
        code: 'DatabaseNewer',
        summary: `the database has schema ${found}, this configuration server knows up to ${known}`,
        possibleCauses: 'A newer version ran on this database before.',
        recommendedAction: 'Install that version again, or restore the database from before it.',
      }),
  );
}
