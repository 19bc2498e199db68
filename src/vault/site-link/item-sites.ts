/** Sites as far as protected items have to do with them: `ItemSites` of the workflows. */
import type { ProtectedItemId } from '../../model/ids.ts';
import { sealTo } from '../../platform/box.ts';
import type { Database } from '../../platform/mysql.ts';
import type { Random } from '../../platform/random.ts';
import { idKey } from '../../protocol/arm/resource-id.ts';
import type { ReportedMachine } from '../../protocol/control/site-link.ts';
import * as sites from '../store/sites.ts';
import { siteLinkErrors } from './errors.ts';

export class SitesOfItems {
  readonly #parts: {
    readonly database: Database;
    readonly random: Random;
    /** The item's key itself. */
    readonly itemKey: (itemId: ProtectedItemId) => Promise<Uint8Array>;
  };

  constructor(parts: {
    readonly database: Database;
    readonly random: Random;
    readonly itemKey: (itemId: ProtectedItemId) => Promise<Uint8Array>;
  }) {
    this.#parts = parts;
  }

  /** The site of a fabric; undefined: it has none (any more). */
  async siteOf(item: { readonly vaultId: string; readonly fabricName: string }): Promise<string | undefined> {
    return (await sites.byName(this.#parts.database, idKey(item.vaultId), item.fabricName))?.siteId;
  }

  machine(siteId: string, machineId: string): Promise<ReportedMachine | undefined> {
    return sites.machine(this.#parts.database, siteId, machineId);
  }

  /** For that site's eyes only, base64. Throws `SiteUnknown`. */
  async sealItemKey(siteId: string, itemId: ProtectedItemId): Promise<string> {
    const site = await sites.byId(this.#parts.database, siteId);
    if (!site) throw siteLinkErrors.SiteUnknown();
    const key = await this.#parts.itemKey(itemId);
    return sealTo(Buffer.from(site.boxPublicKey, 'base64'), key, this.#parts.random).toString('base64');
  }
}
