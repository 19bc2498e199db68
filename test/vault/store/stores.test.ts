import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { seal, unseal } from '../../../src/platform/seal.ts';
import { MariaStore } from '../../../src/vault/store/maria-store.ts';
import { MemoryStore } from '../../../src/vault/store/memory-store.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import { type TestFailoverRecord, testFailoverRecords } from '../../../src/vault/store/test-failovers.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';
import { vaultStoreSuite } from '../../support/vault-store-suite.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
anyTest.before(async () => {
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(() => mariadb?.dispose());

vaultStoreSuite(anyTest, 'memory', async () => new MemoryStore());
vaultStoreSuite(test as never, 'MariaDB', async () => {
  const { database } = await mariadb.database();
  await migrate(database);
  return new MariaStore(database);
});

test('migrations run once, and again without harm after a crash before they were recorded', async (t) => {
  const { database } = await mariadb.database();
  const applied = await migrate(database);
  t.true(applied.length >= 8);
  t.deepEqual(await migrate(database), []);
  await database.change('DELETE FROM migrations WHERE number > 3');
  t.deepEqual(await migrate(database), applied.slice(3));
});

test('MariaDB: test failovers are saved, replaced, and found by their item', async (t) => {
  const { database } = await mariadb.database();
  await migrate(database);
  const records = testFailoverRecords(database);
  const itemId = systemRandom.uuid() as TestFailoverRecord['itemId'];
  const record = (state: TestFailoverRecord['state'], startedAt: string): TestFailoverRecord => ({
    failoverId: systemRandom.uuid(),
    itemId,
    itemName: 'wäb',
    pointId: systemRandom.uuid() as TestFailoverRecord['pointId'],
    pointTakenAt: '2026-01-01T00:00:00.000Z',
    machineName: 'leeward-test-web',
    networkName: 'leeward-test',
    state,
    step: 'clone',
    startedAt,
  });
  const older = record('starting', '2026-01-02T00:00:00.000Z');
  const newer = record('cleaning', '2026-01-03T00:00:00.123Z');
  const done = record('cleaned', '2026-01-01T00:00:00.000Z');
  for (const each of [newer, done, older]) await records.save(each);
  t.deepEqual(await records.byId(older.failoverId), older);
  t.is(await records.byId(systemRandom.uuid()), undefined);
  t.deepEqual(await records.allOfItem(itemId, 2), [newer, older], 'newest first');
  t.deepEqual(await records.allOfItem(systemRandom.uuid() as typeof itemId, 2), []);
  t.deepEqual(await records.ofItem(itemId), newer, 'the newest that is not cleaned up');
  const running: TestFailoverRecord = {
    ...older,
    state: 'running',
    powerOnSeconds: 1.5,
    address: '10.0.0.2',
    notes: 'it’s “up”',
  };
  await records.save(running);
  await records.save(running);
  t.deepEqual(await records.byId(older.failoverId), running);
  t.is((await records.allOfItem(itemId, 10)).length, 3);
});

test('a schema from a newer version is refused with a sentence', async (t) => {
  const { database } = await mariadb.database();
  await migrate(database);
  await database.change("INSERT INTO migrations VALUES (9999, 'future', NOW())");
  const error = (await t.throwsAsync(migrate(database))) as unknown as {
    code: string;
    recommendedAction: string;
  };
  t.is(error.code, 'DatabaseNewer');
  t.regex(error.recommendedAction, /newer version/);
});

test('a transaction that fails leaves nothing', async (t) => {
  const { database } = await mariadb.database();
  await database.change('CREATE TABLE x (a INT)');
  await t.throwsAsync(
    database.transaction(async (session) => {
      await session.change('INSERT INTO x VALUES (1)');
      throw new Error('no');
    }),
  );
  t.deepEqual(await database.rows('SELECT * FROM x'), []);
});

test('a single statement that loses a deadlock against a transaction is done after it', async (t) => {
  const { database } = await mariadb.database();
  await database.change('CREATE TABLE x (id INT PRIMARY KEY, v INT) ENGINE = InnoDB');
  await database.change('INSERT INTO x SELECT seq, 0 FROM seq_1_to_100');
  let statement: Promise<number> | undefined;
  await database.transaction(async (session) => {
    // The one that has changed more wins.
    await session.change('UPDATE x SET v = 1 WHERE id >= 3');
    await session.change('UPDATE x SET v = 1 WHERE id = 1');
    statement ??= database.change('UPDATE x SET v = v + 10 WHERE id IN (1, 2) ORDER BY id DESC');
    statement.catch(() => {});
    await until(
      systemClock,
      60_000,
      async () =>
        (await database.rows('SELECT 1 FROM information_schema.innodb_lock_waits')).length > 0 || undefined,
      () => new Error('nobody waits'),
      // The server answers what it knows already to whoever asks again within 100 ms.
      300,
    );
    await session.change('UPDATE x SET v = 1 WHERE id = 2');
  });
  t.is(await statement, 2);
  t.deepEqual(await database.rows('SELECT v FROM x WHERE id <= 3 ORDER BY id'), [
    { v: 11 },
    { v: 11 },
    { v: 1 },
  ] as never);
});

anyTest('a sealed key opens only with its master key and unaltered', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-seal-'));
  const master = systemRandom.bytes(32);
  await writeFile(join(folder, 'key'), master);
  const sealed = seal(await readFile(join(folder, 'key')), Buffer.from('secret'), systemRandom);
  t.is(unseal(master, sealed)?.toString(), 'secret');
  t.is(unseal(systemRandom.bytes(32), sealed), undefined);
  sealed[30]! ^= 1;
  t.is(unseal(master, sealed), undefined);
  t.is(unseal(master, new Uint8Array(3)), undefined);
  await rm(folder, { recursive: true });
});
