/**
 * What a site has besides machines: vCenters, networks, storage classifications, appliances. vCenters are rows that clients
 * put; networks and storage classifications are rows that discovery writes, so a site that has not been discovered has none.
 */

import { parseFilter } from '../../protocol/arm/filter.ts';
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import type { Resource } from '../store/resources.ts';
import { errors } from './errors.ts';
import { draOf, pick, processServerDetails, raisedOfFabrics } from './fabrics.ts';
import {
  checkName,
  deleteRow,
  mustGet,
  type NounParts,
  pageOfAll,
  pageOfChildren,
  pageOfVault,
  propertiesOf,
  putRow,
  resourceView,
  rowView,
  startJob,
  targetOf,
  vaultOf,
} from './noun.ts';
import { nounErrors } from './noun-errors.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { type Fabric, fabricNameOf, SiteReader } from './site-reader.ts';

const vcenterFields = ['friendlyName', 'ipAddress', 'processServerId', 'port', 'runAsAccountId'];

function vcenterView({ id, name, properties }: Resource): unknown {
  return resourceView(id, {
    ...pick(properties, vcenterFields),
    friendlyName: String(properties.friendlyName ?? name),
    internalId: name,
    infrastructureId: name,
    fabricArmResourceName: fabricNameOf(id),
    // Discovery sets both; until it has run there is nothing to say but that it waits.
    discoveryStatus: String(properties.discoveryStatus ?? 'Pending'),
    ...pick(properties, ['lastHeartbeat']),
    healthErrors: [],
  });
}

function checkVcenter(sent: Readonly<Record<string, unknown>>, isNew: boolean): void {
  const wrong = (field: string, what: string) =>
    errors.InvalidRequestContent(`properties.${field} ${what}`, `properties.${field}`);
  if (isNew && (sent.ipAddress === undefined || sent.ipAddress === ''))
    throw wrong('ipAddress', 'is required');
  if (sent.ipAddress !== undefined && !/^[A-Za-z0-9:.[\]_-]{1,253}$/.test(String(sent.ipAddress)))
    throw wrong('ipAddress', 'is neither an address nor a host name');
  const port = Number(sent.port ?? 443);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw wrong('port', 'is not from 1 to 65535');
}

export function siteResources(parts: NounParts): Handlers {
  const { resources, database } = parts;
  const sites = new SiteReader(parts);
  const fabricOf = (request: ArmRequest) => sites.fabric(vaultOf(request), request.parameters.fabricName!);
  const under = async (request: ArmRequest, collection: string, name: string) =>
    childId((await fabricOf(request)).id, collection, name);
  const vcenterId = (request: ArmRequest) =>
    under(request, 'replicationvCenters', request.parameters.vcenterName!);
  const checkServer = async (fabric: Fabric, sent: Readonly<Record<string, unknown>>) => {
    if (sent.processServerId === undefined || sent.processServerId === '') return;
    const known = await sites.processServers(fabric);
    if (!known.some(({ processServerId }) => processServerId === String(sent.processServerId).toLowerCase()))
      throw nounErrors.ReferenceNotFound('processServerId', String(sent.processServerId), 'process server');
  };

  const classificationId = (request: ArmRequest) =>
    under(request, 'replicationStorageClassifications', request.parameters.storageClassificationName!);
  const mappings = 'replicationStorageClassificationMappings';
  const storageMappingId = async (request: ArmRequest) =>
    childId(await classificationId(request), mappings, request.parameters.storageClassificationMappingName!);

  return {
    'replicationvCenters.list': (request) => pageOfVault(parts, request, 'replicationvCenters', vcenterView),
    'replicationvCenters.listByReplicationFabrics': async (request) =>
      pageOfChildren(parts, request, (await fabricOf(request)).id, 'replicationvCenters', vcenterView),
    'replicationvCenters.get': async (request) => ({
      body: vcenterView(await mustGet(resources, await vcenterId(request))),
    }),
    'replicationvCenters.create': async (request) => {
      checkName(request.parameters.vcenterName!);
      const fabric = await fabricOf(request);
      const sent = propertiesOf<Record<string, unknown>>(request);
      checkVcenter(sent, true);
      await checkServer(fabric, sent);
      const id = childId(fabric.id, 'replicationvCenters', request.parameters.vcenterName!);
      return putRow(parts, request, 'vcenter', id, pick(sent, vcenterFields));
    },
    'replicationvCenters.update': async (request) => {
      const fabric = await fabricOf(request);
      const row = await mustGet(resources, await vcenterId(request));
      const sent = propertiesOf<Record<string, unknown>>(request);
      checkVcenter(sent, false);
      await checkServer(fabric, sent);
      return putRow(parts, request, 'vcenter', row.id, { ...row.properties, ...pick(sent, vcenterFields) });
    },
    'replicationvCenters.delete': async (request) => {
      const row = await resources.get(await vcenterId(request));
      return row === undefined ? { empty: true } : deleteRow(parts, request, 'vcenter', row.id);
    },

    'replicationNetworks.list': (request) => pageOfVault(parts, request, 'replicationNetworks'),
    'replicationNetworks.listByReplicationFabrics': async (request) =>
      pageOfChildren(parts, request, (await fabricOf(request)).id, 'replicationNetworks'),
    'replicationNetworks.get': async (request) => ({
      body: rowView(
        await mustGet(
          resources,
          await under(request, 'replicationNetworks', request.parameters.networkName!),
        ),
      ),
    }),

    'replicationStorageClassifications.list': (request) =>
      pageOfVault(parts, request, 'replicationStorageClassifications', rowView),
    'replicationStorageClassifications.listByReplicationFabrics': async (request) =>
      pageOfChildren(
        parts,
        request,
        (await fabricOf(request)).id,
        'replicationStorageClassifications',
        rowView,
      ),
    'replicationStorageClassifications.get': async (request) => ({
      body: rowView(await mustGet(resources, await classificationId(request))),
    }),
    [`${mappings}.list`]: (request) => pageOfVault(parts, request, mappings),
    [`${mappings}.listByReplicationStorageClassifications`]: async (request) => {
      const { id } = await mustGet(resources, await classificationId(request));
      return pageOfChildren(parts, request, id, mappings);
    },
    [`${mappings}.get`]: async (request) => ({
      body: rowView(await mustGet(resources, await storageMappingId(request))),
    }),
    [`${mappings}.create`]: async (request) => {
      checkName(request.parameters.storageClassificationMappingName!);
      await mustGet(resources, await classificationId(request));
      const { targetStorageClassificationId: target } = propertiesOf<{
        targetStorageClassificationId?: string;
      }>(request);
      const known = target === undefined ? undefined : await resources.get(target);
      if (known === undefined || !idKey(known.id).startsWith(`${idKey(vaultOf(request))}/`))
        throw nounErrors.ReferenceNotFound(
          'targetStorageClassificationId',
          target ?? '(none)',
          'storage classification',
        );
      return putRow(parts, request, 'storage-mapping', await storageMappingId(request), {
        targetStorageClassificationId: known.id,
      });
    },
    [`${mappings}.delete`]: async (request) => {
      const row = await resources.get(await storageMappingId(request));
      return row === undefined ? { empty: true } : deleteRow(parts, request, 'storage-mapping', row.id);
    },

    'replicationAppliances.list': async (request) => {
      const { fabricName } = parseFilter(request.query.get('$filter'), ['fabricName']);
      const wish = fabricName?.toLowerCase();
      const fabrics = (await sites.fabrics(vaultOf(request))).filter(
        (fabric) => fabric.site !== undefined && (wish === undefined || fabric.name.toLowerCase() === wish),
      );
      const served = await Promise.all(
        fabrics.map(async (fabric) => [fabric, await sites.processServers(fabric)] as const),
      );
      const raised = await raisedOfFabrics(database, served);
      const views = served.map(([fabric, servers]) => ({
        properties: {
          providerSpecificDetails: {
            instanceType: 'InMageRcm',
            appliances: [
              {
                id: fabric.site!.siteId,
                name: fabric.site!.hostName,
                fabricArmId: fabric.id,
                ...(servers[0] === undefined
                  ? {}
                  : { processServer: processServerDetails(servers[0], fabric, raised) }),
                dra: draOf(fabric, servers, raised),
              },
            ],
          },
        },
      }));
      return pageOfAll(request, views, (view) => view);
    },

    'replicationFabrics.reassociateGateway': async (request) => {
      await fabricOf(request);
      throw errors.OperationNotSupported(
        'Machines are not moved from one process server to another yet.',
        'This version serves each machine from the process server that it was protected with.',
        'Disable protection and enable it again with the other process server.',
      );
    },
    'replicationFabrics.renewCertificate': async (request) => {
      const fabric = await fabricOf(request);
      if (fabric.site === undefined) throw nounErrors.SiteNotRegistered(fabric.name);
      return startJob(parts, request, 'renew-certificate', targetOf(fabric.id), { id: fabric.id });
    },
    'replicationFabrics.migrateToAad': async (request) => {
      await fabricOf(request);
      throw errors.OperationNotSupported(
        'A site has nothing to migrate: it has signed in with a certificate of this vault from the beginning.',
        'The call moves old sites of the reference to its directory.',
        'Nothing.',
      );
    },
  };
}
