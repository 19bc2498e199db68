/**
 * What a disk is, wherever it is attached: facts that the kernel, the device and its content tell, their text as it stands in
 * files and hellos, and the judgement whether two sets of facts are of one disk. Pure: `capture/disk-identity.ts` gathers
 * the facts, the process server compares texts that a sender told it.
 *
 *     disk/1 boot=3f0c… at=seq:41 wwid=naa.5000… serial=S3Z9 table=gpt:9d1e… fs=ext4:77ab… size=68719476736
 *
 * Which facts decide, and why in this order:
 *
 * 1. *The attachment*, within one boot. The kernel counts every attachment of a device or medium (`diskseq`, since 5.15), and
 *    never uses a number twice. The same number: the same device without a gap, so that nothing was written to it
 *    elsewhere. Another number: it was away, or is another one, whatever else is alike. Before 5.15 the number of its folder
 *    in sysfs stands in for it, which old kernels may use again: there everything else must agree, too.
 * 2. *The world-wide name, then the serial number*: of the device, whatever its owner writes to it. A clone of a virtual machine, or
 *    two virtual disks without a serial of their own, may have equal ones.
 * 3. *Partition table and file system ids*: of the content. Its owner may change them, and a copy has the same ones.
 *
 * Only the first can say that nothing was missed. The others say which disk it is; that one is compared all the same.
 */

export interface DiskFacts {
  /** The boot in which `attachment` counts. */
  readonly bootId: string;
  /** `seq:41`, or `sysfs:811/812` on kernels that do not count. */
  readonly attachment?: string | undefined;
  readonly wwid?: string | undefined;
  readonly serial?: string | undefined;
  /** `gpt:<GUID>`, `mbr:<signature>` */
  readonly table?: string | undefined;
  /** Of a file system (or volume) that has the whole disk: `ext4:<UUID>`. */
  readonly fileSystem?: string | undefined;
  readonly sizeBytes: number;
}

/**
 * `unbroken`: the same disk, attached all the time: maps of its changes hold. `same`: the same disk, which was away (or the
 * machine was started anew): compare it. `different`: another disk. `unknown`: nothing tells: treat it as another one.
 */
export type DiskJudgement = 'unbroken' | 'same' | 'different' | 'unknown';

export function judgeDisk(before: DiskFacts, now: DiskFacts): DiskJudgement {
  if (
    before.bootId === now.bootId &&
    before.attachment !== undefined &&
    before.attachment === now.attachment
  ) {
    if (before.attachment.startsWith('seq:')) return 'unbroken';
    // Numbers in sysfs may be used again: one thing that is known must be alike, and nothing may differ.
    if (agree(before, now, ['wwid', 'serial', 'table', 'fileSystem']) === 'alike') return 'unbroken';
  }
  const device = agree(before, now, ['wwid', 'serial']);
  if (device !== 'unknown') return device === 'alike' ? 'same' : 'different';
  const content = agree(before, now, ['table', 'fileSystem']);
  // A content that moved to a larger disk may be a copy, and one that is new may be its owner's work.
  if (content === 'alike') return before.sizeBytes === now.sizeBytes ? 'same' : 'unknown';
  return content === 'differs' ? 'different' : 'unknown';
}

/** `differs` as soon as one fact that both have differs. A fact that only one has says nothing. */
function agree(
  before: DiskFacts,
  now: DiskFacts,
  names: readonly ('wwid' | 'serial' | 'table' | 'fileSystem')[],
): 'alike' | 'differs' | 'unknown' {
  let isAlike = false;
  for (const name of names) {
    if (before[name] === undefined || now[name] === undefined) continue;
    if (before[name] !== now[name]) return 'differs';
    isAlike = true;
  }
  return isAlike ? 'alike' : 'unknown';
}

/** How alike two disks are that are both `same`: which of several candidates it is. */
export function likeness(before: DiskFacts, now: DiskFacts): number {
  const points = { wwid: 8, serial: 4, table: 2, fileSystem: 1 } as const;
  let sum = 0;
  for (const name of ['wwid', 'serial', 'table', 'fileSystem'] as const)
    if (before[name] !== undefined && before[name] === now[name]) sum += points[name];
  return sum;
}

const version = 'disk/1';
const names = {
  boot: 'bootId',
  at: 'attachment',
  wwid: 'wwid',
  serial: 'serial',
  table: 'table',
  fs: 'fileSystem',
} as const;
/** Six of them and the size stay under the 512 characters that a hello has for it. */
const valueLengthMax = 72;

export function identityText(facts: DiskFacts): string {
  const parts: string[] = [version];
  for (const [short, name] of Object.entries(names)) {
    const value = facts[name];
    if (value !== undefined && value !== '') parts.push(`${short}=${cleaned(value)}`);
  }
  parts.push(`size=${facts.sizeBytes}`);
  return parts.join(' ');
}

/** Undefined: it is of another version, or no identity at all. */
export function parseIdentity(text: string): DiskFacts | undefined {
  const [first, ...parts] = text.split(' ');
  if (first !== version) return undefined;
  const found = new Map(
    parts.map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]),
  );
  const sizeBytes = Number(found.get('size'));
  const bootId = found.get('boot');
  if (bootId === undefined || !Number.isSafeInteger(sizeBytes)) return undefined;
  return {
    bootId,
    attachment: found.get('at'),
    wwid: found.get('wwid'),
    serial: found.get('serial'),
    table: found.get('table'),
    fileSystem: found.get('fs'),
    sizeBytes,
  };
}

/** For people: what distinguishes it, without the boot. */
export function describeIdentity(facts: DiskFacts): string {
  const said = [
    facts.wwid && `WWID ${facts.wwid}`,
    facts.serial && `serial ${facts.serial}`,
    facts.table && `partition table ${facts.table}`,
    facts.fileSystem && `file system ${facts.fileSystem}`,
    facts.attachment && `attachment ${facts.attachment}`,
  ].filter(Boolean);
  return `${said.length > 0 ? said.join(', ') : 'nothing to know it by'}, ${facts.sizeBytes} bytes`;
}

/** Makers put blanks and worse into names; long names end in what makes them unlike others. */
function cleaned(value: string): string {
  const text = value.trim().replaceAll(/[^!-~]+/g, '_');
  if (text.length <= valueLengthMax) return text;
  return `${text.slice(0, 20)}~${text.slice(-(valueLengthMax - 21))}`;
}
