import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { OpenFile } from '../../../src/platform/files.ts';
import { SumFile, sumOf } from '../../../src/vault/replica/sums.ts';

const golden = join(import.meta.dirname, '../../golden/replica/v1');

test('the sums of version 1 are what they always were', async (t) => {
  const disk = await readFile(join(golden, 'disk.raw'));
  const sums = await readFile(join(golden, 'disk.sums'));
  for (let block = 0; block < 3; block++)
    t.is(sumOf(disk.subarray(block * 4096, (block + 1) * 4096)), sums.readUInt32LE(block * 4));
  t.is(sums.readUInt32LE(0), 0, 'zeroes have the sum of a hole');
});

/** A file in memory whose reads and writes take effect some turns after they were asked for, in any order. */
class SlowFile {
  readonly content: Buffer;
  #turns = 0;
  constructor(sizeBytes: number) {
    this.content = Buffer.alloc(sizeBytes);
  }
  async #wait(): Promise<void> {
    for (let turn = 1 + ((this.#turns++ * 7) % 11); turn > 0; turn--) await new Promise(setImmediate);
  }
  async read(target: Uint8Array, positionBytes: number): Promise<number> {
    await this.#wait();
    target.set(this.content.subarray(positionBytes, positionBytes + target.byteLength));
    return target.byteLength;
  }
  async writeRanges(source: Uint8Array, ranges: readonly { positionBytes: number; lengthBytes: number }[]) {
    await this.#wait();
    let from = 0;
    for (const { positionBytes, lengthBytes } of ranges) {
      this.content.set(source.subarray(from, from + lengthBytes), positionBytes);
      from += lengthBytes;
    }
  }
  async sync(): Promise<void> {}
}

test('writers that overlap while memory is full lose no sum', async (t) => {
  const sumsPerPage = 1024;
  const pages = 64;
  const file = new SlowFile(pages * 4096);
  const sums = new SumFile(file as unknown as OpenFile, 4);
  const expected = new Uint32Array(pages * sumsPerPage);
  let seed = 1;
  const next = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const misread: number[] = [];
  // Six writers, each with sums of its own in every page.
  const writer = async (number: number) => {
    for (let round = 1; round <= 400; round++) {
      const block = next(pages) * sumsPerPage + number * 100 + next(90);
      const value = number * 1_000_000 + round;
      expected[block] = value;
      await sums.set(block, Uint32Array.of(value));
      const asked = number * 100 + next(90) + next(pages) * sumsPerPage;
      if ((await sums.get(asked, 1))[0] !== expected[asked]) misread.push(asked);
    }
  };
  await Promise.all([0, 1, 2, 3, 4, 5].map(writer));
  await sums.flush();
  const found = new Uint32Array(
    file.content.buffer,
    file.content.byteOffset,
    file.content.byteLength / Uint32Array.BYTES_PER_ELEMENT,
  );
  const lost = [...expected.keys()].filter((block) => found[block] !== expected[block]);
  t.deepEqual(lost, []);
  t.deepEqual(misread, []);
});
