// Goal: frames survive any way in which a network cuts them, and damage never passes for a frame.
// Method: properties over random frames and cuts; every single bit of a frame flipped once.

import { hash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import {
  decodeHeader,
  encodeFrame,
  encodeHeader,
  type Frame,
  FrameFlag,
  FrameSplitter,
  FrameType,
  frame,
  headerBytes,
  payloadBytesMax,
} from '../../../src/protocol/replication/frame.ts';

const number = fc.maxSafeNat();
const anyFrame = fc
  .record({
    type: fc.constantFrom(...Object.values(FrameType)),
    isPacked: fc.boolean(),
    diskIndex: fc.nat(0xffff_ffff),
    generation: number,
    sequence: number,
    offsetBytes: number,
    lengthBytes: number,
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.nat(200_000), fc.nat(255)).map(([size, byte]) => new Uint8Array(size).fill(byte)),
    ),
  })
  .map(({ isPacked, ...made }): Frame => {
    const { byteLength } = made.payload;
    // What is packed is longer than its payload.
    if (made.type === FrameType.data)
      return {
        ...made,
        flags: isPacked ? FrameFlag.packed : 0,
        lengthBytes: byteLength + (isPacked ? 1 : 0),
      };
    return { ...made, flags: 0 };
  });

/** What of a frame must come through; hashed, since a payload is only lent. */
const plain = ({ payloadCrc: _, ...fields }: Frame) => ({ ...fields, payload: hash('sha1', fields.payload) });

test('flags that are not known, and packed data that are no shorter, are refused', (t) => {
  const payload = new Uint8Array(100).fill(7);
  for (const wrong of [
    { type: FrameType.zero, flags: FrameFlag.packed, lengthBytes: 4096 },
    { type: FrameType.data, flags: 2, payload, lengthBytes: 100 },
    { type: FrameType.data, flags: FrameFlag.packed, payload, lengthBytes: 100 },
    { type: FrameType.data, flags: FrameFlag.packed, payload, lengthBytes: payloadBytesMax + 1 },
    { type: FrameType.data, flags: 0, payload, lengthBytes: 101 },
  ]) {
    const { type, ...fields } = wrong;
    t.throws(() => decodeHeader(encodeFrame(frame(type, fields))), { message: /CorruptFrame/ });
  }
});

test('any cutting of the stream gives the same frames, each whole before the next push', (t) => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { minLength: 1, maxLength: 6 }),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 1, max: 120_000 })), {
        minLength: 1,
        maxLength: 30,
      }),
      (sent, cuts) => {
        const stream = Buffer.concat(sent.map(encodeFrame));
        const splitter = new FrameSplitter();
        const arrived: ReturnType<typeof plain>[] = [];
        for (let at = 0, turn = 0; at < stream.byteLength; turn++) {
          const end = Math.min(stream.byteLength, at + cuts[turn % cuts.length]!);
          // A chunk of its own, spoilt afterwards: nothing may point into an earlier one.
          const chunk = Buffer.from(stream.subarray(at, end));
          arrived.push(...[...splitter.push(chunk)].map(plain));
          chunk.fill(0xee);
          at = end;
        }
        t.deepEqual(arrived, sent.map(plain));
        t.false(splitter.isInsideFrame);
      },
    ),
    { numRuns: 150 },
  );
});

test('two streams that are cut in turns do not disturb one another', (t) => {
  const streams = [1, 2].map((byte) => {
    const frames = [300_000, 5, 1 << 20, 0, 70_000].map((size) =>
      frame(FrameType.data, { lengthBytes: size, payload: Buffer.alloc(size, byte) }),
    );
    return { frames, bytes: Buffer.concat(frames.map(encodeFrame)), splitter: new FrameSplitter() };
  });
  const arrived: ReturnType<typeof plain>[][] = [[], []];
  const longest = Math.max(...streams.map(({ bytes }) => bytes.byteLength));
  for (let at = 0; at < longest; at += 16_381)
    for (const [index, { bytes, splitter }] of streams.entries())
      arrived[index]!.push(...[...splitter.push(bytes.subarray(at, at + 16_381))].map(plain));
  for (const [index, { frames }] of streams.entries()) t.deepEqual(arrived[index], frames.map(plain));
});

test('every flipped bit of a frame is a CorruptFrame', (t) => {
  const whole = encodeFrame(
    frame(FrameType.data, {
      diskIndex: 2,
      generation: 9,
      sequence: 77,
      offsetBytes: 4096,
      lengthBytes: 512,
      payload: Buffer.alloc(512, 'payload '),
    }),
  );
  for (let bit = 0; bit < whole.byteLength * 8; bit++) {
    const damaged = Buffer.from(whole);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    const error = t.throws<Error & { code: string }>(
      () => [...new FrameSplitter().push(damaged)],
      undefined,
      `bit ${bit}`,
    );
    if (error?.code !== 'CorruptFrame') t.fail(`bit ${bit}: ${error?.message}`);
  }
});

test('what comes before a damaged frame arrives, in the same chunk too', (t) => {
  const good = [1, 2, 3].map((sequence) => frame(FrameType.zero, { lengthBytes: 4096, sequence }));
  for (const tail of [Buffer.alloc(200), Buffer.alloc(64, 0xff), encodeFrame(good[0]!).fill(7, 40, 44)]) {
    const arrived: ReturnType<typeof plain>[] = [];
    const error = t.throws<Error & { code: string }>(() => {
      for (const one of new FrameSplitter().push(Buffer.concat([...good.map(encodeFrame), tail])))
        arrived.push(plain(one));
    });
    t.is(error?.code, 'CorruptFrame');
    t.deepEqual(arrived, good.map(plain));
  }
});

test('random bytes give no frame, and no error but CorruptFrame', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, hasMagic) => {
      const chunk = Buffer.from(bytes);
      if (hasMagic && chunk.byteLength >= 6) chunk.set([0x4c, 0x57, 0x52, 0x31, 1, 0]);
      const splitter = new FrameSplitter();
      try {
        t.deepEqual([...splitter.push(chunk)], []);
        t.true(chunk.byteLength < headerBytes);
      } catch (error) {
        t.is((error as { code: string }).code, 'CorruptFrame');
        t.true(chunk.byteLength >= headerBytes);
      }
    }),
  );
});

test('a frame is not read beyond its end: what follows belongs to the next', (t) => {
  const one = frame(FrameType.zero, { lengthBytes: 4096, sequence: 1 });
  const two = frame(FrameType.data, { lengthBytes: 3, payload: Buffer.from('abc'), sequence: 2 });
  const splitter = new FrameSplitter();
  const bytes = Buffer.concat([encodeFrame(one), encodeFrame(two)]);
  t.deepEqual([...splitter.push(bytes.subarray(0, headerBytes))].map(plain), [plain(one)]);
  t.false(splitter.isInsideFrame);
  t.deepEqual([...splitter.push(bytes.subarray(headerBytes, bytes.byteLength - 1))], []);
  t.true(splitter.isInsideFrame);
  t.deepEqual([...splitter.push(bytes.subarray(bytes.byteLength - 1))].map(plain), [plain(two)]);
});

test('what no sender may say is refused although its checksums are right', (t) => {
  t.throws(() => encodeHeader(frame(FrameType.data, { payload: Buffer.alloc(payloadBytesMax + 1) })), {
    instanceOf: RangeError,
  });
  const isRefused = (made: Buffer) => t.throws(() => decodeHeader(made), { code: 'CorruptFrame' } as never);
  isRefused(encodeHeader({ ...frame(FrameType.ack), type: 99 as never }));
  isRefused(encodeHeader(frame(FrameType.data, { lengthBytes: 5, payload: Buffer.from('abc') })));
  isRefused(encodeHeader(frame(FrameType.ack)).subarray(0, headerBytes - 1));
  t.notThrows(() => encodeHeader(frame(FrameType.zero, { offsetBytes: Number.MAX_SAFE_INTEGER })));
});
