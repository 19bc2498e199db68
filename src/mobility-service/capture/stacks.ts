/**
 * Which disks belong together: a volume group, a software RAID or a file system of several disks is whole only when all of them
 * are. A machine of which one is protected and another is not comes back with a file system that cannot be mounted, so each disk
 * is reported with those that it cannot do without.
 *
 *     sda3 ─┐                                  by slaves: dm, md, bcache and what else the kernel stacks
 *           ├─ dm-1 (LVM-<group><volume>) …     by the group's id: volumes of one group, each on a disk of its own
 *     sdb  ─┘                                  by /sys/fs/btrfs and the mount table: file systems of several devices
 *
 * A leaf adapter as `inspect.ts`, tested with recorded trees in the same way.
 */
import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hasCode } from '../../platform/errors.ts';
import { type MountEntry, parseMountTable } from '../consistency/mount-table.ts';
import { type Machine, thisMachine } from './inspect.ts';

export interface Stack {
  /** What a person knows it by: `volume group data`, `software RAID md0`, `btrfs at /srv`. */
  readonly through: string;
  /** Kernel names of whole disks, at least two. */
  readonly disks: readonly string[];
}

/** Layers are few; more is a loop. */
const layersMax = 16;
/** Of a device-mapper id: `LVM-`, the group's id of 32 characters, the volume's. */
const lvmGroupEnd = 'LVM-'.length + 32;

/** Everything on this machine that lies on more than one disk. */
export async function stacksOf(machine: Machine = thisMachine): Promise<Stack[]> {
  const found = new Map<string, Set<string>>();
  const add = (through: string, disks: readonly string[]) => {
    const known = found.get(through) ?? new Set();
    for (const disk of disks) known.add(disk);
    found.set(through, known);
  };
  for (const name of await namesIn(join(machine.sys, 'class/block'))) {
    const folder = await realpathOf(join(machine.sys, 'class/block', name));
    if (folder === undefined || (await namesIn(join(folder, 'slaves'))).length === 0) continue;
    const mapped = (await textOf(join(folder, 'dm/uuid'))) ?? '';
    // Paths of one disk, and its partitions, are that disk.
    if (/^(part\d+-)?mpath-/.test(mapped)) continue;
    const disks = await disksUnder(folder);
    if (mapped.startsWith('LVM-')) {
      const volume = (await textOf(join(folder, 'dm/name'))) ?? mapped;
      // A dash in a group's name is written twice.
      const group = /^(?:[^-]|--)+/.exec(volume)![0].replaceAll('--', '-');
      // Two groups of one name cannot be active at once, but their ids may tell what their names do not.
      add(`volume group ${group} ${mapped.slice(0, lvmGroupEnd)}`, disks);
    } else if ((await namesIn(join(folder, 'md'))).length > 0) add(`software RAID ${name}`, disks);
    else add((await textOf(join(folder, 'dm/name'))) ?? name, disks);
  }
  const table = parseMountTable(await readFile(join(machine.proc, 'self/mountinfo'), 'utf8'));
  for (const id of await namesIn(join(machine.sys, 'fs/btrfs'))) {
    const members = await linksIn(join(machine.sys, 'fs/btrfs', id, 'devices'));
    if (members.length < 2) continue;
    const devices = await Promise.all(members.map((member) => textOf(join(member, 'dev'))));
    const at = await mountedFrom(devices, table, machine);
    add(
      `btrfs ${at === undefined ? id : `at ${at}`}`,
      (await Promise.all(members.map((each) => disksUnder(each)))).flat(),
    );
  }
  for (const entry of table) {
    const devices = await Promise.all(namedBy(entry).map((path) => machine.deviceOf(path)));
    const folders = await Promise.all(
      devices.map((device) =>
        device === undefined || device === 'other'
          ? undefined
          : realpathOf(join(machine.sys, 'dev/block', device)),
      ),
    );
    const known = folders.filter((folder) => folder !== undefined);
    if (known.length > 1)
      add(
        `${entry.fileSystemType} at ${entry.mountPoint}`,
        (await Promise.all(known.map((each) => disksUnder(each)))).flat(),
      );
  }
  return [...found]
    .filter(([, disks]) => disks.size > 1)
    .map(([through, disks]) => ({
      through: through.replace(/ LVM-\S+$/, '').slice(0, throughMax),
      disks: [...disks].sort(),
    }));
}

/** As the report has it. */
const throughMax = 300;

/** Devices that a mount names beside the one that it is known by: bcachefs in its source, XFS in its options. */
function namedBy({ source, fileSystemType, options }: MountEntry): string[] {
  const more = options.flatMap((option) => /^(?:logdev|rtdev|journal_path)=(\/.+)$/.exec(option)?.[1] ?? []);
  const own = fileSystemType === 'bcachefs' ? source.split(':') : more.length > 0 ? [source] : [];
  return [...own, ...more];
}

async function mountedFrom(
  devices: readonly (string | undefined)[],
  table: readonly MountEntry[],
  machine: Machine,
): Promise<string | undefined> {
  for (const entry of table) {
    if (entry.fileSystemType !== 'btrfs') continue;
    const device = await machine.deviceOf(entry.source);
    if (device !== undefined && devices.includes(device)) return entry.mountPoint;
  }
  return undefined;
}

/** Names of the whole disks at the bottom of a device, or of the one that a partition is of. */
async function disksUnder(folder: string, layer = 0): Promise<string[]> {
  if (layer > layersMax) return [];
  if ((await textOf(join(folder, 'partition'))) !== undefined) return disksUnder(dirname(folder), layer + 1);
  let below = await linksIn(join(folder, 'slaves'));
  if (below.length === 0) return (await textOf(join(folder, 'dev'))) === undefined ? [] : [basename(folder)];
  // All paths lead to one disk.
  if (((await textOf(join(folder, 'dm/uuid'))) ?? '').startsWith('mpath-')) below = below.slice(0, 1);
  const found = await Promise.all(below.map((each) => disksUnder(each, layer + 1)));
  return [...new Set(found.flat())].sort();
}

async function linksIn(folder: string): Promise<string[]> {
  const targets = await Promise.all((await namesIn(folder)).map((name) => realpathOf(join(folder, name))));
  return targets.filter((target) => target !== undefined);
}

/** Missing is an answer here: devices come and go while one looks. */
const gone = ['ENOENT', 'ENOTDIR', 'ENODEV', 'EINVAL'];

async function namesIn(folder: string): Promise<string[]> {
  return (await unlessGone(readdir(folder)))?.sort() ?? [];
}
const realpathOf = (path: string): Promise<string | undefined> => unlessGone(realpath(path));
const textOf = async (path: string): Promise<string | undefined> =>
  (await unlessGone(readFile(path, 'utf8')))?.trim();

async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (hasCode(error, ...gone)) return undefined;
    throw error;
  }
}
