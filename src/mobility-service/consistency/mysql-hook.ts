/**
 * The hook for MariaDB and MySQL: one client session takes the server's backup lock before the freeze and holds it until
 * after the thaw. InnoDB alone would not need it (a frozen moment is a power cut, which it recovers from), but MyISAM, Aria
 * and the data dictionary do, and the binary log then agrees with the tables.
 *
 *     MariaDB from 10.4: BACKUP STAGE START, FLUSH, BLOCK_DDL, BLOCK_COMMIT … END    readers and open writes go on, commits wait
 *     otherwise:         FLUSH TABLES WITH READ LOCK … UNLOCK TABLES
 *
 * The client is the machine's own `mariadb` or `mysql`, with the login from an option file of this service's own; without
 * that file the hook is skipped. Statements go in on standard input, a marker after each comes back on standard output.
 * The lock is waited for only briefly (`databaseLockMillisecondsMax`): a query of minutes keeps the lock waiting, and the waiting
 * lock keeps every later query waiting. `lock_wait_timeout` is per wait, of which one statement has several, so the limit is
 * kept here: then a second client looks up what is in the way, kills the waiting session, and the event names the query.
 *
 * If this process dies, the client meets the end of its input and the server drops the lock; if it is stopped, the server
 * ends the silent session by itself (wait_timeout). A leaf adapter: the child lives through the freeze.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { type Clock, until, withDeadline } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import { tryRun } from '../../platform/exec.ts';
import { errors } from './errors.ts';
import type { Hook } from './hook.ts';
import {
  databaseAnswerMillisecondsMax,
  databaseLockMillisecondsMax,
  databaseSessionSecondsMax,
  outputTailBytesMax,
  queryCharactersMax,
} from './limits.ts';
import { loginFileObstacle } from './login-file.ts';

export interface MysqlHookOptions {
  readonly clock: Clock;
  /** An option file with a `[client]` group: socket or host, user, password. */
  readonly optionFile: string;
  /** Tried in this order. */
  readonly clients?: readonly string[];
}

const name = 'MariaDB and MySQL';

export function createMysqlHook(options: MysqlHookOptions): Hook {
  let session: Session | undefined;
  let unlock = '';
  return {
    name,
    pre: async () => {
      const obstacle = await loginFileObstacle(options.optionFile);
      if (obstacle) return { skipped: obstacle };
      session = await firstThatStarts(options);
      if (!session) return { skipped: 'neither mariadb nor mysql is installed' };
      const { ask } = session;
      let sessionId = '';
      try {
        const version = await ask('SELECT VERSION();');
        sessionId = await ask('SELECT CONNECTION_ID();');
        await ask(
          `SET SESSION lock_wait_timeout=${Math.ceil(databaseLockMillisecondsMax / 1000)}, wait_timeout=${databaseSessionSecondsMax};`,
        );
        const hasStages = hasBackupStages(version);
        unlock = hasStages ? 'BACKUP STAGE END;' : 'UNLOCK TABLES;';
        const steps = hasStages
          ? ['START', 'FLUSH', 'BLOCK_DDL', 'BLOCK_COMMIT'].map((stage) => `BACKUP STAGE ${stage};`)
          : ['FLUSH TABLES WITH READ LOCK;'];
        const since = options.clock.monotonic();
        for (const step of steps)
          await ask(step, Math.max(1, since + databaseLockMillisecondsMax - options.clock.monotonic()));
      } catch (error) {
        const held = session;
        session = undefined;
        // Looked up while it still waits; a server that gives up first says so with a lock wait timeout.
        const isLate =
          sessionId !== '' && error instanceof LeewardError && /in time|timeout/i.test(error.summary);
        const inTheWay = isLate ? await queryInTheWay(options, held.client, sessionId) : undefined;
        held.end();
        if (sessionId !== '') await killSession(options, held.client, sessionId);
        if (!isLate) throw error;
        throw errors.DatabaseLockNotHad(
          name,
          databaseLockMillisecondsMax / 1000,
          inTheWay ?? 'no running query was seen; a session may hold a table lock',
          error,
        );
      }
      return {};
    },
    post: async () => {
      if (!session) return;
      const held = session;
      session = undefined;
      try {
        await held.ask(unlock);
      } catch (cause) {
        // The lock ended with its session, so the database runs; but nobody knows since when.
        throw errors.PostScriptFailed(name, 'lost its lock before the file systems were let go', '', cause);
      } finally {
        held.end();
      }
    },
  };
}

interface Session {
  /** The program. */
  readonly client: string;
  /** Sends one statement; answers what it printed. Throws when the client ends or is late. */
  ask(statement: string, milliseconds?: number): Promise<string>;
  end(): void;
}

function hasBackupStages(version: string): boolean {
  const match = /^(\d+)\.(\d+)\..*MariaDB/i.exec(version);
  return match !== null && (Number(match[1]) > 10 || (Number(match[1]) === 10 && Number(match[2]) >= 4));
}

/** One statement through a client of its own, while the other one waits. Empty when it cannot be asked. */
async function askBeside(options: MysqlHookOptions, client: string, statement: string): Promise<string> {
  try {
    const result = await tryRun(client, clientArguments(options), {
      timeoutMilliseconds: databaseAnswerMillisecondsMax,
      input: `${statement}\n`,
      cwd: '/',
      env: { LC_ALL: 'C', HOME: '/nonexistent' },
    });
    return result.exitCode === 0 ? result.stdout.trim() : '';
  } catch (error) {
    // The point is given up anyway, with an event that says why; who was in the way is then missing from it.
    if (error instanceof LeewardError) return '';
    throw error;
  }
}

/** The longest running one that does not wait itself. Another account's are seen with the privilege PROCESS. */
async function queryInTheWay(
  options: MysqlHookOptions,
  client: string,
  sessionId: string,
): Promise<string | undefined> {
  const said = await askBeside(
    options,
    client,
    `SELECT ID, USER, TIME, REPLACE(REPLACE(LEFT(INFO, 1000), '\\t', ' '), '\\n', ' ') FROM information_schema.PROCESSLIST
     WHERE ID NOT IN (CONNECTION_ID(), ${Number(sessionId)}) AND INFO IS NOT NULL AND COMMAND <> 'Daemon'
     AND COALESCE(STATE, '') NOT LIKE 'Waiting for%' ORDER BY TIME DESC LIMIT 1;`,
  );
  const [id, user, seconds, query] = said.split('\t');
  if (query === undefined) return undefined;
  return `query ${id} of ${user} runs for ${seconds} s: ${withoutValues(query)}`;
}

/** People's data stay in the database: an event travels far. */
export function withoutValues(query: string): string {
  const masked = query
    .replace(/'(?:[^'\\]|\\.|'')*'?|"(?:[^"\\]|\\.|"")*"?/g, '?')
    .replace(/\b\d[\w.]*/g, '?');
  return masked.length > queryCharactersMax ? `${masked.slice(0, queryCharactersMax)}…` : masked;
}

/** A server notices the end of a client only after the wait that it is in, and until then everybody waits behind it. */
async function killSession(options: MysqlHookOptions, client: string, sessionId: string): Promise<void> {
  const id = Number(sessionId);
  const count = `SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ${id};`;
  await until(
    options.clock,
    databaseAnswerMillisecondsMax,
    async () => {
      // Answered by nothing when the server is gone, and the session with it.
      if (['0', ''].includes(await askBeside(options, client, count))) return true;
      await askBeside(options, client, `KILL ${id};`);
      return undefined;
    },
    () => errors.PreScriptFailed(name, `keeps the session ${id} that was killed`, ''),
  );
}

function clientArguments(options: MysqlHookOptions): string[] {
  return [
    // Must be the first: nothing but this file is read.
    `--defaults-file=${options.optionFile}`,
    '--batch',
    '--unbuffered',
    '--skip-column-names',
    '--skip-reconnect',
    '--connect-timeout=10',
  ];
}

async function firstThatStarts(options: MysqlHookOptions): Promise<Session | undefined> {
  for (const client of options.clients ?? ['/usr/bin/mariadb', '/usr/bin/mysql']) {
    const child = spawn(client, clientArguments(options), {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: '/',
      env: { LC_ALL: 'C', HOME: '/nonexistent' },
      detached: true,
    });
    const started = await new Promise<boolean>((resolve) => {
      child.once('spawn', () => resolve(true));
      child.once('error', () => resolve(false));
    });
    if (started) return openSession(options.clock, client, child);
  }
  return undefined;
}

function openSession(clock: Clock, client: string, child: ChildProcessWithoutNullStreams): Session {
  let output = '';
  let complaint = '';
  let over = false;
  let wake: () => void = () => {};
  let count = 0;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-outputTailBytesMax);
    wake();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-outputTailBytesMax);
  });
  child.stdin.on('error', () => {});
  child.on('error', () => {});
  child.once('close', () => {
    over = true;
    wake();
  });
  return {
    client,
    ask: (statement, milliseconds = databaseAnswerMillisecondsMax) => {
      const marker = `leeward-${++count}`;
      output = '';
      child.stdin.write(`${statement}\nSELECT '${marker}';\n`);
      const answered = async (): Promise<string> => {
        for (;;) {
          const end = output.indexOf(marker);
          if (end >= 0) return output.slice(0, end).trim();
          if (over) throw errors.PreScriptFailed(name, 'did not come to rest', complaint.trim());
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      };
      return withDeadline(clock, milliseconds, answered(), () =>
        errors.PreScriptFailed(name, 'did not answer in time', complaint.trim()),
      );
    },
    end: () => {
      child.stdin.end();
      // Nothing it holds outlives it, and a client that waits for a server that hangs would stay for ever.
      child.kill('SIGTERM');
    },
  };
}
