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

export class Machine {
  readonly name: string;
  readonly disks: readonly SimulatedDisk[];
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
    this.disks = shape.diskBytes.map((sizeBytes, index) => {
      const forked = random.fork(`disk${index}`);
      if (cloneOf) return cloneOf.disks[index]!.clone(`${shape.name}/disk${index}`, forked);
      return new SimulatedDisk(`${shape.name}/disk${index}`, sizeBytes, timeline, forked);
    });
    this.ring = new SimulatedRing(this.disks);
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
    const step = () => {
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
        disk = this.#random.choose(this.disks);
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
