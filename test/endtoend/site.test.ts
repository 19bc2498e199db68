/**
 * Goal: a site comes into being as a person makes it (a key, an enrolment file), and what a vault then orders happens on the
 * machine: a protected disk reaches the vault byte for byte, and disabling leaves nothing behind.
 *
 * Method: vault's data path and link in this process; configuration server, process server and mobility service as real
 * processes; a loop device; everything over TLS.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { z } from 'zod';
import { extentBytesMax } from '../../src/disk/disk.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { run } from '../../src/platform/exec.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { ArmClient } from '../../src/protocol/arm/client.ts';
import type { ReadableDisk } from '../../src/vault/replica/replica-store.ts';
import * as sites from '../../src/vault/store/sites.ts';
import { sha256Of } from '../support/bytes.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { Daemon, eventually, freePort, runMain } from '../support/site.ts';
import { RealSite, ReceivingVault, vaultId } from '../support/site-world.ts';

const reason = canLoop() ?? canTrace();
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const limit = { timeoutMilliseconds: 60_000 };

test('a site registers, enrols, protects a disk byte for byte, and takes protection away again', async (t) => {
  t.timeout(480_000);
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
  const known = await eventually('the site reports', 180, async () => {
    const found = await sites.byName(database, vaultId.toLowerCase(), 'Branch');
    return found?.lastReportAt === undefined ? undefined : found;
  });
  const loop = await makeLoop(t, 48 << 20);
  await run('dd', ['if=/dev/urandom', `of=${loop.path}`, 'bs=1M', 'count=20', 'oflag=direct'], limit);
  await site.startProcessServer();
  const service = await site.startMachine('machine');

  const machine = await eventually('the machine is protectable', 180, async () =>
    (await sites.listMachines(database, known.siteId, { limit: 10 })).find((each) =>
      each.disks.some((disk) => disk.path === loop.path),
    ),
  );
  const disk = machine.disks.find(({ path }) => path === loop.path)!;
  t.is(disk.sizeBytes, 48 << 20);
  t.deepEqual(disk.readinessErrors, []);
  const server = await eventually('the process server is known', 180, async () =>
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
    expiresAt: new Date(systemClock.now() + 200_000).toISOString(),
  });
  t.deepEqual((await vault.answered(bookmarkOrder)).outcome, { state: 'done' });
  const point = await eventually('a point after the last write', 180, async () =>
    (await vault.store.listPoints(itemId, { limit: 5 })).find((each) => Date.parse(each.takenAt) > quietAt),
  );
  const copy = await vault.replica.openPoint(itemId, point.pointId, diskId);
  t.is(await hashOf(copy), await sha256Of(loop.path));
  await copy.close();

  const reported = await eventually('the report says what it replicates as', 180, async () => {
    const found = await sites.machine(database, known.siteId, machine.machineId);
    return found?.itemId === itemId ? found : undefined;
  });
  t.is(reported.itemId, itemId);

  const unprotect = systemRandom.uuid();
  await vault.link.orders.place({
    orderId: unprotect,
    siteId: known.siteId,
    content: { order: 'unprotect', itemId },
    expiresAt: new Date(systemClock.now() + 200_000).toISOString(),
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

test('over the API alone: a key, a site, a protected machine whose bytes are at the vault, and back to nothing', async (t) => {
  t.timeout(480_000);
  const folder = await mkdtemp(join(tmpdir(), 'leeward-site-api-'));
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const data = join(folder, 'vault');
  const ports = { cache: await freePort(), api: await freePort() };
  await runMain([
    ...['src/bin/vault.ts', 'init', '--data', data, '--host', '127.0.0.1', '--make-volume', '1'],
    ...['--port', String(ports.cache), '--api-port', String(ports.api)],
  ]);
  const vault = new Daemon('vault', folder, ['src/bin/vault.ts', 'run', '--data', data]);
  vault.start();
  const site = await RealSite.make();
  t.teardown(async () => {
    if (!t.passed) t.log(`${vault.tail(25)}\n${site.logs()}`.slice(-12_000));
    await site[Symbol.asyncDispose]();
    await vault.kill('SIGTERM');
  });
  const owner = await eventually('the vault has an owner', 180, () =>
    z
      .looseObject({
        tenantId: z.string(),
        subscriptionId: z.string(),
        clientId: z.string(),
        clientSecret: z.string(),
      })
      .parse(JSON.parse(readFileSync(join(data, 'owner.json'), 'utf8'))),
  );
  using client = new ArmClient({
    url: `https://127.0.0.1:${ports.api}`,
    ca: readFileSync(join(data, 'authority', 'ca.pem'), 'utf8'),
    ...owner,
    clock: systemClock,
    signal: AbortSignal.timeout(470_000),
  });
  const vaultPath = `/subscriptions/${owner.subscriptionId}/resourceGroups/recovery/providers/Microsoft.RecoveryServices/vaults/first`;
  const ask = async (method: string, path: string, body?: unknown) =>
    (await client.request(method, `${vaultPath}${path}`, { body })).body as Any;
  const done = async (method: string, path: string, body?: unknown) => {
    const { jobId } = await client.request(method, `${vaultPath}${path}`, { body });
    if (jobId === undefined) return;
    const state = await eventually(`job of ${method} ${path}`, 120, async () => {
      const { properties } = await ask('GET', `/replicationJobs/${jobId}`);
      return ['Succeeded', 'Failed', 'Cancelled'].includes(properties.state) ? properties : undefined;
    });
    t.is(state.state, 'Succeeded', JSON.stringify(state.errors));
  };
  await eventually('a vault is made', 180, async () => {
    await client.request('PUT', vaultPath, {
      body: { location: 'local', sku: { name: 'RS0', tier: 'Standard' }, properties: {} },
    });
    return true;
  });
  await eventually('the vault is there', 180, () => ask('GET', ''));
  const key = await ask('POST', '/registrationKeys', { properties: { fabricName: 'branch' } });
  await site.register(key.properties.content);
  const [listed] = (await ask('GET', '/registrationKeys')).value;
  t.is(listed.properties.state, 'Used');
  t.false(JSON.stringify(listed).includes('content'));
  site.server.start();

  const loop = await makeLoop(t, 32 << 20);
  await run('dd', ['if=/dev/urandom', `of=${loop.path}`, 'bs=1M', 'count=12', 'oflag=direct'], limit);
  await site.startProcessServer();
  await site.startMachine('machine');
  const container = '/replicationFabrics/branch/replicationProtectionContainers/branch-container';
  const machine: Any = await eventually('the machine is protectable', 180, async () =>
    (await ask('GET', `${container}/replicationProtectableItems`)).value.find((each: Any) =>
      each.properties.customDetails.diskDetails.some((disk: Any) => disk.diskId === loop.path),
    ),
  );
  await done('PUT', '/replicationPolicies/often', {
    properties: {
      providerSpecificInput: {
        instanceType: 'InMageAzureV2',
        recoveryPointThresholdInMinutes: 15,
        recoveryPointHistory: 1440,
        crashConsistentFrequencyInMinutes: 5,
        appConsistentFrequencyInMinutes: 0,
        multiVmSyncStatus: 'Disable',
      },
    },
  });
  await done('PUT', `${container}/replicationProtectionContainerMappings/often`, {
    properties: {
      policyId: `${vaultPath}/replicationPolicies/often`,
      targetProtectionContainerId: 'Microsoft Azure',
      providerSpecificInput: {},
    },
  });
  const item = `${container}/replicationProtectedItems/first`;
  await eventually('the process server is known', 180, async () => {
    const { properties } = await ask('GET', '/replicationFabrics/branch');
    return properties.customDetails.processServers[0] as unknown;
  });
  await done('PUT', item, {
    properties: {
      policyId: `${vaultPath}/replicationPolicies/often`,
      protectableItemId: machine.id,
      providerSpecificDetails: { instanceType: 'InMageAzureV2', disksToInclude: [{ diskId: loop.path }] },
    },
  });
  const point = await eventually('a recovery point', 120, async () => {
    const { value } = await ask('GET', `${item}/recoveryPoints`);
    return value[0] as unknown;
  });
  t.truthy(point);
  t.is(await newestPointHash(join(data, 'replica')), await sha256Of(loop.path));
  // Not DELETE: that purges, and does not wait for the site.
  await done('POST', `${item}/remove`, {
    properties: { disableProtectionReason: 'NotSpecified', replicationProviderInput: {} },
  });
  t.deepEqual(readdirSync(join(site.folder, 'machine', 'state', 'site', 'items')), []);
  t.deepEqual(readdirSync(join(site.folder, 'ps1', 'keys')), []);
});

// biome-ignore lint/suspicious/noExplicitAny: answers of the API are looked into here as any client would
type Any = any;

/** The replica of the vault's one item: `<item>/points/<point>/<disk>.raw`. */
async function newestPointHash(folder: string): Promise<string> {
  const found = await run('find', [folder, '-path', '*point*', '-name', '*.raw'], limit);
  const paths = found.split('\n').filter(Boolean);
  return sha256Of(paths.sort((one, other) => statSync(one).ctimeMs - statSync(other).ctimeMs).at(-1)!);
}

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
