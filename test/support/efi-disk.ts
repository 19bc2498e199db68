/**
 * A disk as installers of EFI machines make it: a GPT with one EFI system partition (FAT). What boots from it is the tiny
 * guest: its kernel is an EFI program, and the firmware's shell starts it with its initrd by `startup.nsh`. No boot loader,
 * so that it is the firmware, the table and the partition that are tried.
 */
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../src/platform/exec.ts';
import type { TinyGuest } from './guest.ts';

const MiB = 1 << 20;
const limit = { timeoutMilliseconds: 60_000 };

/** @param folder where the disk and what it is made from are put; the caller removes it */
export async function makeEfiDisk(folder: string, guest: TinyGuest): Promise<string> {
  const contentBytes = (await stat(guest.kernel)).size + (await stat(guest.initrd)).size;
  // FAT's own tables, and clusters that are not full.
  const partMebibytes = Math.ceil(contentBytes / MiB) + 40;
  const part = join(folder, 'esp.img');
  await writeFile(part, '');
  await run('truncate', ['-s', `${partMebibytes}M`, part], limit);
  await run('mkfs.vfat', ['-F', '32', '-n', 'EFI', part], limit);
  const startup = join(folder, 'startup.nsh');
  await writeFile(startup, `fs0:\r\ntiny.efi initrd=\\initrd ${guest.commandLine}\r\n`);
  // By mtools: not every kernel has FAT, and nothing has to be mounted.
  for (const [from, name] of [
    [guest.kernel, 'tiny.efi'],
    [guest.initrd, 'initrd'],
    [startup, 'startup.nsh'],
  ] as const)
    await run('mcopy', ['-i', part, from, `::${name}`], limit);
  const disk = join(folder, 'efi.raw');
  await writeFile(disk, '');
  await run('truncate', ['-s', `${partMebibytes + 2}M`, disk], limit);
  await run('sfdisk', ['--quiet', disk], {
    ...limit,
    input: `label: gpt\nstart=1MiB, size=${partMebibytes}MiB, type=uefi\n`,
  });
  await using file = await open(disk, 'r+');
  await file.write(await readFile(part), 0, undefined, MiB);
  return disk;
}
