// Goal: what is zero is sent once, all of it, in as few frames as may be. Method: properties against a set of blocks, in the
// orders in which extents that are under way side by side may end.
import test from 'ava';
import fc from 'fast-check';
import { ZeroFrames } from '../../../src/mobility-service/drain/zero-frames.ts';
import { zeroFrameBytesMax } from '../../../src/mobility-service/limits.ts';

const mebibyte = 1 << 20;

interface Range {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

async function sentOf(added: readonly Range[]): Promise<Range[]> {
  const sent: Range[] = [];
  const zeroes = new ZeroFrames(3, async ({ diskIndex, ...range }) => {
    if (diskIndex !== 3) throw new Error(`disk ${diskIndex}`);
    sent.push(range);
  });
  for (const { offsetBytes, lengthBytes } of added) await zeroes.add(offsetBytes, lengthBytes);
  await zeroes.flush();
  return sent;
}

test('each zero block is sent once, whatever the order', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(400), { maxLength: 200 }), async (blocks) => {
      const sent = await sentOf(blocks.map((block) => ({ offsetBytes: block * 4096, lengthBytes: 4096 })));
      const seen = sent.flatMap(({ offsetBytes, lengthBytes }) =>
        Array.from({ length: lengthBytes / 4096 }, (_, at) => offsetBytes / 4096 + at),
      );
      const inOrder = (list: readonly number[]) => [...list].sort((one, other) => one - other);
      t.deepEqual(inOrder(seen), inOrder(blocks));
    }),
    { numRuns: 200 },
  );
});

test('40 GiB that were read a MiB at a time, four side by side, are some forty frames', async (t) => {
  const pieces: Range[] = [];
  for (let at = 0; at < 40 * 1024; at += 4)
    for (const place of [2, 0, 3, 1])
      pieces.push({ offsetBytes: (at + place) * mebibyte, lengthBytes: mebibyte });
  const sent = await sentOf(pieces);
  t.true(sent.length <= 45, `${sent.length} frames`);
  t.true(sent.every(({ lengthBytes }) => lengthBytes <= zeroFrameBytesMax + 8 * mebibyte));
  t.is(
    sent.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
    40 * 1024 * mebibyte,
  );
});
