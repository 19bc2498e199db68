/**
 * `make demo`: a live Debian guest is protected, gets recovery points, and one of them boots. This file is the story;
 * `parts/` has the how. Everything keeps running afterwards; `make demo-down` removes it.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, until } from '../../src/platform/clock.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { guestImage } from '../../test/support/guest-image.ts';
import { startLibvirt } from '../../test/support/libvirt-daemon.ts';
import { step } from './parts/progress.ts';
import { background, guestAddress, makeSites, startGuest, vaultAddress } from './parts/sites.ts';
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
// Next: process server, mobility service over SSH, protect, points, test failover.
writeFileSync(
  join(runFolder, 'demo.json'),
  `${JSON.stringify({ guest: guestAddress, readyAfterSeconds: seconds(), folder: state.folder }, null, 2)}\n`,
);
console.log(`
everything keeps running. Try:
  ip netns exec ${protectedSite.name} curl http://${guestAddress}/
  .tools/bin/node src/bin/leeward.ts --data ${at('vault')} items
  make demo-down`);
process.exit(0);
