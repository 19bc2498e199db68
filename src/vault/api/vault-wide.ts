/** What a vault has once: alert settings, vault settings, and the health of all that is in it. */
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import * as items from '../store/protected-items.ts';
import { type ItemCondition, vaultConditions } from '../store/vault-conditions.ts';
import { errors } from './errors.ts';
import { fabricHealth } from './fabrics.ts';
import { healthError, healthOf } from './health-error.ts';
import {
  allInVault,
  checkName,
  mustGet,
  type NounParts,
  pageOfAll,
  propertiesOf,
  resourceView,
  rowView,
  startJob,
  targetOf,
  vaultOf,
} from './noun.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { policyInput, policyTerms } from './policies.ts';
import { containerOf, SiteReader } from './site-reader.ts';

const defaultAlerts = { sendToOwners: 'DoNotSend', customEmailAddresses: [], locale: 'en-US' };
/** The reference's name of the one that counts. */
export const alertSettingName = 'defaultAlertSetting';
const addressesMax = 20;

const vaultSettingName = 'default';
const defaultVaultSetting = { migrationSolutionId: '', vmwareToAzureProviderType: 'InMageRcm' };

function checkAlerts(sent: Readonly<Record<string, unknown>>): void {
  const addresses = (sent.customEmailAddresses ?? []) as readonly string[];
  if (addresses.length > addressesMax)
    throw errors.InvalidRequestContent(
      `properties.customEmailAddresses has more than ${addressesMax} addresses`,
      'properties.customEmailAddresses',
    );
  for (const address of addresses)
    if (!/^[^\s@<>",;]{1,64}@[A-Za-z0-9.-]{1,253}$/.test(address))
      throw errors.InvalidRequestContent(
        `properties.customEmailAddresses: '${address}' is not an address`,
        'properties.customEmailAddresses',
      );
  if (sent.sendToOwners !== undefined && !['Send', 'DoNotSend'].includes(String(sent.sendToOwners)))
    throw errors.InvalidRequestContent(
      'properties.sendToOwners is Send or DoNotSend',
      'properties.sendToOwners',
    );
}

export function vaultWide(parts: NounParts): Handlers {
  const { resources, database, clock } = parts;
  const sites = new SiteReader(parts);
  /** Rows of a collection, with one more that is there by itself unless a row has its name. */
  const withDefault = async (request: ArmRequest, collection: string, name: string, properties: object) => {
    const rows = await allInVault(resources, vaultOf(request), collection);
    const own = childId(vaultOf(request), collection, name);
    return rows.some(({ id }) => idKey(id) === idKey(own))
      ? rows.map(rowView)
      : [resourceView(own, properties), ...rows.map(rowView)];
  };
  const one = async (request: ArmRequest, collection: string, name: string, known: string, fall: object) => {
    const id = childId(vaultOf(request), collection, name);
    const row = await resources.get(id);
    if (row !== undefined) return { body: rowView(row) };
    if (name.toLowerCase() === known.toLowerCase())
      return { body: resourceView(childId(vaultOf(request), collection, known), fall) };
    return { body: rowView(await mustGet(resources, id)) };
  };

  return {
    'replicationAlertSettings.list': async (request) =>
      pageOfAll(
        request,
        await withDefault(request, 'replicationAlertSettings', alertSettingName, defaultAlerts),
        (view) => view,
      ),
    'replicationAlertSettings.get': (request) =>
      one(
        request,
        'replicationAlertSettings',
        request.parameters.alertSettingName!,
        alertSettingName,
        defaultAlerts,
      ),
    'replicationAlertSettings.create': async (request) => {
      const name = request.parameters.alertSettingName!;
      checkName(name);
      const sent = propertiesOf<Record<string, unknown>>(request);
      checkAlerts(sent);
      const id = childId(
        vaultOf(request),
        'replicationAlertSettings',
        name.toLowerCase() === alertSettingName.toLowerCase() ? alertSettingName : name,
      );
      const { resource } = await resources.put(id, {
        sendToOwners: sent.sendToOwners ?? defaultAlerts.sendToOwners,
        customEmailAddresses: sent.customEmailAddresses ?? [],
        locale: sent.locale ?? defaultAlerts.locale,
      });
      return { body: rowView(resource) };
    },

    'replicationVaultSetting.list': async (request) =>
      pageOfAll(
        request,
        await withDefault(request, 'replicationVaultSettings', vaultSettingName, defaultVaultSetting),
        (view) => view,
      ),
    'replicationVaultSetting.get': (request) =>
      one(
        request,
        'replicationVaultSettings',
        request.parameters.vaultSettingName!,
        vaultSettingName,
        defaultVaultSetting,
      ),
    'replicationVaultSetting.create': async (request) => {
      const name = request.parameters.vaultSettingName!;
      checkName(name);
      const sent = propertiesOf<Record<string, unknown>>(request);
      const id = childId(vaultOf(request), 'replicationVaultSettings', name);
      const { resource } = await resources.put(id, {
        migrationSolutionId: sent.migrationSolutionId ?? '',
        vmwareToAzureProviderType:
          sent.vmwareToAzureProviderType ?? defaultVaultSetting.vmwareToAzureProviderType,
      });
      return { body: rowView(resource) };
    },

    'replicationVaultHealth.get': async (request) => ({ body: await vaultHealth(vaultOf(request)) }),
    'replicationVaultHealth.refresh': (request) =>
      startJob(parts, request, 'refresh-vault-health', targetOf(vaultOf(request)), {
        id: vaultOf(request),
      }),
  };

  async function vaultHealth(vaultId: string): Promise<unknown> {
    const now = clock.now();
    const policies = new Map(
      (await allInVault(resources, vaultId, 'replicationPolicies')).map((row) => [
        idKey(row.id),
        policyTerms(policyInput(row)).rpoThresholdMinutes,
      ]),
    );
    const conditions = await vaultConditions(database, vaultId);
    const late = (one: ItemCondition) =>
      one.latestPointAt !== undefined &&
      now - Date.parse(one.latestPointAt) > (policies.get(one.policyKey) ?? 15) * 60_000;
    const of = (fits: (one: ItemCondition) => boolean) => conditions.filter(fits).map(({ itemId }) => itemId);
    const blocked = of((one) => one.isBlocked);
    const resyncing = of((one) => one.isResyncing);
    const overdue = of(late);
    const critical = new Set(blocked);
    const warned = new Set([...resyncing, ...overdue].filter((id) => !critical.has(id)));

    const fabrics = await sites.fabrics(vaultId);
    const fabricEvents = await Promise.all(
      fabrics.map(async (fabric) => fabricHealth(fabric, await sites.processServers(fabric), now)),
    );
    const counts = await items.countBy(database, vaultId, 'container_key');
    const containers = fabrics.flatMap((fabric) => containerOf(fabric) ?? []);
    return resourceView(childId(vaultId, 'replicationVaultHealth', 'default'), {
      vaultErrors: fabrics.flatMap((fabric, index) =>
        fabricEvents[index]!.filter(({ code }) => code === 'ConfigurationServerSilent').map((event) =>
          healthError(event, fabric.id, 'FabricInfrastructure'),
        ),
      ),
      protectedItemsHealth: {
        resourceCount: conditions.length,
        issues: [
          issue(
            'ReplicationStopped',
            'Error',
            'Replication stands still',
            'ReplicationProtectedItem',
            blocked,
          ),
          issue(
            'RpoThresholdExceeded',
            'Warning',
            'Recovery points are older than the policy asks for',
            'ReplicationProtectedItem',
            overdue,
          ),
          issue(
            'ResyncRequired',
            'Warning',
            'Disks are being compared with their replica',
            'ReplicationProtectedItem',
            resyncing,
          ),
        ].flatMap((one) => one ?? []),
        categorizedResourceCounts: {
          Normal: conditions.length - critical.size - warned.size,
          Warning: warned.size,
          Critical: critical.size,
        },
      },
      fabricsHealth: {
        resourceCount: fabrics.length,
        issues: fabrics.flatMap((fabric, index) =>
          fabricEvents[index]!.filter(({ severity }) => severity !== 'information').map((event) => ({
            summaryCode: event.code,
            category: 'FabricInfrastructure',
            severity: event.severity === 'warning' ? 'Warning' : 'Error',
            summaryMessage: event.summary,
            affectedResourceType: 'Fabric',
            affectedResourceSubtype: fabric.instanceType,
            affectedResourceCorrelationIds: [fabric.id],
          })),
        ),
        categorizedResourceCounts: categories(fabricEvents.map(healthOf)),
      },
      containersHealth: {
        resourceCount: containers.length,
        issues: [],
        categorizedResourceCounts: {
          WithItems: containers.filter(({ id }) => (counts.get(idKey(id)) ?? 0) > 0).length,
          Empty: containers.filter(({ id }) => (counts.get(idKey(id)) ?? 0) === 0).length,
        },
      },
    });
  }
}

/** Ids that are named with an issue; the count is in the text. */
const namedMax = 100;

function issue(
  summaryCode: string,
  severity: 'Warning' | 'Error',
  what: string,
  affectedResourceType: string,
  ids: readonly string[],
): unknown {
  if (ids.length === 0) return undefined;
  return {
    summaryCode,
    category: 'Replication',
    severity,
    summaryMessage: `${what}: ${ids.length}`,
    affectedResourceType,
    affectedResourceSubtype: '',
    affectedResourceCorrelationIds: ids.slice(0, namedMax),
  };
}

function categories(all: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    ['Normal', 'Warning', 'Critical'].map((name) => [name, all.filter((one) => one === name).length]),
  );
}
