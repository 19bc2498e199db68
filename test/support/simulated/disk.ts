/**
 * A protected disk and the memory of all that was ever on it.
 *
 * Writes complete asynchronously, as on real disks: between issue and completion each 512-byte sector changes at a moment
 * of its own, so a reader in between sees old and new sectors mixed; at completion all are new, and only then does the
 * kernel tell (`onCompleted`). Reads are not atomic either: they pass over the range in pieces. Writes under way at the
 * same time never overlap (no file system does that); several may be under way. At a power loss each sector of a write
 * under way stays old or new by itself, and nobody is told.
 *
 * The memory is the oracle's: for every sector the versions it had, and between which moments each one is *legal*, that
 * is, may be found by somebody who pulls the plug: from the issue of its write to the completion of the next one. An image
 * of several disks is crash-consistent exactly when some moment is legal for every sector of every disk (`legalMoments`).
 * That is the whole oracle: it needs to know nothing of how a bookmark was made.
 */
import { strict as assert } from 'node:assert';
import type { Disk } from '../../../src/disk/disk.ts';
import { type Life, never, type Timeline } from './clock.ts';
import type { SeededRandom } from './random.ts';

export const sectorBytes = 512;
const zeroSector = Buffer.alloc(sectorBytes);
/** A read passes over so much at one moment. */
const readPieceBytes = 16 << 10;

interface Version {
  readonly content: Buffer;
  readonly fromMoment: number;
  /** The completion of the next version's write; infinite while there is none. */
  toMoment: number;
}

interface Write {
  readonly offsetBytes: number;
  readonly content: Buffer;
  /** Sectors that have changed already. */
  readonly isVisible: boolean[];
  readonly versions: Version[];
}

/** Both ends included. */
export interface Moments {
  readonly from: number;
  readonly to: number;
}

export class SimulatedDisk {
  readonly name: string;
  /** What its maker gave it; undefined: nothing, as many virtual disks. */
  wwid: string | undefined;
  /** Told at the completion of each write, in the moment itself. */
  onCompleted: (offsetBytes: number, lengthBytes: number) => void = () => {};
  /** For machines that hang or are frozen, and for the read errors of a dying disk. */
  readErrorChance = 0;
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  #content: Buffer;
  readonly #history: Version[][];
  /** Sizes that it had, and when: it may grow. */
  readonly #sizes: { readonly sizeBytes: number; readonly fromMoment: number; toMoment: number }[];
  readonly #underWay = new Set<Write>();

  constructor(name: string, sizeBytes: number, timeline: Timeline, random: SeededRandom) {
    assert(sizeBytes % sectorBytes === 0);
    this.name = name;
    this.#timeline = timeline;
    this.#sizes = [{ sizeBytes, fromMoment: 0, toMoment: Number.POSITIVE_INFINITY }];
    this.#random = random;
    this.#content = Buffer.alloc(sizeBytes);
    this.#history = Array.from({ length: sizeBytes / sectorBytes }, () => [
      { content: zeroSector, fromMoment: 0, toMoment: Number.POSITIVE_INFINITY },
    ]);
  }

  get sizeBytes(): number {
    return this.#content.byteLength;
  }

  /** What is new of it holds zeroes. */
  grow(sizeBytes: number): void {
    assert(sizeBytes % sectorBytes === 0 && sizeBytes > this.sizeBytes);
    const fromMoment = this.#timeline.moment;
    this.#content = Buffer.concat([this.#content, Buffer.alloc(sizeBytes - this.sizeBytes)]);
    this.#sizes.at(-1)!.toMoment = fromMoment;
    this.#sizes.push({ sizeBytes, fromMoment, toMoment: Number.POSITIVE_INFINITY });
    while (this.#history.length < sizeBytes / sectorBytes)
      this.#history.push([{ content: zeroSector, fromMoment: 0, toMoment: Number.POSITIVE_INFINITY }]);
  }

  /** Some other machine writes to it at this moment, and no kernel of ours sees it. */
  changeElsewhere(offsetBytes: number, content: Buffer): void {
    const whole = Buffer.from(this.#content);
    content.copy(whole, offsetBytes);
    this.revert(whole);
  }

  /** A copy as somebody makes one of a machine that is off: its history begins now. */
  clone(name: string, random: SeededRandom): SimulatedDisk {
    const copy = new SimulatedDisk(name, this.sizeBytes, this.#timeline, random);
    this.#content.copy(copy.#content);
    for (const [sector, history] of copy.#history.entries()) {
      const content = Buffer.from(copy.#content.subarray(sector * sectorBytes, (sector + 1) * sectorBytes));
      history[0] = { content, fromMoment: this.#timeline.moment, toMoment: Number.POSITIVE_INFINITY };
    }
    return copy;
  }

  get writesUnderWay(): number {
    return this.#underWay.size;
  }

  isBusyAt(offsetBytes: number, lengthBytes: number): boolean {
    for (const write of this.#underWay)
      if (
        offsetBytes < write.offsetBytes + write.content.byteLength &&
        write.offsetBytes < offsetBytes + lengthBytes
      )
        return true;
    return false;
  }

  /** Issues a write; resolves at its completion (never, when the power goes first). */
  write(offsetBytes: number, content: Buffer): Promise<void> {
    assert(
      offsetBytes % sectorBytes === 0 && content.byteLength % sectorBytes === 0 && content.byteLength > 0,
    );
    assert(
      offsetBytes + content.byteLength <= this.sizeBytes && !this.isBusyAt(offsetBytes, content.byteLength),
    );
    const count = content.byteLength / sectorBytes;
    const first = offsetBytes / sectorBytes;
    const write: Write = {
      offsetBytes,
      content,
      isVisible: new Array<boolean>(count).fill(false),
      versions: [],
    };
    for (let index = 0; index < count; index++) {
      const version: Version = {
        content: content.subarray(index * sectorBytes, (index + 1) * sectorBytes),
        fromMoment: this.#timeline.moment,
        toMoment: Number.POSITIVE_INFINITY,
      };
      write.versions.push(version);
      this.#history[first + index]!.push(version);
    }
    this.#underWay.add(write);
    const total = this.#random.chance(0.05) ? this.#random.range(5, 120) : this.#random.range(0.05, 3);
    // Some sectors land on the way, the rest at the end.
    for (let step = this.#random.between(0, 2); step > 0; step--)
      this.#timeline.after(total * this.#random.fraction(), () => this.#land(write, 0.5));
    return new Promise((resolve) => {
      this.#timeline.after(total, () => {
        if (this.#complete(write)) resolve();
      });
    });
  }

  /** Every write under way stops where it is: each sector old or new. */
  losePower(): void {
    for (const write of this.#underWay) {
      this.#land(write, this.#random.fraction());
      for (const [index, version] of write.versions.entries()) {
        const history = this.#history[write.offsetBytes / sectorBytes + index]!;
        const loser = write.isVisible[index] ? history.at(-2)! : version;
        loser.toMoment = this.#timeline.moment;
        if (loser === version) history.splice(history.indexOf(version), 1);
      }
    }
    this.#underWay.clear();
  }

  /** All of it comes to be as it was once, as a hypervisor sets a machine back. Writes under way end nowhere. */
  revert(content: Buffer): void {
    assert.equal(content.byteLength, this.sizeBytes);
    this.losePower();
    for (const [sector, history] of this.#history.entries()) {
      const before = content.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
      const newest = history.at(-1)!;
      if (newest.content.equals(before)) continue;
      newest.toMoment = this.#timeline.moment;
      history.push({
        content: before,
        fromMoment: this.#timeline.moment,
        toMoment: Number.POSITIVE_INFINITY,
      });
    }
    content.copy(this.#content);
  }

  /** The disk as one process reads and writes it. */
  open(life: Life, isGone: () => boolean = () => false): Disk {
    return new OpenedDisk(this, this.#timeline, this.#random, life, isGone);
  }

  readNow(target: Uint8Array, offsetBytes: number): void {
    assert(offsetBytes >= 0 && offsetBytes + target.byteLength <= this.sizeBytes, 'a read beyond the end');
    target.set(this.#content.subarray(offsetBytes, offsetBytes + target.byteLength));
  }

  /**
   * The moments within `window` at which a machine whose power went could have had these contents on these disks. Empty:
   * none, the image is a lie. `blame` hears where the last possible moment was lost.
   */
  static legalMoments(
    images: readonly { readonly disk: SimulatedDisk; readonly content: Buffer }[],
    window: Moments,
    blame: (text: string) => void,
  ): Moments[] {
    let possible: Moments[] = [window];
    for (const { disk, content } of images) {
      const sizes = disk.#sizes.filter(({ sizeBytes }) => sizeBytes === content.byteLength);
      possible = intersect(possible, sizes);
      if (possible.length === 0) {
        blame(`${disk.name} had ${content.byteLength} bytes at ${text(sizes)}`);
        return [];
      }
      for (let sector = 0; sector < content.byteLength / sectorBytes; sector++) {
        const versions = disk.#history[sector]!;
        const found = content.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
        const matching = versions.filter((version) => version.content.equals(found));
        const next = intersect(possible, matching);
        if (next.length === 0) {
          const newest = versions.at(-1)!;
          blame(
            `${disk.name} sector ${sector} (block ${sector >> 3}): has ${describe(found)}, legal in ${text(matching)}; ` +
              `the rest of the image is of ${text(possible)}; now the disk has ${describe(newest.content)} since ${newest.fromMoment}`,
          );
          return [];
        }
        possible = next;
      }
    }
    return possible;
  }

  #land(write: Write, chance: number): void {
    if (!this.#underWay.has(write)) return;
    for (let index = 0; index < write.isVisible.length; index++) {
      if (write.isVisible[index] || !this.#random.chance(chance)) continue;
      this.#show(write, index);
    }
  }

  #show(write: Write, index: number): void {
    write.isVisible[index] = true;
    const start = index * sectorBytes;
    write.content.copy(this.#content, write.offsetBytes + start, start, start + sectorBytes);
  }

  #complete(write: Write): boolean {
    if (!this.#underWay.delete(write)) return false;
    for (let index = 0; index < write.isVisible.length; index++) {
      this.#show(write, index);
      const history = this.#history[write.offsetBytes / sectorBytes + index]!;
      // Legal up to the moment before: at this one the write is completed, and a power loss cannot undo it.
      history.at(-2)!.toMoment = this.#timeline.moment - 1;
    }
    this.onCompleted(write.offsetBytes, write.content.byteLength);
    return true;
  }
}

function intersect(
  left: readonly Moments[],
  versions: readonly Pick<Version, 'fromMoment' | 'toMoment'>[],
): Moments[] {
  const result: Moments[] = [];
  for (const one of left)
    for (const version of versions) {
      const from = Math.max(one.from, version.fromMoment);
      const to = Math.min(one.to, version.toMoment);
      if (from <= to) result.push({ from, to });
    }
  // Two versions of the same content overlap while the second is under way.
  result.sort((a, b) => a.from - b.from);
  const joined: Moments[] = [];
  for (const one of result) {
    const last = joined.at(-1);
    if (last && one.from <= last.to + 1)
      joined[joined.length - 1] = { from: last.from, to: Math.max(last.to, one.to) };
    else joined.push(one);
  }
  return joined;
}

function text(moments: readonly (Moments | Pick<Version, 'fromMoment' | 'toMoment'>)[]): string {
  if (moments.length === 0) return 'no moment at all';
  return moments
    .map((one) => ('from' in one ? `${one.from}-${one.to}` : `${one.fromMoment}-${one.toMoment}`))
    .join(', ');
}

function describe(sector: Buffer): string {
  if (sector.equals(zeroSector)) return 'zeroes';
  return `"${sector
    .subarray(0, 24)
    .toString('latin1')
    .replaceAll(/[^ -~]/g, '.')}"`;
}

class OpenedDisk implements Disk {
  readonly #disk: SimulatedDisk;
  readonly #timeline: Timeline;
  readonly #random: SeededRandom;
  readonly #life: Life;
  readonly #isGone: () => boolean;
  /** As it was when it was opened. */
  readonly sizeBytes: number;

  constructor(
    disk: SimulatedDisk,
    timeline: Timeline,
    random: SeededRandom,
    life: Life,
    isGone: () => boolean,
  ) {
    this.#isGone = isGone;
    this.sizeBytes = disk.sizeBytes;
    this.#disk = disk;
    this.#timeline = timeline;
    this.#random = random;
    this.#life = life;
  }

  #wait(): Promise<void> {
    if (this.#life.hasEnded) return never();
    return new Promise((resolve) => {
      this.#timeline.after(this.#random.range(0.02, 0.4), resolve, this.#life);
    });
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    assert(offsetBytes % sectorBytes === 0, 'reads are aligned');
    for (let done = 0; done < target.byteLength; done += readPieceBytes) {
      await this.#wait();
      if (this.#isGone())
        throw Object.assign(new Error(`ENXIO: simulated, ${this.#disk.name} is gone`), { code: 'ENXIO' });
      if (this.#random.chance(this.#disk.readErrorChance))
        throw Object.assign(new Error(`EIO: simulated, ${this.#disk.name}`), { code: 'EIO' });
      this.#disk.readNow(target.subarray(done, done + readPieceBytes), offsetBytes + done);
    }
  }

  write(): Promise<void> {
    throw new assert.AssertionError({ message: `nobody writes to the protected disk ${this.#disk.name}` });
  }

  async flush(): Promise<void> {
    await this.#wait();
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
