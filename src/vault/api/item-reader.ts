/** Protected items found by the request's path, and a page of them rendered with as few queries as there are kinds of facts. */
import { childId, idKey } from '../../protocol/arm/resource-id.ts';
import * as conditions from '../store/conditions.ts';
import { itemFacts, machineFacts, processServerNames } from '../store/item-facts.ts';
import * as items from '../store/protected-items.ts';
import { providerIdOf } from './fabrics.ts';
import { type ItemSurroundings, itemView } from './item-view.ts';
import { type NounParts, notFound, vaultOf } from './noun.ts';
import type { ArmRequest } from './operation.ts';
import { type Fabric, SiteReader } from './site-reader.ts';

export class ItemReader {
  readonly #parts: NounParts;
  readonly #sites: SiteReader;

  constructor(parts: NounParts) {
    this.#parts = parts;
    this.#sites = new SiteReader(parts);
  }

  /** Of a page: each kind of fact is asked for once. */
  async views(found: readonly items.ItemResource[]): Promise<unknown[]> {
    const { database, clock } = this.#parts;
    const [facts, machines, servers, raised] = await Promise.all([
      itemFacts(
        database,
        found.flatMap(({ itemId }) => itemId ?? []),
      ),
      machineFacts(
        database,
        found.map(({ machineId }) => machineId),
      ),
      processServerNames(
        database,
        found.map(({ processServerId }) => processServerId),
      ),
      conditions.raisedOf(
        database,
        found.map(({ id }) => id),
      ),
    ]);
    // A page's items are of few fabrics.
    const fabrics = new Map<string, Fabric | undefined>();
    for (const { vaultId, fabricName } of found) {
      const key = `${vaultId}/${fabricName}`;
      if (!fabrics.has(key)) fabrics.set(key, await this.#sites.findFabric(vaultId, fabricName));
    }
    return found.map((item) => {
      const fabric = fabrics.get(`${item.vaultId}/${item.fabricName}`);
      const around: ItemSurroundings = {
        facts: item.itemId && facts.get(item.itemId),
        machine: machines.get(item.machineId),
        processServerName: servers.get(item.processServerId),
        providerId: fabric && providerIdOf(fabric),
        fabricInstanceType: fabric?.instanceType ?? 'VMware',
        raised: raised.get(idKey(item.id)) ?? [],
        now: clock.now(),
      };
      return itemView(item, around);
    });
  }

  /** The item that the request's path names. Throws `ResourceNotFound`. */
  async item(request: ArmRequest): Promise<items.ItemResource> {
    const id = await this.itemId(request);
    const item = await items.byId(this.#parts.database, id);
    if (item === undefined) throw notFound(id);
    return item;
  }

  /** In the case of the fabric that it is in. Throws `ResourceNotFound` for fabric and container. */
  async itemId(request: ArmRequest): Promise<string> {
    const { fabricName, protectionContainerName, replicatedProtectedItemName } = request.parameters;
    const container = await this.#sites.container(vaultOf(request), fabricName!, protectionContainerName!);
    return childId(container.id, 'replicationProtectedItems', replicatedProtectedItemName!);
  }
}
