/**
 * Goal: a copy of a protected machine, beside it or alone, never writes into its chain: each point equals the original's disk,
 * the original's session is never ended and nothing is compared anew; the vault hears of the copy; by one command it becomes a
 * machine of its own. An original that was changed in part, or reverted, goes on.
 *
 * Method: as `site.test.ts`. Original and copy are two services on this host, which say by files that they run on two machines;
 * the copy has the original's state folder, and another disk in place of the original's (a mount namespace of its own).
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import { extentBytesMax } from '../../src/disk/disk.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { run } from '../../src/platform/exec.ts';
import { machineCopied } from '../../src/vault/health/machine-copied.ts';
import type { ReadableDisk } from '../../src/vault/replica/replica-store.ts';
import * as sites from '../../src/vault/store/sites.ts';
import { sha256Of } from '../support/bytes.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { type MachineFacts, writeMachineFacts } from '../support/machine-facts.ts';
import { type Daemon, eventually } from '../support/site.ts';
import { RealSite, ReceivingVault } from '../support/site-world.ts';

const reason = canLoop() ?? canTrace();
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const limit = { timeoutMilliseconds: 60_000 };

const facts: MachineFacts = {
  product: '4c4c4544-0042-3510-8054-b4c04f564433',
  nics: ['00:50:56:9a:00:01'],
  serials: ['vol-1'],
  systemId: '3f1c0e9d5b7a4f6e8d2c1b0a99887766',
};
const cloneFacts: MachineFacts = {
  ...facts,
  product: '4c4c4544-0042-3510-8054-aaaaaaaaaaaa',
  nics: ['00:50:56:9a:00:02'],
  serials: ['vol-2'],
};

test('no byte of a copy enters the chain of its original, and the original goes on', async (t) => {
  t.timeout(900_000);
  const vault = await ReceivingVault.start();
  t.teardown(() => vault[Symbol.asyncDispose]());
  const { database } = vault.link;
  const site = await RealSite.make();
  t.teardown(async () => {
    if (!t.passed) t.log(site.logs().slice(-12_000));
    await site[Symbol.asyncDispose]();
  });
  const disk = await makeLoop(t, 16 << 20);
  const copiedDisk = await makeLoop(t, 16 << 20);
  await run('dd', ['if=/dev/urandom', `of=${disk.path}`, 'bs=1M', 'count=16', 'oflag=direct'], limit);
  await run('dd', ['if=/dev/urandom', `of=${copiedDisk.path}`, 'bs=1M', 'count=16', 'oflag=direct'], limit);
  await site.register(await vault.link.issueKey('copies'));
  site.server.start();
  await site.startProcessServer();
  const root = join(site.folder, 'original-root');
  await writeMachineFacts(root, { ...facts, bootId: 'boot-1' });
  const original = await site.startMachine('original', { machineRoot: root, hostName: 'web' });
  const siteId = await eventually('the site is known', 180, async () => {
    const [row] = await database.rows('SELECT site_id FROM sites WHERE last_report_at IS NOT NULL');
    return row && String(row.site_id);
  });
  const machine = await eventually('the machine is protectable', 180, async () =>
    (await sites.listMachines(database, siteId, { limit: 10 })).find((each) =>
      each.disks.some(({ path }) => path === disk.path),
    ),
  );
  const server = await eventually('the process server is known', 180, async () =>
    (await sites.listProcessServers(database, siteId)).at(0),
  );
  const ids = { siteId, machineId: machine.machineId, processServerId: server.processServerId };
  const { itemId, diskId, orderId } = await vault.protect({ ...ids, path: disk.path });
  site.itemIds.push(itemId);
  t.deepEqual((await vault.answered(orderId)).outcome, { state: 'done' });

  const { statusPort } = JSON.parse(await readFile(join(site.folder, 'ps1', 'process-server.json'), 'utf8'));
  const served = async () => {
    const status = await (await fetch(`http://127.0.0.1:${statusPort}/status`)).json();
    return (status as { items: { session: { generation: number } | null; disks: { state: string }[] }[] })
      .items[0]!;
  };
  const write = async (seek: number) => {
    const args = ['if=/dev/urandom', `of=${disk.path}`, 'bs=64K', 'count=3', `seek=${seek}`, 'oflag=direct'];
    await run('dd', args, limit);
    return systemClock.now();
  };
  /** The newest point that was taken after that moment, which equals the original's disk. */
  const pointAfter = async (moment: number, what: string) => {
    const point = await eventually(`a point: ${what}`, 240, async () =>
      (await vault.store.listPoints(itemId, { limit: 3 })).find((each) => Date.parse(each.takenAt) > moment),
    );
    await using copy = disposable(await vault.replica.openPoint(itemId, point.pointId, diskId));
    t.is(await hashOf(copy.disk), await sha256Of(disk.path), what);
  };
  const copyNames = async () =>
    (await sites.machine(database, siteId, machine.machineId))?.copies?.map(({ name }) => name) ?? [];
  const count = async () => (await vault.store.listPoints(itemId, { limit: 1000 })).length;
  const saysAfter = (daemon: Daemon, length: number, what: string) =>
    eventually(`${daemon.name} says ${what}`, 180, () =>
      readFileSync(daemon.logPath, 'utf8').slice(length).includes(what) ? true : undefined,
    );
  const logLength = (daemon: Daemon) => readFileSync(daemon.logPath, 'utf8').length;
  await pointAfter(await write(10), 'before there is a copy');

  // The disk is cloned while the machine runs; the copy has other hardware, and its own bytes.
  const stateOf = (name: string) => join(site.folder, name, 'state');
  const copyState = async (to: string) => {
    await mkdir(join(site.folder, to), { recursive: true });
    await rm(stateOf(to), { recursive: true, force: true });
    await cp(stateOf('original'), stateOf(to), { recursive: true });
  };
  await copyState('clone');
  await copyState('early');
  const cloneRoot = join(site.folder, 'clone-root');
  await writeMachineFacts(cloneRoot, { ...cloneFacts, bootId: 'boot-2' });
  const devices = { [disk.path]: copiedDisk.path };
  const asClone = { machineRoot: cloneRoot, hostName: 'web-clone', devices, isEnrolled: false };
  const clone = await site.startMachine('clone', asClone);
  const { generation } = (await served()).session!;
  clone.start();
  await saysAfter(clone, 0, 'MachineCopied');
  t.regex(readFileSync(clone.logPath, 'utf8'), /leeward-mobility-service enrol .*systemctl restart/);
  const status = JSON.parse(await readFile(join(site.folder, 'clone', 'runtime', 'status.json'), 'utf8'));
  t.like(status, { connection: 'stopped', refusal: { code: 'MachineCopied' } });
  const copies = await eventually('the vault hears of it', 120, async () => {
    const found = await sites.machine(database, siteId, machine.machineId);
    return found?.copies;
  });
  t.is(copies.length, 1);
  t.like(copies[0], { name: 'web-clone' });
  const [condition] = machineCopied('web', copies);
  t.like(condition, { code: 'MachineCopied', severity: 'Warning' });
  t.true(condition!.summary.includes('web-clone (127.0.0.1'), condition!.summary);
  t.true(condition!.summary.includes(copies[0]!.firstSeenAt));
  await pointAfter(await write(20), 'beside the copy');
  t.is((await served()).session?.generation, generation, 'the original’s session was never ended');

  // A copy of its hardware, too: it is found out by the original's next report.
  await copyState('twin');
  const twin = await site.startMachine('twin', {
    machineRoot: root,
    hostName: 'web-twin',
    devices,
    isEnrolled: false,
  });
  twin.start();
  await saysAfter(twin, 0, 'MachineCopied');
  await twin.kill('SIGTERM');
  t.is((await served()).session?.generation, generation);

  // The copy alone.
  await original.kill('SIGTERM');
  await eventually('its session has ended', 60, async () =>
    (await served()).session === null ? true : undefined,
  );
  await clone.kill();
  const before = { length: logLength(clone), points: await count() };
  clone.start();
  await saysAfter(clone, before.length, 'MachineCopied');
  t.is((await served()).session, null);
  t.is(await count(), before.points);

  // And the original comes back beside it: renamed, with another card, after a reboot. Nothing is compared.
  await writeMachineFacts(root, { ...facts, nics: ['00:50:56:9a:00:77'], bootId: 'boot-1' });
  const length = logLength(original);
  original.start();
  await pointAfter(await write(30), 'after it came back');
  t.deepEqual(
    (await served()).disks.map(({ state }) => state),
    ['in-sync'],
  );
  t.false(readFileSync(original.logPath, 'utf8').slice(length).includes('walk-planned'));

  // One command, and the copy is a machine of its own; it had protected nothing.
  await site.enrolMachine('clone', { args: ['--machine-root', cloneRoot], before: [] });
  await clone.kill('SIGTERM');
  clone.start();
  await eventually('two machines, and the new one is no copy', 120, async () => {
    const machines = await sites.listMachines(database, siteId, { limit: 10 });
    const own = machines.find(({ name }) => name === 'web-clone');
    return own && machines.length === 2 && (await copyNames()).every((name) => name === 'web-twin')
      ? own.itemId === undefined || undefined
      : undefined;
  });
  await pointAfter(await write(40), 'beside a machine of its own');

  // Reverted to an earlier snapshot of its disk, on its own hardware: compared, and right.
  await original.kill('SIGTERM');
  await rm(stateOf('original'), { recursive: true });
  await cp(stateOf('early'), stateOf('original'), { recursive: true });
  await writeMachineFacts(root, { ...facts, nics: ['00:50:56:9a:00:77'], bootId: 'boot-3' });
  original.start();
  await pointAfter(await write(50), 'after it was reverted');
  t.true((await copyNames()).every((name) => name === 'web-twin'));
});

function disposable(disk: ReadableDisk) {
  return { disk, [Symbol.asyncDispose]: () => disk.close() };
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
