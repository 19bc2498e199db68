/**
 * Goal: a site's parts may be away or killed, and nothing is lost: replication goes on without the configuration server, an
 * order waits for who is down, and a machine that comes back late still leaves nothing behind. And the service of an enrolled
 * machine stays under its 100 MB.
 *
 * Method: as `site.test.ts`; the mobility service bundled as it is packed, with the limits of its start script.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/platform/clock.ts';
import { run } from '../../src/platform/exec.ts';
import { systemRandom } from '../../src/platform/random.ts';
import * as sites from '../../src/vault/store/sites.ts';
import { bundleAgent } from '../../tools/agent/bundle.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { eventually } from '../support/site.ts';
import { RealSite, ReceivingVault } from '../support/site-world.ts';

const reason = canLoop() ?? canTrace();
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const limit = { timeoutMilliseconds: 60_000 };
/** As systemd counts its `M`. */
const residentBytesMax = 100 * 2 ** 20;

test('killed at any end, a site goes on replicating and lets go when told', async (t) => {
  t.timeout(600_000);
  const vault = await ReceivingVault.start();
  t.teardown(() => vault[Symbol.asyncDispose]());
  const { database } = vault.link;
  const site = await RealSite.make();
  t.teardown(async () => {
    if (!t.passed) t.log(site.logs().slice(-10_000));
    await site[Symbol.asyncDispose]();
  });
  const loop = await makeLoop(t, 32 << 20);
  await run('dd', ['if=/dev/urandom', `of=${loop.path}`, 'bs=1M', 'count=8', 'oflag=direct'], limit);
  await site.register(await vault.link.issueKey('faulty'));
  site.server.start();
  const { processServer, service } = {
    processServer: await site.startProcessServer(),
    service: await site.startMachine('machine', await packed(t)),
  };
  const siteId = await eventually('the site is known', 180, async () => {
    const [row] = await database.rows('SELECT site_id FROM sites WHERE last_report_at IS NOT NULL');
    return row && String(row.site_id);
  });
  const machine = await eventually('the machine is protectable', 180, async () =>
    (await sites.listMachines(database, siteId, { limit: 10 })).find((each) =>
      each.disks.some((disk) => disk.path === loop.path),
    ),
  );
  const server = await eventually('the process server is known', 180, async () =>
    (await sites.listProcessServers(database, siteId)).at(0),
  );

  // The order comes while the machine is down: it waits for it.
  await service.kill();
  const ids = { siteId, machineId: machine.machineId, processServerId: server.processServerId };
  const { itemId, orderId } = await vault.protect({ ...ids, path: loop.path });
  site.itemIds.push(itemId);
  await eventually('the process server has taken it', 180, () =>
    existsSync(join(site.folder, 'ps1', 'items', `${itemId}.json`)) ? true : undefined,
  );
  // And the configuration server dies in the middle of it.
  await site.server.kill();
  t.is(await vault.link.orders.answer(orderId), undefined);
  site.server.start();
  service.start();
  t.deepEqual((await vault.answered(orderId)).outcome, { state: 'done' });

  // Replication needs no configuration server, also after a restart of both of its ends.
  await site.server.kill();
  await Promise.all([processServer.kill(), service.kill()]);
  processServer.start();
  service.start();
  await run(
    'dd',
    ['if=/dev/urandom', `of=${loop.path}`, 'bs=1M', 'count=2', 'seek=20', 'oflag=direct'],
    limit,
  );
  const writtenAt = systemClock.now();
  await eventually('a point of what was written meanwhile', 120, async () =>
    (await vault.store.listPoints(itemId, { limit: 3 })).find(
      (point) => Date.parse(point.takenAt) > writtenAt,
    ),
  );
  const { residentBytes } = JSON.parse(
    readFileSync(join(site.folder, 'machine', 'runtime', 'status.json'), 'utf8'),
  ) as { residentBytes: number };
  t.log(`an enrolled service has ${(residentBytes / 1e6).toFixed(1)} MB`);
  t.true(residentBytes < residentBytesMax);

  // Disabling while the machine is down: nobody waits for it, and it lets go when it is back.
  await service.kill();
  site.server.start();
  const unprotect = systemRandom.uuid();
  await vault.link.orders.place({
    orderId: unprotect,
    siteId,
    content: { order: 'unprotect', itemId },
    expiresAt: new Date(systemClock.now() + 200_000).toISOString(),
  });
  t.deepEqual((await vault.answered(unprotect)).outcome, { state: 'done' });
  t.deepEqual(readdirSync(join(site.folder, 'ps1', 'spool')), []);
  service.start();
  const state = join(site.folder, 'machine', 'state');
  await eventually('the machine has let go', 180, () =>
    readdirSync(state).join() === 'site' && !existsSync(join(state, 'site', 'removed.json'))
      ? true
      : undefined,
  );
  t.false(existsSync(`/sys/kernel/tracing/instances/leeward-${itemId.slice(0, 8)}`));
});

/** The service as `make agent` ships it; its start script has the same limits. */
async function packed(t: ExecutionContext<unknown>): Promise<{ node: readonly string[]; main: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-packed-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const main = join(folder, 'mobility-service.mjs');
  await bundleAgent('src/bin/mobility-service.ts', main);
  const path = join(import.meta.dirname, '../../appliance/agent/leeward-mobility-service');
  const script = await readFile(path, 'utf8');
  for (const [, name, value] of script.matchAll(/(MALLOC_\w+)=(\d+)/g)) process.env[name!] = value!;
  return { node: script.match(/--(max|optimize|no|v8)-\S+/g)!, main };
}
