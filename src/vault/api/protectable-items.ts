/**
 * Protectable items: machines with a mobility service, as their site reported them last. A machine is named by its own id, so
 * the resource stays the same when it is renamed.
 */

import { parseFilter } from '../../protocol/arm/filter.ts';
import { childId } from '../../protocol/arm/resource-id.ts';
import type { ReportedMachine } from '../../protocol/control/site-link.ts';
import { MachineId } from '../../protocol/control/site-link.ts';
import * as items from '../store/protected-items.ts';
import { errors } from './errors.ts';
import { providerIdOf } from './fabrics.ts';
import { healthError } from './health-error.ts';
import { type NounParts, notFound, resourceView, vaultOf } from './noun.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';
import { type Container, SiteReader, silentMilliseconds } from './site-reader.ts';

const mebibyte = 2 ** 20;

/** Why it cannot be protected now; empty: it can. */
export function readinessOf(machine: ReportedMachine, now: number): string[] {
  const found: string[] = [];
  if (now - Date.parse(machine.mobilityService.lastHeartbeatAt) > silentMilliseconds)
    found.push('its mobility service has not been heard of for more than 15 minutes');
  const ready = machine.disks.filter(({ readinessErrors }) => readinessErrors.length === 0);
  if (machine.disks.length === 0) found.push('it reports no disk');
  else if (ready.length === 0)
    found.push(
      `none of its disks can be protected: ${machine.disks[0]!.path}: ${machine.disks[0]!.readinessErrors[0]!.summary}`,
    );
  return found;
}

function protectableItemView(
  container: Container,
  machine: ReportedMachine,
  item: items.ItemResource | undefined,
  now: number,
): unknown {
  const id = protectableItemId(container, machine.machineId);
  const providerId = providerIdOf(container.fabric);
  return resourceView(id, {
    friendlyName: machine.name,
    protectionStatus: item === undefined ? 'Unprotected' : 'Protected',
    ...(item === undefined ? {} : { replicationProtectedItemId: item.id }),
    ...(providerId === undefined ? {} : { recoveryServicesProviderId: providerId }),
    protectionReadinessErrors: item === undefined ? readinessOf(machine, now) : [],
    supportedReplicationProviders: items.ItemInstanceType.options,
    customDetails: {
      instanceType: 'VMwareVirtualMachine',
      agentGeneratedId: machine.machineId,
      agentInstalled: 'Yes',
      osType: 'Linux',
      agentVersion: machine.mobilityService.version,
      ipAddress: machine.addresses[0] ?? '',
      poweredOn: 'On',
      discoveryType: 'Physical',
      diskDetails: machine.disks.map((disk) => ({
        diskId: disk.path,
        diskName: disk.name,
        diskSizeInMB: String(Math.floor(disk.sizeBytes / mebibyte)),
        diskType: 'Basic',
        diskConfiguration: disk.readinessErrors.length === 0 ? 'Supported' : 'NotSupported',
        volumeList: disk.uses.map((use) => ({ label: use, name: use })),
      })),
      validationErrors: machine.disks.flatMap((disk) =>
        disk.readinessErrors.map((event) => healthError(event, id, 'Configuration')),
      ),
    },
  });
}

export const protectableItemId = (container: Container, machineId: string) =>
  childId(container.id, 'replicationProtectableItems', machineId);

/** Machines looked through for one page of those in a state, before what was found is answered as it is. */
const lookedThroughMax = 5000;
const lookedAtOnce = 200;

export function protectableItems(parts: NounParts): Handlers {
  const { database, clock } = parts;
  const reader = new SiteReader(parts);
  const containerOf = (request: ArmRequest) =>
    reader.container(
      vaultOf(request),
      request.parameters.fabricName!,
      request.parameters.protectionContainerName!,
    );
  return {
    'replicationProtectableItems.listByReplicationProtectionContainers': async (request) => {
      const container = await containerOf(request);
      const { state } = parseFilter(request.query.get('$filter'), ['state']);
      const wish = state?.toLowerCase();
      if (wish !== undefined && !['protected', 'unprotected'].includes(wish))
        throw errors.InvalidQueryParameter('$filter', `state is Protected or Unprotected, not ${state}`);
      const { limit, after } = pageOf(request);
      const found: { machine: ReportedMachine; item: items.ItemResource | undefined }[] = [];
      let last = after === undefined ? undefined : (JSON.parse(after) as { name: string; machineId: string });
      for (let looked = 0; looked < lookedThroughMax; ) {
        const machines = await reader.machines(container.fabric, { limit: lookedAtOnce, after: last });
        const protecting = await items.byMachines(
          database,
          machines.map(({ machineId }) => machineId),
        );
        for (const machine of machines) {
          const item = protecting.get(machine.machineId.toLowerCase());
          if (wish === undefined || (wish === 'protected') === (item !== undefined)) {
            if (found.length === limit) return page(true);
            found.push({ machine, item });
          }
          last = { name: machine.name, machineId: machine.machineId };
        }
        looked += machines.length;
        if (machines.length < lookedAtOnce) return page(false);
      }
      return page(true);

      function page(isMore: boolean) {
        const end = last && { name: last.name, machineId: last.machineId };
        return {
          page: found.map(({ machine, item }) => protectableItemView(container, machine, item, clock.now())),
          next: isMore && end !== undefined ? JSON.stringify(end) : undefined,
        };
      }
    },
    'replicationProtectableItems.get': async (request) => {
      const container = await containerOf(request);
      const name = request.parameters.protectableItemName!;
      const machine = MachineId.safeParse(name).success
        ? await reader.machine(container.fabric, name)
        : undefined;
      if (machine === undefined) throw notFound(protectableItemId(container, name));
      const item = await items.byMachine(database, machine.machineId);
      return { body: protectableItemView(container, machine, item, clock.now()) };
    },
    'replicationProtectionContainers.create': async (request) => {
      const { fabric } = await containerNamed(request);
      throw errors.OperationNotSupported(
        'Protection containers are not made: each fabric has exactly one.',
        'The call is meant for machines in a public cloud (A2A).',
        `Use the container of the fabric: GET ${fabric}/replicationProtectionContainers.`,
      );
    },
    'replicationProtectionContainers.delete': async (request) => {
      const { fabric } = await containerNamed(request);
      throw errors.OperationNotSupported(
        'A protection container is not removed by itself: it goes with its fabric.',
        'The call is meant for machines in a public cloud (A2A).',
        `Remove the fabric: POST ${fabric}/remove.`,
      );
    },
    'replicationProtectionContainers.discoverProtectableItem': async (request) => {
      await containerOf(request);
      throw errors.OperationNotSupported(
        'Machines are not looked for by address: a machine with the mobility service appears by itself.',
        'The mobility service is not installed on the machine, or its configuration server has not reported yet.',
        'Install the mobility service on the machine and give it the address of its configuration server.',
      );
    },
  };

  async function containerNamed(request: ArmRequest) {
    const fabric = await reader.fabric(vaultOf(request), request.parameters.fabricName!);
    return { fabric: fabric.id };
  }
}
