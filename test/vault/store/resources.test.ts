import anyTest from 'ava';
import { systemClock } from '../../../src/platform/clock.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import { MariaResources, MemoryResources } from '../../../src/vault/store/resources.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';
import { resourcesSuite } from '../../support/resources-suite.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
anyTest.before(async () => {
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(() => mariadb?.dispose());

resourcesSuite(anyTest, 'memory', async () => new MemoryResources(systemClock));
resourcesSuite(test as never, 'MariaDB', async () => {
  const { database } = await mariadb.database();
  await migrate(database);
  return new MariaResources(database, systemClock);
});

test('MariaDB: rows are part of a transaction that is taken back', async (t) => {
  const { database } = await mariadb.database();
  await migrate(database);
  const id = '/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v';
  await t.throwsAsync(
    database.transaction(async (session) => {
      await new MariaResources(session, systemClock).put(id, {});
      throw new Error('no');
    }),
  );
  t.is(await new MariaResources(database, systemClock).get(id), undefined);
});
