/** What can go wrong in the mobility service, each with what to do about it. */
import { catalogue } from '../platform/errors.ts';

export const errors = catalogue({
  DiskUnreadable: (name: string, offsetBytes: number, cause: unknown) => ({
    summary: `${name} could not be read at ${offsetBytes}`,
    possibleCauses: 'The disk has bad sectors, or its controller or path has failed.',
    recommendedAction:
      'Look at the kernel log and replace the disk. What could not be read stays marked and is tried again; until then there are no new recovery points.',
    retry: 'transient' as const,
    context: { name, offsetBytes },
    cause,
  }),
  DiskReadable: (name: string) => ({
    summary: `${name} can be read again`,
    possibleCauses: 'The disk or its path has recovered.',
    recommendedAction: 'Nothing.',
    severity: 'warning' as const,
    context: { name },
  }),
  DiskResized: (name: string, knownBytes: number, detail: string) => ({
    summary: `${name} has changed its size: ${detail}`,
    possibleCauses: 'The disk was extended or replaced.',
    recommendedAction:
      'Nothing: the service opens its disks anew and compares this one with its copy. Earlier recovery points keep the old size.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { name, knownBytes },
  }),
  ChangesLost: (name: string, cause: string, detail: string) => ({
    summary: `changes of ${name} may have been missed (${cause}): ${detail}`,
    possibleCauses:
      'More was written than the trace buffers hold while the service did not get to run, or somebody changed the tracing settings.',
    recommendedAction:
      'Nothing: the disk is compared with its copy. If it repeats, give the service more CPU or larger trace buffers.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { name, cause },
  }),
  NoCanary: (stateFolder: string) => ({
    summary: `no canary can be written: ${stateFolder} does not lie on a protected disk`,
    possibleCauses: 'The service keeps its state on a disk that is not protected.',
    recommendedAction: `Move the state folder to a protected disk, or protect the one it is on. Until then nothing proves every few seconds that writes are seen; losses that the kernel counts are noticed all the same.`,
    severity: 'warning' as const,
    context: { stateFolder },
  }),
  BookmarkMissed: (type: string, why: string, cause?: unknown) => ({
    summary: `a ${type} bookmark could not be had: ${why}`,
    possibleCauses:
      'Writes never pause and too much changes for a short freeze, or file systems could not be frozen.',
    recommendedAction:
      'Nothing at first: it is tried again. If it repeats, allow a longer freeze in the policy or move load away.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { type },
    cause,
  }),
  DigestsMissing: (name: string) => ({
    summary: `the other side has not said what its copy of ${name} contains`,
    possibleCauses:
      'The vault or cache storage cannot be reached from the process server, or the vault is overloaded.',
    recommendedAction: 'Look at the process server. Meanwhile everything is sent without being compared.',
    severity: 'warning' as const,
    context: { name },
  }),
  NotWelcomed: (peer: string) => ({
    summary: `${peer} did not answer the hello in time`,
    possibleCauses: 'The process server is overloaded or its disk is full.',
    recommendedAction: 'Look at the process server; the service tries again by itself.',
    retry: 'transient' as const,
    context: { peer },
  }),
  Stopping: () => ({
    summary: 'the service is stopping',
    possibleCauses: 'It was asked to.',
    recommendedAction: 'Nothing.',
    severity: 'warning' as const,
    retry: 'transient' as const,
  }),
  MachineCopied: (stateFolder: string, cause: unknown) => ({
    summary: 'the process server has seen a later session of this machine than this service remembers',
    possibleCauses:
      'The machine was reverted to a snapshot or restored from a backup, it is a clone of the protected one, or a clone of it is running.',
    recommendedAction: `If this machine is the one to protect: stop its clones, then remove the files in ${stateFolder} (not the folder site) and start the service. Its clock must not be behind what it was. It begins with a new generation and compares its disks with their copies. If this machine is the clone: leeward-mobility-service enrol --configuration-server HOST --key-file FILE makes it a machine of its own; an assignment that was written by hand is removed first.`,
    context: { stateFolder, isRefusal: true },
    cause,
  }),
  StatusUnknown: (path: string, cause?: unknown) => ({
    summary: `there is no status at ${path}`,
    possibleCauses: 'The mobility service does not run, or runs with another settings folder.',
    recommendedAction: 'Start it: systemctl start leeward-mobility.service.',
    context: { path },
    cause,
  }),
  WrongAssignment: (role: string) => ({
    summary: `the configuration server told this machine what a ${role} has to do`,
    possibleCauses:
      'The machine was enrolled as something else, or the configuration server is of another version.',
    recommendedAction: 'Enrol this machine again.',
    context: { role },
  }),
  NothingToReplicate: () => ({
    summary: 'this machine replicates nothing at the moment',
    possibleCauses: 'Its protection was disabled, or it cannot open its disks: see its status.',
    recommendedAction: 'Look at the protected item at the vault.',
  }),
  BookmarkNotTaken: (type: string, seconds: number, lastError: string | undefined) => ({
    summary: `no ${type} bookmark was confirmed within ${seconds} s${lastError === undefined ? '' : `: ${lastError}`}`,
    possibleCauses: 'The process server cannot be reached, disks are being compared, or writes never pause.',
    recommendedAction: 'Look at the replication’s health, then try again.',
    context: { type },
  }),
});
