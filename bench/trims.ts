/**
 * Trims: an ext4 with 256 MiB of files of which every other one goes, then `fstrim` of all that is free. How long until a recovery
 * point has it, how much of what was trimmed travels and is written at the vault, and how large the daemons were. What was
 * trimmed is read back (docs/decisions/trims-are-read-back.md), so the time is that of reading it.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TwoSites } from '../test/support/two-sites.ts';
import { sha256Of, shell } from './measure.ts';
import { figures, isExact, peaks, settled } from './ours.ts';
import type { Row } from './report.ts';

export const trimPlan = (gibibytes: number) => ({
  work: `fstrim of ${gibibytes} GiB, until the next recovery point`,
  unit: 's',
  higherIsBetter: false,
});

/** @param device sparse, past the page cache of the file under it, and `image` is that file */
export async function trimRow(
  site: TwoSites,
  folder: string,
  { device, image }: { readonly device: string; readonly image: string },
): Promise<Partial<Row>> {
  const at = join(folder, 'trimmed');
  mkdirSync(at);
  await shell(
    `mkfs.ext4 -q -F -m 0 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 ${device}; mount ${device} ${at};
     for i in $(seq 128); do head -c 2M /dev/urandom > ${at}/$i; done; sync -f ${at}`,
  );
  try {
    const machine = await site.protect('trims', [device], { crashConsistentSeconds: 1 });
    await machine.pointAfter(0, 900);
    await shell(`rm ${at}/*[02468]; sync -f ${at}`);
    await machine.pointAfter(Date.now(), 300);
    await settled(site, machine);
    const before = await figures(site);
    const writtenBefore = writtenBytesOf(site.vault.pid!);
    const began = Date.now();
    const said = await shell(`fstrim -v ${at}`);
    const trimmedBytes = Number(/\((\d+) bytes\)/.exec(said)?.[1]);
    const ended = Date.now();
    await machine.pointAfter(ended, 1800);
    const seconds = (Date.now() - began) / 1000;
    const after = await figures(site);
    const writtenBytes = writtenBytesOf(site.vault.pid!) - writtenBefore;
    await shell(`umount ${at}; sync ${device}`);
    const point = await machine.pointAfter(Date.now(), 300);
    const verified = await isExact(machine, point, await sha256Of(image));
    const hasCompared = machine.walks().some((walk) => walk.startsWith('resync'));
    const share = (bytes: number) => `${((100 * bytes) / trimmedBytes).toFixed(4)} %`;
    const note = `${(trimmedBytes / 1e9).toFixed(1)} GB trimmed in ${((ended - began) / 1000).toFixed(1)} s; ${share(after.received - before.received)} of it travelled to the process server, ${share(after.sent - before.sent)} to the vault, which wrote ${(writtenBytes / 1e6).toFixed(1)} MB; ${hasCompared ? 'THE DISK WAS COMPARED ANEW' : 'nothing was compared'}; peak ${peaks(site, machine)}`;
    await machine.service.kill('SIGTERM');
    return { ours: seconds, verified: verified && !hasCompared, note };
  } finally {
    await shell(`! mountpoint -q ${at} || umount ${at}`);
  }
}

/** That the process has sent to disks, its threads together. */
function writtenBytesOf(pid: number): number {
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? 0);
}
