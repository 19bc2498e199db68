/**
 * Facts by which a disk is known again (`model/disk-identity.ts`), from sysfs and from its first sectors; and which disk of the
 * machine is which disk of the assignment.
 *
 * A leaf adapter as `inspect.ts`: sysfs is read with `node:fs`. The content is read through the caller's disk, so that a
 * disk that does not answer has a limit; whatever cannot be read is a fact that is not known.
 */
import { readFileSync, statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Disk } from '../../disk/disk.ts';
import { type DiskFacts, judgeDisk, likeness } from '../../model/disk-identity.ts';
import { hasCode } from '../../platform/errors.ts';

/** What the content's ids are read from: GPT of 512-byte and of 4096-byte sectors, and the superblocks of common file systems. */
export const identityBytes = 128 << 10;

const gone = ['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EINVAL', 'EIO', 'EACCES'];

/** `folder`: of the disk in sysfs, `/sys/block/sda`. */
export async function diskFacts(
  folder: string,
  bootId: string,
  sizeBytes: number,
  content: Uint8Array | undefined,
): Promise<DiskFacts> {
  const first = async (...files: string[]): Promise<string | undefined> => {
    for (const file of files) {
      const text = await textOf(join(folder, file));
      if (text !== undefined && text !== '') return text;
    }
    return undefined;
  };
  return {
    bootId,
    attachment: attachmentNow(folder),
    wwid: await first('wwid', 'device/wwid'),
    serial: (await first('serial', 'device/serial')) ?? (await pageSerial(folder)),
    table: content && tableId(Buffer.from(content.buffer, content.byteOffset, content.byteLength)),
    fileSystem: content && fileSystemId(Buffer.from(content.buffer, content.byteOffset, content.byteLength)),
    sizeBytes,
  };
}

/** Synchronous, and of sysfs alone: it is asked at each barrier, under a freeze, too. Undefined: there is no such disk. */
export function attachmentNow(folder: string): string | undefined {
  try {
    const sequence = readFileSync(join(folder, 'diskseq'), 'utf8').trim();
    if (sequence !== '') return `seq:${sequence}`;
  } catch (error) {
    if (!hasCode(error, ...gone)) throw error;
  }
  try {
    // A loop device keeps its folder; the one of its backing is made anew each time.
    return `sysfs:${[folder, join(folder, 'loop')].map(inodeOf).join('/')}`;
  } catch (error) {
    if (!hasCode(error, ...gone)) throw error;
    return undefined;
  }
}

function inodeOf(path: string): number {
  try {
    return statSync(path).ino;
  } catch (error) {
    if (path.endsWith('/loop') && hasCode(error, ...gone)) return 0;
    throw error;
  }
}

/** Page 0x80 of a SCSI disk: four bytes of header, then the unit's serial number. */
async function pageSerial(folder: string): Promise<string | undefined> {
  try {
    const page = await readFile(join(folder, 'device/vpd_pg80'));
    const text = page.subarray(4).toString('latin1').replaceAll('\0', '').trim();
    return text === '' ? undefined : text;
  } catch (error) {
    if (hasCode(error, ...gone)) return undefined;
    throw error;
  }
}

/** Of a GPT, or of a table of the old kind that has a signature. */
export function tableId(content: Buffer): string | undefined {
  if (content.byteLength < 512 || content.readUInt16LE(510) !== 0xaa55) return undefined;
  // Without an entry of that type in the first sector, a GPT is what an earlier owner left.
  const isProtective = [0, 1, 2, 3].some((entry) => content[446 + 16 * entry + 4] === 0xee);
  for (const at of isProtective ? [512, 4096] : [])
    if (content.byteLength >= at + 72 && content.toString('latin1', at, at + 8) === 'EFI PART')
      return `gpt:${guid(content.subarray(at + 56, at + 72))}`;
  const signature = content.readUInt32LE(440);
  return signature === 0 ? undefined : `mbr:${signature.toString(16).padStart(8, '0')}`;
}

/** Of a file system, a physical volume or an encrypted volume that begins where the disk begins. */
export function fileSystemId(content: Buffer): string | undefined {
  const has = (offset: number, text: string): boolean =>
    content.byteLength >= offset + text.length &&
    content.toString('latin1', offset, offset + text.length) === text;
  const uuid = (offset: number): string => bigEndianUuid(content.subarray(offset, offset + 16));
  if (content.byteLength >= 2048 && content.readUInt16LE(1024 + 56) === 0xef53)
    return `ext:${uuid(1024 + 104)}`;
  if (has(0, 'XFSB')) return `xfs:${uuid(32)}`;
  if (has(65_536 + 64, '_BHRfS_M')) return `btrfs:${uuid(65_536 + 32)}`;
  if (has(0, 'LUKS')) return `luks:${content.toString('latin1', 168, 208).replaceAll('\0', '')}`;
  for (const sector of [0, 512, 1024, 1536])
    if (has(sector, 'LABELONE')) return `lvm:${content.toString('latin1', sector + 32, sector + 64)}`;
  if (has(4086, 'SWAPSPACE2')) return `swap:${uuid(1024 + 12)}`;
  return undefined;
}

/** The first three groups of a GUID are little-endian. */
function guid(bytes: Buffer): string {
  const turned = Buffer.from(bytes);
  turned.subarray(0, 4).reverse();
  turned.subarray(4, 6).reverse();
  turned.subarray(6, 8).reverse();
  return bigEndianUuid(turned);
}

function bigEndianUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Reads what the ids are in. Undefined: the disk did not give it. */
export async function identityContent(disk: Disk): Promise<Buffer | undefined> {
  const content = Buffer.alloc(Math.min(identityBytes, disk.sizeBytes));
  try {
    await disk.read(content, 0);
    return content;
  } catch {
    // What is wrong with the disk is told by whoever reads it next; here it only means that these facts are not known.
    return undefined;
  }
}

/** Names of all block devices that are no partitions, and not put together from others: those have the same content. */
export async function wholeDiskNames(sys = '/sys'): Promise<string[]> {
  try {
    return (await readdir(join(sys, 'block')))
      .filter((name) => !/^((ram|zram|sr|fd|md)\d|dm-|nvme\d+c)/.test(name))
      .sort();
  } catch (error) {
    if (hasCode(error, ...gone)) return [];
    throw error;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (hasCode(error, ...gone)) return undefined;
    throw error;
  }
}

/** A disk of the machine. */
export interface FoundDisk {
  /** The kernel's name: two paths may lead to one disk. */
  readonly name: string;
  readonly facts: DiskFacts;
}

export interface SoughtDisk {
  /** The disk that the path of the assignment leads to now. */
  readonly atPath: FoundDisk | undefined;
  /** What the disk was when it was seen last; undefined: never. */
  readonly known: DiskFacts | undefined;
}

export interface PlacedDisk {
  readonly found: FoundDisk;
  /** `new`: seen for the first time. The others as `judgeDisk`; `unknown` and `different`: another disk is where it was. */
  readonly judgement: 'new' | ReturnType<typeof judgeDisk>;
  /** It is not where its path leads. */
  readonly isElsewhere: boolean;
}

const isSameDevice = (known: DiskFacts, facts: DiskFacts): boolean =>
  (known.wwid !== undefined && known.wwid === facts.wwid) ||
  (known.serial !== undefined && known.serial === facts.serial);

/**
 * Which disk is which: a disk that is known is followed to where it is; only what is not found anywhere is taken to have been
 * replaced by what is at its path. No disk of the machine is taken twice; undefined: it is gone.
 *
 * A disk that is known by its content alone may be a copy (a backup that somebody attached), so it is followed to another disk's place
 * in the assignment, and elsewhere only when nothing is at its own.
 *
 * The surest matches are made first: an unbroken attachment, then what is most alike, the one at its own path first. Of
 * two that are equally alike and not at the path, neither is taken: which one it is cannot be told.
 */
export function placeDisks(
  sought: readonly SoughtDisk[],
  others: readonly FoundDisk[],
): (PlacedDisk | undefined)[] {
  const placed: (PlacedDisk | undefined)[] = sought.map(() => undefined);
  const all = new Map<string, FoundDisk>();
  for (const { atPath } of sought) if (atPath) all.set(atPath.name, atPath);
  for (const other of others) if (!all.has(other.name)) all.set(other.name, other);
  const taken = new Set<string>();
  const take = (index: number, found: FoundDisk, judgement: PlacedDisk['judgement']): void => {
    taken.add(found.name);
    placed[index] = { found, judgement, isElsewhere: sought[index]!.atPath?.name !== found.name };
  };
  for (const [index, { known }] of sought.entries()) {
    if (!known) continue;
    const unbroken = [...all.values()].find(({ facts }) => judgeDisk(known, facts) === 'unbroken');
    if (unbroken && !taken.has(unbroken.name)) take(index, unbroken, 'unbroken');
  }
  const atPaths = new Set(sought.map(({ atPath }) => atPath?.name));
  const matches = sought.flatMap(({ known, atPath }, index) =>
    !known || placed[index]
      ? []
      : [...all.values()]
          .filter(
            (found) =>
              !taken.has(found.name) &&
              judgeDisk(known, found.facts) === 'same' &&
              (atPaths.has(found.name) || atPath === undefined || isSameDevice(known, found.facts)),
          )
          .map((found) => ({
            index,
            found,
            rank: 2 * likeness(known, found.facts) + (found.name === atPath?.name ? 1 : 0),
          })),
  );
  matches.sort((one, other) => other.rank - one.rank);
  for (const { index, found, rank } of matches) {
    if (placed[index] || taken.has(found.name)) continue;
    const isAmbiguous = matches.some(
      (other) =>
        other.rank === rank &&
        ((other.index === index && other.found !== found && !taken.has(other.found.name)) ||
          (other.index !== index && other.found === found && !placed[other.index])),
    );
    if (!isAmbiguous) take(index, found, 'same');
  }
  for (const [index, { known, atPath }] of sought.entries()) {
    if (placed[index] || !atPath || taken.has(atPath.name)) continue;
    take(index, atPath, known ? judgeDisk(known, atPath.facts) : 'new');
  }
  return placed;
}
