/**
 * Scripts of recovery plans that run on the vault: programs in one folder, by name. Whoever may write there may run what
 * they like as the vault's user, so the folder is the vault's own and nothing of the API writes to it.
 *
 *     <data>/scripts/NAME        arguments: failover type, plan, group        environment: LEEWARD_JOB_ID, LEEWARD_PLAN, …
 *
 * A script runs again when the vault dies under it: it has to bear that. Its output is kept, the end of it when it is long.
 */
import { join } from 'node:path';
import { tryRun } from '../../platform/exec.ts';
import type { Files } from '../../platform/files.ts';
import { errors } from './errors.ts';

export interface ScriptRun {
  readonly name: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
}

export type RunScript = (script: ScriptRun) => Promise<{ readonly output: string }>;

/** What a job keeps of a script's output: a screen or three. */
const outputCharactersMax = 16_384;
const nameShape = /^[A-Za-z0-9._-]{1,100}$/;

/** Throws `ScriptUnknown` and `ScriptFailed`, the latter with the end of the output. */
export function scriptsIn(folder: string, files: Files): RunScript {
  return async ({ name, arguments: given, environment, timeoutSeconds, signal }) => {
    if (!nameShape.test(name) || /^\.+$/.test(name)) throw errors.ScriptUnknown(name, folder);
    const path = join(folder, name);
    if ((await files.sizeBytes(path)) === undefined) throw errors.ScriptUnknown(name, folder);
    const { exitCode, stdout, stderr } = await tryRun(path, given, {
      timeoutMilliseconds: timeoutSeconds * 1000,
      cwd: folder,
      env: environment,
      signal,
    });
    const output = [stdout, stderr]
      .filter((text) => text !== '')
      .join('\n')
      .slice(-outputCharactersMax);
    if (exitCode !== 0) throw errors.ScriptFailed(name, exitCode, output.slice(-1000));
    return { output };
  };
}
