/**
 * A whole world in one process: protected machines, the site's process server, the vault; and somebody who breaks things.
 *
 *     machine ─┐                                             ┌ memory of records (survives, commits whole)
 *     machine ─┼─ links ─▶ process server ─ cache road ─▶ vault: cache folder, log processor, replica disks
 *     machine ─┘   cut, mute, flip     lose, cut, flip       kill, power, full, EIO, bit rot
 *
 * First comes trouble: work and faults for a while. Then quiet: no more faults, everything that was down comes back, and
 * the world must heal by itself within a limit: every disk in sync, and a new recovery point of every machine. All the while the oracle looks at every recovery point.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { CacheStore } from '../../src/protocol/cache/cache-store.ts';
import { type Frame, FrameType } from '../../src/protocol/replication/frame.ts';
import { type Link, linkBroken } from '../../src/protocol/replication/link.ts';
import { Archive } from '../../src/vault/log-processor/archive.ts';
import { ReflinkStore } from '../../src/vault/replica/reflink-store.ts';
import { MemoryStore } from '../../src/vault/store/memory-store.ts';
import { ProtectedItem } from '../../src/vault/store/vault-store.ts';
import { type VerifyResult, verifyItem } from '../../src/vault/verify/verify.ts';
import { Life, never, Timeline, WallClock } from '../support/simulated/clock.ts';
import { SimulatedDrive } from '../support/simulated/files.ts';
import { SimulatedConnection } from '../support/simulated/link.ts';
import { SeededRandom } from '../support/simulated/random.ts';
import type { CacheRoadFaults } from './cache-road.ts';
import { type Defect, startMobilityService, startProcessServer, startVault } from './composition.ts';
import { EventLog } from './event-log.ts';
import { type Fault, type FaultName, faults, scheduleFaults } from './faults.ts';
import { House } from './house.ts';
import { Machine } from './machine.ts';
import { Oracle } from './oracle.ts';

export interface WorldOptions {
  readonly seed: string;
  /** Which faults may happen; all when not given. */
  readonly faults?: readonly FaultName[];
  /** Faults stop after so many; for narrowing down. */
  readonly faultsMax?: number;
  /** The world ends at this moment (the number behind # in the log). */
  readonly untilMoment?: number;
  readonly troubleSeconds?: number;
  /** How long the world may take to heal; three hours when not given. */
  readonly healingMinutesMax?: number;
  readonly print?: (line: string) => void;
  readonly defect?: Defect;
  /** `stand-in`: the plainest sender that keeps the rules, in place of the real control room. */
  readonly service?: 'real' | 'stand-in';
}

export interface Outcome {
  readonly seed: string;
  /** Empty: all promises were kept. */
  readonly failures: readonly string[];
  readonly digest: string;
  readonly lastLines: readonly string[];
  readonly pointsJudged: number;
  readonly looks: number;
  readonly faultCount: number;
  readonly simulatedSeconds: number;
  readonly moments: number;
}

/** The ladder of retries goes 1, 2, 4, 8, 10, 30 minutes: whoever failed five times in trouble waits half an hour. */
const healingMinutesMax = 180;

/** Every point of the day, or thinned as soon as a minute has passed. */
const retentions = [
  [{ untilSeconds: 86_400, everySeconds: 0 }],
  [
    { untilSeconds: 60, everySeconds: 0 },
    { untilSeconds: 86_400, everySeconds: 30 },
  ],
];

export interface Site {
  readonly machine: Machine;
  readonly itemId: string;
  readonly diskIds: readonly string[];
  readonly itemKey: Buffer;
  readonly house: House;
}

interface Clone {
  readonly house: House;
  readonly machine: Machine;
  readonly site: Site;
}

interface Revert {
  readonly site: Site;
  /** The last generation of the future that was undone. */
  readonly reached: number;
}

/** Of the real service and of the stand-in. */
const statePaths = ['/leeward/state.json', '/leeward/generation'];

const generationOf = (text: string) => Number(/\d+$|(?<="generation":)\d+/.exec(text)?.[0] ?? 0);

function raiseGeneration({ drive }: Machine, generation: number): void {
  for (const path of statePaths) {
    const text = drive.peek(path)?.toString();
    if (text && generation > generationOf(text))
      drive.place(path, Buffer.from(text.replace(String(generationOf(text)), String(generation))));
  }
}

export class World {
  readonly options: WorldOptions;
  readonly timeline = new Timeline();
  readonly random: SeededRandom;
  readonly log: EventLog;
  readonly oracle: Oracle;
  readonly store = new MemoryStore();
  readonly sites: Site[] = [];
  readonly processServer: House;
  readonly processServerDrive: SimulatedDrive;
  readonly vault: House;
  readonly vaultDrive: SimulatedDrive;
  readonly siteWall = new WallClock(Date.UTC(2026, 0, 1));
  readonly vaultWall = new WallClock(Date.UTC(2026, 0, 1) + 3);
  readonly cacheFaults: CacheRoadFaults = { isClosed: false, lossChance: 0, flipChance: 0 };
  /** What the process server listens with; undefined while it does not. */
  accept: ((link: Link) => void) | undefined;
  /** The vault's own cache store while it is up. */
  cache: CacheStore | undefined;
  connections: SimulatedConnection[] = [];
  isSiteNetworkDown = false;
  isQuiet = false;
  faultCount = 0;
  readonly failures: string[] = [];
  /** Folders of the process server that go when its spool's disk dies. */
  readonly spoolPaths = ['/process-server'];
  readonly #clones: Clone[] = [];
  readonly #reverts: Revert[] = [];
  #dialled = 0;
  /** For the defect that takes every session for the newest. */
  renumbered = 0;

  constructor(options: WorldOptions) {
    this.options = options;
    this.random = new SeededRandom(options.seed);
    this.log = new EventLog(this.timeline, options.print);
    this.oracle = new Oracle(this.timeline, (failure) => this.fail(failure));
    this.processServerDrive = new SimulatedDrive(this.timeline, this.random.fork('drive/process-server'));
    this.vaultDrive = new SimulatedDrive(this.timeline, this.random.fork('drive/vault'));
    const parts = { timeline: this.timeline, random: this.random, log: this.log };
    this.processServer = new House('process-server', parts, (life) => startProcessServer(this, life));
    this.vault = new House('vault', parts, (life) => startVault(this, life));
    const machineCount = this.random.between(1, 2);
    for (let index = 0; index < machineCount; index++) this.#addSite(`machine${index}`);
  }

  #addSite(name: string): void {
    const random = this.random.fork(name);
    const diskBytes = Array.from({ length: random.between(1, 2) }, () => random.between(20, 96) * 4096);
    const machine = new Machine(this.timeline, random, { name, diskBytes });
    machine.install();
    const site: Site = {
      machine,
      itemId: random.uuid(),
      diskIds: diskBytes.map(() => random.uuid()),
      itemKey: random.bytes(32),
      house: new House(name, { timeline: this.timeline, random: this.random, log: this.log }, (life) =>
        startMobilityService(this, site, life),
      ),
    };
    this.sites.push(site);
  }

  fail(failure: string): void {
    this.failures.push(failure);
    this.log.add('ORACLE', failure);
  }

  /** A machine reaches for the process server. */
  async dial(site: Site, machine: Machine, life: Life): Promise<Link> {
    await this.wait(life, 1, 30);
    const accept = this.accept;
    const server = this.processServer.life;
    if (!accept || !server || server.hasEnded || this.isSiteNetworkDown)
      throw linkBroken('process-server/site', 'nobody answers');
    const connection = new SimulatedConnection(
      this.timeline,
      this.random.fork(`link/${this.#dialled++}`),
      { life, name: site.itemId },
      { life: server, name: 'process-server/site' },
      (frame, from) => this.#tap(site, machine, frame, from),
    );
    this.connections = this.connections.filter((one) => one.isOpen);
    this.connections.push(connection);
    accept(connection.receiver);
    return connection.sender;
  }

  #tap(site: Site, machine: Machine, frame: Frame, from: 'sender' | 'receiver'): void {
    if (from !== 'sender' || frame.type !== FrameType.bookmark) return;
    const bookmark = JSON.parse(Buffer.from(frame.payload).toString()) as {
      bookmarkId: string;
      takenAt: string;
      missingDisks?: { diskId: string }[];
    };
    const without = bookmark.missingDisks?.map(({ diskId }) => site.diskIds.indexOf(diskId)) ?? [];
    this.oracle.sawBookmark(machine, bookmark, without);
  }

  /** Somebody starts a copy of a machine, service and all, while the original goes on: two sessions for one item. */
  cloneMachine(site: Site): void {
    const name = `${site.machine.name}-clone${this.#clones.length}`;
    const random = this.random.fork(name);
    const diskBytes = site.diskIds.map((_, index) => site.machine.disks[index]!.sizeBytes);
    const machine = new Machine(this.timeline, random, { name, diskBytes, cloneOf: site.machine });
    machine.drive.copyFrom(site.machine.drive);
    const house = new House(name, { timeline: this.timeline, random: this.random, log: this.log }, (life) =>
      startMobilityService(this, { ...site, machine }, life),
    );
    const clone = { house, machine, site };
    this.#clones.push(clone);
    house.start();
    this.timeline.after(this.random.range(5000, 60_000), () => this.#endClone(clone, site));
  }

  /** Somebody notices, and switches the copy off. The original's service has stopped for good: it is started again. */
  #endClone(clone: Clone, site?: Site): void {
    clone.house.isWanted = false;
    clone.house.kill();
    clone.machine.losePower();
    // The operator settles who is who: the original goes on above all that the copy has counted up to.
    for (const path of statePaths) {
      const theirs = clone.machine.drive.peek(path)?.toString();
      if (theirs) raiseGeneration((site ?? clone.site).machine, generationOf(theirs));
    }
    if (!site) return;
    site.house.kill();
    site.house.startSoon();
  }

  endClones(): void {
    for (const clone of this.#clones) this.#endClone(clone);
    if (this.#clones.length > 0) for (const site of this.sites) site.house.kill();
  }

  /**
   * A snapshot of a machine with its memory, and some time later it is set back to it: maps, state and disks of the past,
   * and a process server that has seen the future. A service's own memory cannot be copied here, so the snapshot is of a
   * moment in which the service is down in good order and all it knows is in its files and in the kernel.
   */
  revertMachine(site: Site): void {
    const { house, machine } = site;
    if (!house.isUp || !house.stop) return;
    house.stop();
    const kernel = machine.life;
    this.timeline.after(this.random.range(1000, 15_000), () => {
      house.kill();
      void machine.untilQuiet(kernel).then(() => {
        const goBack = machine.snapshot();
        this.log.add('world', `snapshot of ${machine.name}`);
        house.startSoon(10, 2000);
        const { changes } = machine;
        this.timeline.after(this.random.range(3000, 60_000), () => {
          // Disks that came or went since are no part of what a hypervisor sets back.
          if (this.isQuiet || machine.changes !== changes) return;
          for (const connection of this.connections) if (this.random.chance(0.5)) connection.mute();
          house.kill();
          const reached = generationOf(machine.drive.peek('/leeward/state.json')?.toString() ?? '');
          goBack();
          this.log.add('world', `${machine.name} is set back`);
          house.startSoon(10, 2000);
          const revert = { site, reached };
          this.#reverts.push(revert);
          this.timeline.after(this.random.range(30_000, 90_000), () => this.#endRevert(revert));
        });
      });
    });
  }

  /** A service that was refused as a copy stands still; somebody says that it is the machine to protect. */
  #endRevert({ site, reached }: Revert): void {
    const { house, machine } = site;
    if (house.isUp) return;
    raiseGeneration(machine, reached);
    house.startSoon();
  }

  endReverts(): void {
    for (const revert of this.#reverts) this.#endRevert(revert);
  }

  wait(life: Life, low: number, high: number): Promise<void> {
    if (life.hasEnded) return never();
    return new Promise((resolve) => {
      this.timeline.after(this.random.range(low, high), resolve, life);
    });
  }

  replicaPath(itemId: string, pointId: string, diskId: string): string {
    return `/replicas/${itemId}/points/${pointId}/${diskId}.raw`;
  }

  /** Of each disk; undefined: the point has none. */
  pointContent(site: Site, pointId: string, side: 'cached' | 'durable' = 'cached'): (Buffer | undefined)[] {
    return site.diskIds.map((diskId) => {
      const path = this.replicaPath(site.itemId, pointId, diskId);
      return side === 'cached' ? this.vaultDrive.peek(path) : this.vaultDrive.peekDurable(path);
    });
  }

  /** All recovery points that are on record still have their bytes. */
  async lookAtAllPoints(): Promise<void> {
    for (const site of this.sites)
      for (const point of await this.store.listPoints(site.itemId as never, { limit: 1000 }))
        this.oracle.look(point.pointId, this.pointContent(site, point.pointId));
  }

  async #isHealed(sinceMilliseconds: number): Promise<{ readonly missing: string[] }> {
    const missing: string[] = [];
    for (const { machine, itemId, diskIds } of this.sites) {
      const state = await this.store.state(itemId as never);
      const out = state.disks
        .filter((disk) => disk.state !== 'in-sync')
        .map((disk) => `${disk.state} ${disk.cause ?? ''}`);
      if (state.disks.length !== diskIds.length)
        out.push(`${state.disks.length} of ${diskIds.length} disks known`);
      if (state.blocked) out.push(`blocked: ${state.blocked.event.code}`);
      // Not the newest by its own word: clocks have jumped.
      const points = await this.store.listPoints(itemId as never, { limit: 10_000 });
      // And one that has all disks: those that were missing are back.
      const processed = points
        .filter((point) => this.oracle.isWhole(point.pointId))
        .map((point) => Date.parse(point.processedAt) - this.vaultWall.offsetMilliseconds);
      if (!processed.some((at) => at >= sinceMilliseconds))
        out.push(`none of ${points.length} recovery points is from quiet times`);
      if (out.length > 0) missing.push(`${machine.name}: ${out.join(', ')}`);
    }
    return { missing };
  }

  async run(): Promise<Outcome> {
    const untilMoment = this.options.untilMoment ?? Number.POSITIVE_INFINITY;
    const isOver = () => this.failures.length > 0 || this.timeline.moment >= untilMoment;
    const onStray = (error: unknown) =>
      this.fail(`an error that nobody handled: ${(error as Error)?.stack ?? error}`);
    process.on('unhandledRejection', onStray);
    try {
      for (const { machine, itemId, diskIds, itemKey } of this.sites)
        await this.store.addItem(
          ProtectedItem.parse({
            itemId,
            name: machine.name,
            processServer: 'site',
            disks: diskIds.map((diskId, index) => ({ diskId, path: `/dev/disk${index}` })),
            retention: { rules: this.random.fork('retention').choose(retentions) },
            createdAt: new Date(this.vaultWall.offsetMilliseconds).toISOString(),
          }),
          itemKey,
        );
      this.vault.start();
      this.processServer.start();
      for (const site of this.sites) site.house.start();
      scheduleFaults(this);
      const troubleMilliseconds = (this.options.troubleSeconds ?? this.random.between(60, 400)) * 1000;
      await this.timeline.run(troubleMilliseconds, isOver);
      if (!isOver()) await this.#heal(isOver);
      await this.lookAtAllPoints();
      await turn();
    } finally {
      process.off('unhandledRejection', onStray);
    }
    return {
      seed: this.options.seed,
      failures: this.failures,
      digest: this.log.digest(),
      lastLines: this.log.lines.slice(-60),
      pointsJudged: this.oracle.judged,
      looks: this.oracle.looks,
      faultCount: this.faultCount,
      simulatedSeconds: Math.round(this.timeline.nowMilliseconds / 1000),
      moments: this.timeline.moment,
    };
  }

  /** `leeward verify` as an operator would run it now: chain, sums and points of everything that is kept. */
  async #verify(isOver: () => boolean): Promise<void> {
    const life = new Life('verify');
    const files = this.vaultDrive.files(life);
    const replica = new ReflinkStore({ folder: '/replicas', files });
    const archive = new Archive({ files, folder: '/archive' });
    for (const { itemId, itemKey, machine } of this.sites) {
      const item = await this.store.item(itemId as never);
      let result: VerifyResult | undefined;
      verifyItem({ item: item!, itemKey, store: this.store, replica, archive }, () => {}).then(
        (verified) => {
          result = verified;
        },
        (error: unknown) => this.fail(`${machine.name} cannot be verified: ${error}`),
      );
      await this.timeline.run(
        this.timeline.nowMilliseconds + 600_000,
        () => result !== undefined || isOver(),
      );
      for (const { code, summary } of result?.findings ?? [])
        this.fail(`verify of ${machine.name}: ${code}: ${summary}`);
      if (!result && !isOver()) this.fail(`verify of ${machine.name} does not end`);
    }
  }

  async #heal(isOver: () => boolean): Promise<void> {
    this.isQuiet = true;
    this.log.add('world', 'quiet: no more faults from here on');
    for (const name of Object.keys(faults) as FaultName[]) (faults[name] as Fault).heal?.(this);
    for (const house of [this.vault, this.processServer, ...this.sites.map((site) => site.house)]) {
      house.isWanted = true;
      house.startSoon(0, 1000);
    }
    for (const { machine } of this.sites) machine.calm();
    const since = this.timeline.nowMilliseconds + 2000;
    const limit = (this.options.healingMinutesMax ?? healingMinutesMax) * 60_000;
    let missing: string[] = [];
    // Asked once in a simulated second; the deaths of a house in quiet times are its own.
    for (let at = since; at < since + limit && !isOver(); at += 1000) {
      await this.timeline.run(at, isOver);
      ({ missing } = await this.#isHealed(since));
      if (missing.length === 0) return this.#verify(isOver);
    }
    if (!isOver()) this.fail(`not healed after ${limit / 60_000} quiet minutes: ${missing.join('; ')}`);
  }
}
