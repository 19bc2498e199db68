/**
 * Goal: every job that a pool is given is answered or rejected, whatever becomes of its thread; work goes where there is
 * least; nothing is copied that was given away; what is too much is refused.
 * Method: real threads, held at a gate in shared memory where the test needs them to have something in hand.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { jobsInHandMax, ThreadPool } from '../../src/platform/thread-pool.ts';
import type { Gate, PooledJob, PooledResult } from './thread-pool-work.ts';

const entry = new URL('./thread-pool-work.ts', import.meta.url);
const poolOf = (threadCount: number) =>
  new ThreadPool<PooledJob, PooledResult>({ entry, name: 'a thread of the test', threadCount });
const sayWho = { do: 'say-who' } as const;

function closedGate(): Gate {
  return new Int32Array(new SharedArrayBuffer(8));
}

/** As many threads as that wait at the gate. Limited by the test's own time. */
async function come(gate: Gate, count: number): Promise<void> {
  for (let seen = Atomics.load(gate, 0); seen < count; seen = Atomics.load(gate, 0))
    await Atomics.waitAsync(gate, 0, seen).value;
}

function open(gate: Gate): void {
  Atomics.store(gate, 1, 1);
  Atomics.notify(gate, 1);
}

test('work goes to the thread with the least in hand', async (t) => {
  await using pool = poolOf(2);
  t.is(pool.concurrency, 4);
  const gate = closedGate();
  const held = pool.run({ do: 'wait', gate });
  await come(gate, 1);
  // The other thread alone can answer while the gate is closed.
  const { threadId } = await pool.run(sayWho);
  t.is((await pool.run(sayWho)).threadId, threadId);
  open(gate);
  t.not((await held).threadId, threadId);
});

test('no second thread starts while the first one has nothing to do', async (t) => {
  await using pool = poolOf(2);
  const { threadId } = await pool.run(sayWho);
  for (let count = 0; count < 10; count++) t.is((await pool.run(sayWho)).threadId, threadId);
});

test('what is given is handed over both ways, and not copied', async (t) => {
  await using pool = poolOf(1);
  const bytes = Uint8Array.from([1, 2, 3]);
  const answer = await pool.run({ do: 'turn-around', bytes }, [bytes.buffer]);
  t.is(bytes.buffer.byteLength, 0);
  t.deepEqual(answer.bytes, Uint8Array.from([3, 2, 1]));
});

test('what the system refuses is heard with its code, and the thread goes on', async (t) => {
  await using pool = poolOf(1);
  const { threadId } = await pool.run(sayWho);
  const refused = pool.run({ do: 'be-refused' });
  const next = pool.run(sayWho);
  await t.throwsAsync(refused, { code: 'ENOSPC', message: 'no room' });
  t.is((await next).threadId, threadId);
});

for (const [what, cause] of [
  ['blunder', 'a defect'],
  ['end', undefined],
] as const)
  test(`a thread that ends (${what}) rejects all that it had in hand, and another takes its place`, async (t) => {
    await using pool = poolOf(2);
    const gate = closedGate();
    const held = pool.run({ do: 'wait', gate });
    await come(gate, 1);
    const { threadId } = await pool.run(sayWho);
    const first = pool.run({ do: what });
    // One for each thread.
    const others = Promise.allSettled([pool.run(sayWho), pool.run(sayWho)]);
    const error = await t.throwsAsync(first, { message: 'a thread of the test ended' });
    t.is((error?.cause as Error | undefined)?.message, cause);
    // The held one cannot answer.
    const newcomer = await pool.run(sayWho);
    t.not(newcomer.threadId, threadId);
    open(gate);
    t.false([threadId, newcomer.threadId].includes((await held).threadId));
    t.deepEqual((await others).map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  });

test('a job that cannot be posted throws and is not waited for', async (t) => {
  await using pool = poolOf(1);
  const gone = new Uint8Array(8);
  gone.buffer.transfer();
  t.throws(() => pool.run({ do: 'turn-around', bytes: gone }, [gone.buffer]), { name: 'DataCloneError' });
  await t.notThrowsAsync(pool.run(sayWho));
});

test('a pool that is given far more than it has threads for refuses, and does the rest', async (t) => {
  await using pool = poolOf(2);
  const gate = closedGate();
  const jobs: Promise<PooledResult>[] = [];
  for (let count = 0; count < 2 * jobsInHandMax; count++)
    jobs.push(pool.run(count < 2 ? { do: 'wait', gate } : sayWho));
  await t.throwsAsync(pool.run(sayWho), { instanceOf: RangeError });
  open(gate);
  const done = await Promise.all(jobs);
  t.is(new Set(done.map(({ threadId }) => threadId)).size, 2);
  await t.notThrowsAsync(pool.run(sayWho));
});

test('a pool that is closed rejects what is in hand and what comes', async (t) => {
  const pool = poolOf(1);
  const gate = closedGate();
  const inHand = [pool.run({ do: 'wait', gate }), pool.run(sayWho)];
  const outcomes = Promise.allSettled(inHand);
  await come(gate, 1);
  await pool[Symbol.asyncDispose]();
  for (const outcome of await outcomes)
    t.like(outcome, { status: 'rejected', reason: { message: 'a thread of the test ended' } });
  await t.throwsAsync(pool.run(sayWho), { message: /closed/ });
  await t.notThrowsAsync(pool[Symbol.asyncDispose](), 'twice is the same as once');
  await t.notThrowsAsync(poolOf(2)[Symbol.asyncDispose](), 'nothing has been started');
});

test('threads keep a process alive while they work, and not longer', async (t) => {
  const program = `
    const { ThreadPool } = await import(${JSON.stringify(import.meta.resolve('../../src/platform/thread-pool.ts'))});
    const pool = new ThreadPool({ entry: new URL(${JSON.stringify(entry.href)}), name: 'a thread', threadCount: 2 });
    for (let count = 0; count < 3; count++)
      pool.run({ do: 'say-who' }).then(() => console.log('answered'));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--eval', `(async () => {${program}})()`],
    // Not an assertion: a process that hangs must not hang the test.
    { timeout: 60_000 },
  );
  t.is(stdout, 'answered\n'.repeat(3));
});
