/**
 * What workflows are made of: the rooms whose work they order. Interfaces where a test has a stand-in of its own; each of
 * those is behind the same suite as the real thing.
 */
import type { ProtectedDiskId, ProtectedItemId } from '../../model/ids.ts';
import type { ItemOperation } from '../../model/protection-state.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Files } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import type { FailoverMarker } from '../../protocol/control/failover-marker.ts';
import type { ReportedMachine, SiteAnswer } from '../../protocol/control/site-link.ts';
import type { FailoverProvider } from '../failover/provider.ts';
import type { ReplicaStore } from '../replica/replica-store.ts';
import type { FailoverRecords } from '../store/failovers.ts';
import type { ItemChanges, ItemResource } from '../store/protected-items.ts';
import type { OrderContent } from '../store/site-orders.ts';
import type { TestFailoverRecords } from '../store/test-failovers.ts';
import type { ProtectedItem, VaultStore } from '../store/vault-store.ts';
import type { VerifyResult } from '../verify/verify.ts';
import type { PlanShape } from './plan-shape.ts';
import type { RunScript } from './scripts.ts';

/** Orders to sites. `../site-link/orders.ts` has them. */
export interface SiteOrders {
  /** Placed once, however often it is called with the same id. Throws `SiteUnknown`. */
  place(order: {
    readonly orderId: string;
    readonly siteId: string;
    readonly content: OrderContent;
    readonly expiresAt: string;
  }): Promise<void>;
  /** Undefined: not answered yet. An order that expired is answered as failed. */
  answer(orderId: string): Promise<SiteAnswer | undefined>;
}

/** Sites as far as items have to do with them. */
export interface ItemSites {
  /** The site of a fabric; undefined: it has none (any more). */
  siteOf(item: Pick<ItemResource, 'vaultId' | 'fabricName'>): Promise<string | undefined>;
  machine(siteId: string, machineId: string): Promise<ReportedMachine | undefined>;
  /** The item's key for that site's eyes only, base64. */
  sealItemKey(siteId: string, itemId: ProtectedItemId): Promise<string>;
}

/** The item's row, state and guard. `../store/protected-items.ts` has it. */
export interface ItemRecords {
  add(
    item: Omit<ItemResource, 'condition' | 'jobId' | 'scenario'>,
    job: { readonly jobId: string; readonly scenarioName: string; readonly startedAt: string },
  ): Promise<void>;
  tie(id: string, itemId: ProtectedItemId): Promise<void>;
  byId(id: string): Promise<ItemResource | undefined>;
  begin(
    id: string,
    operation: ItemOperation,
    job: { readonly jobId: string; readonly scenarioName: string; readonly startedAt: string },
  ): Promise<void>;
  end(id: string, jobId: string, outcome: 'done' | 'failed', changes?: ItemChanges): Promise<void>;
  change(id: string, changes: ItemChanges): Promise<void>;
}

/**
 * Asks whoever can know it: a hypervisor, vCenter, a management controller. `unknown` where none of them is set up or answers;
 * silence of a machine's own software is never an answer.
 */
export type PowerStateOf = (
  item: Pick<ItemResource, 'id' | 'machineId' | 'fabricName' | 'vaultId' | 'friendlyName'>,
) => Promise<'on' | 'off' | 'unknown'>;

export interface WorkflowParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly log: Log;
  readonly items: ItemRecords;
  readonly store: VaultStore;
  readonly replica: ReplicaStore;
  readonly sites: ItemSites;
  readonly orders: SiteOrders;
  readonly testFailovers: TestFailoverRecords;
  readonly failovers: FailoverRecords;
  /** A recovery plan as it is now. */
  readonly readPlan: (id: string) => Promise<PlanShape | undefined>;
  /** A script of a recovery plan, on this machine. */
  readonly runScript: RunScript;
  /** Whether a source is on, asked where it can be known. Undefined: nobody knows it of any machine. */
  readonly powerStateOf?: PowerStateOf | undefined;
  /** Undefined: none is set up, and what needs one is refused with that reason. */
  readonly provider: FailoverProvider | undefined;
  /** Signs what tells a copy of a machine's mobility service that it is one. Undefined: its machines get no marker. */
  readonly signMarker?: ((marker: Omit<FailoverMarker, 'format'>) => Promise<string>) | undefined;
  /** Proofs: `<folder>/<failover id>/screen.png` and `report.json`. */
  readonly proofsFolder: string;
  /** An item key, made and sealed under the vault's master key. */
  readonly newSealedKey: () => Uint8Array;
  /** Waits until the log processor has let go of the item. */
  readonly releaseItem: (itemId: ProtectedItemId) => Promise<void>;
  /** What is left of an item in the archive and in cache storage. */
  readonly dropLeftovers: (itemId: ProtectedItemId) => Promise<void>;
  /**
   * Has every disk compared with its replica, in a new chain; with `diskId` this one only, in the chain that is. False when
   * that was asked for before.
   */
  readonly orderResync: (
    itemId: ProtectedItemId,
    chain: number,
    cause: 'ReplicaInvalid' | 'Requested',
    diskId?: ProtectedDiskId,
  ) => Promise<boolean>;
  /** Reads back everything that the vault holds of the item. */
  readonly verifyItem: (
    item: ProtectedItem,
    onProgress: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void,
    signal: AbortSignal,
  ) => Promise<VerifyResult>;
}
