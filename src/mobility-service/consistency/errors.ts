/** What can go wrong around a freeze, each with what a person can do about it. */
import { catalogue } from '../../platform/errors.ts';

export const errors = catalogue({
  ThawHelperUnusable: (path: string, detail: string, cause?: unknown) => ({
    summary: `the thaw helper ${path} cannot be used: ${detail}`,
    possibleCauses:
      'The installation is incomplete, the service does not run as root, or a mount went away meanwhile.',
    recommendedAction: 'Install the mobility service again, then look at its log.',
    context: { path },
    ...(cause === undefined ? {} : { cause }),
  }),
  MountUnreachable: (mountPoint: string, detail: string) => ({
    summary: `${mountPoint} cannot be frozen: ${detail}`,
    possibleCauses:
      'It was unmounted meanwhile, another file system is mounted over it, or it is hidden from the service.',
    recommendedAction: 'Nothing if it was unmounted; otherwise make the mount point reachable.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { mountPoint },
  }),
  TooManyMounts: (count: number, countMax: number) => ({
    summary: `${count} file systems are mounted from the protected disks, more than ${countMax}`,
    possibleCauses: 'Mounts are made by a program and not taken away.',
    recommendedAction: 'Unmount what is not needed. Points without a freeze are still made.',
    context: { count },
  }),
  FreezeBusy: (mountPoint: string) => ({
    summary: `${mountPoint} is frozen by somebody else`,
    possibleCauses: 'A backup, a snapshot tool or the hypervisor is freezing file systems at the same time.',
    recommendedAction: 'Nothing: it is tried again. If it persists, look for `fsfreeze` and guest agents.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { mountPoint },
  }),
  FreezeFailed: (mountPoint: string | undefined, detail: string) => ({
    summary: `${mountPoint ?? 'the file systems'} could not be frozen: ${detail}`,
    possibleCauses: 'The disk answers with errors or very slowly.',
    recommendedAction: 'Look at the kernel log for errors of the disk.',
    retry: 'transient' as const,
    context: { mountPoint },
  }),
  FreezeExpired: (reason: string) => ({
    summary: `the file systems were let go too early (${reason}), so the recovery point is thrown away`,
    possibleCauses:
      'Reading took longer than the freeze may last, or another program (`fsfreeze -u`, a guest agent) thawed them.',
    recommendedAction:
      'Nothing once in a while: it is tried again. If it persists, look for other snapshot tools.',
    severity: 'warning' as const,
    retry: 'transient' as const,
  }),
  FreezeLate: (mountPoint: string, step: string) => ({
    summary: `the kernel has not come back from ${step} ${mountPoint}, so nothing is frozen until it has`,
    possibleCauses:
      'Its disk is very slow, is suspended or answers no more, or what lies under it is frozen or hangs.',
    recommendedAction:
      'Look at the kernel log and at `dmsetup info`, `multipath -ll`, and what else lies under that file system. The others go on.',
    retry: 'transient' as const,
    context: { mountPoint },
  }),
  FileSystemHung: (mountPoint: string, step: string, file: string) => ({
    summary: `${mountPoint} hangs: the kernel does not come back from ${step} it. It is left out of freezes from now on`,
    possibleCauses:
      'Its disk is suspended or answers no more, or what lies under it is frozen or hangs. Its own writers hang, too.',
    recommendedAction: `Mend what lies under it, then remove ${file}, or restart the machine: it is frozen again with the next point. Until then there are no application-consistent points.`,
    severity: 'critical' as const,
    context: { mountPoint, file },
  }),
  FileSystemsLeftOut: (mountPoints: string, folder: string) => ({
    summary: `${mountPoints} hung in an earlier freeze and is left out`,
    possibleCauses: 'Its disk was suspended or did not answer, or what lies under it was frozen.',
    recommendedAction: `Remove its file in ${folder} when that is mended. Crash-consistent points go on.`,
    context: { mountPoints, folder },
  }),
  ThawLate: (mountPoints: string) => ({
    summary: `the kernel does not come back from thawing ${mountPoints}`,
    possibleCauses: 'Its disk stopped answering while the file system stood still.',
    recommendedAction:
      'Look at the kernel log and mend the disk: the file system is thawed as soon as the kernel comes back. All others run.',
    severity: 'critical' as const,
    context: { mountPoints },
  }),
  ThawFailed: (mountPoints: string) => ({
    summary: `the kernel refuses to thaw ${mountPoints}`,
    possibleCauses: 'The file system met an error while it stood still.',
    recommendedAction: `Run \`fsfreeze --unfreeze\` on it; if that fails too, the machine has to be restarted.`,
    severity: 'critical' as const,
    context: { mountPoints },
  }),
  BrakeUnusable: (detail: string) => ({
    summary: `writes cannot be held back on this machine: ${detail}`,
    possibleCauses:
      'The kernel has no block I/O throttling, cgroups are not mounted or not writable, or the installation is incomplete.',
    recommendedAction:
      'Install the mobility service again; mount cgroups (v2, or blkio of v1). Recovery points are made without it as far as writes pause or file systems can be frozen.',
    severity: 'warning' as const,
    retry: 'transient' as const,
  }),
  BrakeStuck: (what: string) => ({
    summary: `the kernel does not take back limits of the write brake: ${what}`,
    possibleCauses: 'The disk or its driver hangs.',
    recommendedAction:
      'Look at the kernel log. Write `MAJ:MIN 0` into blkio.throttle.write_iops_device (cgroup v1) or `MAJ:MIN wiops=max` into io.max (v2) of each group; if that fails, restart the machine.',
    severity: 'critical' as const,
    context: { what },
  }),
  ScriptNotTrusted: (path: string, detail: string) => ({
    summary: `the script ${path} is not run: ${detail}`,
    possibleCauses: 'Whoever may write it would become root through this service.',
    recommendedAction:
      'Give an absolute path; make the file and all its folders owned by root and writable by root only.',
    context: { path },
  }),
  PreScriptFailed: (what: string, detail: string, output: string, cause?: unknown) => ({
    summary: `${what} ${detail}${output === '' ? '' : `: ${output}`}`,
    possibleCauses: 'The application did not come to rest; what it printed is above.',
    recommendedAction: 'Run it by hand as root and mend what it reports. Crash-consistent points go on.',
    retry: 'transient' as const,
    context: { what },
    ...(cause === undefined ? {} : { cause }),
  }),
  DatabaseLockNotHad: (hook: string, seconds: number, inTheWay: string, cause: unknown) => ({
    summary: `${hook} did not give its lock within ${seconds} s, so the point was given up: ${inTheWay}`,
    possibleCauses:
      'A query runs for long, and later ones would have waited for the lock behind it. The session that waited was ended.',
    recommendedAction:
      'Nothing once in a while: it is tried again, and crash-consistent points go on. If it repeats, end the query, or move it to a replica.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { hook },
    cause,
  }),
  PostScriptFailed: (what: string, detail: string, output: string, cause?: unknown) => ({
    summary: `${what} ${detail}${output === '' ? '' : `: ${output}`}`,
    possibleCauses: 'The application may still be at rest; what was printed is above.',
    recommendedAction: 'Look at the application now; then run the post script by hand.',
    context: { what },
    ...(cause === undefined ? {} : { cause }),
  }),
  HookSkipped: (hook: string, reason: string) => ({
    summary: `the built-in hook for ${hook} was left out: ${reason}`,
    possibleCauses: 'The database is not on this machine, or the hook has not been given its login.',
    recommendedAction:
      'Nothing without that database. Otherwise write the login file that docs/operations/application-consistency.md names.',
    severity: 'warning' as const,
    context: { hook },
  }),
});
