/**
 * The hook for PostgreSQL: one CHECKPOINT before the freeze. All file systems stand still together, so what is copied is
 * what a power cut would leave, and PostgreSQL's log recovers from that by design: `pg_backup_start` is for copies that are
 * not atomic and is not needed (it would leave a `backup_label` that makes the copy harder to start). The checkpoint only
 * makes recovery at the other side short; when it fails, the point is as consistent without it.
 *
 * The login is a service file of this service's own (`[leeward]`, see PostgreSQL's "connection service file"); without it
 * the hook is skipped. The role needs `pg_checkpoint` (from version 15) or superuser.
 */
import { hasCode } from '../../platform/errors.ts';
import { tryRun } from '../../platform/exec.ts';
import type { Hook } from './hook.ts';
import { checkpointMarginMilliseconds, checkpointMillisecondsMax, outputTailBytesMax } from './limits.ts';
import { loginFileObstacle } from './login-file.ts';

export interface PostgresqlHookOptions {
  readonly serviceFile: string;
  readonly client?: string;
}

export function createPostgresqlHook(options: PostgresqlHookOptions): Hook {
  return {
    name: 'PostgreSQL',
    pre: async () => {
      const obstacle = await loginFileObstacle(options.serviceFile);
      if (obstacle) return { skipped: obstacle };
      try {
        const result = await tryRun(
          options.client ?? 'psql',
          [
            ...['--no-psqlrc', '--no-password', '--quiet', '--set=ON_ERROR_STOP=1'],
            // The server ends it, too, so that no session is left there when the client is ended.
            `--command=SET statement_timeout=${checkpointMillisecondsMax}`,
            ...['--command=CHECKPOINT', 'service=leeward'],
          ],
          {
            timeoutMilliseconds: checkpointMillisecondsMax + checkpointMarginMilliseconds,
            env: { PGSERVICEFILE: options.serviceFile, PGCONNECT_TIMEOUT: '10', LC_ALL: 'C' },
            cwd: '/',
          },
        );
        return result.exitCode === 0 ? {} : { skipped: result.stderr.trim().slice(-outputTailBytesMax) };
      } catch (error) {
        if (hasCode(error, 'CommandNotStarted')) return { skipped: 'psql is not installed' };
        if (hasCode(error, 'CommandTimedOut'))
          return { skipped: `no checkpoint within ${checkpointMillisecondsMax / 1000} s` };
        throw error;
      }
    },
    post: async () => {},
  };
}
