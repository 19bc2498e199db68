/**
 * Vaults: the resource that everything else lies in. Made at once (there is nothing to wait for), given back as they were
 * sent, with what this product does by itself filled in where a client said nothing.
 *
 *     PUT ─▶ row ─▶ in use ─▶ DELETE ─┬─▶ kept 14 days under deletedVaults ─▶ undelete ─▶ row
 *                                     └─▶ gone (soft delete disabled)
 *
 * Promises: a vault with protected machines, plans or sites in it is not deleted, and the refusal names them. What this product
 * cannot keep (customer-managed keys, immutability, private endpoints) is refused when it is asked for, not accepted and forgotten.
 */
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { idKey } from '../../protocol/arm/resource-id.ts';
import { may } from '../access/access.ts';
import type { Principal } from '../access/principal.ts';
import { pageMax } from '../limits.ts';
import type { PageRequest, Properties, Resource, Resources } from '../store/resources.ts';
import { errors } from './errors.ts';
import type { ArmAnswer, ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';
import { ensureGroup, groupIdOf, listGroups, locationIn, plainLocation, tagsIn } from './resource-groups.ts';

export interface VaultParts {
  readonly resources: Resources;
  readonly subscriptionId: string;
  readonly tenantId: string;
  readonly clock: Clock;
  readonly random: Random;
  /** What keeps a vault from being deleted, in words: `protected item web`; at most a handful is asked for. */
  readonly occupants: (vaultId: string, max: number) => Promise<readonly string[]>;
}

/** What is kept of a vault; `properties` as the client sent them. */
interface VaultRecord extends Properties {
  readonly location: string;
  readonly tags?: Properties;
  readonly sku: Properties;
  readonly identity?: Properties;
  readonly properties: Properties;
  readonly systemData: Properties;
}

/** Named in a refusal; the list itself is a click away. */
const occupantsNamedMax = 5;
/** As the reference's default, and its least. */
const softDeleteDays = 14;
const softDeleteDaysMax = 180;

/** Soft delete that nobody can take away any more, as the reference gives it to every new vault. */
const alwaysOn = 'AlwaysON';
const softDeleteStates: readonly string[] = ['Enabled', 'Disabled', alwaysOn];

/** What holds where a client says nothing. Monitoring is missing on purpose: the reference says of it only what was sent. */
const defaults: Properties = {
  provisioningState: 'Succeeded',
  privateEndpointStateForBackup: 'None',
  privateEndpointStateForSiteRecovery: 'None',
  publicNetworkAccess: 'Enabled',
  restoreSettings: { crossSubscriptionRestoreSettings: { crossSubscriptionRestoreState: 'Enabled' } },
  redundancySettings: { standardTierStorageRedundancy: 'LocallyRedundant', crossRegionRestore: 'Disabled' },
  securitySettings: {
    softDeleteSettings: {
      softDeleteState: alwaysOn,
      softDeleteRetentionPeriodInDays: softDeleteDays,
      enhancedSecurityState: 'Enabled',
    },
    multiUserAuthorization: 'Disabled',
  },
};

export function vaultHandlers(parts: VaultParts): Handlers {
  const { resources } = parts;

  const find = async (request: ArmRequest): Promise<Resource> => {
    const row = await resources.get(request.vaultId!);
    if (row === undefined) throw unknownVault(request);
    return row;
  };

  const createOrUpdate = async (request: ArmRequest) => {
    const sent = request.body as Properties;
    const name = request.parameters.vaultName!;
    if (!/^[A-Za-z][A-Za-z0-9-]{1,49}$/.test(name))
      throw errors.InvalidResourceName(
        name,
        'a vault’s name has 2 to 50 letters, digits and hyphens, and begins with a letter',
      );
    const location = locationIn(sent);
    const known = await resources.get(request.vaultId!);
    if (known !== undefined) {
      const { location: before } = known.properties as VaultRecord;
      if (before !== location) throw errors.InvalidResourceLocation(name, before);
      mustMatch(sent, known);
    }
    const record: VaultRecord = {
      location,
      tags: tagsIn(sent),
      sku: skuIn(sent) ?? { name: 'RS0', tier: 'Standard' },
      ...identityOf(sent.identity as Properties | undefined, known, parts),
      properties: kept(sent.properties as Properties | undefined, known),
      systemData: stamped(known, request.principal, parts.clock),
    };
    await ensureGroup(parts, request.parameters.resourceGroupName!, location);
    const group = await resources.get(groupIdOf(parts.subscriptionId, request.parameters.resourceGroupName!));
    // In the case in which its group was made: one case for all that lies in it.
    const id = known?.id ?? `${group!.id}/providers/Microsoft.RecoveryServices/vaults/${name}`;
    const { resource, created } = await resources.put(id, record);
    return { body: renderVault(resource), created };
  };

  const update = async (request: ArmRequest) => {
    const sent = request.body as Properties;
    const known = await find(request);
    mustMatch(sent, known);
    const changed = await resources.update(known.id, (before) => {
      const record = before as VaultRecord;
      return {
        ...record,
        ...(sent.tags === undefined ? {} : { tags: tagsIn(sent) }),
        ...(sent.sku === undefined ? {} : { sku: skuIn(sent) }),
        ...(sent.identity === undefined ? {} : identityOf(sent.identity as Properties, known, parts)),
        properties: kept(
          merged(record.properties ?? {}, (sent.properties as Properties | undefined) ?? {}),
          known,
        ),
        systemData: stamped(known, request.principal, parts.clock),
      };
    });
    if (changed === undefined) throw unknownVault(request);
    return { body: renderVault(changed) };
  };

  const removing = new Map<string, Promise<ArmAnswer>>();
  /** Two who delete the same vault at once keep one copy of it, and that the whole one. */
  const remove = (request: ArmRequest): Promise<ArmAnswer> => {
    const key = idKey(request.vaultId!);
    const underWay = removing.get(key);
    if (underWay !== undefined) return underWay;
    const done = removeOnce(request).finally(() => removing.delete(key));
    removing.set(key, done);
    return done;
  };
  const removeOnce = async (request: ArmRequest): Promise<ArmAnswer> => {
    const row = await resources.get(request.vaultId!);
    if (row === undefined) return { empty: true } as const;
    const occupants = await parts.occupants(row.id, occupantsNamedMax + 1);
    if (occupants.length > 0)
      throw errors.VaultNotEmpty(
        row.name,
        occupants.slice(0, occupantsNamedMax),
        occupants.length > occupantsNamedMax,
      );
    const soft = softDeleteOf(row);
    if (soft.softDeleteState !== 'Disabled') {
      const now = parts.clock.now();
      const days = Number(soft.softDeleteRetentionPeriodInDays ?? softDeleteDays);
      // Kept first and removed after: what a crash leaves is a vault that is still there, and deleted once more.
      await resources.put(
        deletedVaultId(parts, (row.properties as VaultRecord).location, parts.random.uuid()),
        {
          vaultId: row.id,
          vaultDeletionTime: new Date(now).toISOString(),
          purgeAt: new Date(now + days * 86_400_000).toISOString(),
          kept: [row, ...(await resources.descendants(row.id))].map(({ id, properties }) => ({
            id,
            properties,
          })),
        },
      );
    }
    await resources.deleteTree(row.id);
    return { empty: true } as const;
  };

  /** The backup service's name for the same setting. */
  const configure = async (request: ArmRequest) => {
    const known = await find(request);
    const { softDeleteFeatureState } = ((request.body as Properties | undefined)?.properties ??
      {}) as Properties;
    const changed = await resources.update(known.id, (before) => {
      const record = before as VaultRecord;
      const asked =
        softDeleteFeatureState === undefined
          ? {}
          : { securitySettings: { softDeleteSettings: { softDeleteState: softDeleteFeatureState } } };
      return {
        ...record,
        properties: kept(merged(record.properties ?? {}, asked), known),
        systemData: stamped(known, request.principal, parts.clock),
      };
    });
    if (changed === undefined) throw unknownVault(request);
    return { body: backupConfig(changed) };
  };

  return {
    'vaults.createOrUpdate': createOrUpdate,
    'vaults.update': update,
    'vaults.delete': remove,
    'vaults.get': async (request) => ({ body: renderVault(await find(request)) }),
    'vaults.listByResourceGroup': async (request) => {
      const group = await resources.get(
        groupIdOf(parts.subscriptionId, request.parameters.resourceGroupName!),
      );
      if (group === undefined) throw errors.ResourceGroupNotFound(request.parameters.resourceGroupName!);
      const page = await vaultsIn(resources, group.id, pageOf(request));
      return { page: page.resources.filter(visibleTo(request)).map(renderVault), next: page.next };
    },
    'vaults.listBySubscriptionId': async (request) => {
      const page = await listVaults(parts, pageOf(request));
      return { page: page.resources.filter(visibleTo(request)).map(renderVault), next: page.next };
    },
    'backupResourceVaultConfigs.get': async (request) => ({ body: backupConfig(await find(request)) }),
    'backupResourceVaultConfigs.put': configure,
    'backupResourceVaultConfigs.update': configure,
    // Nothing is backed up in a vault that replicates.
    'backupProtectedItems.list': async (request) => {
      await find(request);
      return { page: [] };
    },
    'resources.list': (request) => listedResources(parts, request),
    'resources.listByResourceGroup': async (request) => {
      const name = request.parameters.resourceGroupName!;
      if ((await resources.get(groupIdOf(parts.subscriptionId, name))) === undefined)
        throw errors.ResourceGroupNotFound(name);
      return listedResources(parts, request, name);
    },
  };
}

/** Lists are answered to whoever may see one of the vaults, cut to what he may see. */
const visibleTo =
  ({ principal }: ArmRequest) =>
  ({ id }: Resource): boolean =>
    may(principal, 'Microsoft.RecoveryServices/vaults/read', id);

/** All resources that this vault has at the level of a resource group: its vaults. */
async function listedResources(parts: VaultParts, request: ArmRequest, group?: string) {
  const page = await listVaults(parts, pageOf(request));
  // `$filter=resourceType eq '…'` of a type that there is not: nothing.
  const type = /resourceType\s+eq\s+'([^']+)'/i.exec(request.query.get('$filter') ?? '')?.[1];
  return {
    page: page.resources
      .filter(visibleTo(request))
      .filter(
        (row) =>
          (group === undefined || row.id.split('/')[4]!.toLowerCase() === group.toLowerCase()) &&
          (type === undefined || row.type.toLowerCase() === type.toLowerCase()),
      )
      .map((row) => {
        const { properties: _, systemData: __, etag: ___, ...outside } = renderVault(row);
        return outside;
      }),
    next: page.next,
  };
}

/** All vaults, group by group; the token names the group and the place in it. */
export async function listVaults(
  parts: Pick<VaultParts, 'resources' | 'subscriptionId'>,
  { limit, after }: PageRequest,
): Promise<{ readonly resources: readonly Resource[]; readonly next: string | undefined }> {
  const [startGroup, startVault] = (after ?? '').split(' ');
  const found: Resource[] = [];
  let reached = startGroup === '' || startGroup === undefined;
  for (const group of await listGroups(parts)) {
    const isStart = idKey(group.name) === startGroup;
    if (!reached && !isStart) continue;
    const page = await vaultsIn(parts.resources, group.id, {
      limit: limit - found.length,
      after: isStart && !reached ? startVault || undefined : undefined,
    });
    reached = true;
    found.push(...page.resources);
    if (page.next !== undefined) return { resources: found, next: `${idKey(group.name)} ${page.next}` };
    if (found.length >= limit) {
      // The next group begins the next page; an empty last page does no harm.
      const groups = await listGroups(parts);
      const following = groups[groups.findIndex(({ id }) => id === group.id) + 1];
      return { resources: found, next: following === undefined ? undefined : `${idKey(following.name)} ` };
    }
  }
  return { resources: found, next: undefined };
}

const vaultsIn = (resources: Resources, groupId: string, page: PageRequest) =>
  resources.children(`${groupId}/providers/Microsoft.RecoveryServices`, 'vaults', {
    ...page,
    limit: Math.min(Math.max(page.limit, 1), pageMax),
  });

export function renderVault(
  row: Resource,
): Readonly<Record<string, unknown>> & { readonly properties: Properties } {
  const record = row.properties as VaultRecord;
  return {
    id: row.id,
    name: row.name,
    type: row.type,
    location: record.location,
    etag: etagOf(row),
    tags: record.tags ?? {},
    sku: record.sku,
    ...(record.identity === undefined ? {} : { identity: record.identity }),
    systemData: record.systemData,
    properties: merged(defaults, record.properties ?? {}),
  };
}

const softDeleteOf = (row: Resource): Properties =>
  at(renderVault(row).properties, 'securitySettings', 'softDeleteSettings') ?? {};

function backupConfig(row: Resource): Properties {
  const soft = softDeleteOf(row);
  return {
    id: `${row.id}/backupconfig/vaultconfig`,
    name: 'vaultconfig',
    type: 'Microsoft.RecoveryServices/vaults/backupconfig',
    properties: {
      enhancedSecurityState: 'Enabled',
      softDeleteFeatureState: soft.softDeleteState,
      softDeleteRetentionPeriodInDays: soft.softDeleteRetentionPeriodInDays,
    },
  };
}

export const deletedVaultId = (
  { subscriptionId }: Pick<VaultParts, 'subscriptionId'>,
  location: string,
  name: string,
): string =>
  `/subscriptions/${subscriptionId}/providers/Microsoft.RecoveryServices/locations/${plainLocation(location)}/deletedVaults/${name}`;

export const etagOf = (row: Resource): string => `W/"${row.revision}-${Date.parse(row.changedAt)}"`;

function mustMatch(sent: Properties, known: Resource): void {
  if (typeof sent.etag === 'string' && sent.etag !== '' && sent.etag !== etagOf(known))
    throw errors.PreconditionFailed(known.name);
}

function unknownVault({ parameters }: ArmRequest) {
  return errors.ResourceNotFound(
    'Microsoft.RecoveryServices/vaults',
    parameters.vaultName ?? parameters.resourceName ?? '',
    `resource group '${parameters.resourceGroupName}'`,
  );
}

/** The reference has two names for the one kind there is. */
function skuIn({ sku }: Properties): Properties | undefined {
  const name = (sku as Properties | undefined)?.name;
  if (name !== undefined && name !== 'Standard' && name !== 'RS0')
    throw errors.InvalidRequestContent(
      `sku.name: '${String(name)}' is not known; known: Standard, RS0.`,
      'sku.name',
    );
  return sku as Properties | undefined;
}

/** What is written down of what was sent: nothing that this product says itself, nothing that it cannot keep. */
function kept(sent: Properties = {}, known?: Resource): Properties {
  const { provisioningState: _, ...rest } = sent;
  const before = known === undefined ? undefined : softDeleteOf(known).softDeleteState;
  const wanted = at(rest, 'securitySettings', 'softDeleteSettings')?.softDeleteState;
  if (wanted !== undefined && !softDeleteStates.includes(String(wanted)))
    throw errors.InvalidRequestContent(
      `properties.securitySettings.softDeleteSettings.softDeleteState: '${String(wanted)}' is not known; known: ${softDeleteStates.join(', ')}.`,
      'properties.securitySettings.softDeleteSettings.softDeleteState',
    );
  if (before === alwaysOn && wanted === 'Disabled') throw errors.SoftDeleteAlwaysOn(known!.name);
  const days = at(rest, 'securitySettings', 'softDeleteSettings')?.softDeleteRetentionPeriodInDays;
  if (days !== undefined && (Number(days) < softDeleteDays || Number(days) > softDeleteDaysMax))
    throw errors.InvalidRequestContent(
      `properties.securitySettings.softDeleteSettings.softDeleteRetentionPeriodInDays: ${String(days)} is not from ${softDeleteDays} to ${softDeleteDaysMax}.`,
      'properties.securitySettings.softDeleteSettings.softDeleteRetentionPeriodInDays',
    );
  const refuse = (target: string, what: string, action: string): never => {
    throw errors.OperationNotSupported(
      `${target}: ${what}`,
      'The client asks for a protection that only a public cloud has.',
      action,
    );
  };
  if (at(rest, 'encryption', 'keyVaultProperties')?.keyUri !== undefined)
    refuse(
      'properties.encryption.keyVaultProperties',
      'a vault of this product encrypts with item keys of its own, not with a key vault.',
      'Leave encryption out; items are encrypted end to end without it.',
    );
  const immutability = at(rest, 'securitySettings', 'immutabilitySettings')?.state;
  if (immutability !== undefined && immutability !== 'Disabled')
    refuse(
      'properties.securitySettings.immutabilitySettings.state',
      `immutability ${String(immutability)} is not offered.`,
      'Use Disabled; lock single recovery points instead.',
    );
  if (rest.publicNetworkAccess !== undefined && rest.publicNetworkAccess !== 'Enabled')
    refuse(
      'properties.publicNetworkAccess',
      'who may reach the vault is decided by the machine it runs on.',
      'Use Enabled, and limit access with the firewall of the machine.',
    );
  const softDeleteState = before === alwaysOn ? alwaysOn : (wanted ?? before ?? alwaysOn);
  return merged(rest, { securitySettings: { softDeleteSettings: { softDeleteState } } });
}

function identityOf(
  sent: Properties | undefined,
  known: Resource | undefined,
  parts: Pick<VaultParts, 'random' | 'tenantId'>,
): { readonly identity?: Properties } {
  const type = sent?.type;
  if (type === undefined || type === 'None') return sent === undefined ? {} : { identity: { type: 'None' } };
  if (type !== 'SystemAssigned')
    throw errors.OperationNotSupported(
      `identity.type: ${String(type)} is not offered, only SystemAssigned and None.`,
      'User-assigned identities belong to a directory that this vault does not have.',
      'Use SystemAssigned or None.',
    );
  const before = known?.properties.identity as Properties | undefined;
  return {
    identity: {
      type,
      principalId: before?.principalId ?? parts.random.uuid(),
      tenantId: parts.tenantId,
    },
  };
}

/** Who made it and who changed it last. */
export function stamped(
  known: Resource | undefined,
  { displayName, applicationId }: Principal,
  clock: Clock,
) {
  const now = new Date(clock.now()).toISOString();
  const by = displayName;
  const type = applicationId === undefined ? 'User' : 'Application';
  const before = known?.properties.systemData as Properties | undefined;
  return {
    createdBy: before?.createdBy ?? by,
    createdByType: before?.createdByType ?? type,
    createdAt: before?.createdAt ?? now,
    lastModifiedBy: by,
    lastModifiedByType: type,
    lastModifiedAt: now,
  };
}

/** `over` wins; objects are merged, everything else is replaced. */
export function merged(under: Properties, over: Properties): Properties {
  const result: Record<string, unknown> = { ...under };
  for (const [name, value] of Object.entries(over)) {
    const before = result[name];
    result[name] = isObject(before) && isObject(value) ? merged(before, value) : value;
  }
  return result;
}

const isObject = (value: unknown): value is Properties =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object at the end of a path of names; undefined where one is missing. */
function at(value: Properties, ...names: readonly string[]): Properties | undefined {
  let found: unknown = value;
  for (const name of names) found = isObject(found) ? found[name] : undefined;
  return isObject(found) ? found : undefined;
}
