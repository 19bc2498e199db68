/**
 * Goal: the hooks bring real servers to rest: commits wait while the lock is held, go on after it, and a hook that cannot
 * work says why.
 * Method: a private MariaDB and a private PostgreSQL of this test's own, each in a temporary folder.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { createMysqlHook } from '../../../src/mobility-service/consistency/mysql-hook.ts';
import { createPostgresqlHook } from '../../../src/mobility-service/consistency/postgresql-hook.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { run } from '../../../src/platform/exec.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const isRoot = process.getuid?.() === 0;
const mariadbObstacle = !isRoot
  ? 'login files must be owned by root'
  : (await hasMariadb())
    ? undefined
    : 'mariadbd is not installed';
const postgresqlFolder = await findPostgresql();
const postgresqlObstacle = !isRoot
  ? 'login files must be owned by root'
  : postgresqlFolder === undefined || !isThere('/usr/bin/psql') || !isThere('/usr/sbin/runuser')
    ? 'PostgreSQL is not installed'
    : undefined;
for (const obstacle of new Set([mariadbObstacle, postgresqlObstacle]))
  if (obstacle) console.log(`skipped: ${obstacle}`);
const testMariadb = mariadbObstacle ? anyTest.serial.skip : anyTest.serial;
const testPostgresql = postgresqlObstacle ? anyTest.serial.skip : anyTest.serial;
const limit = { timeoutMilliseconds: 120_000 };

let mariadb: PrivateMariadb;
if (!mariadbObstacle)
  anyTest.before(async () => {
    mariadb = await startPrivateMariadb();
  });
anyTest.after.always(() => mariadb?.dispose());

testMariadb('MariaDB commits nothing while its hook holds, and goes on afterwards', async (t) => {
  const { database } = await mariadb.database();
  await database.change('CREATE TABLE a (n INT) ENGINE=InnoDB');
  await database.change('CREATE TABLE b (n INT) ENGINE=MyISAM');
  const hook = createMysqlHook({ clock: systemClock, optionFile: await optionFile(t) });
  t.deepEqual(await hook.pre(), {});
  const commits = [database.change('INSERT INTO a VALUES (1)'), database.change('INSERT INTO b VALUES (1)')];
  await until(
    systemClock,
    60_000,
    async () => {
      const waiting = await database.rows(
        "SELECT COUNT(*) AS count FROM information_schema.processlist WHERE state LIKE 'Waiting for backup lock'",
      );
      return Number(waiting[0]!.count) === 2 ? true : undefined;
    },
    () => new Error('the writers are not held'),
  );
  await hook.post();
  await Promise.all(commits);
  t.is((await database.rows('SELECT n FROM a')).length, 1);
});

testMariadb('a server without backup stages is held by FLUSH TABLES, and goes on afterwards', async (t) => {
  const { database } = await mariadb.database();
  await database.change('CREATE TABLE a (n INT) ENGINE=InnoDB');
  await database.change('CREATE TABLE b (n INT) ENGINE=MyISAM');
  const file = await optionFile(t);
  const hook = createMysqlHook({ clock: systemClock, optionFile: file, clients: [await oldClient(t)] });
  t.deepEqual(await hook.pre(), {});
  const writes = [database.change('INSERT INTO a VALUES (1)'), database.change('INSERT INTO b VALUES (1)')];
  await until(
    systemClock,
    60_000,
    async () => {
      const waiting = await database.rows(
        "SELECT COUNT(*) AS count FROM information_schema.processlist WHERE state LIKE 'Waiting for%lock'",
      );
      return Number(waiting[0]!.count) === 2 ? true : undefined;
    },
    () => new Error('the writers are not held'),
  );
  await hook.post();
  await Promise.all(writes);
  t.is((await database.rows('SELECT n FROM a')).length, 1);
  t.is((await database.rows('SELECT n FROM b')).length, 1);
});

for (const [what, isOld] of [
  ['backup stages', false],
  ['FLUSH TABLES', true],
] as const)
  testMariadb(`behind a query of minutes the point is given up: ${what}`, async (t) => {
    const { database, name } = await mariadb.database();
    await database.change('CREATE TABLE b (n INT) ENGINE=MyISAM');
    await database.change('INSERT INTO b VALUES (1)');
    const file = await optionFile(t);
    const query = "INSERT INTO b SELECT SLEEP(600) FROM b WHERE n <> 4711 AND 'secret' = 'secret'";
    const long = spawn('/usr/bin/mariadb', [`--defaults-file=${file}`, name, '--execute', query], {
      stdio: 'ignore',
    });
    t.teardown(() => long.kill('SIGKILL'));
    const sessions = async (where: string) =>
      (
        await database.rows(
          `SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND ${where}`,
        )
      ).map(({ id }) => Number(id));
    const [longId] = await until(
      systemClock,
      60_000,
      async () => {
        const found = await sessions("info LIKE '%SLEEP(600)%'");
        return found.length > 0 ? found : undefined;
      },
      () => new Error('the long query does not run'),
    );
    t.teardown(() => database.change(`KILL ${longId}`).catch(() => {}));
    const before = await sessions('TRUE');
    const hook = createMysqlHook({
      clock: systemClock,
      optionFile: file,
      ...(isOld ? { clients: [await oldClient(t)] } : {}),
    });
    const taking = hook.pre();
    // Asked while the lock is waited for: it waits behind it, and goes on when that is given up. Not behind the long query.
    const later = until(
      systemClock,
      60_000,
      async () => {
        const waiting = await sessions("state LIKE 'Waiting for%'");
        return waiting.length > 0 ? true : undefined;
      },
      () => new Error('nothing waits for the lock'),
      20,
    ).then(() => database.rows('SELECT n FROM b LIMIT 1'));
    const error = await t.throwsAsync(taking, { code: 'DatabaseLockNotHad' });
    t.regex(error!.message, new RegExp(`query ${longId} of root runs for \\d+ s: .*SLEEP\\(\\?\\)`));
    t.notRegex(error!.message, /secret|4711|600/);
    t.is((await later).length, 1);
    await t.notThrowsAsync(hook.post());
    t.deepEqual(
      (await sessions('TRUE')).filter((id) => !before.includes(id)),
      [],
    );
    // The long one was left alone.
    t.deepEqual(await sessions("info LIKE '%SLEEP(600)%'"), [longId]);
    await database.change(`KILL ${longId}`);
    await hook.pre();
    await hook.post();
  });

testMariadb('a lock whose session was ended before the thaw is reported', async (t) => {
  const { database } = await mariadb.database();
  const hook = createMysqlHook({ clock: systemClock, optionFile: await optionFile(t) });
  await hook.pre();
  const sessions = await database.rows(
    "SELECT id FROM information_schema.processlist WHERE command = 'Sleep' AND db IS NULL",
  );
  for (const { id } of sessions) await database.change(`KILL ${id}`);
  await t.throwsAsync(hook.post(), { code: 'PostScriptFailed', message: /lost its lock/ });
});

testMariadb('without a usable login file or a client the hook is skipped with the reason', async (t) => {
  const file = await optionFile(t);
  const skip = async (options: { optionFile: string; clients?: string[] }) =>
    (await createMysqlHook({ clock: systemClock, ...options }).pre()).skipped ?? '';
  t.regex(await skip({ optionFile: '/nowhere/mysql.cnf' }), /there is no/);
  t.regex(await skip({ optionFile: file, clients: ['/nowhere/mysql'] }), /installed/);
  await chmod(file, 0o644);
  t.regex(await skip({ optionFile: file }), /can be read by others/);
});

testMariadb('a server that does not let the hook in fails the point with what it said', async (t) => {
  const file = await optionFile(t, 'password=wrong');
  const hook = createMysqlHook({ clock: systemClock, optionFile: file });
  await t.throwsAsync(hook.pre(), { code: 'PreScriptFailed', message: /Access denied/ });
  await t.notThrowsAsync(hook.post());
});

testPostgresql('PostgreSQL is told to write a checkpoint', async (t) => {
  const folder = await makeFolder(t);
  await chmod(folder, 0o755);
  const data = join(folder, 'data');
  await run('install', ['-d', '-o', 'postgres', '-m', '700', data, join(folder, 'socket')], limit);
  await chmod(join(folder, 'socket'), 0o755);
  const as = (program: string, ...args: string[]) =>
    run('runuser', ['-u', 'postgres', '--', join(postgresqlFolder!, program), ...args], {
      ...limit,
      cwd: '/',
    });
  await as('initdb', '--pgdata', data, '--auth=trust', '--no-sync');
  // pg_ctl's children would keep our pipe open; the log takes their output.
  const options = `-c listen_addresses= -c unix_socket_directories=${join(folder, 'socket')} -c fsync=off`;
  await as('pg_ctl', 'start', '--pgdata', data, '--log', join(data, 'log'), '--wait', '--options', options);
  t.teardown(() => as('pg_ctl', 'stop', '--pgdata', data, '--mode=immediate', '--wait'));
  const serviceFile = join(folder, 'pg_service.conf');
  await writeFile(
    serviceFile,
    `[leeward]\nhost=${join(folder, 'socket')}\nuser=postgres\ndbname=postgres\n`,
    { mode: 0o600 },
  );
  const ask = (sql: string) => as('psql', '-h', join(folder, 'socket'), '-Atc', sql);
  await ask('CREATE TABLE a AS SELECT generate_series(1, 1000) AS n');
  const before = await ask('SELECT checkpoint_lsn FROM pg_control_checkpoint()');
  t.deepEqual(await createPostgresqlHook({ serviceFile }).pre(), {});
  t.not(await ask('SELECT checkpoint_lsn FROM pg_control_checkpoint()'), before);
  t.regex((await createPostgresqlHook({ serviceFile: '/nowhere' }).pre()).skipped ?? '', /there is no/);
  t.regex(
    (await createPostgresqlHook({ serviceFile, client: '/nowhere' }).pre()).skipped ?? '',
    /not installed/,
  );
});

async function optionFile(t: ExecutionContext, more = ''): Promise<string> {
  const path = join(await makeFolder(t), 'mysql.cnf');
  await writeFile(path, `[client]\nsocket=${mariadb.socketPath}\nuser=root\n${more}\n`, { mode: 0o600 });
  return path;
}

/** The real client and server; only what the server says of its age is another. */
async function oldClient(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-old-client-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const client = join(folder, 'mysql');
  await writeFile(
    client,
    `#!/bin/sh\nsed -u "s/SELECT VERSION();/SELECT '8.0.36';/" | /usr/bin/mariadb "$@"\n`,
  );
  await chmod(client, 0o755);
  return client;
}

async function makeFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-hooks-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function findPostgresql(): Promise<string | undefined> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => []);
  for (const version of versions)
    if (isThere(`/usr/lib/postgresql/${version}/bin/initdb`)) return `/usr/lib/postgresql/${version}/bin`;
  return undefined;
}

function isThere(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
