/**
 * The machine the service runs on, as sysfs and procfs show it: which device a path is, what is mounted from a protected
 * disk (through partitions, LVM and md), where its swap areas are.
 *
 * A leaf adapter to the real kernel: it reads `/sys` and `/proc` with `node:fs` itself, since neither is a file system
 * whose writes could be lost.
 */
import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { hasCode } from '../../platform/errors.ts';
import type { Extent } from '../capture/change-map.ts';
import { captureErrors } from '../capture/errors.ts';
import { kernelDeviceNumber } from '../capture/tracefs.ts';
import type { FreezeMount } from '../consistency/helper-freezer.ts';
import { parseMountTable } from '../consistency/mount-table.ts';
import { swapHeaderBytes } from '../limits.ts';

export interface WholeDisk {
  /** As the assignment names it. */
  readonly path: string;
  /** The kernel's name: `vda`. */
  readonly name: string;
  readonly deviceNumber: number;
}

const sectorBytes = 512;
const block = (...parts: string[]) => join('/sys/class/block', ...parts);

/** Throws `DiskNotFound` or `NotAWholeDisk`. */
export async function wholeDisk(path: string): Promise<WholeDisk> {
  let name: string;
  try {
    name = basename(await realpath(path));
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) throw captureErrors.DiskNotFound(path);
    throw error;
  }
  const device = await textOf(block(name, 'dev'));
  if (device === undefined) throw captureErrors.NotABlockDevice(path);
  if ((await textOf(block(name, 'partition'))) !== undefined)
    throw captureErrors.NotAWholeDisk(path, 'a partition', [
      `/dev/${basename(join(await realpath(block(name)), '..'))}`,
    ]);
  const below = await namesIn(block(name, 'slaves'));
  if (below.length > 0)
    throw captureErrors.NotAWholeDisk(
      path,
      name.startsWith('md') ? 'a software RAID' : 'a logical volume',
      below.map((each) => `/dev/${each}`),
    );
  const [major, minor] = device.split(':').map(Number);
  return { path, name, deviceNumber: kernelDeviceNumber(major!, minor!) };
}

/** File systems that live on these disks, upper layers first. */
export async function mountsOn(disks: readonly WholeDisk[]): Promise<FreezeMount[]> {
  const depths = new Map<string, number>();
  for (const { name } of disks) await climb(name, 0, depths);
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  const found = table.flatMap((mount) => {
    const depth = depths.get(mount.device);
    return depth === undefined ? [] : [{ mountPoint: mount.mountPoint, device: mount.device, depth }];
  });
  // A file system in a file on another one is not found here; it is frozen with what lies under it.
  found.sort((one, other) => other.depth - one.depth || other.mountPoint.length - one.mountPoint.length);
  return found.map(({ mountPoint, device }) => ({ mountPoint, device }));
}

/** `major:minor` of a device and of everything above it, with how many layers up it is. */
async function climb(name: string, depth: number, depths: Map<string, number>): Promise<void> {
  // Layers are few (disk, partition, RAID, LUKS, LVM, snapshot); sixteen is a loop.
  if (depth > 16) return;
  const device = await textOf(block(name, 'dev'));
  if (device === undefined) return;
  depths.set(device, Math.max(depth, depths.get(device) ?? 0));
  for (const holder of await namesIn(block(name, 'holders'))) await climb(holder, depth + 1, depths);
  for (const part of await partitionsOf(name)) await climb(part, depth + 1, depths);
}

/** Contents of swap partitions, and of disks that are swap as a whole, without their headers. Swap files and logical
 * volumes are copied like anything else. */
export async function swapRangesOf(disks: readonly WholeDisk[]): Promise<Extent[][]> {
  const swaps = new Set(
    await Promise.all(
      (await readFile('/proc/swaps', 'utf8'))
        .split('\n')
        .slice(1)
        .filter((line) => line.includes('partition'))
        .map(async (line) => basename(await realpath(line.split(/\s/)[0]!))),
    ),
  );
  if (swaps.size === 0) return disks.map(() => []);
  return Promise.all(
    disks.map(async ({ name }) => {
      const ranges: Extent[] = [];
      for (const part of [name, ...(await partitionsOf(name))]) {
        if (!swaps.has(part)) continue;
        const start = part === name ? 0 : Number(await textOf(block(part, 'start'))) * sectorBytes;
        const size = Number(await textOf(block(part, 'size'))) * sectorBytes;
        if (size > swapHeaderBytes)
          ranges.push({ offsetBytes: start + swapHeaderBytes, lengthBytes: size - swapHeaderBytes });
      }
      return ranges.sort((one, other) => one.offsetBytes - other.offsetBytes);
    }),
  );
}

async function partitionsOf(name: string): Promise<string[]> {
  const parts: string[] = [];
  for (const each of await namesIn(block(name)))
    if (each.startsWith(name) && (await textOf(block(name, each, 'partition'))) !== undefined)
      parts.push(each);
  return parts;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
