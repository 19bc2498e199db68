import anyTest from 'ava';
import { ProtectedItemId } from '../../../src/model/ids.ts';
import { LeewardError } from '../../../src/platform/errors.ts';
import type { Database } from '../../../src/platform/mysql.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import * as healthFacts from '../../../src/vault/store/health-facts.ts';
import { itemFacts } from '../../../src/vault/store/item-facts.ts';
import * as dataItems from '../../../src/vault/store/items.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import * as items from '../../../src/vault/store/protected-items.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
let database: Database;
anyTest.before(async () => {
  if (!able) return;
  mariadb = await startPrivateMariadb();
  ({ database } = await mariadb.database());
  await migrate(database);
});
anyTest.after.always(() => mariadb?.dispose());

const vaultId = '/subscriptions/S/resourceGroups/Rg/providers/Microsoft.RecoveryServices/vaults/Vault1';
const containerId = `${vaultId}/replicationFabrics/Site1/replicationProtectionContainers/Main`;
const startedAt = '2026-01-01T00:00:00.000Z';
const aJob = () => ({ jobId: systemRandom.uuid(), scenarioName: 'EnableDr', startedAt });
const anItem = (name: string, more: Partial<items.ItemResource> = {}) => ({
  id: `${containerId}/replicationProtectedItems/${name}`,
  vaultId,
  containerId,
  fabricName: 'Site1',
  name,
  friendlyName: name,
  instanceType: 'InMageRcm' as const,
  policyId: `${vaultId}/replicationPolicies/P`,
  protectableItemId: `${containerId}/replicationProtectableItems/${name}`,
  settings: { instanceType: 'InMageRcm', targetVmName: 'x' },
  machineId: systemRandom.uuid(),
  processServerId: 'PS-1',
  createdAt: startedAt,
  ...more,
});

async function aPoint(itemId: string): Promise<void> {
  await database.change(
    `INSERT INTO recovery_points
       (item_id, point_id, type, method, taken_at, processed_at, frozen_milliseconds,
         size_bytes, changed_bytes, chain, sequence, locked_until)
     VALUES (?, ?, 'CrashConsistent', 'quiet', ?, ?, 0, 1, 1, 1, 1, NULL)`,
    [itemId, systemRandom.uuid(), new Date(startedAt), new Date(startedAt)],
  );
}

test('an item is found without regard to case, held by its job, and free when the job has ended', async (t) => {
  const job = aJob();
  const item = anItem('Web1', { groupOption: 'UserSpecified', vCenterName: 'VC' });
  await items.add(database, item, job);
  const found = (await items.byId(database, item.id.toUpperCase()))!;
  t.is(found.id, item.id);
  t.is(found.condition.protectionState, 'EnablingProtection');
  t.is(found.jobId, job.jobId);
  t.deepEqual(found.scenario, { name: 'EnableDr', startedAt });
  t.is(found.fabricName, 'Site1');
  t.is(found.containerId, containerId);
  t.is(found.vaultId, vaultId);
  await t.throwsAsync(items.add(database, item, aJob()), { instanceOf: LeewardError });

  const itemId = ProtectedItemId.parse(systemRandom.uuid());
  await items.tie(database, item.id, itemId);
  await items.end(database, item.id, systemRandom.uuid(), 'done');
  t.is((await items.byId(database, item.id))!.jobId, job.jobId, 'another job ends nothing');
  await items.end(database, item.id, job.jobId, 'done');
  await items.end(database, item.id, job.jobId, 'failed');
  const enabled = (await items.byItemId(database, itemId))!;
  t.is(enabled.condition.protectionState, 'InitialReplicationInProgress');
  t.is(enabled.jobId, undefined);
  t.is(enabled.scenario, undefined);

  await aPoint(itemId);
  t.is((await items.byId(database, item.id))!.condition.protectionState, 'Protected');
  t.is((await items.byMachine(database, item.machineId))!.condition.protectionState, 'Protected');
});

test('an operation begins once by its job, refuses another, and leaves what its end says', async (t) => {
  const item = anItem('Web2');
  const enable = aJob();
  await items.add(database, item, enable);
  await t.throwsAsync(items.begin(database, item.id, 'TestFailover', aJob()), {
    code: 'OperationNotAllowed',
  } as never);
  const itemId = ProtectedItemId.parse(systemRandom.uuid());
  await items.tie(database, item.id, itemId);
  await items.end(database, item.id, enable.jobId, 'done');
  await aPoint(itemId);

  const test = { ...aJob(), scenarioName: 'TestFailover' };
  for (const _ of [1, 2]) await items.begin(database, item.id, 'TestFailover', test);
  t.is((await items.byId(database, item.id))!.condition.testFailoverState, 'TestFailoverInitiated');
  const refused = await t.throwsAsync(items.begin(database, item.id, 'UnplannedFailover', aJob()));
  t.is((refused as LeewardError).code, 'OperationNotAllowed');
  await items.end(database, item.id, test.jobId, 'done', { lastTestFailoverAt: startedAt });
  const tested = (await items.byId(database, item.id))!;
  t.is(tested.condition.testFailoverState, 'WaitingForCompletion');
  t.is(tested.lastTestFailoverAt, startedAt);
  t.deepEqual(tested.settings, item.settings);

  const failover = { ...aJob(), scenarioName: 'UnplannedFailover' };
  await items.begin(database, item.id, 'UnplannedFailover', failover);
  await items.end(database, item.id, failover.jobId, 'failed');
  t.is((await items.byId(database, item.id))!.condition.protectionState, 'UnplannedFailoverFailed');
  await items.change(database, item.id, { friendlyName: 'new name' });
  t.is((await items.byId(database, item.id))!.friendlyName, 'new name');
});

test('a failed enabling leaves no row', async (t) => {
  const item = anItem('Web3');
  const job = aJob();
  await items.add(database, item, job);
  await items.end(database, item.id, job.jobId, 'failed');
  t.is(await items.byId(database, item.id), undefined);
  await t.throwsAsync(items.begin(database, item.id, 'Commit', job), { message: /ItemUnknown/ });
});

test('lists are narrowed by every field, in pages that miss and repeat nothing', async (t) => {
  const vault2 = vaultId.replace('Vault1', 'vault2');
  const made: string[] = [];
  for (let index = 0; index < 25; index++) {
    const fabric = index % 2 === 0 ? 'SiteA' : 'SiteB';
    const container = `${vault2}/replicationFabrics/${fabric}/replicationProtectionContainers/c`;
    const item = anItem(`m${index}`, {
      id: `${container}/replicationProtectedItems/m${index}`,
      vaultId: vault2,
      containerId: container,
      fabricName: fabric,
      processServerId: `PS${index % 3}`,
      instanceType: index % 5 === 0 ? 'InMageAzureV2' : 'InMageRcm',
      ...(index % 4 === 0 ? { vCenterName: 'VC1' } : {}),
      ...(index === 7 ? { groupOption: 'AutoCreated' } : {}),
    });
    await items.add(database, item, aJob());
    made.push(item.id);
  }
  const all = async (filter: items.ItemFilter, limit = 4) => {
    const found: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await items.list(database, { vaultId: vault2, ...filter }, { limit, after });
      t.true(page.items.length <= limit);
      found.push(...page.items.map(({ id }) => id));
      if (page.next === undefined) return found;
      after = page.next;
    }
  };
  const pick = (fits: (index: number) => boolean) => made.filter((_, index) => fits(index));
  t.deepEqual(await all({}), made);
  t.deepEqual(await all({}, 5), made);
  t.deepEqual(
    await all({ fabricName: 'sitea' }),
    pick((i) => i % 2 === 0),
  );
  t.deepEqual(
    await all({ processServerId: 'ps1' }),
    pick((i) => i % 3 === 1),
  );
  t.deepEqual(
    await all({ instanceType: 'inmageazurev2' }),
    pick((i) => i % 5 === 0),
  );
  t.deepEqual(
    await all({ vCenterName: 'vc1', fabricName: 'SiteA' }),
    pick((i) => i % 4 === 0),
  );
  t.deepEqual(await all({ groupOption: 'AutoCreated' }), [made[7]!]);
  t.deepEqual(await all({ ids: [made[3]!.toUpperCase(), made[4]!] }), [made[3]!, made[4]!]);
  t.deepEqual(await all({ ids: [] }), []);
  t.deepEqual(await all({ instanceType: 'other' }), []);
  t.is(await items.count(database, { vaultId: vault2, fabricName: 'SiteB' }), 12);
  t.is((await items.countBy(database, vault2, 'process_server_id')).get('ps0'), 9);
});

test('the newest point is the one that was taken last, and no newer than it was processed', async (t) => {
  const itemId = ProtectedItemId.parse(systemRandom.uuid());
  const item = anItem('stepped');
  const job = aJob();
  await items.add(database, item, job);
  await items.tie(database, item.id, itemId);
  const retention = { rules: [{ untilSeconds: 3600, everySeconds: 0 }] };
  const data = { itemId, name: 'stepped', processServer: 'ps', disks: [], retention, createdAt: startedAt };
  await dataItems.add(database, data, Buffer.alloc(1));
  const pointOf = async (sequence: number, type: string, takenAt: string, processedAt: string) => {
    const pointId = systemRandom.uuid();
    await database.change(
      `INSERT INTO recovery_points
       (item_id, point_id, type, method, taken_at, processed_at, frozen_milliseconds,
         size_bytes, changed_bytes, chain, sequence, locked_until)
     VALUES (?, ?, ?, 'quiet', ?, ?, 0, 1, 1, 1, ?, NULL)`,
      [...[itemId, pointId, type, new Date(takenAt), new Date(processedAt), sequence]],
    );
    return pointId;
  };
  const known = async () => {
    const facts = (await itemFacts(database, [itemId])).get(itemId)!;
    const [row] = (await healthFacts.items(database, { after: 0, limit: 100 })).filter(
      ({ name }) => name === 'stepped',
    );
    const dates = [row!.newestPointAt, row!.newestApplicationConsistentAt];
    return [facts.latestPoint?.pointId, ...dates.map((at) => at && new Date(at).toISOString())];
  };
  t.deepEqual(await known(), [undefined, undefined, undefined]);
  const crash = 'CrashConsistent';
  const application = 'ApplicationConsistent';
  // Its clock is an hour fast.
  const fast = await pointOf(9, application, '2026-01-02T05:00:00.000Z', '2026-01-02T04:00:01.000Z');
  t.deepEqual(await known(), [fast, '2026-01-02T04:00:01.000Z', '2026-01-02T04:00:01.000Z']);
  // And is set right.
  const right = await pointOf(10, crash, '2026-01-02T04:05:00.000Z', '2026-01-02T04:05:01.000Z');
  t.deepEqual(await known(), [right, '2026-01-02T04:05:00.000Z', '2026-01-02T04:00:01.000Z']);
});
