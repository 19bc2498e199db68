/**
 * What a machine is, whatever it is called, in one line of text; and whether two of them are one machine. Pure: the mobility
 * service makes the text (`mobility-service/control/machine-identity.ts`), the configuration server and the process server
 * compare. docs/decisions/copies-of-machines.md says which situation comes to which verdict, and why.
 *
 *     leeward-machine/1 instance=<16 hex> product=… serial=… nics=…,… disks=…,… system=…
 *
 * Every value but the instance is a digest of 12 hexadecimal digits: serial numbers are not spread over logs and servers, and
 * the line fits the hello. A field that the machine cannot tell is left out.
 *
 * - `instance`: one run of one kernel. Two machines that live at the same time have different ones, also when one is a copy of
 *   the other's disks.
 * - `product`, `serial`: UUID and serial number of the board, from the firmware. `nics`: permanent addresses of network cards.
 *   `disks`: world-wide names and serial numbers. These belong to the (virtual) hardware and not to what is on its disks.
 * - `system`: /etc/machine-id. It is on the disk, so every copy has it: it says nothing while there is anything else.
 */

export interface MachineIdentity {
  readonly instance?: string | undefined;
  readonly product?: string | undefined;
  readonly serial?: string | undefined;
  readonly nics: readonly string[];
  readonly disks: readonly string[];
  readonly system?: string | undefined;
}

/**
 * How many of board, network cards and disks agree, of those that both sides know: all, more than half, half, less. `unknown`:
 * both know none of them.
 */
export type Likeness = 'all' | 'most' | 'half' | 'unknown' | 'other';

/** As the hello has it. Fixed parts take 84, board and system 39; 12 cards and 16 disks of 13 each 364. */
export const machineIdentityLengthMax = 512;
const nicsMax = 12;
const disksMax = 16;
const format = 'leeward-machine/1';

export function renderMachineIdentity(identity: MachineIdentity): string {
  const { instance, product, serial, nics, disks, system } = identity;
  // The lowest of many: one that comes or goes changes one place, as the rest would.
  const lowest = (digests: readonly string[], count: number) =>
    [...new Set(digests)].sort().slice(0, count).join(',') || undefined;
  const fields = {
    instance,
    product,
    serial,
    nics: lowest(nics, nicsMax),
    disks: lowest(disks, disksMax),
    system,
  };
  return [
    format,
    ...Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
  ].join(' ');
}

/** Undefined: it is of a version that is not known here, and says nothing. */
export function parseMachineIdentity(text: string | undefined): MachineIdentity | undefined {
  const [head, ...words] = (text ?? '').split(' ');
  if (head !== format) return undefined;
  const fields = new Map(
    words.map((word) => {
      const at = word.indexOf('=');
      return [word.slice(0, at), word.slice(at + 1)] as const;
    }),
  );
  const list = (name: string) => (fields.get(name) ?? '').split(',').filter((digest) => digest !== '');
  return {
    instance: fields.get('instance'),
    product: fields.get('product'),
    serial: fields.get('serial'),
    nics: list('nics'),
    disks: list('disks'),
    system: fields.get('system'),
  };
}

/** Without the run: what stays over a reboot. */
export function lastingIdentity(text: string): string {
  const identity = parseMachineIdentity(text);
  return identity === undefined ? text : renderMachineIdentity({ ...identity, instance: undefined });
}

/**
 * Board, network cards and disks have a voice each, where both sides know them. One card replaced, or a UUID that an
 * administrator changed, leaves most of them; a copy in other (virtual) hardware has at most one in common with its original.
 * What each likeness is worth is for whoever asks: the configuration server has tickets besides.
 */
export function compareMachines(known: MachineIdentity, other: MachineIdentity): Likeness {
  const voices = [
    boardVoice(known, other),
    setVoice(known.nics, other.nics),
    setVoice(known.disks, other.disks),
  ].filter((voice) => voice !== undefined);
  if (voices.length === 0) {
    const isTold = known.system !== undefined && other.system !== undefined;
    return isTold && known.system !== other.system ? 'other' : 'unknown';
  }
  const agreeing = voices.filter((voice) => voice).length;
  if (agreeing === voices.length) return 'all';
  if (2 * agreeing > voices.length) return 'most';
  return 2 * agreeing === voices.length ? 'half' : 'other';
}

/** The UUID first: some clouds give the serial number of the host to each of its machines. */
function boardVoice(known: MachineIdentity, other: MachineIdentity): boolean | undefined {
  if (known.product !== undefined && other.product !== undefined) return known.product === other.product;
  if (known.serial !== undefined && other.serial !== undefined) return known.serial === other.serial;
  return undefined;
}

/** More than half of the shorter list: disks that were added do not count against it, and one disk shared with another
 * machine of a cluster does not count for it. */
function setVoice(known: readonly string[], other: readonly string[]): boolean | undefined {
  if (known.length === 0 || other.length === 0) return undefined;
  const common = known.filter((digest) => other.includes(digest)).length;
  return 2 * common > Math.min(known.length, other.length);
}
