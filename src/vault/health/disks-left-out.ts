/**
 * Which disks of a machine are not protected although it cannot do without them, or although nobody chose to leave them out: said
 * when protection is enabled, and as a condition for as long as it is so. Pure; from what the site reports of the machine.
 */
import type { ReportedDisk } from '../../protocol/control/site-link.ts';

/** A loop device in a file on a disk of the machine comes along with that disk. */
const codesOfCovered = ['BackedByOwnDisk'];

export interface DiskLeftOut {
  readonly path: string;
  /** Undefined: it could be protected. */
  readonly reason: string | undefined;
}

export const disksLeftOut = (
  reported: readonly ReportedDisk[],
  protectedPaths: readonly string[],
): DiskLeftOut[] =>
  reported
    .filter(
      ({ path, readinessErrors }) =>
        !protectedPaths.includes(path) && !readinessErrors.some(({ code }) => codesOfCovered.includes(code)),
    )
    .map(({ path, readinessErrors }) => ({ path, reason: readinessErrors[0]?.summary }));

export interface SharedDisk {
  /** What is not whole without it: a volume group, a RAID, a file system. */
  readonly through: string;
  readonly path: string;
}

/** Disks that are not protected and hold a part of something that protected ones hold the rest of. */
export function disksSharedWithOthers(
  reported: readonly ReportedDisk[],
  protectedPaths: readonly string[],
): SharedDisk[] {
  const found = new Map<string, SharedDisk>();
  for (const disk of reported) {
    if (!protectedPaths.includes(disk.path)) continue;
    for (const { through, disks } of disk.stacks ?? [])
      for (const path of disks)
        if (!protectedPaths.includes(path)) found.set(`${through} ${path}`, { through, path });
  }
  return [...found.values()];
}
