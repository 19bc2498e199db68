/** What can go wrong at the vault, with cause and action. */
import { catalogue } from '../platform/errors.ts';

export const errors = catalogue({
  ReplicaFolderCannotClone: (path: string, fileSystem: string, cause?: unknown) => ({
    summary: `the replica folder ${path} is on ${fileSystem}, which cannot clone files (reflink)`,
    possibleCauses: 'Recovery points are clones of the replica disks; ext4 and older XFS have no reflinks.',
    recommendedAction:
      'Put the folder on XFS (reflink=1) or btrfs, or let set-up make a volume: leeward --data FOLDER vault init --make-volume GIB.',
    context: { path, fileSystem },
    cause,
  }),
  ReplicaVolumeFailed: (path: string, what: string, cause?: unknown) => ({
    summary: `the replica volume ${path} could not be ${what}`,
    possibleCauses: 'Not root, no free loop device, xfsprogs is not installed, or the disk is full.',
    recommendedAction: 'Run as root with xfsprogs installed and enough space, then try again.',
    context: { path },
    cause,
  }),
  ReplicaStoreFull: (path: string, cause?: unknown) => ({
    summary: `the replica folder ${path} is full`,
    possibleCauses:
      'Recovery points hold more changed data than the disk has room for, or something else filled it.',
    recommendedAction:
      'Enlarge the disk, shorten the retention policy or remove test failovers. Replication goes on by itself.',
    severity: 'critical' as const,
    retry: 'transient' as const,
    context: { path },
    cause,
  }),
  RecoveryPointGone: (pointId: string) => ({
    summary: `recovery point ${pointId} is not there`,
    possibleCauses: 'Retention removed it, or the id is wrong.',
    recommendedAction: 'Choose one from: leeward recovery-point list --item ITEM.',
    context: { pointId },
  }),
  ItemFenced: (itemId: string) => ({
    summary: `the protected item ${itemId} is failed over and takes nothing from its source`,
    possibleCauses: 'The source runs again, or its process server still had data of it.',
    recommendedAction:
      'Switch the source off. Or cancel the failover: then replication goes on where it was, without a full copy.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { itemId },
  }),
  PointDiskMissing: (pointId: string, diskId: string) => ({
    summary: `recovery point ${pointId} has no disk ${diskId}`,
    possibleCauses: 'The disk was not protected when the point was cut.',
    recommendedAction: 'Choose a newer recovery point or another disk.',
    context: { pointId, diskId },
  }),
  ReplicaRangeOutside: (diskId: string, offsetBytes: number, lengthBytes: number, sizeBytes: number) => ({
    summary: `bytes ${offsetBytes}+${lengthBytes} lie outside replica disk ${diskId} of ${sizeBytes} bytes`,
    possibleCauses: 'The segment belongs to another disk or was made for another size.',
    recommendedAction:
      'It is resynchronized by itself; if that does not begin: leeward protected-item resync ITEM.',
    severity: 'critical' as const,
    context: { diskId, offsetBytes, lengthBytes, sizeBytes },
  }),

  CacheObjectMissing: (key: string) => ({
    summary: `the object ${key} is named by a manifest but is not in cache storage`,
    possibleCauses: 'Somebody removed it, or the storage lost it.',
    recommendedAction:
      'Nothing was applied. All disks are compared anew by themselves, in a new chain; earlier recovery points are not touched.',
    severity: 'critical' as const,
    context: { key },
  }),
  CacheObjectCorrupt: (key: string, cause?: unknown) => ({
    summary: `the object ${key} does not have the content that its manifest promises`,
    possibleCauses: 'The storage flipped bits, or somebody altered the object.',
    recommendedAction:
      'Nothing was applied. Check the storage. All disks are compared anew by themselves, in a new chain; earlier recovery points are not touched.',
    severity: 'critical' as const,
    context: { key },
    cause,
  }),
  ChainBroken: (key: string, why: string) => ({
    summary: `the manifest ${key} does not follow the one before it: ${why}`,
    possibleCauses: 'A manifest was removed, reordered or replaced in cache storage.',
    recommendedAction:
      'Nothing was applied. Find out who can write to cache storage. All disks are compared anew by themselves, in a new chain; earlier recovery points are not touched.',
    severity: 'critical' as const,
    context: { key },
  }),
  BookmarkNotInSync: (key: string) => ({
    summary: `the manifest ${key} asks for a recovery point while a disk is not in sync`,
    possibleCauses: 'The process server is of a broken version.',
    recommendedAction: 'Update the process server; the disks are compared anew by themselves.',
    severity: 'critical' as const,
    context: { key },
  }),

  ItemAlreadyProtected: (what: string, name: string) => ({
    summary: `${what} is already protected as ${name}`,
    possibleCauses: 'It was protected before, here or by somebody else.',
    recommendedAction: `Look at it with: leeward protected-item show ${name}. To begin anew: leeward protected-item disable ${name} --yes.`,
    context: { name },
  }),
  ItemUnknown: (item: string) => ({
    summary: `there is no protected item ${item}`,
    possibleCauses: 'The name is misspelt, or protection was ended.',
    recommendedAction: 'List them with: leeward protected-item list.',
    context: { item },
  }),
  SiteSilent: (name: string, seconds: number, lastReportAt: string | undefined) => ({
    summary: `the site ${name} did not report within ${seconds} s`,
    possibleCauses:
      'Its configuration server is down, cannot reach this vault, or no configuration server has registered.',
    recommendedAction: `Look at the configuration server; it last reported ${lastReportAt ?? 'never'}.`,
    retry: 'transient' as const,
    context: { name },
  }),
  OperationNotAllowed: (operation: string, name: string, state: string) => ({
    summary: `${operation} is not allowed for ${name} while it is in the state ${state}`,
    possibleCauses: 'Another operation is under way, or the item is at another point of its life.',
    recommendedAction: "Look at the item's allowedOperations, and at its current job.",
    context: { operation, name, state },
  }),
  NothingToResync: (name: string) => ({
    summary: `nothing of ${name} has arrived yet, so there is nothing to compare`,
    possibleCauses: 'The first copy has not begun: the machine or its process server is not connected.',
    recommendedAction: `Start the mobility service, then: leeward protected-item watch ${name}.`,
    context: { name },
  }),
  RequestInvalid: (what: string) => ({
    summary: what,
    possibleCauses: 'An option is missing or does not fit.',
    recommendedAction: 'Correct it and try again.',
  }),
  FeatureMissing: (what: string) => ({
    summary: `${what} is not set up at this vault`,
    possibleCauses: 'The settings name no failover provider, or it cannot run on this machine.',
    recommendedAction: "Look at the vault's log for the reason, and at its settings.",
    context: { what },
  }),

  DatabaseUnreachable: (cause?: unknown) => ({
    summary: 'the database does not answer',
    possibleCauses: 'It is not running, or its socket or password is wrong.',
    recommendedAction: 'Start it and look at its log; the vault goes on by itself.',
    retry: 'transient' as const,
    cause,
  }),
  DatabaseNewer: (found: number, known: number) => ({
    summary: `the database has schema ${found}, but this version of Leeward knows only up to ${known}`,
    possibleCauses: 'A newer version has run on it.',
    recommendedAction:
      'Start the newer version, or restore a backup of the database made before the upgrade.',
    severity: 'critical' as const,
    context: { found, known },
  }),
  SealBroken: () => ({
    summary: 'an item key cannot be opened with this master key',
    possibleCauses: 'The master key file was replaced, or the database row was altered.',
    recommendedAction: 'Restore the master key file that belongs to this database.',
    severity: 'critical' as const,
  }),
  VaultFolderInUse: (folder: string) => ({
    summary: `${folder} already holds a vault`,
    possibleCauses: 'leeward vault init was run here before.',
    recommendedAction: `Start it with: leeward --data ${folder} vault run; or choose another folder.`,
    context: { folder },
  }),
});
