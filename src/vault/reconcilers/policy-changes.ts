/**
 * A policy that was changed reaches the machines that are protected with it: how often they take points is known to their
 * sites, so each site is told. Takes no input; looks at what each site was told last, so that it comes to the same end however
 * often it is stopped, and two vault processes at once place each order once.
 *
 *     policy's row ─ terms ─┐
 *                           ├─ differ ─▶ noted at the item ─▶ order `change-policy` ─ done ─▶ noted as heard
 *     item: told last ──────┘
 *
 * A site that is away is told when it is back; one that fails is asked again an hour later. Retention and the RPO threshold need
 * no site: the job that changes the policy applies the one, and health reads the other.
 */
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import { repeat } from '../../platform/repeat.ts';
import { derivedId } from '../jobs/derived-id.ts';
import * as items from '../store/protected-items.ts';
import type { ItemSites, SiteOrders } from '../workflows/parts.ts';

export interface PolicyChangesParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly sites: Pick<ItemSites, 'siteOf'>;
  readonly orders: SiteOrders;
  /** Every policy of every vault, and what its machines are to do. */
  readonly policies: () => Promise<
    readonly { readonly policyId: string; readonly replication: items.Replication }[]
  >;
}

/** Policies are few: a look is one query over an index for each. */
const lookMilliseconds = 10_000;
/** Items of a policy that are told in one pass; the next ones come with the next look. */
const itemsAtOnce = 500;
const againMilliseconds = 3600_000;

export class PolicyChanges {
  readonly #parts: PolicyChangesParts;

  constructor(parts: PolicyChangesParts) {
    this.#parts = parts;
  }

  run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const onFailure = (error: unknown) => log.warn('policies-not-told', { error });
    return repeat({ clock, signal, pauseMilliseconds: lookMilliseconds, onFailure }, () => this.pass());
  }

  async pass(): Promise<void> {
    const { database, policies } = this.#parts;
    for (const { policyId, replication } of await policies())
      for (const item of await items.toBeTold(database, policyId, replication, itemsAtOnce))
        await this.#tell(item, replication);
  }

  async #tell(item: items.ItemResource, wanted: items.Replication): Promise<void> {
    const { database, clock, log, sites, orders } = this.#parts;
    const siteId = await sites.siteOf(item);
    const { id, itemId, replication: before } = item;
    if (siteId === undefined || itemId === undefined || before === undefined) return;
    const { crashConsistentSeconds, applicationConsistentSeconds } = wanted;
    const policy = { crashConsistentSeconds, applicationConsistentSeconds };
    const isNew =
      before.crashConsistentSeconds !== crashConsistentSeconds ||
      before.applicationConsistentSeconds !== applicationConsistentSeconds;
    const replication = isNew ? { ...before, ...policy, change: before.change + 1 } : before;
    const note = (from: number, now: typeof replication) =>
      database.transaction((session) => items.noteReplication(session, id, from, now));
    // The intent first: a policy that is changed back before the site has heard is a change of its own. Another process may have
    // noted its own, of a policy that it read a moment later or earlier: the order of that change is for it to place.
    if (isNew && !(await note(before.change, replication))) return;
    const hour = Math.floor(clock.now() / againMilliseconds);
    const orderId = derivedId('change-policy', itemId, siteId, String(replication.change), String(hour));
    await orders.place({
      orderId,
      siteId,
      content: { order: 'change-policy', itemId, policy },
      expiresAt: new Date((hour + 1) * againMilliseconds).toISOString(),
    });
    const answer = await orders.answer(orderId);
    if (answer?.outcome.state !== 'done') return;
    await note(replication.change, { ...replication, heardChange: replication.change });
    log.info('policy-told', { itemId, siteId, ...policy });
  }
}
