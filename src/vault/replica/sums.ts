/**
 * `<disk>.sums`: one unsigned 32-bit number, little endian, for each 4 KiB block of a replica disk, so that `verify`
 * can find a flipped bit at rest without reading history. They are kept up while segments are applied and are cloned
 * with each recovery point.
 *
 *     sum(block) = 0                                     when every byte is zero
 *                = CRC-32(block) xor CRC-32(4096 zeroes) otherwise, with 1 in place of 0
 *
 * So a hole in the file is the sum of zeroes, a sparse disk has sparse sums, and 0 means *is zero*, not *probably*.
 * The disk's tail, when it is shorter than a block, counts as filled up with zeroes.
 */
import { crc32 } from 'node:zlib';
import { blockBytes } from '../../disk/disk.ts';
import type { OpenFile } from '../../platform/files.ts';
import { sumPagesMax } from '../limits.ts';

const zeroBlock = Buffer.alloc(blockBytes);
const zeroCrc = crc32(zeroBlock);
export const sumBytes = 4;
const pageBytes = 4096;
const sumsPerPage = pageBytes / sumBytes;
/** Written in one go: 1 MiB. */
const spillPagesMax = 256;

/** The sum of one block; shorter than a block only at the disk's tail. */
export function sumOf(block: Uint8Array): number {
  let whole = block;
  if (block.byteLength < blockBytes) {
    whole = new Uint8Array(blockBytes);
    whole.set(block);
  }
  const mixed = (crc32(whole) ^ zeroCrc) >>> 0;
  // Only a block that has the checksum of zeroes is looked at.
  if (mixed !== 0) return mixed;
  return Buffer.compare(whole, zeroBlock) === 0 ? 0 : 1;
}

/** The sums of blocks that lie one after the other. */
export function sumsOf(source: Uint8Array): Uint32Array<ArrayBuffer> {
  const sums = new Uint32Array(Math.ceil(source.byteLength / blockBytes));
  for (let i = 0; i < sums.length; i++)
    sums[i] = sumOf(source.subarray(i * blockBytes, (i + 1) * blockBytes));
  return sums;
}

/**
 * The sums of an open head: a bounded cache of pages. Writers may overlap in time; each change of a page is made in one
 * step, and a page that changes while it is written out stays marked.
 */
export class SumFile {
  readonly #file: OpenFile;
  readonly #pages = new Map<number, Uint8Array>();
  readonly #dirty = new Set<number>();
  /** On their way to the file. What is here is newer than the file, although it is not marked. */
  readonly #writing = new Set<number>();
  readonly #loading = new Map<number, Promise<void>>();
  #spilling: Promise<void> = Promise.resolve();
  readonly #pagesMax: number;

  constructor(file: OpenFile, pagesMax = sumPagesMax) {
    this.#file = file;
    this.#pagesMax = pagesMax;
  }

  async set(firstBlock: number, sums: Uint32Array): Promise<void> {
    for (let done = 0; done < sums.length; ) {
      const block = firstBlock + done;
      const page = Math.floor(block / sumsPerPage);
      const from = block % sumsPerPage;
      const count = Math.min(sums.length - done, sumsPerPage - from);
      const bytes = this.#pages.get(page);
      if (bytes === undefined) {
        await this.#load(page, from === 0 && count === sumsPerPage);
        continue;
      }
      const view = new DataView(bytes.buffer, bytes.byteOffset, pageBytes);
      for (let i = 0; i < count; i++) view.setUint32((from + i) * sumBytes, sums[done + i]!, true);
      this.#dirty.add(page);
      done += count;
    }
  }

  async get(firstBlock: number, count: number): Promise<Uint32Array> {
    const sums = new Uint32Array(count);
    // Twice: what is written and forgotten while the file is read may not be in what was read.
    const isKnown = this.#copyKnown(firstBlock, sums);
    const bytes = new Uint8Array(count * sumBytes);
    await this.#file.read(bytes, firstBlock * sumBytes);
    const onDisk = new DataView(bytes.buffer);
    for (let i = 0; i < count; i++) if (isKnown[i] === 0) sums[i] = onDisk.getUint32(i * sumBytes, true);
    this.#copyKnown(firstBlock, sums);
    return sums;
  }

  /** Those that are in memory; answers which. */
  #copyKnown(firstBlock: number, sums: Uint32Array): Uint8Array {
    const isKnown = new Uint8Array(sums.length);
    for (let i = 0; i < sums.length; i++) {
      const block = firstBlock + i;
      const page = this.#pages.get(Math.floor(block / sumsPerPage));
      if (page === undefined) continue;
      isKnown[i] = 1;
      sums[i] = new DataView(page.buffer, page.byteOffset, pageBytes).getUint32(
        (block % sumsPerPage) * sumBytes,
        true,
      );
    }
    return isKnown;
  }

  /** One load of a page at a time: of two, the slower could bring back what the file was before the quicker one's changes
   * were written and forgotten. */
  #load(page: number, overwritten: boolean): Promise<void> {
    const under = this.#loading.get(page);
    if (under) return under;
    const load = this.#loadAlone(page, overwritten).finally(() => this.#loading.delete(page));
    this.#loading.set(page, load);
    return load;
  }

  async #loadAlone(page: number, overwritten: boolean): Promise<void> {
    if (this.#pages.size >= this.#pagesMax) {
      await this.#spill();
      for (const known of this.#pages.keys())
        if (!this.#dirty.has(known) && !this.#writing.has(known)) this.#pages.delete(known);
    }
    const bytes = new Uint8Array(pageBytes);
    if (!overwritten) await this.#file.read(bytes, page * pageBytes);
    this.#pages.set(page, bytes);
  }

  /** Writes what has changed; it stays in memory. A page that changes meanwhile is marked again. One after the other, so
   * that no older content of a page lands after a newer one. */
  #spill(): Promise<void> {
    const spill = this.#spilling.then(() => this.#spillAlone());
    this.#spilling = spill.catch(() => {});
    return spill;
  }

  async #spillAlone(): Promise<void> {
    const pages = [...this.#dirty].sort((a, b) => a - b);
    for (let at = 0; at < pages.length; at += spillPagesMax) {
      const some = pages.slice(at, at + spillPagesMax).filter((page) => this.#dirty.delete(page));
      for (const page of some) this.#writing.add(page);
      const source = new Uint8Array(some.length * pageBytes);
      for (const [index, page] of some.entries()) source.set(this.#pages.get(page)!, index * pageBytes);
      try {
        await this.#file.writeRanges(
          source,
          some.map((page) => ({ positionBytes: page * pageBytes, lengthBytes: pageBytes })),
        );
      } catch (error) {
        for (const page of some) this.#dirty.add(page);
        throw error;
      } finally {
        for (const page of some) this.#writing.delete(page);
      }
    }
  }

  async flush(): Promise<void> {
    await this.#spill();
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
