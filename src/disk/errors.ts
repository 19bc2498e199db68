/** What can go wrong between us and a disk. */
import { catalogue } from '../platform/errors.ts';

export const diskErrors = catalogue({
  DiskUnknown: (path: string, cause?: unknown) => ({
    summary: `there is no disk at ${path}`,
    possibleCauses: 'The path is misspelt, or the disk was removed or has another name since the last boot.',
    recommendedAction:
      'Look at `lsblk` and name the disk by a path under /dev/disk/by-id, which does not change.',
    context: { path },
    cause,
  }),
  DiskForbidden: (path: string, cause?: unknown) => ({
    summary: `${path} may not be opened`,
    possibleCauses: 'The process does not run as root, or the disk is read-only.',
    recommendedAction:
      'Run as root; look with `lsblk` and `blockdev --getro` whether the disk may be written.',
    context: { path },
    cause,
  }),
  DiskInUse: (path: string, users: readonly string[], cause?: unknown) => ({
    summary: `${path} is not written to, because it is in use${users.length === 0 ? '' : ` by ${users.join(', ')}`}`,
    possibleCauses: 'It is mounted, it is swap, or LVM, RAID, multipath or another program has it.',
    recommendedAction:
      'Make sure that it is the disk that was meant; then unmount it (`lsblk` shows where) and try again. Nothing was written.',
    context: { path, users: users.join(' ') },
    cause,
  }),
  DiskNotUsable: (path: string, what: string) => ({
    summary: `${path} is neither a block device nor a regular file, but ${what}`,
    possibleCauses: 'The path names something else than was meant.',
    recommendedAction: 'Name a disk, e.g. /dev/sda or a path under /dev/disk/by-id.',
    context: { path },
  }),
  DiskReadFailed: (path: string, offsetBytes: number, lengthBytes: number, cause?: unknown) => ({
    summary: `${lengthBytes} bytes at ${offsetBytes} of ${path} cannot be read`,
    possibleCauses: 'The disk has a bad sector, lost its connection, or shrank.',
    recommendedAction: 'Look at the kernel log (`dmesg`) and mend or replace the disk.',
    retry: 'transient' as const,
    context: { path, offsetBytes, lengthBytes },
    cause,
  }),
  DiskWriteFailed: (path: string, offsetBytes: number, lengthBytes: number, cause?: unknown) => ({
    summary: `${lengthBytes} bytes at ${offsetBytes} of ${path} cannot be written`,
    possibleCauses: 'The disk is full or read-only, has a bad sector, or lost its connection.',
    recommendedAction: 'Free space or look at the kernel log (`dmesg`), and mend or replace the disk.',
    retry: 'transient' as const,
    context: { path, offsetBytes, lengthBytes },
    cause,
  }),
});
