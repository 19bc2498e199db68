/**
 * What a machine would say of itself, as files below a folder: `--machine-root` gives two services on one host two machines.
 * The files lie as the kernel and the system have them.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface MachineFacts {
  readonly product?: string;
  readonly serial?: string;
  /** Permanent addresses. */
  readonly nics?: readonly string[];
  /** As SCSI disks with a world-wide name. */
  readonly wwids?: readonly string[];
  /** As virtio disks with a serial number. */
  readonly serials?: readonly string[];
  readonly systemId?: string;
  readonly bootId?: string;
}

/** What was there before is gone. */
export async function writeMachineFacts(root: string, facts: MachineFacts): Promise<void> {
  await rm(root, { recursive: true, force: true });
  const write = async (path: string, text: string | undefined) => {
    if (text === undefined) return;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${text}\n`);
  };
  await write('sys/class/dmi/id/product_uuid', facts.product);
  await write('sys/class/dmi/id/product_serial', facts.serial);
  for (const [index, address] of (facts.nics ?? []).entries()) {
    await write(`sys/class/net/eth${index}/address`, address);
    await write(`sys/class/net/eth${index}/addr_assign_type`, '0');
    await write(`sys/class/net/eth${index}/device/vendor`, '0x15ad');
  }
  for (const [index, wwid] of (facts.wwids ?? []).entries())
    await write(`sys/block/sd${letter(index)}/device/wwid`, wwid);
  for (const [index, serial] of (facts.serials ?? []).entries())
    await write(`sys/block/vd${letter(index)}/serial`, serial);
  await write('etc/machine-id', facts.systemId);
  await write('proc/sys/kernel/random/boot_id', facts.bootId);
}

const letter = (index: number): string => String.fromCharCode(97 + index);
