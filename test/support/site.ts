/**
 * What every world of real processes is made of: daemons started from their own mains, as the units would, that can be killed
 * and started again; a condition with a limit; a free port.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { take } from './machine-wide.ts';

const root = join(import.meta.dirname, '..', '..');

/** A daemon may end a database first, for which that has 30 s, and a hypervisor with its machines. */
const endMilliseconds = 120_000;

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

/**
 * A port for a daemon of this test: nobody listens on it, and it stays this test's while the test's process lives, also while
 * the daemon does not run yet, or is killed and started again. The kernel gives none of these to anybody who asks for any
 * port, and of two test processes only one gets the name that stands for it.
 */
export async function freePort(): Promise<number> {
  const [lowest, highest] = portsOutOfReach();
  for (let attempt = 0; attempt < 1000; attempt++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1));
    if ((await take(`test-port-${port}`)) !== undefined && (await isFree(port))) return port;
  }
  throw new Error(`no port between ${lowest} and ${highest} is free`);
}

/** Where the kernel takes no port from by itself; the larger side of its own range. */
function portsOutOfReach(): readonly [number, number] {
  const text = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const [from, to] = text.trim().split(/\s+/).map(Number) as [number, number];
  // Below lie the ports of well-known services.
  const below = [10_000, from - 1] as const;
  const above = [to + 1, 65_535] as const;
  const larger = below[1] - below[0] > above[1] - above[0] ? below : above;
  // A machine that gives all of them away: then any.
  return larger[1] - larger[0] > 1000 ? larger : [10_000, 65_535];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const isListening = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (isListening) await new Promise<void>((resolve) => server.close(() => resolve()));
  return isListening;
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
    const late = sleep(endMilliseconds, 'late', { ref: false });
    if ((await Promise.race([this.#ended, late])) === 'late') {
      this.#child!.kill('SIGKILL');
      await this.#ended;
      throw new Error(
        `${this.name} did not end within ${endMilliseconds / 1000} s of ${signal}\n${this.tail()}`,
      );
    }
  }

  /** Resolves when it stands still: a thread that is inside a call of the kernel finishes that first. */
  async pause(): Promise<void> {
    this.#child?.kill('SIGSTOP');
    await eventually(`${this.name} stands still`, 30, () => {
      const tasks = `/proc/${this.pid}/task`;
      const states = readdirSync(tasks).map(
        (task) => /\) (\S)/.exec(readFileSync(`${tasks}/${task}/stat`, 'utf8'))?.[1],
      );
      return states.every((state) => state === 'T') || undefined;
    });
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
