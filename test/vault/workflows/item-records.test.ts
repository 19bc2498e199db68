/**
 * Goal: the workflows' tests stand on item rows that behave as the real ones.
 * Method: one suite over both; the real one on MariaDB.
 */
import test from 'ava';
import type { ProtectedItemId } from '../../../src/model/ids.ts';
import { itemRecords } from '../../../src/vault/store/item-records.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import { itemRecordsSuite } from '../../support/item-records-suite.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';
import { MemoryItemRecords } from '../../support/workflow-world.ts';

const withMariadb = await hasMariadb();
let server: PrivateMariadb | undefined;
test.before(async () => {
  if (withMariadb) server = await startPrivateMariadb();
});
test.after.always(() => server?.dispose());

itemRecordsSuite(test, 'memory', async () => {
  const withPoint = new Set<ProtectedItemId>();
  return {
    records: new MemoryItemRecords(async (itemId) => withPoint.has(itemId)),
    addPoint: async (itemId) => void withPoint.add(itemId),
  };
});

itemRecordsSuite((withMariadb ? test : test.skip) as typeof test, 'MariaDB', async () => {
  const { database } = await server!.database();
  await migrate(database);
  return {
    records: itemRecords(database),
    addPoint: async (itemId) => {
      await database.change(
        `INSERT INTO recovery_points (item_id, point_id, type, method, taken_at, processed_at, frozen_milliseconds, size_bytes,
           changed_bytes, chain, sequence)
         VALUES (?, UUID(), 'CrashConsistent', 'quiet', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), 0, 1, 1, 1, 1)`,
        [itemId],
      );
    },
  };
});
