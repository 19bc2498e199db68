/** Process servers that may put objects into cache storage. */
import { hasCode } from '../../platform/errors.ts';
import type { Session } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import { errors } from '../errors.ts';
import { iso } from './rows.ts';
import { ProcessServerRecord } from './vault-store.ts';

export async function add(session: Session, server: ProcessServerRecord): Promise<void> {
  try {
    await session.change('INSERT INTO process_servers (name, host, port, created_at) VALUES (?, ?, ?, ?)', [
      server.name,
      server.host,
      server.port,
      new Date(server.createdAt),
    ]);
  } catch (error) {
    if (hasCode(error, 'ER_DUP_ENTRY')) throw errors.ProcessServerExists(server.name);
    throw error;
  }
}

/** A vault has few (the reference system: one for about 200 machines); 1000 are more than anybody has. */
export async function list(session: Session): Promise<ProcessServerRecord[]> {
  const rows = await session.rows('SELECT * FROM process_servers ORDER BY name LIMIT 1000');
  return rows.map((row) =>
    parse(
      ProcessServerRecord,
      { name: row.name, host: row.host, port: row.port, createdAt: iso(row.created_at) },
      'process_servers',
    ),
  );
}
