/**
 * What this machine is: board, network cards, disks and this run of its kernel, as `model/machine-identity.ts` compares them.
 * A configuration server and a process server see by it that a machine is a copy of another one that has its certificate.
 *
 *     /sys/class/dmi, /sys/class/net, /sys/block, /etc/machine-id ─┐
 *     boot id, <runtime>/instance ─────────────────────────────────┴▶ one line of digests
 *
 * A leaf adapter: what is missing or cannot be read says nothing; it keeps nobody from replicating. All paths lie below a
 * root, so that tests give two services on one host two machines.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { renderMachineIdentity } from '../../model/machine-identity.ts';
import { hasCode } from '../../platform/errors.ts';
import { type Files, readWhole, writeDurably } from '../../platform/files.ts';
import type { Random } from '../../platform/random.ts';

export interface IdentityParts {
  /** `/` of the machine. */
  readonly root: string;
  /** On tmpfs: what is there is of this run of the kernel. */
  readonly runtime: string;
  readonly files: Files;
  readonly random: Random;
}

/** What QEMU gives to the first, second … card of every machine that nobody chose an address for. */
const everybodysCard = /^52:54:00:12:34:5\d$/;
const instanceBytesMax = 200;

/**
 * What makers write where there is no number, or write into every machine. Compared in lower case without punctuation.
 * The UUID is one that boards without their own have.
 */
const noNumber =
  /^(0*|f*|none|na|unknown|default ?string|not ?(specified|available|applicable|set|settable)|system ?(product ?name|serial ?number)|to ?be ?filled ?by ?oem|1234567890?|0123456789|03000200040005000006000700080009)$/;
/** Serial numbers that a hypervisor gives to the first, second … disk of every machine. */
const everybodysDisk =
  /qemu.*(qm0000\d|drive-)|^vmware nvme[_ ]0000$|^nvme\.15ad-.*4e564d455f30303030|^(qm|drive-)?0*\d?$/i;

export async function readMachineIdentity(parts: IdentityParts): Promise<string> {
  const { root } = parts;
  const dmi = join(root, 'sys/class/dmi/id');
  const number = async (path: string) => digestOf(meaningful(await textOf(path)));
  return renderMachineIdentity({
    instance: await instanceOf(parts),
    product: await number(join(dmi, 'product_uuid')),
    serial: await number(join(dmi, 'product_serial')),
    nics: await cards(join(root, 'sys/class/net')),
    disks: await disks(join(root, 'sys/block')),
    system: await number(join(root, 'etc/machine-id')),
  });
}

/** The boot id, and a number made for it: two machines that have one kernel (containers, tests) differ in the second. */
async function instanceOf({ root, runtime, files, random }: IdentityParts): Promise<string> {
  const bootId = (await textOf(join(root, 'proc/sys/kernel/random/boot_id'))) ?? 'unknown';
  const path = join(runtime, 'instance');
  const [before, number] = ((await readWhole(files, path, instanceBytesMax))?.toString().trim() ?? '').split(
    ' ',
  );
  // Of another boot: the folder does not lie on tmpfs.
  if (before === bootId && number) return shorten(`${bootId} ${number}`, 16);
  const fresh = `${bootId} ${random.bytes(8).toString('hex')}`;
  await files.makeFolder(runtime);
  await writeDurably(files, path, Buffer.from(`${fresh}\n`));
  return shorten(fresh, 16);
}

/** Cards with a device behind them and an address of their own; bridges, bonds and tunnels come and go. */
async function cards(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await namesIn(folder)) {
    const at = join(folder, name);
    // 0: permanent. 1 to 3: chosen by the kernel, taken from another card, set by somebody.
    if (!(await isThere(join(at, 'device'))) || ((await textOf(join(at, 'addr_assign_type'))) ?? '0') !== '0')
      continue;
    const address = meaningful(await textOf(join(at, 'address')));
    if (address !== undefined && !everybodysCard.test(address)) found.push(digestOf(address)!);
  }
  return found;
}

async function disks(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await namesIn(folder)) {
    const at = join(folder, name);
    if (/^(ram|zram|sr|fd|loop|dm-|md)/.test(name) || (await textOf(join(at, 'removable'))) === '1') continue;
    for (const place of ['wwid', 'device/wwid', 'serial', 'device/serial']) {
      const text = meaningful(await textOf(join(at, place)));
      if (text === undefined || everybodysDisk.test(text.replace(/\s+/g, ' '))) continue;
      found.push(digestOf(text)!);
      break;
    }
  }
  return found;
}

function meaningful(text: string | undefined): string | undefined {
  return text === undefined || noNumber.test(text.toLowerCase().replace(/[^a-z0-9 ]/g, ''))
    ? undefined
    : text;
}

/** In lower case: some kernels write a UUID in upper case. */
function digestOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : shorten(text.toLowerCase(), 12);
}

function shorten(text: string, digits: number): string {
  return createHash('sha256').update(`leeward-machine ${text}`).digest('hex').slice(0, digits);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (isSilence(error)) return [];
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isSilence(error)) return false;
    throw error;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim() || undefined;
  } catch (error) {
    if (isSilence(error)) return undefined;
    throw error;
  }
}

function isSilence(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EINVAL', 'EACCES', 'EPERM', 'EIO', 'EISDIR');
}
