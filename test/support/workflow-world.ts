/**
 * A vault for workflows to work in: the real engine, the real record keeping in memory, and stand-ins that only remember
 * (a hypervisor, a replica store, a site). Each stand-in is behind the suite of the real thing or is too small to differ.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../src/model/ids.ts';
import { type ItemCondition, transition } from '../../src/model/protection-state.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { systemFiles } from '../../src/platform/files.ts';
import { silentLog } from '../../src/platform/log.ts';
import type { Random } from '../../src/platform/random.ts';
import type { ReportedDisk, SiteAnswer } from '../../src/protocol/control/site-link.ts';
import { errors } from '../../src/vault/errors.ts';
import type { FailoverProvider, HostRoom, MachineDefinition } from '../../src/vault/failover/provider.ts';
import { toPng } from '../../src/vault/failover/screen.ts';
import type { ReplicaStore } from '../../src/vault/replica/replica-store.ts';
import type { FailoverRecord } from '../../src/vault/store/failovers.ts';
import { MemoryStore } from '../../src/vault/store/memory-store.ts';
import type { ItemResource } from '../../src/vault/store/protected-items.ts';
import type { OrderContent } from '../../src/vault/store/site-orders.ts';
import type { TestFailoverRecord } from '../../src/vault/store/test-failovers.ts';
import type { ProtectedItem, RecoveryPoint } from '../../src/vault/store/vault-store.ts';
import type { Finding } from '../../src/vault/verify/verify.ts';
import { errors as workflowErrors } from '../../src/vault/workflows/errors.ts';
import type { ItemRecords, WorkflowParts } from '../../src/vault/workflows/parts.ts';
import type { PlanShape } from '../../src/vault/workflows/plan-shape.ts';

/** Of real time: how long a turn of the process may take before it counts as no time at all. */
const turnMilliseconds = 20;

/**
 * Time a hundred times as fast: what a workflow waits for is over soon, and what it measures is still in order. While the whole
 * process stands still, so does this clock: else a machine that is busy for a second would let leases and orders run out.
 */
export function fastClock(factor = 100): Clock {
  let elapsedMilliseconds = 0;
  let lookedAt = performance.now();
  const elapsed = () => {
    const now = performance.now();
    elapsedMilliseconds += Math.min(now - lookedAt, turnMilliseconds) * factor;
    lookedAt = now;
    return elapsedMilliseconds;
  };
  const sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();
  let timer: NodeJS.Timeout | undefined;
  const arm = () => {
    clearTimeout(timer);
    if (sleepers.size === 0) return;
    const next = Math.min(...[...sleepers].map(({ until }) => until));
    timer = setTimeout(turn, Math.min(turnMilliseconds / 2, (next - elapsedMilliseconds) / factor));
  };
  const turn = () => {
    const now = elapsed();
    const due = [...sleepers].filter(({ until }) => until <= now).sort((a, b) => a.until - b.until);
    for (const sleeper of due) {
      sleepers.delete(sleeper);
      sleeper.wake();
    }
    arm();
  };
  return {
    now: () => Date.parse('2030-01-01T00:00:00.000Z') + Math.floor(elapsed()),
    monotonic: elapsed,
    sleep: (milliseconds, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        const abort = () => {
          sleepers.delete(sleeper);
          arm();
          reject(signal!.reason);
        };
        const sleeper = {
          until: elapsed() + milliseconds,
          wake: () => {
            signal?.removeEventListener('abort', abort);
            resolve();
          },
        };
        sleepers.add(sleeper);
        arm();
        signal?.addEventListener('abort', abort, { once: true });
      }),
  };
}

/** The same ids in each run, so that two runs can be compared. */
export function countingRandom(): Random {
  let count = 0;
  return {
    uuid: () => `10000000-0000-4000-8000-${(++count).toString(16).padStart(12, '0')}`,
    bytes: (size) => Buffer.alloc(size, ++count),
    fraction: () => 0.5,
  };
}

/** `store/protected-items.ts` in memory, by the same table of states. */
export class MemoryItemRecords implements ItemRecords {
  readonly rows = new Map<string, ItemResource>();
  readonly #pending = new Map<string, NonNullable<ReturnType<typeof transition>>>();
  /** Whether the item has a recovery point: then its initial replication is over. */
  readonly #hasPoint: (itemId: ProtectedItemId) => Promise<boolean>;

  constructor(hasPoint: (itemId: ProtectedItemId) => Promise<boolean>) {
    this.#hasPoint = hasPoint;
  }

  async add(item: Parameters<ItemRecords['add']>[0], job: Parameters<ItemRecords['add']>[1]) {
    const key = item.id.toLowerCase();
    if (this.rows.has(key)) throw errors.ItemAlreadyProtected(`the item ${item.name}`, item.name);
    const enabling = transition('EnableProtection', undefined)!;
    this.#pending.set(key, enabling);
    this.rows.set(key, {
      ...item,
      condition: enabling.during,
      jobId: job.jobId,
      scenario: { name: job.scenarioName, startedAt: job.startedAt },
    });
  }
  async tie(id: string, itemId: ProtectedItemId) {
    const row = this.rows.get(id.toLowerCase());
    if (row) this.rows.set(id.toLowerCase(), { ...row, itemId });
  }
  async byId(id: string) {
    await this.#settle(id);
    return this.rows.get(id.toLowerCase());
  }
  async begin(
    id: string,
    operation: Parameters<ItemRecords['begin']>[1],
    job: { jobId: string; scenarioName: string; startedAt: string },
  ) {
    await this.#settle(id);
    const row = this.rows.get(id.toLowerCase());
    if (!row) throw errors.ItemUnknown(id);
    if (row.jobId === job.jobId) return;
    const next = row.jobId === undefined ? transition(operation, row.condition) : undefined;
    if (!next) throw errors.OperationNotAllowed(operation, row.friendlyName, row.condition.protectionState);
    this.#pending.set(id.toLowerCase(), next);
    this.rows.set(id.toLowerCase(), {
      ...row,
      condition: next.during,
      jobId: job.jobId,
      scenario: { name: job.scenarioName, startedAt: job.startedAt },
    });
  }
  async end(id: string, jobId: string, outcome: 'done' | 'failed', changes = {}) {
    const key = id.toLowerCase();
    const row = this.rows.get(key);
    if (row?.jobId !== jobId) return;
    const end = this.#pending.get(key)![outcome];
    if (end === 'removed') {
      this.rows.delete(key);
      return;
    }
    const { jobId: _, scenario: __, ...rest } = row;
    this.rows.set(key, { ...rest, condition: end });
    await this.change(id, changes);
  }
  async change(id: string, changes: object) {
    const row = this.rows.get(id.toLowerCase());
    if (row) this.rows.set(id.toLowerCase(), { ...row, ...changes });
  }

  async #settle(id: string) {
    const row = this.rows.get(id.toLowerCase());
    if (row?.condition.protectionState !== 'InitialReplicationInProgress' || row.itemId === undefined) return;
    if (await this.#hasPoint(row.itemId))
      this.rows.set(id.toLowerCase(), {
        ...row,
        condition: { ...row.condition, protectionState: 'Protected' },
      });
  }
}

export const vaultId = '/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v';
export const containerId = `${vaultId}/replicationFabrics/site/replicationProtectionContainers/c`;
const machineId = '30000000-0000-4000-8000-000000000001';
const diskIds = [1, 2].map((n) => ProtectedDiskId.parse(`40000000-0000-4000-8000-00000000000${n}`));

export interface WorkflowWorld extends AsyncDisposable {
  readonly parts: WorkflowParts;
  readonly clock: Clock;
  readonly random: Random;
  readonly items: MemoryItemRecords;
  readonly machines: Map<string, MachineDefinition>;
  readonly loans: Map<string, string>;
  readonly orders: { readonly content: OrderContent; readonly orderId: string }[];
  readonly testFailovers: Map<string, TestFailoverRecord>;
  readonly failovers: Map<string, FailoverRecord>;
  readonly machineId: string;
  readonly plans: Map<string, PlanShape>;
  /** What ran on the vault: name and arguments. A script named `broken` fails. */
  readonly scripts: string[];
  /** What reading back finds, by item. */
  readonly damage: Map<string, Finding[]>;
  /** What the site answers to; `fail`: with an error, `silent`: never. */
  siteMood: 'well' | 'fail' | 'silent';
  /** The source fell silent without a good-bye. */
  isSourceUnknown: boolean;
  namesLastPoint: boolean;
  /** Of the recovery host, and of its replica store. */
  room: HostRoom;
  freeBytes: number;
  /** Of the machine, as the site reports them. */
  disks: ReportedDisk[];
  /** How far the machines' clocks are stepped: points are dated by them. */
  stepMilliseconds: number;
  /** Makes an item in this condition with two points, and answers its resource id. */
  addItem(name: string, condition?: Partial<ItemCondition>): Promise<{ id: string; itemId: ProtectedItemId }>;
  addPoint(
    itemId: ProtectedItemId,
    type?: RecoveryPoint['type'],
    pointId?: RecoveryPointId,
    missingDisks?: RecoveryPoint['missingDisks'],
  ): Promise<RecoveryPoint>;
  /** Everything that a job could leave behind, without what is evidence. */
  snapshot(): Promise<unknown>;
}

export async function openWorkflowWorld(): Promise<WorkflowWorld> {
  const clock = fastClock();
  const random = countingRandom();
  const folder = await mkdtemp(join(tmpdir(), 'leeward-workflows-'));
  const store = new MemoryStore();
  const points = new Map<string, Set<RecoveryPointId>>();
  const machines: WorkflowWorld['machines'] = new Map();
  const loans: WorkflowWorld['loans'] = new Map();
  const orders: WorkflowWorld['orders'] = [];
  const answers = new Map<string, SiteAnswer>();
  const testFailovers: WorkflowWorld['testFailovers'] = new Map();
  const failovers: WorkflowWorld['failovers'] = new Map();
  const leftovers = new Set<string>();
  const chains = new Set<string>();
  const itemIds: string[] = [];
  const items = new MemoryItemRecords(
    async (itemId) => (await store.listPoints(itemId, { limit: 1 })).length > 0,
  );

  const provider: FailoverProvider = {
    check: async () => ({ accelerator: 'tcg', reason: 'a test' }),
    room: async () => world.room,
    start: async (machine) => {
      for (const { path } of machine.disks)
        if (!loans.has(path.split('/')[2]!)) throw new Error(`no disk ${path}`);
      machines.set(machine.name, machine);
    },
    waitUntilReady: async (name) => {
      if (!machines.has(name)) throw new Error(`no machine ${name}`);
      return { address: '10.213.0.9' };
    },
    screenshot: async () => toPng(Buffer.concat([Buffer.from('P6 1 1 255\n'), Buffer.alloc(3)])),
    isRunning: async (name) => machines.has(name),
    power: async (name) => ({ state: machines.has(name) ? 'running' : 'missing' }),
    startAgain: async (machine) => void machines.set(machine.name, machine),
    remove: async (name) => void machines.delete(name),
    list: async () => [...machines.keys()],
  };
  const no = () => Promise.reject(new Error('no workflow does this'));
  const replica: ReplicaStore = {
    prepare: async () => {},
    openHead: no,
    clearHead: async (itemId) => void leftovers.delete(itemId),
    cutPoint: no,
    listPoints: async (itemId) => [...(points.get(itemId) ?? [])],
    openPoint: no,
    pointDisks: async () => [...diskIds],
    openPointSums: no,
    lend: async (itemId, pointId, loanId) => {
      if (!points.get(itemId)?.has(pointId)) throw errors.RecoveryPointGone(pointId);
      loans.set(loanId, `${itemId} ${pointId}`);
      const item = await store.item(itemId);
      const missing = (await store.point(itemId, pointId))?.missingDisks ?? [];
      // Not in the item's order: the workflow has to put them right.
      return item!.disks
        .filter(({ diskId }) => !missing.some((one) => one.diskId === diskId))
        .toReversed()
        .map(({ diskId }) => ({ diskId, path: `/loans/${loanId}/${diskId}` }));
    },
    listLoans: async (itemId) => [...loans].filter(([, of]) => of.startsWith(itemId)).map(([id]) => id),
    giveBack: async (_, loanId) => void loans.delete(loanId),
    dropPoint: async (itemId, pointId) => void points.get(itemId)?.delete(pointId),
    dropItem: async (itemId) => {
      points.delete(itemId);
      leftovers.delete(itemId);
      for (const [id, of] of loans) if (of.startsWith(itemId)) loans.delete(id);
    },
    usage: async () => ({ usedBytes: 0, freeBytes: world.freeBytes }),
  } as ReplicaStore;

  const fenceOf = async (itemId: string) =>
    (await store.item(itemId as ProtectedItemId)) && (await store.state(itemId as ProtectedItemId)).fence;

  const addPoint: WorkflowWorld['addPoint'] = async (
    itemId,
    type = 'CrashConsistent',
    pointId,
    missingDisks,
  ) => {
    // By item, so that the ids do not depend on who comes first.
    const known = points.get(itemId) ?? new Set();
    const sequence = known.size + 1;
    const item = itemIds.indexOf(itemId);
    const takenAt = new Date(clock.now() + sequence + world.stepMilliseconds).toISOString();
    const point: RecoveryPoint = {
      pointId:
        pointId ??
        RecoveryPointId.parse(`5000000${item}-0000-4000-8000-${String(sequence).padStart(12, '0')}`),
      itemId,
      type,
      method: 'quiet',
      takenAt,
      processedAt: takenAt,
      frozenMilliseconds: 0,
      sizeBytes: 1,
      changedBytes: 1,
      chain: 1,
      sequence,
      ...(missingDisks === undefined ? {} : { missingDisks }),
    };
    await store.advance(itemId, {
      position: { chain: 1, sequence, digest: null, generation: 1, archiveBytes: 0, appliedAt: takenAt },
      disks: [],
      progress: [],
      events: [],
      changedBytes: 0,
      point,
    });
    points.set(itemId, known.add(point.pointId));
    return point;
  };

  const world: WorkflowWorld = {
    clock,
    random,
    items,
    machines,
    loans,
    orders,
    testFailovers,
    failovers,
    machineId,
    plans: new Map(),
    scripts: [],
    damage: new Map(),
    siteMood: 'well',
    isSourceUnknown: false,
    namesLastPoint: false,
    room: { memoryMebibytes: 4096, cpuCount: 4 },
    freeBytes: 1 << 30,
    disks: ['/dev/vda', '/dev/vdb'].map((path) => ({
      path,
      name: path,
      sizeBytes: 1,
      readinessErrors: [],
      uses: [],
    })),
    stepMilliseconds: 0,
    addItem: async (name, condition = {}) => {
      const id = `${containerId}/replicationProtectedItems/${name}`;
      const itemId = ProtectedItemId.parse(random.uuid());
      const item: ProtectedItem = {
        itemId,
        name,
        processServer: 'ps',
        disks: diskIds.map((diskId, index) => ({ diskId, path: `/dev/vd${'ab'[index]}` })),
        retention: { rules: [{ untilSeconds: 3600, everySeconds: 0 }] },
        createdAt: new Date(clock.now()).toISOString(),
      };
      itemIds.push(itemId);
      await store.addItem(item, random.bytes(1));
      leftovers.add(itemId);
      items.rows.set(id.toLowerCase(), {
        id,
        vaultId,
        containerId,
        fabricName: 'site',
        name,
        friendlyName: name,
        instanceType: 'InMageRcm',
        itemId,
        machineId,
        processServerId: machineId,
        policyId: 'p',
        protectableItemId: 'q',
        settings: { kept: 1 },
        createdAt: item.createdAt,
        condition: {
          protectionState: 'Protected',
          testFailoverState: 'None',
          activeLocation: 'Primary',
          ...condition,
        },
      });
      await addPoint(itemId, 'ApplicationConsistent');
      await addPoint(itemId);
      return { id, itemId };
    },
    addPoint,
    snapshot: async () => ({
      machines: [...machines.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
      loans: [...loans].sort(),
      leftovers: [...leftovers].sort(),
      chains: [...chains],
      rows: [...items.rows.values()].map(
        ({ scenario: _, lastFailoverAt: __, lastTestFailoverAt: ___, createdAt: ____, ...row }) => row,
      ),
      dataItems: (await store.listItems({ limit: 100 })).map(({ createdAt: _, ...item }) => item),
      points: [...points].map(([itemId, ids]) => [itemId, ids.size]),
      fences: (
        await Promise.all(itemIds.map(async (itemId) => [itemId, (await fenceOf(itemId))?.failoverId]))
      ).filter(([, failoverId]) => failoverId !== undefined),
      failovers: [...failovers.values()]
        .sort((a, b) => (a.itemId < b.itemId ? -1 : 1))
        .map(({ startedAt, pointTakenAt, committedAt, ...record }) => ({
          ...record,
          times: [startedAt, pointTakenAt, committedAt].map((at) => at !== undefined),
        })),
      testFailovers: [...testFailovers.values()]
        .filter(({ state }) => state !== 'failed')
        .map(({ failoverId, state, machineName, pointId }) => ({ failoverId, state, machineName, pointId }))
        .sort((a, b) => (a.failoverId < b.failoverId ? -1 : 1)),
      protectedBySite: protectedBySite(orders),
    }),
    parts: {
      clock,
      random,
      files: systemFiles,
      log: silentLog,
      items,
      store,
      replica,
      sites: {
        siteOf: async ({ fabricName }) => (fabricName === 'site' ? 'site-1' : undefined),
        machine: async () => ({
          machineId: machineId as never,
          name: 'web',
          addresses: [],
          osName: 'Linux',
          kernel: '6',
          firmware: 'efi',
          cpuCount: 3,
          memoryBytes: 1 << 30,
          mobilityService: { version: '1', lastHeartbeatAt: new Date(clock.now()).toISOString() },
          disks: world.disks,
        }),
        sealItemKey: async () => 'sealed',
      },
      orders: {
        place: async ({ orderId, content }) => {
          if (orders.some((order) => order.orderId === orderId)) return;
          orders.push({ orderId, content });
          if (world.siteMood === 'silent') return;
          if (content.order === 'take-bookmark' && world.siteMood === 'well')
            await addPoint(content.itemId, content.type);
          // A site that takes the last bookmark while the machine goes down, and names it.
          const last =
            content.order === 'shut-down-machine' && world.namesLastPoint
              ? await addPoint([...items.rows.values()][0]!.itemId!)
              : undefined;
          answers.set(orderId, {
            orderId,
            outcome:
              world.siteMood === 'well' && !(world.isSourceUnknown && content.order === 'shut-down-machine')
                ? { state: 'done', ...(last === undefined ? {} : { output: last.pointId }) }
                : {
                    state: 'failed',
                    error: {
                      code: world.isSourceUnknown ? 'MachineNotKnownOff' : 'SiteTrouble',
                      severity: 'error',
                      summary: 'the site is not well',
                      possibleCauses: 'x',
                      recommendedAction: 'y',
                      raisedAt: new Date(clock.now()).toISOString(),
                      context: {},
                    },
                  },
            answeredAt: new Date(clock.now()).toISOString(),
          });
        },
        // The first look finds nothing: each order is waited for.
        answer: async (orderId) => {
          const answer = answers.get(orderId);
          if (answer === undefined || seen.has(orderId)) return answer;
          seen.add(orderId);
          return undefined;
        },
      },
      testFailovers: {
        save: async (record) => void testFailovers.set(record.failoverId, record),
        byId: async (failoverId) => testFailovers.get(failoverId),
        allOfItem: async (itemId) => [...testFailovers.values()].filter((record) => record.itemId === itemId),
        ofItem: async (itemId) =>
          [...testFailovers.values()].find(
            (record) => record.itemId === itemId && !['failed', 'cleaned'].includes(record.state),
          ),
      },
      failovers: {
        save: async (record) => void failovers.set(record.itemId, record),
        ofItem: async (itemId) => failovers.get(itemId),
        remove: async (itemId, failoverId) => {
          if (failovers.get(itemId)?.failoverId === failoverId) failovers.delete(itemId);
        },
      },
      readPlan: async (id) => world.plans.get(id),
      runScript: async ({ name, arguments: given }) => {
        world.scripts.push([name, ...given].join(' '));
        if (name === 'broken') throw workflowErrors.ScriptFailed(name, 3, 'no luck');
        return { output: `${name} was here` };
      },
      provider,
      proofsFolder: join(folder, 'proofs'),
      newSealedKey: () => Buffer.alloc(8),
      releaseItem: async () => {},
      dropLeftovers: async (itemId) => void leftovers.delete(itemId),
      verifyItem: async (item, onProgress) => {
        onProgress({ doneBytes: 1, totalBytes: 2 });
        return { manifests: 2, points: 2, bytesRead: 2, findings: world.damage.get(item.itemId) ?? [] };
      },
      orderResync: async (itemId, chain, _cause, diskId) => {
        const key = `${itemId} ${chain}${diskId === undefined ? '' : ` ${diskId}`}`;
        const isNew = !chains.has(key);
        chains.add(key);
        return isNew;
      },
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
  const seen = new Set<string>();
  return world;
}

/** Items that the site was told to protect and not told to forget. */
function protectedBySite(orders: WorkflowWorld['orders']): string[] {
  const held = new Set<string>();
  for (const { content } of orders) {
    if (content.order === 'protect') held.add(content.itemId);
    if (content.order === 'unprotect') held.delete(content.itemId);
  }
  return [...held];
}
