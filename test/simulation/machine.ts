/**
 * A protected machine: disks, an application that writes to them without end, a kernel that traces it, a wall clock that
 * may jump, and a system drive where the mobility service keeps its own state. Which service runs on it is the world's
 * affair (`world.ts`).
 */
import { strict as assert } from 'node:assert';
import type { Freezer, FreezeSession } from '../../src/mobility-service/consistency/freezer.ts';
import { SimulatedRing } from '../support/simulated/capture.ts';
import { Life, never, type Timeline, WallClock } from '../support/simulated/clock.ts';
import { SimulatedDisk, sectorBytes } from '../support/simulated/disk.ts';
import { SimulatedDrive } from '../support/simulated/files.ts';
import type { SeededRandom } from '../support/simulated/random.ts';

const blockBytes = 4096;
/** Of the mobility service: all that is on a machine's system drive. */
const stateFolder = '/leeward';
/** In every sector that an application writes: what may never be seen in cache storage. */
export const plainPattern = 'PLAIN-DATA-OF-';

export interface MachineShape {
  readonly name: string;
  readonly diskBytes: readonly number[];
  /** Its disks and files are copied, instead of being empty. */
  readonly cloneOf?: Machine;
}

/** Where a disk can be attached: `/dev/disk0`, which is also the number that the kernel reports it under. */
interface Slot {
  disk: SimulatedDisk | undefined;
  /** Of this attachment, in this boot. */
  sequence: number;
}

export class Machine {
  readonly name: string;
  /**
   * Of each protected disk, which one it is. Where disks have names, that stays so wherever it is attached, until another one
   * takes its place for good; where they have none, it is whatever is at its place.
   */
  readonly disks: SimulatedDisk[];
  readonly slots: readonly Slot[];
  readonly hasNames: boolean;
  /** How often disks came, went, grew or were replaced. */
  changes = 0;
  #sequence = 0;
  #made = 0;
  readonly #truths: { readonly fromMoment: number; readonly disks: readonly SimulatedDisk[] }[] = [];
  readonly ring: SimulatedRing;
  readonly drive: SimulatedDrive;
  readonly wall = new WallClock(Date.UTC(2026, 0, 1));
  bootId: string;
  isFrozen = false;
  /** Of everything that runs on the machine; ends with a power loss. */
  life: Life;
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  #writes = 0;
  #isIdle = false;
  #onWriteDone: () => void = () => {};

  constructor(timeline: Timeline, random: SeededRandom, shape: MachineShape) {
    this.name = shape.name;
    this.#timeline = timeline;
    this.#random = random;
    const { cloneOf } = shape;
    this.hasNames = cloneOf ? cloneOf.hasNames : random.fork('names').chance(0.5);
    this.disks = shape.diskBytes.map((sizeBytes, index) => {
      const forked = random.fork(`disk${index}`);
      const disk = cloneOf
        ? cloneOf.disks[index]!.clone(`${shape.name}/disk${index}`, forked)
        : new SimulatedDisk(`${shape.name}/disk${index}`, sizeBytes, timeline, forked);
      disk.wwid = this.hasNames ? `wwid-${index}` : undefined;
      return disk;
    });
    this.ring = new SimulatedRing();
    this.slots = this.disks.map((disk) => ({ disk, sequence: ++this.#sequence }));
    for (const [index, disk] of this.disks.entries()) this.ring.attached(disk, index);
    this.#settle();
    this.drive = new SimulatedDrive(timeline, random.fork('drive'));
    this.bootId = random.uuid();
    this.life = new Life(`${this.name}/kernel`);
    this.#startApplications();
  }

  /** Every process of it must have ended already. Comes back at once as far as disks are concerned. */
  losePower(): void {
    this.life.end();
    for (const disk of this.disks) disk.losePower();
    this.drive.losePower();
    this.ring.clear();
    this.isFrozen = false;
  }

  boot(): void {
    this.bootId = this.#random.uuid();
    // The kernel counts from the beginning again.
    this.#sequence = 0;
    for (const slot of this.slots) slot.sequence = ++this.#sequence;
    this.life = new Life(`${this.name}/kernel`);
    this.#startApplications();
  }

  /**
   * What a hypervisor keeps of a machine with its memory: disks, the kernel's ring, the boot. No write is under way, no
   * service runs. What is answered sets it back; every process of it must have ended.
   */
  snapshot(): () => void {
    const contents = this.disks.map((disk) => {
      const content = Buffer.alloc(disk.sizeBytes);
      disk.readNow(content, 0);
      return content;
    });
    const { bootId } = this;
    const ring = this.ring.snapshot();
    const drive = new SimulatedDrive(this.#timeline, this.#random.fork('snapshot'));
    drive.copyFrom(this.drive);
    return () => {
      this.life.end();
      for (const [index, disk] of this.disks.entries()) disk.revert(contents[index]!);
      ring();
      this.drive.destroy(stateFolder);
      this.drive.copyFrom(drive);
      this.bootId = bootId;
      this.isFrozen = false;
      this.life = new Life(`${this.name}/kernel`);
      this.#startApplications();
    };
  }

  /** Writes under way end as when the power goes; whoever has it open gets errors. */
  detach(index: number): SimulatedDisk | undefined {
    const slot = this.slots[index]!;
    const { disk } = slot;
    if (!disk) return undefined;
    disk.losePower();
    this.ring.detached(disk);
    slot.disk = undefined;
    this.changes++;
    return disk;
  }

  attach(index: number, disk: SimulatedDisk): void {
    const slot = this.slots[index]!;
    assert(slot.disk === undefined);
    slot.disk = disk;
    slot.sequence = ++this.#sequence;
    this.ring.attached(disk, index);
    this.changes++;
    this.#settle();
  }

  grow(index: number, bytes: number): void {
    const { disk } = this.slots[index]!;
    if (!disk) return;
    disk.grow(disk.sizeBytes + bytes);
    this.changes++;
  }

  /** What was written to it while nobody of this machine could see it. */
  changeElsewhere(disk: SimulatedDisk): void {
    for (let count = this.#random.between(0, 4); count > 0; count--) {
      const block = this.#random.between(0, disk.sizeBytes / blockBytes - 1);
      disk.changeElsewhere(block * blockBytes, this.#content(blockBytes));
    }
  }

  /** Another disk of that size takes its place, for good. */
  replace(index: number): void {
    const old = this.detach(index);
    if (!old) return;
    const name = `${this.name}/disk${index}-${++this.#made}`;
    const disk = new SimulatedDisk(name, old.sizeBytes, this.#timeline, this.#random.fork(name));
    disk.wwid = this.hasNames ? name : undefined;
    for (let block = 0; block < disk.sizeBytes / blockBytes; block++)
      if (this.#random.chance(0.5)) disk.changeElsewhere(block * blockBytes, this.#content(blockBytes));
    this.disks[this.disks.indexOf(old)] = disk;
    this.attach(index, disk);
  }

  /** Of each protected disk: which ones it was within the window, and whether it was there. */
  truths(window: { readonly from: number; readonly to: number }): (readonly SimulatedDisk[])[] {
    const known = this.#truths.filter(
      ({ fromMoment }, at) =>
        fromMoment <= window.to &&
        (this.#truths[at + 1]?.fromMoment ?? Number.POSITIVE_INFINITY) >= window.from,
    );
    return this.disks.map((_, index) => [...new Set(known.map(({ disks }) => disks[index]!))]);
  }

  #settle(): void {
    if (!this.hasNames)
      for (const [index, { disk }] of this.slots.entries()) if (disk) this.disks[index] = disk;
    this.#truths.push({ fromMoment: this.#timeline.moment, disks: [...this.disks] });
  }

  /** The world ends its faults: applications write calmly from now on, with pauses. */
  calm(): void {
    this.#isIdle = true;
  }

  /** Fills part of the disks before protection begins, as an installed machine would be. */
  install(): void {
    for (const disk of this.disks) {
      const count = disk.sizeBytes / blockBytes;
      for (let block = 0; block < count; block++)
        if (this.#random.chance(0.6) && !disk.isBusyAt(block * blockBytes, blockBytes))
          void disk.write(block * blockBytes, this.#content(blockBytes));
    }
  }

  /** File systems of this machine, as the consistency room sees them. */
  freezer(life: Life): Freezer {
    return {
      prepare: async () => {
        await this.#wait(life, 1, 30);
        if (this.#random.chance(0.05))
          throw Object.assign(new Error('simulated: no helper'), { code: 'FreezeFailed' });
        return new SimulatedFreeze(this, this.#timeline, this.#random, life);
      },
      pre: () => this.#wait(life, 1, 50),
      post: () => this.#wait(life, 1, 50),
    };
  }

  async untilQuiet(life: Life): Promise<void> {
    while (this.disks.some((disk) => disk.writesUnderWay > 0))
      await new Promise<void>((resolve) => {
        this.#timeline.after(1, resolve, life);
      });
  }

  #wait(life: Life, low: number, high: number): Promise<void> {
    if (life.hasEnded) return never();
    return new Promise((resolve) => {
      this.#timeline.after(this.#random.range(low, high), resolve, life);
    });
  }

  #startApplications(): void {
    const { life } = this;
    const schedule = (milliseconds: number) => this.#timeline.after(milliseconds, step, life);
    let mode: 'random' | 'burst' | 'hot' | 'discard' | 'rest' = 'rest';
    let left = 0;
    let position = 0;
    let disk = this.disks[0]!;
    const isAttached = () => this.slots.some((slot) => slot.disk === disk);
    const step = () => {
      if (!isAttached()) left = 0;
      if (this.isFrozen) return void schedule(5);
      if (left-- <= 0) {
        mode = this.#random.weighted({
          random: 3,
          burst: 2,
          hot: 2,
          discard: 1,
          rest: this.#isIdle ? 20 : 4,
        });
        if (mode === 'rest') return void schedule(this.#random.range(200, this.#isIdle ? 6000 : 3000));
        const attached = this.slots.flatMap((slot) => slot.disk ?? []);
        if (attached.length === 0) return void schedule(500);
        disk = this.#random.choose(attached);
        left = this.#random.between(1, mode === 'discard' ? 3 : 40);
        position = this.#random.between(0, disk.sizeBytes / blockBytes - 1);
      }
      if (mode === 'random') position = this.#random.between(0, disk.sizeBytes / blockBytes - 1);
      const blocks =
        mode === 'discard' ? this.#random.between(1, 64) : this.#random.between(1, mode === 'burst' ? 8 : 2);
      const offsetBytes = position * blockBytes;
      let lengthBytes = Math.min(blocks * blockBytes, disk.sizeBytes - offsetBytes);
      // Some file systems write single sectors.
      if (mode === 'hot' && this.#random.chance(0.3)) lengthBytes = sectorBytes * this.#random.between(1, 7);
      if (!disk.isBusyAt(offsetBytes, lengthBytes)) {
        const content =
          mode === 'discard' || this.#random.chance(0.03)
            ? Buffer.alloc(lengthBytes)
            : this.#content(lengthBytes);
        disk.write(offsetBytes, content).then(() => this.#onWriteDone(), assert.fail);
      }
      if (mode === 'burst') position = (position + blocks) % (disk.sizeBytes / blockBytes);
      schedule(this.#random.range(0.1, mode === 'burst' ? 4 : 60));
    };
    schedule(this.#random.range(1, 100));
  }

  /** Every sector says which write it is of, so that no two are alike; the rest of it compresses about as text does. */
  #content(lengthBytes: number): Buffer {
    const content = Buffer.alloc(lengthBytes);
    const write = ++this.#writes;
    for (let sector = 0; sector < lengthBytes / sectorBytes; sector++) {
      const text = `${plainPattern}${this.name} write ${write} sector ${sector} `;
      content.fill(text, sector * sectorBytes, (sector + 1) * sectorBytes);
      content.writeUInt32LE(this.#random.word(), sector * sectorBytes + 508);
    }
    return content;
  }
}

/** The helper thaws by itself at the deadline, also when the service has died meanwhile. */
class SimulatedFreeze implements FreezeSession {
  readonly mountPoints = ['/'];
  readonly #machine: Machine;
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  readonly #life: Life;
  #state: 'open' | 'frozen' | 'expired' | 'thawed' = 'open';
  #frozenAt = 0;

  constructor(machine: Machine, timeline: Timeline, random: SeededRandom, life: Life) {
    this.#machine = machine;
    this.#timeline = timeline;
    this.#random = random;
    this.#life = life;
  }

  async writeBack(): Promise<void> {
    // Simulated disks are written straight.
  }

  async freeze(deadlineMilliseconds: number): Promise<void> {
    if (this.#random.chance(0.05)) throw Object.assign(new Error('simulated: busy'), { code: 'FreezeBusy' });
    this.#machine.isFrozen = true;
    this.#state = 'frozen';
    this.#frozenAt = this.#timeline.nowMilliseconds;
    this.#timeline.after(
      deadlineMilliseconds,
      () => {
        if (this.#state !== 'frozen') return;
        this.#state = 'expired';
        this.#machine.isFrozen = false;
      },
      this.#machine.life,
    );
    await this.#machine.untilQuiet(this.#life);
  }

  async thaw(): Promise<{ readonly frozenMilliseconds: number }> {
    if (this.#state !== 'frozen')
      throw Object.assign(new Error('simulated: somebody thawed before'), { code: 'FreezeExpired' });
    this.#state = 'thawed';
    this.#machine.isFrozen = false;
    return { frozenMilliseconds: this.#timeline.nowMilliseconds - this.#frozenAt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'frozen') await this.thaw();
  }
}
