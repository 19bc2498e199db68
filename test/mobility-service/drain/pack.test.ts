/** Goal: what is packed is what was given, whoever packs it and however many at once; what does not shrink is let be. */
import { randomBytes } from 'node:crypto';
import test from 'ava';
import { inlinePacker, LanePacker } from '../../../src/mobility-service/drain/pack.ts';
import { laneRoomBytes } from '../../../src/mobility-service/limits.ts';
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

test('memory of frames that are sent is given back at once, and never that of others', async (t) => {
  const packer = new LanePacker();
  const bytes = (at: number) => Buffer.concat([text(600_000, at), randomBytes(400_000)]);
  const given = Array.from({ length: 24 }, (_, at) => bytes(at));
  const kept: { readonly packed: Uint8Array; readonly at: number }[] = [];
  const sent: Uint8Array[] = [];
  for (const [at, each] of given.entries()) {
    const packed = (await packer.pack(each))!;
    if (at % 8 === 0) kept.push({ packed, at });
    else {
      t.true(unpack(packed, each.byteLength).equals(each));
      packer.release(packed);
      sent.push(packed);
    }
  }
  for (const { packed, at } of kept) t.true(unpack(packed, given[at]!.byteLength).equals(given[at]!));
  // A frame that began in one room and ended in the next is a copy of its own.
  const held = () =>
    new Set(sent.map(({ buffer }) => buffer).filter(({ byteLength }) => byteLength === laneRoomBytes));
  // About 10 MB went through rooms of 2 MiB; what is left is where kept ones lie, and the lane's own.
  t.true(held().size <= kept.length + 1, `${held().size} rooms`);
  for (const { packed } of kept) packer.release(packed);
  t.true(held().size <= 2, `${held().size} rooms`);
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
