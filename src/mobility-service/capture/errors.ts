/** What keeps capture from protecting a disk; each with what a person can do. */
import { catalogue } from '../../platform/errors.ts';

export const captureErrors = catalogue({
  TraceFormatUnknown: (path: string, what: string) => ({
    summary: `the kernel describes its trace events in a form that is not understood: ${path}: ${what}`,
    possibleCauses: 'The kernel is older than 3.10 or newer than this version of Leeward.',
    recommendedAction:
      'Update Leeward; if it is up to date, report the file named above together with `uname -r`.',
    context: { path },
  }),
  TracefsMissing: (path: string, cause?: unknown) => ({
    summary: `the kernel's trace file system is not at ${path} and cannot be mounted there`,
    possibleCauses:
      'The kernel was built without tracing of block events, or the service does not run as root.',
    recommendedAction:
      'Run as root; check that `grep tracefs /proc/filesystems` finds it; use a distribution kernel. In a container there is nothing to protect: install on the machine itself.',
    context: { path },
    cause,
  }),
  BlockEventsMissing: (path: string) => ({
    summary: `the kernel has tracefs but no block events (${path})`,
    possibleCauses: 'It was built without CONFIG_BLK_DEV_IO_TRACE.',
    recommendedAction: 'Use a distribution kernel.',
    context: { path },
  }),
  KernelLockedDown: () => ({
    summary: 'the kernel is locked down at `confidentiality`, which closes its trace file system',
    possibleCauses: 'The kernel command line has lockdown=confidentiality, or a security policy set it.',
    recommendedAction:
      'Set lockdown=integrity (the usual setting under Secure Boot) on the kernel command line and reboot.',
  }),
  TraceInstanceFailed: (path: string, what: string, cause?: unknown) => ({
    summary: `the trace instance ${path} cannot be set up: ${what}`,
    possibleCauses: 'There is not enough memory for its rings, or another program holds it.',
    recommendedAction: 'Free memory or set smaller rings; look at the kernel log (`dmesg`).',
    retry: 'transient' as const,
    context: { path },
    cause,
  }),
  BarrierTimedOut: (milliseconds: number) => ({
    summary: `the kernel's trace did not show our own mark within ${milliseconds} ms`,
    possibleCauses: 'Somebody stopped tracing, or the machine is overloaded.',
    recommendedAction: 'Stop other users of the trace instances whose names begin with leeward-.',
    retry: 'transient' as const,
  }),
  DiskNotFound: (path: string) => ({
    summary: `there is no disk at ${path}`,
    possibleCauses: 'The path is misspelt, or the disk was removed or has another name since the last boot.',
    recommendedAction:
      'Look at `lsblk` and name the disk by a path under /dev/disk/by-id, which does not change.',
    context: { path },
  }),
  NotABlockDevice: (path: string) => ({
    summary: `${path} is not a block device`,
    possibleCauses: 'The path names a file, a folder or a mount point instead of the disk.',
    recommendedAction: 'Find the disk with `findmnt -o SOURCE --target` and `lsblk -s`, and name that.',
    context: { path },
  }),
  NotAWholeDisk: (path: string, kind: string, disks: readonly string[]) => ({
    summary: `${path} is ${kind}; what can be protected is the whole disk under it: ${disks.join(', ') || 'none was found'}`,
    possibleCauses: 'A part of a disk, or a device that the kernel puts together from disks, was named.',
    recommendedAction: `Protect ${disks.join(' and ') || 'the disk it lies on'} instead; everything on it comes along.`,
    context: { path, disks: disks.join(' ') },
  }),
  MultipathDevice: (path: string, members: readonly string[]) => ({
    summary: `${path} is a multipath device or one path of it (${members.join(', ')})`,
    possibleCauses: 'Its writes reach the disk over several paths, of which each alone sees only a part.',
    recommendedAction:
      'Several paths cannot be followed in this version: present the disk over one path, or protect the machine from its hypervisor. With one path left (`multipathd del path`), protect that path.',
    context: { path, members: members.join(' ') },
  }),
  NvmeMultipathHead: (path: string, member: string) => ({
    summary: `${path} is the NVMe driver's own multipath device, or the one path of it (${member})`,
    possibleCauses:
      'The disk could have several paths, so the driver passes its writes on, and the kernel reports them under a name that cannot be opened.',
    recommendedAction:
      'Set nvme_core.multipath=N on the kernel command line and reboot: with one path it then is an ordinary disk, and can be protected. Or protect the machine from its hypervisor.',
    context: { path, member },
  }),
  BackedByOwnDisk: (path: string, file: string, disks: readonly string[]) => ({
    summary: `${path} is made from ${file}, which lies on a disk of this machine: ${disks.join(', ')}`,
    possibleCauses: 'It is a loop device, and its content is a file on that disk.',
    recommendedAction: `Protect ${disks.join(' and ')}: the file comes along, and so does everything in it.`,
    context: { path, file, disks: disks.join(' ') },
  }),
  BackedByProtectedDisk: (path: string, file: string, under: string) => ({
    summary: `${path} is made from ${file}, which lies on ${under}, and both are to be protected`,
    possibleCauses: 'It is a loop device; its content is a file on a disk that is protected, too.',
    recommendedAction: `Protect ${under} without ${path}: the file comes along. What lies on the other cannot stand still in its own right.`,
    context: { path, file, under },
  }),
  MappedMemoryDevice: (path: string) => ({
    summary: `${path} is persistent memory or mounted with DAX: programs change it without any write that could be seen`,
    possibleCauses: 'The file system is mounted with -o dax on a pmem device.',
    recommendedAction: 'Mount it without dax on an ordinary disk, or protect its content by other means.',
    context: { path },
  }),
  NoRequestEvents: (path: string) => ({
    summary: `${path} is made by a driver without a request queue, so that the kernel reports none of its writes`,
    possibleCauses: 'It is zram, a RAM disk, DRBD, or another device that passes its work on to others.',
    recommendedAction: 'Protect the disk under it (`lsblk -s` shows it), if there is one.',
    context: { path },
  }),
  DiskAlreadyProtected: (path: string, name: string) => ({
    summary: `${path} (${name}) is already being replicated by another mobility service on this machine`,
    possibleCauses:
      'Two services run with assignments that name the same disk, or an old one has not ended yet.',
    recommendedAction:
      'Stop one of them: `systemctl status leeward-mobility` and `ps -C node -o pid,args` show who runs.',
    context: { path, name },
  }),
  CanaryUnwritable: (path: string, times: number, cause: unknown) => ({
    summary: `the file by which capture hears itself could not be written ${times} times in a row: ${path}`,
    possibleCauses: 'The file system with the state folder is full or read-only.',
    recommendedAction:
      'Make room or mount it writable. Until then only the kernel itself can say whether tracing works.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { path, times },
    cause,
  }),
  CaptureStateInvalid: (path: string, what: string) => ({
    summary: `the saved change maps in ${path} cannot be used: ${what}`,
    possibleCauses: 'The file was damaged, or belongs to another version.',
    recommendedAction: 'None: the disks are compared with their copies again.',
    severity: 'warning' as const,
    context: { path },
  }),
});
