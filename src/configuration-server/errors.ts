/** What can go wrong at a site's configuration server, with cause and action. */
import { catalogue } from '../platform/errors.ts';
import { clockDifferenceMillisecondsMax } from '../protocol/control/site-link.ts';

export const errors = catalogue({
  SiteNotRegistered: () => ({
    summary: 'this configuration server is not registered with a vault',
    possibleCauses: 'No registration key was given to it yet.',
    recommendedAction:
      'Download a registration key from the vault, then: configuration-server register --key-file FILE.',
    retry: 'transient' as const,
    context: { status: 503 },
  }),
  AlreadyRegistered: (vaultId: string, fabricName: string) => ({
    summary: `this configuration server is registered as ${fabricName} with ${vaultId}`,
    possibleCauses: 'The key was given to the wrong machine, or registration was done before.',
    recommendedAction:
      'Nothing if that is the right vault. If its fabric was removed there, or this server is to belong to another vault: register with --anew; assignments of the earlier one are taken away.',
    context: { vaultId, fabricName },
  }),
  EnrolmentRefused: () => ({
    summary: 'the enrolment key is not the one of this configuration server',
    possibleCauses: 'The key file is of another site, or it was renewed since.',
    recommendedAction: 'Copy the file anew: configuration-server enrolment-key --output FILE.',
    context: { status: 403 },
  }),
  AgentCertificateMissing: (why: string) => ({
    summary: `the caller did not prove who it is: ${why}`,
    possibleCauses: 'It was enrolled at another site, or its certificate has run out.',
    recommendedAction: 'Enrol it here.',
    severity: 'critical' as const,
    context: { status: 401 },
  }),
  AgentUnknown: (commonName: string) => ({
    summary: `no agent is enrolled as ${commonName.slice(0, 100)}`,
    possibleCauses: 'It was removed here, or this configuration server was set up anew.',
    recommendedAction: 'Enrol it again.',
    context: { status: 403 },
  }),
  WrongRole: (commonName: string, what: string) => ({
    summary: `${commonName.slice(0, 100)} may not ${what}`,
    possibleCauses: 'Certificates were mixed up between machines.',
    recommendedAction: 'Enrol each machine with its own agent.',
    severity: 'critical' as const,
    context: { status: 403 },
  }),
  AgentClockOff: (agentNow: string, siteNow: string) => ({
    summary: `the clock of the machine says ${agentNow}, that of the configuration server ${siteNow}: more than ${clockDifferenceMillisecondsMax / 60_000} minutes apart`,
    possibleCauses: 'One of the machines does not synchronize its clock, or was resumed from a snapshot.',
    recommendedAction: 'Correct the clock that is wrong (chrony, ntpd), then enrol again.',
    context: { status: 403, agentNow, siteNow },
  }),
  SiteClockOff: (siteNow: string, vaultNow: string) => ({
    summary: `the clock of the configuration server says ${siteNow}, that of the vault ${vaultNow}: more than ${clockDifferenceMillisecondsMax / 60_000} minutes apart`,
    possibleCauses: 'One of the machines does not synchronize its clock.',
    recommendedAction:
      'Correct the clock that is wrong (chrony, ntpd): moments of recovery points depend on it.',
    context: { siteNow, vaultNow },
  }),
  MachineCopied: (asking: string, holder: string, why: 'other-hardware' | 'seen-beside-it') => ({
    summary: `this machine (${asking}) has the identity of ${holder}, which is another machine: ${
      why === 'other-hardware'
        ? 'its board, network cards and disks are not those that are known'
        : 'both were running at the same time'
    }`,
    possibleCauses:
      'It was cloned from that machine, or restored from a backup of it as a second one; or nearly all hardware under it was replaced.',
    recommendedAction:
      'Make it a machine of its own: leeward-mobility-service enrol --configuration-server HOST --key-file FILE, then systemctl restart leeward-mobility. If it is to take the place of the other one, which is gone for good, add --replace.',
    context: { status: 409, asking, holder },
  }),
  MachineStillLive: (asking: string, holder: string) => ({
    summary: `${holder} was heard of a moment ago, and ${asking} comes with its identity`,
    possibleCauses: 'It was started anew just now; or it is a copy of a machine that is running.',
    recommendedAction: 'Nothing: within two minutes it is let in, or known as a copy.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { status: 409, asking, holder },
  }),
  MachineUnknown: (machineId: string) => ({
    summary: `no machine ${machineId} is enrolled at this site`,
    possibleCauses: 'Its mobility service was removed or enrolled at another site.',
    recommendedAction: 'Enrol the machine, wait until it is among the protectable items, then try again.',
    context: { machineId },
  }),
  ProcessServerUnknown: (processServerId: string) => ({
    summary: `no process server ${processServerId} is enrolled at this site`,
    possibleCauses: 'It was removed or belongs to another site.',
    recommendedAction: 'Choose a process server of this site.',
    context: { processServerId },
  }),
  MachineProtectedAlready: (machineId: string, itemId: string) => ({
    summary: `the machine ${machineId} replicates as ${itemId} already`,
    possibleCauses: 'Protection was enabled twice, or disabling it has not come through yet.',
    recommendedAction: 'Disable protection of the other item first.',
    context: { machineId, itemId },
  }),
  ItemNotProtectedHere: (itemId: string) => ({
    summary: `the protected item ${itemId} is not assigned at this site`,
    possibleCauses: 'Protection was disabled, or the item belongs to another site.',
    recommendedAction: 'Look at the item at the vault.',
    context: { itemId },
  }),
  ItemKeyUnreadable: (itemId: string) => ({
    summary: `the key of ${itemId} cannot be opened here`,
    possibleCauses:
      'It was sealed for another configuration server: this one was set up anew under the same name.',
    recommendedAction: 'Register this configuration server with a new key and enable protection again.',
    context: { itemId },
  }),
  OrderExpired: (expiresAt: string, waitedFor: string) => ({
    summary: `what was ordered was not done by ${expiresAt}: ${waitedFor}`,
    possibleCauses:
      'The machine is off or cannot reach the configuration server, or the order came too late.',
    recommendedAction: 'Look at the machine and its service, then try again.',
    context: { expiresAt },
  }),
  OrderWithdrawn: (itemId: string) => ({
    summary: `protection of ${itemId} was disabled before it had begun`,
    possibleCauses: 'Somebody disabled it, or the job was cancelled.',
    recommendedAction: 'Nothing.',
    severity: 'warning' as const,
    context: { itemId },
  }),
  ScriptMissing: (name: string, folder: string) => ({
    summary: `there is no script ${name} that may be run in ${folder}`,
    possibleCauses: 'It was removed or misspelt, or it is not executable, or others than root may write it.',
    recommendedAction: `Put it there, owned by the service's user, mode 0700.`,
    context: { name, folder },
  }),
  ScriptFailed: (name: string, exitCode: number, output: string) => ({
    summary: `the script ${name} ended with ${exitCode}: ${output}`,
    possibleCauses: 'What the script says above.',
    recommendedAction: 'Mend what it names and resume or restart the job.',
    context: { name, exitCode },
  }),
  ScriptTimedOut: (name: string, seconds: number, output: string) => ({
    summary: `the script ${name} did not end within ${seconds} s and was stopped with all that it had started${output === '' ? '' : `: ${output}`}`,
    possibleCauses: 'It waits for something, or has more to do than was thought.',
    recommendedAction: 'Allow it more time or make it faster.',
    context: { name, seconds },
  }),
  ScriptInterrupted: (name: string) => ({
    summary: `the machine went down while the script ${name} ran; it is not run a second time by itself`,
    possibleCauses: 'The appliance was rebooted, or lost power.',
    recommendedAction: 'See what the script has done, then restart the job if it may run again.',
    context: { name },
  }),
});
