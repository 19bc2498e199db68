/** Brings the vault's database up to this version: `migrations/NNNN-title.sql`, as `platform/migrations.ts` says. */
import { join } from 'node:path';
import { applyMigrations } from '../../platform/migrations.ts';
import type { Database } from '../../platform/mysql.ts';
import { errors } from '../errors.ts';

const folder = join(import.meta.dirname, 'migrations');

export function migrate(database: Database, from = folder): Promise<number[]> {
  return applyMigrations(database, from, errors.DatabaseNewer);
}
