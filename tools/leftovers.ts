/**
 * What test runs that were killed have left: removed before the next run, so that a machine does not fill up. A normal run
 * leaves nothing; nothing here excuses one that does.
 *
 * Safe, because it takes only what is a test's by its name, older than any run may take, and nobody's any more: a database
 * server whose parent is gone is ended first, by its id; a folder that any process names on its command line is left alone,
 * and so is everything of a demo, which is meant to stay.
 */
import { readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../src/platform/errors.ts';
import { tryRun } from '../src/platform/exec.ts';

/** CI's limit for a whole run is an hour and a half. */
const ageMilliseconds = 2 * 3_600_000;
const limit = { timeoutMilliseconds: 30_000 };

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly commandLine: string;
}

export async function removeLeftovers(): Promise<string[]> {
  const removed: string[] = [];
  const before = Date.now() - ageMilliseconds;
  for (const name of readdirSync(tmpdir())) {
    if (!/^(leeward|lw)-[A-Za-z0-9.-]+$/.test(name) || name.startsWith('leeward-demo-')) continue;
    const folder = join(tmpdir(), name);
    const facts = statSync(folder, { throwIfNoEntry: false });
    if (!facts?.isDirectory() || facts.uid !== process.getuid?.() || facts.mtimeMs > before) continue;
    const users = () => processes().filter(({ commandLine }) => commandLine.includes(folder));
    const orphans = users().filter(
      ({ parent, commandLine }) => parent === 1 && /^\S*(mariadbd|mysqld)\0/.test(commandLine),
    );
    for (const { pid } of orphans) end(pid);
    for (let tries = 0; orphans.length > 0 && tries < 100 && users().length > 0; tries++) await sleep(100);
    if (users().length > 0) continue;
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[1])
      .filter((path) => path === folder || path?.startsWith(`${folder}/`));
    let isHeld = false;
    for (const path of mounts.reverse()) isHeld ||= (await tryRun('umount', [path!], limit)).exitCode !== 0;
    if (isHeld) continue;
    const loops = await tryRun('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'], limit);
    for (const line of loops.stdout.split('\n')) {
      const [device, file] = line.trim().split(/\s+/);
      if (file?.startsWith(`${folder}/`)) await tryRun('losetup', ['--detach', device!], limit);
    }
    rmSync(folder, { recursive: true, force: true });
    removed.push(folder);
  }
  return [...removed, ...removeTraceInstances(before)];
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    // It ended meanwhile, or somebody else ended it who tidies up, too.
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}

/** A service that is installed here keeps its instance while it is stopped: then none is touched. */
function removeTraceInstances(before: number): string[] {
  const instances = '/sys/kernel/tracing/instances';
  const removed: string[] = [];
  try {
    if (statSync('/var/lib/leeward/mobility-service', { throwIfNoEntry: false })) return [];
    for (const name of readdirSync(instances)) {
      if (!/^leeward-[0-9a-f]{8}$/.test(name) || statSync(join(instances, name)).mtimeMs > before) continue;
      // Refused by the kernel while anybody has a file of it open.
      rmdirSync(join(instances, name));
      removed.push(join(instances, name));
    }
  } catch {
    // No tracefs, not root, or in use.
  }
  return removed;
}

function processes(): Process[] {
  const found: Process[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const commandLine = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      const parent = Number(/^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1]);
      found.push({ pid: Number(name), parent, commandLine });
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}
