/** What can go wrong in the process server. */
import type { HealthEvent } from '../model/health.ts';
import { catalogue, LeewardError } from '../platform/errors.ts';

export const processServerErrors = catalogue({
  NotEnrolled: (folder: string) => ({
    summary: `this process server is not enrolled at a configuration server: ${folder} has no identity`,
    possibleCauses: 'Its folder was emptied or moved.',
    recommendedAction: 'Enrol it again: process-server enrol --configuration-server HOST --key-file FILE.',
    context: { folder },
  }),
  WrongAssignment: (role: string) => ({
    summary: `the configuration server told this process server what a ${role} has to do`,
    possibleCauses: 'It was enrolled as something else, or the configuration server is of another version.',
    recommendedAction: 'Enrol this process server again.',
    context: { role },
  }),
  UnknownItem: (itemId: string) => ({
    summary: `this process server has no protected item ${itemId}`,
    possibleCauses: 'Protection was disabled, or the machine was assigned to another process server.',
    recommendedAction: 'Enable protection at the vault, or correct the address in the machine’s assignment.',
    context: { itemId },
  }),
  WrongCertificate: (itemId: string, peerName: string) => ({
    summary: `the certificate of ${peerName.slice(0, 100)} does not speak for the protected item ${itemId}`,
    possibleCauses: 'Certificates were mixed up between machines, or a machine claims to be another.',
    recommendedAction: 'Issue the machine its own certificate at the vault.',
    severity: 'critical' as const,
    context: { itemId },
  }),
  OldGeneration: (itemId: string, generation: number, highest: number) => ({
    summary: `a session of generation ${generation} came after one of generation ${highest}`,
    possibleCauses:
      'Two copies of the mobility service run (a cloned machine?), or an old one came back to life.',
    recommendedAction: 'Stop the copy, or give the machine that is to go on a higher generation.',
    context: { itemId, generation, highest },
  }),
  MachineReverted: (
    itemId: string,
    highestGeneration: number,
    received: { readonly generation: number; readonly sequence: number },
  ) => ({
    summary: `the machine goes on from an earlier moment than session ${received.generation}, of which ${received.sequence} frames are here`,
    possibleCauses: 'It was reverted, with its memory, to a snapshot.',
    recommendedAction:
      'Nothing: its disks are compared with their copies. Recovery points of the time that was undone stay.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: {
      itemId,
      highestGeneration,
      receivedGeneration: received.generation,
      receivedSequence: received.sequence,
    },
  }),
  MachineCopied: (itemId: string, hostName: string, why: string) => ({
    summary: `${hostName.slice(0, 100)} came with the identity of the machine that replicates here and was refused: ${why}`,
    possibleCauses:
      'It was cloned from that machine, or restored from a backup of it as a second one; or nearly all hardware under it was replaced.',
    recommendedAction:
      'Make the copy a machine of its own: leeward-mobility-service enrol, then systemctl restart leeward-mobility. If it is to take the place of the other one, which is gone for good: enrol --replace; where the assignment was written by hand, set machineIdentity in it.',
    severity: 'warning' as const,
    context: { itemId, hostName },
  }),
  MachineChanged: (itemId: string, hostName: string) => ({
    summary: `${hostName.slice(0, 100)} is in half of what identifies it another machine than the one that replicates here`,
    possibleCauses:
      'Its network card or its board was replaced, and the configuration server has not said yet that it is the same; or it is a copy.',
    recommendedAction:
      'Nothing while the configuration server can be reached: it settles this within a minute. Otherwise start the configuration server.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { itemId, hostName },
  }),
  SessionStillLive: (itemId: string) => ({
    summary:
      'another run of this machine, or an earlier moment of it, came while another one of this name is connected',
    possibleCauses:
      'It was started anew or reverted to a snapshot, and its old connection is not given up yet; or it is a clone of the machine that is connected.',
    recommendedAction:
      'Nothing if it was started anew or reverted: this is settled within a minute. Otherwise stop the clone.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { itemId },
  }),
  SessionFenced: (itemId: string, generation: number) => ({
    summary: `a newer session (generation ${generation}) of this machine has taken over`,
    possibleCauses: 'The mobility service was restarted or connected again, or two copies of it run.',
    recommendedAction: 'Nothing if it was restarted; otherwise stop the copy.',
    severity: 'warning' as const,
    context: { itemId, generation },
  }),
  DisksDoNotMatch: (itemId: string, detail: string) => ({
    summary: `the machine's disks are not those that are protected: ${detail}`,
    possibleCauses: 'A disk was added or removed, or the assignments at both ends are of different dates.',
    recommendedAction: 'Bring the assignments of machine and process server into line.',
    context: { itemId },
  }),
  VersionNotSupported: (itemId: string) => ({
    summary: 'the mobility service speaks no version of the protocol that this process server knows',
    possibleCauses: 'One of the two was upgraded and the other was not.',
    recommendedAction: 'Upgrade the older one.',
    context: { itemId },
  }),
  SpoolFull: (detail: string) => ({
    summary: `the spool is full: ${detail}`,
    possibleCauses:
      'Cache storage is unreachable or slower than the changes come, or the spool is too small.',
    recommendedAction:
      'Look at the connection to the vault; enlarge the spool. Machines wait meanwhile, nothing is lost.',
    severity: 'warning' as const,
    retry: 'transient' as const,
  }),
  SpoolDamaged: (detail: string, cause?: unknown) => ({
    summary: `the spool lost or damaged acknowledged data: ${detail}`,
    possibleCauses:
      'The disk under the spool is failing, or files in it were changed or restored from a copy.',
    recommendedAction: 'Check the disk. The machine’s disks are compared again by themselves.',
    severity: 'critical' as const,
    retry: 'transient' as const,
    cause,
  }),
  SpoolWriteFailed: (path: string, cause: unknown) => ({
    summary: `the spool could not be written: ${path}`,
    possibleCauses: 'The disk under the spool failed or is full.',
    recommendedAction: 'Check the disk. The machine sends again what was not acknowledged.',
    retry: 'transient' as const,
    context: { path },
    cause,
  }),
  ItemHalted: (itemId: string, why: string, cause?: unknown) => ({
    summary: `replication of this machine stands still: ${why}`,
    possibleCauses: 'See the reason.',
    recommendedAction: 'Mend what the reason names, then at the vault: leeward protected-item resync ITEM.',
    severity: 'critical' as const,
    // The machine asks again: nobody should have to go there once it is settled here.
    retry: 'transient' as const,
    context: { itemId },
    cause,
  }),
  ResyncOrdered: (itemId: string, cause: 'ReplicaInvalid' | 'Requested') => ({
    summary: `a new chain begins and every disk of this machine is compared with its replica (${cause})`,
    possibleCauses:
      cause === 'Requested'
        ? 'Somebody asked for it at the vault.'
        : 'The vault found something missing or wrong in cache storage and could not go on.',
    recommendedAction: 'Nothing: only what differs is sent again. Earlier recovery points are not touched.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { itemId, cause },
  }),
  ServerStopping: (itemId: string) => ({
    summary: 'the process server is stopping',
    possibleCauses: 'It is being restarted or upgraded.',
    recommendedAction: 'Nothing: the machine connects again by itself.',
    severity: 'warning' as const,
    retry: 'transient' as const,
    context: { itemId },
  }),
});

export function asLeewardError(error: unknown): LeewardError {
  if (error instanceof LeewardError) return error;
  return new LeewardError({
    code: 'Unexpected',
    summary: error instanceof Error ? error.message : String(error),
    possibleCauses: 'A defect of Leeward.',
    recommendedAction: 'Report it with the log.',
    retry: 'transient',
    cause: error,
  });
}

export function healthOf(error: LeewardError, nowMilliseconds: number): HealthEvent {
  const context: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(error.context)) if (value !== undefined) context[key] = value;
  return {
    code: error.code,
    severity: error.severity,
    summary: error.summary.slice(0, 2000),
    possibleCauses: error.possibleCauses.slice(0, 2000),
    recommendedAction: error.recommendedAction.slice(0, 2000),
    raisedAt: new Date(nowMilliseconds).toISOString(),
    context,
  };
}
