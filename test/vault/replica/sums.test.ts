import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { sumOf } from '../../../src/vault/replica/sums.ts';

const golden = join(import.meta.dirname, '../../golden/replica/v1');

test('the sums of version 1 are what they always were', async (t) => {
  const disk = await readFile(join(golden, 'disk.raw'));
  const sums = await readFile(join(golden, 'disk.sums'));
  for (let block = 0; block < 3; block++)
    t.is(sumOf(disk.subarray(block * 4096, (block + 1) * 4096)), sums.readUInt32LE(block * 4));
  t.is(sums.readUInt32LE(0), 0, 'zeroes have the sum of a hole');
});
