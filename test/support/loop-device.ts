/**
 * Real loop devices for tests: a file in a temporary folder becomes a block device with request events, discards and a
 * sysfs entry, which is all that capture, drain and freezing need. Each test makes its own; everything is taken away in
 * `t.teardown`, last made first removed, also when the test failed.
 */
import { accessSync, constants } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { systemClock, until } from '../../src/platform/clock.ts';
import { hasCode } from '../../src/platform/errors.ts';
import { run, tryRun } from '../../src/platform/exec.ts';

export interface LoopDevice {
  /** `/dev/loop3` */
  readonly path: string;
  /** `loop3` */
  readonly name: string;
  readonly backingFile: string;
}

export type FileSystemType = 'ext4' | 'xfs' | 'btrfs';

export interface MountedFileSystem {
  readonly mountPoint: string;
  /** Unmounts before the teardown does; safe to call twice. */
  unmount(): Promise<void>;
}

const timeoutMilliseconds = 60_000;

/** Why this machine cannot make loop devices, or `undefined` when it can. For `const test = canLoop() ? anyTest.skip : …`. */
export function canLoop(): string | undefined {
  if (process.getuid?.() !== 0) return 'loop devices need root';
  try {
    accessSync('/dev/loop-control', constants.R_OK | constants.W_OK);
  } catch {
    return 'there is no /dev/loop-control';
  }
  return undefined;
}

/** Why this machine has no tracefs to capture with, or `undefined` when it has. */
export function canTrace(): string | undefined {
  if (process.getuid?.() !== 0) return 'tracefs needs root';
  try {
    accessSync('/sys/kernel/tracing/events/block/block_rq_complete/format', constants.R_OK);
    accessSync('/sys/kernel/tracing/instances', constants.W_OK);
  } catch {
    return 'there is no tracefs with block events at /sys/kernel/tracing';
  }
  return undefined;
}

/** A sparse file of `sizeBytes` (any multiple of 512) as a loop device. `partitions`: scan its partition table. `under`: the
 * folder that takes the file, e.g. `/dev/shm`, where no other load of this machine is in the way. */
export async function makeLoop(
  t: ExecutionContext<unknown>,
  sizeBytes: number,
  options: { readonly partitions?: boolean; readonly under?: string } = {},
): Promise<LoopDevice> {
  const folder = await mkdtemp(join(options.under ?? tmpdir(), 'leeward-loop-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const backingFile = join(folder, 'disk.img');
  const file = await open(backingFile, 'wx');
  await file.truncate(sizeBytes);
  await file.close();
  const args = ['--find', '--show', ...(options.partitions ? ['--partscan'] : []), backingFile];
  const path = (await run('losetup', args, { timeoutMilliseconds })).trim();
  t.teardown(async () => {
    await run('losetup', ['--detach', path], { timeoutMilliseconds });
  });
  return { path, name: basename(path), backingFile };
}

/** Makes a file system on the device and mounts it at a folder of its own. Under 120 MiB only ext4 and btrfs fit. */
export async function makeFileSystem(
  t: ExecutionContext<unknown>,
  device: Pick<LoopDevice, 'path'>,
  type: FileSystemType,
  mountOptions: readonly string[] = [],
): Promise<MountedFileSystem> {
  const quiet = {
    ext4: ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
    xfs: ['-q', '-f'],
    btrfs: ['-q', '-f'],
  };
  await run(`mkfs.${type}`, [...quiet[type], device.path], { timeoutMilliseconds });
  return mountFileSystem(t, device, type, mountOptions);
}

/** Mounts what is on the device already. */
export async function mountFileSystem(
  t: ExecutionContext<unknown>,
  device: Pick<LoopDevice, 'path'>,
  type: FileSystemType,
  mountOptions: readonly string[] = [],
): Promise<MountedFileSystem> {
  const mountPoint = await mkdtemp(join(tmpdir(), 'leeward-mount-'));
  t.teardown(() => rm(mountPoint, { recursive: true, force: true, maxRetries: 0 }));
  const args = ['-t', type, ...(mountOptions.length > 0 ? ['-o', mountOptions.join(',')] : [])];
  await run('mount', [...args, device.path, mountPoint], { timeoutMilliseconds });
  let mounted = true;
  const unmount = async (): Promise<void> => {
    if (!mounted) return;
    mounted = false;
    const result = await tryRun('umount', [mountPoint], { timeoutMilliseconds });
    // Busy: a process of the failed test still has a file open there. Detach it, so that nothing stays in the way.
    if (result.exitCode !== 0) await run('umount', ['--lazy', mountPoint], { timeoutMilliseconds });
    // A copy of the mount in another mount namespace, of whatever else runs here, keeps it alive; its last writes come
    // when that ends.
    await until(
      systemClock,
      timeoutMilliseconds,
      () => isUnused(device.path),
      () => new Error(`${device.path} is unmounted, but somebody still holds its file system`),
      50,
    );
  };
  t.teardown(unmount);
  return { mountPoint, unmount };
}

/** Opened exclusively, a device is refused while any file system on it is alive. */
async function isUnused(path: string): Promise<true | undefined> {
  try {
    await using _ = await open(path, constants.O_RDONLY | constants.O_EXCL);
    return true;
  } catch (error) {
    if (hasCode(error, 'EBUSY')) return undefined;
    throw error;
  }
}
