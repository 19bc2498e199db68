/** What can go wrong in the mobility service, each with what to do about it. */
import { catalogue } from '../platform/errors.ts';

export const errors = catalogue({
  DiskUnreadable: (name: string, offsetBytes: number, cause: unknown) => ({
    summary: `${name} could not be read at ${offsetBytes}`,
    possibleCauses: 'The disk has bad sectors, or its controller or path has failed.',
    recommendedAction:
      'Look at the kernel log and replace the disk. What could not be read stays marked and is tried again; after some seconds recovery points are taken without this disk, and say so.',
    retry: 'transient' as const,
    context: { name, offsetBytes },
    cause,
  }),
  DiskSilent: (name: string, seconds: number) => ({
    summary: `${name} has not answered a read for ${seconds} s`,
    possibleCauses:
      'Its controller, path or network is lost or being reset, or it is a loop whose file lies on something that stands still.',
    recommendedAction:
      'Look at the kernel log. The other disks go on, and points are taken without this one; what was not read stays marked and is read when it answers.',
    retry: 'transient' as const,
    context: { name },
  }),
  DiskMissing: (name: string, identity: string, detail: string) => ({
    summary: `the protected disk ${name} is missing: ${detail}. It was: ${identity}`,
    possibleCauses:
      'It was removed or detached, its controller or path has failed, or it has become another device.',
    recommendedAction:
      'Attach it again; it is known wherever it is attached, and compared with its copy then. Until then recovery points are taken of the other disks and say that this one is missing from them.',
    retry: 'transient' as const,
    context: { name },
  }),
  DiskReturned: (name: string, detail: string) => ({
    summary: `the protected disk ${name} is there again: ${detail}`,
    possibleCauses: 'It was attached again, or it answers again.',
    recommendedAction:
      'Nothing: what changed is sent. After it was away it is compared with its copy, and recovery points are without it until that is done.',
    severity: 'warning' as const,
    context: { name },
  }),
  DiskMoved: (from: string, to: string, identity: string) => ({
    summary: `the protected disk that was ${from} is now ${to}: ${identity}`,
    possibleCauses: 'Names of devices are given in the order in which they are found, and may change places.',
    recommendedAction:
      'Nothing: the disk is followed. To be sure of it, name disks by paths under /dev/disk/by-id, which do not change.',
    severity: 'warning' as const,
    context: { name: to, from },
  }),
  DiskReplaced: (name: string, detail: string) => ({
    summary: `${name} is another disk than the one that was protected: ${detail}`,
    possibleCauses:
      'The disk was replaced, or disks changed places and nothing tells which of them is which.',
    recommendedAction:
      'If this disk is the one to protect now: nothing, it is compared with the copy and what differs is sent; earlier recovery points keep the old disk. Else attach the old one again, or disable the protection of this disk.',
    retry: 'transient' as const,
    context: { name },
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
      'Writes never pause and more changes than can be read while writers are held, or writers could not be held and file systems not be frozen.',
    recommendedAction:
      'Nothing at first: it is tried again. If it repeats, allow a longer hold (holdMillisecondsMax) or freeze in the policy, as far as it says what would be enough, or move load away.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { type },
    cause,
  }),
  WritersNotHeld: (names: string) => ({
    summary: `writes went on although writers were held back; not held could be: ${names}`,
    possibleCauses:
      'A process writes without a pause from a control group that the kernel does not limit: the root group of cgroup v2, or one whose limits this service may not set.',
    recommendedAction:
      'Run that program as a systemd service or in a session, so that it has a group of its own. Until then points are made as far as writes pause or file systems can be frozen.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { names },
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
  ServicesNotStopped: (why: string) => ({
    summary: `not everything that writes on this machine could be stopped: ${why}`,
    possibleCauses: 'A service takes longer to stop than 10 minutes, or refuses to be stopped.',
    recommendedAction:
      'Stop it by hand, then start the planned failover again. What had been stopped was started again; look at: systemctl --failed.',
    context: {},
  }),
  LastBookmarkNotSent: (why: string) => ({
    summary: `everything that writes was stopped, but the last bookmark did not arrive: ${why}`,
    possibleCauses: 'The process server cannot be reached, or the line is slow.',
    recommendedAction:
      'Look at the process server, then start the planned failover again. The machine was not switched off, and its services were started again.',
    context: {},
  }),
  MarkerNotOwn: (path: string, why: string) => ({
    summary: `the disk ${path} says that this machine is a failed-over copy, and is not believed: ${why}`,
    possibleCauses:
      'The disk was attached to the wrong machine, or somebody tries to end this machine’s protection. Or this machine is a copy that was made before it was given a key to know its markers by.',
    recommendedAction:
      'Find out who attached the disk, and detach it. Replication goes on meanwhile. If this machine is a failed-over copy, stop its mobility service.',
    severity: 'warning' as const,
    context: { path },
  }),
});
