/**
 * A replica volume: an XFS file system with reflinks inside one sparse file, loop-mounted, for machines whose data folder
 * is on ext4. Made once by `leeward vault init --make-volume`, mounted at each start. The loop device goes by itself with
 * the mount, also when the process is killed and the volume unmounted by hand later.
 *
 * It also has what `ReflinkStore` needs from the operating system and Node does not offer: hole punching, allocated size,
 * and the name of a folder's file system. Real devices only: the simulation has no part of this file.
 */
import { lstat, mkdir, open, readFile, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from '../../platform/errors.ts';
import { run, tryRun } from '../../platform/exec.ts';
import { errors } from '../errors.ts';

/** XFS refuses to be smaller than 300 MiB. */
export const volumeBytesMin = 300 << 20;
const commandMilliseconds = 120_000;

/** Makes the file and its file system; an existing file is left alone and is an error (EEXIST as the cause). */
export async function makeVolume(imagePath: string, sizeBytes: number): Promise<void> {
  if (sizeBytes < volumeBytesMin)
    throw errors.RequestInvalid(`a replica volume has at least ${volumeBytesMin} bytes (300 MiB)`);
  try {
    await mkdir(dirname(imagePath), { recursive: true, mode: 0o700 });
    const handle = await open(imagePath, 'wx', 0o600);
    try {
      await handle.truncate(sizeBytes);
    } finally {
      await handle.close();
    }
    await run('mkfs.xfs', ['-q', '-m', 'reflink=1', imagePath], { timeoutMilliseconds: commandMilliseconds });
  } catch (cause) {
    throw errors.ReplicaVolumeFailed(imagePath, 'made', cause);
  }
}

/**
 * Idempotent. `discard` gives the space of dropped points back to the file system under the volume. The loop device reads and
 * writes its file past the page cache, where the file system under it can: the volume's own cache has the same pages, and
 * keeping them twice cost a first copy half of its processor time in the kernel (`docs/performance.md`).
 */
export async function mountVolume(imagePath: string, mountPath: string): Promise<void> {
  await mkdir(mountPath, { recursive: true, mode: 0o700 });
  if (await isMounted(mountPath)) return;
  try {
    await run('mount', ['-t', 'xfs', '-o', 'loop,noatime,discard', imagePath, mountPath], {
      timeoutMilliseconds: commandMilliseconds,
    });
    const path = await realpath(mountPath);
    const mount = (await mounts()).find((one) => one.path === path);
    // Fails where the file system under the volume has no direct I/O (tmpfs, some network ones): it is slower then.
    if (mount !== undefined)
      await tryRun('losetup', ['--direct-io=on', mount.source], { timeoutMilliseconds: commandMilliseconds });
  } catch (cause) {
    throw errors.ReplicaVolumeFailed(imagePath, 'mounted', cause);
  }
}

/** Silent when it is not mounted. */
export async function unmountVolume(mountPath: string): Promise<void> {
  if (!(await isMounted(mountPath))) return;
  try {
    await run('umount', [mountPath], { timeoutMilliseconds: commandMilliseconds });
  } catch (cause) {
    throw errors.ReplicaVolumeFailed(mountPath, 'unmounted', cause);
  }
}

async function mounts(): Promise<{ path: string; type: string; source: string }[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [left, right] = line.split(' - ');
      const path = left!
        .split(' ')[4]!
        .replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
      const [type, source] = right!.split(' ');
      return { path, type: type!, source: source! };
    });
}

async function isMounted(mountPath: string): Promise<boolean> {
  const path = await realpath(mountPath).catch(() => mountPath);
  return (await mounts()).some((mount) => mount.path === path);
}

/** What the folder is on, for people: `xfs on /dev/vdb` or `xfs on /dev/loop3 (replica volume)`. */
export async function describeFolder(folder: string): Promise<string> {
  let path = folder;
  for (;;) {
    try {
      path = await realpath(path);
      break;
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      path = dirname(path);
    }
  }
  const holders = (await mounts()).filter(
    (mount) => mount.path === '/' || path === mount.path || path.startsWith(`${mount.path}/`),
  );
  const best = holders.reduce((a, b) => (b.path.length >= a.path.length ? b : a));
  return `${best.type} on ${best.source}${best.source.startsWith('/dev/loop') ? ' (replica volume)' : ''}`;
}

export async function punchHole(path: string, offsetBytes: number, lengthBytes: number): Promise<void> {
  await run(
    'fallocate',
    ['--punch-hole', '--offset', String(offsetBytes), '--length', String(lengthBytes), path],
    { timeoutMilliseconds: commandMilliseconds },
  );
}

export async function allocatedBytes(path: string): Promise<number> {
  return (await lstat(path)).blocks * 512;
}

/** Is there what a volume needs? For set-up and for tests that skip. */
export async function canMakeVolumes(): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  for (const program of ['mkfs.xfs', 'mount', 'fallocate'])
    if ((await tryRun('which', [program], { timeoutMilliseconds: 10_000 })).exitCode !== 0) return false;
  return (await tryRun('losetup', ['--find'], { timeoutMilliseconds: 10_000 })).exitCode === 0;
}
