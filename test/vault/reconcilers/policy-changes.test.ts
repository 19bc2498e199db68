/**
 * Goal: what a policy says reaches each machine that is protected with it, once, also when it is changed back before its site
 * has heard, and also when the site is away.
 * Method: the real reconciler over a real MariaDB, orders of the real desk; the test answers in the site's place.
 */
import anyTest from 'ava';
import type { Clock } from '../../../src/platform/clock.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { vaultResourceId } from '../../../src/protocol/arm/resource-id.ts';
import { PolicyChanges } from '../../../src/vault/reconcilers/policy-changes.ts';
import { OrdersDesk } from '../../../src/vault/site-link/orders.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import * as items from '../../../src/vault/store/protected-items.ts';
import * as siteOrders from '../../../src/vault/store/site-orders.ts';
import * as sites from '../../../src/vault/store/sites.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
anyTest.before(async () => {
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(() => mariadb?.dispose());

const vaultId = vaultResourceId('5ad2a1d6-1b61-4b56-9a2b-111111111111', 'rg', 'v');
const containerId = `${vaultId}/replicationFabrics/f/replicationProtectionContainers/c`;
const id = `${containerId}/replicationProtectedItems/guest`;
const policyId = `${vaultId}/replicationPolicies/p`;
const minutes = (count: number) => ({ crashConsistentSeconds: count * 60, applicationConsistentSeconds: 0 });

async function world() {
  const { database } = await mariadb.database();
  await migrate(database);
  let time = Date.parse('2026-06-01T00:02:00Z');
  const clock: Clock = { now: () => time, monotonic: () => time, sleep: () => Promise.resolve() };
  const siteId = systemRandom.uuid();
  const at = () => new Date(time).toISOString();
  await sites.add(database, {
    siteId,
    vaultId: vaultId.toLowerCase(),
    fabricName: 'f',
    hostName: 'cs',
    version: '1',
    boxPublicKey: Buffer.alloc(32).toString('base64'),
    registeredAt: at(),
  });
  const job = { jobId: systemRandom.uuid(), scenarioName: 'EnableDr', startedAt: at() };
  await items.add(
    database,
    {
      id,
      vaultId,
      containerId,
      fabricName: 'f',
      name: 'guest',
      friendlyName: 'guest',
      instanceType: 'InMageAzureV2',
      machineId: systemRandom.uuid(),
      processServerId: systemRandom.uuid(),
      itemId: systemRandom.uuid() as never,
      policyId,
      protectableItemId: 'x',
      settings: {},
      replication: { ...minutes(5), change: 0, heardChange: 0 },
      createdAt: at(),
    },
    job,
  );
  const desk = new OrdersDesk({ database, clock, log: silentLog, onAnswer: () => {} });
  const state = { replication: minutes(5) };
  const nothing = async () => {};
  /** One that stands still when it has read what to do, and before it places an order. */
  const reconciler = (whenRead = nothing, beforePlacing = nothing) =>
    new PolicyChanges({
      database,
      clock,
      log: silentLog,
      orders: {
        answer: (orderId) => desk.answer(orderId),
        place: async (order) => {
          await beforePlacing();
          await desk.place(order);
        },
      },
      sites: {
        siteOf: async () => {
          await whenRead();
          return siteId;
        },
      },
      policies: async () => [{ policyId, replication: state.replication }],
    });
  const placed = async () => {
    const found = await database.rows('SELECT order_id, content FROM site_orders ORDER BY sequence');
    return found.map((row) => ({
      orderId: String(row.order_id),
      seconds: (row.content as unknown as { policy: { crashConsistentSeconds: number } }).policy
        .crashConsistentSeconds,
    }));
  };
  return {
    database,
    state,
    pass: () => reconciler().pass(),
    /** The first has read what to do; the second reads, notes and is about to place its order; the first goes on to its end. */
    passEntwined: async (between: () => void) => {
      const secondNoted = Promise.withResolvers<void>();
      const firstRead = Promise.withResolvers<void>();
      const first = reconciler(async () => {
        firstRead.resolve();
        await secondNoted.promise;
      }).pass();
      await firstRead.promise;
      between();
      await reconciler(nothing, async () => {
        secondNoted.resolve();
        await first;
      }).pass();
    },
    /** Two vault processes at once. */
    passTwice: () => Promise.all([reconciler().pass(), reconciler().pass()]),
    later: (milliseconds: number) => {
      time += milliseconds;
    },
    placed,
    seconds: async () => (await placed()).map(({ seconds }) => seconds),
    answer: async (orderId: string, outcome: object = { state: 'done' }) => {
      await siteOrders.keepAnswer(database, siteId, { orderId, outcome, answeredAt: at() } as never, at());
    },
    enabled: () => items.end(database, id, job.jobId, 'done'),
    kept: async () => (await items.byId(database, id))!.replication,
  };
}

test('a site is told of a changed policy once, and not while a job works on the item', async (t) => {
  const w = await world();
  w.state.replication = minutes(10);
  await w.pass();
  t.deepEqual(await w.seconds(), [], 'it is being enabled');
  await w.enabled();
  await w.pass();
  await w.passTwice();
  t.deepEqual(await w.seconds(), [600]);
  t.like(await w.kept(), { change: 1, heardChange: 0 });
  await w.answer((await w.placed())[0]!.orderId);
  await w.pass();
  t.deepEqual(await w.kept(), { ...minutes(10), change: 1, heardChange: 1 });
  w.later(7200_000);
  await w.pass();
  t.deepEqual(await w.seconds(), [600]);
});

test('a policy that is changed back before the site has heard ends as it is', async (t) => {
  const w = await world();
  await w.enabled();
  for (const count of [10, 5, 10, 5]) {
    w.state.replication = minutes(count);
    await w.pass();
  }
  t.deepEqual(await w.seconds(), [600, 300, 600, 300]);
  for (const { orderId } of await w.placed()) await w.answer(orderId);
  await w.pass();
  t.deepEqual(await w.kept(), { ...minutes(5), change: 4, heardChange: 4 });
});

test('of two vault processes that have read different policies, the one that has noted its own tells the site', async (t) => {
  const w = await world();
  await w.enabled();
  w.state.replication = minutes(7);
  await w.passEntwined(() => {
    w.state.replication = minutes(10);
  });
  t.like(await w.kept(), { ...minutes(10), change: 1 });
  t.deepEqual(await w.seconds(), [600]);
});

test('a site that fails is asked again an hour later', async (t) => {
  const w = await world();
  await w.enabled();
  w.state.replication = minutes(1);
  await w.pass();
  await w.answer((await w.placed())[0]!.orderId, {
    state: 'failed',
    error: {
      code: 'OrderExpired',
      severity: 'error',
      summary: 'it was away',
      possibleCauses: 'x',
      recommendedAction: 'y',
      raisedAt: '2026-06-01T00:02:00.000Z',
      context: {},
    },
  });
  await w.pass();
  t.deepEqual(await w.seconds(), [60]);
  w.later(3600_000);
  await w.pass();
  t.deepEqual(await w.seconds(), [60, 60]);
  await w.answer((await w.placed())[1]!.orderId);
  await w.pass();
  t.deepEqual(await w.kept(), { ...minutes(1), change: 1, heardChange: 1 });
});
