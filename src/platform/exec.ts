/** Child processes. Every one has a time limit; secrets go through standard input or files, never the argument list. */
import { execa } from 'execa';
import { LeewardError } from './errors.ts';

export interface RunOptions {
  readonly timeoutMilliseconds: number;
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end and answers whatever its exit code was. Throws when it cannot start or runs out of time. */
export async function tryRun(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const result = await execa(program, args, {
    timeout: options.timeoutMilliseconds,
    forceKillAfterDelay: 2000,
    reject: false,
    // 16 MiB: the longest answer anything here gives (a libvirt capabilities document) is far below.
    maxBuffer: 16 << 20,
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: { ...options.env } }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  if (result.timedOut || result.exitCode === undefined)
    throw new LeewardError({
      code: result.timedOut ? 'CommandTimedOut' : 'CommandNotStarted',
      summary: result.timedOut
        ? `${program} did not finish within ${options.timeoutMilliseconds} ms`
        : `${program} could not be run`,
      possibleCauses: result.timedOut
        ? 'The machine is overloaded or a device hangs.'
        : 'It is not installed.',
      recommendedAction: result.timedOut ? 'Look at the load and try again.' : `Install ${program}.`,
      retry: result.timedOut ? 'transient' : 'permanent',
      context: { program },
      cause: result.originalMessage ?? result.shortMessage,
    });
  return { exitCode: result.exitCode, stdout: String(result.stdout), stderr: String(result.stderr) };
}

/** Like `tryRun`, but an exit code other than 0 is an error that shows what the program said. */
export async function run(program: string, args: readonly string[], options: RunOptions): Promise<string> {
  const result = await tryRun(program, args, options);
  if (result.exitCode !== 0)
    throw new LeewardError({
      code: 'CommandFailed',
      summary: `${program} ${args[0] ?? ''} ended with ${result.exitCode}: ${result.stderr.trim().slice(-600)}`,
      possibleCauses: 'What the program says above.',
      recommendedAction: 'Mend what it names and try again.',
      context: { program, exitCode: result.exitCode },
    });
  return result.stdout;
}

/** Runs a program with this process's own input and output until it ends; answers its exit code. Signals go to both. */
export async function runInherited(program: string, args: readonly string[]): Promise<number> {
  const child = execa(program, args, { stdio: 'inherit', reject: false });
  // Whoever stops us means the program; we end when it has ended, so that a supervisor sees it go.
  const forward = () => void child.kill('SIGTERM');
  process.once('SIGTERM', forward);
  try {
    const result = await child;
    return result.exitCode ?? 1;
  } finally {
    process.off('SIGTERM', forward);
  }
}
