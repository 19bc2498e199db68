/**
 * What this machine is: operating system, processors, memory, and each whole disk with what would keep it from being
 * protected. Told to the configuration server, shown at the vault as a protectable item.
 *
 * A leaf adapter: `/proc`, `/sys` and `/etc/os-release` are read with `node:fs`, as in `capture/inspect.ts`; a package for
 * it would cost more memory than the rest of the service.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { cpus, hostname, networkInterfaces, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { HealthEvent } from '../../model/health.ts';
import { hasCode } from '../../platform/errors.ts';
import { isSwitchedOn } from '../../platform/settings.ts';
import type { MachineInventory } from '../../protocol/control/agent-link.ts';
import { healthEventOf } from '../../protocol/control/health-event.ts';
import { MachineId, type ReportedDisk, reportedDisksMax } from '../../protocol/control/site-link.ts';
import { inspectDisk, mountsOf, refuseOwnBacking, sizeNow } from '../capture/inspect.ts';
import { type Stack, stacksOf } from '../capture/stacks.ts';

const usesMax = 64;
const stacksMax = 64;

export async function inventory(
  machineId: string,
  version: string,
  nowMilliseconds: number,
): Promise<MachineInventory> {
  return {
    machineId: MachineId.parse(machineId),
    name: hostname().slice(0, 253),
    addresses: Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ internal }) => !internal)
      .map(({ address }) => address)
      .slice(0, 64),
    osName: (await osName()).slice(0, 200),
    kernel: release().slice(0, 200),
    firmware: existsSync('/sys/firmware/efi') ? 'efi' : 'bios',
    cpuCount: Math.max(1, cpus().length),
    memoryBytes: totalmem(),
    version,
    disks: await disks(nowMilliseconds),
  };
}

async function osName(): Promise<string> {
  const text = (await textOf('/etc/os-release')) ?? '';
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? 'Linux';
}

/** Whole disks that hold something: no memory disks, no optical drives, nothing without a medium or read-only. */
async function disks(nowMilliseconds: number): Promise<ReportedDisk[]> {
  const links = await diskIds();
  const found: ReportedDisk[] = [];
  for (const name of await namesIn('/sys/block')) {
    if (/^(ram|zram|sr|fd|dm-|md)/.test(name) || found.length >= reportedDisksMax) continue;
    const folder = join('/sys/block', name);
    const sizeBytes = Number((await textOf(join(folder, 'size'))) ?? 0) * 512;
    // A loop device that nobody can write is a mounted package, not a disk.
    if (sizeBytes === 0 || (await textOf(join(folder, 'ro'))) === '1') continue;
    const path = links.get(name) ?? `/dev/${name}`;
    found.push(await describe(path, name, sizeBytes, nowMilliseconds));
  }
  return withStacks(found, await stacksOf(), links);
}

/** Each disk with what it shares with others, by the paths that all of them are reported under. */
export function withStacks(
  disks: readonly ReportedDisk[],
  stacks: readonly Stack[],
  links: ReadonlyMap<string, string>,
): ReportedDisk[] {
  return disks.map((disk) => {
    const own = stacks
      .filter((stack) => stack.disks.includes(disk.name))
      .map(({ through, disks: names }) => ({
        through,
        disks: names.map((name) => links.get(name) ?? `/dev/${name}`).slice(0, reportedDisksMax),
      }));
    return own.length === 0 ? disk : { ...disk, stacks: own.slice(0, stacksMax) };
  });
}

async function describe(
  path: string,
  name: string,
  sizeBytes: number,
  nowMilliseconds: number,
): Promise<ReportedDisk> {
  const readinessErrors: HealthEvent[] = [];
  const uses: string[] = [];
  try {
    const disk = await inspectDisk(path);
    for (const { mountPoint } of await mountsOf([disk])) uses.push(mountPoint.slice(0, 300));
    sizeBytes = sizeNow(disk) ?? sizeBytes;
    // The switch is for tests, which have no other disks than loop devices to protect.
    await refuseOwnBacking(disk, { areLoopsOffered: isSwitchedOn('LEEWARD_OFFER_LOOP_DEVICES') });
  } catch (error) {
    readinessErrors.push(healthEventOf(error, nowMilliseconds));
  }
  const model = await textOf(join('/sys/block', name, 'device/model'));
  const backing = await textOf(join('/sys/block', name, 'loop/backing_file'));
  for (const text of [model, backing]) if (text) uses.push(text.slice(0, 300));
  // Stable while nothing changes: the moment of an error would make every report news.
  const since = new Date(0).toISOString();
  return {
    path,
    name,
    sizeBytes,
    readinessErrors: readinessErrors.map((event) => ({ ...event, raisedAt: since })),
    uses: uses.slice(0, usesMax),
  };
}

/** Kernel name → the most telling of its stable names. */
async function diskIds(): Promise<Map<string, string>> {
  const folder = '/dev/disk/by-id';
  const found = new Map<string, string>();
  for (const name of await namesIn(folder)) {
    const target = (await readlink(join(folder, name)).catch(() => '')).split('/').at(-1) ?? '';
    if (target === '' || name.includes('-part')) continue;
    const before = found.get(target);
    // A name with the maker's and the serial number says more than a world-wide number.
    if (before === undefined || before.includes('/wwn-') || before.includes('/nvme-eui.'))
      found.set(target, join(folder, name));
  }
  return found;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ENODEV', 'EINVAL', 'EACCES')) return undefined;
    throw error;
  }
}
