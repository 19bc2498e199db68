/**
 * Goal: a comparison costs what differs, and a vault that lost or spoiled what it was sent gets it again by itself.
 * Method: the real processes; the disk is a loop device with noise on it, which cannot be compressed away. What travelled is
 * read from the process server's own figures.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { z } from 'zod';
import { run, tryRun } from '../../src/platform/exec.ts';
import { EventView, ResyncView, VerifyView } from '../../src/protocol/control/vault-admin.ts';
import { difference, sha256Of } from '../support/bytes.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { eventually, type Machine, Site } from '../support/site.ts';

const reason = canLoop() ?? canTrace();
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const limit = { timeoutMilliseconds: 60_000 };
const diskBytes = 64 << 20;

async function noiseOn(path: string, mebibytes: number, atMebibyte = 0): Promise<void> {
  const to = [`of=${path}`, 'bs=1M', `count=${mebibytes}`, `seek=${atMebibyte}`, 'conv=fsync,notrunc'];
  await run('dd', ['if=/dev/urandom', ...to], limit);
}

async function startSite(t: import('ava').ExecutionContext<unknown>): Promise<Site> {
  const site = await Site.start({ folder: await mkdtemp(join(tmpdir(), 'leeward-resync-')) });
  t.teardown(async () => {
    if (!t.passed) t.log(site.logs().slice(-6000));
    await site[Symbol.asyncDispose]();
  });
  return site;
}

async function receivedBytes(site: Site): Promise<number> {
  const settings = z
    .object({ statusPort: z.number() })
    .parse(JSON.parse(readFileSync(join(site.folder, 'process-server/process-server.json'), 'utf8')));
  const metrics = await (await fetch(`http://127.0.0.1:${settings.statusPort}/metrics`)).text();
  return Number(/^leeward_process_server_received_bytes\S* (\S+)$/m.exec(metrics)![1]);
}

const codes = async (site: Site) =>
  (await site.call(z.array(EventView), 'GET', '/events?item=m1&limit=200')).map(({ event }) => event.code);

async function pointIsDevice(
  t: import('ava').ExecutionContext<unknown>,
  site: Site,
  machine: Machine,
  path: string,
): Promise<void> {
  const point = await machine.pointAfter(Date.now(), 60);
  t.is(await difference(site.pointPath(machine, point), path), undefined, 'the point is the device');
}

test('a resync by hand compares every disk, sends only what differs, and ends in a point', async (t) => {
  const site = await startSite(t);
  const loop = await makeLoop(t, diskBytes);
  await noiseOn(loop.path, diskBytes >> 20);
  const machine = await site.protect('m1', [loop.path], { crashConsistentSeconds: 1 });
  machine.service.start();
  await machine.pointAfter(0, 90);
  const before = await receivedBytes(site);
  t.true(before > diskBytes, 'noise does not compress');
  const view = await site.call(ResyncView, 'POST', '/items/m1/resync', {});
  t.true(view.isNew);
  await eventually('the comparison is over', 60, async () => {
    const found = await codes(site);
    const item = await machine.item();
    return found.includes('ResyncOrdered') && item.disks.every(({ state }) => state === 'in-sync')
      ? true
      : undefined;
  });
  await pointIsDevice(t, site, machine, loop.path);
  const sent = (await receivedBytes(site)) - before;
  t.true(sent < diskBytes / 8, `${sent} bytes of ${diskBytes} travelled again`);
  t.true((await codes(site)).includes('ResyncRequested'));
});

test('a bit that flips in cache storage costs a comparison, not a person', async (t) => {
  const site = await startSite(t);
  const loop = await makeLoop(t, diskBytes);
  await noiseOn(loop.path, 24);
  const machine = await site.protect('m1', [loop.path], { crashConsistentSeconds: 1 });
  machine.service.start();
  const first = await machine.pointAfter(0, 90);
  const digest = await sha256Of(site.pointPath(machine, first));
  // The vault is stopped in the middle of things until there is a segment that it has not applied.
  const segments = join(site.vaultFolder, 'cache', 'items', machine.itemId, 'segments');
  const waiting = () => {
    try {
      return readdirSync(segments, { recursive: true, withFileTypes: true }).filter((entry) =>
        entry.isFile(),
      );
    } catch {
      return [];
    }
  };
  let spoiled = false;
  for (let round = 0; !spoiled && round < 50; round++) {
    await noiseOn(loop.path, 6, 24 + (round % 6) * 6);
    await eventually('a segment arrives', 30, () => (waiting().length > 0 ? true : undefined)).catch(
      () => {},
    );
    site.vault.pause();
    const [segment] = waiting();
    if (segment) {
      const path = join(segment.parentPath, segment.name);
      const content = readFileSync(path);
      content[content.byteLength >> 1]! ^= 1;
      await site.vault.kill();
      writeFileSync(path, content);
      site.vault.start();
      await eventually('the vault is back', 60, () => machine.item());
    } else site.vault.resume();
    if (segment)
      spoiled = await eventually('it is seen or was applied before', 20, async () =>
        (await codes(site)).includes('CacheObjectCorrupt')
          ? true
          : waiting().length === 0
            ? false
            : undefined,
      );
  }
  t.true(spoiled);
  await eventually('a new chain is in sync', 90, async () => {
    const item = await machine.item();
    return item.blocked === undefined && item.disks.every(({ state }) => state === 'in-sync')
      ? true
      : undefined;
  });
  t.true((await codes(site)).includes('ResyncOrdered'));
  await pointIsDevice(t, site, machine, loop.path);
  t.is(await sha256Of(site.pointPath(machine, first)), digest, 'earlier points are not touched');

  // What an operator's nightly job sees: 0 while all is well, 2 with what is damaged and where.
  const verify = async () => {
    const args = ['src/bin/leeward.ts', '--data', site.vaultFolder, '--output', 'json', 'verify', 'm1'];
    const said = await tryRun(process.execPath, args, limit);
    return {
      exitCode: said.exitCode,
      findings: z.array(VerifyView).parse(JSON.parse(said.stdout))[0]!.findings,
    };
  };
  t.deepEqual(await verify(), { exitCode: 0, findings: [] });
  const flip = (path: string, at: number) => {
    const file = openSync(path, 'r+');
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, at);
    byte[0]! ^= 8;
    writeSync(file, byte, 0, 1, at);
    closeSync(file);
  };
  const damagedAt = (5 << 20) + 123;
  flip(site.pointPath(machine, first), damagedAt);
  const damaged = await verify();
  t.is(damaged.exitCode, 2);
  t.is(damaged.findings.length, 1);
  const found = `of recovery point ${first.pointId} is not what was replicated, at byte ${damagedAt - (damagedAt % 4096)}`;
  t.true(damaged.findings[0]!.endsWith(found), damaged.findings[0]);
  flip(site.pointPath(machine, first), damagedAt);
  const archive = join(site.vaultFolder, 'archive', machine.itemId);
  const [oldest] = readdirSync(archive).sort();
  const [manifests] = readdirSync(join(archive, oldest!));
  flip(join(archive, oldest!, manifests!), 40);
  const tampered = await verify();
  t.is(tampered.exitCode, 2);
  t.true(
    tampered.findings.length > 0 && tampered.findings.every((finding) => /in the archive: /.test(finding)),
  );
  flip(join(archive, oldest!, manifests!), 40);
  t.deepEqual(await verify(), { exitCode: 0, findings: [] }, 'verify changes nothing');
});
