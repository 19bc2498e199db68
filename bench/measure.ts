/**
 * Running one contender: caches dropped before, fsync after, wall time, processor time of everything it started, bytes it
 * left behind. Processor time is the kernel's own account of waited-for children, so short-lived helpers count too.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

export interface Measured {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

let cold: readonly string[] = [];

/** What `dropCaches` is about: the source's device and the file behind it. */
export function keepCold(paths: readonly string[]): void {
  cold = paths;
}

/** Writes the source out and forgets its pages, so that every contender reads it from the disk. Only the source: dropping
 * everything would wait for whatever else the machine has open. */
export async function dropCaches(): Promise<void> {
  for (const path of cold) await shell(`sync ${path}; dd if=${path} iflag=nocache count=0 status=none`);
}

/** Process groups of what runs now. */
const running = new Set<number>();

/** Ends what `shell` started: when the benchmarks are broken off. */
export function endAll(): void {
  for (const group of running)
    try {
      process.kill(-group, 'SIGKILL');
    } catch {
      // It has just ended by itself.
    }
}

/** Runs a shell line to its end, with a limit; throws with what it said when it fails. */
export async function shell(line: string, limitSeconds = 900): Promise<string> {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', line], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that a pipe of several ends as one, and Ctrl-C does not end what is cleaned up with.
    detached: true,
    env: {
      ...process.env,
      RESTIC_PASSWORD: 'bench',
      BORG_PASSPHRASE: 'bench',
      BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
      BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
    },
  });
  if (child.pid !== undefined) running.add(child.pid);
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err = (err + chunk.toString()).slice(-4000);
  });
  const timer = setTimeout(() => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, limitSeconds * 1000);
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  clearTimeout(timer);
  if (child.pid !== undefined) running.delete(child.pid);
  if (code !== 0) throw new Error(`${line}\nended with ${code}\n${err}`);
  return out;
}

/** Times a shell line as a whole, `sync` of its output included. */
export async function timed(line: string, limitSeconds = 900): Promise<Measured> {
  await dropCaches();
  const report = await shell(
    `TIMEFORMAT='%R %U %S'; { time { ${line}\n } >/dev/null 2>/dev/null; } 2>&1 | tail -n 1`,
    limitSeconds,
  );
  const [wall, user, system] = report.trim().split(' ').map(Number);
  return { wallSeconds: wall!, cpuSeconds: user! + system! };
}

export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export async function sha256Of(path: string, lengthBytes?: number): Promise<string> {
  const hash = createHash('sha256');
  const end = lengthBytes === undefined ? {} : { end: lengthBytes - 1 };
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, ...end }))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}
