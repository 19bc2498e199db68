/**
 * The process server as a whole: what items share, and who is served. `bin/process-server.ts` gives it sockets and
 * settings; the simulation gives it links in memory, simulated files and a fake clock.
 */
import type { Metrics } from '../platform/metrics.ts';
import type { ProcessServerAssignment } from '../protocol/control/assignment.ts';
import type { Link } from '../protocol/replication/link.ts';
import { ProcessServerFigures } from './figures.ts';
import { Gate } from './gate.ts';
import { serveLink } from './intake/session.ts';
import { type ItemStatus, ProtectedItem, type RefineLane, type Services } from './item.ts';
import { type ProcessServerLimits, standardLimits } from './limits.ts';
import { SpoolSpace } from './spool/space.ts';

export interface ProcessServerParts
  extends Pick<Services, 'files' | 'clock' | 'random' | 'log' | 'store' | 'sealer' | 'spoolFolder'> {
  readonly metrics: Metrics;
  readonly limits?: ProcessServerLimits;
  readonly quota: { readonly serverBytes: number; readonly itemBytes: number };
}

export class ProcessServer implements AsyncDisposable {
  readonly #services: Services;
  readonly #items = new Map<string, ProtectedItem>();
  readonly #links = new Map<Link, Promise<void>>();
  readonly #metrics: Metrics;

  constructor(parts: ProcessServerParts) {
    const limits = parts.limits ?? standardLimits;
    const smallPartBytes = Math.min(limits.smallPartBytes, limits.partBytesMax);
    const refineBytes = limits.refinesMax * limits.partBytesMax + limits.smallRefinesMax * smallPartBytes;
    this.#metrics = parts.metrics;
    this.#services = {
      ...parts,
      limits,
      figures: new ProcessServerFigures(parts.metrics),
      // Half of a small quota at most: a reserve that leaves intake nothing would stop everything.
      space: new SpoolSpace({
        ...parts.quota,
        refineReserveBytes: Math.min(refineBytes, parts.quota.serverBytes / 2),
      }),
      batches: new Gate(limits.batchesMax),
      freeBatches: [],
      refines: refineLane(limits.refinesMax, limits.partBytesMax),
      smallRefines: refineLane(limits.smallRefinesMax, smallPartBytes),
      uploads: new Gate(limits.uploadsMax),
    };
  }

  /** Takes an item on, or again with a changed assignment. */
  async assign(assignment: ProcessServerAssignment, itemKey: Uint8Array): Promise<void> {
    const before = this.#items.get(assignment.itemId);
    // What its machine is may change while it replicates: nothing has to begin anew for it.
    if (
      before &&
      JSON.stringify(withoutIdentity(before.assignment)) === JSON.stringify(withoutIdentity(assignment))
    ) {
      before.expect(assignment.machineIdentity);
      return;
    }
    await before?.close();
    const item = new ProtectedItem(this.#services, assignment, itemKey);
    this.#items.set(assignment.itemId, item);
    item.start();
  }

  /** Stops serving an item; its spool stays. */
  async release(itemId: string): Promise<void> {
    const item = this.#items.get(itemId);
    this.#items.delete(itemId);
    await item?.close();
  }

  get itemIds(): readonly string[] {
    return [...this.#items.keys()];
  }

  item(itemId: string): ProtectedItem | undefined {
    return this.#items.get(itemId);
  }

  /** Serves a connection to its end. */
  serve(link: Link): Promise<void> {
    const served = serveLink(this.#services, (itemId) => this.#items.get(itemId), link).finally(() =>
      this.#links.delete(link),
    );
    this.#links.set(link, served);
    return served;
  }

  get status(): {
    readonly spoolBytes: number;
    readonly sessions: number;
    readonly items: readonly ItemStatus[];
  } {
    const items = [...this.#items.values()].map((item) => item.status);
    return { spoolBytes: this.#services.space.usedBytes, sessions: this.#links.size, items };
  }

  /** To cache storage, since the start. */
  get sentBytes(): number {
    return this.#services.figures.sentBytes;
  }

  renderMetrics(): string {
    this.#services.figures.levels(this.#services.space.usedBytes, this.#links.size);
    return this.#metrics.render();
  }

  /** Ends sessions and loops. The spool keeps what is not uploaded. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#items.values()].map((item) => item.close()));
    for (const link of this.#links.keys()) link.close();
    await Promise.all(this.#links.values());
  }
}

function withoutIdentity({ machineIdentity: _, ...rest }: ProcessServerAssignment) {
  return rest;
}

const refineLane = (places: number, partBytesMax: number): RefineLane => ({
  gate: new Gate(places),
  partBytesMax,
  freeParts: [],
});
