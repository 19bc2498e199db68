/**
 * What every world of real processes is made of: daemons started from their own mains, as the units would, that can be killed
 * and started again; a condition with a limit; a free port.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const root = join(import.meta.dirname, '..', '..');

/** A condition with a limit; what everything here waits by. */
export async function eventually<T>(
  what: string,
  limitSeconds: number,
  condition: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = performance.now() + limitSeconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw new Error(`${what}: not within ${limitSeconds} s`, { cause: last });
    await sleep(100);
  }
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return port;
}

/** A daemon of ours that can be started, killed and started again; its output goes to a log file. */
export class Daemon {
  readonly name: string;
  readonly logPath: string;
  readonly #program: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  /** `before`: a program that becomes Node, e.g. `unshare --uts`. */
  constructor(name: string, folder: string, args: readonly string[], before: readonly string[] = []) {
    this.name = name;
    this.logPath = join(folder, `${name}.log`);
    [this.#program, ...this.#args] = [...before, process.execPath, ...args] as [string, ...string[]];
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  start(): void {
    if (this.isRunning) throw new Error(`${this.name} is running already`);
    const log = openSync(this.logPath, 'a');
    const child = spawn(this.#program, [...this.#args], {
      cwd: root,
      stdio: ['ignore', log, log],
      env: { ...process.env, UV_THREADPOOL_SIZE: '8' },
    });
    this.#child = child;
    this.#ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
    });
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (!this.isRunning) return;
    this.#child!.kill(signal);
    const late = sleep(30_000, 'late', { ref: false });
    if ((await Promise.race([this.#ended, late])) === 'late') {
      this.#child!.kill('SIGKILL');
      await this.#ended;
      throw new Error(`${this.name} did not end within 30 s of ${signal}\n${this.tail()}`);
    }
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  tail(lines = 30): string {
    return readFileSync(this.logPath, 'utf8').split('\n').slice(-lines).join('\n');
  }
}

export async function runMain(args: readonly string[], before: readonly string[] = []): Promise<void> {
  const [program, ...rest] = [...before, process.execPath, ...args] as [string, ...string[]];
  const child = spawn(program, rest, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${said}`);
}
