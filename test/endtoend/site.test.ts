/**
 * Goal: a site comes into being as a person makes it (a key, an enrolment file), and what a vault then orders happens on the
 * machine: a protected disk reaches the vault byte for byte, and disabling leaves nothing behind.
 *
 * Method: vault's data path and link in this process; configuration server, process server and mobility service as real
 * processes; a loop device; everything over TLS.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import anyTest from 'ava';
import { extentBytesMax } from '../../src/disk/disk.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { run } from '../../src/platform/exec.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { ReadableDisk } from '../../src/vault/replica/replica-store.ts';
import * as sites from '../../src/vault/store/sites.ts';
import { sha256Of } from '../support/bytes.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { eventually } from '../support/site.ts';
import { RealSite, ReceivingVault, vaultId } from '../support/site-world.ts';

const reason = canLoop() ?? canTrace();
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const limit = { timeoutMilliseconds: 60_000 };

test('a site registers, enrols, protects a disk byte for byte, and takes protection away again', async (t) => {
  t.timeout(240_000);
  const vault = await ReceivingVault.start();
  t.teardown(() => vault[Symbol.asyncDispose]());
  const { database } = vault.link;
  const site = await RealSite.make();
  t.teardown(async () => {
    if (!t.passed) t.log(site.logs().slice(-8000));
    await site[Symbol.asyncDispose]();
  });
  await site.register(await vault.link.issueKey('branch'));
  site.server.start();
  const known = await eventually('the site reports', 60, async () => {
    const found = await sites.byName(database, vaultId.toLowerCase(), 'Branch');
    return found?.lastReportAt === undefined ? undefined : found;
  });
  const loop = await makeLoop(t, 48 << 20);
  await run('dd', ['if=/dev/urandom', `of=${loop.path}`, 'bs=1M', 'count=20', 'oflag=direct'], limit);
  await site.startProcessServer();
  const service = await site.startMachine('machine');

  const machine = await eventually('the machine is protectable', 60, async () =>
    (await sites.listMachines(database, known.siteId, { limit: 10 })).find((each) =>
      each.disks.some((disk) => disk.path === loop.path),
    ),
  );
  const disk = machine.disks.find(({ path }) => path === loop.path)!;
  t.is(disk.sizeBytes, 48 << 20);
  t.deepEqual(disk.readinessErrors, []);
  const server = await eventually('the process server is known', 60, async () =>
    (await sites.listProcessServers(database, known.siteId)).at(0),
  );
  t.is(server.host, '127.0.0.1');

  const { itemId, diskId, orderId } = await vault.protect({
    siteId: known.siteId,
    machineId: machine.machineId,
    processServerId: server.processServerId,
    path: loop.path,
  });
  site.itemIds.push(itemId);
  t.deepEqual((await vault.answered(orderId)).outcome, { state: 'done' });
  await run(
    'dd',
    ['if=/dev/urandom', `of=${loop.path}`, 'bs=1M', 'count=3', 'seek=30', 'oflag=direct'],
    limit,
  );
  await run('sync', ['-f', loop.path], limit);
  const quietAt = systemClock.now();

  const bookmarkOrder = systemRandom.uuid();
  await vault.link.orders.place({
    orderId: bookmarkOrder,
    siteId: known.siteId,
    content: { order: 'take-bookmark', itemId, type: 'CrashConsistent' },
    expiresAt: new Date(systemClock.now() + 120_000).toISOString(),
  });
  t.deepEqual((await vault.answered(bookmarkOrder, 120)).outcome, { state: 'done' });
  const point = await eventually('a point after the last write', 90, async () =>
    (await vault.store.listPoints(itemId, { limit: 5 })).find((each) => Date.parse(each.takenAt) > quietAt),
  );
  const copy = await vault.replica.openPoint(itemId, point.pointId, diskId);
  t.is(await hashOf(copy), await sha256Of(loop.path));
  await copy.close();

  const reported = await eventually('the report says what it replicates as', 60, async () => {
    const found = await sites.machine(database, known.siteId, machine.machineId);
    return found?.itemId === itemId ? found : undefined;
  });
  t.is(reported.itemId, itemId);

  const unprotect = systemRandom.uuid();
  await vault.link.orders.place({
    orderId: unprotect,
    siteId: known.siteId,
    content: { order: 'unprotect', itemId },
    expiresAt: new Date(systemClock.now() + 60_000).toISOString(),
  });
  t.deepEqual((await vault.answered(unprotect)).outcome, { state: 'done' });
  t.false(
    existsSync(`/sys/kernel/tracing/instances/leeward-${itemId.slice(0, 8)}`),
    'no trace rings are left',
  );
  t.deepEqual(
    readdirSync(join(site.folder, 'machine', 'state')).filter((name) => name !== 'site'),
    [],
    'no maps are left',
  );
  t.deepEqual(readdirSync(join(site.folder, 'machine', 'state', 'site')).sort(), [
    'agent-id',
    'agent.json',
    'items',
    'tls',
  ]);
  t.deepEqual(readdirSync(join(site.folder, 'ps1', 'spool')), [], 'no spool is left');
  t.deepEqual(readdirSync(join(site.folder, 'ps1', 'keys')), [], 'no key is left');
  t.true(service.isRunning);
});

async function hashOf(disk: ReadableDisk): Promise<string> {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(extentBytesMax);
  for (let offset = 0; offset < disk.sizeBytes; offset += piece.byteLength) {
    const part = piece.subarray(0, Math.min(piece.byteLength, disk.sizeBytes - offset));
    await disk.read(part, offset);
    hash.update(part);
  }
  return hash.digest('hex');
}
