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
 * If this process dies, the client meets the end of its input and the server drops the lock; if it is stopped, the server
 * ends the silent session by itself (wait_timeout). A leaf adapter: the child lives through the freeze.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { type Clock, withDeadline } from '../../platform/clock.ts';
import { errors } from './errors.ts';
import type { Hook } from './hook.ts';
import { databaseLockSecondsMax, databaseSessionSecondsMax, outputTailBytesMax } from './limits.ts';
import { loginFileObstacle } from './login-file.ts';

export interface MysqlHookOptions {
  readonly clock: Clock;
  /** An option file with a `[client]` group: socket or host, user, password. */
  readonly optionFile: string;
  /** Tried in this order. */
  readonly clients?: readonly string[];
}

const name = 'MariaDB and MySQL';
/** A statement waits for locks at most `databaseLockSecondsMax`; four of them, and the client's own start. */
const answerMilliseconds = (4 * databaseLockSecondsMax + 10) * 1000;

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
      try {
        const version = await session.ask('SELECT VERSION();');
        await session.ask(
          `SET SESSION lock_wait_timeout=${databaseLockSecondsMax}, wait_timeout=${databaseSessionSecondsMax};`,
        );
        if (hasBackupStages(version)) {
          unlock = 'BACKUP STAGE END;';
          for (const stage of ['START', 'FLUSH', 'BLOCK_DDL', 'BLOCK_COMMIT'])
            await session.ask(`BACKUP STAGE ${stage};`);
        } else {
          unlock = 'UNLOCK TABLES;';
          await session.ask('FLUSH TABLES WITH READ LOCK;');
        }
      } catch (error) {
        session.end();
        session = undefined;
        throw error;
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
  /** Sends one statement; answers what it printed. Throws when the client ends or is late. */
  ask(statement: string): Promise<string>;
  end(): void;
}

function hasBackupStages(version: string): boolean {
  const match = /^(\d+)\.(\d+)\..*MariaDB/i.exec(version);
  return match !== null && (Number(match[1]) > 10 || (Number(match[1]) === 10 && Number(match[2]) >= 4));
}

async function firstThatStarts(options: MysqlHookOptions): Promise<Session | undefined> {
  for (const client of options.clients ?? ['/usr/bin/mariadb', '/usr/bin/mysql']) {
    const child = spawn(
      client,
      [
        // Must be the first: nothing but this file is read.
        `--defaults-file=${options.optionFile}`,
        '--batch',
        '--unbuffered',
        '--skip-column-names',
        '--skip-reconnect',
        '--connect-timeout=10',
      ],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        cwd: '/',
        env: { LC_ALL: 'C', HOME: '/nonexistent' },
        detached: true,
      },
    );
    const started = await new Promise<boolean>((resolve) => {
      child.once('spawn', () => resolve(true));
      child.once('error', () => resolve(false));
    });
    if (started) return openSession(options.clock, child);
  }
  return undefined;
}

function openSession(clock: Clock, child: ChildProcessWithoutNullStreams): Session {
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
    ask: (statement) => {
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
      return withDeadline(clock, answerMilliseconds, answered(), () =>
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
