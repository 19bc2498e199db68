/**
 * From a path in the assignment to the disk that is protected, and from the disk to what lives on it: its mounted file
 * systems and its swap areas. Whatever cannot be protected is refused here, by name and with what to do instead.
 *
 *     path ─stat─▶ 8:0 ─/sys/dev/block─▶ …/block/sda ─┬─ partition? volume? RAID? path of a multipath disk? ─▶ refused
 *                                                     ├─ partitions and holders, upwards ─▶ mounts to freeze
 *                                                     └─ /proc/swaps ─▶ ranges that need not be copied
 *
 * What may be protected is a whole disk whose driver takes requests (`mq`, or a scheduler on old kernels): only those report
 * completed writes. Everything that the kernel builds on top of disks ends there as ordinary requests.
 *
 * A leaf adapter: `/sys` and `/proc` are read with `node:fs`, since neither is a file system whose writes could be lost.
 * Where they are is a parameter, so that machines which are hard to come by are tested with recorded trees.
 */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { splitDeviceNumber } from '../../disk/device.ts';
import { hasCode } from '../../platform/errors.ts';
import { type MountEntry, parseMountTable, unescapePath } from '../consistency/mount-table.ts';
import { swapHeaderBytes } from '../limits.ts';
import type { Extent } from './change-map.ts';
import { captureErrors } from './errors.ts';
import { kernelDeviceNumber } from './tracefs.ts';

export interface Machine {
  /** `/sys` */
  readonly sys: string;
  /** `/proc` */
  readonly proc: string;
  /** `8:1` of a block device, `other` of anything else, `undefined` when there is nothing. */
  readonly deviceOf: (path: string) => Promise<string | undefined>;
}

export const thisMachine: Machine = {
  sys: '/sys',
  proc: '/proc',
  deviceOf: async (path) => {
    try {
      const facts = await stat(path);
      if (!facts.isBlockDevice()) return 'other';
      const { major, minor } = splitDeviceNumber(facts.rdev);
      return `${major}:${minor}`;
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ENXIO', 'ENODEV')) return undefined;
      throw error;
    }
  },
};

export interface WholeDisk {
  /** As the assignment names it. */
  readonly path: string;
  /** The kernel's name: `vda`. */
  readonly name: string;
  /** In the kernel's encoding, as its events have it. */
  readonly deviceNumber: number;
  /** One discard request may carry several ranges, of which its completion names only the first. */
  readonly hasRangedDiscards: boolean;
}

/** A mounted file system, one mount point of it. */
export interface DiskMount {
  readonly mountPoint: string;
  /** Of its superblock, as the mount table has it: `8:1`. */
  readonly device: string;
}

const sectorBytes = 512;
/** Layers are few (disk, partition, RAID, LUKS, LVM, snapshot); more is a loop. */
const layersMax = 16;

/** Throws why this cannot be protected. */
export async function inspectDisk(path: string, machine: Machine = thisMachine): Promise<WholeDisk> {
  const device = await machine.deviceOf(path);
  if (device === undefined) throw captureErrors.DiskNotFound(path);
  const folder = device === 'other' ? undefined : await folderOf(device, machine);
  if (folder === undefined) throw captureErrors.NotABlockDevice(path);
  await refuseMultipath(path, folder, machine);
  const kind = await kindOf(folder);
  if (kind !== undefined)
    throw captureErrors.NotAWholeDisk(
      path,
      kind,
      (await wholeDisksUnder(folder)).map((disk) => `/dev/${disk}`),
    );
  const name = basename(folder);
  if (name.startsWith('pmem') || (await textOf(join(folder, 'queue/dax'))) === '1')
    throw captureErrors.MappedMemoryDevice(path);
  if (!(await takesRequests(folder))) throw captureErrors.NoRequestEvents(path);
  const [major, minor] = device.split(':').map(Number);
  const disk: WholeDisk = {
    path,
    name,
    deviceNumber: kernelDeviceNumber(major!, minor!),
    hasRangedDiscards: Number((await textOf(join(folder, 'queue/max_discard_segments'))) ?? 1) > 1,
  };
  for (const { mountPoint, options } of await entriesOn([disk], machine))
    if (options.some((option) => option === 'dax' || option === 'dax=always'))
      throw captureErrors.MappedMemoryDevice(mountPoint);
  return disk;
}

/** The size now; `undefined` when the disk is gone. Synchronous: it is asked under a freeze, when the thread pool may be
 * full of others' blocked writes. */
export function sizeNow(disk: WholeDisk, machine: Machine = thisMachine): number | undefined {
  const { deviceNumber } = disk;
  try {
    const folder = join(machine.sys, 'dev/block', `${deviceNumber >>> 20}:${deviceNumber & 0xf_ffff}`);
    return Number(readFileSync(join(folder, 'size'), 'utf8')) * sectorBytes;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) return undefined;
    throw error;
  }
}

/** The whole disk of a partition, or the device itself; `undefined` when there is none of that number. Synchronous as above. */
export function wholeDeviceOf(deviceNumber: number, machine: Machine = thisMachine): number | undefined {
  const folder = join(machine.sys, 'dev/block', `${deviceNumber >>> 20}:${deviceNumber & 0xf_ffff}`);
  try {
    const real = realpathSync(folder);
    const disk = existsSync(join(real, 'partition')) ? dirname(real) : real;
    const [major, minor] = readFileSync(join(disk, 'dev'), 'utf8').trim().split(':').map(Number);
    return kernelDeviceNumber(major!, minor!);
  } catch (error) {
    if (hasCode(error, ...gone)) return undefined;
    throw error;
  }
}

/**
 * File systems that live on these disks, through partitions and everything built on them: upper layers first. A file system
 * in a file on another one is not among them; it is frozen with what lies under it.
 */
export async function mountsOf(
  disks: readonly WholeDisk[],
  machine: Machine = thisMachine,
): Promise<DiskMount[]> {
  return (await entriesOn(disks, machine)).map(({ mountPoint, device }) => ({ mountPoint, device }));
}

/** Whether what is written to a folder ends on one of these disks. */
export async function isFolderOn(
  disks: readonly WholeDisk[],
  folder: string,
  machine: Machine = thisMachine,
): Promise<boolean> {
  const holds = ({ mountPoint }: MountEntry): boolean =>
    mountPoint === '/' || folder === mountPoint || folder.startsWith(`${mountPoint}/`);
  // The deepest mount, and of several at one place the last.
  const holder = parseMountTable(await readFile(join(machine.proc, 'self/mountinfo'), 'utf8'))
    .filter(holds)
    .reduce<MountEntry | undefined>(
      (best, entry) =>
        best === undefined || entry.mountPoint.length >= best.mountPoint.length ? entry : best,
      undefined,
    );
  return (await entriesOn(disks, machine)).some((entry) => entry.mountId === holder?.mountId);
}

/**
 * Contents of swap partitions, and of a disk that is swap as a whole, without their headers (a copied machine must still
 * find its swap by label). Swap files, and volumes, whose place on the disk is not known here, are copied like anything else.
 */
export async function swapRangesOf(disk: WholeDisk, machine: Machine = thisMachine): Promise<Extent[]> {
  const swaps = new Set<string>();
  for (const line of (await readFile(join(machine.proc, 'swaps'), 'utf8')).split('\n').slice(1)) {
    const [path, type] = line.split(/\s+/);
    if (type !== 'partition') continue;
    const device = await machine.deviceOf(unescapePath(path!));
    if (device !== undefined) swaps.add(device);
  }
  if (swaps.size === 0) return [];
  const folder = await realpathOf(join(machine.sys, 'class/block', disk.name));
  if (folder === undefined) return [];
  const ranges: Extent[] = [];
  for (const part of [folder, ...(await partitionsOf(folder))]) {
    if (!swaps.has((await textOf(join(part, 'dev'))) ?? '')) continue;
    const start = part === folder ? 0 : Number(await textOf(join(part, 'start'))) * sectorBytes;
    const size = Number(await textOf(join(part, 'size'))) * sectorBytes;
    if (Number.isSafeInteger(start) && size > swapHeaderBytes)
      ranges.push({ offsetBytes: start + swapHeaderBytes, lengthBytes: size - swapHeaderBytes });
  }
  return ranges.sort((one, other) => one.offsetBytes - other.offsetBytes);
}

async function refuseMultipath(path: string, folder: string, machine: Machine): Promise<void> {
  const isMultipath = async (each: string): Promise<boolean> =>
    /^(part\d+-)?mpath-/.test((await textOf(join(each, 'dm/uuid'))) ?? '');
  // Asked for the disk as well as for one of its partitions.
  const disk = (await textOf(join(folder, 'partition'))) === undefined ? folder : dirname(folder);
  for (const each of [folder, disk, ...(await linksIn(join(disk, 'holders')))])
    if (await isMultipath(each))
      throw captureErrors.MultipathDevice(
        path,
        (await wholeDisksUnder(each)).map((name) => `/dev/${name}`),
      );
  // NVMe has multipath of its own: the head `nvme0n1` hands its work to hidden disks `nvme0c1n1`.
  const head = /^nvme(\d+)(?:c\d+)?n(\d+)$/.exec(basename(disk));
  if (!head) return;
  const paths = (await namesIn(join(machine.sys, 'class/block'))).filter((name) =>
    new RegExp(`^nvme${head[1]}c\\d+n${head[2]}$`).test(name),
  );
  if (paths.length > 0) throw captureErrors.MultipathDevice(path, paths);
}

/** What it is, if not a whole disk. */
async function kindOf(folder: string): Promise<string | undefined> {
  if ((await textOf(join(folder, 'partition'))) !== undefined) return 'a partition';
  const mapped = await textOf(join(folder, 'dm/uuid'));
  if (mapped !== undefined) {
    if (mapped.startsWith('LVM-')) return 'a logical volume';
    return mapped.startsWith('CRYPT-') ? 'an encrypted volume' : 'a mapped device';
  }
  if ((await namesIn(join(folder, 'md'))).length > 0) return 'a software RAID';
  return (await namesIn(join(folder, 'slaves'))).length > 0 ? 'put together from other devices' : undefined;
}

/** Multi-queue drivers have a folder for their queues; before 5.0 there were others, which had a scheduler to choose, while
 * devices that only pass their work on have none. */
async function takesRequests(folder: string): Promise<boolean> {
  if ((await namesIn(join(folder, 'mq'))).length > 0) return true;
  return (await textOf(join(folder, 'queue/scheduler')))?.includes('[') ?? false;
}

/** Names of the disks at the bottom. */
async function wholeDisksUnder(folder: string, layer = 0): Promise<string[]> {
  if (layer > layersMax) return [];
  if ((await textOf(join(folder, 'partition'))) !== undefined)
    return wholeDisksUnder(dirname(folder), layer + 1);
  const below = await linksIn(join(folder, 'slaves'));
  if (below.length === 0) return (await textOf(join(folder, 'dev'))) === undefined ? [] : [basename(folder)];
  const found = await Promise.all(below.map((each) => wholeDisksUnder(each, layer + 1)));
  return [...new Set(found.flat())].sort();
}

/** Mounts whose superblock is on the disks or on something above them, upper layers first. */
async function entriesOn(disks: readonly WholeDisk[], machine: Machine): Promise<MountEntry[]> {
  const depths = new Map<string, number>();
  for (const { name } of disks) {
    const folder = await realpathOf(join(machine.sys, 'class/block', name));
    if (folder !== undefined) await climb(folder, 0, depths);
  }
  const table = parseMountTable(await readFile(join(machine.proc, 'self/mountinfo'), 'utf8'));
  const btrfs = table.some((entry) => entry.fileSystemType === 'btrfs') ? await btrfsDevices(machine) : [];
  const found: { entry: MountEntry; depth: number }[] = [];
  for (const entry of table) {
    const devices =
      entry.fileSystemType === 'btrfs'
        ? await devicesOfBtrfs(entry, btrfs, machine)
        : await devicesOf(entry, machine);
    const hits = devices.map((device) => depths.get(device)).filter((depth) => depth !== undefined);
    if (hits.length > 0) found.push({ entry, depth: Math.max(...hits) });
  }
  found.sort(
    (one, other) => other.depth - one.depth || other.entry.mountPoint.length - one.entry.mountPoint.length,
  );
  return found.map(({ entry }) => entry);
}

/** `major:minor` of a device and of everything above it, with how many layers up it is. */
async function climb(folder: string, depth: number, depths: Map<string, number>): Promise<void> {
  if (depth > layersMax) return;
  const device = await textOf(join(folder, 'dev'));
  if (device === undefined) return;
  depths.set(device, Math.max(depth, depths.get(device) ?? 0));
  for (const above of [...(await linksIn(join(folder, 'holders'))), ...(await partitionsOf(folder))])
    await climb(above, depth + 1, depths);
}

/** Other file systems of several disks have made-up device numbers, too; bcachefs is mounted from `/dev/sda:/dev/sdb`. */
async function devicesOf(entry: MountEntry, machine: Machine): Promise<readonly string[]> {
  if (!entry.device.startsWith('0:') || !entry.source.startsWith('/dev/')) return [entry.device];
  const members = await Promise.all(entry.source.split(':').map((path) => machine.deviceOf(path)));
  return members.filter((device) => device !== undefined);
}

/** The members of each mounted btrfs. Its superblocks have device numbers of their own (`0:45`), which lead nowhere. */
async function btrfsDevices(machine: Machine): Promise<string[][]> {
  const all: string[][] = [];
  for (const each of await namesIn(join(machine.sys, 'fs/btrfs'))) {
    const members = await linksIn(join(machine.sys, 'fs/btrfs', each, 'devices'));
    const devices = await Promise.all(members.map((member) => textOf(join(member, 'dev'))));
    if (devices.length > 0) all.push(devices.filter((device) => device !== undefined));
  }
  return all;
}

/** The mount table names one of the members; where that says nothing (`/dev/root`), any of them may be meant. */
async function devicesOfBtrfs(
  entry: MountEntry,
  all: readonly (readonly string[])[],
  machine: Machine,
): Promise<readonly string[]> {
  const source = await machine.deviceOf(entry.source);
  if (source === undefined || source === 'other') return all.flat();
  return all.find((devices) => devices.includes(source)) ?? [source];
}

async function partitionsOf(folder: string): Promise<string[]> {
  const parts: string[] = [];
  for (const each of await namesIn(folder))
    if (each.startsWith(basename(folder)) && (await textOf(join(folder, each, 'partition'))) !== undefined)
      parts.push(join(folder, each));
  return parts;
}

async function folderOf(device: string, machine: Machine): Promise<string | undefined> {
  return realpathOf(join(machine.sys, 'dev/block', device));
}

/** Where the links of a folder lead. */
async function linksIn(folder: string): Promise<string[]> {
  const targets = await Promise.all((await namesIn(folder)).map((name) => realpathOf(join(folder, name))));
  return targets.filter((target) => target !== undefined);
}

/** Missing is an answer here: devices come and go while one looks. */
const gone = ['ENOENT', 'ENOTDIR', 'ENODEV'];

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (hasCode(error, ...gone)) return [];
    throw error;
  }
}

async function realpathOf(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (hasCode(error, ...gone)) return undefined;
    throw error;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (hasCode(error, ...gone, 'EINVAL')) return undefined;
    throw error;
  }
}
