/**
 * Test failover: rehearse a disaster without one. A recovery point's disks are lent as clones, a machine is made of them
 * on a network that reaches nothing, it must answer, and its screen is kept as proof. Replication goes on untouched.
 *
 *     choose ──▶ check ──▶ lend ──▶ power-on ──▶ answer ──▶ prove ──▶ running ──clean-up──▶ cleaned
 *                            │          │           │          │
 *                            └──────────┴── any failure ───────┴──▶ undone in reverse ──▶ failed
 *
 * Nothing is copied, so the time to power-on does not depend on the size of the disks. The row in the store is written
 * before each step begins; `recover` takes up at start-up whatever a crash left on its way, and undoes it. Undoing is
 * idempotent all the way down, so doing it twice, or for a step that never ran, is harmless.
 *
 * What remains after the clean-up is the evidence: the row, the screenshot and the report with the notes.
 */
import { join } from 'node:path';
import type { ProtectedItemId } from '../../model/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import { renderError } from '../../platform/errors.ts';
import { type Files, writeDurably } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import { errors } from '../errors.ts';
import type { FailoverProvider, MachineDefinition, ReadinessCheck } from '../failover/provider.ts';
import type { ReplicaStore } from '../replica/replica-store.ts';
import type { TestFailoverRecord, TestFailoverRecords } from '../store/test-failovers.ts';
import type { ProtectedItem, RecoveryPoint } from '../store/vault-store.ts';
import { errors as workflowErrors } from './errors.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface TestFailoverInput {
  /**
   * A point's id, `latestApplicationConsistent`, `latestProcessed` or `latest`. The last two are the same point: the log
   * processor applies segments as they come, so there is no backlog that waits to be processed first.
   */
  readonly point: string;
  readonly check: ReadinessCheck;
  readonly timeoutSeconds: number;
  readonly cpuCount: number;
  readonly memoryMebibytes: number;
  readonly firmware: 'bios' | 'efi';
  readonly directBoot?: MachineDefinition['directBoot'];
}

/** Told what is going on, for whoever waits. */
export type Report = (text: string, fraction?: number) => void;

export interface TestFailoverParts {
  readonly provider: FailoverProvider;
  readonly records: TestFailoverRecords;
  /** Newest first. */
  readonly points: {
    listPoints(
      itemId: ProtectedItemId,
      page: { readonly before?: string; readonly limit: number },
    ): Promise<RecoveryPoint[]>;
  };
  readonly replica: Pick<ReplicaStore, 'lend' | 'giveBack'>;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Proofs: `<folder>/<failover id>/screen.png` and `report.json`. */
  readonly folder: string;
}

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Run {
  readonly parts: TestFailoverParts;
  readonly item: ProtectedItem;
  readonly input: TestFailoverInput;
  readonly startedAtMonotonic: number;
  record: TestFailoverRecord;
  disks: readonly { readonly path: string }[];
}

interface Step {
  readonly name: string;
  readonly says: string;
  readonly do: (run: Run) => Promise<void>;
  /** Needs only the row, because after a crash that is all there is. */
  readonly undo?: (parts: TestFailoverParts, record: TestFailoverRecord) => Promise<void>;
}

const steps: readonly Step[] = [
  { name: 'lend', says: 'cloning the disks of the recovery point', do: lend, undo: giveBack },
  { name: 'power-on', says: 'starting the machine', do: powerOn, undo: removeMachine },
  { name: 'answer', says: 'waiting until the machine answers', do: answer },
  { name: 'prove', says: 'keeping its screen as proof', do: prove },
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export class TestFailovers {
  readonly #parts: TestFailoverParts;
  constructor(parts: TestFailoverParts) {
    this.#parts = parts;
  }

  async testFailover(
    item: ProtectedItem,
    input: TestFailoverInput,
    report: Report = () => {},
  ): Promise<TestFailoverRecord> {
    const { records, clock, log } = this.#parts;
    const startedAtMonotonic = clock.monotonic();
    const point = await choosePoint(this.#parts, item, input.point);
    report('asking the hypervisor whether it can run machines', 0);
    const { accelerator, reason } = await this.#parts.provider.check();
    report(`${accelerator.toUpperCase()}: ${reason}`, 0);
    const run: Run = {
      parts: this.#parts,
      item,
      input,
      startedAtMonotonic,
      record: { ...newRecord(this.#parts, item, point), accelerator },
      disks: [],
    };
    try {
      for (const [index, step] of steps.entries()) {
        run.record = { ...run.record, step: step.name };
        await records.save(run.record);
        report(step.says, index / steps.length);
        await step.do(run);
      }
      run.record = { ...run.record, state: 'running' };
      await records.save(run.record);
      log.info('test-failover-running', { itemId: item.itemId, failoverId: run.record.failoverId });
      report('the machine answers', 1);
      return run.record;
    } catch (error) {
      report('undoing what was done', 1);
      await this.#unwind(run.record, error);
      throw error;
    }
  }

  async list(): Promise<TestFailoverRecord[]> {
    return this.#parts.records.list(recordsListed);
  }

  /** Removes machine, network and clones; keeps the proof and writes the notes into it. Twice is once. */
  async cleanup(failoverId: string, notes: string, report: Report = () => {}): Promise<void> {
    const { records } = this.#parts;
    const found = await records.byId(failoverId);
    if (found === undefined) throw workflowErrors.TestFailoverUnknown(failoverId);
    if (found.state === 'cleaned') return;
    const record: TestFailoverRecord = { ...found, state: 'cleaning', ...(notes === '' ? {} : { notes }) };
    await records.save(record);
    report('removing the machine, its network and its disks', 0);
    await this.#finishCleanup(record);
    report('nothing is left but the proof', 1);
  }

  /** At start-up: a test that was on its way is undone, a clean-up is finished. */
  async recover(): Promise<void> {
    for (const record of await this.#parts.records.unfinished())
      if (record.state === 'cleaning') await this.#finishCleanup(record);
      else await this.#unwind(record, workflowErrors.TestFailoverInterrupted(record.machineName));
  }

  async #finishCleanup(record: TestFailoverRecord): Promise<void> {
    await undoAll(this.#parts, record);
    const cleaned: TestFailoverRecord = {
      ...record,
      state: 'cleaned',
      cleanedAt: new Date(this.#parts.clock.now()).toISOString(),
    };
    await writeReport(this.#parts, cleaned);
    await this.#parts.records.save(cleaned);
  }

  /** Leaves the row in `starting` when undoing fails too: `recover` tries again, and the first error stays the cause. */
  async #unwind(record: TestFailoverRecord, error: unknown): Promise<void> {
    const { records, log } = this.#parts;
    try {
      await undoAll(this.#parts, record);
      await records.save({ ...record, state: 'failed', failure: renderError(error).slice(0, 4000) });
    } catch (undoError) {
      log.error('test-failover-not-undone', {
        itemId: record.itemId,
        failoverId: record.failoverId,
        error: undoError,
      });
    }
  }
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A page; older rehearsals are in the store. */
const recordsListed = 200;
/** Points looked through for an application-consistent one, or for an id, a page at a time. */
const pointsPage = 500;

async function choosePoint(
  parts: TestFailoverParts,
  item: ProtectedItem,
  wish: string,
): Promise<RecoveryPoint> {
  const fits = (point: RecoveryPoint) =>
    wish === 'latest' || wish === 'latestProcessed'
      ? true
      : wish === 'latestApplicationConsistent'
        ? point.type === 'ApplicationConsistent'
        : point.pointId === wish;
  for (let before: string | undefined; ; ) {
    const page = await parts.points.listPoints(item.itemId, {
      limit: pointsPage,
      ...(before === undefined ? {} : { before }),
    });
    const point = page.find(fits);
    if (point !== undefined) return point;
    if (page.length < pointsPage) break;
    before = page.at(-1)!.takenAt;
  }
  if (wish.startsWith('latest')) throw workflowErrors.NoRecoveryPoint(item.name, wish);
  throw errors.RecoveryPointGone(wish);
}

function newRecord(parts: TestFailoverParts, item: ProtectedItem, point: RecoveryPoint): TestFailoverRecord {
  const failoverId = parts.random.uuid();
  const short = failoverId.slice(0, 8);
  const name = item.name.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 60);
  return {
    failoverId,
    itemId: item.itemId,
    itemName: item.name,
    pointId: point.pointId,
    pointTakenAt: point.takenAt,
    machineName: `leeward-test-${name}-${short}`,
    networkName: `leeward-test-${short}`,
    state: 'starting',
    step: 'choose',
    startedAt: new Date(parts.clock.now()).toISOString(),
  };
}

async function lend(run: Run): Promise<void> {
  const { record, item } = run;
  const lent = await run.parts.replica.lend(record.itemId, record.pointId, record.failoverId);
  // In the order of the source machine's disks, because firmware boots the first.
  run.disks = item.disks.flatMap(({ diskId }) => lent.filter((disk) => disk.diskId === diskId));
  if (run.disks.length !== item.disks.length)
    throw errors.PointDiskMissing(
      record.pointId,
      item.disks.find(({ diskId }) => !lent.some((disk) => disk.diskId === diskId))?.diskId ?? '',
    );
}

async function giveBack(parts: TestFailoverParts, record: TestFailoverRecord): Promise<void> {
  await parts.replica.giveBack(record.itemId, record.failoverId);
}

async function powerOn(run: Run): Promise<void> {
  const { input, record, parts } = run;
  await parts.provider.start({
    name: record.machineName,
    cpuCount: input.cpuCount,
    memoryMebibytes: input.memoryMebibytes,
    firmware: input.firmware,
    disks: run.disks.map(({ path }) => ({ path, bus: 'virtio' })),
    network: { mode: 'isolated', name: record.networkName },
    ...(input.directBoot === undefined ? {} : { directBoot: input.directBoot }),
  });
  run.record = { ...record, powerOnSeconds: secondsSince(run) };
}

async function removeMachine(parts: TestFailoverParts, record: TestFailoverRecord): Promise<void> {
  await parts.provider.remove(record.machineName);
}

async function answer(run: Run): Promise<void> {
  const { input, record, parts } = run;
  const { address } = await parts.provider.waitUntilReady(
    record.machineName,
    input.check,
    input.timeoutSeconds * 1000,
  );
  run.record = {
    ...record,
    readySeconds: secondsSince(run),
    ...(address === undefined ? {} : { address }),
  };
}

async function prove(run: Run): Promise<void> {
  const { parts, record } = run;
  const folder = join(parts.folder, record.failoverId);
  await parts.files.makeFolder(folder);
  const screenshot = join(folder, 'screen.png');
  await writeDurably(parts.files, screenshot, await parts.provider.screenshot(record.machineName));
  run.record = { ...record, screenshot };
  await writeReport(parts, run.record);
}

async function writeReport(parts: TestFailoverParts, record: TestFailoverRecord): Promise<void> {
  if (record.screenshot === undefined) return;
  await writeDurably(
    parts.files,
    join(parts.folder, record.failoverId, 'report.json'),
    Buffer.from(`${JSON.stringify(record, null, 2)}\n`),
  );
}

async function undoAll(parts: TestFailoverParts, record: TestFailoverRecord): Promise<void> {
  for (const step of steps.toReversed()) await step.undo?.(parts, record);
}

const secondsSince = (run: Run): number =>
  Math.round(run.parts.clock.monotonic() - run.startedAtMonotonic) / 1000;
