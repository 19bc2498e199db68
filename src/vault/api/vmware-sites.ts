/**
 * `Microsoft.OffAzure/vmwareSites`: how clients of the reference find a machine and the credentials for it before they protect it
 * (Terraform's replicated VM does). A site is whatever a fabric of the kind `InMageRcm` names as its `vmwareSiteId` or
 * `physicalSiteId`; its machines are those that the fabric's configuration server reports.
 *
 *     fabric.customDetails.vmwareSiteId ─▶ …/vmwareSites/{name}/machines ─▶ fabricDiscoveryMachineId of the protected item
 *                                       └▶ …/runAsAccounts ─▶ runAsAccountId
 *
 * There is nothing to sign in with: a mobility service is installed by hand and enrols by itself. So each process server
 * has the one account `mobility-service`, which holds no secret.
 */
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import type { ReportedMachine } from '../../protocol/control/site-link.ts';
import { errors } from './errors.ts';
import type { NounParts } from './noun.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';
import { type Fabric, SiteReader } from './site-reader.ts';
import { listVaults } from './vaults.ts';

/** Vaults looked through for the fabric that names a site: a tenant has a handful. */
const vaultsMax = 1000;
export const accountDisplayName = 'mobility-service';
const siteType = 'Microsoft.OffAzure/vmwareSites';

export function vmwareSites(parts: NounParts): Handlers {
  const reader = new SiteReader(parts);

  const find = async ({
    parameters,
  }: ArmRequest): Promise<{ readonly fabric: Fabric; readonly id: string }> => {
    const subscriptionId = parameters.subscriptionId!;
    const asked = siteId(subscriptionId, parameters.resourceGroupName!, parameters.siteName!);
    const { resources: vaults } = await listVaults(
      { resources: parts.resources, subscriptionId },
      { limit: vaultsMax },
    );
    for (const vault of vaults)
      for (const fabric of await reader.fabrics(vault.id)) {
        const details = fabric.row?.properties.customDetails as Record<string, unknown> | undefined;
        for (const name of ['vmwareSiteId', 'physicalSiteId']) {
          const id = details?.[name];
          if (typeof id === 'string' && idKey(id.replace(/\/$/, '')) === idKey(asked))
            return { fabric, id: id.replace(/\/$/, '') };
        }
      }
    throw errors.ResourceNotFound(
      siteType,
      parameters.siteName!,
      `resource group '${parameters.resourceGroupName}'; no fabric names it as its vmwareSiteId`,
    );
  };

  const accountsOf = async ({ fabric, id }: { readonly fabric: Fabric; readonly id: string }) =>
    (await reader.processServers(fabric)).map((server) => ({
      id: childId(id, 'runAsAccounts', `${accountDisplayName}-${server.processServerId}`),
      name: `${accountDisplayName}-${server.processServerId}`,
      type: `${siteType}/runAsAccounts`,
      properties: {
        displayName: accountDisplayName,
        applianceName: server.name,
        credentialType: 'LinuxGuest',
        createdTimestamp: fabric.site?.registeredAt,
        updatedTimestamp: fabric.site?.registeredAt,
      },
    }));

  return {
    'vmwareSites.get': async (request) => {
      const { fabric, id } = await find(request);
      return {
        body: {
          id,
          name: id.split('/').at(-1),
          type: siteType,
          properties: {
            applianceName: fabric.name,
            serviceEndpoint: null,
            discoverySolutionId: null,
          },
        },
      };
    },
    'vmwareMachines.list': async (request) => {
      const { fabric, id } = await find(request);
      const { limit, after } = pageOf(request);
      const machines = await reader.machines(fabric, {
        limit: limit + 1,
        after: after === undefined ? undefined : placeOf(after),
      });
      const page = machines.slice(0, limit);
      const last = page.at(-1);
      return {
        page: page.map((machine) => machineView(id, machine)),
        next:
          machines.length > limit && last !== undefined
            ? JSON.stringify({ name: last.name, machineId: last.machineId })
            : undefined,
      };
    },
    'vmwareMachines.get': async (request) => {
      const { fabric, id } = await find(request);
      const machine = await reader.machine(fabric, request.parameters.machineName!);
      if (machine === undefined)
        throw errors.ResourceNotFound(`${siteType}/machines`, request.parameters.machineName!, `'${id}'`);
      return { body: machineView(id, machine) };
    },
    'vmwareRunAsAccounts.list': async (request) => ({ page: await accountsOf(await find(request)) }),
    'vmwareRunAsAccounts.get': async (request) => {
      const site = await find(request);
      const name = request.parameters.accountName!;
      const account = (await accountsOf(site)).find((one) => one.name.toLowerCase() === name.toLowerCase());
      if (account === undefined)
        throw errors.ResourceNotFound(`${siteType}/runAsAccounts`, name, `'${site.id}'`);
      return { body: account };
    },
  };
}

const siteId = (subscriptionId: string, group: string, name: string): string =>
  `/subscriptions/${subscriptionId}/resourceGroups/${group}/providers/${siteType}/${name}`;

function machineView(site: string, machine: ReportedMachine): unknown {
  return {
    id: childId(site, 'machines', machine.machineId),
    name: machine.machineId,
    type: `${siteType}/machines`,
    properties: {
      displayName: machine.name,
      powerStatus: 'ON',
      firmware: machine.firmware === 'efi' ? 'UEFI' : 'BIOS',
      numberOfProcessorCore: machine.cpuCount,
      allocatedMemoryInMB: machine.memoryBytes / 2 ** 20,
      operatingSystemDetails: { osType: 'Linux', osName: machine.osName, osVersion: machine.kernel },
      disks: machine.disks.map((disk) => ({
        uuid: disk.path,
        label: disk.name,
        path: disk.path,
        maxSizeInBytes: disk.sizeBytes,
      })),
      networkAdapters: [{ ipAddressList: machine.addresses }],
    },
  };
}

/** What `next` above was made of; a token that somebody wrote is refused. */
function placeOf(after: string): { name: string; machineId: string } {
  try {
    const { name, machineId } = JSON.parse(after) as Record<string, unknown>;
    if (typeof name === 'string' && typeof machineId === 'string') return { name, machineId };
  } catch {
    // Said below.
  }
  throw errors.InvalidQueryParameter('$skipToken', 'it is not a token of this list');
}
