/**
 * Operations that clients of the reference use and that neither of its two descriptions has: resource groups, and the
 * status of a long-running operation. `{…}/operationresults/{guid}` may follow any resource, so it is no row here.
 */
import type { Operation } from './description.ts';

const groups = '/subscriptions/{subscriptionId}/resourcegroups';

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
];
