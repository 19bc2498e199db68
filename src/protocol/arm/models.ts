/**
 * The models of the API as types. Made by `make api` from `description/*.json`: change those, not this.
 */

export type A2ARecoveryAvailabilityType = 'Single' | 'AvailabilitySet' | 'AvailabilityZone' | (string & {});

export type A2ARpRecoveryPointType =
  | 'Latest'
  | 'LatestApplicationConsistent'
  | 'LatestCrashConsistent'
  | 'LatestProcessed'
  | (string & {});

export type AgentAutoUpdateStatus = 'Disabled' | 'Enabled' | (string & {});

export type AgentReinstallBlockedReason =
  | 'DistroNotSupported'
  | 'AgentNoHeartbeat'
  | 'Unknown'
  | (string & {});

export type AgentUpgradeBlockedReason =
  | 'AlreadyOnLatestVersion'
  | 'RebootRequired'
  | 'AgentNoHeartbeat'
  | 'RcmProxyNoHeartbeat'
  | 'ProcessServerNoHeartbeat'
  | 'IncompatibleApplianceVersion'
  | 'NotProtected'
  | 'UnsupportedProtectionScenario'
  | 'DistroIsNotReported'
  | 'DistroNotSupportedForUpgrade'
  | 'MissingUpgradePath'
  | 'InvalidAgentVersion'
  | 'InvalidDriverVersion'
  | 'ReInstallRequired'
  | 'Unknown'
  | (string & {});

export type AgentVersionStatus =
  | 'Supported'
  | 'NotSupported'
  | 'Deprecated'
  | 'UpdateRequired'
  | 'SecurityUpdateRequired'
  | (string & {});

export type AlertsState = 'Enabled' | 'Disabled' | (string & {});

export type AlternateLocationRecoveryOption = 'CreateVmIfNotFound' | 'NoAction' | (string & {});

export type AuthType =
  | 'Invalid'
  | 'ACS'
  | 'AAD'
  | 'AccessControlService'
  | 'AzureActiveDirectory'
  | (string & {});

export type AutoProtectionOfDataDisk = 'Disabled' | 'Enabled' | (string & {});

export type AutomationAccountAuthenticationType = 'RunAsAccount' | 'SystemAssignedIdentity' | (string & {});

export type BCDRSecurityLevel = 'Poor' | 'Fair' | 'Good' | 'Excellent' | (string & {});

export type BackupStorageVersion = 'V1' | 'V2' | 'Unassigned' | (string & {});

export type ChurnOptionSelected = 'Normal' | 'High' | (string & {});

export type ClusterRecoveryPointType =
  | 'NotSpecified'
  | 'ApplicationConsistent'
  | 'CrashConsistent'
  | (string & {});

export type CreatedByType = 'User' | 'Application' | 'ManagedIdentity' | 'Key' | (string & {});

export type CrossRegionRestore = 'Enabled' | 'Disabled' | (string & {});

export type CrossSubscriptionRestoreState = 'Enabled' | 'Disabled' | 'PermanentlyDisabled' | (string & {});

export type DataSyncStatus = 'ForDownTime' | 'ForSynchronization' | (string & {});

export type DisableProtectionReason = 'NotSpecified' | 'MigrationComplete' | (string & {});

export type DiskAccountType =
  | 'Standard_LRS'
  | 'Premium_LRS'
  | 'StandardSSD_LRS'
  | 'PremiumV2_LRS'
  | 'UltraSSD_LRS'
  | 'StandardSSD_ZRS'
  | 'Premium_ZRS'
  | (string & {});

export type DiskReplicationProgressHealth =
  | 'None'
  | 'InProgress'
  | 'SlowProgress'
  | 'NoProgress'
  | 'Queued'
  | (string & {});

export type DiskState =
  | 'Unavailable'
  | 'InitialReplicationPending'
  | 'InitialReplicationFailed'
  | 'Protected'
  | (string & {});

export type EnhancedSecurityState = 'Invalid' | 'Enabled' | 'Disabled' | 'AlwaysON' | (string & {});

export type EthernetAddressType = 'Dynamic' | 'Static' | (string & {});

export type ExportJobOutputSerializationType = 'Json' | 'Xml' | 'Excel' | (string & {});

export type ExtendedLocationType = 'EdgeZone' | (string & {});

export type FailoverDeploymentModel = 'NotApplicable' | 'Classic' | 'ResourceManager' | (string & {});

export type FailoverDirection = 'PrimaryToRecovery' | 'RecoveryToPrimary' | (string & {});

export type GranularityLevel =
  | 'VaultLevel'
  | 'ProtectedItemLevel'
  | 'ProtectedItemWithParentTag'
  | (string & {});

export type HealthErrorCategory =
  | 'None'
  | 'Replication'
  | 'TestFailover'
  | 'Configuration'
  | 'FabricInfrastructure'
  | 'VersionExpiry'
  | 'AgentAutoUpdateInfra'
  | 'AgentAutoUpdateArtifactDeleted'
  | 'AgentAutoUpdateRunAsAccount'
  | 'AgentAutoUpdateRunAsAccountExpiry'
  | 'AgentAutoUpdateRunAsAccountExpired'
  | (string & {});

export type HealthErrorCustomerResolvability = 'Allowed' | 'NotAllowed' | (string & {});

export type HyperVReplicaAzureRpRecoveryPointType =
  | 'Latest'
  | 'LatestApplicationConsistent'
  | 'LatestProcessed'
  | (string & {});

export type IdentityType = 'SystemAssigned' | 'UserAssigned' | (string & {});

export type ImmutabilityState = 'Disabled' | 'Unlocked' | 'Locked' | (string & {});

export type ImmutabilityType = 'AsPerPolicy' | 'TimeBased' | (string & {});

export type InMageRcmFailbackRecoveryPointType = 'ApplicationConsistent' | 'CrashConsistent' | (string & {});

export type InMageV2RpRecoveryPointType =
  | 'Latest'
  | 'LatestApplicationConsistent'
  | 'LatestCrashConsistent'
  | 'LatestProcessed'
  | (string & {});

export type InfrastructureEncryptionState = 'Enabled' | 'Disabled' | (string & {});

export type LicenseType = 'NotSpecified' | 'NoLicenseType' | 'WindowsServer' | (string & {});

export type LinuxLicenseType = 'NotSpecified' | 'NoLicenseType' | 'LinuxServer' | (string & {});

export type MigrationItemOperation =
  | 'DisableMigration'
  | 'TestMigrate'
  | 'TestMigrateCleanup'
  | 'Migrate'
  | 'StartResync'
  | 'PauseReplication'
  | 'ResumeReplication'
  | (string & {});

export type MigrationRecoveryPointType =
  | 'NotSpecified'
  | 'ApplicationConsistent'
  | 'CrashConsistent'
  | (string & {});

export type MigrationState =
  | 'None'
  | 'EnableMigrationInProgress'
  | 'EnableMigrationFailed'
  | 'DisableMigrationInProgress'
  | 'DisableMigrationFailed'
  | 'InitialSeedingInProgress'
  | 'InitialSeedingFailed'
  | 'Replicating'
  | 'MigrationInProgress'
  | 'MigrationSucceeded'
  | 'MigrationFailed'
  | 'ResumeInProgress'
  | 'ResumeInitiated'
  | 'SuspendingProtection'
  | 'ProtectionSuspended'
  | 'MigrationCompletedWithInformation'
  | 'MigrationPartiallySucceeded'
  | (string & {});

export type MobilityAgentReinstallType = 'UserTriggered' | 'AutoTriggered' | (string & {});

export type MobilityAgentUpgradeState = 'None' | 'Started' | 'Completed' | 'Commit' | (string & {});

export type MultiUserAuthorization = 'Invalid' | 'Enabled' | 'Disabled' | (string & {});

export type MultiVmGroupCreateOption = 'AutoCreated' | 'UserSpecified' | (string & {});

export type MultiVmSyncPointOption = 'UseMultiVmSyncRecoveryPoint' | 'UsePerVmRecoveryPoint' | (string & {});

export type PlannedFailoverStatus = 'Succeeded' | 'Failed' | 'Cancelled' | 'Unknown' | (string & {});

export type PossibleOperationsDirections = 'PrimaryToRecovery' | 'RecoveryToPrimary' | (string & {});

export type PresenceStatus = 'Unknown' | 'Present' | 'NotPresent' | (string & {});

export type PrivateEndpointConnectionStatus =
  | 'Pending'
  | 'Approved'
  | 'Rejected'
  | 'Disconnected'
  | (string & {});

export type ProtectionHealth = 'None' | 'Normal' | 'Warning' | 'Critical' | (string & {});

export type ProvisioningState = 'Succeeded' | 'Deleting' | 'Failed' | 'Pending' | (string & {});

export type PublicNetworkAccess = 'Enabled' | 'Disabled' | (string & {});

export type RcmComponentStatus = 'Healthy' | 'Warning' | 'Critical' | 'Unknown' | (string & {});

export type RecoveryPlanActionLocation = 'Primary' | 'Recovery' | (string & {});

export type RecoveryPlanGroupType = 'Shutdown' | 'Boot' | 'Failover' | (string & {});

export type RecoveryPlanPointType =
  | 'Latest'
  | 'LatestApplicationConsistent'
  | 'LatestCrashConsistent'
  | 'LatestProcessed'
  | (string & {});

export type RecoveryPointSyncType = 'MultiVmSyncRecoveryPoint' | 'PerVmRecoveryPoint' | (string & {});

export type RecoveryPointType = 'LatestTime' | 'LatestTag' | 'Custom' | (string & {});

export type ReplicationProtectedItemOperation =
  | 'ReverseReplicate'
  | 'Commit'
  | 'PlannedFailover'
  | 'UnplannedFailover'
  | 'DisableProtection'
  | 'TestFailover'
  | 'TestFailoverCleanup'
  | 'Failback'
  | 'FinalizeFailback'
  | 'CancelFailover'
  | 'ChangePit'
  | 'RepairReplication'
  | 'SwitchProtection'
  | 'CompleteMigration'
  | (string & {});

export type ResourceIdentityType =
  | 'SystemAssigned'
  | 'None'
  | 'UserAssigned'
  | 'SystemAssigned, UserAssigned'
  | (string & {});

export type ResourceMoveState =
  | 'Unknown'
  | 'InProgress'
  | 'PrepareFailed'
  | 'CommitFailed'
  | 'PrepareTimedout'
  | 'CommitTimedout'
  | 'MoveSucceeded'
  | 'Failure'
  | 'CriticalFailure'
  | 'PartialSuccess'
  | (string & {});

export type ResyncState =
  | 'None'
  | 'PreparedForResynchronization'
  | 'StartedResynchronization'
  | (string & {});

export type RpInMageRecoveryPointType = 'LatestTime' | 'LatestTag' | 'Custom' | (string & {});

export type SecureScoreLevel = 'None' | 'Minimum' | 'Adequate' | 'Maximum' | (string & {});

export type SecurityConfiguration = 'Disabled' | 'Enabled' | (string & {});

export type SecurityType = 'None' | 'TrustedLaunch' | 'ConfidentialVM' | (string & {});

export type SetMultiVmSyncStatus = 'Enable' | 'Disable' | (string & {});

export type Severity = 'NONE' | 'Warning' | 'Error' | 'Info' | (string & {});

export type SkuName = 'Standard' | 'RS0' | (string & {});

export type SoftDeleteState = 'Invalid' | 'Enabled' | 'Disabled' | 'AlwaysON' | (string & {});

export type SourceSiteOperations = 'Required' | 'NotRequired' | (string & {});

export type SqlServerLicenseType = 'NotSpecified' | 'NoLicenseType' | 'PAYG' | 'AHUB' | (string & {});

export type StandardTierStorageRedundancy =
  | 'Invalid'
  | 'LocallyRedundant'
  | 'GeoRedundant'
  | 'ZoneRedundant'
  | (string & {});

export type State = 'Invalid' | 'Enabled' | 'Disabled' | (string & {});

export type TestMigrationState =
  | 'None'
  | 'TestMigrationInProgress'
  | 'TestMigrationSucceeded'
  | 'TestMigrationFailed'
  | 'TestMigrationCleanupInProgress'
  | 'TestMigrationCompletedWithInformation'
  | 'TestMigrationPartiallySucceeded'
  | (string & {});

export type TriggerType = 'UserTriggered' | 'ForcedUpgrade' | (string & {});

export type UsagesUnit =
  | 'Count'
  | 'Bytes'
  | 'Seconds'
  | 'Percent'
  | 'CountPerSecond'
  | 'BytesPerSecond'
  | (string & {});

export type VaultPrivateEndpointState = 'None' | 'Enabled' | (string & {});

export type VaultSubResourceType =
  | 'AzureBackup'
  | 'AzureBackup_secondary'
  | 'AzureSiteRecovery'
  | (string & {});

export type VaultUpgradeState = 'Unknown' | 'InProgress' | 'Upgraded' | 'Failed' | (string & {});

export type VmEncryptionType = 'NotEncrypted' | 'OnePassEncrypted' | 'TwoPassEncrypted' | (string & {});

export type VmReplicationProgressHealth =
  | 'None'
  | 'InProgress'
  | 'SlowProgress'
  | 'NoProgress'
  | (string & {});

export interface A2AAddDisksInput {
  instanceType: 'A2A';
  vmDisks?: A2AVmDiskInputDetails[] | undefined;
  vmManagedDisks?: A2AVmManagedDiskInputDetails[] | undefined;
}

export interface A2AAgentReinstallBlockingErrorDetails {
  errorCode?: string | undefined;
  errorMessage?: string | undefined;
  possibleCauses?: string | undefined;
  recommendedAction?: string | undefined;
  errorMessageParameters?: { [name: string]: string } | undefined;
  errorTags?: { [name: string]: string } | undefined;
}

export interface A2AApplyClusterRecoveryPointInput {
  instanceType: 'A2A';
}

export interface A2AApplyRecoveryPointInput {
  instanceType: 'A2A';
}

export interface A2AClusterRecoveryPointDetails {
  instanceType: 'A2A';
  recoveryPointSyncType?: RecoveryPointSyncType | undefined;
  nodes?: string[] | undefined;
}

export interface A2AClusterTestFailoverInput {
  instanceType: 'A2A';
  clusterRecoveryPointId?: string | undefined;
  individualNodeRecoveryPoints?: string[] | undefined;
}

export interface A2AClusterUnplannedFailoverInput {
  instanceType: 'A2A';
  clusterRecoveryPointId?: string | undefined;
  individualNodeRecoveryPoints?: string[] | undefined;
}

export interface A2AContainerCreationInput {
  instanceType: 'A2A';
}

export interface A2AContainerMappingInput {
  instanceType: 'A2A';
  agentAutoUpdateStatus?: AgentAutoUpdateStatus | undefined;
  automationAccountArmId?: string | undefined;
  automationAccountAuthenticationType?: AutomationAccountAuthenticationType | undefined;
}

export interface A2ACreateProtectionIntentInput {
  instanceType: 'A2A';
  fabricObjectId: string;
  primaryLocation: string;
  recoveryLocation: string;
  recoverySubscriptionId: string;
  recoveryAvailabilityType: A2ARecoveryAvailabilityType;
  protectionProfileCustomInput?: ProtectionProfileCustomDetails | undefined;
  recoveryResourceGroupId: string;
  primaryStagingStorageAccountCustomInput?: StorageAccountCustomDetails | undefined;
  recoveryAvailabilitySetCustomInput?: RecoveryAvailabilitySetCustomDetails | undefined;
  recoveryVirtualNetworkCustomInput?: RecoveryVirtualNetworkCustomDetails | undefined;
  recoveryProximityPlacementGroupCustomInput?: RecoveryProximityPlacementGroupCustomDetails | undefined;
  autoProtectionOfDataDisk?: AutoProtectionOfDataDisk | undefined;
  vmDisks?: A2AProtectionIntentDiskInputDetails[] | undefined;
  vmManagedDisks?: A2AProtectionIntentManagedDiskInputDetails[] | undefined;
  multiVmGroupName?: string | undefined;
  multiVmGroupId?: string | undefined;
  recoveryBootDiagStorageAccount?: StorageAccountCustomDetails | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
  recoveryAvailabilityZone?: string | undefined;
  agentAutoUpdateStatus?: AgentAutoUpdateStatus | undefined;
  automationAccountAuthenticationType?: AutomationAccountAuthenticationType | undefined;
  automationAccountArmId?: string | undefined;
}

export interface A2ACrossClusterMigrationApplyRecoveryPointInput {
  instanceType: 'A2ACrossClusterMigration';
}

export interface A2ACrossClusterMigrationContainerCreationInput {
  instanceType: 'A2ACrossClusterMigration';
}

export interface A2ACrossClusterMigrationEnableProtectionInput {
  instanceType: 'A2ACrossClusterMigration';
  fabricObjectId?: string | undefined;
  recoveryContainerId?: string | undefined;
}

export interface A2ACrossClusterMigrationPolicyCreationInput {
  instanceType: 'A2ACrossClusterMigration';
}

export interface A2ACrossClusterMigrationReplicationDetails {
  instanceType: 'A2ACrossClusterMigration';
  fabricObjectId?: string | undefined;
  primaryFabricLocation?: string | undefined;
  osType?: string | undefined;
  vmProtectionState?: string | undefined;
  vmProtectionStateDescription?: string | undefined;
  lifecycleId?: string | undefined;
}

export interface A2AEnableProtectionInput {
  instanceType: 'A2A';
  fabricObjectId: string;
  recoveryContainerId?: string | undefined;
  recoveryResourceGroupId?: string | undefined;
  recoveryCloudServiceId?: string | undefined;
  recoveryAvailabilitySetId?: string | undefined;
  recoveryProximityPlacementGroupId?: string | undefined;
  vmDisks?: A2AVmDiskInputDetails[] | undefined;
  vmManagedDisks?: A2AVmManagedDiskInputDetails[] | undefined;
  multiVmGroupName?: string | undefined;
  multiVmGroupId?: string | undefined;
  protectionClusterId?: string | undefined;
  recoveryBootDiagStorageAccountId?: string | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
  recoveryAvailabilityZone?: string | undefined;
  recoveryExtendedLocation?: ExtendedLocation | undefined;
  recoveryAzureNetworkId?: string | undefined;
  recoverySubnetName?: string | undefined;
  recoveryVirtualMachineScaleSetId?: string | undefined;
  recoveryCapacityReservationGroupId?: string | undefined;
  platformFaultDomain?: number | undefined;
  autoProtectionOfDataDisk?: AutoProtectionOfDataDisk | undefined;
}

export interface A2AEventDetails {
  instanceType: 'A2A';
  protectedItemName?: string | undefined;
  fabricObjectId?: string | undefined;
  fabricName?: string | undefined;
  fabricLocation?: string | undefined;
  remoteFabricName?: string | undefined;
  remoteFabricLocation?: string | undefined;
}

export interface A2AExtendedLocationDetails {
  primaryExtendedLocation?: ExtendedLocation | undefined;
  recoveryExtendedLocation?: ExtendedLocation | undefined;
}

export interface A2AFabricSpecificLocationDetails {
  initialPrimaryZone?: string | undefined;
  initialRecoveryZone?: string | undefined;
  initialPrimaryExtendedLocation?: ExtendedLocation | undefined;
  initialRecoveryExtendedLocation?: ExtendedLocation | undefined;
  initialPrimaryFabricLocation?: string | undefined;
  initialRecoveryFabricLocation?: string | undefined;
  primaryZone?: string | undefined;
  recoveryZone?: string | undefined;
  primaryExtendedLocation?: ExtendedLocation | undefined;
  recoveryExtendedLocation?: ExtendedLocation | undefined;
  primaryFabricLocation?: string | undefined;
  recoveryFabricLocation?: string | undefined;
}

export interface A2APolicyCreationInput {
  instanceType: 'A2A';
  recoveryPointHistory?: number | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  multiVmSyncStatus: SetMultiVmSyncStatus;
}

export interface A2APolicyDetails {
  instanceType: 'A2A';
  recoveryPointThresholdInMinutes?: number | undefined;
  recoveryPointHistory?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  multiVmSyncStatus?: string | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
}

export interface A2AProtectedDiskDetails {
  diskUri?: string | undefined;
  recoveryAzureStorageAccountId?: string | undefined;
  primaryDiskAzureStorageAccountId?: string | undefined;
  recoveryDiskUri?: string | undefined;
  diskName?: string | undefined;
  diskCapacityInBytes?: number | undefined;
  primaryStagingAzureStorageAccountId?: string | undefined;
  diskType?: string | undefined;
  resyncRequired?: boolean | undefined;
  monitoringPercentageCompletion?: number | undefined;
  monitoringJobType?: string | undefined;
  dataPendingInStagingStorageAccountInMB?: number | undefined;
  dataPendingAtSourceAgentInMB?: number | undefined;
  diskState?: string | undefined;
  allowedDiskLevelOperation?: string[] | undefined;
  isDiskEncrypted?: boolean | undefined;
  secretIdentifier?: string | undefined;
  dekKeyVaultArmId?: string | undefined;
  isDiskKeyEncrypted?: boolean | undefined;
  keyIdentifier?: string | undefined;
  kekKeyVaultArmId?: string | undefined;
  failoverDiskName?: string | undefined;
  tfoDiskName?: string | undefined;
}

export interface A2AProtectedItemDetail {
  vmManagedDisks?: A2AVmManagedDiskInputDetails[] | undefined;
  recoveryResourceGroupId?: string | undefined;
  recoveryAvailabilitySetId?: string | undefined;
  recoveryBootDiagStorageAccountId?: string | undefined;
  recoveryAvailabilityZone?: string | undefined;
  recoveryProximityPlacementGroupId?: string | undefined;
  recoveryVirtualMachineScaleSetId?: string | undefined;
  recoveryCapacityReservationGroupId?: string | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
  replicationProtectedItemName?: string | undefined;
}

export interface A2AProtectedManagedDiskDetails {
  diskId?: string | undefined;
  recoveryResourceGroupId?: string | undefined;
  recoveryTargetDiskId?: string | undefined;
  recoveryReplicaDiskId?: string | undefined;
  recoveryOrignalTargetDiskId?: string | undefined;
  recoveryReplicaDiskAccountType?: string | undefined;
  recoveryTargetDiskAccountType?: string | undefined;
  recoveryDiskEncryptionSetId?: string | undefined;
  primaryDiskEncryptionSetId?: string | undefined;
  diskName?: string | undefined;
  diskCapacityInBytes?: number | undefined;
  primaryStagingAzureStorageAccountId?: string | undefined;
  diskType?: string | undefined;
  resyncRequired?: boolean | undefined;
  monitoringPercentageCompletion?: number | undefined;
  monitoringJobType?: string | undefined;
  dataPendingInStagingStorageAccountInMB?: number | undefined;
  dataPendingAtSourceAgentInMB?: number | undefined;
  diskState?: string | undefined;
  allowedDiskLevelOperation?: string[] | undefined;
  isDiskEncrypted?: boolean | undefined;
  secretIdentifier?: string | undefined;
  dekKeyVaultArmId?: string | undefined;
  isDiskKeyEncrypted?: boolean | undefined;
  keyIdentifier?: string | undefined;
  kekKeyVaultArmId?: string | undefined;
  failoverDiskName?: string | undefined;
  tfoDiskName?: string | undefined;
}

export interface A2AProtectionContainerMappingDetails {
  instanceType: 'A2A';
  agentAutoUpdateStatus?: AgentAutoUpdateStatus | undefined;
  automationAccountArmId?: string | undefined;
  automationAccountAuthenticationType?: AutomationAccountAuthenticationType | undefined;
  scheduleName?: string | undefined;
  jobScheduleName?: string | undefined;
}

export interface A2AProtectionIntentDiskInputDetails {
  diskUri: string;
  recoveryAzureStorageAccountCustomInput?: StorageAccountCustomDetails | undefined;
  primaryStagingStorageAccountCustomInput?: StorageAccountCustomDetails | undefined;
}

export interface A2AProtectionIntentManagedDiskInputDetails {
  diskId: string;
  primaryStagingStorageAccountCustomInput?: StorageAccountCustomDetails | undefined;
  recoveryResourceGroupCustomInput?: RecoveryResourceGroupCustomDetails | undefined;
  recoveryReplicaDiskAccountType?: string | undefined;
  recoveryTargetDiskAccountType?: string | undefined;
  recoveryDiskEncryptionSetId?: string | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
}

export interface A2ARecoveryPointDetails {
  instanceType: 'A2A';
  recoveryPointSyncType?: RecoveryPointSyncType | undefined;
  disks?: string[] | undefined;
}

export interface A2ARemoveDisksInput {
  instanceType: 'A2A';
  vmDisksUris?: string[] | undefined;
  vmManagedDisksIds?: string[] | undefined;
}

export interface A2AReplicationDetails {
  instanceType: 'A2A';
  fabricObjectId?: string | undefined;
  readonly initialPrimaryZone?: string | undefined;
  readonly initialPrimaryFabricLocation?: string | undefined;
  readonly initialRecoveryZone?: string | undefined;
  initialPrimaryExtendedLocation?: ExtendedLocation | undefined;
  initialRecoveryExtendedLocation?: ExtendedLocation | undefined;
  readonly initialRecoveryFabricLocation?: string | undefined;
  multiVmGroupId?: string | undefined;
  multiVmGroupName?: string | undefined;
  multiVmGroupCreateOption?: MultiVmGroupCreateOption | undefined;
  managementId?: string | undefined;
  protectionClusterId?: string | undefined;
  isClusterInfraReady?: boolean | undefined;
  protectedDisks?: A2AProtectedDiskDetails[] | undefined;
  unprotectedDisks?: A2AUnprotectedDiskDetails[] | undefined;
  protectedManagedDisks?: A2AProtectedManagedDiskDetails[] | undefined;
  recoveryBootDiagStorageAccountId?: string | undefined;
  primaryFabricLocation?: string | undefined;
  recoveryFabricLocation?: string | undefined;
  osType?: string | undefined;
  recoveryAzureVMSize?: string | undefined;
  recoveryAzureVMName?: string | undefined;
  recoveryAzureResourceGroupId?: string | undefined;
  recoveryCloudService?: string | undefined;
  recoveryAvailabilitySet?: string | undefined;
  selectedRecoveryAzureNetworkId?: string | undefined;
  selectedTfoAzureNetworkId?: string | undefined;
  vmNics?: VMNicDetails[] | undefined;
  vmSyncedConfigDetails?: AzureToAzureVmSyncedConfigDetails | undefined;
  monitoringPercentageCompletion?: number | undefined;
  monitoringJobType?: string | undefined;
  lastHeartbeat?: string | undefined;
  agentVersion?: string | undefined;
  agentExpiryDate?: string | undefined;
  isReplicationAgentUpdateRequired?: boolean | undefined;
  readonly agentCertificateExpiryDate?: string | undefined;
  isReplicationAgentCertificateUpdateRequired?: boolean | undefined;
  recoveryFabricObjectId?: string | undefined;
  vmProtectionState?: string | undefined;
  vmProtectionStateDescription?: string | undefined;
  lifecycleId?: string | undefined;
  testFailoverRecoveryFabricObjectId?: string | undefined;
  rpoInSeconds?: number | undefined;
  lastRpoCalculatedTime?: string | undefined;
  primaryAvailabilityZone?: string | undefined;
  recoveryAvailabilityZone?: string | undefined;
  primaryExtendedLocation?: ExtendedLocation | undefined;
  recoveryExtendedLocation?: ExtendedLocation | undefined;
  readonly vmEncryptionType?: VmEncryptionType | undefined;
  tfoAzureVMName?: string | undefined;
  readonly recoveryAzureGeneration?: string | undefined;
  recoveryProximityPlacementGroupId?: string | undefined;
  autoProtectionOfDataDisk?: AutoProtectionOfDataDisk | undefined;
  recoveryVirtualMachineScaleSetId?: string | undefined;
  recoveryCapacityReservationGroupId?: string | undefined;
  readonly churnOptionSelected?: ChurnOptionSelected | undefined;
  agentReinstallAttemptToVersion?: string | undefined;
  osFamilyName?: string | undefined;
  distroName?: string | undefined;
  distroNameForWhichAgentIsInstalled?: string | undefined;
  isAgentUpgradeable?: boolean | undefined;
  isAgentReinstallRequired?: boolean | undefined;
  reasonsBlockingReInstall?: string | undefined;
  reasonsBlockingReinstallDetails?: A2AAgentReinstallBlockingErrorDetails[] | undefined;
  isAgentUpgradeInProgress?: boolean | undefined;
  autoAgentUpgradeRetryCount?: number | undefined;
  isAgentUpgradeRetryThresholdExhausted?: boolean | undefined;
  platformFaultDomain?: number | undefined;
}

export interface A2AReplicationIntentDetails {
  instanceType: 'A2A';
  fabricObjectId?: string | undefined;
  primaryLocation?: string | undefined;
  recoveryLocation?: string | undefined;
  recoverySubscriptionId?: string | undefined;
  vmDisks?: A2AProtectionIntentDiskInputDetails[] | undefined;
  vmManagedDisks?: A2AProtectionIntentManagedDiskInputDetails[] | undefined;
  recoveryResourceGroupId?: string | undefined;
  protectionProfile?: ProtectionProfileCustomDetails | undefined;
  primaryStagingStorageAccount?: StorageAccountCustomDetails | undefined;
  recoveryAvailabilitySet?: RecoveryAvailabilitySetCustomDetails | undefined;
  recoveryVirtualNetwork?: RecoveryVirtualNetworkCustomDetails | undefined;
  recoveryProximityPlacementGroup?: RecoveryProximityPlacementGroupCustomDetails | undefined;
  autoProtectionOfDataDisk?: AutoProtectionOfDataDisk | undefined;
  multiVmGroupName?: string | undefined;
  multiVmGroupId?: string | undefined;
  recoveryBootDiagStorageAccount?: StorageAccountCustomDetails | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
  recoveryAvailabilityZone?: string | undefined;
  recoveryAvailabilityType: string;
  agentAutoUpdateStatus?: AgentAutoUpdateStatus | undefined;
  automationAccountArmId?: string | undefined;
  automationAccountAuthenticationType?: AutomationAccountAuthenticationType | undefined;
}

export interface A2AReplicationProtectionClusterDetails {
  instanceType: 'A2A';
  multiVmGroupId?: string | undefined;
  multiVmGroupName?: string | undefined;
  multiVmGroupCreateOption?: MultiVmGroupCreateOption | undefined;
  primaryFabricLocation?: string | undefined;
  recoveryFabricLocation?: string | undefined;
  failoverRecoveryPointId?: string | undefined;
  clusterManagementId?: string | undefined;
  rpoInSeconds?: number | undefined;
  lastRpoCalculatedTime?: string | undefined;
  initialPrimaryZone?: string | undefined;
  initialPrimaryFabricLocation?: string | undefined;
  initialRecoveryZone?: string | undefined;
  initialRecoveryFabricLocation?: string | undefined;
  initialPrimaryExtendedLocation?: ExtendedLocation | undefined;
  initialRecoveryExtendedLocation?: ExtendedLocation | undefined;
  primaryAvailabilityZone?: string | undefined;
  recoveryAvailabilityZone?: string | undefined;
  primaryExtendedLocation?: ExtendedLocation | undefined;
  recoveryExtendedLocation?: ExtendedLocation | undefined;
  lifecycleId?: string | undefined;
}

export interface A2AReprotectInput {
  instanceType: 'A2A';
  recoveryContainerId?: string | undefined;
  vmDisks?: A2AVmDiskInputDetails[] | undefined;
  recoveryResourceGroupId?: string | undefined;
  recoveryCloudServiceId?: string | undefined;
  recoveryAvailabilitySetId?: string | undefined;
  policyId?: string | undefined;
}

export interface A2ASharedDiskIRErrorDetails {
  readonly errorCode?: string | undefined;
  readonly errorCodeEnum?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly possibleCauses?: string | undefined;
  readonly recommendedAction?: string | undefined;
}

export interface A2ASharedDiskReplicationDetails {
  instanceType: 'A2A';
  managementId?: string | undefined;
  unprotectedDisks?: A2AUnprotectedDiskDetails[] | undefined;
  protectedManagedDisks?: A2AProtectedManagedDiskDetails[] | undefined;
  primaryFabricLocation?: string | undefined;
  recoveryFabricLocation?: string | undefined;
  failoverRecoveryPointId?: string | undefined;
  monitoringPercentageCompletion?: number | undefined;
  monitoringJobType?: string | undefined;
  rpoInSeconds?: number | undefined;
  lastRpoCalculatedTime?: string | undefined;
  sharedDiskIRErrors?: A2ASharedDiskIRErrorDetails[] | undefined;
}

export interface A2ASwitchClusterProtectionInput {
  instanceType: 'A2A';
  recoveryContainerId?: string | undefined;
  policyId?: string | undefined;
  protectedItemsDetail?: A2AProtectedItemDetail[] | undefined;
}

export interface A2ASwitchProtectionInput {
  instanceType: 'A2A';
  recoveryContainerId?: string | undefined;
  vmDisks?: A2AVmDiskInputDetails[] | undefined;
  vmManagedDisks?: A2AVmManagedDiskInputDetails[] | undefined;
  recoveryResourceGroupId?: string | undefined;
  recoveryCloudServiceId?: string | undefined;
  recoveryAvailabilitySetId?: string | undefined;
  policyId?: string | undefined;
  recoveryBootDiagStorageAccountId?: string | undefined;
  recoveryAvailabilityZone?: string | undefined;
  recoveryProximityPlacementGroupId?: string | undefined;
  recoveryVirtualMachineScaleSetId?: string | undefined;
  recoveryCapacityReservationGroupId?: string | undefined;
  platformFaultDomain?: number | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
}

export interface A2ATestFailoverInput {
  instanceType: 'A2A';
  recoveryPointId?: string | undefined;
  cloudServiceCreationOption?: string | undefined;
}

export interface A2AUnplannedFailoverInput {
  instanceType: 'A2A';
  recoveryPointId?: string | undefined;
  cloudServiceCreationOption?: string | undefined;
}

export interface A2AUnprotectedDiskDetails {
  diskLunId?: number | undefined;
  diskAutoProtectionStatus?: AutoProtectionOfDataDisk | undefined;
}

export interface A2AUpdateContainerMappingInput {
  instanceType: 'A2A';
  agentAutoUpdateStatus?: AgentAutoUpdateStatus | undefined;
  automationAccountArmId?: string | undefined;
  automationAccountAuthenticationType?: AutomationAccountAuthenticationType | undefined;
}

export interface A2AUpdateReplicationProtectedItemInput {
  instanceType: 'A2A';
  recoveryCloudServiceId?: string | undefined;
  recoveryResourceGroupId?: string | undefined;
  managedDiskUpdateDetails?: A2AVmManagedDiskUpdateDetails[] | undefined;
  recoveryBootDiagStorageAccountId?: string | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
  tfoAzureVMName?: string | undefined;
  recoveryProximityPlacementGroupId?: string | undefined;
  recoveryVirtualMachineScaleSetId?: string | undefined;
  recoveryCapacityReservationGroupId?: string | undefined;
  recoveryAvailabilityZone?: string | undefined;
  platformFaultDomain?: number | undefined;
}

export interface A2AVmDiskInputDetails {
  diskUri: string;
  recoveryAzureStorageAccountId: string;
  primaryStagingAzureStorageAccountId: string;
}

export interface A2AVmManagedDiskInputDetails {
  diskId: string;
  primaryStagingAzureStorageAccountId: string;
  recoveryResourceGroupId: string;
  recoveryReplicaDiskAccountType?: string | undefined;
  recoveryTargetDiskAccountType?: string | undefined;
  recoveryDiskEncryptionSetId?: string | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
}

export interface A2AVmManagedDiskUpdateDetails {
  diskId?: string | undefined;
  recoveryTargetDiskAccountType?: string | undefined;
  recoveryReplicaDiskAccountType?: string | undefined;
  diskEncryptionInfo?: DiskEncryptionInfo | undefined;
  failoverDiskName?: string | undefined;
  tfoDiskName?: string | undefined;
}

export interface A2AZoneDetails {
  source?: string | undefined;
  target?: string | undefined;
}

export interface ASRTask {
  taskId?: string | undefined;
  name?: string | undefined;
  startTime?: string | undefined;
  endTime?: string | undefined;
  allowedActions?: string[] | undefined;
  friendlyName?: string | undefined;
  state?: string | undefined;
  stateDescription?: string | undefined;
  taskType?: string | undefined;
  customDetails?: TaskTypeDetails | undefined;
  groupTaskCustomDetails?: GroupTaskDetails | undefined;
  errors?: JobErrorDetails[] | undefined;
}

export interface AddDisksInput {
  properties?: AddDisksInputProperties | undefined;
}

export interface AddDisksInputProperties {
  providerSpecificDetails: AddDisksProviderSpecificInput;
}

export type AddDisksProviderSpecificInput = A2AAddDisksInput | InMageRcmAddDisksInput;

export interface AddRecoveryServicesProviderInput {
  properties: AddRecoveryServicesProviderInputProperties;
}

export interface AddRecoveryServicesProviderInputProperties {
  machineName: string;
  machineId?: string | undefined;
  biosId?: string | undefined;
  authenticationIdentityInput: IdentityProviderInput;
  resourceAccessIdentityInput: IdentityProviderInput;
  dataPlaneAuthenticationIdentityInput?: IdentityProviderInput | undefined;
}

export interface AddVCenterRequest {
  properties?: AddVCenterRequestProperties | undefined;
}

export interface AddVCenterRequestProperties {
  friendlyName?: string | undefined;
  ipAddress?: string | undefined;
  processServerId?: string | undefined;
  port?: string | undefined;
  runAsAccountId?: string | undefined;
}

export interface AgentDetails {
  readonly agentId?: string | undefined;
  readonly machineId?: string | undefined;
  readonly biosId?: string | undefined;
  readonly fqdn?: string | undefined;
  readonly disks?: AgentDiskDetails[] | undefined;
}

export interface AgentDiskDetails {
  readonly diskId?: string | undefined;
  readonly diskName?: string | undefined;
  readonly isOSDisk?: string | undefined;
  readonly capacityInBytes?: number | undefined;
  readonly lunId?: number | undefined;
}

export interface Alert {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: AlertProperties | undefined;
  location?: string | undefined;
}

export interface AlertProperties {
  sendToOwners?: string | undefined;
  customEmailAddresses?: string[] | undefined;
  locale?: string | undefined;
}

export interface ApplianceMonitoringDetails {
  readonly cpuDetails?: ApplianceResourceDetails | undefined;
  readonly ramDetails?: ApplianceResourceDetails | undefined;
  readonly datastoreSnapshot?: DataStoreUtilizationDetails[] | undefined;
  readonly disksReplicationDetails?: ApplianceResourceDetails | undefined;
  readonly esxiNfcBuffer?: ApplianceResourceDetails | undefined;
  readonly networkBandwidth?: ApplianceResourceDetails | undefined;
}

export interface ApplianceResourceDetails {
  readonly capacity?: number | undefined;
  readonly processUtilization?: number | undefined;
  readonly totalUtilization?: number | undefined;
  readonly status?: string | undefined;
}

export type ApplianceSpecificDetails = InMageRcmApplianceSpecificDetails;

export interface ApplyClusterRecoveryPointInput {
  properties: ApplyClusterRecoveryPointInputProperties;
}

export interface ApplyClusterRecoveryPointInputProperties {
  clusterRecoveryPointId?: string | undefined;
  individualNodeRecoveryPoints?: string[] | undefined;
  providerSpecificDetails: ApplyClusterRecoveryPointProviderSpecificInput;
}

export type ApplyClusterRecoveryPointProviderSpecificInput = A2AApplyClusterRecoveryPointInput;

export interface ApplyRecoveryPointInput {
  properties: ApplyRecoveryPointInputProperties;
}

export interface ApplyRecoveryPointInputProperties {
  recoveryPointId?: string | undefined;
  providerSpecificDetails: ApplyRecoveryPointProviderSpecificInput;
}

export type ApplyRecoveryPointProviderSpecificInput =
  | A2AApplyRecoveryPointInput
  | A2ACrossClusterMigrationApplyRecoveryPointInput
  | HyperVReplicaAzureApplyRecoveryPointInput
  | InMageAzureV2ApplyRecoveryPointInput
  | InMageRcmApplyRecoveryPointInput;

export interface AsrJobDetails {
  instanceType: 'AsrJobDetails';
  affectedObjectDetails?: { [name: string]: string } | undefined;
}

export interface AssociatedIdentity {
  operationIdentityType?: IdentityType | undefined;
  userAssignedIdentity?: string | undefined;
}

export interface AutomationRunbookTaskDetails {
  instanceType: 'AutomationRunbookTaskDetails';
  name?: string | undefined;
  cloudServiceName?: string | undefined;
  subscriptionId?: string | undefined;
  accountName?: string | undefined;
  runbookId?: string | undefined;
  runbookName?: string | undefined;
  jobId?: string | undefined;
  jobOutput?: string | undefined;
  isPrimarySideScript?: boolean | undefined;
}

export interface AzureFabricCreationInput {
  instanceType: 'Azure';
  location?: string | undefined;
}

export interface AzureFabricSpecificDetails {
  instanceType: 'Azure';
  location?: string | undefined;
  containerIds?: string[] | undefined;
  zones?: A2AZoneDetails[] | undefined;
  extendedLocations?: A2AExtendedLocationDetails[] | undefined;
  locationDetails?: A2AFabricSpecificLocationDetails[] | undefined;
}

export interface AzureMonitorAlertSettings {
  alertsForAllJobFailures?: AlertsState | undefined;
  alertsForAllReplicationIssues?: AlertsState | undefined;
  alertsForAllFailoverIssues?: AlertsState | undefined;
}

export interface AzureToAzureCreateNetworkMappingInput {
  instanceType: 'AzureToAzure';
  primaryNetworkId: string;
}

export interface AzureToAzureNetworkMappingSettings {
  instanceType: 'AzureToAzure';
  primaryFabricLocation?: string | undefined;
  recoveryFabricLocation?: string | undefined;
}

export interface AzureToAzureUpdateNetworkMappingInput {
  instanceType: 'AzureToAzure';
  primaryNetworkId?: string | undefined;
}

export interface AzureToAzureVmSyncedConfigDetails {
  tags?: { [name: string]: string } | undefined;
  inputEndpoints?: InputEndpoint[] | undefined;
}

export interface AzureVmDiskDetails {
  vhdType?: string | undefined;
  vhdId?: string | undefined;
  diskId?: string | undefined;
  vhdName?: string | undefined;
  maxSizeMB?: string | undefined;
  targetDiskLocation?: string | undefined;
  targetDiskName?: string | undefined;
  lunId?: string | undefined;
  diskEncryptionSetId?: string | undefined;
  customTargetDiskName?: string | undefined;
}

export interface CapabilitiesProperties {
  dnsZones?: DNSZone[] | undefined;
}

export interface CapabilitiesResponse {
  type: string;
  properties?: CapabilitiesResponseProperties | undefined;
}

export interface CapabilitiesResponseProperties {
  dnsZones?: DNSZoneResponse[] | undefined;
}

export interface CertificateRequest {
  properties?: RawCertificateData | undefined;
}

export interface CheckNameAvailabilityParameters {
  type?: string | undefined;
  name?: string | undefined;
}

export interface CheckNameAvailabilityResult {
  nameAvailable?: boolean | undefined;
  reason?: string | undefined;
  message?: string | undefined;
}

export interface ClassicAlertSettings {
  alertsForCriticalOperations?: AlertsState | undefined;
  emailNotificationsForSiteRecovery?: AlertsState | undefined;
}

export interface ClientDiscoveryDisplay {
  provider?: string | undefined;
  resource?: string | undefined;
  operation?: string | undefined;
  description?: string | undefined;
}

export interface ClientDiscoveryForLogSpecification {
  name?: string | undefined;
  displayName?: string | undefined;
  blobDuration?: string | undefined;
}

export interface ClientDiscoveryForProperties {
  serviceSpecification?: ClientDiscoveryForServiceSpecification | undefined;
}

export interface ClientDiscoveryForServiceSpecification {
  logSpecifications?: ClientDiscoveryForLogSpecification[] | undefined;
}

export interface ClientDiscoveryValueForSingleApi {
  name?: string | undefined;
  display?: ClientDiscoveryDisplay | undefined;
  origin?: string | undefined;
  properties?: ClientDiscoveryForProperties | undefined;
}

export interface CloudError {
  error?: Error | undefined;
}

export interface ClusterFailoverJobDetails {
  instanceType: 'ClusterFailoverJobDetails';
  affectedObjectDetails?: { [name: string]: string } | undefined;
  protectedItemDetails?: FailoverReplicationProtectedItemDetails[] | undefined;
}

export type ClusterProviderSpecificRecoveryPointDetails = A2AClusterRecoveryPointDetails;

export interface ClusterRecoveryPoint {
  id?: string | undefined;
  name?: string | undefined;
  type?: string | undefined;
  properties?: ClusterRecoveryPointProperties | undefined;
}

export interface ClusterRecoveryPointProperties {
  recoveryPointTime?: string | undefined;
  recoveryPointType?: ClusterRecoveryPointType | undefined;
  providerSpecificDetails?: ClusterProviderSpecificRecoveryPointDetails | undefined;
}

export interface ClusterSwitchProtectionJobDetails {
  instanceType: 'ClusterSwitchProtectionJobDetails';
  affectedObjectDetails?: { [name: string]: string } | undefined;
  newReplicationProtectionClusterId?: string | undefined;
}

export interface ClusterTestFailoverCleanupInput {
  properties: ClusterTestFailoverCleanupInputProperties;
}

export interface ClusterTestFailoverCleanupInputProperties {
  comments?: string | undefined;
}

export interface ClusterTestFailoverInput {
  properties: ClusterTestFailoverInputProperties;
}

export interface ClusterTestFailoverInputProperties {
  failoverDirection?: FailoverDirection | undefined;
  networkType?: string | undefined;
  networkId?: string | undefined;
  providerSpecificDetails?: ClusterTestFailoverProviderSpecificInput | undefined;
}

export interface ClusterTestFailoverJobDetails {
  instanceType: 'ClusterTestFailoverJobDetails';
  affectedObjectDetails?: { [name: string]: string } | undefined;
  testFailoverStatus?: string | undefined;
  comments?: string | undefined;
  networkName?: string | undefined;
  networkFriendlyName?: string | undefined;
  networkType?: string | undefined;
  protectedItemDetails?: FailoverReplicationProtectedItemDetails[] | undefined;
}

export type ClusterTestFailoverProviderSpecificInput = A2AClusterTestFailoverInput;

export interface ClusterUnplannedFailoverInput {
  properties: ClusterUnplannedFailoverInputProperties;
}

export interface ClusterUnplannedFailoverInputProperties {
  failoverDirection?: string | undefined;
  sourceSiteOperations?: string | undefined;
  providerSpecificDetails?: ClusterUnplannedFailoverProviderSpecificInput | undefined;
}

export type ClusterUnplannedFailoverProviderSpecificInput = A2AClusterUnplannedFailoverInput;

export interface CmkKekIdentity {
  useSystemAssignedIdentity?: boolean | undefined;
  userAssignedIdentity?: string | undefined;
}

export interface CmkKeyVaultProperties {
  keyUri?: string | undefined;
}

export interface ComputeSizeErrorDetails {
  message?: string | undefined;
  severity?: string | undefined;
}

export type ConfigurationSettings =
  | HyperVVirtualMachineDetails
  | ReplicationGroupDetails
  | VmmVirtualMachineDetails
  | VMwareVirtualMachineDetails;

export interface ConfigureAlertRequest {
  properties?: ConfigureAlertRequestProperties | undefined;
}

export interface ConfigureAlertRequestProperties {
  sendToOwners?: string | undefined;
  customEmailAddresses?: string[] | undefined;
  locale?: string | undefined;
}

export interface ConsistencyCheckTaskDetails {
  instanceType: 'ConsistencyCheckTaskDetails';
  vmDetails?: InconsistentVmDetails[] | undefined;
}

export interface CostManagementSettings {
  granularityLevel?: GranularityLevel | undefined;
}

export interface CreateNetworkMappingInput {
  properties: CreateNetworkMappingInputProperties;
}

export interface CreateNetworkMappingInputProperties {
  recoveryFabricName?: string | undefined;
  recoveryNetworkId: string;
  fabricSpecificDetails?: FabricSpecificCreateNetworkMappingInput | undefined;
}

export interface CreatePolicyInput {
  properties?: CreatePolicyInputProperties | undefined;
}

export interface CreatePolicyInputProperties {
  providerSpecificInput?: PolicyProviderSpecificInput | undefined;
}

export interface CreateProtectionContainerInput {
  properties?: CreateProtectionContainerInputProperties | undefined;
}

export interface CreateProtectionContainerInputProperties {
  providerSpecificInput?: ReplicationProviderSpecificContainerCreationInput[] | undefined;
}

export interface CreateProtectionContainerMappingInput {
  properties?: CreateProtectionContainerMappingInputProperties | undefined;
}

export interface CreateProtectionContainerMappingInputProperties {
  targetProtectionContainerId?: string | undefined;
  policyId?: string | undefined;
  providerSpecificInput?: ReplicationProviderSpecificContainerMappingInput | undefined;
}

export interface CreateProtectionIntentInput {
  properties?: CreateProtectionIntentProperties | undefined;
}

export interface CreateProtectionIntentProperties {
  providerSpecificDetails?: CreateProtectionIntentProviderSpecificDetails | undefined;
}

export type CreateProtectionIntentProviderSpecificDetails = A2ACreateProtectionIntentInput;

export interface CreateRecoveryPlanInput {
  properties: CreateRecoveryPlanInputProperties;
}

export interface CreateRecoveryPlanInputProperties {
  primaryFabricId: string;
  recoveryFabricId: string;
  failoverDeploymentModel?: FailoverDeploymentModel | undefined;
  groups: RecoveryPlanGroup[];
  providerSpecificInput?: RecoveryPlanProviderSpecificInput[] | undefined;
}

export interface CriticalJobHistoryDetails {
  readonly jobName?: string | undefined;
  readonly jobId?: string | undefined;
  readonly startTime?: string | undefined;
  readonly jobStatus?: string | undefined;
}

export interface CrossSubscriptionRestoreSettings {
  crossSubscriptionRestoreState?: CrossSubscriptionRestoreState | undefined;
}

export interface CurrentJobDetails {
  readonly jobName?: string | undefined;
  readonly jobId?: string | undefined;
  readonly startTime?: string | undefined;
}

export interface CurrentScenarioDetails {
  scenarioName?: string | undefined;
  jobId?: string | undefined;
  startTime?: string | undefined;
}

export interface DNSZone {
  subResource?: VaultSubResourceType | undefined;
}

export interface DNSZoneResponse {
  subResource?: VaultSubResourceType | undefined;
  requiredZoneNames?: string[] | undefined;
}

export interface DataStore {
  symbolicName?: string | undefined;
  uuid?: string | undefined;
  capacity?: string | undefined;
  freeSpace?: string | undefined;
  type?: string | undefined;
}

export interface DataStoreUtilizationDetails {
  readonly totalSnapshotsSupported?: number | undefined;
  readonly totalSnapshotsCreated?: number | undefined;
  readonly dataStoreName?: string | undefined;
}

export interface DeletedVault {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: DeletedVaultProperties | undefined;
}

export interface DeletedVaultProperties {
  readonly vaultId?: string | undefined;
  readonly vaultDeletionTime?: string | undefined;
  readonly purgeAt?: string | undefined;
}

export interface DeletedVaultUndeleteInput {
  properties: DeletedVaultUndeleteInputProperties;
}

export interface DeletedVaultUndeleteInputProperties {
  recoveryResourceGroupId: string;
}

export interface DisableProtectionInput {
  properties: DisableProtectionInputProperties;
}

export interface DisableProtectionInputProperties {
  disableProtectionReason?: DisableProtectionReason | undefined;
  replicationProviderInput?: DisableProtectionProviderSpecificInput | undefined;
}

export type DisableProtectionProviderSpecificInput = InMageDisableProtectionProviderSpecificInput;

export interface DiscoverProtectableItemRequest {
  properties?: DiscoverProtectableItemRequestProperties | undefined;
}

export interface DiscoverProtectableItemRequestProperties {
  friendlyName?: string | undefined;
  ipAddress?: string | undefined;
  osType?: string | undefined;
}

export interface DiskDetails {
  maxSizeMB?: number | undefined;
  vhdType?: string | undefined;
  vhdId?: string | undefined;
  vhdName?: string | undefined;
}

export interface DiskEncryptionInfo {
  diskEncryptionKeyInfo?: DiskEncryptionKeyInfo | undefined;
  keyEncryptionKeyInfo?: KeyEncryptionKeyInfo | undefined;
}

export interface DiskEncryptionKeyInfo {
  secretIdentifier?: string | undefined;
  keyVaultResourceArmId?: string | undefined;
}

export interface DiskVolumeDetails {
  label?: string | undefined;
  name?: string | undefined;
}

export interface Display {
  provider?: string | undefined;
  resource?: string | undefined;
  operation?: string | undefined;
  description?: string | undefined;
}

export interface DraDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly biosId?: string | undefined;
  readonly version?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly healthErrors?: HealthError[] | undefined;
  readonly forwardProtectedItemCount?: number | undefined;
  readonly reverseProtectedItemCount?: number | undefined;
}

export interface EnableMigrationInput {
  properties: EnableMigrationInputProperties;
}

export interface EnableMigrationInputProperties {
  policyId: string;
  providerSpecificDetails: EnableMigrationProviderSpecificInput;
}

export type EnableMigrationProviderSpecificInput = VMwareCbtEnableMigrationInput;

export interface EnableProtectionInput {
  properties?: EnableProtectionInputProperties | undefined;
}

export interface EnableProtectionInputProperties {
  policyId?: string | undefined;
  protectableItemId?: string | undefined;
  providerSpecificDetails?: EnableProtectionProviderSpecificInput | undefined;
}

export type EnableProtectionProviderSpecificInput =
  | A2ACrossClusterMigrationEnableProtectionInput
  | A2AEnableProtectionInput
  | HyperVReplicaAzureEnableProtectionInput
  | InMageAzureV2EnableProtectionInput
  | InMageEnableProtectionInput
  | InMageRcmEnableProtectionInput;

export interface EncryptionDetails {
  kekState?: string | undefined;
  kekCertThumbprint?: string | undefined;
  kekCertExpiryDate?: string | undefined;
}

export interface Error {
  readonly additionalInfo?: ErrorAdditionalInfo[] | undefined;
  readonly code?: string | undefined;
  readonly details?: Error[] | undefined;
  readonly message?: string | undefined;
  readonly target?: string | undefined;
}

export interface ErrorAdditionalInfo {
  readonly type?: string | undefined;
  readonly info?: unknown | undefined;
}

export interface ErrorDetail {
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly target?: string | undefined;
  readonly details?: ErrorDetail[] | undefined;
  readonly additionalInfo?: ErrorAdditionalInfo[] | undefined;
}

export interface ErrorResponse {
  error?: ErrorDetail | undefined;
}

export interface Event {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: EventProperties | undefined;
  location?: string | undefined;
}

export interface EventProperties {
  eventCode?: string | undefined;
  description?: string | undefined;
  eventType?: string | undefined;
  affectedObjectFriendlyName?: string | undefined;
  affectedObjectCorrelationId?: string | undefined;
  severity?: string | undefined;
  timeOfOccurrence?: string | undefined;
  fabricId?: string | undefined;
  providerSpecificDetails?: EventProviderSpecificDetails | undefined;
  eventSpecificDetails?: EventSpecificDetails | undefined;
  healthErrors?: HealthError[] | undefined;
}

export type EventProviderSpecificDetails =
  | A2AEventDetails
  | HyperVReplica2012EventDetails
  | HyperVReplica2012R2EventDetails
  | HyperVReplicaAzureEventDetails
  | HyperVReplicaBaseEventDetails
  | InMageAzureV2EventDetails
  | InMageRcmEventDetails
  | InMageRcmFailbackEventDetails
  | VMwareCbtEventDetails;

export type EventSpecificDetails = JobStatusEventDetails;

export interface ExistingProtectionProfile {
  resourceType: 'Existing';
  protectionProfileId: string;
}

export interface ExistingRecoveryAvailabilitySet {
  resourceType: 'Existing';
  recoveryAvailabilitySetId?: string | undefined;
}

export interface ExistingRecoveryProximityPlacementGroup {
  resourceType: 'Existing';
  recoveryProximityPlacementGroupId?: string | undefined;
}

export interface ExistingRecoveryResourceGroup {
  resourceType: 'Existing';
  recoveryResourceGroupId?: string | undefined;
}

export interface ExistingRecoveryVirtualNetwork {
  resourceType: 'Existing';
  recoveryVirtualNetworkId: string;
  recoverySubnetName?: string | undefined;
}

export interface ExistingStorageAccount {
  resourceType: 'Existing';
  azureStorageAccountId: string;
}

export interface ExportJobDetails {
  instanceType: 'ExportJobDetails';
  affectedObjectDetails?: { [name: string]: string } | undefined;
  blobUri?: string | undefined;
  sasToken?: string | undefined;
}

export interface ExtendedLocation {
  name: string;
  type: ExtendedLocationType;
}

export interface Fabric {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: FabricProperties | undefined;
  location?: string | undefined;
}

export interface FabricCreationInput {
  properties?: FabricCreationInputProperties | undefined;
}

export interface FabricCreationInputProperties {
  customDetails?: FabricSpecificCreationInput | undefined;
}

export interface FabricProperties {
  friendlyName?: string | undefined;
  encryptionDetails?: EncryptionDetails | undefined;
  rolloverEncryptionDetails?: EncryptionDetails | undefined;
  internalIdentifier?: string | undefined;
  bcdrState?: string | undefined;
  customDetails?: FabricSpecificDetails | undefined;
  healthErrorDetails?: HealthError[] | undefined;
  health?: string | undefined;
}

export interface FabricReplicationGroupTaskDetails {
  instanceType: 'FabricReplicationGroupTaskDetails';
  jobTask?: JobEntity | undefined;
  skippedReason?: string | undefined;
  skippedReasonString?: string | undefined;
}

export type FabricSpecificCreateNetworkMappingInput =
  | AzureToAzureCreateNetworkMappingInput
  | VmmToAzureCreateNetworkMappingInput
  | VmmToVmmCreateNetworkMappingInput;

export type FabricSpecificCreationInput =
  | AzureFabricCreationInput
  | InMageRcmFabricCreationInput
  | VMwareV2FabricCreationInput;

export type FabricSpecificDetails =
  | AzureFabricSpecificDetails
  | HyperVSiteDetails
  | InMageRcmFabricSpecificDetails
  | VmmDetails
  | VMwareDetails
  | VMwareV2FabricSpecificDetails;

export type FabricSpecificUpdateNetworkMappingInput =
  | AzureToAzureUpdateNetworkMappingInput
  | VmmToAzureUpdateNetworkMappingInput
  | VmmToVmmUpdateNetworkMappingInput;

export interface FailoverJobDetails {
  instanceType: 'FailoverJobDetails';
  affectedObjectDetails?: { [name: string]: string } | undefined;
  protectedItemDetails?: FailoverReplicationProtectedItemDetails[] | undefined;
}

export interface FailoverProcessServerRequest {
  properties?: FailoverProcessServerRequestProperties | undefined;
}

export interface FailoverProcessServerRequestProperties {
  containerName?: string | undefined;
  sourceProcessServerId?: string | undefined;
  targetProcessServerId?: string | undefined;
  vmsToMigrate?: string[] | undefined;
  updateType?: string | undefined;
}

export interface FailoverReplicationProtectedItemDetails {
  name?: string | undefined;
  friendlyName?: string | undefined;
  testVmName?: string | undefined;
  testVmFriendlyName?: string | undefined;
  networkConnectionStatus?: string | undefined;
  networkFriendlyName?: string | undefined;
  subnet?: string | undefined;
  recoveryPointId?: string | undefined;
  recoveryPointTime?: string | undefined;
}

export interface GatewayOperationDetails {
  readonly state?: string | undefined;
  readonly progressPercentage?: number | undefined;
  readonly timeElapsed?: number | undefined;
  readonly timeRemaining?: number | undefined;
  readonly uploadSpeed?: number | undefined;
  readonly hostName?: string | undefined;
  readonly dataStores?: string[] | undefined;
  readonly vmwareReadThroughput?: number | undefined;
}

export type GroupTaskDetails =
  | InlineWorkflowTaskDetails
  | RecoveryPlanGroupTaskDetails
  | RecoveryPlanShutdownGroupTaskDetails;

export interface HealthError {
  innerHealthErrors?: InnerHealthError[] | undefined;
  errorSource?: string | undefined;
  errorType?: string | undefined;
  errorLevel?: string | undefined;
  errorCategory?: string | undefined;
  errorCode?: string | undefined;
  summaryMessage?: string | undefined;
  errorMessage?: string | undefined;
  possibleCauses?: string | undefined;
  recommendedAction?: string | undefined;
  creationTimeUtc?: string | undefined;
  recoveryProviderErrorMessage?: string | undefined;
  entityId?: string | undefined;
  errorId?: string | undefined;
  customerResolvability?: HealthErrorCustomerResolvability | undefined;
}

export interface HealthErrorSummary {
  summaryCode?: string | undefined;
  category?: HealthErrorCategory | undefined;
  severity?: Severity | undefined;
  summaryMessage?: string | undefined;
  affectedResourceType?: string | undefined;
  affectedResourceSubtype?: string | undefined;
  affectedResourceCorrelationIds?: string[] | undefined;
}

export interface HyperVHostDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly marsAgentVersion?: string | undefined;
}

export interface HyperVReplica2012EventDetails {
  instanceType: 'HyperVReplica2012';
  containerName?: string | undefined;
  fabricName?: string | undefined;
  remoteContainerName?: string | undefined;
  remoteFabricName?: string | undefined;
}

export interface HyperVReplica2012R2EventDetails {
  instanceType: 'HyperVReplica2012R2';
  containerName?: string | undefined;
  fabricName?: string | undefined;
  remoteContainerName?: string | undefined;
  remoteFabricName?: string | undefined;
}

export interface HyperVReplicaAzureApplyRecoveryPointInput {
  instanceType: 'HyperVReplicaAzure';
  primaryKekCertificatePfx?: string | undefined;
  secondaryKekCertificatePfx?: string | undefined;
}

export interface HyperVReplicaAzureDiskInputDetails {
  diskId?: string | undefined;
  logStorageAccountId?: string | undefined;
  diskType?: DiskAccountType | undefined;
  diskEncryptionSetId?: string | undefined;
  sectorSizeInBytes?: number | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface HyperVReplicaAzureEnableProtectionInput {
  instanceType: 'HyperVReplicaAzure';
  hvHostVmId?: string | undefined;
  vmName?: string | undefined;
  osType?: string | undefined;
  userSelectedOSName?: string | undefined;
  vhdId?: string | undefined;
  targetStorageAccountId?: string | undefined;
  targetAzureNetworkId?: string | undefined;
  targetAzureSubnetId?: string | undefined;
  enableRdpOnTargetOption?: string | undefined;
  targetAzureVmName?: string | undefined;
  logStorageAccountId?: string | undefined;
  disksToInclude?: string[] | undefined;
  targetAzureV1ResourceGroupId?: string | undefined;
  targetAzureV2ResourceGroupId?: string | undefined;
  useManagedDisks?: string | undefined;
  targetAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  licenseType?: LicenseType | undefined;
  sqlServerLicenseType?: SqlServerLicenseType | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  targetVmSecurityProfile?: SecurityProfileProperties | undefined;
  targetVmSize?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  useManagedDisksForReplication?: string | undefined;
  diskType?: DiskAccountType | undefined;
  disksToIncludeForManagedDisks?: HyperVReplicaAzureDiskInputDetails[] | undefined;
  diskEncryptionSetId?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  seedManagedDiskTags?: { [name: string]: string } | undefined;
  targetManagedDiskTags?: { [name: string]: string } | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface HyperVReplicaAzureEventDetails {
  instanceType: 'HyperVReplicaAzure';
  containerName?: string | undefined;
  fabricName?: string | undefined;
  remoteContainerName?: string | undefined;
}

export interface HyperVReplicaAzureFailbackProviderInput {
  instanceType: 'HyperVReplicaAzureFailback';
  dataSyncOption?: string | undefined;
  recoveryVmCreationOption?: string | undefined;
  providerIdForAlternateRecovery?: string | undefined;
}

export interface HyperVReplicaAzureManagedDiskDetails {
  diskId?: string | undefined;
  seedManagedDiskId?: string | undefined;
  replicaDiskType?: string | undefined;
  diskEncryptionSetId?: string | undefined;
  targetDiskAccountType?: DiskAccountType | undefined;
  sectorSizeInBytes?: number | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface HyperVReplicaAzurePlannedFailoverProviderInput {
  instanceType: 'HyperVReplicaAzure';
  primaryKekCertificatePfx?: string | undefined;
  secondaryKekCertificatePfx?: string | undefined;
  recoveryPointId?: string | undefined;
  osUpgradeVersion?: string | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface HyperVReplicaAzurePolicyDetails {
  instanceType: 'HyperVReplicaAzure';
  recoveryPointHistoryDurationInHours?: number | undefined;
  applicationConsistentSnapshotFrequencyInHours?: number | undefined;
  replicationInterval?: number | undefined;
  onlineReplicationStartTime?: string | undefined;
  encryption?: string | undefined;
  activeStorageAccountId?: string | undefined;
}

export interface HyperVReplicaAzurePolicyInput {
  instanceType: 'HyperVReplicaAzure';
  recoveryPointHistoryDuration?: number | undefined;
  applicationConsistentSnapshotFrequencyInHours?: number | undefined;
  replicationInterval?: number | undefined;
  onlineReplicationStartTime?: string | undefined;
  storageAccounts?: string[] | undefined;
}

export interface HyperVReplicaAzureReplicationDetails {
  instanceType: 'HyperVReplicaAzure';
  azureVmDiskDetails?: AzureVmDiskDetails[] | undefined;
  recoveryAzureVmName?: string | undefined;
  recoveryAzureVMSize?: string | undefined;
  recoveryAzureStorageAccount?: string | undefined;
  recoveryAzureLogStorageAccountId?: string | undefined;
  lastReplicatedTime?: string | undefined;
  rpoInSeconds?: number | undefined;
  lastRpoCalculatedTime?: string | undefined;
  vmId?: string | undefined;
  vmProtectionState?: string | undefined;
  vmProtectionStateDescription?: string | undefined;
  initialReplicationDetails?: InitialReplicationDetails | undefined;
  vmNics?: VMNicDetails[] | undefined;
  selectedRecoveryAzureNetworkId?: string | undefined;
  selectedSourceNicId?: string | undefined;
  encryption?: string | undefined;
  oSDetails?: OSDetails | undefined;
  sourceVmRamSizeInMB?: number | undefined;
  sourceVmCpuCount?: number | undefined;
  enableRdpOnTargetOption?: string | undefined;
  recoveryAzureResourceGroupId?: string | undefined;
  recoveryAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  useManagedDisks?: string | undefined;
  licenseType?: string | undefined;
  sqlServerLicenseType?: string | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  readonly lastRecoveryPointReceived?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  seedManagedDiskTags?: { [name: string]: string } | undefined;
  targetManagedDiskTags?: { [name: string]: string } | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
  protectedManagedDisks?: HyperVReplicaAzureManagedDiskDetails[] | undefined;
  allAvailableOSUpgradeConfigurations?: OSUpgradeSupportedVersions[] | undefined;
  targetVmSecurityProfile?: SecurityProfileProperties | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface HyperVReplicaAzureReprotectInput {
  instanceType: 'HyperVReplicaAzure';
  hvHostVmId?: string | undefined;
  vmName?: string | undefined;
  osType?: string | undefined;
  vHDId?: string | undefined;
  storageAccountId?: string | undefined;
  logStorageAccountId?: string | undefined;
}

export interface HyperVReplicaAzureTestFailoverInput {
  instanceType: 'HyperVReplicaAzure';
  primaryKekCertificatePfx?: string | undefined;
  secondaryKekCertificatePfx?: string | undefined;
  recoveryPointId?: string | undefined;
  osUpgradeVersion?: string | undefined;
}

export interface HyperVReplicaAzureUnplannedFailoverInput {
  instanceType: 'HyperVReplicaAzure';
  primaryKekCertificatePfx?: string | undefined;
  secondaryKekCertificatePfx?: string | undefined;
  recoveryPointId?: string | undefined;
}

export interface HyperVReplicaAzureUpdateReplicationProtectedItemInput {
  instanceType: 'HyperVReplicaAzure';
  recoveryAzureV1ResourceGroupId?: string | undefined;
  recoveryAzureV2ResourceGroupId?: string | undefined;
  useManagedDisks?: string | undefined;
  diskIdToDiskEncryptionMap?: { [name: string]: string } | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  targetManagedDiskTags?: { [name: string]: string } | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
  sqlServerLicenseType?: SqlServerLicenseType | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  userSelectedOSName?: string | undefined;
  vmDisks?: UpdateDiskInput[] | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface HyperVReplicaBaseEventDetails {
  instanceType: 'HyperVReplicaBaseEventDetails';
  containerName?: string | undefined;
  fabricName?: string | undefined;
  remoteContainerName?: string | undefined;
  remoteFabricName?: string | undefined;
}

export interface HyperVReplicaBasePolicyDetails {
  instanceType: 'HyperVReplicaBasePolicyDetails';
  recoveryPoints?: number | undefined;
  applicationConsistentSnapshotFrequencyInHours?: number | undefined;
  compression?: string | undefined;
  initialReplicationMethod?: string | undefined;
  onlineReplicationStartTime?: string | undefined;
  offlineReplicationImportPath?: string | undefined;
  offlineReplicationExportPath?: string | undefined;
  replicationPort?: number | undefined;
  allowedAuthenticationType?: number | undefined;
  replicaDeletionOption?: string | undefined;
}

export interface HyperVReplicaBaseReplicationDetails {
  instanceType: 'HyperVReplicaBaseReplicationDetails';
  lastReplicatedTime?: string | undefined;
  vmNics?: VMNicDetails[] | undefined;
  vmId?: string | undefined;
  vmProtectionState?: string | undefined;
  vmProtectionStateDescription?: string | undefined;
  initialReplicationDetails?: InitialReplicationDetails | undefined;
  vMDiskDetails?: DiskDetails[] | undefined;
}

export interface HyperVReplicaBluePolicyDetails {
  instanceType: 'HyperVReplica2012R2';
  replicationFrequencyInSeconds?: number | undefined;
  recoveryPoints?: number | undefined;
  applicationConsistentSnapshotFrequencyInHours?: number | undefined;
  compression?: string | undefined;
  initialReplicationMethod?: string | undefined;
  onlineReplicationStartTime?: string | undefined;
  offlineReplicationImportPath?: string | undefined;
  offlineReplicationExportPath?: string | undefined;
  replicationPort?: number | undefined;
  allowedAuthenticationType?: number | undefined;
  replicaDeletionOption?: string | undefined;
}

export interface HyperVReplicaBluePolicyInput {
  instanceType: 'HyperVReplica2012R2';
  recoveryPoints?: number | undefined;
  applicationConsistentSnapshotFrequencyInHours?: number | undefined;
  compression?: string | undefined;
  initialReplicationMethod?: string | undefined;
  onlineReplicationStartTime?: string | undefined;
  offlineReplicationImportPath?: string | undefined;
  offlineReplicationExportPath?: string | undefined;
  replicationPort?: number | undefined;
  allowedAuthenticationType?: number | undefined;
  replicaDeletion?: string | undefined;
  replicationFrequencyInSeconds?: number | undefined;
}

export interface HyperVReplicaBlueReplicationDetails {
  instanceType: 'HyperVReplica2012R2';
  lastReplicatedTime?: string | undefined;
  vmNics?: VMNicDetails[] | undefined;
  vmId?: string | undefined;
  vmProtectionState?: string | undefined;
  vmProtectionStateDescription?: string | undefined;
  initialReplicationDetails?: InitialReplicationDetails | undefined;
  vMDiskDetails?: DiskDetails[] | undefined;
}

export interface HyperVReplicaPolicyDetails {
  instanceType: 'HyperVReplica2012';
  recoveryPoints?: number | undefined;
  applicationConsistentSnapshotFrequencyInHours?: number | undefined;
  compression?: string | undefined;
  initialReplicationMethod?: string | undefined;
  onlineReplicationStartTime?: string | undefined;
  offlineReplicationImportPath?: string | undefined;
  offlineReplicationExportPath?: string | undefined;
  replicationPort?: number | undefined;
  allowedAuthenticationType?: number | undefined;
  replicaDeletionOption?: string | undefined;
}

export interface HyperVReplicaPolicyInput {
  instanceType: 'HyperVReplica2012';
  recoveryPoints?: number | undefined;
  applicationConsistentSnapshotFrequencyInHours?: number | undefined;
  compression?: string | undefined;
  initialReplicationMethod?: string | undefined;
  onlineReplicationStartTime?: string | undefined;
  offlineReplicationImportPath?: string | undefined;
  offlineReplicationExportPath?: string | undefined;
  replicationPort?: number | undefined;
  allowedAuthenticationType?: number | undefined;
  replicaDeletion?: string | undefined;
}

export interface HyperVReplicaReplicationDetails {
  instanceType: 'HyperVReplica2012';
  lastReplicatedTime?: string | undefined;
  vmNics?: VMNicDetails[] | undefined;
  vmId?: string | undefined;
  vmProtectionState?: string | undefined;
  vmProtectionStateDescription?: string | undefined;
  initialReplicationDetails?: InitialReplicationDetails | undefined;
  vMDiskDetails?: DiskDetails[] | undefined;
}

export interface HyperVSiteDetails {
  instanceType: 'HyperVSite';
  hyperVHosts?: HyperVHostDetails[] | undefined;
}

export interface HyperVVirtualMachineDetails {
  instanceType: 'HyperVVirtualMachine';
  sourceItemId?: string | undefined;
  generation?: string | undefined;
  osDetails?: OSDetails | undefined;
  diskDetails?: DiskDetails[] | undefined;
  hasPhysicalDisk?: PresenceStatus | undefined;
  hasFibreChannelAdapter?: PresenceStatus | undefined;
  hasSharedVhd?: PresenceStatus | undefined;
  hyperVHostId?: string | undefined;
}

export interface IPConfigDetails {
  name?: string | undefined;
  isPrimary?: boolean | undefined;
  subnetName?: string | undefined;
  staticIPAddress?: string | undefined;
  ipAddressType?: string | undefined;
  isSeletedForFailover?: boolean | undefined;
  recoverySubnetName?: string | undefined;
  recoveryStaticIPAddress?: string | undefined;
  recoveryIPAddressType?: string | undefined;
  recoveryPublicIPAddressId?: string | undefined;
  recoveryLBBackendAddressPoolIds?: string[] | undefined;
  tfoSubnetName?: string | undefined;
  tfoStaticIPAddress?: string | undefined;
  tfoPublicIPAddressId?: string | undefined;
  tfoLBBackendAddressPoolIds?: string[] | undefined;
}

export interface IPConfigInputDetails {
  ipConfigName?: string | undefined;
  isPrimary?: boolean | undefined;
  isSeletedForFailover?: boolean | undefined;
  recoverySubnetName?: string | undefined;
  recoveryStaticIPAddress?: string | undefined;
  recoveryPublicIPAddressId?: string | undefined;
  recoveryLBBackendAddressPoolIds?: string[] | undefined;
  tfoSubnetName?: string | undefined;
  tfoStaticIPAddress?: string | undefined;
  tfoPublicIPAddressId?: string | undefined;
  tfoLBBackendAddressPoolIds?: string[] | undefined;
}

export interface IdentityData {
  readonly principalId?: string | undefined;
  readonly tenantId?: string | undefined;
  type: ResourceIdentityType;
  userAssignedIdentities?: { [name: string]: UserIdentity } | undefined;
}

export interface IdentityProviderDetails {
  tenantId?: string | undefined;
  applicationId?: string | undefined;
  objectId?: string | undefined;
  audience?: string | undefined;
  aadAuthority?: string | undefined;
}

export interface IdentityProviderInput {
  tenantId: string;
  applicationId: string;
  objectId: string;
  audience: string;
  aadAuthority: string;
}

export interface ImmutabilityConfiguration {
  type?: ImmutabilityType | undefined;
  durationInDays?: number | undefined;
}

export interface ImmutabilitySettings {
  state?: ImmutabilityState | undefined;
  configuration?: ImmutabilityConfiguration | undefined;
}

export interface InMageAgentDetails {
  agentVersion?: string | undefined;
  agentUpdateStatus?: string | undefined;
  postUpdateRebootStatus?: string | undefined;
  agentExpiryDate?: string | undefined;
}

export interface InMageAzureV2ApplyRecoveryPointInput {
  instanceType: 'InMageAzureV2';
}

export interface InMageAzureV2DiskInputDetails {
  diskId?: string | undefined;
  logStorageAccountId?: string | undefined;
  diskType?: DiskAccountType | undefined;
  diskEncryptionSetId?: string | undefined;
}

export interface InMageAzureV2EnableProtectionInput {
  instanceType: 'InMageAzureV2';
  masterTargetId?: string | undefined;
  processServerId?: string | undefined;
  storageAccountId?: string | undefined;
  runAsAccountId?: string | undefined;
  multiVmGroupId?: string | undefined;
  multiVmGroupName?: string | undefined;
  disksToInclude?: InMageAzureV2DiskInputDetails[] | undefined;
  targetAzureNetworkId?: string | undefined;
  targetAzureSubnetId?: string | undefined;
  enableRdpOnTargetOption?: string | undefined;
  targetAzureVmName?: string | undefined;
  logStorageAccountId?: string | undefined;
  targetAzureV1ResourceGroupId?: string | undefined;
  targetAzureV2ResourceGroupId?: string | undefined;
  diskType?: DiskAccountType | undefined;
  targetAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  licenseType?: LicenseType | undefined;
  sqlServerLicenseType?: SqlServerLicenseType | undefined;
  targetVmSize?: string | undefined;
  diskEncryptionSetId?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  seedManagedDiskTags?: { [name: string]: string } | undefined;
  targetManagedDiskTags?: { [name: string]: string } | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
}

export interface InMageAzureV2EventDetails {
  instanceType: 'InMageAzureV2';
  eventType?: string | undefined;
  category?: string | undefined;
  component?: string | undefined;
  correctiveAction?: string | undefined;
  details?: string | undefined;
  summary?: string | undefined;
  siteName?: string | undefined;
}

export interface InMageAzureV2ManagedDiskDetails {
  diskId?: string | undefined;
  seedManagedDiskId?: string | undefined;
  replicaDiskType?: string | undefined;
  diskEncryptionSetId?: string | undefined;
  targetDiskName?: string | undefined;
}

export interface InMageAzureV2PolicyDetails {
  instanceType: 'InMageAzureV2';
  crashConsistentFrequencyInMinutes?: number | undefined;
  recoveryPointThresholdInMinutes?: number | undefined;
  recoveryPointHistory?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  multiVmSyncStatus?: string | undefined;
}

export interface InMageAzureV2PolicyInput {
  instanceType: 'InMageAzureV2';
  recoveryPointThresholdInMinutes?: number | undefined;
  recoveryPointHistory?: number | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  multiVmSyncStatus: SetMultiVmSyncStatus;
}

export interface InMageAzureV2ProtectedDiskDetails {
  diskId?: string | undefined;
  diskName?: string | undefined;
  protectionStage?: string | undefined;
  healthErrorCode?: string | undefined;
  rpoInSeconds?: number | undefined;
  resyncRequired?: string | undefined;
  resyncProgressPercentage?: number | undefined;
  resyncDurationInSeconds?: number | undefined;
  diskCapacityInBytes?: number | undefined;
  fileSystemCapacityInBytes?: number | undefined;
  sourceDataInMegaBytes?: number | undefined;
  psDataInMegaBytes?: number | undefined;
  targetDataInMegaBytes?: number | undefined;
  diskResized?: string | undefined;
  lastRpoCalculatedTime?: string | undefined;
  resyncProcessedBytes?: number | undefined;
  resyncTotalTransferredBytes?: number | undefined;
  resyncLast15MinutesTransferredBytes?: number | undefined;
  resyncLastDataTransferTimeUTC?: string | undefined;
  resyncStartTime?: string | undefined;
  progressHealth?: string | undefined;
  progressStatus?: string | undefined;
  secondsToTakeSwitchProvider?: number | undefined;
}

export interface InMageAzureV2RecoveryPointDetails {
  instanceType: 'InMageAzureV2';
  isMultiVmSyncPoint?: string | undefined;
}

export interface InMageAzureV2ReplicationDetails {
  instanceType: 'InMageAzureV2';
  infrastructureVmId?: string | undefined;
  vCenterInfrastructureId?: string | undefined;
  protectionStage?: string | undefined;
  vmId?: string | undefined;
  vmProtectionState?: string | undefined;
  vmProtectionStateDescription?: string | undefined;
  resyncProgressPercentage?: number | undefined;
  rpoInSeconds?: number | undefined;
  compressedDataRateInMB?: number | undefined;
  uncompressedDataRateInMB?: number | undefined;
  ipAddress?: string | undefined;
  agentVersion?: string | undefined;
  agentExpiryDate?: string | undefined;
  isAgentUpdateRequired?: string | undefined;
  isRebootAfterUpdateRequired?: string | undefined;
  lastHeartbeat?: string | undefined;
  processServerId?: string | undefined;
  processServerName?: string | undefined;
  multiVmGroupId?: string | undefined;
  multiVmGroupName?: string | undefined;
  multiVmSyncStatus?: string | undefined;
  protectedDisks?: InMageAzureV2ProtectedDiskDetails[] | undefined;
  diskResized?: string | undefined;
  masterTargetId?: string | undefined;
  sourceVmCpuCount?: number | undefined;
  sourceVmRamSizeInMB?: number | undefined;
  osType?: string | undefined;
  vhdName?: string | undefined;
  osDiskId?: string | undefined;
  azureVMDiskDetails?: AzureVmDiskDetails[] | undefined;
  recoveryAzureVMName?: string | undefined;
  recoveryAzureVMSize?: string | undefined;
  recoveryAzureStorageAccount?: string | undefined;
  recoveryAzureLogStorageAccountId?: string | undefined;
  vmNics?: VMNicDetails[] | undefined;
  selectedRecoveryAzureNetworkId?: string | undefined;
  selectedTfoAzureNetworkId?: string | undefined;
  selectedSourceNicId?: string | undefined;
  discoveryType?: string | undefined;
  enableRdpOnTargetOption?: string | undefined;
  datastores?: string[] | undefined;
  targetVmId?: string | undefined;
  recoveryAzureResourceGroupId?: string | undefined;
  recoveryAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  useManagedDisks?: string | undefined;
  licenseType?: string | undefined;
  sqlServerLicenseType?: string | undefined;
  validationErrors?: HealthError[] | undefined;
  lastRpoCalculatedTime?: string | undefined;
  lastUpdateReceivedTime?: string | undefined;
  replicaId?: string | undefined;
  osVersion?: string | undefined;
  protectedManagedDisks?: InMageAzureV2ManagedDiskDetails[] | undefined;
  readonly lastRecoveryPointReceived?: string | undefined;
  firmwareType?: string | undefined;
  azureVmGeneration?: string | undefined;
  isAdditionalStatsAvailable?: boolean | undefined;
  totalDataTransferred?: number | undefined;
  totalProgressHealth?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  seedManagedDiskTags?: { [name: string]: string } | undefined;
  targetManagedDiskTags?: { [name: string]: string } | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
  switchProviderBlockingErrorDetails?: InMageAzureV2SwitchProviderBlockingErrorDetails[] | undefined;
  switchProviderDetails?: InMageAzureV2SwitchProviderDetails | undefined;
  supportedOSVersions?: string[] | undefined;
  allAvailableOSUpgradeConfigurations?: OSUpgradeSupportedVersions[] | undefined;
  readonly osName?: string | undefined;
}

export interface InMageAzureV2ReprotectInput {
  instanceType: 'InMageAzureV2';
  masterTargetId?: string | undefined;
  processServerId?: string | undefined;
  storageAccountId?: string | undefined;
  runAsAccountId?: string | undefined;
  policyId?: string | undefined;
  logStorageAccountId?: string | undefined;
  disksToInclude?: string[] | undefined;
}

export interface InMageAzureV2SwitchProviderBlockingErrorDetails {
  readonly errorCode?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly possibleCauses?: string | undefined;
  readonly recommendedAction?: string | undefined;
  readonly errorMessageParameters?: { [name: string]: string } | undefined;
  readonly errorTags?: { [name: string]: string } | undefined;
}

export interface InMageAzureV2SwitchProviderDetails {
  readonly targetVaultId?: string | undefined;
  readonly targetResourceId?: string | undefined;
  readonly targetFabricId?: string | undefined;
  readonly targetApplianceId?: string | undefined;
}

export interface InMageAzureV2SwitchProviderInput {
  instanceType: 'InMageAzureV2';
  targetVaultID: string;
  targetFabricID: string;
  targetApplianceID: string;
}

export interface InMageAzureV2TestFailoverInput {
  instanceType: 'InMageAzureV2';
  recoveryPointId?: string | undefined;
  osUpgradeVersion?: string | undefined;
}

export interface InMageAzureV2UnplannedFailoverInput {
  instanceType: 'InMageAzureV2';
  recoveryPointId?: string | undefined;
  osUpgradeVersion?: string | undefined;
}

export interface InMageAzureV2UpdateReplicationProtectedItemInput {
  instanceType: 'InMageAzureV2';
  recoveryAzureV1ResourceGroupId?: string | undefined;
  recoveryAzureV2ResourceGroupId?: string | undefined;
  useManagedDisks?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  targetManagedDiskTags?: { [name: string]: string } | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
  sqlServerLicenseType?: SqlServerLicenseType | undefined;
  vmDisks?: UpdateDiskInput[] | undefined;
}

export interface InMageBasePolicyDetails {
  instanceType: 'InMageBasePolicyDetails';
  recoveryPointThresholdInMinutes?: number | undefined;
  recoveryPointHistory?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  multiVmSyncStatus?: string | undefined;
}

export interface InMageDisableProtectionProviderSpecificInput {
  instanceType: 'InMage';
  replicaVmDeletionStatus?: string | undefined;
}

export interface InMageDiskDetails {
  diskId?: string | undefined;
  diskName?: string | undefined;
  diskSizeInMB?: string | undefined;
  diskType?: string | undefined;
  diskConfiguration?: string | undefined;
  volumeList?: DiskVolumeDetails[] | undefined;
}

export interface InMageDiskExclusionInput {
  volumeOptions?: InMageVolumeExclusionOptions[] | undefined;
  diskSignatureOptions?: InMageDiskSignatureExclusionOptions[] | undefined;
}

export interface InMageDiskSignatureExclusionOptions {
  diskSignature?: string | undefined;
}

export interface InMageEnableProtectionInput {
  instanceType: 'InMage';
  vmFriendlyName?: string | undefined;
  masterTargetId: string;
  processServerId: string;
  retentionDrive: string;
  runAsAccountId?: string | undefined;
  multiVmGroupId: string;
  multiVmGroupName: string;
  datastoreName?: string | undefined;
  diskExclusionInput?: InMageDiskExclusionInput | undefined;
  disksToInclude?: string[] | undefined;
}

export interface InMageFabricSwitchProviderBlockingErrorDetails {
  readonly errorCode?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly possibleCauses?: string | undefined;
  readonly recommendedAction?: string | undefined;
  readonly errorMessageParameters?: { [name: string]: string } | undefined;
  readonly errorTags?: { [name: string]: string } | undefined;
}

export interface InMagePolicyDetails {
  instanceType: 'InMage';
  recoveryPointThresholdInMinutes?: number | undefined;
  recoveryPointHistory?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  multiVmSyncStatus?: string | undefined;
}

export interface InMagePolicyInput {
  instanceType: 'InMage';
  recoveryPointThresholdInMinutes?: number | undefined;
  recoveryPointHistory?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  multiVmSyncStatus: SetMultiVmSyncStatus;
}

export interface InMageProtectedDiskDetails {
  diskId?: string | undefined;
  diskName?: string | undefined;
  protectionStage?: string | undefined;
  healthErrorCode?: string | undefined;
  rpoInSeconds?: number | undefined;
  resyncRequired?: string | undefined;
  resyncProgressPercentage?: number | undefined;
  resyncDurationInSeconds?: number | undefined;
  diskCapacityInBytes?: number | undefined;
  fileSystemCapacityInBytes?: number | undefined;
  sourceDataInMB?: number | undefined;
  psDataInMB?: number | undefined;
  targetDataInMB?: number | undefined;
  diskResized?: string | undefined;
  lastRpoCalculatedTime?: string | undefined;
  resyncProcessedBytes?: number | undefined;
  resyncTotalTransferredBytes?: number | undefined;
  resyncLast15MinutesTransferredBytes?: number | undefined;
  resyncLastDataTransferTimeUTC?: string | undefined;
  resyncStartTime?: string | undefined;
  progressHealth?: string | undefined;
  progressStatus?: string | undefined;
}

export interface InMageRcmAddDisksInput {
  instanceType: 'InMageRcm';
  disks: InMageRcmDiskInput[];
}

export interface InMageRcmAgentReinstallBlockingErrorDetails {
  errorCode?: string | undefined;
  errorMessage?: string | undefined;
  possibleCauses?: string | undefined;
  recommendedAction?: string | undefined;
  errorMessageParameters?: { [name: string]: string } | undefined;
  errorTags?: { [name: string]: string } | undefined;
}

export interface InMageRcmAgentUpgradeBlockingErrorDetails {
  readonly errorCode?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly possibleCauses?: string | undefined;
  readonly recommendedAction?: string | undefined;
  readonly errorMessageParameters?: { [name: string]: string } | undefined;
  readonly errorTags?: { [name: string]: string } | undefined;
}

export interface InMageRcmApplianceDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly fabricArmId?: string | undefined;
  readonly processServer?: ProcessServerDetails | undefined;
  readonly rcmProxy?: RcmProxyDetails | undefined;
  readonly pushInstaller?: PushInstallerDetails | undefined;
  readonly replicationAgent?: ReplicationAgentDetails | undefined;
  readonly reprotectAgent?: ReprotectAgentDetails | undefined;
  readonly marsAgent?: MarsAgentDetails | undefined;
  readonly dra?: DraDetails | undefined;
  readonly switchProviderBlockingErrorDetails?:
    | InMageRcmFabricSwitchProviderBlockingErrorDetails[]
    | undefined;
}

export interface InMageRcmApplianceSpecificDetails {
  instanceType: 'InMageRcm';
  readonly appliances?: InMageRcmApplianceDetails[] | undefined;
}

export interface InMageRcmApplyRecoveryPointInput {
  instanceType: 'InMageRcm';
  recoveryPointId: string;
}

export interface InMageRcmDiscoveredProtectedVmDetails {
  readonly vCenterId?: string | undefined;
  readonly vCenterFqdn?: string | undefined;
  readonly datastores?: string[] | undefined;
  readonly ipAddresses?: string[] | undefined;
  readonly vmwareToolsStatus?: string | undefined;
  readonly powerStatus?: string | undefined;
  readonly vmFqdn?: string | undefined;
  readonly osName?: string | undefined;
  readonly createdTimestamp?: string | undefined;
  readonly updatedTimestamp?: string | undefined;
  readonly isDeleted?: boolean | undefined;
  readonly lastDiscoveryTimeInUtc?: string | undefined;
}

export interface InMageRcmDiskInput {
  diskId: string;
  logStorageAccountId: string;
  diskType: DiskAccountType;
  diskEncryptionSetId?: string | undefined;
  sectorSizeInBytes?: number | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface InMageRcmDisksDefaultInput {
  logStorageAccountId: string;
  diskType: DiskAccountType;
  diskEncryptionSetId?: string | undefined;
  sectorSizeInBytes?: number | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface InMageRcmEnableProtectionInput {
  instanceType: 'InMageRcm';
  fabricDiscoveryMachineId: string;
  disksToInclude?: InMageRcmDiskInput[] | undefined;
  disksDefault?: InMageRcmDisksDefaultInput | undefined;
  targetResourceGroupId: string;
  targetNetworkId?: string | undefined;
  testNetworkId?: string | undefined;
  targetSubnetName?: string | undefined;
  testSubnetName?: string | undefined;
  targetVmName?: string | undefined;
  targetVmSize?: string | undefined;
  licenseType?: LicenseType | undefined;
  targetAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  targetBootDiagnosticsStorageAccountId?: string | undefined;
  runAsAccountId?: string | undefined;
  processServerId: string;
  multiVmGroupName?: string | undefined;
  sqlServerLicenseType?: SqlServerLicenseType | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  targetVmTags?: UserCreatedResourceTag[] | undefined;
  seedManagedDiskTags?: UserCreatedResourceTag[] | undefined;
  targetManagedDiskTags?: UserCreatedResourceTag[] | undefined;
  targetNicTags?: UserCreatedResourceTag[] | undefined;
  userSelectedOSName?: string | undefined;
  targetVmSecurityProfile?: SecurityProfileProperties | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface InMageRcmEventDetails {
  instanceType: 'InMageRcm';
  readonly protectedItemName?: string | undefined;
  readonly vmName?: string | undefined;
  readonly latestAgentVersion?: string | undefined;
  readonly jobId?: string | undefined;
  readonly fabricName?: string | undefined;
  readonly applianceName?: string | undefined;
  readonly serverType?: string | undefined;
  readonly componentDisplayName?: string | undefined;
}

export interface InMageRcmFabricCreationInput {
  instanceType: 'InMageRcm';
  vmwareSiteId: string;
  physicalSiteId: string;
  sourceAgentIdentity: IdentityProviderInput;
}

export interface InMageRcmFabricSpecificDetails {
  instanceType: 'InMageRcm';
  readonly vmwareSiteId?: string | undefined;
  readonly physicalSiteId?: string | undefined;
  readonly serviceEndpoint?: string | undefined;
  readonly serviceResourceId?: string | undefined;
  readonly serviceContainerId?: string | undefined;
  readonly dataPlaneUri?: string | undefined;
  readonly controlPlaneUri?: string | undefined;
  sourceAgentIdentityDetails?: IdentityProviderDetails | undefined;
  readonly processServers?: ProcessServerDetails[] | undefined;
  readonly rcmProxies?: RcmProxyDetails[] | undefined;
  readonly pushInstallers?: PushInstallerDetails[] | undefined;
  readonly replicationAgents?: ReplicationAgentDetails[] | undefined;
  readonly reprotectAgents?: ReprotectAgentDetails[] | undefined;
  readonly marsAgents?: MarsAgentDetails[] | undefined;
  readonly dras?: DraDetails[] | undefined;
  readonly agentDetails?: AgentDetails[] | undefined;
}

export interface InMageRcmFabricSwitchProviderBlockingErrorDetails {
  readonly errorCode?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly possibleCauses?: string | undefined;
  readonly recommendedAction?: string | undefined;
  readonly errorMessageParameters?: { [name: string]: string } | undefined;
  readonly errorTags?: { [name: string]: string } | undefined;
}

export interface InMageRcmFailbackDiscoveredProtectedVmDetails {
  readonly vCenterId?: string | undefined;
  readonly vCenterFqdn?: string | undefined;
  readonly datastores?: string[] | undefined;
  readonly ipAddresses?: string[] | undefined;
  readonly vmwareToolsStatus?: string | undefined;
  readonly powerStatus?: string | undefined;
  readonly vmFqdn?: string | undefined;
  readonly osName?: string | undefined;
  readonly createdTimestamp?: string | undefined;
  readonly updatedTimestamp?: string | undefined;
  readonly isDeleted?: boolean | undefined;
  readonly lastDiscoveryTimeInUtc?: string | undefined;
}

export interface InMageRcmFailbackEventDetails {
  instanceType: 'InMageRcmFailback';
  readonly protectedItemName?: string | undefined;
  readonly vmName?: string | undefined;
  readonly applianceName?: string | undefined;
  readonly serverType?: string | undefined;
  readonly componentDisplayName?: string | undefined;
}

export interface InMageRcmFailbackMobilityAgentDetails {
  readonly version?: string | undefined;
  readonly latestVersion?: string | undefined;
  readonly driverVersion?: string | undefined;
  readonly latestUpgradableVersionWithoutReboot?: string | undefined;
  readonly agentVersionExpiryDate?: string | undefined;
  readonly driverVersionExpiryDate?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly reasonsBlockingUpgrade?: AgentUpgradeBlockedReason[] | undefined;
  readonly isUpgradeable?: string | undefined;
}

export interface InMageRcmFailbackNicDetails {
  readonly macAddress?: string | undefined;
  readonly networkName?: string | undefined;
  readonly adapterType?: string | undefined;
  readonly sourceIpAddress?: string | undefined;
}

export interface InMageRcmFailbackPlannedFailoverProviderInput {
  instanceType: 'InMageRcmFailback';
  recoveryPointType: InMageRcmFailbackRecoveryPointType;
}

export interface InMageRcmFailbackPolicyCreationInput {
  instanceType: 'InMageRcmFailback';
  crashConsistentFrequencyInMinutes?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
}

export interface InMageRcmFailbackPolicyDetails {
  instanceType: 'InMageRcmFailback';
  appConsistentFrequencyInMinutes?: number | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
}

export interface InMageRcmFailbackProtectedDiskDetails {
  readonly diskId?: string | undefined;
  readonly diskName?: string | undefined;
  readonly isOSDisk?: string | undefined;
  readonly capacityInBytes?: number | undefined;
  readonly diskUuid?: string | undefined;
  readonly dataPendingInLogDataStoreInMB?: number | undefined;
  readonly dataPendingAtSourceAgentInMB?: number | undefined;
  readonly isInitialReplicationComplete?: string | undefined;
  irDetails?: InMageRcmFailbackSyncDetails | undefined;
  resyncDetails?: InMageRcmFailbackSyncDetails | undefined;
  readonly lastSyncTime?: string | undefined;
}

export interface InMageRcmFailbackReplicationDetails {
  instanceType: 'InMageRcmFailback';
  readonly internalIdentifier?: string | undefined;
  readonly azureVirtualMachineId?: string | undefined;
  readonly multiVmGroupName?: string | undefined;
  readonly reprotectAgentId?: string | undefined;
  readonly reprotectAgentName?: string | undefined;
  readonly osType?: string | undefined;
  readonly logStorageAccountId?: string | undefined;
  readonly targetvCenterId?: string | undefined;
  readonly targetDataStoreName?: string | undefined;
  readonly targetVmName?: string | undefined;
  readonly initialReplicationProgressPercentage?: number | undefined;
  readonly initialReplicationProcessedBytes?: number | undefined;
  readonly initialReplicationTransferredBytes?: number | undefined;
  readonly initialReplicationProgressHealth?: VmReplicationProgressHealth | undefined;
  readonly resyncProgressPercentage?: number | undefined;
  readonly resyncProcessedBytes?: number | undefined;
  readonly resyncTransferredBytes?: number | undefined;
  readonly resyncProgressHealth?: VmReplicationProgressHealth | undefined;
  readonly resyncRequired?: string | undefined;
  readonly resyncState?: ResyncState | undefined;
  protectedDisks?: InMageRcmFailbackProtectedDiskDetails[] | undefined;
  mobilityAgentDetails?: InMageRcmFailbackMobilityAgentDetails | undefined;
  vmNics?: InMageRcmFailbackNicDetails[] | undefined;
  readonly lastPlannedFailoverStartTime?: string | undefined;
  readonly lastPlannedFailoverStatus?: PlannedFailoverStatus | undefined;
  discoveredVmDetails?: InMageRcmFailbackDiscoveredProtectedVmDetails | undefined;
  readonly lastUsedPolicyId?: string | undefined;
  readonly lastUsedPolicyFriendlyName?: string | undefined;
  readonly isAgentRegistrationSuccessfulAfterFailover?: boolean | undefined;
}

export interface InMageRcmFailbackReprotectInput {
  instanceType: 'InMageRcmFailback';
  processServerId: string;
  runAsAccountId?: string | undefined;
  policyId: string;
}

export interface InMageRcmFailbackSyncDetails {
  readonly progressHealth?: DiskReplicationProgressHealth | undefined;
  readonly transferredBytes?: number | undefined;
  readonly last15MinutesTransferredBytes?: number | undefined;
  readonly lastDataTransferTimeUtc?: string | undefined;
  readonly processedBytes?: number | undefined;
  readonly startTime?: string | undefined;
  readonly lastRefreshTime?: string | undefined;
  readonly progressPercentage?: number | undefined;
}

export interface InMageRcmLastAgentUpgradeErrorDetails {
  readonly errorCode?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly possibleCauses?: string | undefined;
  readonly recommendedAction?: string | undefined;
  readonly errorMessageParameters?: { [name: string]: string } | undefined;
  readonly errorTags?: { [name: string]: string } | undefined;
}

export interface InMageRcmMobilityAgentDetails {
  readonly version?: string | undefined;
  readonly latestVersion?: string | undefined;
  readonly latestAgentReleaseDate?: string | undefined;
  readonly driverVersion?: string | undefined;
  readonly latestUpgradableVersionWithoutReboot?: string | undefined;
  readonly agentVersionExpiryDate?: string | undefined;
  readonly driverVersionExpiryDate?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly reasonsBlockingUpgrade?: AgentUpgradeBlockedReason[] | undefined;
  readonly isUpgradeable?: string | undefined;
  readonly agentReinstallState?: MobilityAgentReinstallType[] | undefined;
  readonly lastAgentReinstallType?: string | undefined;
  readonly agentReinstallJobId?: string | undefined;
  readonly agentReinstallAttemptToVersion?: string | undefined;
  osFamilyName?: string | undefined;
  distroName?: string | undefined;
  distroNameForWhichAgentIsInstalled?: string | undefined;
  isAgentUpgradeable?: boolean | undefined;
  isAgentReinstallRequired?: boolean | undefined;
  isLastReinstallSuccessful?: boolean | undefined;
  readonly reasonsBlockingReinstall?: AgentReinstallBlockedReason[] | undefined;
  readonly reasonsBlockingReinstallDetails?: InMageRcmAgentReinstallBlockingErrorDetails[] | undefined;
}

export interface InMageRcmNicDetails {
  readonly nicId?: string | undefined;
  isPrimaryNic?: string | undefined;
  isSelectedForFailover?: string | undefined;
  readonly sourceIPAddress?: string | undefined;
  readonly sourceIPAddressType?: EthernetAddressType | undefined;
  readonly sourceNetworkId?: string | undefined;
  readonly sourceSubnetName?: string | undefined;
  targetIPAddress?: string | undefined;
  targetIPAddressType?: EthernetAddressType | undefined;
  targetSubnetName?: string | undefined;
  testSubnetName?: string | undefined;
  testIPAddress?: string | undefined;
  testIPAddressType?: EthernetAddressType | undefined;
  targetNicName?: string | undefined;
}

export interface InMageRcmNicInput {
  nicId: string;
  isPrimaryNic: string;
  isSelectedForFailover?: string | undefined;
  targetSubnetName?: string | undefined;
  targetStaticIPAddress?: string | undefined;
  testSubnetName?: string | undefined;
  testStaticIPAddress?: string | undefined;
  targetNicName?: string | undefined;
}

export interface InMageRcmPolicyCreationInput {
  instanceType: 'InMageRcm';
  recoveryPointHistoryInMinutes?: number | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  enableMultiVmSync?: string | undefined;
}

export interface InMageRcmPolicyDetails {
  instanceType: 'InMageRcm';
  recoveryPointHistoryInMinutes?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
  enableMultiVmSync?: string | undefined;
}

export interface InMageRcmProtectedDiskDetails {
  readonly diskId?: string | undefined;
  readonly diskName?: string | undefined;
  readonly isOSDisk?: string | undefined;
  readonly capacityInBytes?: number | undefined;
  readonly diskState?: DiskState | undefined;
  readonly logStorageAccountId?: string | undefined;
  readonly diskEncryptionSetId?: string | undefined;
  readonly seedManagedDiskId?: string | undefined;
  readonly seedBlobUri?: string | undefined;
  readonly targetManagedDiskId?: string | undefined;
  diskType?: DiskAccountType | undefined;
  readonly dataPendingInLogDataStoreInMB?: number | undefined;
  readonly dataPendingAtSourceAgentInMB?: number | undefined;
  readonly isInitialReplicationComplete?: string | undefined;
  irDetails?: InMageRcmSyncDetails | undefined;
  resyncDetails?: InMageRcmSyncDetails | undefined;
  customTargetDiskName?: string | undefined;
  sectorSizeInBytes?: number | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface InMageRcmProtectionContainerMappingDetails {
  instanceType: 'InMageRcm';
  readonly enableAgentAutoUpgrade?: string | undefined;
}

export interface InMageRcmRecoveryPointDetails {
  instanceType: 'InMageRcm';
  readonly isMultiVmSyncPoint?: string | undefined;
}

export interface InMageRcmReplicationDetails {
  instanceType: 'InMageRcm';
  readonly internalIdentifier?: string | undefined;
  readonly fabricDiscoveryMachineId?: string | undefined;
  readonly multiVmGroupName?: string | undefined;
  readonly discoveryType?: string | undefined;
  readonly processServerId?: string | undefined;
  readonly processorCoreCount?: number | undefined;
  readonly allocatedMemoryInMB?: number | undefined;
  readonly processServerName?: string | undefined;
  readonly runAsAccountId?: string | undefined;
  readonly osType?: string | undefined;
  readonly firmwareType?: string | undefined;
  readonly primaryNicIpAddress?: string | undefined;
  readonly targetGeneration?: string | undefined;
  licenseType?: string | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  readonly storageAccountId?: string | undefined;
  targetVmName?: string | undefined;
  targetVmSize?: string | undefined;
  targetResourceGroupId?: string | undefined;
  targetLocation?: string | undefined;
  targetAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  targetBootDiagnosticsStorageAccountId?: string | undefined;
  targetNetworkId?: string | undefined;
  testNetworkId?: string | undefined;
  readonly failoverRecoveryPointId?: string | undefined;
  readonly lastRecoveryPointReceived?: string | undefined;
  readonly lastRpoInSeconds?: number | undefined;
  readonly lastRpoCalculatedTime?: string | undefined;
  readonly lastRecoveryPointId?: string | undefined;
  readonly initialReplicationProgressPercentage?: number | undefined;
  readonly initialReplicationProcessedBytes?: number | undefined;
  readonly initialReplicationTransferredBytes?: number | undefined;
  readonly initialReplicationProgressHealth?: VmReplicationProgressHealth | undefined;
  readonly resyncProgressPercentage?: number | undefined;
  readonly resyncProcessedBytes?: number | undefined;
  readonly resyncTransferredBytes?: number | undefined;
  readonly resyncProgressHealth?: VmReplicationProgressHealth | undefined;
  readonly resyncRequired?: string | undefined;
  readonly resyncState?: ResyncState | undefined;
  readonly agentUpgradeState?: MobilityAgentUpgradeState | undefined;
  readonly lastAgentUpgradeType?: string | undefined;
  readonly agentUpgradeJobId?: string | undefined;
  readonly agentUpgradeAttemptToVersion?: string | undefined;
  protectedDisks?: InMageRcmProtectedDiskDetails[] | undefined;
  unprotectedDisks?: InMageRcmUnProtectedDiskDetails[] | undefined;
  readonly isLastUpgradeSuccessful?: string | undefined;
  readonly isAgentRegistrationSuccessfulAfterFailover?: boolean | undefined;
  mobilityAgentDetails?: InMageRcmMobilityAgentDetails | undefined;
  lastAgentUpgradeErrorDetails?: InMageRcmLastAgentUpgradeErrorDetails[] | undefined;
  agentUpgradeBlockingErrorDetails?: InMageRcmAgentUpgradeBlockingErrorDetails[] | undefined;
  vmNics?: InMageRcmNicDetails[] | undefined;
  discoveredVmDetails?: InMageRcmDiscoveredProtectedVmDetails | undefined;
  targetVmTags?: UserCreatedResourceTag[] | undefined;
  seedManagedDiskTags?: UserCreatedResourceTag[] | undefined;
  targetManagedDiskTags?: UserCreatedResourceTag[] | undefined;
  targetNicTags?: UserCreatedResourceTag[] | undefined;
  sqlServerLicenseType?: string | undefined;
  supportedOSVersions?: string[] | undefined;
  osName?: string | undefined;
  targetVmSecurityProfile?: SecurityProfileProperties | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface InMageRcmReprotectInput {
  instanceType: 'InMageRcm';
  reprotectAgentId: string;
  datastoreName: string;
  logStorageAccountId: string;
  policyId?: string | undefined;
}

export interface InMageRcmSyncDetails {
  readonly progressHealth?: DiskReplicationProgressHealth | undefined;
  readonly transferredBytes?: number | undefined;
  readonly last15MinutesTransferredBytes?: number | undefined;
  readonly lastDataTransferTimeUtc?: string | undefined;
  readonly processedBytes?: number | undefined;
  readonly startTime?: string | undefined;
  readonly lastRefreshTime?: string | undefined;
  readonly progressPercentage?: number | undefined;
}

export interface InMageRcmTestFailoverInput {
  instanceType: 'InMageRcm';
  networkId?: string | undefined;
  recoveryPointId?: string | undefined;
  osUpgradeVersion?: string | undefined;
}

export interface InMageRcmUnProtectedDiskDetails {
  readonly diskId?: string | undefined;
  readonly diskName?: string | undefined;
  readonly capacityInBytes?: number | undefined;
}

export interface InMageRcmUnplannedFailoverInput {
  instanceType: 'InMageRcm';
  performShutdown: string;
  recoveryPointId?: string | undefined;
  osUpgradeVersion?: string | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface InMageRcmUpdateApplianceForReplicationProtectedItemInput {
  instanceType: 'InMageRcm';
  runAsAccountId?: string | undefined;
}

export interface InMageRcmUpdateContainerMappingInput {
  instanceType: 'InMageRcm';
  enableAgentAutoUpgrade: string;
}

export interface InMageRcmUpdateReplicationProtectedItemInput {
  instanceType: 'InMageRcm';
  targetVmName?: string | undefined;
  targetVmSize?: string | undefined;
  targetResourceGroupId?: string | undefined;
  targetAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  targetBootDiagnosticsStorageAccountId?: string | undefined;
  targetNetworkId?: string | undefined;
  testNetworkId?: string | undefined;
  vmNics?: InMageRcmNicInput[] | undefined;
  licenseType?: LicenseType | undefined;
  sqlServerLicenseType?: SqlServerLicenseType | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  userSelectedOSName?: string | undefined;
  targetVmTags?: UserCreatedResourceTag[] | undefined;
  targetManagedDiskTags?: UserCreatedResourceTag[] | undefined;
  targetNicTags?: UserCreatedResourceTag[] | undefined;
  vmDisks?: UpdateDiskInput[] | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface InMageReplicationDetails {
  instanceType: 'InMage';
  activeSiteType?: string | undefined;
  sourceVmCpuCount?: number | undefined;
  sourceVmRamSizeInMB?: number | undefined;
  osDetails?: OSDiskDetails | undefined;
  protectionStage?: string | undefined;
  vmId?: string | undefined;
  vmProtectionState?: string | undefined;
  vmProtectionStateDescription?: string | undefined;
  resyncDetails?: InitialReplicationDetails | undefined;
  retentionWindowStart?: string | undefined;
  retentionWindowEnd?: string | undefined;
  compressedDataRateInMB?: number | undefined;
  uncompressedDataRateInMB?: number | undefined;
  rpoInSeconds?: number | undefined;
  protectedDisks?: InMageProtectedDiskDetails[] | undefined;
  ipAddress?: string | undefined;
  lastHeartbeat?: string | undefined;
  processServerId?: string | undefined;
  masterTargetId?: string | undefined;
  consistencyPoints?: { [name: string]: string } | undefined;
  diskResized?: string | undefined;
  rebootAfterUpdateStatus?: string | undefined;
  multiVmGroupId?: string | undefined;
  multiVmGroupName?: string | undefined;
  multiVmSyncStatus?: string | undefined;
  agentDetails?: InMageAgentDetails | undefined;
  vCenterInfrastructureId?: string | undefined;
  infrastructureVmId?: string | undefined;
  vmNics?: VMNicDetails[] | undefined;
  discoveryType?: string | undefined;
  azureStorageAccountId?: string | undefined;
  datastores?: string[] | undefined;
  validationErrors?: HealthError[] | undefined;
  lastRpoCalculatedTime?: string | undefined;
  lastUpdateReceivedTime?: string | undefined;
  replicaId?: string | undefined;
  osVersion?: string | undefined;
  isAdditionalStatsAvailable?: boolean | undefined;
  totalDataTransferred?: number | undefined;
  totalProgressHealth?: string | undefined;
}

export interface InMageReprotectInput {
  instanceType: 'InMage';
  masterTargetId: string;
  processServerId: string;
  retentionDrive: string;
  runAsAccountId?: string | undefined;
  datastoreName?: string | undefined;
  diskExclusionInput?: InMageDiskExclusionInput | undefined;
  profileId: string;
  disksToInclude?: string[] | undefined;
}

export interface InMageTestFailoverInput {
  instanceType: 'InMage';
  recoveryPointType?: RecoveryPointType | undefined;
  recoveryPointId?: string | undefined;
}

export interface InMageUnplannedFailoverInput {
  instanceType: 'InMage';
  recoveryPointType?: RecoveryPointType | undefined;
  recoveryPointId?: string | undefined;
}

export interface InMageVolumeExclusionOptions {
  volumeLabel?: string | undefined;
  onlyExcludeIfSingleVolume?: string | undefined;
}

export interface InconsistentVmDetails {
  vmName?: string | undefined;
  cloudName?: string | undefined;
  details?: string[] | undefined;
  errorIds?: string[] | undefined;
}

export interface InitialReplicationDetails {
  initialReplicationType?: string | undefined;
  initialReplicationProgressPercentage?: string | undefined;
}

export interface InlineWorkflowTaskDetails {
  instanceType: 'InlineWorkflowTaskDetails';
  childTasks?: ASRTask[] | undefined;
  workflowIds?: string[] | undefined;
}

export interface InnerHealthError {
  errorSource?: string | undefined;
  errorType?: string | undefined;
  errorLevel?: string | undefined;
  errorCategory?: string | undefined;
  errorCode?: string | undefined;
  summaryMessage?: string | undefined;
  errorMessage?: string | undefined;
  possibleCauses?: string | undefined;
  recommendedAction?: string | undefined;
  creationTimeUtc?: string | undefined;
  recoveryProviderErrorMessage?: string | undefined;
  entityId?: string | undefined;
  errorId?: string | undefined;
  customerResolvability?: HealthErrorCustomerResolvability | undefined;
}

export interface InputEndpoint {
  endpointName?: string | undefined;
  privatePort?: number | undefined;
  publicPort?: number | undefined;
  protocol?: string | undefined;
}

export interface Job {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: JobProperties | undefined;
  location?: string | undefined;
}

export type JobDetails =
  | AsrJobDetails
  | ClusterFailoverJobDetails
  | ClusterSwitchProtectionJobDetails
  | ClusterTestFailoverJobDetails
  | ExportJobDetails
  | FailoverJobDetails
  | SwitchProtectionJobDetails
  | TestFailoverJobDetails;

export interface JobEntity {
  jobId?: string | undefined;
  jobFriendlyName?: string | undefined;
  targetObjectId?: string | undefined;
  targetObjectName?: string | undefined;
  targetInstanceType?: string | undefined;
  jobScenarioName?: string | undefined;
}

export interface JobErrorDetails {
  serviceErrorDetails?: ServiceError | undefined;
  providerErrorDetails?: ProviderError | undefined;
  errorLevel?: string | undefined;
  creationTime?: string | undefined;
  taskId?: string | undefined;
}

export interface JobProperties {
  activityId?: string | undefined;
  scenarioName?: string | undefined;
  friendlyName?: string | undefined;
  state?: string | undefined;
  stateDescription?: string | undefined;
  tasks?: ASRTask[] | undefined;
  errors?: JobErrorDetails[] | undefined;
  startTime?: string | undefined;
  endTime?: string | undefined;
  allowedActions?: string[] | undefined;
  targetObjectId?: string | undefined;
  targetObjectName?: string | undefined;
  targetInstanceType?: string | undefined;
  customDetails?: JobDetails | undefined;
}

export interface JobQueryParameter {
  startTime?: string | undefined;
  endTime?: string | undefined;
  fabricId?: string | undefined;
  affectedObjectTypes?: string | undefined;
  jobStatus?: string | undefined;
  jobOutputType?: ExportJobOutputSerializationType | undefined;
  jobName?: string | undefined;
  timezoneOffset?: number | undefined;
}

export interface JobStatusEventDetails {
  instanceType: 'JobStatus';
  jobId?: string | undefined;
  jobFriendlyName?: string | undefined;
  jobStatus?: string | undefined;
  affectedObjectType?: string | undefined;
}

export interface JobTaskDetails {
  instanceType: 'JobTaskDetails';
  jobTask?: JobEntity | undefined;
}

export interface JobsSummary {
  failedJobs?: number | undefined;
  suspendedJobs?: number | undefined;
  inProgressJobs?: number | undefined;
}

export interface KeyEncryptionKeyInfo {
  keyIdentifier?: string | undefined;
  keyVaultResourceArmId?: string | undefined;
}

export interface LogicalNetwork {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: LogicalNetworkProperties | undefined;
  location?: string | undefined;
}

export interface LogicalNetworkProperties {
  friendlyName?: string | undefined;
  networkVirtualizationStatus?: string | undefined;
  logicalNetworkUsage?: string | undefined;
  logicalNetworkDefinitionsStatus?: string | undefined;
}

export interface ManagedRunCommandScriptInput {
  stepName: string;
  scriptUrl: string;
  scriptParameters: string;
}

export interface ManualActionTaskDetails {
  instanceType: 'ManualActionTaskDetails';
  name?: string | undefined;
  instructions?: string | undefined;
  observation?: string | undefined;
}

export interface MarsAgentDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly biosId?: string | undefined;
  readonly fabricObjectId?: string | undefined;
  readonly fqdn?: string | undefined;
  readonly version?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly healthErrors?: HealthError[] | undefined;
}

export interface MasterTargetServer {
  id?: string | undefined;
  ipAddress?: string | undefined;
  name?: string | undefined;
  osType?: string | undefined;
  agentVersion?: string | undefined;
  lastHeartbeat?: string | undefined;
  versionStatus?: string | undefined;
  retentionVolumes?: RetentionVolume[] | undefined;
  dataStores?: DataStore[] | undefined;
  validationErrors?: HealthError[] | undefined;
  healthErrors?: HealthError[] | undefined;
  diskCount?: number | undefined;
  osVersion?: string | undefined;
  agentExpiryDate?: string | undefined;
  marsAgentVersion?: string | undefined;
  marsAgentExpiryDate?: string | undefined;
  agentVersionDetails?: VersionDetails | undefined;
  marsAgentVersionDetails?: VersionDetails | undefined;
}

export interface MigrateInput {
  properties: MigrateInputProperties;
}

export interface MigrateInputProperties {
  providerSpecificDetails: MigrateProviderSpecificInput;
}

export type MigrateProviderSpecificInput = VMwareCbtMigrateInput;

export interface MigrationItem {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: MigrationItemProperties | undefined;
  location?: string | undefined;
}

export interface MigrationItemProperties {
  readonly machineName?: string | undefined;
  readonly policyId?: string | undefined;
  readonly policyFriendlyName?: string | undefined;
  readonly recoveryServicesProviderId?: string | undefined;
  readonly replicationStatus?: string | undefined;
  readonly migrationState?: MigrationState | undefined;
  readonly migrationStateDescription?: string | undefined;
  readonly lastTestMigrationTime?: string | undefined;
  readonly lastTestMigrationStatus?: string | undefined;
  readonly lastMigrationTime?: string | undefined;
  readonly lastMigrationStatus?: string | undefined;
  readonly testMigrateState?: TestMigrationState | undefined;
  readonly testMigrateStateDescription?: string | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly healthErrors?: HealthError[] | undefined;
  readonly allowedOperations?: MigrationItemOperation[] | undefined;
  readonly currentJob?: CurrentJobDetails | undefined;
  readonly criticalJobHistory?: CriticalJobHistoryDetails[] | undefined;
  readonly eventCorrelationId?: string | undefined;
  providerSpecificDetails?: MigrationProviderSpecificSettings | undefined;
}

export type MigrationProviderSpecificSettings = VMwareCbtMigrationDetails;

export interface MigrationRecoveryPoint {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: MigrationRecoveryPointProperties | undefined;
  location?: string | undefined;
}

export interface MigrationRecoveryPointProperties {
  readonly recoveryPointTime?: string | undefined;
  readonly recoveryPointType?: MigrationRecoveryPointType | undefined;
}

export interface MobilityServiceUpdate {
  version?: string | undefined;
  rebootStatus?: string | undefined;
  osType?: string | undefined;
}

export interface MonitoringSettings {
  azureMonitorAlertSettings?: AzureMonitorAlertSettings | undefined;
  classicAlertSettings?: ClassicAlertSettings | undefined;
}

export interface MonitoringSummary {
  unHealthyVmCount?: number | undefined;
  unHealthyProviderCount?: number | undefined;
  eventsCount?: number | undefined;
  deprecatedProviderCount?: number | undefined;
  supportedProviderCount?: number | undefined;
  unsupportedProviderCount?: number | undefined;
}

export interface NameInfo {
  value?: string | undefined;
  localizedValue?: string | undefined;
}

export interface Network {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: NetworkProperties | undefined;
  location?: string | undefined;
}

export interface NetworkMapping {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: NetworkMappingProperties | undefined;
  location?: string | undefined;
}

export type NetworkMappingFabricSpecificSettings =
  | AzureToAzureNetworkMappingSettings
  | VmmToAzureNetworkMappingSettings
  | VmmToVmmNetworkMappingSettings;

export interface NetworkMappingProperties {
  state?: string | undefined;
  primaryNetworkFriendlyName?: string | undefined;
  primaryNetworkId?: string | undefined;
  primaryFabricFriendlyName?: string | undefined;
  recoveryNetworkFriendlyName?: string | undefined;
  recoveryNetworkId?: string | undefined;
  recoveryFabricArmId?: string | undefined;
  recoveryFabricFriendlyName?: string | undefined;
  fabricSpecificSettings?: NetworkMappingFabricSpecificSettings | undefined;
}

export interface NetworkProperties {
  fabricType?: string | undefined;
  subnets?: Subnet[] | undefined;
  friendlyName?: string | undefined;
  networkType?: string | undefined;
}

export interface NewProtectionProfile {
  resourceType: 'New';
  policyName: string;
  recoveryPointHistory?: number | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  multiVmSyncStatus: SetMultiVmSyncStatus;
}

export interface NewRecoveryVirtualNetwork {
  resourceType: 'New';
  recoveryVirtualNetworkResourceGroupName?: string | undefined;
  recoveryVirtualNetworkName?: string | undefined;
}

export interface OSDetails {
  osType?: string | undefined;
  productType?: string | undefined;
  osEdition?: string | undefined;
  oSVersion?: string | undefined;
  oSMajorVersion?: string | undefined;
  oSMinorVersion?: string | undefined;
  userSelectedOSName?: string | undefined;
}

export interface OSDiskDetails {
  osVhdId?: string | undefined;
  osType?: string | undefined;
  vhdName?: string | undefined;
}

export interface OSUpgradeSupportedVersions {
  readonly supportedSourceOsVersion?: string | undefined;
  readonly supportedTargetOsVersions?: string[] | undefined;
}

export interface OSVersionWrapper {
  version?: string | undefined;
  servicePack?: string | undefined;
}

export interface OperationResource {
  endTime?: string | undefined;
  error?: Error | undefined;
  id?: string | undefined;
  name?: string | undefined;
  status?: string | undefined;
  startTime?: string | undefined;
}

export interface OperationsDiscovery {
  name?: string | undefined;
  display?: Display | undefined;
  origin?: string | undefined;
  properties?: unknown | undefined;
}

export interface PatchTrackedResource {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  location?: string | undefined;
  tags?: { [name: string]: string } | undefined;
  etag?: string | undefined;
}

export interface PatchVault {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  location?: string | undefined;
  tags?: { [name: string]: string } | undefined;
  etag?: string | undefined;
  properties?: VaultProperties | undefined;
  sku?: Sku | undefined;
  identity?: IdentityData | undefined;
}

export interface PauseReplicationInput {
  properties: PauseReplicationInputProperties;
}

export interface PauseReplicationInputProperties {
  instanceType: string;
}

export interface PlannedFailoverInput {
  properties?: PlannedFailoverInputProperties | undefined;
}

export interface PlannedFailoverInputProperties {
  failoverDirection?: string | undefined;
  providerSpecificDetails?: PlannedFailoverProviderSpecificFailoverInput | undefined;
}

export type PlannedFailoverProviderSpecificFailoverInput =
  | HyperVReplicaAzureFailbackProviderInput
  | HyperVReplicaAzurePlannedFailoverProviderInput
  | InMageRcmFailbackPlannedFailoverProviderInput;

export interface Policy {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: PolicyProperties | undefined;
  location?: string | undefined;
}

export interface PolicyProperties {
  friendlyName?: string | undefined;
  providerSpecificDetails?: PolicyProviderSpecificDetails | undefined;
}

export type PolicyProviderSpecificDetails =
  | A2APolicyDetails
  | HyperVReplicaAzurePolicyDetails
  | HyperVReplicaBasePolicyDetails
  | HyperVReplicaBluePolicyDetails
  | HyperVReplicaPolicyDetails
  | InMageAzureV2PolicyDetails
  | InMageBasePolicyDetails
  | InMagePolicyDetails
  | InMageRcmFailbackPolicyDetails
  | InMageRcmPolicyDetails
  | VmwareCbtPolicyDetails;

export type PolicyProviderSpecificInput =
  | A2ACrossClusterMigrationPolicyCreationInput
  | A2APolicyCreationInput
  | HyperVReplicaAzurePolicyInput
  | HyperVReplicaPolicyInput
  | HyperVReplicaBluePolicyInput
  | InMageAzureV2PolicyInput
  | InMagePolicyInput
  | InMageRcmFailbackPolicyCreationInput
  | InMageRcmPolicyCreationInput
  | VMwareCbtPolicyCreationInput;

export interface PrivateEndpoint {
  readonly id?: string | undefined;
}

export interface PrivateEndpointConnection {
  readonly provisioningState?: ProvisioningState | undefined;
  readonly privateEndpoint?: PrivateEndpoint | undefined;
  readonly privateLinkServiceConnectionState?: PrivateLinkServiceConnectionState | undefined;
  groupIds?: VaultSubResourceType[] | undefined;
}

export interface PrivateEndpointConnectionVaultProperties {
  readonly id?: string | undefined;
  readonly properties?: PrivateEndpointConnection | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly location?: string | undefined;
}

export interface PrivateLinkResource {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: PrivateLinkResourceProperties | undefined;
}

export interface PrivateLinkResourceProperties {
  readonly groupId?: string | undefined;
  readonly requiredMembers?: string[] | undefined;
  readonly requiredZoneNames?: string[] | undefined;
}

export interface PrivateLinkServiceConnectionState {
  readonly status?: PrivateEndpointConnectionStatus | undefined;
  readonly description?: string | undefined;
  readonly actionsRequired?: string | undefined;
}

export interface ProcessServer {
  friendlyName?: string | undefined;
  id?: string | undefined;
  ipAddress?: string | undefined;
  osType?: string | undefined;
  agentVersion?: string | undefined;
  lastHeartbeat?: string | undefined;
  versionStatus?: string | undefined;
  mobilityServiceUpdates?: MobilityServiceUpdate[] | undefined;
  hostId?: string | undefined;
  machineCount?: string | undefined;
  replicationPairCount?: string | undefined;
  systemLoad?: string | undefined;
  systemLoadStatus?: string | undefined;
  cpuLoad?: string | undefined;
  cpuLoadStatus?: string | undefined;
  totalMemoryInBytes?: number | undefined;
  availableMemoryInBytes?: number | undefined;
  memoryUsageStatus?: string | undefined;
  totalSpaceInBytes?: number | undefined;
  availableSpaceInBytes?: number | undefined;
  spaceUsageStatus?: string | undefined;
  psServiceStatus?: string | undefined;
  sslCertExpiryDate?: string | undefined;
  sslCertExpiryRemainingDays?: number | undefined;
  osVersion?: string | undefined;
  healthErrors?: HealthError[] | undefined;
  agentExpiryDate?: string | undefined;
  agentVersionDetails?: VersionDetails | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly psStatsRefreshTime?: string | undefined;
  readonly throughputUploadPendingDataInBytes?: number | undefined;
  readonly throughputInMBps?: number | undefined;
  readonly throughputInBytes?: number | undefined;
  readonly throughputStatus?: string | undefined;
  readonly marsCommunicationStatus?: string | undefined;
  readonly marsRegistrationStatus?: string | undefined;
}

export interface ProcessServerDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly biosId?: string | undefined;
  readonly fabricObjectId?: string | undefined;
  readonly fqdn?: string | undefined;
  readonly ipAddresses?: string[] | undefined;
  readonly version?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly totalMemoryInBytes?: number | undefined;
  readonly availableMemoryInBytes?: number | undefined;
  readonly usedMemoryInBytes?: number | undefined;
  readonly memoryUsagePercentage?: number | undefined;
  readonly totalSpaceInBytes?: number | undefined;
  readonly availableSpaceInBytes?: number | undefined;
  readonly usedSpaceInBytes?: number | undefined;
  readonly freeSpacePercentage?: number | undefined;
  readonly throughputUploadPendingDataInBytes?: number | undefined;
  readonly throughputInBytes?: number | undefined;
  readonly processorUsagePercentage?: number | undefined;
  readonly throughputStatus?: RcmComponentStatus | undefined;
  readonly systemLoad?: number | undefined;
  readonly systemLoadStatus?: RcmComponentStatus | undefined;
  readonly diskUsageStatus?: RcmComponentStatus | undefined;
  readonly memoryUsageStatus?: RcmComponentStatus | undefined;
  readonly processorUsageStatus?: RcmComponentStatus | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly healthErrors?: HealthError[] | undefined;
  readonly protectedItemCount?: number | undefined;
  readonly historicHealth?: ProtectionHealth | undefined;
}

export interface ProtectableItem {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: ProtectableItemProperties | undefined;
  location?: string | undefined;
}

export interface ProtectableItemProperties {
  friendlyName?: string | undefined;
  protectionStatus?: string | undefined;
  replicationProtectedItemId?: string | undefined;
  recoveryServicesProviderId?: string | undefined;
  protectionReadinessErrors?: string[] | undefined;
  supportedReplicationProviders?: string[] | undefined;
  customDetails?: ConfigurationSettings | undefined;
}

export interface ProtectionContainer {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: ProtectionContainerProperties | undefined;
  location?: string | undefined;
}

export interface ProtectionContainerFabricSpecificDetails {
  readonly instanceType?: string | undefined;
}

export interface ProtectionContainerMapping {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: ProtectionContainerMappingProperties | undefined;
  location?: string | undefined;
}

export interface ProtectionContainerMappingProperties {
  targetProtectionContainerId?: string | undefined;
  targetProtectionContainerFriendlyName?: string | undefined;
  providerSpecificDetails?: ProtectionContainerMappingProviderSpecificDetails | undefined;
  health?: string | undefined;
  healthErrorDetails?: HealthError[] | undefined;
  policyId?: string | undefined;
  state?: string | undefined;
  sourceProtectionContainerFriendlyName?: string | undefined;
  sourceFabricFriendlyName?: string | undefined;
  targetFabricFriendlyName?: string | undefined;
  policyFriendlyName?: string | undefined;
}

export type ProtectionContainerMappingProviderSpecificDetails =
  | A2AProtectionContainerMappingDetails
  | InMageRcmProtectionContainerMappingDetails
  | VMwareCbtProtectionContainerMappingDetails;

export interface ProtectionContainerProperties {
  fabricFriendlyName?: string | undefined;
  friendlyName?: string | undefined;
  fabricType?: string | undefined;
  protectedItemCount?: number | undefined;
  pairingStatus?: string | undefined;
  role?: string | undefined;
  fabricSpecificDetails?: ProtectionContainerFabricSpecificDetails | undefined;
}

export type ProtectionProfileCustomDetails = ExistingProtectionProfile | NewProtectionProfile;

export interface ProviderError {
  errorCode?: number | undefined;
  errorMessage?: string | undefined;
  errorId?: string | undefined;
  possibleCauses?: string | undefined;
  recommendedAction?: string | undefined;
}

export type ProviderSpecificRecoveryPointDetails =
  | A2ARecoveryPointDetails
  | InMageAzureV2RecoveryPointDetails
  | InMageRcmRecoveryPointDetails;

export interface ProxyResource {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
}

export interface PushInstallerDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly biosId?: string | undefined;
  readonly fabricObjectId?: string | undefined;
  readonly fqdn?: string | undefined;
  readonly version?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly healthErrors?: HealthError[] | undefined;
}

export interface RawCertificateData {
  authType?: AuthType | undefined;
  certificate?: string | undefined;
}

export interface RcmProxyDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly biosId?: string | undefined;
  readonly fabricObjectId?: string | undefined;
  readonly fqdn?: string | undefined;
  readonly clientAuthenticationType?: string | undefined;
  readonly version?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly healthErrors?: HealthError[] | undefined;
}

export type RecoveryAvailabilitySetCustomDetails = ExistingRecoveryAvailabilitySet;

export interface RecoveryPlan {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: RecoveryPlanProperties | undefined;
  location?: string | undefined;
}

export interface RecoveryPlanA2ADetails {
  instanceType: 'A2A';
  primaryZone?: string | undefined;
  recoveryZone?: string | undefined;
  primaryExtendedLocation?: ExtendedLocation | undefined;
  recoveryExtendedLocation?: ExtendedLocation | undefined;
}

export interface RecoveryPlanA2AFailoverInput {
  instanceType: 'A2A';
  recoveryPointType: A2ARpRecoveryPointType;
  cloudServiceCreationOption?: string | undefined;
  multiVmSyncPointOption?: MultiVmSyncPointOption | undefined;
}

export interface RecoveryPlanA2AInput {
  instanceType: 'A2A';
  primaryZone?: string | undefined;
  recoveryZone?: string | undefined;
  primaryExtendedLocation?: ExtendedLocation | undefined;
  recoveryExtendedLocation?: ExtendedLocation | undefined;
}

export interface RecoveryPlanAction {
  actionName: string;
  failoverTypes: ReplicationProtectedItemOperation[];
  failoverDirections: PossibleOperationsDirections[];
  customDetails: RecoveryPlanActionDetails;
}

export type RecoveryPlanActionDetails =
  | RecoveryPlanAutomationRunbookActionDetails
  | RecoveryPlanManualActionDetails
  | RecoveryPlanScriptActionDetails;

export interface RecoveryPlanAutomationRunbookActionDetails {
  instanceType: 'AutomationRunbookActionDetails';
  runbookId?: string | undefined;
  timeout?: string | undefined;
  fabricLocation: RecoveryPlanActionLocation;
}

export interface RecoveryPlanGroup {
  groupType: RecoveryPlanGroupType;
  replicationProtectedItems?: RecoveryPlanProtectedItem[] | undefined;
  startGroupActions?: RecoveryPlanAction[] | undefined;
  endGroupActions?: RecoveryPlanAction[] | undefined;
}

export interface RecoveryPlanGroupTaskDetails {
  instanceType: 'RecoveryPlanGroupTaskDetails';
  childTasks?: ASRTask[] | undefined;
  name?: string | undefined;
  groupId?: string | undefined;
  rpGroupType?: string | undefined;
}

export interface RecoveryPlanHyperVReplicaAzureFailbackInput {
  instanceType: 'HyperVReplicaAzureFailback';
  dataSyncOption: DataSyncStatus;
  recoveryVmCreationOption: AlternateLocationRecoveryOption;
}

export interface RecoveryPlanHyperVReplicaAzureFailoverInput {
  instanceType: 'HyperVReplicaAzure';
  primaryKekCertificatePfx?: string | undefined;
  secondaryKekCertificatePfx?: string | undefined;
  recoveryPointType?: HyperVReplicaAzureRpRecoveryPointType | undefined;
}

export interface RecoveryPlanInMageAzureV2FailoverInput {
  instanceType: 'InMageAzureV2';
  recoveryPointType: InMageV2RpRecoveryPointType;
  useMultiVmSyncPoint?: string | undefined;
}

export interface RecoveryPlanInMageFailoverInput {
  instanceType: 'InMage';
  recoveryPointType: RpInMageRecoveryPointType;
}

export interface RecoveryPlanInMageRcmFailbackFailoverInput {
  instanceType: 'InMageRcmFailback';
  recoveryPointType: InMageRcmFailbackRecoveryPointType;
  useMultiVmSyncPoint?: string | undefined;
}

export interface RecoveryPlanInMageRcmFailoverInput {
  instanceType: 'InMageRcm';
  recoveryPointType: RecoveryPlanPointType;
  useMultiVmSyncPoint?: string | undefined;
}

export interface RecoveryPlanManualActionDetails {
  instanceType: 'ManualActionDetails';
  description?: string | undefined;
}

export interface RecoveryPlanPlannedFailoverInput {
  properties: RecoveryPlanPlannedFailoverInputProperties;
}

export interface RecoveryPlanPlannedFailoverInputProperties {
  failoverDirection: PossibleOperationsDirections;
  providerSpecificDetails?: RecoveryPlanProviderSpecificFailoverInput[] | undefined;
}

export interface RecoveryPlanProperties {
  friendlyName?: string | undefined;
  primaryFabricId?: string | undefined;
  primaryFabricFriendlyName?: string | undefined;
  recoveryFabricId?: string | undefined;
  recoveryFabricFriendlyName?: string | undefined;
  failoverDeploymentModel?: string | undefined;
  replicationProviders?: string[] | undefined;
  allowedOperations?: string[] | undefined;
  lastPlannedFailoverTime?: string | undefined;
  lastUnplannedFailoverTime?: string | undefined;
  lastTestFailoverTime?: string | undefined;
  currentScenario?: CurrentScenarioDetails | undefined;
  currentScenarioStatus?: string | undefined;
  currentScenarioStatusDescription?: string | undefined;
  groups?: RecoveryPlanGroup[] | undefined;
  providerSpecificDetails?: RecoveryPlanProviderSpecificDetails[] | undefined;
}

export interface RecoveryPlanProtectedItem {
  id?: string | undefined;
  virtualMachineId?: string | undefined;
}

export type RecoveryPlanProviderSpecificDetails = RecoveryPlanA2ADetails;

export type RecoveryPlanProviderSpecificFailoverInput =
  | RecoveryPlanA2AFailoverInput
  | RecoveryPlanHyperVReplicaAzureFailbackInput
  | RecoveryPlanHyperVReplicaAzureFailoverInput
  | RecoveryPlanInMageAzureV2FailoverInput
  | RecoveryPlanInMageFailoverInput
  | RecoveryPlanInMageRcmFailbackFailoverInput
  | RecoveryPlanInMageRcmFailoverInput;

export type RecoveryPlanProviderSpecificInput = RecoveryPlanA2AInput;

export interface RecoveryPlanScriptActionDetails {
  instanceType: 'ScriptActionDetails';
  path: string;
  timeout?: string | undefined;
  fabricLocation: RecoveryPlanActionLocation;
}

export interface RecoveryPlanShutdownGroupTaskDetails {
  instanceType: 'RecoveryPlanShutdownGroupTaskDetails';
  childTasks?: ASRTask[] | undefined;
  name?: string | undefined;
  groupId?: string | undefined;
  rpGroupType?: string | undefined;
}

export interface RecoveryPlanTestFailoverCleanupInput {
  properties: RecoveryPlanTestFailoverCleanupInputProperties;
}

export interface RecoveryPlanTestFailoverCleanupInputProperties {
  comments?: string | undefined;
}

export interface RecoveryPlanTestFailoverInput {
  properties: RecoveryPlanTestFailoverInputProperties;
}

export interface RecoveryPlanTestFailoverInputProperties {
  failoverDirection: PossibleOperationsDirections;
  networkType: string;
  networkId?: string | undefined;
  providerSpecificDetails?: RecoveryPlanProviderSpecificFailoverInput[] | undefined;
}

export interface RecoveryPlanUnplannedFailoverInput {
  properties: RecoveryPlanUnplannedFailoverInputProperties;
}

export interface RecoveryPlanUnplannedFailoverInputProperties {
  failoverDirection: PossibleOperationsDirections;
  sourceSiteOperations: SourceSiteOperations;
  providerSpecificDetails?: RecoveryPlanProviderSpecificFailoverInput[] | undefined;
}

export interface RecoveryPoint {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: RecoveryPointProperties | undefined;
  location?: string | undefined;
}

export interface RecoveryPointProperties {
  recoveryPointTime?: string | undefined;
  recoveryPointType?: string | undefined;
  providerSpecificDetails?: ProviderSpecificRecoveryPointDetails | undefined;
}

export type RecoveryProximityPlacementGroupCustomDetails = ExistingRecoveryProximityPlacementGroup;

export type RecoveryResourceGroupCustomDetails = ExistingRecoveryResourceGroup;

export interface RecoveryServicesProvider {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: RecoveryServicesProviderProperties | undefined;
  location?: string | undefined;
}

export interface RecoveryServicesProviderProperties {
  fabricType?: string | undefined;
  friendlyName?: string | undefined;
  providerVersion?: string | undefined;
  serverVersion?: string | undefined;
  providerVersionState?: string | undefined;
  providerVersionExpiryDate?: string | undefined;
  fabricFriendlyName?: string | undefined;
  lastHeartBeat?: string | undefined;
  connectionStatus?: string | undefined;
  protectedItemCount?: number | undefined;
  allowedScenarios?: string[] | undefined;
  healthErrorDetails?: HealthError[] | undefined;
  draIdentifier?: string | undefined;
  machineId?: string | undefined;
  machineName?: string | undefined;
  biosId?: string | undefined;
  authenticationIdentityDetails?: IdentityProviderDetails | undefined;
  resourceAccessIdentityDetails?: IdentityProviderDetails | undefined;
  dataPlaneAuthenticationIdentityDetails?: IdentityProviderDetails | undefined;
  providerVersionDetails?: VersionDetails | undefined;
}

export type RecoveryVirtualNetworkCustomDetails = ExistingRecoveryVirtualNetwork | NewRecoveryVirtualNetwork;

export interface RegionOfChoiceSettings {
  status?: State | undefined;
}

export interface RegisteredClusterNodes {
  clusterNodeFqdn?: string | undefined;
  machineId?: string | undefined;
  biosId?: string | undefined;
  isSharedDiskVirtualNode?: boolean | undefined;
}

export interface ReinstallMobilityServiceRequest {
  properties?: ReinstallMobilityServiceRequestProperties | undefined;
}

export interface ReinstallMobilityServiceRequestProperties {
  runAsAccountId?: string | undefined;
}

export interface RemoveDisksInput {
  properties?: RemoveDisksInputProperties | undefined;
}

export interface RemoveDisksInputProperties {
  providerSpecificDetails?: RemoveDisksProviderSpecificInput | undefined;
}

export type RemoveDisksProviderSpecificInput = A2ARemoveDisksInput;

export interface RemoveProtectionContainerMappingInput {
  properties?: RemoveProtectionContainerMappingInputProperties | undefined;
}

export interface RemoveProtectionContainerMappingInputProperties {
  providerSpecificInput?: ReplicationProviderContainerUnmappingInput | undefined;
}

export interface RenewCertificateInput {
  properties?: RenewCertificateInputProperties | undefined;
}

export interface RenewCertificateInputProperties {
  renewCertificateType?: string | undefined;
}

export interface ReplicationAgentDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly biosId?: string | undefined;
  readonly fabricObjectId?: string | undefined;
  readonly fqdn?: string | undefined;
  readonly version?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly healthErrors?: HealthError[] | undefined;
}

export interface ReplicationAppliance {
  properties?: ReplicationApplianceProperties | undefined;
}

export interface ReplicationApplianceProperties {
  providerSpecificDetails?: ApplianceSpecificDetails | undefined;
}

export type ReplicationClusterProviderSpecificSettings = A2AReplicationProtectionClusterDetails;

export interface ReplicationEligibilityResults {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: ReplicationEligibilityResultsProperties | undefined;
}

export interface ReplicationEligibilityResultsCollection {
  value?: ReplicationEligibilityResults[] | undefined;
}

export interface ReplicationEligibilityResultsErrorInfo {
  code?: string | undefined;
  message?: string | undefined;
  possibleCauses?: string | undefined;
  recommendedAction?: string | undefined;
  readonly status?: string | undefined;
}

export interface ReplicationEligibilityResultsProperties {
  readonly clientRequestId?: string | undefined;
  errors?: ReplicationEligibilityResultsErrorInfo[] | undefined;
}

export interface ReplicationGroupDetails {
  instanceType: 'ReplicationGroupDetails';
}

export interface ReplicationProtectedItem {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: ReplicationProtectedItemProperties | undefined;
  location?: string | undefined;
}

export interface ReplicationProtectedItemProperties {
  friendlyName?: string | undefined;
  protectedItemType?: string | undefined;
  protectableItemId?: string | undefined;
  recoveryServicesProviderId?: string | undefined;
  primaryFabricFriendlyName?: string | undefined;
  primaryFabricProvider?: string | undefined;
  recoveryFabricFriendlyName?: string | undefined;
  recoveryFabricId?: string | undefined;
  primaryProtectionContainerFriendlyName?: string | undefined;
  recoveryProtectionContainerFriendlyName?: string | undefined;
  protectionState?: string | undefined;
  protectionStateDescription?: string | undefined;
  activeLocation?: string | undefined;
  testFailoverState?: string | undefined;
  testFailoverStateDescription?: string | undefined;
  switchProviderState?: string | undefined;
  switchProviderStateDescription?: string | undefined;
  allowedOperations?: string[] | undefined;
  replicationHealth?: string | undefined;
  failoverHealth?: string | undefined;
  healthErrors?: HealthError[] | undefined;
  policyId?: string | undefined;
  policyFriendlyName?: string | undefined;
  lastSuccessfulFailoverTime?: string | undefined;
  lastSuccessfulTestFailoverTime?: string | undefined;
  currentScenario?: CurrentScenarioDetails | undefined;
  failoverRecoveryPointId?: string | undefined;
  providerSpecificDetails?: ReplicationProviderSpecificSettings | undefined;
  recoveryContainerId?: string | undefined;
  eventCorrelationId?: string | undefined;
}

export interface ReplicationProtectionCluster {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: ReplicationProtectionClusterProperties | undefined;
}

export interface ReplicationProtectionClusterProperties {
  protectionClusterType?: string | undefined;
  primaryFabricFriendlyName?: string | undefined;
  primaryFabricProvider?: string | undefined;
  recoveryFabricFriendlyName?: string | undefined;
  recoveryFabricId?: string | undefined;
  primaryProtectionContainerFriendlyName?: string | undefined;
  recoveryProtectionContainerFriendlyName?: string | undefined;
  protectionState?: string | undefined;
  protectionStateDescription?: string | undefined;
  activeLocation?: string | undefined;
  testFailoverState?: string | undefined;
  testFailoverStateDescription?: string | undefined;
  allowedOperations?: string[] | undefined;
  replicationHealth?: string | undefined;
  healthErrors?: HealthError[] | undefined;
  lastSuccessfulFailoverTime?: string | undefined;
  lastSuccessfulTestFailoverTime?: string | undefined;
  policyFriendlyName?: string | undefined;
  currentScenario?: CurrentScenarioDetails | undefined;
  recoveryContainerId?: string | undefined;
  agentClusterId?: string | undefined;
  clusterFqdn?: string | undefined;
  clusterNodeFqdns?: string[] | undefined;
  clusterProtectedItemIds?: string[] | undefined;
  readonly provisioningState?: string | undefined;
  areAllClusterNodesRegistered?: boolean | undefined;
  clusterRegisteredNodes?: RegisteredClusterNodes[] | undefined;
  providerSpecificDetails?: ReplicationClusterProviderSpecificSettings | undefined;
  sharedDiskProperties?: SharedDiskReplicationItemProperties | undefined;
  policyId?: string | undefined;
}

export interface ReplicationProtectionIntent {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: ReplicationProtectionIntentProperties | undefined;
  location?: string | undefined;
}

export interface ReplicationProtectionIntentProperties {
  friendlyName?: string | undefined;
  readonly jobId?: string | undefined;
  readonly jobState?: string | undefined;
  readonly isActive?: boolean | undefined;
  readonly creationTimeUTC?: string | undefined;
  providerSpecificDetails?: ReplicationProtectionIntentProviderSpecificSettings | undefined;
}

export type ReplicationProtectionIntentProviderSpecificSettings = A2AReplicationIntentDetails;

export interface ReplicationProviderContainerUnmappingInput {
  instanceType?: string | undefined;
}

export type ReplicationProviderSpecificContainerCreationInput =
  | A2AContainerCreationInput
  | A2ACrossClusterMigrationContainerCreationInput
  | VMwareCbtContainerCreationInput;

export type ReplicationProviderSpecificContainerMappingInput =
  | A2AContainerMappingInput
  | VMwareCbtContainerMappingInput;

export type ReplicationProviderSpecificSettings =
  | A2ACrossClusterMigrationReplicationDetails
  | A2AReplicationDetails
  | HyperVReplicaAzureReplicationDetails
  | HyperVReplicaBaseReplicationDetails
  | HyperVReplicaBlueReplicationDetails
  | HyperVReplicaReplicationDetails
  | InMageAzureV2ReplicationDetails
  | InMageRcmFailbackReplicationDetails
  | InMageRcmReplicationDetails
  | InMageReplicationDetails;

export type ReplicationProviderSpecificUpdateContainerMappingInput =
  | A2AUpdateContainerMappingInput
  | InMageRcmUpdateContainerMappingInput;

export interface ReplicationUsage {
  monitoringSummary?: MonitoringSummary | undefined;
  jobsSummary?: JobsSummary | undefined;
  protectedItemCount?: number | undefined;
  recoveryPlanCount?: number | undefined;
  registeredServersCount?: number | undefined;
  recoveryServicesProviderAuthType?: number | undefined;
}

export interface ReprotectAgentDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly biosId?: string | undefined;
  readonly fabricObjectId?: string | undefined;
  readonly fqdn?: string | undefined;
  readonly version?: string | undefined;
  readonly lastHeartbeatUtc?: string | undefined;
  readonly health?: ProtectionHealth | undefined;
  readonly healthErrors?: HealthError[] | undefined;
  readonly protectedItemCount?: number | undefined;
  readonly accessibleDatastores?: string[] | undefined;
  readonly vcenterId?: string | undefined;
  readonly lastDiscoveryInUtc?: string | undefined;
}

export interface ResolveHealthError {
  healthErrorId?: string | undefined;
}

export interface ResolveHealthInput {
  properties?: ResolveHealthInputProperties | undefined;
}

export interface ResolveHealthInputProperties {
  healthErrors?: ResolveHealthError[] | undefined;
}

export interface Resource {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
}

export interface ResourceCapabilities {
  type: string;
  properties?: CapabilitiesProperties | undefined;
}

export interface ResourceCapabilitiesBase {
  type: string;
}

export interface ResourceCertificateAndAadDetails {
  authType: 'AzureActiveDirectory';
  certificate?: string | undefined;
  friendlyName?: string | undefined;
  issuer?: string | undefined;
  resourceId?: number | undefined;
  subject?: string | undefined;
  thumbprint?: string | undefined;
  validFrom?: string | undefined;
  validTo?: string | undefined;
  aadAuthority: string;
  aadTenantId: string;
  servicePrincipalClientId: string;
  servicePrincipalObjectId: string;
  azureManagementEndpointAudience: string;
  serviceResourceId?: string | undefined;
  aadAudience?: string | undefined;
}

export interface ResourceCertificateAndAcsDetails {
  authType: 'AccessControlService';
  certificate?: string | undefined;
  friendlyName?: string | undefined;
  issuer?: string | undefined;
  resourceId?: number | undefined;
  subject?: string | undefined;
  thumbprint?: string | undefined;
  validFrom?: string | undefined;
  validTo?: string | undefined;
  globalAcsNamespace: string;
  globalAcsHostName: string;
  globalAcsRPRealm: string;
}

export type ResourceCertificateDetails = ResourceCertificateAndAadDetails | ResourceCertificateAndAcsDetails;

export interface ResourceHealthSummary {
  resourceCount?: number | undefined;
  issues?: HealthErrorSummary[] | undefined;
  categorizedResourceCounts?: { [name: string]: number } | undefined;
}

export interface RestoreSettings {
  crossSubscriptionRestoreSettings?: CrossSubscriptionRestoreSettings | undefined;
}

export interface ResumeJobParams {
  properties?: ResumeJobParamsProperties | undefined;
}

export interface ResumeJobParamsProperties {
  comments?: string | undefined;
}

export interface ResumeReplicationInput {
  properties: ResumeReplicationInputProperties;
}

export interface ResumeReplicationInputProperties {
  providerSpecificDetails: ResumeReplicationProviderSpecificInput;
}

export type ResumeReplicationProviderSpecificInput = VMwareCbtResumeReplicationInput;

export interface ResyncInput {
  properties: ResyncInputProperties;
}

export interface ResyncInputProperties {
  providerSpecificDetails: ResyncProviderSpecificInput;
}

export type ResyncProviderSpecificInput = VMwareCbtResyncInput;

export interface RetentionVolume {
  volumeName?: string | undefined;
  capacityInBytes?: number | undefined;
  freeSpaceInBytes?: number | undefined;
  thresholdPercentage?: number | undefined;
}

export interface ReverseReplicationInput {
  properties?: ReverseReplicationInputProperties | undefined;
}

export interface ReverseReplicationInputProperties {
  failoverDirection?: string | undefined;
  providerSpecificDetails?: ReverseReplicationProviderSpecificInput | undefined;
}

export type ReverseReplicationProviderSpecificInput =
  | A2AReprotectInput
  | HyperVReplicaAzureReprotectInput
  | InMageAzureV2ReprotectInput
  | InMageRcmFailbackReprotectInput
  | InMageRcmReprotectInput
  | InMageReprotectInput;

export interface RunAsAccount {
  accountId?: string | undefined;
  accountName?: string | undefined;
}

export interface ScriptActionTaskDetails {
  instanceType: 'ScriptActionTaskDetails';
  name?: string | undefined;
  path?: string | undefined;
  output?: string | undefined;
  isPrimarySideScript?: boolean | undefined;
}

export interface SecurityProfileProperties {
  targetVmSecurityType?: SecurityType | undefined;
  targetVmSecureBoot?: SecurityConfiguration | undefined;
  targetVmTpm?: SecurityConfiguration | undefined;
  targetVmMonitoring?: SecurityConfiguration | undefined;
  targetVmConfidentialEncryption?: SecurityConfiguration | undefined;
}

export interface SecuritySettings {
  immutabilitySettings?: ImmutabilitySettings | undefined;
  softDeleteSettings?: SoftDeleteSettings | undefined;
  readonly multiUserAuthorization?: MultiUserAuthorization | undefined;
  sourceScanConfiguration?: SourceScanConfiguration | undefined;
}

export interface ServiceError {
  code?: string | undefined;
  message?: string | undefined;
  possibleCauses?: string | undefined;
  recommendedAction?: string | undefined;
  activityId?: string | undefined;
}

export interface SharedDiskReplicationItemProperties {
  protectionState?: string | undefined;
  testFailoverState?: string | undefined;
  activeLocation?: string | undefined;
  allowedOperations?: string[] | undefined;
  replicationHealth?: string | undefined;
  healthErrors?: HealthError[] | undefined;
  currentScenario?: CurrentScenarioDetails | undefined;
  sharedDiskProviderSpecificDetails?: SharedDiskReplicationProviderSpecificSettings | undefined;
}

export type SharedDiskReplicationProviderSpecificSettings = A2ASharedDiskReplicationDetails;

export interface Sku {
  name: SkuName;
  tier?: string | undefined;
  family?: string | undefined;
  size?: string | undefined;
  capacity?: string | undefined;
}

export interface SoftDeleteSettings {
  softDeleteState?: SoftDeleteState | undefined;
  softDeleteRetentionPeriodInDays?: number | undefined;
  enhancedSecurityState?: EnhancedSecurityState | undefined;
}

export interface SourceScanConfiguration {
  state?: State | undefined;
  sourceScanIdentity?: AssociatedIdentity | undefined;
}

export type StorageAccountCustomDetails = ExistingStorageAccount;

export interface StorageClassification {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: StorageClassificationProperties | undefined;
  location?: string | undefined;
}

export interface StorageClassificationMapping {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: StorageClassificationMappingProperties | undefined;
  location?: string | undefined;
}

export interface StorageClassificationMappingInput {
  properties?: StorageMappingInputProperties | undefined;
}

export interface StorageClassificationMappingProperties {
  targetStorageClassificationId?: string | undefined;
}

export interface StorageClassificationProperties {
  friendlyName?: string | undefined;
}

export interface StorageMappingInputProperties {
  targetStorageClassificationId?: string | undefined;
}

export interface Subnet {
  name?: string | undefined;
  friendlyName?: string | undefined;
  addressList?: string[] | undefined;
}

export interface SupportedOSDetails {
  osName?: string | undefined;
  osType?: string | undefined;
  osVersions?: OSVersionWrapper[] | undefined;
}

export interface SupportedOSProperties {
  supportedOsList?: SupportedOSProperty[] | undefined;
}

export interface SupportedOSProperty {
  instanceType?: string | undefined;
  supportedOs?: SupportedOSDetails[] | undefined;
}

export interface SupportedOperatingSystems {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: SupportedOSProperties | undefined;
  location?: string | undefined;
}

export interface SwitchClusterProtectionInput {
  properties?: SwitchClusterProtectionInputProperties | undefined;
}

export interface SwitchClusterProtectionInputProperties {
  replicationProtectionClusterName?: string | undefined;
  providerSpecificDetails?: SwitchClusterProtectionProviderSpecificInput | undefined;
}

export type SwitchClusterProtectionProviderSpecificInput = A2ASwitchClusterProtectionInput;

export interface SwitchProtectionInput {
  properties?: SwitchProtectionInputProperties | undefined;
}

export interface SwitchProtectionInputProperties {
  replicationProtectedItemName?: string | undefined;
  providerSpecificDetails?: SwitchProtectionProviderSpecificInput | undefined;
}

export interface SwitchProtectionJobDetails {
  instanceType: 'SwitchProtectionJobDetails';
  affectedObjectDetails?: { [name: string]: string } | undefined;
  newReplicationProtectedItemId?: string | undefined;
}

export type SwitchProtectionProviderSpecificInput = A2ASwitchProtectionInput;

export interface SwitchProviderInput {
  properties?: SwitchProviderInputProperties | undefined;
}

export interface SwitchProviderInputProperties {
  targetInstanceType?: string | undefined;
  providerSpecificDetails?: SwitchProviderSpecificInput | undefined;
}

export type SwitchProviderSpecificInput = InMageAzureV2SwitchProviderInput;

export interface SystemData {
  createdBy?: string | undefined;
  createdByType?: CreatedByType | undefined;
  createdAt?: string | undefined;
  lastModifiedBy?: string | undefined;
  lastModifiedByType?: CreatedByType | undefined;
  lastModifiedAt?: string | undefined;
}

export interface TargetComputeSize {
  id?: string | undefined;
  name?: string | undefined;
  type?: string | undefined;
  properties?: TargetComputeSizeProperties | undefined;
}

export interface TargetComputeSizeProperties {
  name?: string | undefined;
  friendlyName?: string | undefined;
  cpuCoresCount?: number | undefined;
  readonly vCPUsAvailable?: number | undefined;
  memoryInGB?: number | undefined;
  maxDataDiskCount?: number | undefined;
  maxNicsCount?: number | undefined;
  errors?: ComputeSizeErrorDetails[] | undefined;
  highIopsSupported?: string | undefined;
  hyperVGenerations?: string[] | undefined;
}

export type TaskTypeDetails =
  | AutomationRunbookTaskDetails
  | ConsistencyCheckTaskDetails
  | JobTaskDetails
  | FabricReplicationGroupTaskDetails
  | ManualActionTaskDetails
  | ScriptActionTaskDetails
  | VirtualMachineTaskDetails
  | VmNicUpdatesTaskDetails;

export interface TestFailoverCleanupInput {
  properties: TestFailoverCleanupInputProperties;
}

export interface TestFailoverCleanupInputProperties {
  comments?: string | undefined;
}

export interface TestFailoverInput {
  properties: TestFailoverInputProperties;
}

export interface TestFailoverInputProperties {
  failoverDirection?: string | undefined;
  networkType?: string | undefined;
  networkId?: string | undefined;
  providerSpecificDetails?: TestFailoverProviderSpecificInput | undefined;
}

export interface TestFailoverJobDetails {
  instanceType: 'TestFailoverJobDetails';
  affectedObjectDetails?: { [name: string]: string } | undefined;
  testFailoverStatus?: string | undefined;
  comments?: string | undefined;
  networkName?: string | undefined;
  networkFriendlyName?: string | undefined;
  networkType?: string | undefined;
  protectedItemDetails?: FailoverReplicationProtectedItemDetails[] | undefined;
}

export type TestFailoverProviderSpecificInput =
  | A2ATestFailoverInput
  | HyperVReplicaAzureTestFailoverInput
  | InMageAzureV2TestFailoverInput
  | InMageRcmTestFailoverInput
  | InMageTestFailoverInput;

export interface TestMigrateCleanupInput {
  properties: TestMigrateCleanupInputProperties;
}

export interface TestMigrateCleanupInputProperties {
  comments?: string | undefined;
}

export interface TestMigrateInput {
  properties: TestMigrateInputProperties;
}

export interface TestMigrateInputProperties {
  providerSpecificDetails: TestMigrateProviderSpecificInput;
}

export type TestMigrateProviderSpecificInput = VMwareCbtTestMigrateInput;

export interface TrackedResource {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  tags?: { [name: string]: string } | undefined;
  location: string;
}

export interface UnplannedFailoverInput {
  properties: UnplannedFailoverInputProperties;
}

export interface UnplannedFailoverInputProperties {
  failoverDirection?: string | undefined;
  sourceSiteOperations?: string | undefined;
  providerSpecificDetails?: UnplannedFailoverProviderSpecificInput | undefined;
}

export type UnplannedFailoverProviderSpecificInput =
  | A2AUnplannedFailoverInput
  | HyperVReplicaAzureUnplannedFailoverInput
  | InMageAzureV2UnplannedFailoverInput
  | InMageRcmUnplannedFailoverInput
  | InMageUnplannedFailoverInput;

export interface UpdateApplianceForReplicationProtectedItemInput {
  properties: UpdateApplianceForReplicationProtectedItemInputProperties;
}

export interface UpdateApplianceForReplicationProtectedItemInputProperties {
  targetApplianceId: string;
  providerSpecificDetails: UpdateApplianceForReplicationProtectedItemProviderSpecificInput;
}

export type UpdateApplianceForReplicationProtectedItemProviderSpecificInput =
  InMageRcmUpdateApplianceForReplicationProtectedItemInput;

export interface UpdateDiskInput {
  diskId: string;
  targetDiskName?: string | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface UpdateMigrationItemInput {
  properties?: UpdateMigrationItemInputProperties | undefined;
}

export interface UpdateMigrationItemInputProperties {
  providerSpecificDetails: UpdateMigrationItemProviderSpecificInput;
}

export type UpdateMigrationItemProviderSpecificInput = VMwareCbtUpdateMigrationItemInput;

export interface UpdateMobilityServiceRequest {
  properties?: UpdateMobilityServiceRequestProperties | undefined;
}

export interface UpdateMobilityServiceRequestProperties {
  runAsAccountId?: string | undefined;
}

export interface UpdateNetworkMappingInput {
  properties?: UpdateNetworkMappingInputProperties | undefined;
}

export interface UpdateNetworkMappingInputProperties {
  recoveryFabricName?: string | undefined;
  recoveryNetworkId?: string | undefined;
  fabricSpecificDetails?: FabricSpecificUpdateNetworkMappingInput | undefined;
}

export interface UpdatePolicyInput {
  properties?: UpdatePolicyInputProperties | undefined;
}

export interface UpdatePolicyInputProperties {
  replicationProviderSettings?: PolicyProviderSpecificInput | undefined;
}

export interface UpdateProtectionContainerMappingInput {
  properties?: UpdateProtectionContainerMappingInputProperties | undefined;
}

export interface UpdateProtectionContainerMappingInputProperties {
  providerSpecificInput?: ReplicationProviderSpecificUpdateContainerMappingInput | undefined;
}

export interface UpdateRecoveryPlanInput {
  properties?: UpdateRecoveryPlanInputProperties | undefined;
}

export interface UpdateRecoveryPlanInputProperties {
  groups?: RecoveryPlanGroup[] | undefined;
}

export interface UpdateReplicationProtectedItemInput {
  properties?: UpdateReplicationProtectedItemInputProperties | undefined;
}

export interface UpdateReplicationProtectedItemInputProperties {
  recoveryAzureVMName?: string | undefined;
  recoveryAzureVMSize?: string | undefined;
  selectedRecoveryAzureNetworkId?: string | undefined;
  selectedTfoAzureNetworkId?: string | undefined;
  selectedSourceNicId?: string | undefined;
  enableRdpOnTargetOption?: string | undefined;
  vmNics?: VMNicInputDetails[] | undefined;
  licenseType?: LicenseType | undefined;
  recoveryAvailabilitySetId?: string | undefined;
  providerSpecificDetails?: UpdateReplicationProtectedItemProviderInput | undefined;
}

export type UpdateReplicationProtectedItemProviderInput =
  | A2AUpdateReplicationProtectedItemInput
  | HyperVReplicaAzureUpdateReplicationProtectedItemInput
  | InMageAzureV2UpdateReplicationProtectedItemInput
  | InMageRcmUpdateReplicationProtectedItemInput;

export interface UpdateVCenterRequest {
  properties?: UpdateVCenterRequestProperties | undefined;
}

export interface UpdateVCenterRequestProperties {
  friendlyName?: string | undefined;
  ipAddress?: string | undefined;
  processServerId?: string | undefined;
  port?: string | undefined;
  runAsAccountId?: string | undefined;
}

export interface UpgradeDetails {
  readonly operationId?: string | undefined;
  readonly startTimeUtc?: string | undefined;
  readonly lastUpdatedTimeUtc?: string | undefined;
  readonly endTimeUtc?: string | undefined;
  readonly status?: VaultUpgradeState | undefined;
  readonly message?: string | undefined;
  readonly triggerType?: TriggerType | undefined;
  readonly upgradedResourceId?: string | undefined;
  readonly previousResourceId?: string | undefined;
}

export interface UserCreatedResourceTag {
  tagName?: string | undefined;
  tagValue?: string | undefined;
}

export interface UserIdentity {
  readonly principalId?: string | undefined;
  readonly clientId?: string | undefined;
}

export interface VCenter {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: VCenterProperties | undefined;
  location?: string | undefined;
}

export interface VCenterProperties {
  friendlyName?: string | undefined;
  internalId?: string | undefined;
  lastHeartbeat?: string | undefined;
  discoveryStatus?: string | undefined;
  processServerId?: string | undefined;
  ipAddress?: string | undefined;
  infrastructureId?: string | undefined;
  port?: string | undefined;
  runAsAccountId?: string | undefined;
  fabricArmResourceName?: string | undefined;
  healthErrors?: HealthError[] | undefined;
}

export interface VMNicDetails {
  nicId?: string | undefined;
  replicaNicId?: string | undefined;
  sourceNicArmId?: string | undefined;
  vMNetworkName?: string | undefined;
  recoveryVMNetworkId?: string | undefined;
  ipConfigs?: IPConfigDetails[] | undefined;
  selectionType?: string | undefined;
  recoveryNetworkSecurityGroupId?: string | undefined;
  enableAcceleratedNetworkingOnRecovery?: boolean | undefined;
  tfoVMNetworkId?: string | undefined;
  tfoNetworkSecurityGroupId?: string | undefined;
  enableAcceleratedNetworkingOnTfo?: boolean | undefined;
  recoveryNicName?: string | undefined;
  recoveryNicResourceGroupName?: string | undefined;
  reuseExistingNic?: boolean | undefined;
  tfoRecoveryNicName?: string | undefined;
  tfoRecoveryNicResourceGroupName?: string | undefined;
  tfoReuseExistingNic?: boolean | undefined;
  targetNicName?: string | undefined;
}

export interface VMNicInputDetails {
  nicId?: string | undefined;
  ipConfigs?: IPConfigInputDetails[] | undefined;
  selectionType?: string | undefined;
  recoveryNetworkSecurityGroupId?: string | undefined;
  enableAcceleratedNetworkingOnRecovery?: boolean | undefined;
  tfoNetworkSecurityGroupId?: string | undefined;
  enableAcceleratedNetworkingOnTfo?: boolean | undefined;
  recoveryNicName?: string | undefined;
  recoveryNicResourceGroupName?: string | undefined;
  reuseExistingNic?: boolean | undefined;
  tfoNicName?: string | undefined;
  tfoNicResourceGroupName?: string | undefined;
  tfoReuseExistingNic?: boolean | undefined;
  targetNicName?: string | undefined;
}

export interface VMwareCbtContainerCreationInput {
  instanceType: 'VMwareCbt';
}

export interface VMwareCbtContainerMappingInput {
  instanceType: 'VMwareCbt';
  keyVaultId?: string | undefined;
  keyVaultUri?: string | undefined;
  storageAccountId: string;
  storageAccountSasSecretName?: string | undefined;
  serviceBusConnectionStringSecretName?: string | undefined;
  targetLocation: string;
}

export interface VMwareCbtDiskInput {
  diskId: string;
  diskType?: DiskAccountType | undefined;
  isOSDisk: string;
  logStorageAccountId: string;
  logStorageAccountSasSecretName: string;
  diskEncryptionSetId?: string | undefined;
  sectorSizeInBytes?: number | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface VMwareCbtEnableMigrationInput {
  instanceType: 'VMwareCbt';
  vmwareMachineId: string;
  disksToInclude: VMwareCbtDiskInput[];
  licenseType?: LicenseType | undefined;
  sqlServerLicenseType?: SqlServerLicenseType | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  performSqlBulkRegistration?: string | undefined;
  dataMoverRunAsAccountId: string;
  snapshotRunAsAccountId: string;
  targetVmName?: string | undefined;
  targetVmSize?: string | undefined;
  targetResourceGroupId: string;
  targetNetworkId: string;
  testNetworkId?: string | undefined;
  targetSubnetName?: string | undefined;
  testSubnetName?: string | undefined;
  targetAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  confidentialVmKeyVaultId?: string | undefined;
  targetVmSecurityProfile?: VMwareCbtSecurityProfileProperties | undefined;
  targetBootDiagnosticsStorageAccountId?: string | undefined;
  performAutoResync?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  seedDiskTags?: { [name: string]: string } | undefined;
  targetDiskTags?: { [name: string]: string } | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
  userSelectedOSName?: string | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface VMwareCbtEventDetails {
  instanceType: 'VMwareCbt';
  readonly migrationItemName?: string | undefined;
}

export interface VMwareCbtMigrateInput {
  instanceType: 'VMwareCbt';
  performShutdown: string;
  osUpgradeVersion?: string | undefined;
  postMigrationSteps?: ManagedRunCommandScriptInput[] | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface VMwareCbtMigrationDetails {
  instanceType: 'VMwareCbt';
  readonly vmwareMachineId?: string | undefined;
  readonly osType?: string | undefined;
  readonly osName?: string | undefined;
  readonly firmwareType?: string | undefined;
  readonly targetGeneration?: string | undefined;
  licenseType?: string | undefined;
  sqlServerLicenseType?: string | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  readonly dataMoverRunAsAccountId?: string | undefined;
  readonly snapshotRunAsAccountId?: string | undefined;
  readonly storageAccountId?: string | undefined;
  targetVmName?: string | undefined;
  targetVmSize?: string | undefined;
  readonly targetLocation?: string | undefined;
  targetResourceGroupId?: string | undefined;
  targetAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  confidentialVmKeyVaultId?: string | undefined;
  targetVmSecurityProfile?: VMwareCbtSecurityProfileProperties | undefined;
  targetBootDiagnosticsStorageAccountId?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  protectedDisks?: VMwareCbtProtectedDiskDetails[] | undefined;
  targetNetworkId?: string | undefined;
  testNetworkId?: string | undefined;
  vmNics?: VMwareCbtNicDetails[] | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
  readonly migrationRecoveryPointId?: string | undefined;
  readonly lastRecoveryPointReceived?: string | undefined;
  readonly lastRecoveryPointId?: string | undefined;
  readonly initialSeedingProgressPercentage?: number | undefined;
  readonly migrationProgressPercentage?: number | undefined;
  readonly resyncProgressPercentage?: number | undefined;
  readonly resumeProgressPercentage?: number | undefined;
  readonly deltaSyncProgressPercentage?: number | undefined;
  readonly isCheckSumResyncCycle?: string | undefined;
  readonly initialSeedingRetryCount?: number | undefined;
  readonly resyncRetryCount?: number | undefined;
  readonly resumeRetryCount?: number | undefined;
  readonly deltaSyncRetryCount?: number | undefined;
  readonly resyncRequired?: string | undefined;
  readonly resyncState?: ResyncState | undefined;
  performAutoResync?: string | undefined;
  seedDiskTags?: { [name: string]: string } | undefined;
  targetDiskTags?: { [name: string]: string } | undefined;
  supportedOSVersions?: string[] | undefined;
  readonly applianceMonitoringDetails?: ApplianceMonitoringDetails | undefined;
  readonly gatewayOperationDetails?: GatewayOperationDetails | undefined;
  readonly operationName?: string | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface VMwareCbtNicDetails {
  readonly nicId?: string | undefined;
  isPrimaryNic?: string | undefined;
  readonly sourceIPAddress?: string | undefined;
  readonly sourceIPAddressType?: EthernetAddressType | undefined;
  readonly sourceNetworkId?: string | undefined;
  targetIPAddress?: string | undefined;
  targetIPAddressType?: EthernetAddressType | undefined;
  targetSubnetName?: string | undefined;
  testNetworkId?: string | undefined;
  testSubnetName?: string | undefined;
  testIPAddress?: string | undefined;
  testIPAddressType?: EthernetAddressType | undefined;
  targetNicName?: string | undefined;
  isSelectedForMigration?: string | undefined;
}

export interface VMwareCbtNicInput {
  nicId: string;
  isPrimaryNic: string;
  targetSubnetName?: string | undefined;
  targetStaticIPAddress?: string | undefined;
  isSelectedForMigration?: string | undefined;
  targetNicName?: string | undefined;
  testSubnetName?: string | undefined;
  testStaticIPAddress?: string | undefined;
}

export interface VMwareCbtPolicyCreationInput {
  instanceType: 'VMwareCbt';
  recoveryPointHistoryInMinutes?: number | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
}

export interface VMwareCbtProtectedDiskDetails {
  readonly diskId?: string | undefined;
  readonly diskName?: string | undefined;
  diskType?: DiskAccountType | undefined;
  readonly diskPath?: string | undefined;
  readonly isOSDisk?: string | undefined;
  readonly capacityInBytes?: number | undefined;
  readonly logStorageAccountId?: string | undefined;
  readonly logStorageAccountSasSecretName?: string | undefined;
  readonly diskEncryptionSetId?: string | undefined;
  readonly seedManagedDiskId?: string | undefined;
  readonly seedBlobUri?: string | undefined;
  readonly targetManagedDiskId?: string | undefined;
  readonly targetBlobUri?: string | undefined;
  targetDiskName?: string | undefined;
  readonly gatewayOperationDetails?: GatewayOperationDetails | undefined;
  sectorSizeInBytes?: number | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface VMwareCbtProtectionContainerMappingDetails {
  instanceType: 'VMwareCbt';
  readonly keyVaultId?: string | undefined;
  readonly keyVaultUri?: string | undefined;
  readonly storageAccountId?: string | undefined;
  readonly storageAccountSasSecretName?: string | undefined;
  readonly serviceBusConnectionStringSecretName?: string | undefined;
  readonly targetLocation?: string | undefined;
  readonly roleSizeToNicCountMap?: { [name: string]: number } | undefined;
  excludedSkus?: string[] | undefined;
}

export interface VMwareCbtResumeReplicationInput {
  instanceType: 'VMwareCbt';
  deleteMigrationResources?: string | undefined;
}

export interface VMwareCbtResyncInput {
  instanceType: 'VMwareCbt';
  skipCbtReset: string;
}

export interface VMwareCbtSecurityProfileProperties {
  targetVmSecurityType?: SecurityType | undefined;
  isTargetVmSecureBootEnabled?: string | undefined;
  isTargetVmTpmEnabled?: string | undefined;
  isTargetVmIntegrityMonitoringEnabled?: string | undefined;
  isTargetVmConfidentialEncryptionEnabled?: string | undefined;
}

export interface VMwareCbtTestMigrateInput {
  instanceType: 'VMwareCbt';
  recoveryPointId: string;
  networkId: string;
  vmNics?: VMwareCbtNicInput[] | undefined;
  osUpgradeVersion?: string | undefined;
  postMigrationSteps?: ManagedRunCommandScriptInput[] | undefined;
}

export interface VMwareCbtUpdateDiskInput {
  diskId: string;
  targetDiskName?: string | undefined;
  isOSDisk?: string | undefined;
  iops?: number | undefined;
  throughputInMbps?: number | undefined;
  diskSizeInGB?: number | undefined;
}

export interface VMwareCbtUpdateMigrationItemInput {
  instanceType: 'VMwareCbt';
  targetVmName?: string | undefined;
  targetVmSize?: string | undefined;
  targetResourceGroupId?: string | undefined;
  targetAvailabilitySetId?: string | undefined;
  targetAvailabilityZone?: string | undefined;
  targetProximityPlacementGroupId?: string | undefined;
  targetBootDiagnosticsStorageAccountId?: string | undefined;
  targetNetworkId?: string | undefined;
  testNetworkId?: string | undefined;
  vmNics?: VMwareCbtNicInput[] | undefined;
  vmDisks?: VMwareCbtUpdateDiskInput[] | undefined;
  licenseType?: LicenseType | undefined;
  sqlServerLicenseType?: SqlServerLicenseType | undefined;
  linuxLicenseType?: LinuxLicenseType | undefined;
  userSelectedOSName?: string | undefined;
  performAutoResync?: string | undefined;
  targetVmTags?: { [name: string]: string } | undefined;
  targetDiskTags?: { [name: string]: string } | undefined;
  targetNicTags?: { [name: string]: string } | undefined;
  targetCapacityReservationGroupId?: string | undefined;
}

export interface VMwareDetails {
  instanceType: 'VMware';
  processServers?: ProcessServer[] | undefined;
  masterTargetServers?: MasterTargetServer[] | undefined;
  runAsAccounts?: RunAsAccount[] | undefined;
  replicationPairCount?: string | undefined;
  processServerCount?: string | undefined;
  agentCount?: string | undefined;
  protectedServers?: string | undefined;
  systemLoad?: string | undefined;
  systemLoadStatus?: string | undefined;
  cpuLoad?: string | undefined;
  cpuLoadStatus?: string | undefined;
  totalMemoryInBytes?: number | undefined;
  availableMemoryInBytes?: number | undefined;
  memoryUsageStatus?: string | undefined;
  totalSpaceInBytes?: number | undefined;
  availableSpaceInBytes?: number | undefined;
  spaceUsageStatus?: string | undefined;
  webLoad?: string | undefined;
  webLoadStatus?: string | undefined;
  databaseServerLoad?: string | undefined;
  databaseServerLoadStatus?: string | undefined;
  csServiceStatus?: string | undefined;
  ipAddress?: string | undefined;
  agentVersion?: string | undefined;
  hostName?: string | undefined;
  lastHeartbeat?: string | undefined;
  versionStatus?: string | undefined;
  sslCertExpiryDate?: string | undefined;
  sslCertExpiryRemainingDays?: number | undefined;
  psTemplateVersion?: string | undefined;
  agentExpiryDate?: string | undefined;
  agentVersionDetails?: VersionDetails | undefined;
  switchProviderBlockingErrorDetails?: InMageFabricSwitchProviderBlockingErrorDetails[] | undefined;
}

export interface VMwareV2FabricCreationInput {
  instanceType: 'VMwareV2';
  vmwareSiteId?: string | undefined;
  physicalSiteId?: string | undefined;
  migrationSolutionId: string;
}

export interface VMwareV2FabricSpecificDetails {
  instanceType: 'VMwareV2';
  readonly vmwareSiteId?: string | undefined;
  readonly physicalSiteId?: string | undefined;
  readonly migrationSolutionId?: string | undefined;
  readonly serviceEndpoint?: string | undefined;
  readonly serviceResourceId?: string | undefined;
  readonly serviceContainerId?: string | undefined;
  readonly processServers?: ProcessServerDetails[] | undefined;
}

export interface VMwareVirtualMachineDetails {
  instanceType: 'VMwareVirtualMachine';
  agentGeneratedId?: string | undefined;
  agentInstalled?: string | undefined;
  osType?: string | undefined;
  agentVersion?: string | undefined;
  ipAddress?: string | undefined;
  poweredOn?: string | undefined;
  vCenterInfrastructureId?: string | undefined;
  discoveryType?: string | undefined;
  diskDetails?: InMageDiskDetails[] | undefined;
  validationErrors?: HealthError[] | undefined;
}

export interface Vault {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  tags?: { [name: string]: string } | undefined;
  location: string;
  properties?: VaultProperties | undefined;
  identity?: IdentityData | undefined;
  sku?: Sku | undefined;
  etag?: string | undefined;
}

export interface VaultCertificateResponse {
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly id?: string | undefined;
  properties?: ResourceCertificateDetails | undefined;
}

export interface VaultExtendedInfo {
  integrityKey?: string | undefined;
  encryptionKey?: string | undefined;
  encryptionKeyThumbprint?: string | undefined;
  algorithm?: string | undefined;
}

export interface VaultExtendedInfoResource {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: VaultExtendedInfo | undefined;
  etag?: string | undefined;
}

export interface VaultHealthDetails {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: VaultHealthProperties | undefined;
  location?: string | undefined;
}

export interface VaultHealthProperties {
  vaultErrors?: HealthError[] | undefined;
  protectedItemsHealth?: ResourceHealthSummary | undefined;
  fabricsHealth?: ResourceHealthSummary | undefined;
  containersHealth?: ResourceHealthSummary | undefined;
}

export interface VaultProperties {
  readonly provisioningState?: string | undefined;
  upgradeDetails?: UpgradeDetails | undefined;
  readonly privateEndpointConnections?: PrivateEndpointConnectionVaultProperties[] | undefined;
  readonly privateEndpointStateForBackup?: VaultPrivateEndpointState | undefined;
  readonly privateEndpointStateForSiteRecovery?: VaultPrivateEndpointState | undefined;
  encryption?: VaultPropertiesEncryption | undefined;
  moveDetails?: VaultPropertiesMoveDetails | undefined;
  readonly moveState?: ResourceMoveState | undefined;
  readonly backupStorageVersion?: BackupStorageVersion | undefined;
  publicNetworkAccess?: PublicNetworkAccess | undefined;
  monitoringSettings?: MonitoringSettings | undefined;
  costManagementSettings?: CostManagementSettings | undefined;
  restoreSettings?: RestoreSettings | undefined;
  redundancySettings?: VaultPropertiesRedundancySettings | undefined;
  securitySettings?: SecuritySettings | undefined;
  readonly secureScore?: SecureScoreLevel | undefined;
  readonly bcdrSecurityLevel?: BCDRSecurityLevel | undefined;
  resourceGuardOperationRequests?: string[] | undefined;
  regionOfChoiceSettings?: RegionOfChoiceSettings | undefined;
}

export interface VaultPropertiesEncryption {
  keyVaultProperties?: CmkKeyVaultProperties | undefined;
  kekIdentity?: CmkKekIdentity | undefined;
  infrastructureEncryption?: InfrastructureEncryptionState | undefined;
}

export interface VaultPropertiesMoveDetails {
  readonly operationId?: string | undefined;
  readonly startTimeUtc?: string | undefined;
  readonly completionTimeUtc?: string | undefined;
  readonly sourceResourceId?: string | undefined;
  readonly targetResourceId?: string | undefined;
}

export interface VaultPropertiesRedundancySettings {
  standardTierStorageRedundancy?: StandardTierStorageRedundancy | undefined;
  crossRegionRestore?: CrossRegionRestore | undefined;
}

export interface VaultSetting {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly type?: string | undefined;
  readonly systemData?: SystemData | undefined;
  properties?: VaultSettingProperties | undefined;
  location?: string | undefined;
}

export interface VaultSettingCreationInput {
  properties: VaultSettingCreationInputProperties;
}

export interface VaultSettingCreationInputProperties {
  migrationSolutionId?: string | undefined;
  vmwareToAzureProviderType?: string | undefined;
}

export interface VaultSettingProperties {
  migrationSolutionId?: string | undefined;
  vmwareToAzureProviderType?: string | undefined;
}

export interface VaultUsage {
  unit?: UsagesUnit | undefined;
  quotaPeriod?: string | undefined;
  nextResetTime?: string | undefined;
  currentValue?: number | undefined;
  limit?: number | undefined;
  name?: NameInfo | undefined;
}

export interface VersionDetails {
  version?: string | undefined;
  expiryDate?: string | undefined;
  status?: AgentVersionStatus | undefined;
}

export interface VirtualMachineTaskDetails {
  instanceType: 'VirtualMachineTaskDetails';
  jobTask?: JobEntity | undefined;
  skippedReason?: string | undefined;
  skippedReasonString?: string | undefined;
}

export interface VmNicUpdatesTaskDetails {
  instanceType: 'VmNicUpdatesTaskDetails';
  vmId?: string | undefined;
  nicId?: string | undefined;
  name?: string | undefined;
}

export interface VmmDetails {
  instanceType: 'VMM';
}

export interface VmmToAzureCreateNetworkMappingInput {
  instanceType: 'VmmToAzure';
}

export interface VmmToAzureNetworkMappingSettings {
  instanceType: 'VmmToAzure';
}

export interface VmmToAzureUpdateNetworkMappingInput {
  instanceType: 'VmmToAzure';
}

export interface VmmToVmmCreateNetworkMappingInput {
  instanceType: 'VmmToVmm';
}

export interface VmmToVmmNetworkMappingSettings {
  instanceType: 'VmmToVmm';
}

export interface VmmToVmmUpdateNetworkMappingInput {
  instanceType: 'VmmToVmm';
}

export interface VmmVirtualMachineDetails {
  instanceType: 'VmmVirtualMachine';
  sourceItemId?: string | undefined;
  generation?: string | undefined;
  osDetails?: OSDetails | undefined;
  diskDetails?: DiskDetails[] | undefined;
  hasPhysicalDisk?: PresenceStatus | undefined;
  hasFibreChannelAdapter?: PresenceStatus | undefined;
  hasSharedVhd?: PresenceStatus | undefined;
  hyperVHostId?: string | undefined;
}

export interface VmwareCbtPolicyDetails {
  instanceType: 'VMwareCbt';
  recoveryPointHistoryInMinutes?: number | undefined;
  appConsistentFrequencyInMinutes?: number | undefined;
  crashConsistentFrequencyInMinutes?: number | undefined;
}
