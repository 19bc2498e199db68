/**
 * Goal: after a failover its source stays out and is told of, and its machine stays on or is told of.
 * Method: the real reconcilers over a real MariaDB; a libvirtd in a network namespace of its own, which is stopped with all its
 * machines as a host is that loses power, and started again. The test answers in the site's place.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { RecoveryPointId } from '../../../src/model/ids.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { vaultResourceId } from '../../../src/protocol/arm/resource-id.ts';
import { SiteOrder } from '../../../src/protocol/control/site-link.ts';
import { LibvirtProvider } from '../../../src/vault/failover/libvirt.ts';
import { itemConditions } from '../../../src/vault/health/conditions.ts';
import { FailedOverMachines, planPower } from '../../../src/vault/reconcilers/failed-over-machines.ts';
import { Fences } from '../../../src/vault/reconcilers/fences.ts';
import { OrdersDesk } from '../../../src/vault/site-link/orders.ts';
import { failoverRecords, KeptMachine } from '../../../src/vault/store/failovers.ts';
import * as facts from '../../../src/vault/store/health-facts.ts';
import { MariaStore } from '../../../src/vault/store/maria-store.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import * as items from '../../../src/vault/store/protected-items.ts';
import * as siteOrders from '../../../src/vault/store/site-orders.ts';
import * as sites from '../../../src/vault/store/sites.ts';
import { type TinyGuest, tinyGuest } from '../../support/guest.ts';
import { startLibvirt } from '../../support/libvirt-daemon.ts';
import { makeSite, shortId, sitesUnavailable } from '../../support/namespaces.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
const missing =
  (await sitesUnavailable()) ??
  ['/usr/sbin/libvirtd', '/usr/bin/qemu-system-x86_64', '/usr/bin/mmdebstrap', '/dev/net/tun'].find(
    (path) => !existsSync(path),
  );
if (missing !== undefined) console.log(`skipped: ${missing}`);
const hostTest =
  able && missing === undefined ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
let tiny: TinyGuest | undefined;
anyTest.before(async (t) => {
  // The first on a machine builds the guest, or waits for who does.
  t.timeout(25 * 60_000);
  if (able) mariadb = await startPrivateMariadb();
  if (able && missing === undefined) tiny = await tinyGuest();
});
anyTest.after.always(async () => {
  await mariadb?.dispose();
  await tiny?.[Symbol.asyncDispose]();
});

const vaultId = vaultResourceId('5ad2a1d6-1b61-4b56-9a2b-111111111111', 'rg', 'v');
const containerId = `${vaultId}/replicationFabrics/f/replicationProtectionContainers/c`;
const id = `${containerId}/replicationProtectedItems/guest`;

/** An item that is failed over, at a site. */
async function world() {
  const { database } = await mariadb.database();
  await migrate(database);
  let time = Date.parse('2026-06-01T00:02:00Z');
  const clock: Clock = { now: () => time, monotonic: () => time, sleep: () => Promise.resolve() };
  const at = (offsetMilliseconds = 0) => new Date(time + offsetMilliseconds).toISOString();
  const [siteId, machineId, failoverId] = [systemRandom.uuid(), systemRandom.uuid(), systemRandom.uuid()];
  const itemId = systemRandom.uuid() as never;
  await sites.add(database, {
    siteId,
    vaultId: vaultId.toLowerCase(),
    fabricName: 'f',
    hostName: 'cs',
    version: '1',
    boxPublicKey: Buffer.alloc(32).toString('base64'),
    registeredAt: at(),
  });
  const store = new MariaStore(database);
  await store.addItem(
    {
      itemId,
      name: 'guest',
      processServer: 'ps',
      disks: [{ diskId: systemRandom.uuid() as never, path: '/dev/vda' }],
      retention: { rules: [{ untilSeconds: 3600, everySeconds: 0 }] },
      createdAt: at(),
    },
    Buffer.alloc(1),
  );
  const job = { jobId: systemRandom.uuid(), scenarioName: 'EnableDr', startedAt: at() };
  await items.add(
    database,
    {
      ...{
        id,
        vaultId,
        containerId,
        fabricName: 'f',
        name: 'guest',
        friendlyName: 'guest',
        itemId,
        machineId,
      },
      ...{ instanceType: 'InMageAzureV2', processServerId: systemRandom.uuid() },
      ...{
        policyId: `${vaultId}/replicationPolicies/p`,
        protectableItemId: 'x',
        settings: {},
        createdAt: at(),
      },
    },
    job,
  );
  await items.end(database, id, job.jobId, 'done');
  await database.change(
    "UPDATE item_resources SET protection_state = 'UnplannedFailoverCommitted', active_location = 'Recovery'",
  );
  await store.fence(itemId, { failoverId, fencedAt: at() });
  const desk = new OrdersDesk({ database, clock, log: silentLog, onAnswer: () => {} });
  const fences = new Fences({
    ...{ database, clock, log: silentLog, orders: desk },
    sites: { siteOf: async () => siteId },
  });
  return {
    database,
    clock,
    store,
    itemId,
    failoverId,
    fences,
    at,
    later: (milliseconds: number) => {
      time += milliseconds;
    },
    /** Orders that are not answered yet; answers them. */
    told: async (outcome: object = { state: 'done' }) => {
      const found: unknown[] = [];
      const rows = await database.rows('SELECT content FROM site_orders ORDER BY sequence');
      for (const row of rows) {
        const order = SiteOrder.parse(row.content);
        if ((await siteOrders.answerTo(database, order.orderId))?.answer) continue;
        if (order.order === 'change-failed-over') found.push(order.failedOver);
        await siteOrders.keepAnswer(
          database,
          siteId,
          { orderId: order.orderId, outcome, answeredAt: at() } as never,
          at(),
        );
      }
      return found;
    },
    /** The site reports; its clock is fast by so much. */
    report: (heartbeatAt: number, fastMilliseconds: number) =>
      sites.keepReport(
        database,
        siteId,
        {
          configurationServer: {
            ...{ version: '1', hostName: 'cs', addresses: [], health: [] },
            at: at(fastMilliseconds),
          },
          processServers: [],
          machines: [
            {
              machineId: machineId as never,
              ...{ name: 'guest', addresses: [], osName: 'Linux', kernel: '6', firmware: 'bios' },
              ...{ cpuCount: 1, memoryBytes: 1 << 30, disks: [], itemId },
              mobilityService: {
                version: '1',
                lastHeartbeatAt: new Date(heartbeatAt + fastMilliseconds).toISOString(),
              },
            } as never,
          ],
          page: { index: 0, last: true },
        },
        at(),
      ),
    conditions: async () => {
      const [item] = await facts.items(database, { after: 0, limit: 10 });
      const times = { rpoThresholdSeconds: 900, applicationConsistentSeconds: 0 };
      return itemConditions({ ...item!, ...times }, time);
    },
  };
}

test('a site is told of a failover and of its cancelling, once each, when it can be reached', async (t) => {
  const w = await world();
  const failedOver = { failoverId: w.failoverId, at: w.at() };
  // It is away: each hour's order expires.
  for (let hour = 0; hour < 2; hour++) {
    await w.fences.pass();
    await w.fences.pass();
    const away = {
      ...{ code: 'OrderExpired', severity: 'error', summary: 'away', possibleCauses: 'x' },
      ...{ recommendedAction: 'y', raisedAt: w.at(), context: {} },
    };
    t.deepEqual(await w.told({ state: 'failed', error: away }), [failedOver]);
    await w.fences.pass();
    t.deepEqual(await w.told(), []);
    w.later(3_600_000);
  }
  await w.fences.pass();
  t.deepEqual(await w.told(), [failedOver]);
  await w.fences.pass();
  w.later(7_200_000);
  await w.fences.pass();
  t.deepEqual(await w.told(), [], 'it knows');
  await w.store.liftFence(w.itemId, w.at());
  await w.fences.pass();
  t.deepEqual(await w.told(), [null]);
  await w.fences.pass();
  t.is((await w.database.rows('SELECT 1 FROM failover_fences')).length, 0);
});

test('a source that comes back is critical with the next report, and one that is off is not, whatever its site’s clock says', async (t) => {
  for (const fast of [0, 240_000, -240_000]) {
    const w = await world();
    const codes = async () => (await w.conditions()).map(({ code, severity }) => `${code} ${severity}`);
    const failedOverAt = w.clock.now();
    w.later(30_000);
    await w.report(failedOverAt - 5_000, fast);
    t.deepEqual(await codes(), [], `${fast}: it went before`);
    w.later(600_000);
    await w.report(w.clock.now() - 4_000, fast);
    t.deepEqual(await codes(), ['SourceRunsAgain Critical'], `${fast}`);
    const heardAt = w.clock.now() - 4_000;
    w.later(120_000);
    await w.report(heardAt, fast);
    t.deepEqual(await codes(), [], `${fast}: it was switched off`);
    await w.report(w.clock.now(), fast);
    await w.store.liftFence(w.itemId, w.at());
    t.deepEqual(await codes(), [], `${fast}: cancelled`);
  }
});

test('a machine is started again when its host went, so often and no more, and never one that somebody switched off', (t) => {
  const now = Date.parse('2026-06-01T00:00:00Z');
  const lost = { state: 'off', reason: 'unknown' } as const;
  t.deepEqual(planPower(undefined, { state: 'running' }, now), { power: undefined, isToStart: false });
  let plan = planPower(undefined, lost, now);
  for (let start = 1; start <= 3; start++) {
    t.true(plan.isToStart);
    t.is(plan.power?.starts.length, start);
    plan = planPower(plan.power, lost, now + start * 60_000);
  }
  t.false(plan.isToStart);
  t.regex(plan.power!.why, /started 3 times/);
  t.true(planPower(plan.power, lost, now + 2 * 3_600_000).isToStart, 'an hour later it is tried again');
  for (const reason of ['shutdown', 'destroyed']) {
    const left = planPower(undefined, { state: 'off', reason }, now);
    t.false(left.isToStart);
    const rebooted = planPower(left.power, lost, now + 60_000);
    t.false(rebooted.isToStart, 'its host was restarted since, and nobody asked for it');
    t.is(rebooted.power?.since, left.power?.since);
    const back = planPower(rebooted.power, { state: 'running' }, now + 120_000);
    t.true(planPower(back.power, lost, now + 180_000).isToStart, 'somebody had started it');
  }
  for (const seen of [
    { state: 'unknown', reason: 'no answer' },
    { state: 'paused', reason: 'I/O error' },
  ] as const)
    t.like(planPower(undefined, seen, now), { isToStart: false, power: { isOn: false, isLeftOff: false } });
});

hostTest(
  'a host that loses power: its failed-over machine runs again, closed in; one that is switched off is critical',
  async (t) => {
    t.timeout(10 * 60_000);
    const w = await world();
    const folder = await mkdtemp(join(tmpdir(), 'lw-'));
    const site = await makeSite(`leeward-test-${shortId()}`);
    let daemon = await startLibvirt(site, folder);
    try {
      const provider = new LibvirtProvider(
        {
          ...{ uri: daemon.uri, folder: join(folder, 'machines'), accelerator: 'tcg' },
          commandPrefix: site.networkPrefix,
        },
        systemClock,
        systemFiles,
      );
      const { kernel, initrd, commandLine } = tiny!;
      const machine = KeptMachine.parse({
        ...{ name: 'leeward-guest-1', cpuCount: 1, memoryMebibytes: 256, firmware: 'bios', disks: [] },
        network: { mode: 'isolated', name: 'leeward-guest-1-net' },
        directBoot: { kernel, initrd, commandLine },
      });
      await failoverRecords(w.database).save({
        ...{ itemId: w.itemId, failoverId: w.failoverId, kind: 'unplanned', machine },
        pointId: RecoveryPointId.parse(systemRandom.uuid()),
        ...{ pointTakenAt: w.at(), startedAt: w.at() },
      });
      const pass = () =>
        new FailedOverMachines({ database: w.database, provider, clock: w.clock, log: silentLog }).pass();
      const codes = async () => (await w.conditions()).map(({ code, severity }) => `${code} ${severity}`);
      const closed = async () => (await site.run('/usr/sbin/nft', ['list', 'ruleset'])).includes('drop');
      await provider.start(machine as never);
      await pass();
      t.deepEqual(await codes(), []);
      const before = await provider.power(machine.name);
      t.is(before.state, 'running');

      await daemon.stop();
      await site.run('/usr/sbin/nft', ['flush', 'ruleset']);
      await pass();
      t.deepEqual(await codes(), ['FailedOverMachineOff Critical'], 'the hypervisor is away');
      daemon = await startLibvirt(site, folder);
      t.like(await provider.power(machine.name), { state: 'off' });
      await pass();
      t.deepEqual(await provider.power(machine.name), { state: 'running' });
      t.deepEqual(await codes(), []);
      t.true(await closed());

      await site.run('virsh', ['-q', '-c', daemon.uri, 'destroy', machine.name]);
      await pass();
      await pass();
      t.like(await provider.power(machine.name), { state: 'off', reason: 'destroyed' });
      t.deepEqual(await codes(), ['FailedOverMachineOff Critical']);
      // And still when its host was restarted.
      await daemon.stop();
      daemon = await startLibvirt(site, folder);
      await pass();
      t.like(await provider.power(machine.name), { state: 'off' });
      t.deepEqual(await codes(), ['FailedOverMachineOff Critical']);
      // Until somebody starts it.
      await provider.startAgain(machine as never);
      await pass();
      t.deepEqual(await codes(), []);

      // A job works on the item: it is the job's business.
      await w.database.change(
        "UPDATE item_resources SET job_id = ?, protection_state = 'CancelFailoverInitiated'",
        [systemRandom.uuid()],
      );
      await daemon.stop();
      daemon = await startLibvirt(site, folder);
      await pass();
      t.like(await provider.power(machine.name), { state: 'off' });
    } finally {
      await daemon.stop();
      await site.remove();
      await rm(folder, { recursive: true, force: true });
    }
  },
);
