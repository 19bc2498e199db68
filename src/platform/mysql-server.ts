/**
 * A private MariaDB server in a folder: for a vault without a database of its own, for the demo and for tests. It listens
 * on a unix socket in that folder only (which nobody else may enter) and reads no configuration of the machine.
 *
 * InnoDB makes every commit durable before it answers; the server is stopped by SIGTERM and, after a kill, recovers by
 * itself at the next start.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, open, readdir, readFile, realpath, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock, until } from './clock.ts';
import { hasCode, LeewardError } from './errors.ts';
import { run, tryRun } from './exec.ts';
import { openDatabase } from './mysql.ts';

export interface DatabaseServer extends AsyncDisposable {
  readonly socketPath: string;
  readonly user: string;
  /** Settles when the server has ended, wanted or not. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export interface DatabaseServerOptions {
  /** The server's own; made when missing. */
  readonly folder: string;
  /** Made when missing. */
  readonly database: string;
  /** Default: 64, enough for a site. What does not fit is read from the disk each time, past the kernel's cache. */
  readonly bufferPoolMebibytes?: number;
  readonly clock?: Clock;
}

/** Recovery after a kill replays at most the 32 MiB of redo log below; a slow, busy machine gets two minutes. */
const startMilliseconds = 120_000;
const stopMilliseconds = 30_000;
/** A page is 16 KiB. The server frees pages until a scan's depth is free; its default depth is more than a small pool has. */
const pagesOfMebibyte = 64;
/** A temporary table space of 12 MiB at each start, the log that a recovery writes, and its own logs. Without it the server aborts
 * in its start. */
const startBytes = 16 << 20;
/** System tables, undo and 32 MiB of redo log take 128 MiB; and a start. */
const installBytes = 160 << 20;
/** Linux' limit for a unix socket's address. */
const socketPathMax = 107;

export async function startDatabaseServer(options: DatabaseServerOptions): Promise<DatabaseServer> {
  const clock = options.clock ?? systemClock;
  const bufferPoolMebibytes = options.bufferPoolMebibytes ?? 64;
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const isRoot = process.getuid?.() === 0;
  const isNew = !(await readdir(join(options.folder, 'data')).catch(() => [] as string[])).includes('mysql');
  await mustHaveRoom(options.folder, isNew ? installBytes : startBytes, isRoot);
  const folder = await realpath(options.folder);
  await chmod(folder, 0o700);
  const data = join(folder, 'data');
  const socketPath = join(folder, 'sql.sock');
  if (Buffer.byteLength(socketPath) > socketPathMax)
    throw failed(
      `the path ${socketPath} is longer than the ${socketPathMax} characters of a socket's`,
      'Choose a shorter folder.',
    );
  // Its own: in a folder for all, another server or somebody who tidies up takes its files away.
  const temporary = join(folder, 'tmp');
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  const program = await find();
  await stopLeftOver(folder, clock);
  if (isNew) {
    // Half-made system tables are of no use: they are made in a draft folder.
    const draft = join(folder, 'data.draft');
    await rm(draft, { recursive: true, force: true });
    await rm(data, { recursive: true, force: true });
    await run(
      'mariadb-install-db',
      [
        '--no-defaults',
        `--datadir=${draft}`,
        `--tmpdir=${temporary}`,
        '--auth-root-authentication-method=normal',
        '--skip-test-db',
        ...(isRoot ? ['--user=root'] : []),
      ],
      { timeoutMilliseconds: startMilliseconds },
    );
    await run('mv', [draft, data], { timeoutMilliseconds: stopMilliseconds });
  }
  const logPath = join(folder, 'server.log');
  const log = await open(logPath, 'a', 0o600);
  const child = spawn(
    program,
    [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${socketPath}`,
      `--tmpdir=${temporary}`,
      `--pid-file=${join(folder, 'server.pid')}`,
      '--skip-networking',
      '--skip-log-bin',
      '--skip-name-resolve',
      '--performance-schema=OFF',
      `--innodb-buffer-pool-size=${bufferPoolMebibytes}M`,
      `--innodb-lru-scan-depth=${Math.max(100, Math.floor((bufferPoolMebibytes * pagesOfMebibyte) / 16))}`,
      '--innodb-log-file-size=32M',
      '--innodb-flush-log-at-trx-commit=1',
      '--max-connections=50',
      '--max-allowed-packet=16M',
      '--character-set-server=utf8mb4',
      '--collation-server=utf8mb4_bin',
      ...(isRoot ? ['--user=root'] : []),
    ],
    // A process group of its own: a Ctrl-C at the vault's terminal must not stop the database first.
    { stdio: ['ignore', log.fd, log.fd], detached: true },
  );
  await log.close();
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    child.kill('SIGTERM');
    const over = new AbortController();
    await Promise.race([ended, clock.sleep(stopMilliseconds, over.signal).catch(() => {})]);
    over.abort();
    if (isAlive(child)) child.kill('SIGKILL');
    await ended;
  };
  try {
    await until(
      clock,
      startMilliseconds,
      async () => {
        if (!isAlive(child)) {
          const text = await readFile(logPath, 'utf8').catch(() => '');
          throw failed(
            `the database server ended: ${text.trim().split('\n').slice(-3).join(' | ')}`,
            `Look at ${logPath}.`,
          );
        }
        const probe = openDatabase({ socketPath, user: 'root', database: '' });
        try {
          await probe.change(
            `CREATE DATABASE IF NOT EXISTS \`${options.database.replaceAll('`', '')}\` CHARACTER SET utf8mb4`,
          );
          return true;
        } catch (error) {
          if (hasCode(error, 'DatabaseUnreachable')) return undefined;
          throw error;
        } finally {
          await probe.close().catch(() => {});
        }
      },
      () =>
        failed(
          `the database server did not answer within ${startMilliseconds / 1000} s`,
          `Look at ${logPath}.`,
        ),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return { socketPath, user: 'root', ended, stop, [Symbol.asyncDispose]: stop };
}

function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

async function find(): Promise<string> {
  for (const path of ['/usr/sbin/mariadbd', '/usr/sbin/mysqld', '/usr/libexec/mariadbd'])
    if ((await tryRun('test', ['-x', path], { timeoutMilliseconds: 10_000 })).exitCode === 0) return path;
  throw failed('mariadbd is not installed', 'Install mariadb-server, or name a database in the settings.');
}

/** A server whose vault was killed still holds the data: it is stopped first, if it really is ours. */
async function stopLeftOver(folder: string, clock: Clock): Promise<void> {
  const pid = Number.parseInt(await readFile(join(folder, 'server.pid'), 'utf8').catch(() => ''), 10);
  if (!Number.isInteger(pid) || pid <= 1) return;
  const isOurs = async () =>
    (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(
      `--datadir=${join(folder, 'data')}\0`,
    );
  if (!(await isOurs())) return;
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
  await until(
    clock,
    stopMilliseconds,
    async () => ((await isOurs()) ? undefined : true),
    () => failed(`an earlier database server (process ${pid}) does not stop`, `Stop it: kill ${pid}.`),
  );
}

/** Asked before the server is started: it says in its log only that a write failed, and leaves the next start more to recover. */
async function mustHaveRoom(folder: string, neededBytes: number, isRoot: boolean): Promise<void> {
  const { bfree, bavail, bsize } = await statfs(folder);
  // Some file systems keep blocks for root, whose server gets them.
  const freeBytes = (isRoot ? bfree : bavail) * bsize;
  if (freeBytes >= neededBytes) return;
  throw new LeewardError({
    code: 'DatabaseFolderFull',
    summary: `the disk under the database's folder ${folder} is full`,
    possibleCauses: 'Something else on the same disk filled it: replica disks, cache storage, logs.',
    recommendedAction: `Make room until at least ${neededBytes >> 20} MiB are free, or enlarge the disk.`,
    severity: 'critical',
    retry: 'transient',
    context: { folder, freeBytes, neededBytes },
  });
}

function failed(summary: string, recommendedAction: string): LeewardError {
  return new LeewardError({
    code: 'DatabaseServerFailed',
    summary,
    possibleCauses: 'It is not installed, its folder is damaged or full, or another server uses it.',
    recommendedAction,
    severity: 'critical',
  });
}
