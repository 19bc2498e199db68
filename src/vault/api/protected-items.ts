/**
 * Protected items: what may be done with a machine, and how it is. Each operation is checked here against the one table of
 * states and starts a job; the job's first step takes the item, so of two that come at once the second is told that it is busy.
 *
 * Fields that only this product has stand under `leeward` in `providerSpecificDetails` of a failover: `machine` (processors,
 * memory, firmware), `check` (what must be seen before the machine counts as running), `timeoutSeconds`, and `allowMissingDisks`
 * (the newest point is wanted also when it lacks disks of the source).
 */

import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { allowedOperations, type ItemOperation } from '../../model/protection-state.ts';
import { parse } from '../../platform/settings.ts';
import { parseFilter } from '../../protocol/arm/filter.ts';
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import { MachineId } from '../../protocol/control/site-link.ts';
import { disksMax } from '../../protocol/replication/messages.ts';
import { errors as vaultErrors } from '../errors.ts';
import { retentionOf } from '../retention/from-policy.ts';
import * as dataPlane from '../store/items.ts';
import * as items from '../store/protected-items.ts';
import {
  type EnableProtectionInput,
  MachineShape,
  type NetworkChoice,
  Readiness,
} from '../workflows/inputs.ts';
import { sizeOf } from './compute-sizes.ts';
import { errors } from './errors.ts';
import { ItemReader } from './item-reader.ts';
import {
  allInVault,
  checkName,
  lastName,
  type NounParts,
  propertiesOf,
  startJob,
  targetOf,
  vaultOf,
} from './noun.ts';
import { nounErrors } from './noun-errors.ts';
import type { ArmAnswer, ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';
import { planItemIds } from './plan-items.ts';
import { policyInput, policyTerms } from './policies.ts';
import { protectableItemId, readinessOf } from './protectable-items.ts';
import { SiteReader } from './site-reader.ts';

const filterFields = [
  'sourceFabricName',
  'recoveryPlanName',
  'sourceFabricLocation',
  'fabricObjectId',
  'vCenterName',
  'instanceType',
  'multiVmGroupCreateOption',
  'processServerId',
] as const;

interface EnableProperties {
  readonly policyId?: string;
  readonly protectableItemId?: string;
  readonly providerSpecificDetails?: Readonly<Record<string, unknown>>;
}

/** Settings that clients send on the way to protection and that this product keeps for the item. */
const Leeward = z.strictObject({
  machine: MachineShape.optional(),
  check: Readiness.optional(),
  timeoutSeconds: z.number().positive().max(3600).optional(),
  allowMissingDisks: z.boolean().optional(),
});

/** The reference sends no body. */
const RepairProperties = z.looseObject({ disks: z.array(z.string().max(500)).min(1).max(64).optional() });

export function protectedItems(parts: NounParts): Handlers {
  const { database, resources, clock } = parts;
  const sites = new SiteReader(parts);
  const reader = new ItemReader(parts);

  const listed = async (request: ArmRequest, filter: items.ItemFilter): Promise<ArmAnswer> => {
    const found = await items.list(database, filter, pageOf(request));
    return { page: await reader.views(found.items), next: found.next };
  };

  /** Starts the operation's job, unless the item's state forbids it. */
  const operate = async (
    request: ArmRequest,
    operation: ItemOperation,
    workflow: string,
    input: (item: items.ItemResource) => object | Promise<object> = () => ({}),
  ): Promise<ArmAnswer> => {
    const item = await reader.item(request);
    if (item.jobId === undefined && !allowedOperations(item.condition).includes(operation))
      throw vaultErrors.OperationNotAllowed(operation, item.friendlyName, item.condition.protectionState);
    const target = targetOf(item.id, item.friendlyName);
    return startJob(parts, request, workflow, target, { id: item.id, ...(await input(item)) });
  };

  /** The point that a failover names, as its id; undefined: the newest. */
  const pointOf = async (item: items.ItemResource, named: unknown): Promise<string | undefined> => {
    if (named === undefined || named === '') return undefined;
    const pointId = lastName(String(named)).toLowerCase();
    const rows =
      item.itemId === undefined
        ? []
        : await database.rows('SELECT point_id FROM recovery_points WHERE item_id = ? AND point_id = ?', [
            item.itemId,
            pointId,
          ]);
    if (rows.length === 0)
      throw nounErrors.ReferenceNotFound('recoveryPointId', String(named), 'recovery point');
    return pointId;
  };

  /** What a failover's machine is like: its own wishes, then the item's target size. */
  const machineOf = (item: items.ItemResource, details: Readonly<Record<string, unknown>>) => {
    const { machine, ...rest } =
      details.leeward === undefined ? {} : parse(Leeward, details.leeward, 'providerSpecificDetails.leeward');
    const size = sizeOf(String(item.settings.targetVmSize ?? ''));
    return { machine: { ...size, ...machine }, ...rest };
  };
  const networkOf = (id: unknown): NetworkChoice =>
    id === undefined || id === '' ? { mode: 'isolated' } : { mode: 'existing', name: lastName(String(id)) };

  /** The data plane's names are unique; two machines may be called alike in different domains. */
  const freeName = async (name: string, machineId: string): Promise<string> =>
    (await dataPlane.byName(database, name)) === undefined
      ? name
      : `${name.slice(0, 54)}-${machineId.slice(0, 8)}`;

  const enable = async (request: ArmRequest): Promise<ArmAnswer> => {
    const { fabricName, protectionContainerName, replicatedProtectedItemName: name } = request.parameters;
    checkName(name!);
    const container = await sites.container(vaultOf(request), fabricName!, protectionContainerName!);
    const { fabric } = container;
    const id = childId(container.id, 'replicationProtectedItems', name!);
    const sent = propertiesOf<EnableProperties>(request);
    const settings = sent.providerSpecificDetails;
    const required = (field: string) =>
      errors.InvalidRequestContent(`properties.${field} is required`, `properties.${field}`);
    if (settings === undefined) throw required('providerSpecificDetails');
    if (sent.policyId === undefined) throw required('policyId');
    const kinds: readonly string[] = items.ItemInstanceType.options;
    if (!kinds.includes(String(settings.instanceType)))
      throw nounErrors.ProviderNotHere(String(settings.instanceType), kinds);
    const instanceType = items.ItemInstanceType.parse(settings.instanceType);

    const machineName = lastName(String(settings.fabricDiscoveryMachineId ?? sent.protectableItemId ?? ''));
    if (machineName === '') throw required('protectableItemId');
    const known = await items.byId(database, id);
    if (known !== undefined) {
      // The same again: a client whose connection broke off asks once more.
      if (known.machineId === machineName.toLowerCase() && isDeepStrictEqual(known.settings, settings))
        return known.jobId === undefined
          ? { body: (await reader.views([known]))[0] }
          : { jobId: known.jobId };
      throw nounErrors.ResourceExists(id, 'with other properties');
    }

    // Being enabled at this moment, and no row yet.
    const holder = await parts.jobs.holder(id);
    const asked = holder?.input as { settings?: unknown; machineId?: string } | undefined;
    if (
      holder?.workflow === 'enable-protection' &&
      asked?.machineId?.toLowerCase() === machineName.toLowerCase() &&
      isDeepStrictEqual(asked.settings, settings)
    )
      return { jobId: holder.jobId };

    const policy = await resources.get(sent.policyId);
    if (
      policy === undefined ||
      !idKey(policy.id).startsWith(`${idKey(vaultOf(request))}/replicationpolicies/`)
    )
      throw nounErrors.ReferenceNotFound('policyId', sent.policyId, 'policy');
    const terms = policyInput(policy);
    if (!kinds.includes(terms.instanceType))
      throw errors.InvalidRequestContent(
        `the policy ${policy.name} is of the kind ${terms.instanceType}, which protects nothing`,
        'properties.policyId',
      );

    if (fabric.site === undefined) throw nounErrors.SiteNotRegistered(fabric.name);
    const machine = MachineId.safeParse(machineName).success
      ? await sites.machine(fabric, machineName)
      : undefined;
    if (machine === undefined)
      throw nounErrors.ReferenceNotFound('protectableItemId', machineName, `machine at ${fabric.name}`);
    const protecting = await items.byMachine(database, machine.machineId);
    if (protecting !== undefined)
      throw nounErrors.MachineAlreadyProtectedConflict(machine.name, protecting.id);
    const reasons = readinessOf(machine, clock.now());
    if (reasons.length > 0) throw nounErrors.MachineNotReady(machine.name, reasons.join('; '));

    const included = (settings.disksToInclude ?? []) as readonly { readonly diskId?: string }[];
    const disks = included.map(({ diskId }) => {
      const disk = machine.disks.find(({ path, name }) => path === diskId || name === diskId);
      if (disk === undefined) throw nounErrors.DiskNotFound(diskId ?? '', machine.name);
      const why = disk.readinessErrors[0];
      if (why !== undefined) throw nounErrors.MachineNotReady(machine.name, `${disk.path}: ${why.summary}`);
      return disk.path;
    });
    const chosen =
      disks.length > 0
        ? disks
        : machine.disks.filter(({ readinessErrors }) => readinessErrors.length === 0).map(({ path }) => path);

    if (new Set(chosen).size > disksMax)
      throw nounErrors.TooManyDisks(machine.name, new Set(chosen).size, disksMax, disks.length > 0);

    const servers = await sites.processServers(fabric);
    const wish = settings.processServerId as string | undefined;
    const server =
      wish === undefined
        ? servers.toSorted((a, b) => a.itemCount - b.itemCount)[0]
        : servers.find(
            ({ processServerId, name }) =>
              processServerId.toLowerCase() === lastName(wish).toLowerCase() || name === wish,
          );
    if (server === undefined)
      throw nounErrors.ReferenceNotFound(
        'processServerId',
        wish ?? '(any)',
        `process server at ${fabric.name}`,
      );

    const groupName = settings.multiVmGroupName as string | undefined;
    const { retentionMinutes, crashConsistentSeconds, applicationConsistentSeconds } = policyTerms(terms);
    const input: EnableProtectionInput = {
      id,
      friendlyName: machine.name,
      instanceType,
      machineId: machine.machineId,
      processServerId: server.processServerId,
      ...(groupName === undefined || groupName === '' ? {} : { groupName, groupOption: 'UserSpecified' }),
      policyId: policy.id,
      protectableItemId: sent.protectableItemId ?? protectableItemId(container, machine.machineId),
      settings: { ...settings },
      name: await freeName(plainName(machine.name, machine.machineId), machine.machineId),
      disks: [...new Set(chosen)].map((path) => ({ path })),
      replication: { crashConsistentSeconds, applicationConsistentSeconds },
      retention: retentionOf(retentionMinutes),
    };
    return startJob(parts, request, 'enable-protection', targetOf(id, machine.name), input);
  };

  return {
    'replicationProtectedItems.list': async (request) => {
      const vaultId = vaultOf(request);
      const asked = parseFilter(request.query.get('$filter'), filterFields);
      // Locations are regions of a public cloud; a site has none.
      if (asked.sourceFabricLocation !== undefined) return { page: [] };
      return listed(request, {
        vaultId,
        fabricName: asked.sourceFabricName,
        machineId: asked.fabricObjectId && lastName(asked.fabricObjectId),
        vCenterName: asked.vCenterName,
        instanceType: asked.instanceType,
        groupOption: asked.multiVmGroupCreateOption,
        processServerId: asked.processServerId,
        ...(asked.recoveryPlanName === undefined
          ? {}
          : {
              ids: planItemIds(
                await resources.get(childId(vaultId, 'replicationRecoveryPlans', asked.recoveryPlanName)),
              ),
            }),
      });
    },
    'replicationProtectedItems.listByReplicationProtectionContainers': async (request) => {
      const { fabricName, protectionContainerName } = request.parameters;
      const container = await sites.container(vaultOf(request), fabricName!, protectionContainerName!);
      return listed(request, { containerId: container.id });
    },
    'replicationProtectedItems.get': async (request) => ({
      body: (await reader.views([await reader.item(request)]))[0],
    }),
    'replicationProtectedItems.create': enable,
    'replicationProtectedItems.update': async (request) => {
      const item = await reader.item(request);
      const { providerSpecificDetails: details, ...general } = propertiesOf<{
        providerSpecificDetails?: Record<string, unknown>;
        [name: string]: unknown;
      }>(request);
      if (details !== undefined && details.instanceType !== item.instanceType)
        throw errors.InvalidRequestContent(
          `the item is of the kind ${item.instanceType}, not ${String(details.instanceType)}`,
          'properties.providerSpecificDetails.instanceType',
        );
      const size = String(general.recoveryAzureVMSize ?? details?.targetVmSize ?? '');
      if (size !== '' && sizeOf(size) === undefined)
        throw nounErrors.ReferenceNotFound('recoveryAzureVMSize', size, 'target compute size');
      return startJob(parts, request, 'update-protection', targetOf(item.id, item.friendlyName), {
        id: item.id,
        settings: { ...renamed(item.instanceType, general), ...details },
      });
    },
    'replicationProtectedItems.delete': (request) =>
      operate(request, 'DisableProtection', 'disable-protection', async (item) => {
        // A plan that names a machine which is not there fails on the day it is needed.
        const plans = await allInVault(resources, item.vaultId, 'replicationRecoveryPlans');
        const plan = plans.find((one) => planItemIds(one).some((member) => idKey(member) === idKey(item.id)));
        if (plan !== undefined) throw nounErrors.ResourceInUse(item.id, `the recovery plan ${plan.name}`);
        const { disableProtectionReason } = propertiesOf<{ disableProtectionReason?: string }>(request);
        return { reason: disableProtectionReason ?? '' };
      }),
    'replicationProtectedItems.purge': async (request) => {
      const id = await reader.itemId(request);
      if ((await items.byId(database, id)) === undefined) return { empty: true };
      return operate(request, 'DisableProtection', 'disable-protection', () => ({ purge: true }));
    },
    'replicationProtectedItems.testFailover': (request) =>
      operate(request, 'TestFailover', 'test-failover', async (item) => {
        const sent = propertiesOf<{
          networkType?: string;
          networkId?: string;
          providerSpecificDetails?: Record<string, unknown>;
        }>(request);
        const details = sent.providerSpecificDetails ?? {};
        mustGoTo(request, 'PrimaryToRecovery');
        mustBeOf(item, details);
        const isNone = sent.networkType === 'NoNetworkAttachAsInput';
        const networkId =
          details.networkId ??
          sent.networkId ??
          (sent.networkType === undefined || sent.networkType === 'VmNetworkAsInput'
            ? item.settings.testNetworkId
            : undefined);
        return {
          point: await pointOf(item, details.recoveryPointId),
          network: networkOf(isNone ? undefined : networkId),
          ...machineOf(item, details),
        };
      }),
    'replicationProtectedItems.testFailoverCleanup': (request) =>
      operate(request, 'TestFailoverCleanup', 'test-failover-cleanup', () => ({
        comments: propertiesOf<{ comments?: string }>(request).comments ?? '',
      })),
    'replicationProtectedItems.unplannedFailover': (request) =>
      operate(request, 'UnplannedFailover', 'unplanned-failover', async (item) => {
        const sent = propertiesOf<{
          sourceSiteOperations?: string;
          providerSpecificDetails?: Record<string, unknown>;
        }>(request);
        const details = sent.providerSpecificDetails ?? {};
        mustGoTo(request, 'PrimaryToRecovery');
        mustBeOf(item, details);
        return {
          point: await pointOf(item, details.recoveryPointId),
          network: networkOf(item.settings.targetNetworkId ?? item.settings.targetAzureNetworkId),
          ...machineOf(item, details),
          shutDownSource:
            String(details.performShutdown).toLowerCase() === 'true' ||
            (details.performShutdown === undefined && sent.sourceSiteOperations === 'Required'),
        };
      }),
    'replicationProtectedItems.plannedFailover': (request) =>
      operate(request, 'PlannedFailover', 'planned-failover', (item) => {
        const details =
          propertiesOf<{ providerSpecificDetails?: Record<string, unknown> }>(request)
            .providerSpecificDetails ?? {};
        mustGoTo(
          request,
          item.condition.activeLocation === 'Primary' ? 'PrimaryToRecovery' : 'RecoveryToPrimary',
        );
        const { allowMissingDisks, ...machine } = machineOf(item, details);
        if (allowMissingDisks === true)
          throw errors.InvalidRequestContent(
            'a planned failover takes only a point that has every disk',
            'providerSpecificDetails.leeward.allowMissingDisks',
          );
        return {
          network: networkOf(item.settings.targetNetworkId ?? item.settings.targetAzureNetworkId),
          ...machine,
        };
      }),
    'replicationProtectedItems.applyRecoveryPoint': (request) =>
      operate(request, 'ChangePit', 'apply-recovery-point', async (item) => {
        const sent = propertiesOf<{
          recoveryPointId?: string;
          providerSpecificDetails?: Record<string, unknown>;
        }>(request);
        const named = sent.recoveryPointId ?? sent.providerSpecificDetails?.recoveryPointId;
        const point = await pointOf(item, named);
        if (point === undefined)
          throw errors.InvalidRequestContent(
            'properties.recoveryPointId is required',
            'properties.recoveryPointId',
          );
        const { check, timeoutSeconds } = machineOf(item, sent.providerSpecificDetails ?? {});
        return { point, check, timeoutSeconds };
      }),
    'replicationProtectedItems.failoverCommit': (request) => operate(request, 'Commit', 'commit-failover'),
    'replicationProtectedItems.failoverCancel': (request) =>
      operate(request, 'CancelFailover', 'cancel-failover'),
    'replicationProtectedItems.repairReplication': (request) =>
      operate(request, 'RepairReplication', 'repair-replication', async (item) => {
        const { disks } = parse(RepairProperties, propertiesOf(request), 'properties');
        if (disks === undefined || item.itemId === undefined) return {};
        const known = (await dataPlane.byId(database, item.itemId))?.disks ?? [];
        const diskIds = disks.map((wish) => {
          const found = known.find(({ diskId, path }) => diskId === wish || path === wish);
          if (found === undefined)
            throw nounErrors.DiskNotProtected(
              wish,
              item.friendlyName,
              known.map(({ path }) => path),
            );
          return found.diskId;
        });
        return { diskIds: [...new Set(diskIds)] };
      }),
    ...refused(reader),
  };
}

/** Those that have no meaning for this product, or none yet. */
function refused(reader: ItemReader): Handlers {
  const because = (what: string, causes: string, action: string) => async (request: ArmRequest) => {
    await reader.item(request);
    throw errors.OperationNotSupported(what, causes, action);
  };
  const push = because(
    'The mobility service is not installed or updated from here.',
    'It comes from the package sources of the machine, like any other package.',
    'Update the package leeward-mobility-service on the machine.',
  );
  const disks = because(
    'Disks are not added to or removed from a machine that is protected already.',
    'In the reference this is for machines in a public cloud (A2A).',
    'Disable protection and enable it again with the disks that are wanted.',
  );
  const appliance = because(
    'A machine is not moved to another appliance.',
    'There is one configuration server for each site.',
    'Disable protection and enable it again in the container of the other site.',
  );
  return {
    'replicationProtectedItems.updateMobilityService': push,
    'replicationProtectedItems.reinstallMobilityService': push,
    'replicationProtectedItems.addDisks': disks,
    'replicationProtectedItems.removeDisks': disks,
    'replicationProtectedItems.updateAppliance': appliance,
    'replicationProtectedItems.resolveHealthErrors': because(
      'A health error is not resolved by saying so: it goes by itself when its cause is gone.',
      'The vault looks every half minute whether what it says still holds (customerResolvability: NotAllowed).',
      'Follow the recommended action of the error.',
    ),
    'replicationProtectedItems.switchProvider': because(
      'There is only one way to replicate, so there is none to switch to.',
      'The call moves a machine from the classic to the modernized architecture of the reference.',
      'Nothing: both of the reference’s kinds are answered by the same machinery.',
    ),
    'replicationProtectedItems.reprotect': because(
      'Machines are not replicated back to their site yet.',
      'Reprotect and failback are not part of this version.',
      'Cancel the failover while it is not committed, or keep the machine at the recovery site.',
    ),
  };
}

function mustGoTo(request: ArmRequest, direction: 'PrimaryToRecovery' | 'RecoveryToPrimary'): void {
  const { failoverDirection: sent } = propertiesOf<{ failoverDirection?: string }>(request);
  if (sent !== undefined && sent.toLowerCase() !== direction.toLowerCase())
    throw errors.InvalidRequestContent(
      `the item can only go ${direction} from where it is, not ${sent}`,
      'properties.failoverDirection',
    );
}

function mustBeOf(item: items.ItemResource, details: Readonly<Record<string, unknown>>): void {
  if (details.instanceType !== undefined && details.instanceType !== item.instanceType)
    throw errors.InvalidRequestContent(
      `the item is of the kind ${item.instanceType}, not ${String(details.instanceType)}`,
      'properties.providerSpecificDetails.instanceType',
    );
}

/** The reference's general fields of an update, by the names that enabling gave the same settings. */
function renamed(kind: items.ItemInstanceType, general: Readonly<Record<string, unknown>>) {
  const names: Readonly<Record<string, string>> =
    kind === 'InMageRcm'
      ? {
          recoveryAzureVMName: 'targetVmName',
          recoveryAzureVMSize: 'targetVmSize',
          selectedRecoveryAzureNetworkId: 'targetNetworkId',
          selectedTfoAzureNetworkId: 'testNetworkId',
          recoveryAvailabilitySetId: 'targetAvailabilitySetId',
        }
      : {
          recoveryAzureVMName: 'targetAzureVmName',
          recoveryAzureVMSize: 'targetVmSize',
          selectedRecoveryAzureNetworkId: 'targetAzureNetworkId',
          selectedTfoAzureNetworkId: 'testNetworkId',
          recoveryAvailabilitySetId: 'targetAvailabilitySetId',
        };
  return Object.fromEntries(Object.entries(general).map(([name, value]) => [names[name] ?? name, value]));
}

/** Letters, digits and hyphens; the machine's first name, or something of its id where nothing is left of it. */
function plainName(name: string, machineId: string): string {
  const plain = name
    .split('.')[0]!
    .replaceAll(/[^A-Za-z0-9-]/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63)
    .replaceAll(/-+$/g, '');
  return plain === '' ? `machine-${machineId.slice(0, 8)}` : plain;
}
