/**
 * `make demo`: a live Debian guest is protected, gets recovery points, and one of them boots. This file is the story;
 * `parts/` has the how. Everything keeps running afterwards; `make demo-down` removes it.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, open, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytes, duration } from '../../src/cli/output.ts';
import type { ResyncProgress } from '../../src/model/progress.ts';
import { systemClock, until } from '../../src/platform/clock.ts';
import { renderError } from '../../src/platform/errors.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { FailoverView, ItemView, PointView } from '../../src/protocol/control/vault-admin.ts';
import { guestImage } from '../../test/support/guest-image.ts';
import { libvirtUri, startLibvirt } from '../../test/support/libvirt-daemon.ts';
import { note, step } from './parts/progress.ts';
import {
  assertAllRunning,
  background,
  guestAddress,
  makeSites,
  processServerAddress,
  startGuest,
  vaultAddress,
} from './parts/sites.ts';
import { type DemoState, readState, root, runFolder, writeState } from './parts/state.ts';

process.once('uncaughtException', (error) => {
  console.error(error.constructor === Error ? `\n${error.message}` : `\n${renderError(error)}`);
  if (readState() !== undefined)
    console.error('\nwhat was made is still there to look at; sudo make demo-down removes it');
  process.exit(1);
});
if (process.getuid?.() !== 0)
  throw new Error('the demo makes network namespaces and needs root: sudo make demo');
if (readState() !== undefined) throw new Error('a demo is there already; make demo-down removes it');

const state: DemoState = {
  id: randomBytes(2).toString('hex'),
  folder: await mkdtemp(join(tmpdir(), 'leeward-demo-')),
};
writeState(state);
const at = (...names: string[]) => join(state.folder, ...names);
const seconds = () => Math.round(performance.now()) / 1000;

const image = await step('a Debian guest from packages', guestImage);
const { protectedSite, vaultSite } = await step('two sites, as network namespaces', () => makeSites(state));
await step('the guest boots, and writes to its database', async (say) => {
  await copyFile(image.systemDisk, at('system.raw'));
  const data = await open(at('data.raw'), 'w');
  await data.truncate(image.dataDiskBytes);
  await data.close();
  startGuest(state, protectedSite, { system: at('system.raw'), data: at('data.raw') });
  say('under emulation, about 30 s');
  await until(
    systemClock,
    240_000,
    async () => {
      assertAllRunning();
      const page = await tryRun(
        'ip',
        ['netns', 'exec', protectedSite.name, 'curl', '-s', '-m', '3', `http://${guestAddress}/`],
        {
          timeoutMilliseconds: 10_000,
        },
      );
      return /ledger (\d+) rows/.exec(page.stdout)?.[0];
    },
    () =>
      new Error(
        `the guest did not serve its page; its console: ${readFileSync(at('console.log'), 'latin1').slice(-800)}`,
      ),
    1000,
  );
});
const node = process.execPath;
await step('a vault', async () => {
  await run(
    node,
    [
      ...[join(root, 'src/bin/vault.ts'), 'init', '--data', at('vault'), '--host', vaultAddress],
      ...['--listen', vaultAddress, '--make-volume', '6', '--libvirt', libvirtUri(at('lv'))],
    ],
    { timeoutMilliseconds: 120_000 },
  );
  // In this machine's mount namespace: the hypervisor must see the replica volume that the vault mounts.
  background(
    state,
    vaultSite,
    'vault',
    node,
    [join(root, 'src/bin/vault.ts'), 'run', '--data', at('vault')],
    vaultSite.networkPrefix,
  );
  await until(
    systemClock,
    60_000,
    async () =>
      (
        await tryRun(node, [join(root, 'src/bin/leeward.ts'), '--data', at('vault'), 'items'], {
          timeoutMilliseconds: 20_000,
        })
      ).exitCode === 0
        ? true
        : undefined,
    () => new Error(`the vault did not start; see ${at('vault.log')}`),
    500,
  );
});
await step('a hypervisor at the vault’s site', async () => {
  await mkdir(at('lv'));
  await startLibvirt(vaultSite, at('lv'));
});
const leeward = async (args: readonly string[], timeoutMilliseconds = 60_000) =>
  run(node, [join(root, 'src/bin/leeward.ts'), '--data', at('vault'), '--output', 'json', ...args], {
    timeoutMilliseconds,
  });
await step('a process server at the protected site, and protection enabled', async () => {
  await leeward([
    ...['process-server', 'add', 'ps1', '--host', processServerAddress],
    ...['--out', at('ps'), '--installed-at', at('ps')],
  ]);
  await leeward([
    ...['protect', 'guest', '--disk', '/dev/vda', '/dev/vdb', '--process-server', 'ps1'],
    ...['--out', at('protect'), '--every', '15', '--application-every', '45'],
    ...['--process-server-at', at('ps')],
  ]);
  await cp(at('protect/process-server'), at('ps'), { recursive: true });
  await mkdir(at('spool'));
  writeFileSync(
    at('ps/settings.json'),
    JSON.stringify({
      listen: { host: processServerAddress, port: 9443 },
      tls: {
        caFile: at('ps/tls/ca.pem'),
        certificateFile: at('ps/tls/certificate.pem'),
        keyFile: at('ps/tls/key.pem'),
      },
      spool: { folder: at('spool'), quotaBytes: 4 * 2 ** 30 },
      cache: JSON.parse(readFileSync(at('ps/process-server.json'), 'utf8')).cache,
      itemsFolder: at('ps/items'),
    }),
  );
  background(state, protectedSite, 'process-server', node, [
    join(root, 'src/bin/process-server.ts'),
    '--settings',
    at('ps/settings.json'),
  ]);
});
await step('the mobility service, packed', () =>
  run(node, [join(root, 'tools/agent/pack.ts')], { timeoutMilliseconds: 300_000 }),
);
await step('the mobility service, installed in the guest', async (say) => {
  const package_ = (await readdir(join(root, 'dist'))).find((name) => name.endsWith('.deb'));
  if (package_ === undefined) throw new Error('make agent left no deb under dist/');
  const options = [
    ...['-i', image.sshKey, '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
    ...['-o', 'LogLevel=ERROR', '-o', 'ConnectTimeout=15', '-o', 'BatchMode=yes'],
  ];
  const guest = `root@${guestAddress}`;
  const copy = (from: string, to: string) =>
    protectedSite.run('scp', ['-q', '-r', ...options, from, `${guest}:${to}`], 180_000);
  say('copying 39 MiB');
  await copy(join(root, 'dist', package_), '/tmp/agent.deb');
  await protectedSite.run('ssh', [...options, guest, 'mkdir -p -m 700 /etc/leeward']);
  await copy(at('protect/mobility-service'), '/etc/leeward/');
  say('unpacking, about 30 s under emulation');
  await protectedSite.run(
    'ssh',
    [...options, guest, 'chown -R root:root /etc/leeward && dpkg -i /tmp/agent.deb && rm /tmp/agent.deb'],
    180_000,
  );
});
const protectedAt = seconds();
const item = async () => ItemView.parse(JSON.parse(await leeward(['item', 'guest'])));
const listPoints = async () => PointView.array().parse(JSON.parse(await leeward(['points', 'guest'])));
/** The last figures of each disk's walk, which are gone from the item once the disk is in sync. */
const walks = new Map<string, ResyncProgress>();
const total = (key: 'doneBytes' | 'totalBytes' | 'sentBytes') =>
  [...walks.values()].reduce((sum, walk) => sum + walk[key], 0);
await step('initial replication, up to the first recovery point', async (say) => {
  await until(
    systemClock,
    480_000,
    async () => {
      assertAllRunning();
      const { progress, latestPoint, disks } = await item();
      for (const [diskId, walk] of walks)
        if (!progress.some((each) => each.diskId === diskId))
          walks.set(diskId, { ...walk, doneBytes: walk.totalBytes });
      for (const walk of progress) walks.set(walk.diskId, walk);
      const eta = Math.max(0, ...progress.map(({ etaSeconds }) => etaSeconds ?? 0));
      if (progress.length > 0)
        say(
          `${Math.round((100 * total('doneBytes')) / total('totalBytes'))} % of ${bytes(total('totalBytes'))} read, ` +
            `${bytes(total('sentBytes'))} sent${eta > 0 ? `, about ${duration(eta)} to go` : ''}`,
        );
      else if (walks.size > 0) say('everything is sent; waiting for the first point');
      else
        say(
          disks.every(({ state }) => state === 'empty')
            ? 'waiting for the machine to connect'
            : 'connected; the first of it is on its way to the vault',
        );
      return latestPoint === undefined ? undefined : true;
    },
    () => new Error(`no recovery point; the logs are in ${state.folder}`),
    2000,
  );
});
const firstPointAt = seconds();
const sentBytes = total('sentBytes');
await step('recovery points, crash-consistent and application-consistent', async (say) => {
  const seen = new Set<string>();
  await until(
    systemClock,
    180_000,
    async () => {
      assertAllRunning();
      for (const point of (await listPoints()).reverse())
        if (!seen.has(point.pointId)) {
          seen.add(point.pointId);
          note(`${point.takenAt}  ${point.type} (${point.method}), ${bytes(point.changedBytes)} changed`);
        }
      say(`${seen.size} so far`);
      const points = await listPoints();
      return points.length >= 3 && points.some(({ type }) => type === 'ApplicationConsistent')
        ? true
        : undefined;
    },
    () => new Error(`not three points within three minutes; the logs are in ${state.folder}`),
    2000,
  );
});
/** Measured now, as if the machine were lost at this moment. */
const { rpoSeconds } = await item();
const failover = await step('a test failover', async (say) => {
  say('until the database has passed its own check on the console, about 40 s under emulation');
  return FailoverView.parse(
    JSON.parse(
      await leeward(
        [
          ...['test-failover', 'guest', '--wait-for-console', 'LEEWARD-CHECK OK'],
          ...['--timeout', '420', '--memory', '768'],
        ],
        480_000,
      ),
    ),
  );
});
const there = await step('its page and database, asked from the isolated network', async () => {
  const page = await until(
    systemClock,
    60_000,
    // Its ledger writes the page anew once it is up; what the power cut left of the page may be an empty file.
    async () => {
      const text = await vaultSite.run('curl', ['-s', '-m', '15', `http://${failover.address}/`]);
      return /ledger \d+ rows/.test(text) ? text : undefined;
    },
    () => new Error('the machine in the isolated network does not serve its page'),
    1000,
  );
  const check = await vaultSite.run(
    'curl',
    ['-s', '-m', '30', `http://${failover.address}/cgi-bin/check`],
    60_000,
  );
  return { page, check };
});
const machineOf = (page: string) => /machine ([0-9a-f]{32})/.exec(page)?.[1];
if (!there.check.startsWith('LEEWARD-CHECK OK')) throw new Error(`the database says: ${there.check}`);
const { here, points, usedBytes, disks } = await step('the protected machine, still serving', async () => ({
  here: await protectedSite.run('curl', ['-s', '-m', '15', `http://${guestAddress}/`]),
  points: await listPoints(),
  ...(await item()),
}));
if (machineOf(there.page) === undefined || machineOf(there.page) !== machineOf(here))
  throw new Error(`the pages are of different machines:\n${here}\n${there.page}`);
const measured = {
  rpoSeconds: round(rpoSeconds ?? Number.NaN),
  powerOnSeconds: round(failover.powerOnSeconds ?? Number.NaN),
  readySeconds: round(failover.readySeconds ?? Number.NaN),
  accelerator: failover.accelerator,
  initialReplicationSeconds: round(firstPointAt - protectedAt),
  diskBytes: disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  initialSentBytes: sentBytes,
  replicaBytes: usedBytes,
  points: points.map(({ takenAt, type, method, frozenMilliseconds, changedBytes }) => ({
    takenAt,
    type,
    method,
    frozenMilliseconds,
    changedBytes,
  })),
  database: there.check.trim(),
  failoverId: failover.failoverId,
  screenshot: failover.screenshot,
  totalSeconds: round(seconds()),
  folder: state.folder,
};
writeFileSync(join(runFolder, 'demo.json'), `${JSON.stringify(measured, null, 2)}\n`);
console.log(`
the protected machine says:
${indent(here)}
the test failover at ${failover.address} says:
${indent(there.page)}
${indent(there.check)}
  RPO                  ${measured.rpoSeconds} s
  time to power-on     ${measured.powerOnSeconds} s
  database checked     ${measured.readySeconds} s after the request (${measured.accelerator})
  initial replication  ${measured.initialReplicationSeconds} s, ${bytes(sentBytes)} of ${bytes(measured.diskBytes)} sent
  screen of the proof  ${failover.screenshot}
  measured, in full    .run/demo.json

Everything keeps running. Try:
  sudo ip netns exec ${protectedSite.name} curl http://${guestAddress}/
  sudo ip netns exec ${vaultSite.name} curl http://${failover.address}/cgi-bin/check
  sudo .tools/bin/node src/bin/leeward.ts --data ${at('vault')} points guest
  sudo .tools/bin/node src/bin/leeward.ts --data ${at('vault')} verify guest
  sudo .tools/bin/node src/bin/leeward.ts --data ${at('vault')} cleanup ${failover.failoverId} --notes 'all well'
  sudo make demo-down`);
process.exit(0);

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function indent(text: string): string {
  return text.trim().replaceAll(/^/gm, '    ');
}
