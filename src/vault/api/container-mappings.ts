/**
 * Container mappings: which policies a container's machines may be protected with. In the reference the target is a container
 * in another region or "Microsoft Azure"; here the target is always this vault, whatever the client calls it.
 */
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import * as items from '../store/protected-items.ts';
import type { Resource } from '../store/resources.ts';
import { errors } from './errors.ts';
import { pick, recoveryFabricName } from './fabrics.ts';
import {
  checkName,
  deleteRow,
  lastName,
  mustGet,
  type NounParts,
  pageOfChildren,
  pageOfVault,
  parentId,
  propertiesOf,
  putRow,
  resourceView,
  vaultOf,
} from './noun.ts';
import { nounErrors } from './noun-errors.ts';
import type { ArmAnswer, ArmRequest, Handlers } from './operation.ts';
import { fabricNameOf, SiteReader } from './site-reader.ts';

const collection = 'replicationProtectionContainerMappings';

function mappingView({ id, properties }: Resource): unknown {
  const agent = properties.enableAgentAutoUpgrade;
  return resourceView(id, {
    ...pick(properties, ['targetProtectionContainerId', 'policyId']),
    targetProtectionContainerFriendlyName: recoveryFabricName,
    targetFabricFriendlyName: recoveryFabricName,
    sourceProtectionContainerFriendlyName: lastName(parentId(id)),
    sourceFabricFriendlyName: fabricNameOf(id),
    policyFriendlyName: lastName(String(properties.policyId)),
    ...(agent === undefined
      ? {}
      : { providerSpecificDetails: { instanceType: 'InMageRcm', enableAgentAutoUpgrade: agent } }),
    state: 'Paired',
    health: 'Normal',
    healthErrorDetails: [],
  });
}

export function containerMappings(parts: NounParts): Handlers {
  const { resources, database } = parts;
  const sites = new SiteReader(parts);
  const containerOf = (request: ArmRequest) =>
    sites.container(
      vaultOf(request),
      request.parameters.fabricName!,
      request.parameters.protectionContainerName!,
    );
  const idOf = async (request: ArmRequest) =>
    childId((await containerOf(request)).id, collection, request.parameters.mappingName!);
  const remove = async (request: ArmRequest, isPurge: boolean): Promise<ArmAnswer> => {
    const row = await resources.get(await idOf(request));
    if (row === undefined) return { empty: true };
    if (!isPurge) {
      const users = await items.count(database, {
        containerId: parentId(row.id),
        policyId: String(row.properties.policyId),
      });
      if (users > 0) throw nounErrors.ResourceInUse(row.id, `${users} protected items`);
    }
    return deleteRow(parts, request, 'container-mapping', row.id);
  };
  return {
    'replicationProtectionContainerMappings.list': (request) =>
      pageOfVault(parts, request, collection, mappingView),
    'replicationProtectionContainerMappings.listByReplicationProtectionContainers': async (request) =>
      pageOfChildren(parts, request, (await containerOf(request)).id, collection, mappingView),
    'replicationProtectionContainerMappings.get': async (request) => ({
      body: mappingView(await mustGet(resources, await idOf(request))),
    }),
    'replicationProtectionContainerMappings.create': async (request) => {
      checkName(request.parameters.mappingName!);
      const id = await idOf(request);
      const sent = propertiesOf<{
        targetProtectionContainerId?: string;
        policyId?: string;
        providerSpecificInput?: Record<string, unknown>;
      }>(request);
      if (sent.policyId === undefined)
        throw errors.InvalidRequestContent('properties.policyId is required', 'properties.policyId');
      const policy = await resources.get(sent.policyId);
      if (
        policy === undefined ||
        !idKey(policy.id).startsWith(`${idKey(vaultOf(request))}/replicationpolicies/`)
      )
        throw nounErrors.ReferenceNotFound('policyId', sent.policyId, 'policy');
      return putRow(parts, request, 'container-mapping', id, {
        policyId: policy.id,
        targetProtectionContainerId: sent.targetProtectionContainerId ?? recoveryFabricName,
        ...pick(sent.providerSpecificInput ?? {}, ['enableAgentAutoUpgrade']),
      });
    },
    'replicationProtectionContainerMappings.update': async (request) => {
      const row = await mustGet(resources, await idOf(request));
      const { providerSpecificInput } = propertiesOf<{ providerSpecificInput?: Record<string, unknown> }>(
        request,
      );
      return putRow(parts, request, 'container-mapping', row.id, {
        ...row.properties,
        ...pick(providerSpecificInput ?? {}, ['enableAgentAutoUpgrade']),
      });
    },
    'replicationProtectionContainerMappings.delete': (request) => remove(request, false),
    'replicationProtectionContainerMappings.purge': (request) => remove(request, true),
  };
}
