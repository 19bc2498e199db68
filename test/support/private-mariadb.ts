/** A MariaDB of its own for one test file, in a temporary folder; `database()` answers a new, empty database each time. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tryRun } from '../../src/platform/exec.ts';
import { type Database, openDatabase } from '../../src/platform/mysql.ts';
import { type DatabaseServer, startDatabaseServer } from '../../src/platform/mysql-server.ts';

export interface PrivateMariadb {
  readonly server: DatabaseServer;
  readonly socketPath: string;
  database(): Promise<{ name: string; database: Database }>;
  dispose(): Promise<void>;
}

export async function hasMariadb(): Promise<boolean> {
  return (await tryRun('test', ['-x', '/usr/sbin/mariadbd'], { timeoutMilliseconds: 10_000 })).exitCode === 0;
}

export async function startPrivateMariadb(bufferPoolMebibytes = 16): Promise<PrivateMariadb> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-sql-'));
  const server = await startDatabaseServer({ folder, database: 'first', bufferPoolMebibytes });
  const opened: Database[] = [];
  let count = 0;
  return {
    server,
    socketPath: server.socketPath,
    database: async () => {
      const name = `test${++count}`;
      const root = openDatabase({ socketPath: server.socketPath, user: 'root', database: 'first' });
      await root.change(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
      await root.close();
      const database = openDatabase({ socketPath: server.socketPath, user: 'root', database: name });
      opened.push(database);
      return { name, database };
    },
    dispose: async () => {
      for (const database of opened) await database.close().catch(() => {});
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
