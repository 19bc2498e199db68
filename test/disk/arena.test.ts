/** Lending of page-aligned memory: never more than there is, never the same bytes twice, nobody overtakes. */
import test from 'ava';
import fc from 'fast-check';
import { Arena, isPageAligned, type Loan, pageBytes } from '../../src/disk/arena.ts';

test('loans are aligned, never overlap, and all memory comes back', async (t) => {
  const step = fc.record({
    borrow: fc.boolean(),
    lengthBytes: fc.integer({ min: 1, max: 90_000 }),
    which: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
      const arena = new Arena(256 << 10);
      const held: Loan[] = [];
      const waiting: Promise<Loan>[] = [];
      for (const { borrow, lengthBytes, which } of steps) {
        if (borrow) {
          const asked = arena.borrow(lengthBytes);
          waiting.push(asked);
          void asked.then((loan) => {
            waiting.splice(waiting.indexOf(asked), 1);
            held.push(loan);
          });
        } else if (held.length > 0) {
          const [loan] = held.splice(which % held.length, 1);
          loan!.release();
          loan!.release();
        }
        await Promise.resolve();
        await Promise.resolve();
        const lent = held
          .map(({ bytes }) => ({ from: bytes.byteOffset, to: bytes.byteOffset + bytes.byteLength, bytes }))
          .sort((one, other) => one.from - other.from);
        for (const [index, loan] of lent.entries()) {
          t.true(isPageAligned(loan.bytes));
          t.true(loan.to <= arena.limitBytes && (index === 0 || lent[index - 1]!.to <= loan.from));
        }
        const used = held.reduce(
          (sum, { bytes }) => sum + Math.ceil(bytes.byteLength / pageBytes) * pageBytes,
          0,
        );
        t.is(arena.freeBytes, arena.limitBytes - used);
      }
      while (held.length > 0 || waiting.length > 0) {
        held.shift()?.release();
        await new Promise((resolve) => setImmediate(resolve));
      }
      t.is(arena.freeBytes, arena.limitBytes);
      (await arena.borrow(arena.limitBytes)).release();
    }),
    { numRuns: 60 },
  );
});

test('a small loan does not overtake a large one that waits', async (t) => {
  const arena = new Arena(64 << 10);
  const first = await arena.borrow(40 << 10);
  const order: string[] = [];
  const note = (name: string) => (loan: Loan) => {
    order.push(name);
    return loan;
  };
  const large = arena.borrow(60 << 10).then(note('large'));
  const small = arena.borrow(4096).then(note('small'));
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(order, []);
  first.release();
  (await large).release();
  (await small).release();
  t.deepEqual(order, ['large', 'small']);
});

test('memory of others is not taken for aligned', (t) => {
  t.false(isPageAligned(new Uint8Array(8192)));
  t.false(isPageAligned(Buffer.alloc(8192)));
});

test('more than an arena has is refused at once', async (t) => {
  const arena = new Arena(64 << 10);
  await t.throwsAsync(arena.borrow(arena.limitBytes + 1), { code: 'ERR_ASSERTION' });
  await t.throwsAsync(arena.borrow(0), { code: 'ERR_ASSERTION' });
});
