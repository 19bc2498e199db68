/** What the nouns under a vault refuse, with cause and action. Statuses follow from the codes (`errors.ts`). */
import { catalogue } from '../../platform/errors.ts';

export const nounErrors = catalogue({
  ResourceExists: (id: string, how: string) => ({
    summary: `${id} exists already, ${how}`,
    possibleCauses: 'It was made before, with other properties, by this client or another.',
    recommendedAction: 'Choose another name, update what is there, or delete it first.',
    context: { target: id },
  }),
  ResourceInUse: (id: string, by: string) => ({
    summary: `${id} is in use by ${by}`,
    possibleCauses: 'Something still refers to it.',
    recommendedAction: `Remove ${by} first, or have it use another.`,
    context: { target: id },
  }),
  ProviderNotHere: (instanceType: string, known: readonly string[]) => ({
    summary: `the instance type ${instanceType} is not one that this vault replicates`,
    possibleCauses: 'It belongs to another provider of the reference (Azure to Azure, Hyper-V, migration).',
    recommendedAction: `Use one of: ${known.join(', ')}.`,
    context: { target: 'instanceType' },
  }),
  ReferenceNotFound: (field: string, id: string, what: string) => ({
    summary: `${field} names ${id}, but there is no such ${what}`,
    possibleCauses: 'The id is misspelt, it lies in another vault, or it was deleted.',
    recommendedAction: `List what there is and give the id of an existing ${what}.`,
    context: { target: field },
  }),
  MachineNotReady: (name: string, why: string) => ({
    summary: `${name} cannot be protected: ${why}`,
    possibleCauses: 'The machine or one of its disks does not meet what replication needs.',
    recommendedAction: 'Put right what is named, wait for the next report of the site, and try again.',
    context: { name },
  }),
  TooManyDisks: (name: string, count: number, most: number, isChosen: boolean) => ({
    summary: `${count} disks of ${name} were to be protected; a machine can have at most ${most} protected disks`,
    possibleCauses: isChosen
      ? 'More disks were named than can be protected together.'
      : 'No disks were named, which means all that can be protected, and the machine has more.',
    recommendedAction: `Name up to ${most} disks (disksToInclude, or --disk), with all of those that a volume group, RAID or file system needs.`,
    context: { name, count, most },
  }),
  MachineAlreadyProtectedConflict: (name: string, id: string) => ({
    summary: `${name} is already protected as ${id}`,
    possibleCauses: 'Protection was enabled before, here or under another name.',
    recommendedAction: 'Use that item, or disable its protection first.',
    context: { target: id },
  }),
  DiskNotFound: (diskId: string, machine: string) => ({
    summary: `${machine} reports no disk ${diskId}`,
    possibleCauses: 'The id is misspelt, or the disk was taken out of the machine.',
    recommendedAction: 'Take the ids from the diskDetails of the protectable item.',
    context: { diskId },
  }),
  DiskNotProtected: (disk: string, item: string, disks: readonly string[]) => ({
    summary: `${item} has no protected disk ${disk}`,
    possibleCauses: 'It is misspelt, or that disk was left out when protection was enabled.',
    recommendedAction: `Protected are: ${disks.join(', ')}.`,
    context: { target: 'properties.disks' },
  }),
  RecoveryPlanInvalid: (what: string, target: string) => ({
    summary: `the recovery plan is not valid: ${what}`,
    possibleCauses: 'A group, an item or an action does not fit the rules of plans.',
    recommendedAction: 'Correct what is named.',
    context: { target },
  }),
  SiteNotRegistered: (name: string) => ({
    summary: `no configuration server has registered as ${name} yet`,
    possibleCauses: 'The fabric was made, but the appliance was not registered with a key of this vault.',
    recommendedAction: 'Register the configuration server of the site with a registration key.',
    context: { name },
  }),
});
