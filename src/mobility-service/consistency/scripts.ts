/**
 * The operator's pre and post scripts around the freeze of an application-consistent point.
 *
 * They run as root, so they are trusted only when nobody but root could have written them: absolute path, a regular file
 * owned by root, neither it nor any folder above it writable by others (a sticky folder such as /tmp lets others add
 * files, not replace ours). Each has a time limit, and is ended with everything it started: it runs in a process group of
 * its own. Of its output the last lines are kept, for the health event.
 */
import { spawn } from 'node:child_process';
import { lstat, realpath } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import type { Clock } from '../../platform/clock.ts';
import { hasCode } from '../../platform/errors.ts';
import { errors } from './errors.ts';
import { outputTailBytesMax, scriptGraceMilliseconds } from './limits.ts';

export type ScriptPhase = 'pre' | 'post';

export interface ScriptResult {
  /** `undefined`: it was ended, by the time limit or by a signal. */
  readonly exitCode: number | undefined;
  readonly timedOut: boolean;
  /** The last lines of what it printed, both streams. */
  readonly outputTail: string;
}

const writableByOthers = 0o022;
const sticky = 0o1000;

/** Throws `ScriptNotTrusted` with the reason. */
export async function assertTrusted(path: string): Promise<void> {
  if (!isAbsolute(path)) throw errors.ScriptNotTrusted(path, 'the path is not absolute');
  let real: string;
  try {
    // Every folder on the way is looked at where it really is; a link elsewhere is as good as its target.
    real = await realpath(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) throw errors.ScriptNotTrusted(path, 'it does not exist');
    throw error;
  }
  for (const start of new Set([path, real]))
    for (let place = start; ; place = dirname(place)) {
      const facts = await lstat(place);
      if (facts.uid !== 0) throw errors.ScriptNotTrusted(path, `${place} is not owned by root`);
      if (!facts.isSymbolicLink() && (facts.mode & writableByOthers) !== 0)
        if (!(facts.isDirectory() && (facts.mode & sticky) !== 0))
          throw errors.ScriptNotTrusted(path, `${place} is writable by others than root`);
      if (place === real) {
        if (!facts.isFile()) throw errors.ScriptNotTrusted(path, 'it is not a regular file');
        if ((facts.mode & 0o100) === 0) throw errors.ScriptNotTrusted(path, 'it is not executable');
      }
      if (place === dirname(place)) break;
    }
}

/** Runs a trusted script to its end or its limit. Throws only when it is not trusted or cannot be started. */
export async function runScript(
  clock: Clock,
  path: string,
  phase: ScriptPhase,
  timeoutMilliseconds: number,
): Promise<ScriptResult> {
  await assertTrusted(path);
  const child = spawn(path, [phase], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    cwd: '/',
    env: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C',
      LEEWARD_PHASE: phase,
    },
  });
  let tail = Buffer.alloc(0);
  const keep = (chunk: Buffer): void => {
    tail = Buffer.concat([tail, chunk]);
    if (tail.byteLength > outputTailBytesMax) tail = tail.subarray(tail.byteLength - outputTailBytesMax);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const over = new AbortController();
  const exited = new Promise<number | undefined>((resolve, reject) => {
    child.once('error', reject);
    // `close` waits for the output; a script that leaves a daemon behind never closes it, so `exit` counts after a while.
    child.once('close', (code) => resolve(code ?? undefined));
    child.once('exit', (code) => {
      clock.sleep(scriptGraceMilliseconds, over.signal).then(
        () => resolve(code ?? undefined),
        () => {},
      );
    });
  });
  const limit = async (milliseconds: number): Promise<'late'> => {
    await clock.sleep(milliseconds, over.signal).catch(() => new Promise<never>(() => {}));
    return 'late';
  };
  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch (error) {
      if (!hasCode(error, 'ESRCH')) throw error;
    }
  };
  try {
    let outcome = await Promise.race([exited, limit(timeoutMilliseconds)]);
    const timedOut = outcome === 'late';
    if (outcome === 'late') {
      signalGroup('SIGTERM');
      outcome = await Promise.race([exited, limit(scriptGraceMilliseconds)]);
      signalGroup('SIGKILL');
      if (outcome === 'late') await Promise.race([exited, limit(scriptGraceMilliseconds)]);
      outcome = undefined;
    }
    return { exitCode: outcome, timedOut, outputTail: tail.toString('utf8').trim() };
  } finally {
    over.abort();
    child.stdout.destroy();
    child.stderr.destroy();
  }
}
