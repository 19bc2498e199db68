/**
 * Recovery plans: which machines are failed over together, in which order, and what else is done on the way.
 *
 *     Shutdown (whole) ─▶ Failover (whole) ─▶ Boot 1 ─▶ Boot 2 ─▶ … ─▶ Boot 7
 *        actions before and after each group: a script at the site or here, a runbook, something a person does
 *
 * Items lie in the boot groups; the other two stand for all of them. A plan is checked whole when it is put, so that what is
 * wrong with it is not found on the day it is needed.
 */
import { allowedPlanOperations, type PlanOperation } from '../../model/plan-operations.ts';
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import { errors as vaultErrors } from '../errors.ts';
import * as items from '../store/protected-items.ts';
import type { Resource } from '../store/resources.ts';
import { actionSeconds } from '../workflows/plan-shape.ts';
import { errors } from './errors.ts';
import { recoveryFabricName } from './fabrics.ts';
import { idleScenario } from './item-view.ts';
import {
  checkName,
  deleteRow,
  lastName,
  mustGet,
  type NounParts,
  propertiesOf,
  putRow,
  resourceView,
  startJob,
  targetOf,
  vaultOf,
} from './noun.ts';
import { nounErrors } from './noun-errors.ts';
import type { ArmAnswer, ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';
import { type PlanAction, type PlanGroup, planGroups, planItemIds } from './plan-items.ts';
import { fabricNameOf, SiteReader } from './site-reader.ts';

const bootGroupsMax = 7;
const itemsMax = 100;
/** Before or after one group. */
const actionsMax = 20;
const actionKinds = ['ScriptActionDetails', 'AutomationRunbookActionDetails', 'ManualActionDetails'];
const actionSecondsMax = 24 * 3600;
const failoverKinds = ['PlannedFailover', 'UnplannedFailover', 'TestFailover', 'ReverseReplicate', 'Commit'];

/** What is wrong by itself; whether its items are there is asked afterwards. */
export function checkGroups(groups: readonly PlanGroup[]): void {
  const wrong = (what: string, target: string) => nounErrors.RecoveryPlanInvalid(what, target);
  const order = groups.map(({ groupType }) => ['Shutdown', 'Failover', 'Boot'].indexOf(groupType));
  if (order.includes(-1))
    throw wrong('a group is Shutdown, Failover or Boot', `groups[${order.indexOf(-1)}].groupType`);
  if (order.some((value, index) => index > 0 && value < order[index - 1]!))
    throw wrong('the groups come in the order Shutdown, Failover, Boot', 'groups');
  for (const kind of ['Shutdown', 'Failover'])
    if (groups.filter(({ groupType }) => groupType === kind).length > 1)
      throw wrong(`there is at most one ${kind} group`, 'groups');
  const bootCount = groups.filter(({ groupType }) => groupType === 'Boot').length;
  if (bootCount === 0) throw wrong('it has no Boot group', 'groups');
  if (bootCount > bootGroupsMax)
    throw wrong(`it has ${bootCount} Boot groups; ${bootGroupsMax} are the most`, 'groups');
  const seen = new Map<string, string>();
  for (const [index, group] of groups.entries()) {
    const members = group.replicationProtectedItems ?? [];
    if (group.groupType !== 'Boot' && members.length > 0)
      throw wrong(
        `items lie in Boot groups; the ${group.groupType} group stands for all of them`,
        `groups[${index}].replicationProtectedItems`,
      );
    for (const [place, { id }] of members.entries()) {
      const at = `groups[${index}].replicationProtectedItems[${place}].id`;
      if (id === undefined || id === '') throw wrong('an item has no id', at);
      if (seen.has(idKey(id))) throw wrong(`${lastName(id)} is in it twice`, at);
      seen.set(idKey(id), at);
    }
    checkActions(group.startGroupActions ?? [], `groups[${index}].startGroupActions`);
    checkActions(group.endGroupActions ?? [], `groups[${index}].endGroupActions`);
  }
  if (seen.size > itemsMax) throw wrong(`it has ${seen.size} items; ${itemsMax} are the most`, 'groups');
}

function checkActions(actions: readonly PlanAction[], target: string): void {
  const wrong = (what: string, place: number, field = '') =>
    nounErrors.RecoveryPlanInvalid(what, `${target}[${place}]${field}`);
  if (actions.length > actionsMax) throw wrong(`more than ${actionsMax} actions in one place`, actionsMax);
  const names = new Set<string>();
  for (const [place, action] of actions.entries()) {
    const name = action.actionName.toLowerCase();
    if (!/^[^\p{Cc}]{1,100}$/u.test(action.actionName))
      throw wrong('an action has a name of 1 to 100 characters', place, '.actionName');
    if (names.has(name)) throw wrong(`the action ${action.actionName} is there twice`, place, '.actionName');
    names.add(name);
    if (action.failoverTypes.length === 0)
      throw wrong('an action names the failovers it belongs to', place, '.failoverTypes');
    const other = action.failoverTypes.find((type) => !failoverKinds.includes(type));
    if (other !== undefined) throw wrong(`no action belongs to ${other}`, place, '.failoverTypes');
    if (action.failoverDirections.length === 0)
      throw wrong('an action names the directions it belongs to', place, '.failoverDirections');
    const direction = action.failoverDirections.find(
      (one) => !['PrimaryToRecovery', 'RecoveryToPrimary'].includes(one),
    );
    if (direction !== undefined)
      throw wrong(`there is no direction ${direction}`, place, '.failoverDirections');
    checkDetails(action.customDetails, (what, field) => wrong(what, place, `.customDetails.${field}`));
  }
}

function checkDetails(
  details: PlanAction['customDetails'],
  wrong: (what: string, field: string) => Error,
): void {
  const { instanceType } = details;
  if (!actionKinds.includes(instanceType))
    throw wrong(`an action is one of ${actionKinds.join(', ')}`, 'instanceType');
  if (instanceType === 'ManualActionDetails') {
    if (String(details.description ?? '').length > 2000)
      throw wrong('instructions are longer than 2000 characters', 'description');
    return;
  }
  const location = details.fabricLocation;
  if (location !== 'Primary' && location !== 'Recovery')
    throw wrong('an action takes place at Primary or Recovery', 'fabricLocation');
  const field = instanceType === 'ScriptActionDetails' ? 'path' : 'runbookId';
  const named = String(details[field] ?? '');
  if (named === '') throw wrong('names no script', field);
  // Scripts lie in one folder of the appliance or the vault: a name, never a way out of it.
  const script = lastName(named.replaceAll('\\', '/'));
  if (!/^[A-Za-z0-9._-]{1,100}$/.test(script) || /^\.+$/.test(script))
    throw wrong(
      'a script is named by letters, digits, dots, underscores and hyphens, and lies in the scripts folder',
      field,
    );
  const { timeout } = details;
  if (timeout !== undefined && timeout !== null && timeout !== '') {
    const seconds = actionSeconds(String(timeout));
    if (seconds === undefined || seconds < 1 || seconds > actionSecondsMax)
      throw wrong('a time limit is from one second to a day: 600, 00:10:00 or PT10M', 'timeout');
  }
}

/** Workflows of plans, by the operations of the API. */
const planWorkflows = {
  testFailover: ['TestFailover', 'plan-test-failover'],
  testFailoverCleanup: ['TestFailoverCleanup', 'plan-test-failover-cleanup'],
  unplannedFailover: ['UnplannedFailover', 'plan-unplanned-failover'],
  plannedFailover: ['PlannedFailover', 'plan-planned-failover'],
  failoverCommit: ['Commit', 'plan-commit-failover'],
  failoverCancel: ['CancelFailover', 'plan-cancel-failover'],
} as const satisfies Record<string, readonly [PlanOperation, string]>;

const pointWords: Readonly<Record<string, string>> = {
  Latest: 'latest',
  LatestProcessed: 'latestProcessed',
  LatestApplicationConsistent: 'latestApplicationConsistent',
  LatestCrashConsistent: 'latestCrashConsistent',
};

export function recoveryPlans(parts: NounParts): Handlers {
  const { resources, database, jobs } = parts;
  const sites = new SiteReader(parts);
  const idOf = (request: ArmRequest) =>
    childId(vaultOf(request), 'replicationRecoveryPlans', request.parameters.recoveryPlanName!);

  const itemsOf = async (plan: Resource): Promise<items.ItemResource[]> =>
    (await items.list(database, { ids: planItemIds(plan) }, { limit: itemsMax })).items;

  const view = async (plan: Resource): Promise<unknown> => {
    const vaultId = plan.id.split('/').slice(0, 9).join('/');
    const [members, holder, last] = await Promise.all([
      itemsOf(plan),
      jobs.holder(plan.id),
      Promise.all(
        ['PlannedFailover', 'UnplannedFailover', 'TestFailover'].map(
          async (scenarioName) =>
            (
              await jobs.list(
                { vaultId, targetId: plan.id, scenarioName, states: ['Succeeded'] },
                { limit: 1 },
              )
            ).jobs[0]?.endedAt,
        ),
      ),
    ]);
    const { primaryFabricId, recoveryFabricId, failoverDeploymentModel } = plan.properties;
    const [planned, unplanned, tested] = last;
    return resourceView(plan.id, {
      friendlyName: plan.name,
      primaryFabricId,
      primaryFabricFriendlyName: lastName(String(primaryFabricId)),
      recoveryFabricId,
      recoveryFabricFriendlyName: lastName(String(recoveryFabricId)),
      failoverDeploymentModel: failoverDeploymentModel ?? 'ResourceManager',
      replicationProviders: [...new Set(members.map(({ instanceType }) => instanceType))],
      allowedOperations: allowedPlanOperations(
        members.map(({ condition }) => condition),
        holder !== undefined,
      ),
      ...(planned === undefined ? {} : { lastPlannedFailoverTime: planned }),
      ...(unplanned === undefined ? {} : { lastUnplannedFailoverTime: unplanned }),
      ...(tested === undefined ? {} : { lastTestFailoverTime: tested }),
      currentScenario:
        holder === undefined
          ? idleScenario(vaultId)
          : {
              scenarioName: holder.scenarioName,
              jobId: childId(vaultId, 'replicationJobs', holder.jobId),
              startTime: holder.startedAt ?? holder.createdAt,
            },
      currentScenarioStatus: holder?.state ?? 'None',
      currentScenarioStatusDescription: holder?.stateDescription ?? 'None',
      groups: planGroups(plan),
      providerSpecificDetails: [],
    });
  };

  /** Groups as they are kept: items by the ids of their rows. */
  const checked = async (
    request: ArmRequest,
    groups: readonly PlanGroup[],
    primaryFabricId: string,
  ): Promise<readonly PlanGroup[]> => {
    checkGroups(groups);
    const ids = groups.flatMap((group) => (group.replicationProtectedItems ?? []).map(({ id }) => id!));
    const found = await items.list(database, { vaultId: vaultOf(request), ids }, { limit: itemsMax });
    const known = new Map(found.items.map((item) => [idKey(item.id), item]));
    const fabric = lastName(primaryFabricId).toLowerCase();
    for (const id of ids) {
      const item = known.get(idKey(id));
      if (item === undefined) throw nounErrors.ReferenceNotFound('groups', id, 'protected item');
      if (item.fabricName.toLowerCase() !== fabric)
        throw nounErrors.RecoveryPlanInvalid(
          `${item.friendlyName} is of the site ${item.fabricName}, the plan of ${lastName(primaryFabricId)}`,
          'groups',
        );
    }
    return groups.map((group) => ({
      ...group,
      ...(group.replicationProtectedItems === undefined
        ? {}
        : {
            replicationProtectedItems: group.replicationProtectedItems.map(({ id, virtualMachineId }) => ({
              id: known.get(idKey(id!))!.id,
              virtualMachineId: virtualMachineId ?? known.get(idKey(id!))!.machineId,
            })),
          }),
    }));
  };

  const operate = async (
    request: ArmRequest,
    [operation, workflow]: readonly [PlanOperation, string],
    input: (plan: Resource) => object,
  ): Promise<ArmAnswer> => {
    const plan = await mustGet(resources, idOf(request));
    const members = await itemsOf(plan);
    const allowed = allowedPlanOperations(
      members.map(({ condition }) => condition),
      false,
    );
    if (!allowed.includes(operation))
      throw vaultErrors.OperationNotAllowed(
        operation,
        plan.name,
        [...new Set(members.map(({ condition }) => condition.protectionState))].join(', ') || 'empty',
      );
    return startJob(parts, request, workflow, targetOf(plan.id), { id: plan.id, ...input(plan) });
  };
  /** Which point each item starts from; the reference says it by kinds of providers. */
  const pointOf = (request: ArmRequest): string => {
    const { providerSpecificDetails: details = [] } = propertiesOf<{
      providerSpecificDetails?: { instanceType: string; recoveryPointType?: string }[];
    }>(request);
    const own = details.find(({ instanceType }) => ['InMageAzureV2', 'InMageRcm'].includes(instanceType));
    return pointWords[own?.recoveryPointType ?? ''] ?? 'latestProcessed';
  };
  const mustGoForward = (request: ArmRequest) => {
    const { failoverDirection } = propertiesOf<{ failoverDirection?: string }>(request);
    if (failoverDirection !== undefined && failoverDirection !== 'PrimaryToRecovery')
      throw errors.InvalidRequestContent(
        `a plan can only go PrimaryToRecovery in this version, not ${failoverDirection}`,
        'properties.failoverDirection',
      );
  };

  return {
    'replicationRecoveryPlans.list': async (request) => {
      const { resources: rows, next } = await resources.inVault(
        vaultOf(request),
        'replicationRecoveryPlans',
        pageOf(request),
      );
      return { page: await Promise.all(rows.map(view)), next };
    },
    'replicationRecoveryPlans.get': async (request) => ({
      body: await view(await mustGet(resources, idOf(request))),
    }),
    'replicationRecoveryPlans.create': async (request) => {
      checkName(request.parameters.recoveryPlanName!);
      const sent = propertiesOf<{
        primaryFabricId: string;
        recoveryFabricId: string;
        failoverDeploymentModel?: string;
        groups: readonly PlanGroup[];
      }>(request);
      const fabric = await sites.findFabric(vaultOf(request), fabricNameOf(sent.primaryFabricId));
      if (fabric === undefined || idKey(fabric.id) !== idKey(sent.primaryFabricId))
        throw nounErrors.ReferenceNotFound('primaryFabricId', sent.primaryFabricId, 'fabric');
      if (sent.recoveryFabricId !== recoveryFabricName) {
        const target = await sites.findFabric(vaultOf(request), fabricNameOf(sent.recoveryFabricId));
        if (target === undefined || idKey(target.id) !== idKey(sent.recoveryFabricId))
          throw nounErrors.ReferenceNotFound(
            'recoveryFabricId',
            sent.recoveryFabricId,
            `fabric (or "${recoveryFabricName}", which stands for this vault)`,
          );
      }
      const known = await resources.get(idOf(request));
      return putRow(parts, request, 'recovery-plan', known?.id ?? idOf(request), {
        primaryFabricId: fabric.id,
        recoveryFabricId: sent.recoveryFabricId,
        ...(sent.failoverDeploymentModel === undefined
          ? {}
          : { failoverDeploymentModel: sent.failoverDeploymentModel }),
        groups: await checked(request, sent.groups, fabric.id),
      });
    },
    'replicationRecoveryPlans.update': async (request) => {
      const plan = await mustGet(resources, idOf(request));
      const { groups } = propertiesOf<{ groups?: readonly PlanGroup[] }>(request);
      return putRow(parts, request, 'recovery-plan', plan.id, {
        ...plan.properties,
        groups: await checked(request, groups ?? planGroups(plan), String(plan.properties.primaryFabricId)),
      });
    },
    'replicationRecoveryPlans.delete': async (request) => {
      const plan = await resources.get(idOf(request));
      return plan === undefined ? { empty: true } : deleteRow(parts, request, 'recovery-plan', plan.id);
    },

    'replicationRecoveryPlans.testFailover': (request) => {
      mustGoForward(request);
      const { networkType, networkId } = propertiesOf<{ networkType?: string; networkId?: string }>(request);
      return operate(request, planWorkflows.testFailover, () => ({
        point: pointOf(request),
        network:
          networkType === 'NoNetworkAttachAsInput' || networkId === undefined || networkId === ''
            ? { mode: 'isolated' }
            : { mode: 'existing', name: lastName(networkId) },
      }));
    },
    'replicationRecoveryPlans.testFailoverCleanup': (request) =>
      operate(request, planWorkflows.testFailoverCleanup, () => ({
        comments: propertiesOf<{ comments?: string }>(request).comments ?? '',
      })),
    'replicationRecoveryPlans.unplannedFailover': (request) => {
      mustGoForward(request);
      const { sourceSiteOperations } = propertiesOf<{ sourceSiteOperations?: string }>(request);
      return operate(request, planWorkflows.unplannedFailover, () => ({
        point: pointOf(request),
        shutDownSource: sourceSiteOperations === 'Required',
      }));
    },
    'replicationRecoveryPlans.plannedFailover': (request) => {
      mustGoForward(request);
      return operate(request, planWorkflows.plannedFailover, () => ({}));
    },
    'replicationRecoveryPlans.failoverCommit': (request) =>
      operate(request, planWorkflows.failoverCommit, () => ({})),
    'replicationRecoveryPlans.failoverCancel': (request) =>
      operate(request, planWorkflows.failoverCancel, () => ({})),
    'replicationRecoveryPlans.reprotect': async (request) => {
      await mustGet(resources, idOf(request));
      throw errors.OperationNotSupported(
        'Machines are not replicated back to their site yet.',
        'Reprotect and failback are not part of this version.',
        'Cancel the failover while it is not committed, or keep the machines at the recovery site.',
      );
    },
  };
}
