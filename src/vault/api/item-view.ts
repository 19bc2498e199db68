/**
 * A protected item as the API shows it, made of durable facts: the row, the data plane's tables, the machine's last report.
 * Pure, so that a list of thousands and a single item are rendered by the same lines.
 *
 *     RPO      = now − the moment of the newest recovery point (a bookmark that is whole on the replica store)
 *     health   = the conditions that hold (`reconcilers/health.ts`), and what was raised since the newest recovery point
 *     progress = of disks that are being compared; 100 % for the others
 */
import {
  allowedOperations,
  protectionStateDescriptions,
  testFailoverStateDescriptions,
} from '../../model/protection-state.ts';
import { childId } from '../../protocol/arm/resource-id.ts';
import type { ReportedMachine } from '../../protocol/control/site-link.ts';
import type { RaisedCondition } from '../store/conditions.ts';
import type { ItemFacts } from '../store/item-facts.ts';
import type { ItemResource } from '../store/protected-items.ts';
import { pick, recoveryFabricName } from './fabrics.ts';
import { conditionError, type HealthErrorView, healthError, healthOf } from './health-error.ts';
import { lastName, resourceView } from './noun.ts';

export interface ItemSurroundings {
  readonly facts: ItemFacts | undefined;
  readonly machine: ReportedMachine | undefined;
  readonly processServerName: string | undefined;
  readonly providerId: string | undefined;
  readonly fabricInstanceType: string;
  /** What the health reconciler says of it. */
  readonly raised: readonly RaisedCondition[];
  readonly now: number;
}

const mebibyte = 2 ** 20;

/** Undefined: there is no recovery point yet. */
export function rpoSeconds(facts: ItemFacts | undefined, now: number): number | undefined {
  const takenAt = facts?.latestPoint?.takenAt;
  return takenAt === undefined ? undefined : Math.max(0, Math.round((now - Date.parse(takenAt)) / 1000));
}

/**
 * Conditions that hold, and what has been raised since the newest recovery point: a point that was cut after an event shows
 * that what it spoke of has passed.
 */
export function itemHealth(item: ItemResource, around: ItemSurroundings): HealthErrorView[] {
  const found = around.raised.map(conditionError);
  const { facts } = around;
  // While nothing flows forward, nothing of it can be wrong.
  if (facts === undefined || item.condition.activeLocation !== 'Primary') return found;
  const since = facts.latestPoint?.processedAt ?? '';
  for (const event of facts.events)
    if (
      event.severity !== 'information' &&
      event.raisedAt > since &&
      !found.some(({ errorCode }) => errorCode === event.code)
    )
      found.push(healthError(event, item.id));
  return found;
}

/** Conditions of the failover, which say nothing of replication. */
const failoverCodes = ['FailoverFailed', 'TestFailoverFailed'];

function failoverHealth({ facts }: ItemSurroundings, errors: readonly HealthErrorView[]): string {
  const own = healthOf(errors.filter(({ errorCode }) => failoverCodes.includes(errorCode)));
  return own === 'Normal' && facts?.latestPoint === undefined ? 'None' : own;
}

/** The reference's way to say that nothing is going on. */
export const idleScenario = (vaultId: string) => ({
  scenarioName: 'None',
  jobId: childId(vaultId, 'replicationJobs', 'None'),
  startTime: '1753-01-01T01:01:01Z',
});

export function itemView(item: ItemResource, around: ItemSurroundings): unknown {
  const healthErrors = itemHealth(item, around);
  const { condition } = item;
  const containerName = lastName(item.containerId);
  return resourceView(item.id, {
    friendlyName: item.friendlyName,
    protectedItemType: around.fabricInstanceType === 'VMware' ? 'VMwareVirtualMachine' : 'Physical',
    protectableItemId: item.protectableItemId,
    ...(around.providerId === undefined ? {} : { recoveryServicesProviderId: around.providerId }),
    primaryFabricFriendlyName: item.fabricName,
    primaryFabricProvider: around.fabricInstanceType,
    recoveryFabricFriendlyName: recoveryFabricName,
    recoveryFabricId: recoveryFabricName,
    primaryProtectionContainerFriendlyName: containerName,
    recoveryProtectionContainerFriendlyName: recoveryFabricName,
    protectionState: condition.protectionState,
    protectionStateDescription: protectionStateDescriptions[condition.protectionState],
    activeLocation: condition.activeLocation,
    testFailoverState: condition.testFailoverState,
    testFailoverStateDescription: testFailoverStateDescriptions[condition.testFailoverState],
    switchProviderState: 'None',
    switchProviderStateDescription: 'None',
    allowedOperations: item.jobId === undefined ? allowedOperations(condition) : [],
    replicationHealth:
      around.facts === undefined
        ? 'None'
        : healthOf(healthErrors.filter(({ errorCode }) => !failoverCodes.includes(errorCode))),
    failoverHealth: failoverHealth(around, healthErrors),
    healthErrors,
    policyId: item.policyId,
    policyFriendlyName: lastName(item.policyId),
    ...(item.lastFailoverAt === undefined ? {} : { lastSuccessfulFailoverTime: item.lastFailoverAt }),
    ...(item.lastTestFailoverAt === undefined
      ? {}
      : { lastSuccessfulTestFailoverTime: item.lastTestFailoverAt }),
    currentScenario:
      item.jobId === undefined || item.scenario === undefined
        ? idleScenario(item.vaultId)
        : {
            scenarioName: item.scenario.name,
            jobId: childId(item.vaultId, 'replicationJobs', item.jobId),
            startTime: item.scenario.startedAt,
          },
    ...(item.failoverPointId === undefined
      ? {}
      : { failoverRecoveryPointId: childId(item.id, 'recoveryPoints', item.failoverPointId) }),
    providerSpecificDetails:
      item.instanceType === 'InMageRcm' ? rcmDetails(item, around) : azureV2Details(item, around),
    recoveryContainerId: recoveryFabricName,
    eventCorrelationId: item.itemId ?? '',
  });
}

/** A disk with all that is known of it; `diskId` for the API is the path by which clients chose it. */
interface DiskView {
  readonly path: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly state: 'empty' | 'initial' | 'resync' | 'in-sync';
  readonly progress: ItemFacts['progress'][number] | undefined;
  readonly percent: number;
}

function disksOf({ facts, machine }: ItemSurroundings): DiskView[] {
  return (facts?.disks ?? []).map(({ diskId, path }) => {
    const known = facts!.states.find((state) => state.diskId === diskId);
    const reported = machine?.disks.find((disk) => disk.path === path);
    const progress = facts!.progress.find((one) => one.diskId === diskId);
    const state = known?.state ?? 'empty';
    return {
      path,
      name: reported?.name ?? lastName(path),
      sizeBytes: known?.sizeBytes ?? reported?.sizeBytes ?? 0,
      state,
      progress: state === 'in-sync' ? undefined : progress,
      percent:
        state === 'in-sync'
          ? 100
          : progress === undefined || progress.totalBytes === 0
            ? 0
            : Math.min(99, Math.floor((100 * progress.doneBytes) / progress.totalBytes)),
    };
  });
}

/** Over all disks, by their sizes. */
function overall(disks: readonly DiskView[]): { percent: number; doneBytes: number; sentBytes: number } {
  const total = disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  const weighted = disks.reduce((sum, disk) => sum + disk.sizeBytes * disk.percent, 0);
  return {
    percent:
      total > 0 ? Math.floor(weighted / total) : disks.every(({ percent }) => percent === 100) ? 100 : 0,
    doneBytes: disks.reduce((sum, { progress }) => sum + (progress?.doneBytes ?? 0), 0),
    sentBytes: disks.reduce((sum, { progress }) => sum + (progress?.sentBytes ?? 0), 0),
  };
}

/** Yes and no, as the reference's text fields have them. */
const truth = (yes: boolean) => (yes ? 'true' : 'false');
const stageOf = {
  empty: 'InitialReplication',
  initial: 'InitialReplication',
  resync: 'Resync',
  'in-sync': 'DifferentialSync',
};

function azureV2Details(item: ItemResource, around: ItemSurroundings): unknown {
  const { facts, machine, now } = around;
  const sent = item.settings;
  const disks = disksOf(around);
  const rpo = rpoSeconds(facts, now);
  const { percent } = overall(disks);
  const at = new Date(now).toISOString();
  const target = pick(sent, [
    'enableRdpOnTargetOption',
    'targetAvailabilityZone',
    'targetProximityPlacementGroupId',
    'licenseType',
    'sqlServerLicenseType',
    'masterTargetId',
    'targetVmTags',
    'seedManagedDiskTags',
    'targetManagedDiskTags',
    'targetNicTags',
    'multiVmGroupId',
    'useManagedDisks',
  ]);
  const text = (name: string) => (sent[name] === undefined ? undefined : String(sent[name]));
  return {
    instanceType: 'InMageAzureV2',
    ...target,
    ...given({
      selectedRecoveryAzureNetworkId: text('targetAzureNetworkId'),
      selectedTfoAzureNetworkId: text('testNetworkId'),
      recoveryAzureVMSize: text('targetVmSize'),
      recoveryAzureStorageAccount: text('storageAccountId'),
      recoveryAzureLogStorageAccountId: text('logStorageAccountId'),
      recoveryAzureResourceGroupId:
        text('targetAzureV2ResourceGroupId') ?? text('targetAzureV1ResourceGroupId'),
      recoveryAvailabilitySetId: text('targetAvailabilitySetId'),
      multiVmGroupName: item.groupName,
      rpoInSeconds: rpo,
      lastRpoCalculatedTime: rpo === undefined ? undefined : at,
      lastUpdateReceivedTime: facts?.appliedAt,
      lastRecoveryPointReceived: facts?.latestPoint?.takenAt,
      lastHeartbeat: machine?.mobilityService.lastHeartbeatAt,
      agentVersion: machine?.mobilityService.version,
      ipAddress: machine?.addresses[0],
      sourceVmCpuCount: machine?.cpuCount,
      sourceVmRamSizeInMB: machine && Math.round(machine.memoryBytes / mebibyte),
      osVersion: machine?.osName,
      osName: machine?.osName,
      firmwareType: machine && (machine.firmware === 'efi' ? 'UEFI' : 'BIOS'),
      processServerName: around.processServerName,
      osDiskId: disks[0]?.path,
    }),
    infrastructureVmId: item.machineId,
    vmId: item.itemId ?? item.machineId,
    protectionStage: protectionStateDescriptions[item.condition.protectionState],
    vmProtectionState: item.condition.protectionState,
    vmProtectionStateDescription: protectionStateDescriptions[item.condition.protectionState],
    resyncProgressPercentage: percent,
    isAgentUpdateRequired: truth(false),
    isRebootAfterUpdateRequired: truth(false),
    processServerId: item.processServerId,
    multiVmSyncStatus: item.groupName === undefined ? 'Disabled' : 'Enabled',
    diskResized: truth(disks.some(({ progress }) => progress?.cause === 'DiskResized')),
    osType: 'Linux',
    recoveryAzureVMName: text('targetAzureVmName') ?? item.friendlyName,
    discoveryType: item.vCenterName === undefined ? 'Physical' : 'vCenter',
    vmNics: (machine?.addresses ?? []).map((_, index) => ({ nicId: `nic-${index}` })),
    datastores: [],
    validationErrors: [],
    replicaId: item.itemId ?? '',
    isAdditionalStatsAvailable: true,
    totalDataTransferred: overall(disks).sentBytes,
    totalProgressHealth: percent === 100 ? 'Normal' : 'InProgress',
    protectedDisks: disks.map((disk) => ({
      diskId: disk.path,
      diskName: disk.name,
      protectionStage: stageOf[disk.state],
      healthErrorCode: '0',
      ...given({ rpoInSeconds: rpo, lastRpoCalculatedTime: rpo === undefined ? undefined : at }),
      resyncRequired: truth(disk.state === 'resync'),
      resyncProgressPercentage: disk.percent,
      resyncDurationInSeconds:
        disk.progress === undefined
          ? 0
          : Math.max(0, Math.round((now - Date.parse(disk.progress.startedAt)) / 1000)),
      diskCapacityInBytes: disk.sizeBytes,
      fileSystemCapacityInBytes: disk.sizeBytes,
      targetDataInMegaBytes: 0,
      diskResized: truth(disk.progress?.cause === 'DiskResized'),
      resyncProcessedBytes: disk.progress?.doneBytes ?? 0,
      resyncTotalTransferredBytes: disk.progress?.sentBytes ?? 0,
      ...given({ resyncStartTime: disk.progress?.startedAt }),
      progressHealth: disk.progress === undefined ? 'None' : 'InProgress',
      progressStatus: disk.progress === undefined ? 'None' : 'InProgress',
    })),
    protectedManagedDisks: disks.map((disk, index) => ({
      diskId: disk.path,
      ...given({
        replicaDiskType: diskTypeOf(sent, disk.path),
        seedManagedDiskId: facts?.disks[index]?.diskId,
      }),
      targetDiskName: disk.name,
    })),
  };
}

function rcmDetails(item: ItemResource, around: ItemSurroundings): unknown {
  const { facts, machine, now } = around;
  const sent = item.settings;
  const disks = disksOf(around);
  const rpo = rpoSeconds(facts, now);
  const all = overall(disks);
  const isInitial = disks.length === 0 || disks.some(({ state }) => state === 'empty' || state === 'initial');
  const isResync = disks.some(({ state }) => state === 'resync');
  const chosen = (machine?.disks ?? []).filter(({ path }) => disks.some((disk) => disk.path === path));
  const target = pick(sent, [
    'licenseType',
    'linuxLicenseType',
    'targetVmName',
    'targetVmSize',
    'targetResourceGroupId',
    'targetAvailabilitySetId',
    'targetAvailabilityZone',
    'targetProximityPlacementGroupId',
    'targetBootDiagnosticsStorageAccountId',
    'targetNetworkId',
    'testNetworkId',
    'runAsAccountId',
    'targetVmTags',
    'seedManagedDiskTags',
    'targetManagedDiskTags',
    'targetNicTags',
    'sqlServerLicenseType',
    'targetVmSecurityProfile',
    'targetCapacityReservationGroupId',
  ]);
  const seen = (machine?.disks ?? []).filter(({ path }) => !disks.some((disk) => disk.path === path));
  return {
    instanceType: 'InMageRcm',
    ...target,
    ...given({
      multiVmGroupName: item.groupName,
      processorCoreCount: machine?.cpuCount,
      allocatedMemoryInMB: machine && machine.memoryBytes / mebibyte,
      processServerName: around.processServerName,
      firmwareType: machine && (machine.firmware === 'efi' ? 'UEFI' : 'BIOS'),
      targetGeneration: machine && (machine.firmware === 'efi' ? 'V2' : 'V1'),
      primaryNicIpAddress: machine?.addresses[0],
      failoverRecoveryPointId: item.failoverPointId,
      lastRecoveryPointReceived: facts?.latestPoint?.takenAt,
      lastRecoveryPointId: facts?.latestPoint?.pointId,
      lastRpoInSeconds: rpo,
      lastRpoCalculatedTime: rpo === undefined ? undefined : new Date(now).toISOString(),
      osName: machine?.osName,
    }),
    internalIdentifier: item.itemId ?? item.machineId,
    fabricDiscoveryMachineId: String(sent.fabricDiscoveryMachineId ?? item.protectableItemId),
    discoveryType: item.vCenterName === undefined ? 'Physical' : 'vCenter',
    processServerId: item.processServerId,
    osType: 'Linux',
    initialReplicationProgressPercentage: isInitial ? all.percent : 100,
    initialReplicationProcessedBytes: isInitial ? all.doneBytes : 0,
    initialReplicationTransferredBytes: isInitial ? all.sentBytes : 0,
    initialReplicationProgressHealth: isInitial && facts !== undefined ? 'InProgress' : 'None',
    resyncProgressPercentage: isResync ? all.percent : 0,
    resyncProcessedBytes: isResync ? all.doneBytes : 0,
    resyncTransferredBytes: isResync ? all.sentBytes : 0,
    resyncProgressHealth: isResync ? 'InProgress' : 'None',
    resyncRequired: truth(isResync),
    resyncState: isResync ? 'StartedResynchronization' : 'None',
    agentUpgradeState: 'None',
    protectedDisks: disks.map((disk, index) => {
      const details = {
        progressHealth: disk.progress === undefined ? 'None' : 'InProgress',
        transferredBytes: disk.progress?.sentBytes ?? 0,
        processedBytes: disk.progress?.doneBytes ?? 0,
        ...given({ startTime: disk.progress?.startedAt, lastRefreshTime: facts?.appliedAt }),
        progressPercentage: disk.percent,
      };
      const isFirst = disk.state === 'empty' || disk.state === 'initial';
      return {
        diskId: disk.path,
        diskName: disk.name,
        isOSDisk: truth(index === 0),
        capacityInBytes: disk.sizeBytes,
        diskState: isFirst ? 'InitialReplicationPending' : 'Protected',
        ...given({
          logStorageAccountId: ofDisk(sent, disk.path, 'logStorageAccountId'),
          diskEncryptionSetId: ofDisk(sent, disk.path, 'diskEncryptionSetId'),
          diskType: diskTypeOf(sent, disk.path),
          seedManagedDiskId: facts?.disks[index]?.diskId,
        }),
        isInitialReplicationComplete: truth(!isFirst),
        ...(isFirst ? { irDetails: details } : { resyncDetails: details }),
      };
    }),
    unprotectedDisks: seen.map((disk) => ({
      diskId: disk.path,
      diskName: disk.name,
      capacityInBytes: disk.sizeBytes,
    })),
    ...(machine === undefined
      ? {}
      : {
          mobilityAgentDetails: {
            version: machine.mobilityService.version,
            latestVersion: machine.mobilityService.version,
            driverVersion: machine.kernel,
            lastHeartbeatUtc: machine.mobilityService.lastHeartbeatAt,
            reasonsBlockingUpgrade: ['AlreadyOnLatestVersion'],
            isUpgradeable: truth(false),
            distroName: machine.osName,
          },
          discoveredVmDetails: {
            ipAddresses: machine.addresses,
            powerStatus: 'On',
            vmFqdn: machine.name,
            osName: machine.osName,
            isDeleted: false,
          },
        }),
    vmNics: Array.isArray(sent.vmNics)
      ? (sent.vmNics as Record<string, unknown>[]).map(nicView)
      : (machine?.addresses ?? []).map((address, index) => ({
          nicId: `nic-${index}`,
          isPrimaryNic: truth(index === 0),
          isSelectedForFailover: truth(index === 0),
          sourceIPAddress: address,
        })),
    lastAgentUpgradeErrorDetails: [],
    agentUpgradeBlockingErrorDetails: [],
    isAgentRegistrationSuccessfulAfterFailover: chosen.length > 0,
  };
}

/** As it was sent, in the names of the answer: a client that reads it back must find no difference. */
const nicView = (nic: Readonly<Record<string, unknown>>) =>
  given({
    nicId: nic.nicId,
    isPrimaryNic: nic.isPrimaryNic,
    isSelectedForFailover: nic.isSelectedForFailover,
    targetSubnetName: nic.targetSubnetName,
    targetIPAddress: nic.targetStaticIPAddress,
    testSubnetName: nic.testSubnetName,
    testIPAddress: nic.testStaticIPAddress,
  });

/** What `disksToInclude`, `disksDefault` or the settings of the whole machine say of a disk. */
function ofDisk(sent: Readonly<Record<string, unknown>>, path: string, field: string): string | undefined {
  const disks = (sent.disksToInclude ?? []) as Record<string, unknown>[];
  const own = disks.find(({ diskId }) => diskId === path)?.[field];
  const general = (sent.disksDefault as Record<string, unknown> | undefined)?.[field] ?? sent[field];
  const value = own ?? general;
  return value === undefined || value === null ? undefined : String(value);
}
/** Never missing: Terraform ends where a disk has no type. There is one kind of replica disk, so the plainest name. */
const diskTypeOf = (sent: Readonly<Record<string, unknown>>, path: string) =>
  ofDisk(sent, path, 'diskType') ?? 'Standard_LRS';

/** Without the fields that are not known. */
function given<T extends Record<string, unknown>>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}
