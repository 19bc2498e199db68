/**
 * From a path in the assignment to the disk that is protected, and from the disk to what lives on it: its mounted file
 * systems and its swap areas. Whatever cannot be protected is refused here, by name and with what to do instead.
 *
 *     path ─stat─▶ 8:0 ─/sys/dev/block─▶ …/block/sda ─┬─ partition? volume? RAID? path of a multipath disk? ─▶ refused
 *                                                     ├─ partitions, holders, files as loop devices, upwards ─▶ mounts to freeze
 *                                                     └─ /proc/swaps ─▶ ranges that need not be copied
 *
 * What may be protected is a whole disk whose driver takes requests (`mq`, or a scheduler on old kernels): only those report
 * completed writes. Everything that the kernel builds on top of disks ends there as ordinary requests.
 *
 * A leaf adapter: `/sys` and `/proc` are read with `node:fs`, since neither is a file system whose writes could be lost.
 * Where they are is a parameter, so that machines which are hard to come by are tested with recorded trees.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
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

/** Whether a disk that was one path of a multipath device is now one of several: what goes over the others is not seen.
 * Synchronous as above. */
export function hasOtherPaths(disk: Pick<WholeDisk, 'name'>, machine: Machine = thisMachine): boolean {
  const holders = join(machine.sys, 'class/block', disk.name, 'holders');
  try {
    return readdirSync(holders).some((holder) => {
      const folder = join(holders, holder);
      const uuid = join(folder, 'dm/uuid');
      if (!existsSync(uuid) || !readFileSync(uuid, 'utf8').startsWith('mpath-')) return false;
      return readdirSync(join(folder, 'slaves')).length > 1;
    });
  } catch (error) {
    if (hasCode(error, ...gone)) return false;
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
 * All mount points of the file systems that live on these disks, through partitions, everything built on them, and files on
 * them that are loop devices: upper layers first, whatever lies between. A file system on a loop device writes to the one that
 * holds its file; if that one stood still first, freezing the upper one would wait for it and never come back.
 */
export async function mountsOf(
  disks: readonly WholeDisk[],
  machine: Machine = thisMachine,
): Promise<DiskMount[]> {
  const ground = await groundOf(machine);
  const depths = await climbAll(disks, machine);
  let found = await entriesIn(depths, ground);
  for (let layer = 0; layer < layersMax; layer++) {
    let hasMore = false;
    for (const loop of ground.loops) {
      if (loop.isReadOnly || depths.has(loop.device)) continue;
      const isHeld = loop.onDevice
        ? depths.has(loop.onDevice)
        : found.some(({ entry }) => entry.device === realHolder(loop.holder, ground)?.device);
      if (!isHeld) continue;
      await climb(loop.folder, 0, depths);
      hasMore = true;
    }
    if (!hasMore) break;
    found = await entriesIn(depths, ground);
  }
  const heights = new Map<string, number>();
  for (const { entry } of found)
    if (!heights.has(entry.device)) heights.set(entry.device, await heightOfMount(entry, ground, 0));
  return found
    .map(({ entry: { mountPoint, device } }) => ({ mountPoint, device }))
    .sort(
      (one, other) =>
        heights.get(other.device)! - heights.get(one.device)! ||
        other.mountPoint.length - one.mountPoint.length,
    );
}

/** Of a disk that is a loop device: the file it is made from, and the disks of this machine that hold the file. */
export interface OwnBacking {
  readonly file: string;
  /** Names of the disks right under the file. */
  readonly disks: readonly string[];
  /** These, and what lies under them in turn. */
  readonly disksBelow: readonly string[];
}

/** `undefined`: it is a disk of its own, or its file lies on none (in memory, or on another machine). */
export async function ownBackingOf(
  { name }: Pick<WholeDisk, 'name'>,
  machine: Machine = thisMachine,
): Promise<OwnBacking | undefined> {
  const ground = await groundOf(machine);
  const file = ground.loops.find((loop) => basename(loop.folder) === name)?.file;
  if (file === undefined) return undefined;
  const disks = await disksUnderLoop(name, ground);
  const below = new Set(disks);
  // A set grows while it is walked.
  for (const disk of below) for (const each of await disksUnderLoop(disk, ground)) below.add(each);
  return disks.length === 0 ? undefined : { file, disks, disksBelow: [...below] };
}

/** Of disks that are protected together none may lie on another: its writes would be copied twice, and what stands still would
 * hold up what has to stand still before it. */
export async function refuseStacked(
  disks: readonly WholeDisk[],
  machine: Machine = thisMachine,
): Promise<void> {
  for (const disk of disks) {
    const backing = await ownBackingOf(disk, machine);
    const under = disks.find(({ name }) => name !== disk.name && backing?.disksBelow.includes(name));
    if (backing && under) throw captureErrors.BackedByProtectedDisk(disk.path, backing.file, under.path);
  }
}

/** What is made from a file on a disk of this machine is not offered: the disk is. */
export async function refuseOwnBacking(
  disk: WholeDisk,
  options: { readonly areLoopsOffered: boolean },
  machine: Machine = thisMachine,
): Promise<void> {
  const backing = await ownBackingOf(disk, machine);
  if (!backing) return;
  if (options.areLoopsOffered && !backing.disks.some((name) => name.startsWith('loop'))) return;
  throw captureErrors.BackedByOwnDisk(
    disk.path,
    backing.file,
    backing.disks.map((name) => `/dev/${name}`),
  );
}

/** Whether what is written to a folder ends on one of these disks. */
export async function isFolderOn(
  disks: readonly WholeDisk[],
  folder: string,
  machine: Machine = thisMachine,
): Promise<boolean> {
  const holder = holderOf(
    folder,
    parseMountTable(await readFile(join(machine.proc, 'self/mountinfo'), 'utf8')),
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
  for (const each of [folder, disk, ...(await linksIn(join(disk, 'holders')))]) {
    if (!(await isMultipath(each))) continue;
    const members = await wholeDisksUnder(each);
    // With one path every write goes through it. Asked for by another name, the disk to use is named further on.
    if (members.length > 1)
      throw captureErrors.MultipathDevice(
        path,
        members.map((name) => `/dev/${name}`),
      );
  }
  // NVMe has multipath of its own: the head `nvme0n1` hands its work to hidden disks `nvme0c1n1`.
  const head = /^nvme(\d+)(?:c\d+)?n(\d+)$/.exec(basename(disk));
  if (!head) return;
  const paths = (await namesIn(join(machine.sys, 'class/block'))).filter((name) =>
    new RegExp(`^nvme${head[1]}c\\d+n${head[2]}$`).test(name),
  );
  if (paths.length === 1) throw captureErrors.NvmeMultipathHead(path, paths[0]!);
  if (paths.length > 1) throw captureErrors.MultipathDevice(path, paths);
}

/** What it is, if not a whole disk. */
async function kindOf(folder: string): Promise<string | undefined> {
  if ((await textOf(join(folder, 'partition'))) !== undefined) return 'a partition';
  const mapped = await textOf(join(folder, 'dm/uuid'));
  if (mapped !== undefined) {
    if (mapped.startsWith('LVM-')) return 'a logical volume';
    if (/^(part\d+-)?mpath-/.test(mapped)) return 'a multipath device with one path';
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

/** Mounts whose superblock is on the disks or on something above them. */
async function entriesOn(disks: readonly WholeDisk[], machine: Machine): Promise<MountEntry[]> {
  const found = await entriesIn(await climbAll(disks, machine), await groundOf(machine));
  return found.map(({ entry }) => entry);
}

async function climbAll(disks: readonly WholeDisk[], machine: Machine): Promise<Map<string, number>> {
  const depths = new Map<string, number>();
  for (const { name } of disks) {
    const folder = await realpathOf(join(machine.sys, 'class/block', name));
    if (folder !== undefined) await climb(folder, 0, depths);
  }
  return depths;
}

async function entriesIn(
  depths: ReadonlyMap<string, number>,
  ground: Ground,
): Promise<{ entry: MountEntry; depth: number }[]> {
  const found: { entry: MountEntry; depth: number }[] = [];
  for (const entry of ground.table) {
    const devices = await devicesUnder(entry, ground);
    const hits = devices.map((device) => depths.get(device)).filter((depth) => depth !== undefined);
    if (hits.length > 0) found.push({ entry, depth: Math.max(...hits) });
  }
  return found;
}

/** What one look at the machine needs: read once, used for all questions. */
interface Ground {
  readonly machine: Machine;
  readonly table: readonly MountEntry[];
  readonly btrfs: readonly (readonly string[])[];
  readonly loops: readonly LoopGround[];
}

interface LoopGround {
  readonly folder: string;
  readonly device: string;
  readonly file: string;
  readonly isReadOnly: boolean;
  /** The mount that holds the file, as far as the mount table tells. */
  readonly holder: MountEntry | undefined;
  /** Made from a device instead of a file: `8:1`. */
  readonly onDevice: string | undefined;
}

async function groundOf(machine: Machine): Promise<Ground> {
  const table = parseMountTable(await readFile(join(machine.proc, 'self/mountinfo'), 'utf8'));
  const btrfs = table.some((entry) => entry.fileSystemType === 'btrfs') ? await btrfsDevices(machine) : [];
  const loops: LoopGround[] = [];
  for (const name of await namesIn(join(machine.sys, 'class/block'))) {
    if (!/^loop\d+$/.test(name)) continue;
    const folder = await realpathOf(join(machine.sys, 'class/block', name));
    if (folder === undefined) continue;
    const file = await textOf(join(folder, 'loop/backing_file'));
    const device = await textOf(join(folder, 'dev'));
    if (file === undefined || device === undefined) continue;
    const under = await machine.deviceOf(file);
    const onDevice = under === undefined || under === 'other' ? undefined : under;
    const isReadOnly = (await textOf(join(folder, 'ro'))) === '1';
    loops.push({ folder, device, file, isReadOnly, holder: holderOf(file, table), onDevice });
  }
  return { machine, table, btrfs, loops };
}

/** The deepest mount on the way to a path, and of several at one place the last. */
function holderOf(path: string, table: readonly MountEntry[]): MountEntry | undefined {
  return table
    .filter(
      ({ mountPoint }) => mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`),
    )
    .reduce<MountEntry | undefined>(
      (best, entry) =>
        best === undefined || entry.mountPoint.length >= best.mountPoint.length ? entry : best,
      undefined,
    );
}

/** `major:minor` of what a file system lies on. What an overlay holds is in the folder that takes its changes. */
async function devicesUnder(entry: MountEntry, { btrfs, machine }: Ground): Promise<readonly string[]> {
  return entry.fileSystemType === 'btrfs' ? devicesOfBtrfs(entry, btrfs, machine) : devicesOf(entry, machine);
}

/** The mount that really holds what is written to this one: of an overlay, the one with its upper folder. */
function realHolder(entry: MountEntry | undefined, ground: Ground, layer = 0): MountEntry | undefined {
  if (entry?.fileSystemType !== 'overlay' || layer > layersMax) return entry;
  const upper = entry.options.find((option) => option.startsWith('upperdir='))?.slice('upperdir='.length);
  return upper === undefined
    ? undefined
    : realHolder(holderOf(unescapePath(upper), ground.table), ground, layer + 1);
}

async function disksUnderLoop(name: string, ground: Ground): Promise<string[]> {
  const loop = ground.loops.find(({ folder }) => basename(folder) === name);
  if (!loop) return [];
  const holder = realHolder(loop.holder, ground);
  const devices = loop.onDevice ? [loop.onDevice] : holder ? await devicesUnder(holder, ground) : [];
  const found: string[] = [];
  for (const device of devices) {
    const folder = await folderOf(device, ground.machine);
    if (folder !== undefined) found.push(...(await wholeDisksUnder(folder)));
  }
  return [...new Set(found)].sort();
}

/** Higher than anything on this machine's disks: what is served over a network, or by a program, may be served from here. */
const unknownHeight = 1000;

/** How many layers a device lies above the ground. */
async function heightOfDevice(device: string, ground: Ground, layer: number): Promise<number> {
  const folder = layer > layersMax ? undefined : await folderOf(device, ground.machine);
  if (folder === undefined) return 0;
  if ((await textOf(join(folder, 'partition'))) !== undefined) {
    const disk = await textOf(join(dirname(folder), 'dev'));
    return disk === undefined ? 1 : 1 + (await heightOfDevice(disk, ground, layer + 1));
  }
  const loop = ground.loops.find((each) => each.device === device);
  if (loop?.onDevice) return 1 + (await heightOfDevice(loop.onDevice, ground, layer + 1));
  if (loop) return 1 + (await heightOfMount(loop.holder, ground, layer + 1));
  // iSCSI and NVMe over fabrics show in the place of the device.
  if (/^(nbd|rbd|drbd)/.test(basename(folder)) || /\/session\d+\/|\/nvme-fabrics\//.test(folder))
    return unknownHeight;
  let height = 0;
  for (const below of await linksIn(join(folder, 'slaves'))) {
    const under = await textOf(join(below, 'dev'));
    if (under !== undefined) height = Math.max(height, 1 + (await heightOfDevice(under, ground, layer + 1)));
  }
  return height;
}

async function heightOfMount(mount: MountEntry | undefined, ground: Ground, layer: number): Promise<number> {
  const entry = realHolder(mount, ground);
  if (entry === undefined) return 0;
  if (/^(fuse|nfs|cifs|smb|9p|ceph|virtiofs)/.test(entry.fileSystemType)) return unknownHeight;
  let height = 0;
  for (const device of await devicesUnder(entry, ground))
    height = Math.max(height, 1 + (await heightOfDevice(device, ground, layer + 1)));
  return height;
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
