/**
 * Operations that clients of the reference use and that neither of its two descriptions has: subscriptions, resource groups,
 * roles, the activity log, registration keys, and the status of a long-running operation; and what this product knows and does
 * that the reference has no word for. `{…}/operationresults/{guid}` may follow any resource, so it is no row here.
 */
import type { Operation } from './operation.ts';

const groups = '/subscriptions/{subscriptionId}/resourcegroups';

const registrationKeys =
  '/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.RecoveryServices/vaults/{vaultName}/registrationKeys';

const vault = `${groups}/{resourceGroupName}/providers/Microsoft.RecoveryServices/vaults/{vaultName}`;

const vmwareSite = `${groups}/{resourceGroupName}/providers/Microsoft.OffAzure/vmwareSites/{siteName}`;

const item =
  '/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.RecoveryServices/vaults/{resourceName}/replicationFabrics/{fabricName}/replicationProtectionContainers/{protectionContainerName}/replicationProtectedItems/{replicatedProtectedItemName}';

const own = (
  id: string,
  method: Operation['method'],
  path: string,
  rest: Partial<Operation> = {},
): Operation => ({
  id,
  api: 'own',
  method,
  path,
  longRunning: false,
  paged: false,
  query: [],
  statuses: [200],
  body: undefined,
  response: undefined,
  items: undefined,
  result: undefined,
  npmName: undefined,
  ...rest,
});

export const ownOperations: readonly Operation[] = [
  own('resourceGroups.list', 'GET', groups, { paged: true, query: ['$filter', '$top'] }),
  own('resourceGroups.get', 'GET', `${groups}/{resourceGroupName}`),
  own('resourceGroups.createOrUpdate', 'PUT', `${groups}/{resourceGroupName}`, { statuses: [200, 201] }),
  own('resourceGroups.update', 'PATCH', `${groups}/{resourceGroupName}`),
  own('resourceGroups.delete', 'DELETE', `${groups}/{resourceGroupName}`, { statuses: [200] }),
  own('resourceGroups.checkExistence', 'HEAD', `${groups}/{resourceGroupName}`, { statuses: [204, 404] }),
  own('resources.listByResourceGroup', 'GET', `${groups}/{resourceGroupName}/resources`, {
    paged: true,
    query: ['$filter', '$expand', '$top'],
  }),
  own('resources.list', 'GET', '/subscriptions/{subscriptionId}/resources', {
    paged: true,
    query: ['$filter', '$expand', '$top'],
  }),
  own(
    'replicationOperationStatus.get',
    'GET',
    '/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.RecoveryServices/vaults/{resourceName}/replicationOperationStatus/{operationId}',
  ),
  // What is known of an item beyond the reference's fields: `src/vault/api/item-details.ts`.
  own('replicationProtectedItems.verify', 'POST', `${item}/verify`, {
    longRunning: true,
    statuses: [202],
    result: 'ReplicationProtectedItem',
  }),
  own('replicationDetails.get', 'GET', `${item}/replicationDetails`),
  own('recoveryPointDetails.list', 'GET', `${item}/recoveryPointDetails`, { paged: true }),
  own('replicationHistory.list', 'GET', `${item}/replicationHistory`, {
    paged: true,
    query: ['startTime', 'endTime'],
  }),
  own('testFailovers.list', 'GET', `${item}/testFailovers`, { paged: true }),
  own('testFailovers.getScreenshot', 'GET', `${item}/testFailovers/{testFailoverName}/screenshot`),
  own('registrationKeys.create', 'POST', registrationKeys, { statuses: [201] }),
  own('registrationKeys.list', 'GET', registrationKeys, { paged: true }),
  own('registrationKeys.delete', 'DELETE', `${registrationKeys}/{registrationKeyName}`, { statuses: [204] }),
  // Of the backup service, which clients ask of every vault: how it deletes softly, and what is backed up in it.
  own('backupResourceVaultConfigs.get', 'GET', `${vault}/backupconfig/vaultconfig`),
  own('backupResourceVaultConfigs.put', 'PUT', `${vault}/backupconfig/vaultconfig`),
  own('backupResourceVaultConfigs.update', 'PATCH', `${vault}/backupconfig/vaultconfig`),
  own('backupProtectedItems.list', 'GET', `${vault}/backupProtectedItems`, {
    paged: true,
    query: ['$filter', '$skipToken'],
  }),
  // Where clients look for machines to protect: `src/vault/api/vmware-sites.ts`.
  own('vmwareSites.get', 'GET', vmwareSite),
  own('vmwareMachines.list', 'GET', `${vmwareSite}/machines`, {
    paged: true,
    query: ['$filter', '$top', 'continuationToken', 'totalRecordCount'],
  }),
  own('vmwareMachines.get', 'GET', `${vmwareSite}/machines/{machineName}`),
  own('vmwareRunAsAccounts.list', 'GET', `${vmwareSite}/runAsAccounts`, { paged: true }),
  own('vmwareRunAsAccounts.get', 'GET', `${vmwareSite}/runAsAccounts/{accountName}`),
  own('tenants.list', 'GET', '/tenants', { paged: true }),
  own('subscriptions.list', 'GET', '/subscriptions', { paged: true }),
  own('subscriptions.get', 'GET', '/subscriptions/{subscriptionId}'),
  own('subscriptions.listLocations', 'GET', '/subscriptions/{subscriptionId}/locations', { paged: true }),
  own('providers.list', 'GET', '/subscriptions/{subscriptionId}/providers', {
    paged: true,
    query: ['$expand', '$top'],
  }),
  own('providers.get', 'GET', '/subscriptions/{subscriptionId}/providers/{resourceProviderNamespace}', {
    query: ['$expand'],
  }),
  own(
    'activityLogs.list',
    'GET',
    '/subscriptions/{subscriptionId}/providers/Microsoft.Insights/eventtypes/management/values',
    { paged: true, query: ['$filter', '$select'] },
  ),
  own(
    'roleDefinitions.getById',
    'GET',
    '/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}',
  ),
  ...authorizationAt('Subscription', '/subscriptions/{subscriptionId}'),
  ...authorizationAt('ResourceGroup', `${groups}/{resourceGroupName}`),
  ...authorizationAt('Vault', vault),
];

/** Roles are assigned at the subscription, at a resource group or at a vault. */
function authorizationAt(at: string, scope: string): Operation[] {
  const authorization = `${scope}/providers/Microsoft.Authorization`;
  const assignments = `${authorization}/roleAssignments`;
  const assignment = `${assignments}/{roleAssignmentName}`;
  const definitions = `${authorization}/roleDefinitions`;
  return [
    own(`roleAssignments.listAt${at}`, 'GET', assignments, { paged: true, query: ['$filter'] }),
    own(`roleAssignments.getAt${at}`, 'GET', assignment),
    own(`roleAssignments.createAt${at}`, 'PUT', assignment, { statuses: [200, 201] }),
    own(`roleAssignments.deleteAt${at}`, 'DELETE', assignment, { statuses: [200, 204] }),
    own(`roleDefinitions.listAt${at}`, 'GET', definitions, { paged: true, query: ['$filter'] }),
    own(`roleDefinitions.getAt${at}`, 'GET', `${definitions}/{roleDefinitionId}`),
  ];
}
