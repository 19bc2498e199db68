/**
 * Vaults that were deleted and can come back: what lay in them (policies, settings, names of networks …) is kept in one row until
 * `purgeAt`. Protected machines cannot be among it: a vault that has any is not deleted.
 *
 *     DELETE vault ─▶ deletedVaults/{guid} ─┬─ undelete, to a resource group ─▶ vault again
 *                                           └─ 14 days ─▶ gone
 */
import type { Clock } from '../../platform/clock.ts';
import type { Properties, Resource, Resources } from '../store/resources.ts';
import { errors } from './errors.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';
import { ensureGroup, groupIdOf, plainLocation } from './resource-groups.ts';
import { deletedVaultId, type VaultParts } from './vaults.ts';

interface Kept {
  readonly id: string;
  readonly properties: Properties;
}

export function deletedVaultHandlers(parts: VaultParts): Handlers {
  const { resources, clock } = parts;
  const find = async ({ parameters }: ArmRequest): Promise<Resource> => {
    const row = await resources.get(
      deletedVaultId(parts, parameters.location!, parameters.deletedVaultName!),
    );
    if (row === undefined || isOver(row, clock)) throw unknown(parameters);
    return row;
  };
  const findDeleted = async (request: ArmRequest): Promise<Resource> => {
    const row = await find(request);
    if (row.properties.operation !== undefined) throw unknown(request.parameters);
    return row;
  };
  return {
    'deletedVaults.listBySubscriptionId': async (request) => {
      const parent = locationId(parts, request.parameters.location!);
      await purge(parts, parent);
      const page = await resources.children(parent, 'deletedVaults', pageOf(request));
      return {
        page: page.resources.filter((row) => row.properties.operation === undefined).map(renderDeleted),
        next: page.next,
      };
    },
    'deletedVaults.get': async (request) => ({ body: renderDeleted(await findDeleted(request)) }),
    'deletedVaults.undelete': async (request) => {
      const row = await findDeleted(request);
      const { properties } = request.body as { properties: { recoveryResourceGroupId: string } };
      const wanted = properties.recoveryResourceGroupId;
      const match = /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/?$/i.exec(wanted);
      if (!match)
        throw errors.InvalidRequestContent(
          'properties.recoveryResourceGroupId: the id of a resource group is expected.',
          'properties.recoveryResourceGroupId',
        );
      if (match[1]!.toLowerCase() !== parts.subscriptionId.toLowerCase())
        throw errors.SubscriptionNotFound(match[1]!);
      const before = String(row.properties.vaultId);
      const name = before.split('/').at(-1)!;
      await ensureGroup(parts, match[2]!, request.parameters.location!);
      const group = await resources.get(groupIdOf(parts.subscriptionId, match[2]!));
      const after = `${group!.id}/providers/Microsoft.RecoveryServices/vaults/${name}`;
      if ((await resources.get(after)) !== undefined) throw errors.VaultNameInUse(name);
      // What lies in it first: a vault that is there is whole.
      for (const kept of (row.properties.kept as readonly Kept[]).toReversed())
        await resources.put(
          moved(kept.id, before, after),
          JSON.parse(moved(JSON.stringify(kept.properties), before, after)) as Properties,
        );
      const operationId = parts.random.uuid();
      const at = new Date(clock.now()).toISOString();
      await resources.update(row.id, ({ kept: _, ...rest }) => ({
        ...rest,
        operation: { operationId, startTime: at, endTime: at },
      }));
      const path = `${encodeURI(row.id)}/operations/${operationId}`;
      return { accepted: { statusPath: path, resultPath: path } };
    },
    'deletedVaults.getOperationStatus': async (request) => {
      const row = await find(request);
      const operation = row.properties.operation as
        | { readonly operationId: string; readonly startTime: string; readonly endTime: string }
        | undefined;
      const { operationId } = request.parameters;
      if (operation?.operationId.toLowerCase() !== operationId!.toLowerCase())
        throw errors.OperationNotFound(operationId!);
      return {
        body: {
          id: `${row.id}/operations/${operation.operationId}`,
          name: operation.operationId,
          status: 'Succeeded',
          startTime: operation.startTime,
          endTime: operation.endTime,
        },
      };
    },
  };
}

/** Removes what is kept no longer. */
async function purge({ resources, clock }: { resources: Resources; clock: Clock }, parent: string) {
  const page = await resources.children(parent, 'deletedVaults', { limit: 1000 });
  for (const row of page.resources) if (isOver(row, clock)) await resources.delete(row.id);
}

const isOver = (row: Resource, clock: Clock): boolean =>
  Date.parse(String(row.properties.purgeAt)) <= clock.now();

const locationId = (parts: VaultParts, location: string): string =>
  deletedVaultId(parts, plainLocation(location), 'x').split('/').slice(0, -2).join('/');

const renderDeleted = (row: Resource) => ({
  id: row.id,
  name: row.name,
  type: row.type,
  properties: {
    vaultId: row.properties.vaultId,
    vaultDeletionTime: row.properties.vaultDeletionTime,
    purgeAt: row.properties.purgeAt,
  },
});

const unknown = (parameters: Readonly<Record<string, string>>) =>
  errors.ResourceNotFound(
    'Microsoft.RecoveryServices/locations/deletedVaults',
    parameters.deletedVaultName!,
    `location '${parameters.location}'`,
  );

/** Ids in a text, from one vault to the other, in whatever case. */
function moved(text: string, before: string, after: string): string {
  const literal = before.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return text.replace(new RegExp(`${literal}(?=[/"]|$)`, 'gi'), () => after);
}
