/**
 * Fabrics as the API's nouns see them: a row that a client put, a site that registered, or both under one name. A site needs
 * no row: it appears as a fabric of the kind `VMware`, and as the kind of the row when a client had put one before.
 *
 *     rows (replicationFabrics) ─┐
 *                                ├─▶ Fabric ─▶ one protection container, one provider
 *     sites (configuration server)┘
 *
 * What the site says of itself (process servers, machines) is read from its last report.
 */
import type { Database } from '../../platform/mysql.ts';
import { childId, idKey, resourceType } from '../../protocol/arm/resource-id.ts';
import type { ReportedMachine, ReportedProcessServer } from '../../protocol/control/site-link.ts';
import type { Resource, Resources } from '../store/resources.ts';
import * as sites from '../store/sites.ts';
import { errors } from './errors.ts';
import { allInVault, lastName } from './noun.ts';

export interface Fabric {
  readonly id: string;
  readonly name: string;
  readonly vaultId: string;
  /** `FabricSpecificDetails.instanceType`. */
  readonly instanceType: string;
  readonly row: Resource | undefined;
  readonly site: sites.Site | undefined;
}

export interface Container {
  readonly id: string;
  readonly name: string;
  readonly fabric: Fabric;
}

/** A site that is not heard of for so long is not there: the reference's figure for its servers. */
export const silentMilliseconds = 15 * 60_000;

export class SiteReader {
  readonly #database: Database;
  readonly #resources: Resources;

  constructor(parts: { readonly database: Database; readonly resources: Resources }) {
    this.#database = parts.database;
    this.#resources = parts.resources;
  }

  /** By name. A vault has some fabrics, not thousands. */
  async fabrics(vaultId: string): Promise<Fabric[]> {
    const rows = await allInVault(this.#resources, vaultId, 'replicationFabrics');
    const registered = await sites.list(this.#database, idKey(vaultId));
    const names = new Map<string, { row?: Resource; site?: sites.Site }>();
    for (const row of rows) names.set(row.name.toLowerCase(), { row });
    for (const site of registered) {
      const key = site.fabricName.toLowerCase();
      names.set(key, { ...names.get(key), site });
    }
    return [...names.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { row, site }]) => toFabric(vaultId, row, site)!);
  }

  async findFabric(vaultId: string, name: string): Promise<Fabric | undefined> {
    const [row, site] = await Promise.all([
      this.#resources.get(childId(vaultId, 'replicationFabrics', name)),
      sites.byName(this.#database, idKey(vaultId), name),
    ]);
    return toFabric(vaultId, row, site);
  }

  /** Throws `ResourceNotFound`. */
  async fabric(vaultId: string, name: string): Promise<Fabric> {
    const found = await this.findFabric(vaultId, name);
    if (found === undefined)
      throw errors.ResourceNotFound(
        resourceType(childId(vaultId, 'replicationFabrics', name)),
        name,
        `'${vaultId}'`,
      );
    return found;
  }

  /** The fabric's one container. Throws `ResourceNotFound` for another name. */
  async container(vaultId: string, fabricName: string, name: string): Promise<Container> {
    const fabric = await this.fabric(vaultId, fabricName);
    const own = containerOf(fabric);
    if (own === undefined || own.name.toLowerCase() !== name.toLowerCase())
      throw errors.ResourceNotFound(
        'Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers',
        name,
        `'${fabric.id}'`,
      );
    return own;
  }

  async processServers(fabric: Fabric): Promise<ReportedProcessServer[]> {
    return fabric.site === undefined ? [] : sites.listProcessServers(this.#database, fabric.site.siteId);
  }

  /** By name, those after `after`. */
  async machines(
    fabric: Fabric,
    page: { readonly limit: number; readonly after?: { name: string; machineId: string } | undefined },
  ): Promise<ReportedMachine[]> {
    if (fabric.site === undefined) return [];
    return sites.listMachines(this.#database, fabric.site.siteId, {
      limit: page.limit,
      ...(page.after === undefined ? {} : { after: page.after }),
    });
  }

  async machine(fabric: Fabric, machineId: string): Promise<ReportedMachine | undefined> {
    return fabric.site === undefined
      ? undefined
      : sites.machine(this.#database, fabric.site.siteId, machineId.toLowerCase());
  }
}

/** A fabric of machines has exactly one container, which nobody makes or removes. `Azure` fabrics are targets: none. */
export function containerOf(fabric: Fabric): Container | undefined {
  if (fabric.instanceType === 'Azure') return undefined;
  const name = `${fabric.name}-container`;
  return { id: childId(fabric.id, 'replicationProtectionContainers', name), name, fabric };
}

/** The fabric's part of an id below it. */
export function fabricNameOf(id: string): string {
  return id.split('/')[10] ?? '';
}

function toFabric(
  vaultId: string,
  row: Resource | undefined,
  site: sites.Site | undefined,
): Fabric | undefined {
  if (row === undefined && site === undefined) return undefined;
  const id = row?.id ?? childId(vaultId, 'replicationFabrics', site!.fabricName);
  const details = row?.properties.customDetails as { instanceType?: string } | undefined;
  return {
    id,
    name: lastName(id),
    vaultId,
    instanceType: details?.instanceType ?? 'VMware',
    row,
    site,
  };
}
