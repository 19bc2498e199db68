/**
 * Programs that outlive the process that started them, run at most once, and leave their result in a folder: for work
 * that must not be done twice when its starter dies in the middle.
 *
 *     start ──▶ sh: link `begun` (only one start can) ─▶ timeout LIMIT program … ─▶ `exit`, renamed into place
 *     look  ──▶ exit there: ended │ begun, and its process lives: running │ begun, and it does not: interrupted │ none: not begun
 *
 * So whoever finds `not begun` may start it, however many did before; and `interrupted` means that the machine itself went
 * down, or somebody killed the program together with its shell.
 *
 * The shell leads a session of its own, `timeout` a process group in it. At the limit the group is told to end and, ten seconds
 * later or when the program itself has gone, what is left of the group is killed: a child that ignores signals does not stay.
 */
import { spawn } from 'node:child_process';
import { link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from './clock.ts';
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

/** From asking to killing, when it is stopped. */
const stopMilliseconds = 2_000;
const stopLookMilliseconds = 50;
/** What `timeout` of coreutils ends with; and programs too, of their own accord, so the time must be over as well. */
const timedOutCode = 124;
const killedCode = 137;
/** Of a program that was told to end. */
const stoppedCode = 143;

const script = `folder=$1; seconds=$2; shift 2
echo $$ > "$folder/begun.$$" && ln "$folder/begun.$$" "$folder/begun" 2>/dev/null || exit 0
start=$(date +%s)
timeout -k 10 "$seconds" "$@" > "$folder/output" 2>&1 < /dev/null &
group=$!
wait $group
code=$?
late=
case $code in ${timedOutCode} | ${killedCode})
  if [ $(($(date +%s) - start)) -ge "\${seconds%.*}" ]; then late=late; fi ;;
esac
[ -z "$late" ] || kill -KILL -$group 2>/dev/null
echo $code $late > "$folder/exit.draft" && sync "$folder/exit.draft" && mv "$folder/exit.draft" "$folder/exit"`;

/** Starts it unless it was begun before. The folder is its own; it is also what it is recognised by. */
export async function startOutliving(
  folder: string,
  program: string,
  args: readonly string[],
  timeoutSeconds: number,
  surroundings: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const child = spawn(
    '/bin/sh',
    ['-c', script, 'leeward-run', folder, String(timeoutSeconds), program, ...args],
    {
      // A session of its own: signals for us are not for it.
      detached: true,
      stdio: 'ignore',
      cwd: surroundings.cwd ?? '/',
      // Not ours: what a service was given is not for every script.
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        LANG: 'C.UTF-8',
        ...surroundings.env,
      },
    },
  );
  child.on('error', () => {}); // Found as `not-begun`.
  child.unref();
}

/** @param outputBytesMax kept from the end of what it said */
export async function lookAtOutliving(folder: string, outputBytesMax: number): Promise<OutlivingState> {
  const ended = await result(folder, outputBytesMax);
  if (ended) return ended;
  const pid = await begunBy(folder);
  if (pid === undefined) return { state: 'not-begun' };
  if (await isShellOf(folder, pid)) return { state: 'running' };
  // It may have ended between the two looks.
  return (await result(folder, outputBytesMax)) ?? { state: 'interrupted' };
}

/** What stands in `begun` instead of a process where it is never to begin. */
const refused = 'refused';

/** One that has not begun never will: it is found as ended by a signal. Of one that has begun: nothing. */
export async function refuseOutliving(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, 'begun.refused');
  await writeFile(draft, refused);
  try {
    await link(draft, join(folder, 'begun'));
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  // Whoever refused it may have died before it had written how it ended.
  if ((await textOf(join(folder, 'begun'))) !== refused) return;
  await writeFile(join(folder, 'output'), '');
  // As the script does: whoever looks finds it whole. Two that refuse at once write the same.
  const result = join(folder, `exit.${process.pid}`);
  await writeFile(result, `${stoppedCode}\n`);
  await rename(result, join(folder, 'exit'));
}

/** Ends it with all that it has started, as far as that has not made itself independent. Of one that has ended: nothing. */
export async function stopOutliving(folder: string, clock: Clock): Promise<void> {
  const shell = await begunBy(folder);
  if (shell === undefined || !(await isShellOf(folder, shell))) return;
  const deadline = clock.monotonic() + stopMilliseconds;
  for (;;) {
    const members = await sessionOf(shell);
    if (members.length === 0) return;
    const lateMilliseconds = clock.monotonic() - deadline;
    for (const { pid, group } of members) {
      // The shell and its helpers are left to note how it ended, unless they do not come to it.
      if (group === shell && lateMilliseconds < stopMilliseconds) continue;
      try {
        process.kill(pid, lateMilliseconds < 0 ? 'SIGTERM' : 'SIGKILL');
      } catch (error) {
        if (!hasCode(error, 'ESRCH')) throw error;
      }
    }
    if (lateMilliseconds >= stopMilliseconds) return;
    await clock.sleep(stopLookMilliseconds);
  }
}

export async function forgetOutliving(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Of the runs whose folders lie in this one: those that ended before the moment. */
export async function forgetEnded(runsFolder: string, before: number): Promise<void> {
  await mkdir(runsFolder, { recursive: true, mode: 0o700 });
  for (const name of await readdir(runsFolder)) {
    const folder = join(runsFolder, name);
    const endedAt = await stat(join(folder, 'exit')).then(
      ({ mtimeMs }) => mtimeMs,
      (error: unknown) => {
        if (hasCode(error, 'ENOENT')) return undefined;
        throw error;
      },
    );
    if (endedAt !== undefined && endedAt < before) await forgetOutliving(folder);
  }
}

async function result(folder: string, outputBytesMax: number): Promise<OutlivingState | undefined> {
  const exit = await textOf(join(folder, 'exit'));
  if (exit === undefined) return undefined;
  const [code = '', late] = exit.trim().split(' ');
  const exitCode = Number.parseInt(code, 10);
  await using file = await open(join(folder, 'output'), 'r');
  const { size } = await file.stat();
  const output = Buffer.alloc(Math.min(size, outputBytesMax));
  await file.read(output, 0, output.byteLength, size - output.byteLength);
  return {
    state: 'ended',
    exitCode,
    isTimedOut: late === 'late',
    output: output.toString(),
  };
}

/** The shell's process id, while nobody else has it. */
async function begunBy(folder: string): Promise<number | undefined> {
  const pid = Number.parseInt((await textOf(join(folder, 'begun'))) ?? '', 10);
  return Number.isInteger(pid) ? pid : undefined;
}

async function isShellOf(folder: string, pid: number): Promise<boolean> {
  return ((await textOf(`/proc/${pid}/cmdline`)) ?? '').split('\0').includes(folder);
}

/** Processes of this session that are not dead. */
async function sessionOf(leader: number): Promise<{ readonly pid: number; readonly group: number }[]> {
  const members: { pid: number; group: number }[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // `pid (name) state ppid pgrp session …`; the name may have anything in it.
    const facts = (await textOf(`/proc/${name}/stat`))?.replace(/^.*\)/s, '').trim().split(' ');
    if (facts !== undefined && facts[0] !== 'Z' && Number(facts[3]) === leader)
      members.push({ pid: Number(name), group: Number(facts[2]) });
  }
  return members;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}
