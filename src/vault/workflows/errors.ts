/** What can go wrong in a workflow itself, with cause and action. */
import { catalogue } from '../../platform/errors.ts';

/** Of a damaged item, in one sentence; the job has them all. */
const findingsNamed = 3;

export const errors = catalogue({
  NoRecoveryPoint: (item: string, wish: string) => ({
    summary: `${item} has no recovery point for "${wish}"`,
    possibleCauses:
      wish === 'latestApplicationConsistent'
        ? 'No application-consistent point was taken yet, or retention removed it.'
        : 'The initial replication is not complete yet.',
    recommendedAction: 'Look at: leeward recovery-point list --item <item>. Wait for one, or choose another.',
    retry: 'transient' as const,
    context: { item },
  }),
  NoCompleteRecoveryPoint: (item: string, takenAt: string, lacks: readonly string[]) => ({
    summary: `${item} has no recovery point with every disk; the newest, of ${takenAt}, lacks ${lacks.join(', ')}`,
    possibleCauses: 'The disk was gone or could not be read since protection was enabled.',
    recommendedAction:
      'Bring the disk back and wait for the next point. To start the machine without it, name a point by its id, or use --allow-missing-disks.',
    context: { item },
  }),
  MachineLacksDisks: (item: string, takenAt: string, lacks: readonly string[]) => ({
    summary: `the machine of ${item} was started without ${lacks.join(', ')}: the recovery point of ${takenAt} does not have them`,
    possibleCauses: 'They were gone, unreadable or being compared at that moment.',
    recommendedAction: 'When they are needed, choose an earlier point: leeward recovery-point list.',
    severity: 'warning' as const,
    context: { item },
  }),
  NewerPointsLackDisks: (
    item: string,
    takenAt: string,
    count: number,
    newestAt: string,
    lacks: readonly string[],
  ) => ({
    summary: `the machine of ${item} runs from the recovery point of ${takenAt}, the newest that has every disk; what was written after it is lost. ${count} newer ${count === 1 ? 'one' : 'ones'}, up to ${newestAt}, ${count === 1 ? 'lacks' : 'lack'} disks; the newest lacks ${lacks.join(', ')}`,
    possibleCauses: 'A disk of the source was gone, unreadable or being compared.',
    recommendedAction:
      'When what is on the other disks matters more, choose a newer point by its id: leeward protected-item change-point.',
    severity: 'warning' as const,
    context: { item },
  }),
  LastPointIncomplete: (item: string, lacks: readonly string[]) => ({
    summary: `a planned failover of ${item} would lose ${lacks.join(', ')}: recovery points lack them now`,
    possibleCauses: 'The disk is gone or unreadable, or is being compared after it came back.',
    recommendedAction:
      'Bring the disk back, wait for a point that has it, and try again; or do an unplanned failover to a point that you choose.',
    context: { item },
  }),
  TestFailoverUnknown: (failoverId: string) => ({
    summary: `there is no test failover ${failoverId}`,
    possibleCauses: 'The id is misspelt.',
    recommendedAction: 'Look at: leeward protected-item rehearsals <item>.',
    context: { failoverId },
  }),
  SiteMissing: (item: string) => ({
    summary: `the site of ${item} is not registered with this vault`,
    possibleCauses: 'Its configuration server was removed, or never registered.',
    recommendedAction: 'Register the configuration server again.',
    context: { item },
  }),
  MachineNotReported: (item: string) => ({
    summary: `the site does not report the machine ${item}`,
    possibleCauses: 'Its mobility service was removed, or has not reported for long.',
    recommendedAction: 'Look whether the mobility service runs there, and refresh the site.',
    retry: 'transient' as const,
    context: { item },
  }),
  DiskNotReported: (item: string, path: string, known: string) => ({
    summary: `${item} has no disk ${path}`,
    possibleCauses: 'The path is misspelt, or the disk was taken away.',
    recommendedAction: `Choose among what the site reports: ${known}.`,
    context: { item, path },
  }),
  DiskNotReady: (item: string, path: string, why: string, action: string) => ({
    summary: `the disk ${path} of ${item} cannot be protected: ${why}`,
    possibleCauses: 'What the mobility service found on that machine.',
    recommendedAction: action,
    context: { item, path },
  }),
  RecoveryHostTooSmall: (item: string, short: readonly string[]) => ({
    summary: `the recovery host has no room for the machine of ${item}: ${short.join('; ')}`,
    possibleCauses:
      'Without a size of its own the machine gets as much as its source has; other machines run on the host, or its replica store is full.',
    recommendedAction:
      'Ask for a smaller machine (--memory and --cpus, or the target size of the item), clean test failovers up, or enlarge the host. Nothing was started, and the source was not touched.',
    context: { item },
  }),
  DataOnUnprotectedDisk: (item: string, through: string, path: string) => ({
    summary: `${through} of ${item} is also on ${path}, which is not protected: what a failover starts cannot mount it`,
    possibleCauses:
      'Not all disks of a volume group, RAID or file system were chosen, or one cannot be protected.',
    recommendedAction: `Disable protection and enable it again with ${path}; or move the data off that disk.`,
    severity: 'warning' as const,
    context: { item, path },
  }),
  DiskNotProtected: (item: string, path: string, why: string) => ({
    summary: `the disk ${path} of ${item} was left out: ${why}`,
    possibleCauses: 'Protection was enabled for all disks that can be protected, and this one cannot.',
    recommendedAction:
      'Put right what is named, then disable protection and enable it again. If it is right so, enable it with the disks that you choose (--disk).',
    severity: 'warning' as const,
    context: { item, path },
  }),
  FailoverUnknown: (item: string) => ({
    summary: `${item} has no failover that this could be done with`,
    possibleCauses: 'It was cancelled or never happened.',
    recommendedAction: 'Look at the item’s protection state.',
    context: { item },
  }),
  SourceStillRuns: (item: string) => ({
    summary: `${item} is silent, and its hypervisor says that it still runs`,
    possibleCauses: 'Its mobility service was stopped before its other services, or its network is cut.',
    recommendedAction: 'Switch it off there, then start the planned failover again.',
    context: { item },
  }),
  LastPointMissing: (item: string, seconds: number) => ({
    summary: `the last recovery point of ${item} did not arrive within ${seconds} s`,
    possibleCauses: 'The site or its process server lost its connection after the machine was shut down.',
    recommendedAction:
      'Look at the process server’s pending data. When the site is lost, do an unplanned failover instead.',
    retry: 'transient' as const,
    context: { item },
  }),
  InitialReplicationOverdue: (item: string, days: number) => ({
    summary: `the initial replication of ${item} did not end within ${days} days`,
    possibleCauses:
      'The machine, its process server or the line between them stands still, or is far too slow.',
    recommendedAction: 'Look at the item’s health and progress.',
    context: { item },
  }),
  PlanUnknown: (id: string) => ({
    summary: `there is no recovery plan ${id}`,
    possibleCauses: 'It was deleted meanwhile.',
    recommendedAction: 'List the plans of the vault.',
    context: { id },
  }),
  PlanStopped: (what: string, why: string) => ({
    summary: `the plan stopped at ${what}: ${why}`,
    possibleCauses: 'A planned failover does not go on over a failure: its machines still run at their site.',
    recommendedAction:
      'Mend what is named and run the plan again, or do an unplanned failover. What was failed over stays so.',
    context: { what },
  }),
  PlanPartlyFailed: (failures: readonly string[], failed: number, total: number) => ({
    summary: `${failed} of ${total} parts of the plan failed: ${failures.join('; ')}`,
    possibleCauses: 'Each one’s own job says why.',
    recommendedAction: 'Look at the jobs of those machines and scripts, and run the plan again for the rest.',
    context: { failed, total },
  }),
  ScriptUnknown: (name: string, folder: string) => ({
    summary: `there is no script ${name} that may be run in ${folder}`,
    possibleCauses:
      'It was not put there, has another name, is not executable, or others than the vault’s user may write it.',
    recommendedAction: 'Put it there, owned by the vault’s user, mode 0700.',
    context: { name },
  }),
  ScriptTimedOut: (name: string, seconds: number, output: string) => ({
    summary: `the script ${name} did not end within ${seconds} s and was stopped with all that it had started${
      output === '' ? '' : `: ${output}`
    }`,
    possibleCauses: 'It waits for something, or has more to do than was thought.',
    recommendedAction: 'Give the action a longer time limit, or make the script faster.',
    context: { name, seconds },
  }),
  ScriptFailed: (name: string, exitCode: number, output: string) => ({
    summary: `the script ${name} ended with ${exitCode}${output === '' ? '' : `: ${output}`}`,
    possibleCauses: 'What it wrote says why.',
    recommendedAction: 'Mend the script or what it works on.',
    context: { name, exitCode },
  }),
  ReplicaDamaged: (item: string, findings: readonly string[]) => ({
    summary: `what the vault holds of ${item} is damaged: ${findings.slice(0, findingsNamed).join('; ')}${
      findings.length > findingsNamed ? `; and ${findings.length - findingsNamed} more` : ''
    }`,
    possibleCauses:
      'The storage under the replica folder or the archive gave back other bytes than were written, or somebody wrote there.',
    recommendedAction: `Use a recovery point that is not named. Look at the storage (dmesg, SMART), then: leeward protected-item resync ${item}.`,
    severity: 'critical' as const,
    context: { item, findings: findings.length },
  }),
});
