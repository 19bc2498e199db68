/**
 * `make demo`: a live Debian guest is protected, gets recovery points, and one of them boots. This file is the story;
 * `parts/` has the how. Everything keeps running afterwards; `make demo-down` removes it.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, open, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, until } from '../../src/platform/clock.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { guestImage } from '../../test/support/guest-image.ts';
import { startLibvirt } from '../../test/support/libvirt-daemon.ts';
import { step } from './parts/progress.ts';
import {
  background,
  guestAddress,
  makeSites,
  processServerAddress,
  startGuest,
  vaultAddress,
} from './parts/sites.ts';
import { type DemoState, readState, root, runFolder, writeState } from './parts/state.ts';

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
const daemon = await step('a hypervisor at the vault’s site', async () => {
  await mkdir(at('lv'));
  return startLibvirt(vaultSite, at('lv'));
});
const node = process.execPath;
await step('a vault', async () => {
  await run(
    node,
    [
      ...[join(root, 'src/bin/vault.ts'), 'init', '--data', at('vault'), '--host', vaultAddress],
      ...['--listen', vaultAddress, '--make-volume', '6', '--libvirt', daemon.uri],
    ],
    { timeoutMilliseconds: 120_000 },
  );
  background(state, vaultSite, 'vault', node, [join(root, 'src/bin/vault.ts'), 'run', '--data', at('vault')]);
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
    ...['--out', at('protect'), '--every', '20', '--process-server-at', at('ps')],
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
      cache: JSON.parse(readFileSync(at('ps/cache.json'), 'utf8')),
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
await step('initial replication, up to the first recovery point', async (say) => {
  await until(
    systemClock,
    480_000,
    async () => {
      say(
        (
          await run(node, [join(root, 'src/bin/leeward.ts'), '--data', at('vault'), 'items'], {
            timeoutMilliseconds: 60_000,
          })
        )
          .split('\n')[1]
          ?.trim() ?? '',
      );
      return JSON.parse(await leeward(['points', 'guest'])).length > 0 ? true : undefined;
    },
    () => new Error(`no recovery point; see the logs in ${state.folder}`),
    3000,
  );
});
const firstPointAt = seconds();
const points = JSON.parse(await leeward(['points', 'guest']));
const failover = await step('a test failover', async (say) => {
  say('until the database has passed its own check on the console');
  const text = await leeward(
    [
      ...['test-failover', 'guest', '--wait-for-console', 'LEEWARD-CHECK OK'],
      ...['--timeout', '240', '--memory', '768'],
    ],
    300_000,
  );
  return JSON.parse(text);
});
const there = await step('its page and database, asked from the isolated network', async () => ({
  page: await vaultSite.run('curl', ['-s', '-m', '15', `http://${failover.address}/`]),
  check: await vaultSite.run('curl', ['-s', '-m', '30', `http://${failover.address}/cgi-bin/check`], 60_000),
}));
if (!there.check.startsWith('LEEWARD-CHECK OK')) throw new Error(`the database says: ${there.check}`);
const here = await protectedSite.run('curl', ['-s', '-m', '15', `http://${guestAddress}/`]);
const measured = {
  initialReplicationSeconds: Math.round(firstPointAt - protectedAt),
  points,
  failover,
  database: there.check.trim(),
  totalSeconds: Math.round(seconds()),
  folder: state.folder,
};
writeFileSync(join(runFolder, 'demo.json'), `${JSON.stringify(measured, null, 2)}\n`);
console.log(`
protected machine:\n${here}
test failover at ${failover.address}:\n${there.page}${there.check}
power-on after ${failover.powerOnSeconds} s, database checked after ${failover.readySeconds} s, the whole demo ${measured.totalSeconds} s
everything keeps running. Try:
  ip netns exec ${protectedSite.name} curl http://${guestAddress}/
  ip netns exec ${vaultSite.name} curl http://${failover.address}/cgi-bin/check
  .tools/bin/node src/bin/leeward.ts --data ${at('vault')} points guest
  .tools/bin/node src/bin/leeward.ts --data ${at('vault')} cleanup ${failover.failoverId} --notes 'all well'
  make demo-down`);
process.exit(0);
