/** What a vault has once: alert settings, vault settings, and the health of all that is in it. */
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import type { RaisedCondition } from '../store/conditions.ts';
import * as conditions from '../store/conditions.ts';
import * as items from '../store/protected-items.ts';
import { errors } from './errors.ts';
import { conditionError } from './health-error.ts';
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
import { containerOf, SiteReader } from './site-reader.ts';

const defaultAlerts = { sendToOwners: 'DoNotSend', customEmailAddresses: [], locale: 'en-US' };
/** The reference's name of the one that counts. */
export const alertSettingName = 'defaultAlertSetting';
const addressesMax = 20;

const vaultSettingName = 'default';
/** Without `vmwareToAzureProviderType`: Terraform takes a vault that has one for one of the classic kind, and refuses it. */
const defaultVaultSetting = { migrationSolutionId: '' };

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
  const { resources, database } = parts;
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
        ...(sent.vmwareToAzureProviderType === undefined
          ? {}
          : { vmwareToAzureProviderType: sent.vmwareToAzureProviderType }),
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
    const [raised, itemCount, counts, fabrics] = await Promise.all([
      conditions.raisedInVault(database, vaultId, conditionsMax),
      items.count(database, { vaultId }),
      items.countBy(database, vaultId, 'container_key'),
      sites.fabrics(vaultId),
    ]);
    const isOfItem = ({ id }: RaisedCondition) => /\/replicationProtectedItems\//i.test(id);
    const isOfVault = ({ id }: RaisedCondition) =>
      idKey(id) === idKey(vaultId) || /\/replicationJobs\//i.test(id);
    const ofItems = raised.filter(isOfItem);
    const ofFabrics = raised.filter((one) => !isOfItem(one) && !isOfVault(one));
    const containers = fabrics.flatMap((fabric) => containerOf(fabric) ?? []);
    const withItems = containers.filter(({ id }) => (counts.get(idKey(id)) ?? 0) > 0).length;
    return resourceView(childId(vaultId, 'replicationVaultHealth', 'default'), {
      vaultErrors: raised.filter(isOfVault).map(conditionError),
      protectedItemsHealth: {
        resourceCount: itemCount,
        issues: issuesOf(ofItems, 'ReplicationProtectedItem'),
        categorizedResourceCounts: categories(itemCount, ofItems, ({ id }) => idKey(id)),
      },
      fabricsHealth: {
        resourceCount: fabrics.length,
        issues: issuesOf(ofFabrics, 'Fabric'),
        categorizedResourceCounts: categories(fabrics.length, ofFabrics, ({ id }) =>
          idKey(id).split('/').slice(0, 11).join('/'),
        ),
      },
      containersHealth: {
        resourceCount: containers.length,
        issues: [],
        categorizedResourceCounts: { WithItems: withItems, Empty: containers.length - withItems },
      },
    });
  }
}

/** Of a vault of ten thousand items, each with one. */
const conditionsMax = 10_000;
/** Ids that are named with an issue; the count is in the text. */
const namedMax = 100;

/** One for each code, with how many it is about. */
function issuesOf(raised: readonly RaisedCondition[], affectedResourceType: string): unknown[] {
  return [...Map.groupBy(raised, ({ condition }) => condition.code)].map(([summaryCode, all]) => {
    const worst = all.find(({ condition }) => condition.severity === 'Critical') ?? all[0]!;
    const { category, severity, summary } = worst.condition;
    return {
      summaryCode,
      category,
      severity: severity === 'Critical' ? 'Error' : severity === 'Warning' ? 'Warning' : 'Info',
      summaryMessage: all.length === 1 ? summary : `${summary} (and ${all.length - 1} more)`,
      affectedResourceType,
      affectedResourceSubtype: '',
      affectedResourceCorrelationIds: all.slice(0, namedMax).map(({ id }) => id),
    };
  });
}

/** How many are how well; `objectOf`: what a condition counts for. */
function categories(
  count: number,
  raised: readonly RaisedCondition[],
  objectOf: (one: RaisedCondition) => string,
): Record<string, number> {
  const of = (severity: string) =>
    new Set(raised.filter(({ condition }) => condition.severity === severity).map(objectOf));
  const critical = of('Critical');
  const warned = new Set([...of('Warning')].filter((object) => !critical.has(object)));
  return {
    Normal: Math.max(0, count - critical.size - warned.size),
    Warning: warned.size,
    Critical: critical.size,
  };
}
