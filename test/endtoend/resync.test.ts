/**
 * Goal: a comparison costs what differs, and a vault that lost or spoiled what it was sent gets it again by itself.
 * Method: the real processes; the disk is a loop device with noise on it, which cannot be compressed away. What travelled is
 * read from the process server's own figures.
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { run } from '../../src/platform/exec.ts';
import { difference, sha256Of } from '../support/bytes.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { eventually } from '../support/site.ts';
import { type Machine, TwoSites, waitingSegments } from '../support/two-sites.ts';

const reason = canLoop() ?? canTrace();
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const limit = { timeoutMilliseconds: 60_000 };
const diskBytes = 64 << 20;

async function noiseOn(path: string, mebibytes: number, atMebibyte = 0): Promise<void> {
  const to = [`of=${path}`, 'bs=1M', `count=${mebibytes}`, `seek=${atMebibyte}`, 'conv=fsync,notrunc'];
  await run('dd', ['if=/dev/urandom', ...to], limit);
}

let sites: TwoSites;
anyTest.before(async () => {
  if (reason === undefined) sites = await TwoSites.start();
});
anyTest.after.always(async () => {
  await sites?.[Symbol.asyncDispose]();
});

/** A machine of this test's own, protected; it is let go when the test is over. */
async function protect(
  t: ExecutionContext<unknown>,
  name: string,
  disks: readonly string[],
): Promise<Machine> {
  t.teardown(() => {
    if (!t.passed) t.log(sites.logs().slice(-8000));
  });
  await sites.ready();
  const machine = await sites.protect(name, disks, { crashConsistentSeconds: 1 });
  t.teardown(() => machine.end());
  return machine;
}

async function receivedBytes(): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${sites.statusPort}/metrics`)).text();
  // There is no such figure before anything was received.
  return Number(/^leeward_process_server_received_bytes\S* (\S+)$/m.exec(metrics)?.[1] ?? 0);
}

async function pointIsDevice(
  t: ExecutionContext<unknown>,
  machine: Machine,
  paths: readonly string[],
): Promise<void> {
  const point = await machine.pointAfter(Date.now(), 180);
  for (const [index, path] of paths.entries())
    t.is(await difference(machine.pointPath(point, index), path), undefined, `the point is ${path}`);
}

/** The comparisons that were asked for are over. */
const compared = (machine: Machine, count: number) =>
  eventually('the comparison is over', 180, async () => {
    const walks = machine.walks().filter((walk) => walk.startsWith('resync'));
    const { disks } = await machine.replication();
    return walks.length >= count && disks.every(({ state }) => state === 'in-sync') ? walks : undefined;
  });

/** One bit of a file at rest. */
function flip(path: string, at: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0]! ^= 8;
  writeSync(file, byte, 0, 1, at);
  fsyncSync(file);
  closeSync(file);
}

/** `leeward … --wait` that succeeds. */
async function leeward(t: ExecutionContext<unknown>, ...args: string[]): Promise<void> {
  const said = await sites.leeward(...args, '--wait');
  t.is(said.exitCode, 0, `${said.stdout}\n${said.stderr}`);
}

test('a resync by hand compares every disk, sends only what differs, and ends in a point', async (t) => {
  const loop = await makeLoop(t, diskBytes);
  await noiseOn(loop.path, diskBytes >> 20);
  const idle = await (async () => {
    await sites.ready();
    return receivedBytes();
  })();
  const machine = await protect(t, 'by-hand', [loop.path]);
  await machine.pointAfter(0, 180);
  const before = await receivedBytes();
  t.true(before - idle > diskBytes, 'noise does not compress');
  await leeward(t, 'protected-item', 'resync', machine.name);
  t.deepEqual(await compared(machine, 1), ['resync Requested']);
  await pointIsDevice(t, machine, [loop.path]);
  const sent = (await receivedBytes()) - before;
  t.true(sent < diskBytes / 8, `${sent} bytes of ${diskBytes} travelled again`);
  const codes = await machine.eventCodes();
  t.true(codes.includes('ResyncRequested'));
  t.true(codes.includes('ResyncOrdered'));
});

test('a resync of one disk compares that one, and leaves the other and the chain as they are', async (t) => {
  const loops = [await makeLoop(t, diskBytes), await makeLoop(t, diskBytes)];
  for (const loop of loops) await noiseOn(loop.path, 24);
  const paths = loops.map(({ path }) => path);
  const machine = await protect(t, 'one-disk', paths);
  await machine.pointAfter(0, 180);
  // What replication writes to, rotten at the vault: only who compares can see it.
  for (const diskId of machine.diskIds)
    flip(join(sites.vaultFolder, 'replica', machine.itemId, 'heads', `${diskId}.raw`), 3 << 20);
  const spoiled = await machine.pointAfter(Date.now(), 180);
  for (const [index, path] of paths.entries())
    t.not(await difference(machine.pointPath(spoiled, index), path), undefined);
  await leeward(t, 'protected-item', 'resync', machine.name, '--disk', paths[1]!);
  t.deepEqual(await compared(machine, 1), ['resync Requested']);
  const mended = await machine.pointAfter(Date.now(), 180);
  t.is(mended.chain, spoiled.chain, 'the chain went on');
  t.is(await difference(machine.pointPath(mended, 1), paths[1]!), undefined, 'this one was compared');
  t.not(await difference(machine.pointPath(mended, 0), paths[0]!), undefined, 'the other one was not');
  await leeward(t, 'protected-item', 'resync', machine.name, '--disk', machine.diskIds[0]!);
  t.deepEqual(await compared(machine, 2), ['resync Requested', 'resync Requested']);
  await pointIsDevice(t, machine, paths);
  const unknown = await sites.leeward('protected-item', 'resync', machine.name, '--disk', '/dev/nowhere');
  t.is(unknown.exitCode, 1);
  t.regex(unknown.stderr, /has no protected disk \/dev\/nowhere/);
  t.true(unknown.stderr.includes(paths[0]!), 'those that there are');
});

test('a bit that flips in cache storage costs a comparison, not a person', async (t) => {
  const loop = await makeLoop(t, diskBytes);
  await noiseOn(loop.path, 24);
  const machine = await protect(t, 'flipped', [loop.path]);
  const first = await machine.pointAfter(0, 180);
  const digest = await sha256Of(machine.pointPath(first));
  // The vault is stopped in the middle of things until there is a segment that it has not applied.
  const waiting = () => waitingSegments(sites, machine);
  let spoiled = false;
  for (let round = 0; !spoiled && round < 50; round++) {
    await noiseOn(loop.path, 6, 24 + (round % 6) * 6);
    // It is there for some milliseconds only; who blinks tries another round.
    const blinked = performance.now() + 5_000;
    while (waiting().length === 0 && performance.now() < blinked) await sleep(1);
    await sites.vault.pause();
    const [path] = waiting();
    if (path !== undefined) {
      const content = readFileSync(path);
      content[content.byteLength >> 1]! ^= 1;
      await sites.vault.kill();
      writeFileSync(path, content);
      sites.vault.start();
      await sites.vaultAnswers();
    } else sites.vault.resume();
    if (path !== undefined)
      spoiled = await eventually('it is seen or was applied before', 120, async () =>
        (await machine.eventCodes()).includes('CacheObjectCorrupt')
          ? true
          : waiting().length === 0
            ? false
            : undefined,
      );
  }
  t.true(spoiled);
  await eventually('a new chain is in sync', 180, async () => {
    const { blocked, disks } = await machine.replication();
    return blocked === undefined && disks.every(({ state }) => state === 'in-sync') ? true : undefined;
  });
  t.true((await machine.eventCodes()).includes('ResyncOrdered'));
  await pointIsDevice(t, machine, [loop.path]);
  t.is(await sha256Of(machine.pointPath(first)), digest, 'earlier points are not touched');

  // What an operator's nightly job sees: 0 while all is well, 2 with what is damaged and where.
  const verify = async () => {
    const said = await sites.leeward('--output', 'json', 'protected-item', 'verify', machine.name, '--wait');
    const { properties } = JSON.parse(said.stdout);
    const details: Record<string, string> = properties.customDetails.affectedObjectDetails;
    const findings = Array.from(
      { length: Number(details.findings) },
      (_, at) => details[`finding${at + 1}`]!,
    );
    const [error] = properties.errors as { serviceErrorDetails: { code: string; message: string } }[];
    return { exitCode: said.exitCode, findings, ...(error ? { error: error.serviceErrorDetails } : {}) };
  };
  t.deepEqual(await verify(), { exitCode: 0, findings: [] });
  const damagedAt = (5 << 20) + 123;
  flip(machine.pointPath(first), damagedAt);
  const damaged = await verify();
  t.is(damaged.exitCode, 2);
  t.is(damaged.findings.length, 1);
  const found = `of recovery point ${first.pointId} is not what was replicated, at byte ${damagedAt - (damagedAt % 4096)}`;
  t.true(damaged.findings[0]!.endsWith(found), damaged.findings[0]);
  t.is(damaged.error?.code, 'ReplicaDamaged');
  t.true(damaged.error?.message.endsWith(found), damaged.error?.message);
  t.true((await machine.eventCodes()).includes('ReplicaDamaged'));
  flip(machine.pointPath(first), damagedAt);
  const archive = join(sites.vaultFolder, 'archive', machine.itemId);
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
