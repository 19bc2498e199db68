/**
 * The promises of a `CacheStore`, as tests. Every implementation runs them against the real thing behind it:
 *
 *     cacheStoreSuite('folder store', async () => ({ store, close }));
 */
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import test from 'ava';
import type { CacheStore, ObjectBody } from '../../src/protocol/cache/cache-store.ts';

export interface StoreUnderTest {
  readonly store: CacheStore;
  close(): Promise<void>;
}

/** An object in memory. */
export function objectBody(content: Uint8Array): ObjectBody {
  return {
    sizeBytes: content.byteLength,
    sha256: createHash('sha256').update(content).digest('hex'),
    open: () => Readable.from(pieces(content), { objectMode: false }),
  };
}

function* pieces(content: Uint8Array): Generator<Buffer> {
  for (let at = 0; at < content.byteLength; at += 60_000)
    yield Buffer.from(content.subarray(at, Math.min(at + 60_000, content.byteLength)));
}

export function cacheStoreSuite(name: string, open: () => Promise<StoreUnderTest>): void {
  let underTest: StoreUnderTest;
  const never = new AbortController().signal;
  /** Each test has a corner of its own, so that they can run side by side. */
  let corners = 0;
  const corner = () => `corner/${process.pid}-${corners++}`;
  const read = async (key: string) => {
    const stream = await underTest.store.get(key, never);
    return stream && (await buffer(stream));
  };
  const keys = async (prefix: string, options: { after?: string; limit?: number } = {}) =>
    (await underTest.store.list(prefix, { limit: 1000, ...options }, never)).map((object) => object.key);

  test.before(async () => {
    underTest = await open();
  });
  test.after.always(async () => {
    await underTest?.close();
  });

  test(`${name}: an object comes back as it was put`, async (t) => {
    const key = `${corner()}/a`;
    const content = randomBytes(9_000_001);
    t.is(await underTest.store.put(key, objectBody(content), never), 'created');
    t.true((await read(key))?.equals(content));
    t.deepEqual(await underTest.store.list(key, { limit: 5 }, never), [
      { key, sizeBytes: content.byteLength },
    ]);
  });

  test(`${name}: an empty object is an object`, async (t) => {
    const key = `${corner()}/empty`;
    t.is(await underTest.store.put(key, objectBody(Buffer.alloc(0)), never), 'created');
    t.is((await read(key))?.byteLength, 0);
  });

  test(`${name}: what is not there is undefined, and deleting it is silent`, async (t) => {
    const key = `${corner()}/nothing`;
    t.is(await underTest.store.get(key, never), undefined);
    await underTest.store.delete(key, never);
    t.deepEqual(await keys(key), []);
  });

  test(`${name}: the same content again is present, other content is a conflict`, async (t) => {
    const key = `${corner()}/a`;
    await underTest.store.put(key, objectBody(Buffer.from('one')), never);
    t.is(await underTest.store.put(key, objectBody(Buffer.from('one')), never), 'present');
    const error = await t.throwsAsync(underTest.store.put(key, objectBody(Buffer.from('two')), never));
    t.like(error, { code: 'ObjectConflict', retry: 'permanent' });
    t.is((await read(key))?.toString(), 'one');
  });

  test(`${name}: of two puts at once one creates and one finds it present`, async (t) => {
    const key = `${corner()}/a`;
    const body = objectBody(randomBytes(300_000));
    const answers = await Promise.all([
      underTest.store.put(key, body, never),
      underTest.store.put(key, body, never),
    ]);
    t.true(answers.includes('created'));
    t.true((await read(key))?.byteLength === 300_000);
  });

  test(`${name}: content that is not what was announced is refused and leaves nothing`, async (t) => {
    const key = `${corner()}/a`;
    const content = Buffer.from('what was announced');
    const lie = { ...objectBody(content), open: () => Readable.from([Buffer.from('what was Announced')]) };
    const error = await t.throwsAsync(underTest.store.put(key, lie, never));
    t.like(error, { code: 'ObjectDigestMismatch', retry: 'transient' });
    t.is(await underTest.store.get(key, never), undefined);
    t.is(await underTest.store.put(key, objectBody(content), never), 'created');
  });

  test(`${name}: a put that is aborted leaves nothing`, async (t) => {
    const key = `${corner()}/a`;
    const aborter = new AbortController();
    const content = randomBytes(1_000_000);
    const slow: ObjectBody = {
      ...objectBody(content),
      open: () =>
        Readable.from(
          (async function* () {
            yield content.subarray(0, 1000);
            aborter.abort(new Error('stop'));
            yield content.subarray(1000);
          })(),
          { objectMode: false },
        ),
    };
    await t.throwsAsync(underTest.store.put(key, slow, aborter.signal));
    t.is(await underTest.store.get(key, never), undefined);
    t.is(await underTest.store.put(key, objectBody(content), never), 'created');
  });

  test(`${name}: a body whose stream breaks leaves nothing`, async (t) => {
    const key = `${corner()}/a`;
    const broken: ObjectBody = {
      ...objectBody(randomBytes(1000)),
      open: () =>
        new Readable({
          read() {
            this.destroy(new Error('the disk broke'));
          },
        }),
    };
    await t.throwsAsync(underTest.store.put(key, broken, never));
    t.is(await underTest.store.get(key, never), undefined);
  });

  test(`${name}: a listing is sorted by key, and pages on from any key`, async (t) => {
    const at = corner();
    // `-` and `.` sort before `/`, digits and letters after it: a listing by folders would mix them up.
    const names = ['a', 'a-b', 'a.b', 'a/b', 'a/c/d', 'a0', 'b', 'b/a', 'b_'].map((end) => `${at}/${end}`);
    for (const key of [...names].reverse())
      await underTest.store.put(key, objectBody(Buffer.from(key)), never);
    const sorted = [...names].sort((a, b) => (a < b ? -1 : 1));
    t.deepEqual(await keys(`${at}/`), sorted);
    const paged: string[] = [];
    for (;;) {
      const last = paged.at(-1);
      const page = await keys(`${at}/`, { limit: 2, ...(last === undefined ? {} : { after: last }) });
      if (page.length === 0) break;
      t.true(page.length <= 2);
      paged.push(...page);
    }
    t.deepEqual(paged, sorted);
    t.deepEqual(
      await keys(`${at}/a/`),
      sorted.filter((key) => key.startsWith(`${at}/a/`)),
    );
    t.deepEqual(
      await keys(`${at}/a`, { after: `${at}/a/b` }),
      sorted.filter((key) => key.startsWith(`${at}/a`) && key > `${at}/a/b`),
    );
    // Where a file system would see another folder, or the same one, there is no key.
    for (const prefix of [`${at}/a/../`, `${at}/a/../a`, `${at}/./`, `${at}//`, `${at}/nothing/`])
      t.deepEqual(await keys(prefix), [], prefix);
  });

  test(`${name}: a deleted object is gone and can be put anew with other content`, async (t) => {
    const key = `${corner()}/a`;
    await underTest.store.put(key, objectBody(Buffer.from('one')), never);
    await underTest.store.delete(key, never);
    t.is(await underTest.store.get(key, never), undefined);
    t.deepEqual(await keys(key), []);
    t.is(await underTest.store.put(key, objectBody(Buffer.from('two')), never), 'created');
  });

  test(`${name}: keys that would leave their place are refused`, async (t) => {
    for (const key of ['../x', 'a/../b', '.hidden', 'a//b', '/a', 'a/', 'A', 'ä', '', 'a/b/c/d/e/f/g/h/i'])
      await t.throwsAsync(underTest.store.put(key, objectBody(Buffer.from('x')), never), undefined, key);
  });
}
