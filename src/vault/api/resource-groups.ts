/**
 * Resource groups: names under which vaults lie, because every client of the reference has them in its paths. A group is made
 * by PUT or by the first vault in it; it has no other meaning here.
 */
import type { Clock } from '../../platform/clock.ts';
import { may } from '../access/access.ts';
import type { PageRequest, Properties, Resource, Resources } from '../store/resources.ts';
import { errors } from './errors.ts';
import type { ArmRequest, Handlers } from './operation.ts';
import { pageOf } from './paging.ts';

export interface ResourceGroupParts {
  readonly resources: Resources;
  readonly subscriptionId: string;
  readonly clock: Clock;
}

export const groupIdOf = (subscriptionId: string, name: string): string =>
  `/subscriptions/${subscriptionId}/resourceGroups/${name}`;

/** `West Europe` and `westeurope` are one location. */
export const plainLocation = (location: string): string => location.replaceAll(' ', '').toLowerCase();

/** A location is a name of one's own; it becomes part of paths. */
export function locationIn(sent: Properties): string {
  if (typeof sent.location !== 'string' || sent.location.trim() === '')
    throw errors.InvalidRequestContent('location: is required.', 'location');
  const location = plainLocation(sent.location);
  if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(location))
    throw errors.InvalidRequestContent(
      'location: 1 to 64 letters, digits, hyphens and underscores are expected, a letter or digit first; spaces do not count.',
      'location',
    );
  return location;
}

/** Groups are read whole where vaults are listed: a tenant has a handful, not thousands. */
const groupsMax = 1000;

export function resourceGroupHandlers(parts: ResourceGroupParts): Handlers {
  const { resources, subscriptionId } = parts;
  const find = async ({ parameters }: ArmRequest): Promise<Resource> => {
    const row = await resources.get(groupIdOf(subscriptionId, parameters.resourceGroupName!));
    if (row === undefined) throw errors.ResourceGroupNotFound(parameters.resourceGroupName!);
    return row;
  };
  return {
    'resourceGroups.list': async (request) => {
      const page = await groupsPage(parts, pageOf(request));
      return { page: page.resources.filter(visibleTo(request)).map(renderGroup), next: page.next };
    },
    'resourceGroups.get': async (request) => ({ body: renderGroup(await find(request)) }),
    'resourceGroups.checkExistence': async (request) => {
      await find(request);
      return { empty: true };
    },
    'resourceGroups.createOrUpdate': async (request) => {
      const name = request.parameters.resourceGroupName!;
      const sent = objectIn(request.body);
      const location = locationIn(sent);
      mustBeName(name);
      const known = await resources.get(groupIdOf(subscriptionId, name));
      if (known !== undefined && known.properties.location !== location)
        throw errors.InvalidResourceLocation(name, String(known.properties.location));
      const { resource, created } = await resources.put(known?.id ?? groupIdOf(subscriptionId, name), {
        location,
        tags: tagsIn(sent),
      });
      return { body: renderGroup(resource), created };
    },
    'resourceGroups.update': async (request) => {
      const sent = objectIn(request.body);
      const known = await find(request);
      const row = await resources.update(known.id, (before) => ({
        ...before,
        ...(sent.tags === undefined ? {} : { tags: tagsIn(sent) }),
      }));
      if (row === undefined) throw errors.ResourceGroupNotFound(request.parameters.resourceGroupName!);
      return { body: renderGroup(row) };
    },
    'resourceGroups.delete': async (request) => {
      const group = await find(request);
      const vaults = await resources.children(`${group.id}/providers/Microsoft.RecoveryServices`, 'vaults', {
        limit: 5,
      });
      if (vaults.resources.length > 0)
        throw errors.ResourceGroupNotEmpty(
          group.name,
          vaults.resources.map(({ name }) => name),
        );
      await resources.delete(group.id);
      return { body: undefined };
    },
  };
}

/** Whoever may read a group, or something in it, sees that it is there. */
const visibleTo =
  ({ principal }: ArmRequest) =>
  ({ id }: Resource): boolean =>
    may(principal, 'Microsoft.Resources/subscriptions/resourceGroups/read', id) ||
    principal.roles.some(({ scope }) => `${scope.toLowerCase()}/`.startsWith(`${id.toLowerCase()}/`));

/** A group comes with the first vault in it. */
export async function ensureGroup(parts: ResourceGroupParts, name: string, location: string): Promise<void> {
  const id = groupIdOf(parts.subscriptionId, name);
  if ((await parts.resources.get(id)) !== undefined) return;
  mustBeName(name);
  await parts.resources.put(id, { location, tags: {} });
}

export async function listGroups(
  parts: Pick<ResourceGroupParts, 'resources' | 'subscriptionId'>,
): Promise<readonly Resource[]> {
  return (await groupsPage(parts, { limit: groupsMax })).resources;
}

const groupsPage = (
  { resources, subscriptionId }: Pick<ResourceGroupParts, 'resources' | 'subscriptionId'>,
  page: PageRequest,
) => resources.children(`/subscriptions/${subscriptionId}`, 'resourceGroups', page);

function mustBeName(name: string): void {
  // As the reference's: up to 90 letters, digits, underscores, hyphens, parentheses and points, no point at the end.
  if (!/^[\p{L}\p{N}_().-]{1,90}$/u.test(name) || name.endsWith('.'))
    throw errors.InvalidResourceName(
      name,
      'a resource group’s name has up to 90 letters, digits, underscores, hyphens, parentheses and points, and does not end with a point',
    );
}

function renderGroup(row: Resource): Properties {
  return {
    id: row.id,
    name: row.name,
    type: 'Microsoft.Resources/resourceGroups',
    location: row.properties.location,
    tags: row.properties.tags ?? {},
    properties: { provisioningState: 'Succeeded' },
  };
}

function objectIn(body: unknown): Properties {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw errors.InvalidRequestContent('The body of the request is not an object.');
  return body as Properties;
}

/** The reference's limits. */
const tagsMax = 50;
const tagNameMax = 512;
const tagValueMax = 256;

/** Texts by name; none where nothing is said of them. */
export function tagsIn(sent: Properties): Properties {
  const tags = sent.tags ?? {};
  if (
    typeof tags !== 'object' ||
    tags === null ||
    Object.values(tags).some((value) => typeof value !== 'string')
  )
    throw errors.InvalidRequestContent('tags: texts by name are expected.', 'tags');
  const entries = Object.entries(tags as Record<string, string>);
  if (
    entries.length > tagsMax ||
    entries.some(([name, value]) => name === '' || name.length > tagNameMax || value.length > tagValueMax)
  )
    throw errors.InvalidRequestContent(
      `tags: at most ${tagsMax} are kept, with names of up to ${tagNameMax} and values of up to ${tagValueMax} characters.`,
      'tags',
    );
  return tags as Properties;
}
