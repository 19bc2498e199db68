/**
 * Which disk of the machine is which disk of the assignment, now: what each was when it was seen last is compared with what is at
 * its path and, when that is not it, with all other disks of the machine (`disk-identity.ts` judges and places).
 *
 *     assignment ─▶ path ─▶ facts ─┬─ all as they were ──────────────────────────┬─▶ placed, or missing
 *     last seen  ──────────────────┴─ else facts of all other disks, followed ──┘
 *
 * Reads the first blocks of disks, with a limit: one that does not answer is known by what sysfs says of it.
 */
import { readFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { openDevice } from '../../disk/device.ts';
import { type DiskFacts, judgeDisk, parseIdentity } from '../../model/disk-identity.ts';
import type { Clock } from '../../platform/clock.ts';
import { hasCode } from '../../platform/errors.ts';
import type { CaptureLoss } from './capture.ts';
import {
  attachmentNow,
  diskFacts,
  type FoundDisk,
  identityContent,
  type PlacedDisk,
  placeDisks,
  wholeDiskNames,
} from './disk-identity.ts';
import { inTime } from './in-time.ts';
import { type Machine, thisMachine } from './inspect.ts';
import { kernelDeviceNumber } from './tracefs.ts';

/** A disk of the assignment where it is now. */
export interface LocatedDisk extends PlacedDisk {
  /** By which it can be opened: as the assignment names it, unless it is elsewhere. */
  readonly path: string;
  readonly deviceNumber: number;
}

interface MachineDisk extends FoundDisk {
  readonly path: string;
  readonly deviceNumber: number;
}

export interface FindDisksOptions {
  readonly bootId: string;
  readonly clock: Clock;
  readonly machine?: Machine;
}

/** In the order of `assigned`; undefined: the machine has no such disk. `identity`: what it was when it was seen last. */
export async function findDisks(
  assigned: readonly { readonly path: string; readonly identity: string | undefined }[],
  options: FindDisksOptions,
): Promise<(LocatedDisk | undefined)[]> {
  const { machine = thisMachine } = options;
  const sought = await Promise.all(
    assigned.map(async ({ path, identity }) => {
      const device = await machine.deviceOf(path);
      const known = identity === undefined ? undefined : parseIdentity(identity);
      const folder = join(machine.sys, 'dev/block', device ?? 'none');
      return { atPath: device === undefined ? undefined : await look(folder, path, options), known };
    }),
  );
  const isAsItWas = sought.every(
    ({ atPath, known }) => !known || (atPath && judgeDisk(known, atPath.facts) === 'unbroken'),
  );
  const others: MachineDisk[] = [];
  if (!isAsItWas) {
    const atPaths = new Set(sought.map(({ atPath }) => atPath?.name));
    for (const name of await wholeDiskNames(machine.sys)) {
      if (atPaths.has(name)) continue;
      const other = await look(join(machine.sys, 'block', name), `/dev/${name}`, options);
      if (other) others.push(other);
    }
  }
  const byName = new Map(
    [...others, ...sought.flatMap(({ atPath }) => atPath ?? [])].map((disk) => [disk.name, disk]),
  );
  return placeDisks(sought, others).map((placed, index) => {
    if (!placed) return undefined;
    const { path, deviceNumber } = byName.get(placed.found.name)!;
    return { ...placed, path: placed.isElsewhere ? path : assigned[index]!.path, deviceNumber };
  });
}

/** Undefined: there is nothing, or a device without a medium. */
async function look(
  link: string,
  path: string,
  { bootId, clock }: FindDisksOptions,
): Promise<MachineDisk | undefined> {
  let folder: string;
  try {
    folder = await realpath(link);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ENODEV')) return undefined;
    throw error;
  }
  const sizeBytes = sizeOf(folder);
  const device = textNow(join(folder, 'dev'));
  if (sizeBytes === 0 || device === undefined) return undefined;
  const [major, minor] = device.split(':').map(Number);
  const content = await firstBytes(path, clock);
  const facts: DiskFacts = await diskFacts(folder, bootId, sizeBytes, content);
  return { name: basename(folder), facts, path, deviceNumber: kernelDeviceNumber(major!, minor!) };
}

async function firstBytes(path: string, clock: Clock): Promise<Buffer | undefined> {
  try {
    return await inTime(path, clock, async () => {
      await using device = await openDevice(path, 'read');
      return await identityContent(device);
    });
  } catch {
    // As `identityContent`: whoever opens it next says what is wrong with it.
    return undefined;
  }
}

/**
 * Whether a disk that was opened is still what it was: undefined, or what is to be told. Synchronous, and of sysfs alone.
 * A loop device that somebody asked to be detached stays for as long as it is open here: it is given up.
 */
export function lookAt(
  disk: { readonly deviceNumber: number; readonly facts: DiskFacts },
  isGivingUp: boolean,
  sys = '/sys',
): Pick<CaptureLoss, 'cause' | 'detail'> | undefined {
  const { deviceNumber, facts } = disk;
  const folder = join(sys, 'dev/block', `${deviceNumber >>> 20}:${deviceNumber & 0xf_ffff}`);
  const attachment = attachmentNow(folder);
  const sizeBytes = sizeOf(folder);
  if (attachment === undefined || sizeBytes === 0)
    return { cause: 'DiskReturned', detail: 'the kernel has no such disk any more' };
  if (attachment !== facts.attachment)
    return {
      cause: 'DiskReplaced',
      detail: `its attachment was ${facts.attachment} and is ${attachment}: it was detached, and this or another disk took its place`,
    };
  if (!isGivingUp && willDetach(folder))
    return { cause: 'DiskReturned', detail: 'it is to be detached as soon as nobody has it open' };
  if (sizeBytes !== facts.sizeBytes)
    return { cause: 'DiskResized', detail: `it had ${facts.sizeBytes} bytes and has ${sizeBytes}` };
  return undefined;
}

/** A loop device that goes when it is closed for the last time. */
export function isDetaching(deviceNumber: number, sys = '/sys'): boolean {
  return willDetach(join(sys, 'dev/block', `${deviceNumber >>> 20}:${deviceNumber & 0xf_ffff}`));
}

/** What the machine has now, cheaply: another text than before means that a disk came, went or changed. */
export async function fingerprint(paths: readonly string[], machine: Machine = thisMachine): Promise<string> {
  const lines: string[] = [];
  for (const name of await wholeDiskNames(machine.sys)) {
    const folder = join(machine.sys, 'block', name);
    const sizeBytes = sizeOf(folder);
    if (sizeBytes > 0) lines.push(`${name} ${attachmentNow(folder)} ${sizeBytes}`);
  }
  for (const path of paths) lines.push(`${path} ${await machine.deviceOf(path)}`);
  return lines.join('\n');
}

const willDetach = (folder: string): boolean => textNow(join(folder, 'loop/autoclear')) === '1';

/** 0: gone, or no medium. */
const sizeOf = (folder: string): number => Number(textNow(join(folder, 'size')) ?? 0) * 512;

function textNow(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EINVAL')) return undefined;
    throw error;
  }
}
