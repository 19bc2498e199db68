/**
 * The reference's roles for Site Recovery, by its ids and with its published lists of actions. `*` stands for anything, and
 * case does not matter. `added` is ours, and has its reason: the published lists are older than the API, so that with them
 * alone an operator could start a failover but not poll it, and a reader could see each item but not the list of all.
 *
 * A test walks every operation by every role against `docs/api/roles.md`.
 */
import type { Role } from './principal.ts';

export interface RoleDefinition {
  /** The reference's GUID. */
  readonly id: string;
  readonly role: Role;
  readonly description: string;
  /** As published. */
  readonly actions: readonly string[];
  readonly added: readonly string[];
}

const vaults = 'Microsoft.RecoveryServices/vaults';
const container = `${vaults}/replicationFabrics/replicationProtectionContainers`;
const item = `${container}/replicationProtectedItems`;
const cluster = `${container}/replicationProtectionClusters`;
const plan = `${vaults}/replicationRecoveryPlans`;

/** What all three may read. */
const readByAll = [
  'Microsoft.Authorization/*/read',
  'Microsoft.RecoveryServices/locations/allocatedStamp/read',
  `${vaults}/extendedInformation/read`,
  `${vaults}/monitoringConfigurations/notificationConfiguration/read`,
  `${vaults}/read`,
  `${vaults}/refreshContainers/read`,
  `${vaults}/registeredIdentities/operationResults/read`,
  `${vaults}/registeredIdentities/read`,
  `${vaults}/replicationAlertSettings/read`,
  `${vaults}/replicationEvents/read`,
  `${vaults}/replicationFabrics/read`,
  `${vaults}/replicationFabrics/replicationNetworks/read`,
  `${vaults}/replicationFabrics/replicationNetworks/replicationNetworkMappings/read`,
  `${container}/read`,
  `${container}/replicationProtectableItems/read`,
  `${item}/read`,
  `${item}/recoveryPoints/read`,
  `${container}/replicationProtectionContainerMappings/read`,
  `${vaults}/replicationFabrics/replicationRecoveryServicesProviders/read`,
  `${vaults}/replicationFabrics/replicationStorageClassifications/read`,
  `${vaults}/replicationFabrics/replicationStorageClassifications/replicationStorageClassificationMappings/read`,
  `${vaults}/replicationFabrics/replicationvCenters/read`,
  `${vaults}/replicationPolicies/read`,
  `${plan}/read`,
  `${vaults}/replicationVaultSettings/read`,
  `${vaults}/storageConfig/read`,
  `${vaults}/tokenInfo/read`,
  `${vaults}/usages/read`,
  `${vaults}/vaultTokens/read`,
  'Microsoft.Support/*',
] as const;

/** Lists over a whole vault, health, usages, appliances, clusters, the status of an operation: newer than the lists. */
const readAdded = [
  `${vaults}/replication*/read`,
  'Microsoft.RecoveryServices/operations/read',
  'Microsoft.RecoveryServices/replicationEligibilityResults/read',
  // Where clients look for the machines of a site.
  'Microsoft.OffAzure/vmwareSites/read',
  'Microsoft.OffAzure/vmwareSites/*/read',
  'Microsoft.Resources/subscriptions/resourceGroups/read',
  'Microsoft.Resources/subscriptions/resourceGroups/resources/read',
  'Microsoft.Resources/subscriptions/resources/read',
] as const;

export const roleDefinitions: readonly RoleDefinition[] = [
  {
    id: '8e3af657-a8ff-443c-a75c-2fe8c4bcb635',
    role: 'Owner',
    description: 'Grants full access to manage all resources, including the ability to assign roles.',
    actions: ['*'],
    added: [],
  },
  {
    id: '6670b86e-a3f7-4917-ac9b-5d6ab1be4567',
    role: 'Site Recovery Contributor',
    description: 'Lets you manage Site Recovery service except vault creation and role assignment.',
    actions: [
      'Microsoft.Authorization/*/read',
      'Microsoft.Insights/alertRules/*',
      'Microsoft.Network/virtualNetworks/read',
      'Microsoft.RecoveryServices/locations/allocatedStamp/read',
      'Microsoft.RecoveryServices/locations/allocateStamp/action',
      `${vaults}/certificates/write`,
      `${vaults}/extendedInformation/*`,
      `${vaults}/read`,
      `${vaults}/refreshContainers/read`,
      `${vaults}/registeredIdentities/*`,
      `${vaults}/replicationAlertSettings/*`,
      `${vaults}/replicationEvents/read`,
      `${vaults}/replicationFabrics/*`,
      `${vaults}/replicationJobs/*`,
      `${vaults}/replicationPolicies/*`,
      `${vaults}/replicationRecoveryPlans/*`,
      `${vaults}/replicationVaultSettings/*`,
      `${vaults}/storageConfig/*`,
      `${vaults}/tokenInfo/read`,
      `${vaults}/usages/read`,
      `${vaults}/vaultTokens/read`,
      `${vaults}/monitoringAlerts/*`,
      `${vaults}/monitoringConfigurations/notificationConfiguration/read`,
      'Microsoft.ResourceHealth/availabilityStatuses/read',
      'Microsoft.Resources/deployments/*',
      'Microsoft.Resources/subscriptions/resourceGroups/read',
      'Microsoft.Storage/storageAccounts/read',
      `${vaults}/replicationOperationStatus/read`,
      'Microsoft.Support/*',
    ],
    added: [
      ...readAdded,
      // As `certificates/write`, which is how the reference gives a key out.
      `${vaults}/registrationKeys/*`,
      `${vaults}/replicationProtectionIntents/*`,
      `${vaults}/replicationVaultHealth/*`,
    ],
  },
  {
    id: '494ae006-db33-4328-bf46-533a6560a3ca',
    role: 'Site Recovery Operator',
    description: 'Lets you failover and failback but not perform other Site Recovery management operations.',
    actions: [
      ...readByAll,
      'Microsoft.Insights/alertRules/*',
      'Microsoft.Network/virtualNetworks/read',
      'Microsoft.RecoveryServices/locations/allocateStamp/action',
      `${vaults}/replicationFabrics/checkConsistency/action`,
      `${vaults}/replicationFabrics/reassociateGateway/action`,
      `${vaults}/replicationFabrics/renewcertificate/action`,
      `${item}/applyRecoveryPoint/action`,
      `${item}/failoverCommit/action`,
      `${item}/plannedFailover/action`,
      `${item}/repairReplication/action`,
      `${item}/reProtect/action`,
      `${container}/switchprotection/action`,
      `${item}/testFailover/action`,
      `${item}/testFailoverCleanup/action`,
      `${item}/unplannedFailover/action`,
      `${item}/updateMobilityService/action`,
      `${vaults}/replicationFabrics/replicationRecoveryServicesProviders/refreshProvider/action`,
      `${vaults}/replicationJobs/*`,
      `${plan}/failoverCommit/action`,
      `${plan}/plannedFailover/action`,
      `${plan}/reProtect/action`,
      `${plan}/testFailover/action`,
      `${plan}/testFailoverCleanup/action`,
      `${plan}/unplannedFailover/action`,
      `${vaults}/monitoringAlerts/*`,
      'Microsoft.ResourceHealth/availabilityStatuses/read',
      'Microsoft.Resources/deployments/*',
      'Microsoft.Resources/subscriptions/resourceGroups/read',
      'Microsoft.Storage/storageAccounts/read',
    ],
    added: [
      ...readAdded,
      // Who may fail over may take it back before it is committed.
      `${item}/failoverCancel/action`,
      // It changes nothing.
      `${item}/verify/action`,
      `${plan}/failoverCancel/action`,
      // A cluster's operations are those of its items.
      `${cluster}/applyRecoveryPoint/action`,
      `${cluster}/failoverCommit/action`,
      `${cluster}/repairReplication/action`,
      `${cluster}/testFailover/action`,
      `${cluster}/testFailoverCleanup/action`,
      `${cluster}/unplannedFailover/action`,
      `${container}/switchClusterProtection/action`,
      `${item}/reinstallMobilityService/action`,
      `${vaults}/replicationVaultHealth/refresh/action`,
    ],
  },
  {
    id: 'dbaa88c4-0c30-4179-9fb3-46319faa6149',
    role: 'Site Recovery Reader',
    description: 'Lets you view Site Recovery status but not perform other management operations.',
    actions: [...readByAll, `${vaults}/monitoringAlerts/read`, `${vaults}/replicationJobs/read`],
    added: [...readAdded],
  },
];

export const roleNames: readonly Role[] = roleDefinitions.map(({ role }) => role);

const patterns = new Map<Role, readonly RegExp[]>(
  roleDefinitions.map(({ role, actions, added }) => [role, [...actions, ...added].map(toPattern)]),
);

/** Whether a role has an action (`actions.ts`). */
export const roleAllows = (role: Role, action: string): boolean =>
  patterns.get(role)!.some((pattern) => pattern.test(action));

/** Whether `scope` is the resource or one that it lies in. Both without regard to case. */
export function scopeCovers(scope: string, resourceId: string): boolean {
  const outer = scope.toLowerCase().replace(/\/+$/, '');
  const inner = resourceId.toLowerCase();
  return inner === outer || inner.startsWith(`${outer}/`);
}

function toPattern(action: string): RegExp {
  const escaped = action.split('*').map((part) => part.replace(/[.\\+?^${}()|[\]]/g, '\\$&'));
  return new RegExp(`^${escaped.join('.*')}$`, 'i');
}
