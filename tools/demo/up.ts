/**
 * `make demo`: a live Debian guest is protected, gets recovery points, and one of them boots, on the road that a customer takes:
 * a vault, a site that registers with a key, a machine that enrols, and then the command line over the vault's API. This
 * file is the story; `parts/` has the how. Everything keeps running afterwards; `make demo-down` removes it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, open, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Resource } from '../../src/cli/api.ts';
import { JobView, jobTree } from '../../src/cli/job-view.ts';
import { bytes } from '../../src/cli/output.ts';
import type { ComparisonFigures, ReplicationDetails } from '../../src/cli/replication-view.ts';
import { systemClock, until } from '../../src/platform/clock.ts';
import { renderError } from '../../src/platform/errors.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { guestImage } from '../../test/support/guest-image.ts';
import { libvirtUri, startLibvirt } from '../../test/support/libvirt-daemon.ts';
import { writeEnvironment } from '../vault/environment.ts';
import { leeward, leewardJson, writeLeeward } from './parts/leeward.ts';
import { note, step } from './parts/progress.ts';
import {
  assertAllRunning,
  background,
  guestAddress,
  makeSites,
  siteAddress,
  startGuest,
  vaultAddress,
} from './parts/sites.ts';
import { type DemoState, demoFolder, readState, resultFile, root, writeState } from './parts/state.ts';

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
const node = process.execPath;
const main = (name: string) => join(root, `src/bin/${name}.ts`);
const limit = (secondsMax: number) => ({ timeoutMilliseconds: secondsMax * 1000 });
/** Looks until there is something, and ends at once when one of the demo's processes has ended. */
const eventually = <T>(
  what: string,
  limitSeconds: number,
  look: () => Promise<T | undefined> | T | undefined,
  everyMilliseconds = 1000,
): Promise<T> =>
  until(
    systemClock,
    limitSeconds * 1000,
    () => {
      assertAllRunning();
      return look();
    },
    () => new Error(`${what}: not within ${limitSeconds} s; the logs are in ${state.folder}`),
    everyMilliseconds,
  );

// ── the two sites ────────────────────────────────────────────────────────────────────────────────────────────────────

const image = await step('a Debian guest from packages', guestImage);
const { protectedSite, vaultSite } = await step('two sites, as network namespaces', () => makeSites(state));
const pageOf = async (site: typeof vaultSite, address: string): Promise<string | undefined> => {
  const [first, ...rest] = site.networkPrefix;
  const curl = ['curl', '-s', '-m', '5', `http://${address}/`];
  const { stdout } = await tryRun(first!, [...rest, ...curl], limit(10));
  // Its ledger writes the page anew once it is up; what a power cut left of the page may be an empty file.
  return /ledger \d+ rows/.test(stdout) ? stdout : undefined;
};
await step('the guest is switched on; it boots meanwhile', async () => {
  await copyFile(image.systemDisk, at('system.raw'));
  const data = await open(at('data.raw'), 'w');
  await data.truncate(image.dataDiskBytes);
  await data.close();
  startGuest(state, protectedSite, { system: at('system.raw'), data: at('data.raw') });
});
await step('a vault', async (say) => {
  say('its authority, its database, a volume that can clone');
  await run(
    node,
    [
      ...[main('vault'), 'init', '--data', at('vault'), '--host', vaultAddress, '--listen', vaultAddress],
      ...['--public-url', `https://${vaultAddress}:8444`],
      ...['--make-volume', '6', '--libvirt', libvirtUri(at('lv'))],
    ],
    limit(120),
  );
  say('starting it');
  background(state, vaultSite, 'vault', node, [
    ...['--initial-old-space-size=256', main('vault'), 'run', '--data', at('vault')],
  ]);
  await eventually('the vault starts', 60, () => existsSync(at('vault/owner.json')) || undefined, 200);
  const environment = at('vault.env');
  const url = `https://${vaultAddress}:8444`;
  await writeEnvironment(environment, at('vault'), url, { resourceGroup: 'leeward', vault: 'main' });
  writeLeeward(vaultSite);
  say('waiting for its API');
  await eventually('the vault’s API answers', 60, () =>
    leeward(['sign-in', '--env', environment], { isQuiet: true }).catch((error: unknown) => {
      if (/VaultUnreachable/.test(String(error))) return undefined;
      throw error;
    }),
  );
  await leeward(['vault', 'create', 'main']);
  await leeward([
    ...['policy', 'create', 'often', '--crash-consistent-seconds', '15'],
    ...['--application-consistent-seconds', '45', '--wait'],
  ]);
  await leeward(['vault', 'registration-key', '--fabric', 'branch', '--out', at('branch.VaultCredentials')]);
});
await step('a hypervisor at the vault’s site', async () => {
  await mkdir(at('lv'));
  await startLibvirt(vaultSite, at('lv'), at('vault'));
});
await step('the protected site’s servers', async (say) => {
  say('a configuration server');
  const server = [main('configuration-server')];
  const settings = ['--settings', at('cs.json')];
  const inSite = (args: readonly string[]) => protectedSite.run(node, args, 120_000);
  await inSite([...server, 'init', ...settings, '--data', at('cs'), '--host', siteAddress]);
  say('the configuration server registers with the vault’s key');
  await inSite([...server, 'register', ...settings, '--key-file', at('branch.VaultCredentials')]);
  await inSite([...server, 'enrolment-key', ...settings, '--output', at('enrolment.json')]);
  background(state, protectedSite, 'configuration-server', node, [...server, 'run', ...settings]);
  say('the configuration server starts');
  await eventually('the configuration server serves', 60, () =>
    readFileSync(at('configuration-server.log'), 'utf8').includes('configuration-server-ready')
      ? true
      : undefined,
  );
  say('a process server enrols');
  await inSite([
    ...[main('process-server'), 'enrol', '--settings', at('ps.json'), '--folder', at('ps')],
    ...['--name', 'ps1', '--host', siteAddress, '--spool-gib', '4', '--key-file', at('enrolment.json')],
  ]);
  background(state, protectedSite, 'process-server', node, [
    ...['--initial-old-space-size=256', main('process-server'), '--settings', at('ps.json')],
  ]);
});
await step('the mobility service, packed', () => run(node, [join(root, 'tools/agent/pack.ts')], limit(300)));
await step('the guest serves its page, and writes to its database', async (say) => {
  say('under emulation, about 30 s');
  await eventually('the guest serves its page', 240, () => pageOf(protectedSite, guestAddress)).catch(
    (error: unknown) => {
      throw new Error(
        `${String(error)}; its console: ${readFileSync(at('console.log'), 'latin1').slice(-800)}`,
      );
    },
  );
});
await step('the mobility service, in the guest', async (say) => {
  const package_ = (await readdir(join(root, 'dist'))).find((name) => name.endsWith('.deb'));
  if (package_ === undefined) throw new Error('make agent left no deb under dist/');
  const options = [
    ...['-i', image.sshKey, '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
    ...['-o', 'LogLevel=ERROR', '-o', 'ConnectTimeout=15', '-o', 'BatchMode=yes'],
  ];
  const guest = `root@${guestAddress}`;
  const inGuest = (command: string) => protectedSite.run('ssh', [...options, guest, command], 180_000);
  say('copying 39 MiB');
  const files = [join(root, 'dist', package_), at('enrolment.json')];
  await protectedSite.run('scp', ['-q', ...options, ...files, `${guest}:/tmp/`], 180_000);
  say('unpacking, about 30 s under emulation');
  await inGuest(`dpkg -i /tmp/${package_} && rm /tmp/${package_}`);
  say('the guest enrols');
  await inGuest(
    `/opt/leeward/mobility-service/bin/leeward-mobility-service enrol --configuration-server ${siteAddress} ` +
      '--key-file /tmp/enrolment.json && rm /tmp/enrolment.json && systemctl enable --now --quiet leeward-mobility',
  );
});

// ── protection ───────────────────────────────────────────────────────────────────────────────────────────────────────

const machine = await step('the guest is among the vault’s protectable items', (say) => {
  say('its mobility service starts');
  return eventually('the guest is protectable', 120, async () => {
    const found = await leewardJson<Resource[]>(['protectable-item', 'list'], { isQuiet: true });
    return found.find(
      ({ properties }) => (properties?.protectionReadinessErrors as unknown[] | undefined)?.length === 0,
    );
  });
});
const name = 'guest';
const protectedAt = seconds();
await step('protection enabled', async (say) => {
  const wish = ['protected-item', 'enable', String(machine.properties?.friendlyName), '--name', name];
  showJob(await leewardJson([...wish, '--policy', 'often', '--wait'], { say, timeoutMilliseconds: 180_000 }));
});
const initial = await step('initial replication', (say) =>
  leewardJson<ComparisonFigures>(['protected-item', 'watch', name, '--timeout', '480'], {
    say: (line) => say(line.replace(`${name}: `, '').replace(/^initial replication /, '')),
    timeoutMilliseconds: 500_000,
  }),
);
const firstPointAt = seconds();
const listPoints = () =>
  leewardJson<Resource[]>(['recovery-point', 'list', '--item', name], { isQuiet: true });
await step('recovery points, application-consistent and crash-consistent', async (say) => {
  const seen = new Set<string>();
  await eventually(
    'two kinds of points',
    180,
    async () => {
      const points = await listPoints();
      for (const { name: id, properties } of points.reverse())
        if (!seen.has(id!)) {
          seen.add(id!);
          const { takenAt, type, method, changedBytes } = pointOf(properties);
          note(`${takenAt}  ${type} (${method}), ${bytes(changedBytes)} changed`);
        }
      say(`${seen.size} so far`);
      const types = new Set(points.map(({ properties }) => pointOf(properties).type));
      return types.has('ApplicationConsistent') && types.has('CrashConsistent') ? true : undefined;
    },
    2000,
  );
});

// ── the rehearsal ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Measured now, as if the machine were lost at this moment. */
const before = await replication();
await step('a test failover', async (say) => {
  showJob(
    await leewardJson(
      [
        ...['protected-item', 'test-failover', name, '--wait-for-console', 'LEEWARD-CHECK OK'],
        ...['--timeout', '420', '--wait'],
      ],
      { say, timeoutMilliseconds: 480_000 },
    ),
  );
});
const screenshot = join(demoFolder, 'screen.png');
await leeward(['protected-item', 'screenshot', name, '--out', screenshot]);
const [rehearsal] = await leewardJson<{ name: string; properties: Rehearsal }[]>([
  ...['protected-item', 'rehearsals', name],
]);
const proof = rehearsal!.properties;
const there = await step('its page and database, asked from the isolated network', async () => ({
  page: await eventually('the machine in the isolated network serves its page', 60, () =>
    pageOf(vaultSite, proof.address),
  ),
  check: await vaultSite.run('curl', ['-s', '-m', '30', `http://${proof.address}/cgi-bin/check`], 60_000),
}));
const machineOf = (page: string) => /machine ([0-9a-f]{32})/.exec(page)?.[1];
if (!there.check.startsWith('LEEWARD-CHECK OK')) throw new Error(`the database says: ${there.check}`);
const here = await step('the protected machine, still serving', () =>
  eventually('the protected machine serves its page', 60, () => pageOf(protectedSite, guestAddress)),
);
if (machineOf(there.page) === undefined || machineOf(there.page) !== machineOf(here))
  throw new Error(`the pages are of different machines:\n${here}\n${there.page}`);

// ── what it came to ──────────────────────────────────────────────────────────────────────────────────────────────────

const now = await replication();
const measured = {
  rpoSeconds: round(before.rpoSeconds ?? Number.NaN),
  powerOnSeconds: round(proof.powerOnSeconds),
  readySeconds: round(proof.readySeconds),
  accelerator: proof.accelerator,
  initialReplicationSeconds: round(firstPointAt - protectedAt),
  diskBytes: now.disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  initialSentBytes: initial.sentBytes,
  replicaBytes: now.usedBytes,
  points: (await listPoints()).map(({ properties }) => pointOf(properties)),
  database: there.check.trim(),
  failoverId: rehearsal!.name,
  screenshot,
  totalSeconds: round(seconds()),
  folder: state.folder,
};
writeFileSync(resultFile, `${JSON.stringify(measured, null, 2)}\n`);
const sudo = process.env.SUDO_USER === undefined ? '' : 'sudo ';
const typed = `${sudo}.run/leeward`;
console.log(`
the protected machine says:
${indent(here)}
the test failover at ${proof.address} says:
${indent(there.page)}
${indent(there.check)}
  RPO                  ${measured.rpoSeconds} s
  time to power-on     ${measured.powerOnSeconds} s
  database checked     ${measured.readySeconds} s after the request (${measured.accelerator})
  initial replication  ${measured.initialReplicationSeconds} s, ${bytes(measured.initialSentBytes)} of ${bytes(measured.diskBytes)} sent
  screen of the proof  ${screenshot}
  measured, in full    ${resultFile}

Everything keeps running. Try:
  ${sudo}ip netns exec ${protectedSite.name} curl -s http://${guestAddress}/
  ${sudo}ip netns exec ${vaultSite.name} curl -s http://${proof.address}/cgi-bin/check
  ${typed} session show
  ${typed} job list
  ${typed} protected-item replication ${name}
  ${typed} recovery-point list --item ${name}
  ${typed} protected-item verify ${name} --wait
  ${typed} protected-item cleanup ${name} --notes 'all well' --wait
  ${typed} protected-item planned-failover ${name} --wait-for-console 'LEEWARD-CHECK OK' --wait
  ${sudo}make demo-down`);
process.exit(0);

interface Rehearsal {
  readonly address: string;
  readonly accelerator: string;
  readonly powerOnSeconds: number;
  readonly readySeconds: number;
}

interface Point {
  readonly takenAt: string;
  readonly type: string;
  readonly method: string;
  readonly frozenMilliseconds: number;
  readonly changedBytes: number;
}

function pointOf(properties: Resource['properties']): Point {
  const { takenAt, type, method, frozenMilliseconds, changedBytes } = properties as unknown as Point;
  return { takenAt, type, method, frozenMilliseconds, changedBytes };
}

async function replication(): Promise<ReplicationDetails> {
  const args = ['protected-item', 'replication', name];
  return (await leewardJson<{ properties: ReplicationDetails }>(args, { isQuiet: true })).properties;
}

/** Its tree of tasks, as `leeward job show` has it. */
function showJob(job: unknown): void {
  for (const line of jobTree(JobView.parse(job), systemClock.now()).split('\n')) note(line);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function indent(text: string): string {
  return text.trim().replaceAll(/^/gm, '    ');
}
