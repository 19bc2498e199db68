/**
 * What the nouns under a vault share: the parts they are made of, rows rendered as resources, and the start of jobs.
 *
 *     handler ─▶ validates ─▶ starts a job whose input is the whole intent ─▶ 202        (nothing is written before it)
 *             └▶ reads rows ─▶ renders                                    ─▶ 200
 *
 * Ids are always those of the rows (the case they were made in); what a request spells is only looked up.
 */
import type { ProtectedItemId } from '../../model/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Files } from '../../platform/files.ts';
import type { Database } from '../../platform/mysql.ts';
import type { Random } from '../../platform/random.ts';
import { resourceType } from '../../protocol/arm/resource-id.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { JobTarget, Json } from '../jobs/workflow.ts';
import type { PageRequest, Properties, Resource, Resources } from '../store/resources.ts';
import { errors } from './errors.ts';
import type { ArmAnswer, ArmRequest } from './operation.ts';
import { pageOf } from './paging.ts';

export interface NounParts {
  readonly database: Database;
  readonly resources: Resources;
  readonly jobs: Jobs;
  readonly clock: Clock;
  readonly random: Random;
  /** Of the replica store, by an item. */
  /** What rehearsals have kept as proof is in files. */
  readonly files?: Files;
  readonly usedBytes?: (itemId: ProtectedItemId) => Promise<number>;
}

/** Of a request under a vault; the router has seen to it that there is one. */
export const vaultOf = (request: ArmRequest): string => request.vaultId!;

/** The last segment of an id, or of anything that ends like one. */
export const lastName = (id: string): string => id.split('/').filter(Boolean).at(-1) ?? '';

/** The resource that an id is directly in. */
export const parentId = (id: string): string => id.split('/').slice(0, -2).join('/');

export function resourceView(id: string, properties: unknown): Record<string, unknown> {
  return { id, name: lastName(id), type: resourceType(id), properties };
}

export const rowView = (row: Resource): Record<string, unknown> => resourceView(row.id, row.properties);

export function notFound(id: string): Error {
  return errors.ResourceNotFound(resourceType(id), lastName(id), `'${parentId(id)}'`);
}

export async function mustGet(resources: Resources, id: string): Promise<Resource> {
  const row = await resources.get(id);
  if (row === undefined) throw notFound(id);
  return row;
}

/** A page of rows under a parent, rendered. */
export async function pageOfChildren(
  { resources }: Pick<NounParts, 'resources'>,
  request: ArmRequest,
  parent: string,
  collection: string,
  view: (row: Resource) => unknown = rowView,
): Promise<ArmAnswer> {
  const { resources: rows, next } = await resources.children(parent, collection, pageOf(request));
  return { page: rows.map(view), next };
}

/** A page of rows of a vault, whatever they lie in. */
export async function pageOfVault(
  { resources }: Pick<NounParts, 'resources'>,
  request: ArmRequest,
  collection: string,
  view: (row: Resource) => unknown = rowView,
): Promise<ArmAnswer> {
  const { resources: rows, next } = await resources.inVault(vaultOf(request), collection, pageOf(request));
  return { page: rows.map(view), next };
}

/** A page of what is whole in memory: few, and sorted. */
export function pageOfAll<T>(request: ArmRequest, all: readonly T[], view: (one: T) => unknown): ArmAnswer {
  const { limit, after } = pageOf(request);
  const from = Number(after ?? 0);
  const page = all.slice(from, from + limit);
  return { page: page.map(view), next: from + limit < all.length ? String(from + limit) : undefined };
}

/** All rows of a collection in a vault; for nouns of which a vault has some hundreds at most. */
export async function allInVault(
  resources: Resources,
  vaultId: string,
  collection: string,
): Promise<Resource[]> {
  return collect((page) => resources.inVault(vaultId, collection, page));
}
export async function allChildren(
  resources: Resources,
  parent: string,
  collection: string,
): Promise<Resource[]> {
  return collect((page) => resources.children(parent, collection, page));
}
async function collect(
  read: (page: PageRequest) => Promise<{ resources: readonly Resource[]; next: string | undefined }>,
): Promise<Resource[]> {
  const found: Resource[] = [];
  for (let after: string | undefined; ; ) {
    const page = await read({ limit: 500, after });
    found.push(...page.resources);
    if (page.next === undefined) return found;
    after = page.next;
  }
}

export async function startJob(
  { jobs }: Pick<NounParts, 'jobs'>,
  request: ArmRequest,
  workflow: string,
  target: JobTarget,
  input: unknown,
  /** Default: the target's id. */
  exclusiveKey?: string,
): Promise<{ jobId: string }> {
  const jobId = await jobs.start({
    workflow,
    // Undefined fields are no JSON: they go here and nowhere else.
    input: JSON.parse(JSON.stringify(input)) as Json,
    target,
    vaultId: vaultOf(request),
    requestedBy: request.principal.objectId,
    clientRequestId: request.clientRequestId,
    ...(exclusiveKey === undefined ? {} : { exclusiveKey }),
  });
  return { jobId };
}

/** A job that puts a row (`workflows/resource-changes.ts`). */
export function putRow(
  parts: Pick<NounParts, 'jobs'>,
  request: ArmRequest,
  noun: string,
  id: string,
  properties: Properties,
): Promise<{ jobId: string }> {
  return startJob(parts, request, `put-${noun}`, targetOf(id), { id, properties });
}

/** A job that deletes a row and what lies under it. */
export function deleteRow(
  parts: Pick<NounParts, 'jobs'>,
  request: ArmRequest,
  noun: string,
  id: string,
): Promise<{ jobId: string }> {
  return startJob(parts, request, `delete-${noun}`, targetOf(id), { id });
}

/** `Job.targetInstanceType` of the reference, by the last part of the type. */
const targetTypes: Readonly<Record<string, string>> = {
  replicationPolicies: 'ProtectionProfile',
  replicationFabrics: 'Fabric',
  replicationRecoveryServicesProviders: 'Provider',
  replicationProtectionContainers: 'ProtectionContainer',
  replicationProtectionContainerMappings: 'ProtectionContainerMapping',
  replicationProtectedItems: 'ProtectionEntity',
  replicationRecoveryPlans: 'RecoveryPlan',
  replicationvCenters: 'VCenter',
  replicationNetworkMappings: 'Network',
  replicationStorageClassificationMappings: 'StorageClassification',
};

export function targetOf(id: string, name = lastName(id)): JobTarget {
  const collection = id.split('/').at(-2) ?? '';
  return { id, name, type: targetTypes[collection] ?? 'Vault' };
}

/** Names that a client may give: they become parts of ids, files and links. */
export function checkName(name: string): void {
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9 ._()-]{0,148}[A-Za-z0-9_)])?$/.test(name))
    throw errors.InvalidRequestContent(
      `The name '${name}' is not valid: it has 1 to 150 letters, digits, spaces, hyphens, dots, underscores and round brackets, begins with a letter or digit and ends with neither a space nor a dot.`,
      'name',
    );
}

/** `body.properties`, or an empty object: what every PUT and most POSTs have. */
export function propertiesOf<T>(request: ArmRequest): T {
  return ((request.body as { properties?: T } | undefined)?.properties ?? {}) as T;
}
