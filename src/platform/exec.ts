/**
 * Child processes. Every one has a time limit; secrets go through standard input or files, never the argument list. Plain
 * `node:child_process`: a package for it took 8 MB of every protected machine's memory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
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

/** 16 MiB of either stream: the longest answer anything here gives (a libvirt capabilities document) is far below. */
const outputBytesMax = 16 << 20;
/** From SIGTERM to SIGKILL. */
const killMilliseconds = 2_000;

/**
 * Runs a program to its end and answers whatever its exit code was, and what it said without the last line feed. Throws
 * when it cannot start, runs out of time, says too much or dies of a signal; with the signal's reason when aborted.
 */
export async function tryRun(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  options.signal?.throwIfAborted();
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
  } catch (cause) {
    throw commandError('CommandNotStarted', program, options, cause);
  }
  let failure: 'CommandTimedOut' | 'CommandTooLoud' | 'aborted' | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const end = (why: NonNullable<typeof failure>): void => {
    if (failure) return;
    failure = why;
    child.kill('SIGTERM');
    killTimer = setTimeout(() => {
      child.kill('SIGKILL');
      // A grandchild may hold the pipes open for ever.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, killMilliseconds);
  };
  const timer = setTimeout(() => end('CommandTimedOut'), options.timeoutMilliseconds);
  const abort = (): void => end('aborted');
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    const stdout = gather(child.stdout!, () => end('CommandTooLoud'));
    const stderr = gather(child.stderr!, () => end('CommandTooLoud'));
    // A program that ends without reading its input is judged by its exit code.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input);
    const { code, died, error } = await new Promise<{ code: number | null; died?: string; error?: unknown }>(
      (resolve) => {
        child.once('error', (cause) => {
          if (child.pid === undefined) resolve({ code: null, error: cause });
        });
        child.once('close', (exitCode, signal) =>
          resolve({ code: exitCode, ...(signal ? { died: signal } : {}) }),
        );
      },
    );
    if (failure === 'aborted') throw options.signal!.reason;
    if (failure) throw commandError(failure, program, options);
    if (error !== undefined) throw commandError('CommandNotStarted', program, options, error);
    if (code === null) throw commandError('CommandKilled', program, options, `it died of ${died}`);
    return { exitCode: code, stdout: stdout(), stderr: stderr() };
  } finally {
    clearTimeout(timer);
    clearTimeout(killTimer);
    options.signal?.removeEventListener('abort', abort);
  }
}

function gather(stream: NodeJS.ReadableStream, tooMuch: () => void): () => string {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  stream.on('error', () => {});
  stream.on('data', (piece: Buffer) => {
    sizeBytes += piece.byteLength;
    if (sizeBytes > outputBytesMax) tooMuch();
    else pieces.push(piece);
  });
  return () =>
    Buffer.concat(pieces)
      .toString()
      .replace(/\r?\n$/, '');
}

const commandFailures = {
  CommandTimedOut: {
    what: (program: string, options: RunOptions) =>
      `${program} did not finish within ${options.timeoutMilliseconds} ms`,
    possibleCauses: 'The machine is overloaded or a device hangs.',
    recommendedAction: 'Look at the load and try again.',
    retry: 'transient',
  },
  CommandTooLoud: {
    what: (program: string) => `${program} said more than ${outputBytesMax} bytes`,
    possibleCauses: 'It is another program or version than the one expected.',
    recommendedAction: 'Run it by hand and look at what it says.',
    retry: 'permanent',
  },
  CommandKilled: {
    what: (program: string) => `${program} was ended by a signal`,
    possibleCauses: 'The machine ran out of memory, or somebody ended it.',
    recommendedAction: 'Look at the kernel’s log and try again.',
    retry: 'transient',
  },
  CommandNotStarted: {
    what: (program: string) => `${program} could not be run`,
    possibleCauses: 'It is not installed.',
    recommendedAction: 'Install it.',
    retry: 'permanent',
  },
} as const;

function commandError(
  code: keyof typeof commandFailures,
  program: string,
  options: RunOptions,
  cause?: unknown,
): LeewardError {
  const { what, possibleCauses, recommendedAction, retry } = commandFailures[code];
  return new LeewardError({
    code,
    summary: what(program, options),
    possibleCauses,
    recommendedAction,
    retry,
    context: { program },
    cause,
  });
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
  const child = spawn(program, args, { stdio: 'inherit' });
  // Whoever stops us means the program; we end when it has ended, so that a supervisor sees it go.
  const forward = () => void child.kill('SIGTERM');
  process.once('SIGTERM', forward);
  try {
    return await new Promise((resolve) => {
      child.once('error', () => resolve(1));
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    process.off('SIGTERM', forward);
  }
}
