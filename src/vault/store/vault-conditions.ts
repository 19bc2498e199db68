/** How all items of a vault are, in one query: for the vault's health, which counts thousands. */
import type { Session } from '../../platform/mysql.ts';
import { idKey } from '../../protocol/arm/resource-id.ts';
import { iso } from './rows.ts';

export interface ItemCondition {
  /** The data plane's id, or the resource's name before there is one. */
  readonly itemId: string;
  readonly policyKey: string;
  readonly isBlocked: boolean;
  readonly isResyncing: boolean;
  readonly latestPointAt: string | undefined;
}

/** More than one vault holds: what is beyond is not counted, and the count says so. */
const itemsMax = 100_000;

/** Of items whose machine runs at its own site: after a failover nothing can be late. */
export async function vaultConditions(session: Session, vaultId: string): Promise<ItemCondition[]> {
  const rows = await session.rows(
    `SELECT r.name, r.item_id, r.policy_key, b.item_id IS NOT NULL AS is_blocked, d.item_id IS NOT NULL AS is_resyncing,
       r.active_location, (SELECT MAX(p.taken_at) FROM recovery_points p WHERE p.item_id = r.item_id) AS latest
     FROM item_resources r
     LEFT JOIN blocked b ON b.item_id = r.item_id
     LEFT JOIN (SELECT DISTINCT item_id FROM disks WHERE state = 'resync') d ON d.item_id = r.item_id
     WHERE r.vault_key = ? LIMIT ?`,
    [idKey(vaultId), itemsMax],
  );
  return rows.map((row) => {
    const isHere = row.active_location === 'Primary';
    return {
      itemId: String(row.item_id ?? row.name),
      policyKey: String(row.policy_key),
      isBlocked: isHere && Number(row.is_blocked) === 1,
      isResyncing: isHere && Number(row.is_resyncing) === 1,
      latestPointAt: !isHere || row.latest === null ? undefined : iso(row.latest),
    };
  });
}
