/** Goal: what is packed is what was given, whoever packs it and however many at once; what does not shrink is let be. */
import { randomBytes } from 'node:crypto';
import test from 'ava';
import { inlinePacker, LanePacker } from '../../../src/mobility-service/drain/pack.ts';
import { unpack } from '../../../src/protocol/replication/packed.ts';

const text = (sizeBytes: number, word: number) => Buffer.alloc(sizeBytes, `words that repeat ${word} `);

test('lanes give each caller his own bytes, many at once, of any size', async (t) => {
  const packer = new LanePacker();
  const given = Array.from({ length: 40 }, (_, at) =>
    at % 3 === 0 ? Buffer.concat([text(70_000, at), randomBytes(at * 1000)]) : text(65_536 + at * 20_000, at),
  );
  const packed = await Promise.all(given.map((bytes) => packer.pack(bytes)));
  for (const [at, bytes] of given.entries()) t.true(unpack(packed[at]!, bytes.byteLength).equals(bytes));
});

test('what would gain less than a twentieth is not packed', async (t) => {
  t.is(await new LanePacker().pack(randomBytes(1 << 20)), undefined);
  t.is(await inlinePacker().pack(randomBytes(1 << 20)), undefined);
  t.truthy(await inlinePacker().pack(text(1 << 20, 1)));
});

test('what does not unpack to its length is damage, and nothing longer is made of it', async (t) => {
  const packed = (await inlinePacker().pack(text(1 << 20, 1)))!;
  t.throws(() => unpack(packed, (1 << 20) - 1), { message: /CorruptFrame/ });
  t.throws(() => unpack(packed, (1 << 20) + 1), { message: /CorruptFrame/ });
  t.throws(() => unpack(packed.subarray(0, packed.byteLength >> 1), 1 << 20), { message: /CorruptFrame/ });
});
