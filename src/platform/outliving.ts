/**
 * Programs that outlive the process that started them, run at most once, and leave their result in a folder: for work
 * that must not be done twice when its starter dies in the middle.
 *
 *     start ──▶ sh: link `begun` (only one start can) ─▶ timeout LIMIT program … ─▶ `exit`, renamed into place
 *     look  ──▶ exit there: ended │ begun, and its process lives: running │ begun, and it does not: interrupted │ none: not begun
 *
 * So whoever finds `not begun` may start it, however many did before; and `interrupted` means that the machine itself went
 * down, or somebody killed the program together with its shell.
 */
import { spawn } from 'node:child_process';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from './errors.ts';

export type OutlivingState =
  | { readonly state: 'not-begun' }
  | { readonly state: 'running' }
  | { readonly state: 'interrupted' }
  | {
      readonly state: 'ended';
      readonly exitCode: number;
      readonly isTimedOut: boolean;
      readonly output: string;
    };

/** What `timeout` of coreutils ends with. */
const timedOutCode = 124;
const killedCode = 137;

const script = `folder=$1; seconds=$2; shift 2
echo $$ > "$folder/begun.$$" && ln "$folder/begun.$$" "$folder/begun" 2>/dev/null || exit 0
timeout -k 10 "$seconds" "$@" > "$folder/output" 2>&1 < /dev/null
echo $? > "$folder/exit.draft" && sync "$folder/exit.draft" && mv "$folder/exit.draft" "$folder/exit"`;

/** Starts it unless it was begun before. The folder is its own; it is also what it is recognised by. */
export async function startOutliving(
  folder: string,
  program: string,
  args: readonly string[],
  timeoutSeconds: number,
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const child = spawn(
    '/bin/sh',
    ['-c', script, 'leeward-run', folder, String(timeoutSeconds), program, ...args],
    {
      // A session of its own: signals for us are not for it.
      detached: true,
      stdio: 'ignore',
      cwd: '/',
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
    },
  );
  child.on('error', () => {}); // Found as `not-begun`.
  child.unref();
}

/** @param outputBytesMax kept from the end of what it said */
export async function lookAtOutliving(folder: string, outputBytesMax: number): Promise<OutlivingState> {
  const ended = await result(folder, outputBytesMax);
  if (ended) return ended;
  const pid = Number.parseInt((await textOf(join(folder, 'begun'))) ?? '', 10);
  if (!Number.isInteger(pid)) return { state: 'not-begun' };
  const commandLine = (await textOf(`/proc/${pid}/cmdline`)) ?? '';
  if (commandLine.split('\0').includes(folder)) return { state: 'running' };
  // It may have ended between the two looks.
  return (await result(folder, outputBytesMax)) ?? { state: 'interrupted' };
}

export async function forgetOutliving(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

async function result(folder: string, outputBytesMax: number): Promise<OutlivingState | undefined> {
  const exit = await textOf(join(folder, 'exit'));
  if (exit === undefined) return undefined;
  const exitCode = Number.parseInt(exit, 10);
  await using file = await open(join(folder, 'output'), 'r');
  const { size } = await file.stat();
  const output = Buffer.alloc(Math.min(size, outputBytesMax));
  await file.read(output, 0, output.byteLength, size - output.byteLength);
  return {
    state: 'ended',
    exitCode,
    isTimedOut: exitCode === timedOutCode || exitCode === killedCode,
    output: output.toString(),
  };
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}
