/**
 * `make vault`: a vault of one's own, in the foreground, everything embedded: a private MariaDB, its own certificate
 * authority, a volume that can clone, and, where there is one, a private libvirtd for test failovers. Writes `.run/vault.env`,
 * with which any SDK, script or `leeward sign-in --env` drives it. Ctrl-C ends all of it; the data stays in `.run/vault`.
 *
 *     init (once) ─▶ vault run ─▶ ready ─▶ libvirtd in a network namespace ─▶ resource group, vault ─▶ vault.env ─▶ wait
 *
 * Options: --port PORT of the API (default 8444), --cache-port PORT for process servers (8443), --data FOLDER,
 * --environment FILE, --volume-gib GIB (sparse).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { openSync } from 'node:fs';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { pause, systemClock, until } from '../../src/platform/clock.ts';
import { LeewardError, renderError } from '../../src/platform/errors.ts';
import { tryRun } from '../../src/platform/exec.ts';
import { ArmClient } from '../../src/protocol/arm/client.ts';
import { vaultResourceId } from '../../src/protocol/arm/resource-id.ts';
import { type LibvirtDaemon, libvirtUri, startLibvirt } from '../../test/support/libvirt-daemon.ts';
import { makeSite, type Site, siteNamed } from '../../test/support/namespaces.ts';
import { note, step } from '../demo/parts/progress.ts';
import { readOwner, writeEnvironment } from './environment.ts';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'src/bin/vault.ts');
/** Resource group and vault that `vault.env` names. */
const groupName = 'leeward';
const vaultName = 'main';
const readyMilliseconds = 120_000;
/** It ends its database first, which may take 30 s of its own. */
const endMilliseconds = 60_000;
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8444' },
    'cache-port': { type: 'string', default: '8443' },
    environment: { type: 'string', default: join(root, '.run/vault.env') },
    data: { type: 'string', default: join(root, '.run/vault') },
    'volume-gib': { type: 'string', default: '64' },
  },
});
const data = resolve(values.data);
/** The network namespace of the machines, and the folder of their daemon: sockets have short paths. */
const siteName = `leeward-vault-${createHash('sha256').update(data).digest('hex').slice(0, 6)}`;
const libvirtFolder = `/run/${siteName}`;
const environmentFile = resolve(values.environment);
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => stopping.abort(new Error('stopped')));

try {
  if (process.getuid?.() !== 0)
    throw new LeewardError({
      code: 'NotRoot',
      summary: 'a vault mounts the volume that its replica disks are on, which only root may do',
      possibleCauses: 'make vault was run by another user.',
      recommendedAction: 'Run it with sudo.',
    });
  await serve();
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(renderError(error));
    process.exitCode = 1;
  }
}

async function serve(): Promise<void> {
  const isNew = !(await exists(join(data, 'vault.json')));
  const hypervisor =
    (await tryRun('sh', ['-c', 'command -v libvirtd qemu-system-x86_64'], { timeoutMilliseconds: 10_000 }))
      .exitCode === 0;
  if (isNew)
    await step('making the vault: authority, database, a volume that can clone', async () => {
      await mkdir(data, { recursive: true, mode: 0o700 });
      await runVault('init', [
        '--port',
        values['cache-port'],
        '--api-port',
        values.port,
        '--make-volume',
        values['volume-gib'],
        ...(hypervisor ? ['--libvirt', libvirtUri(libvirtFolder)] : []),
      ]);
    });
  await useNetwork(hypervisor);
  const child = spawn(process.execPath, ['--initial-old-space-size=256', main, 'run', '--data', data], {
    stdio: ['ignore', log('vault.log'), log('vault.log')],
  });
  const ended = new Promise<number>((done) => child.once('exit', (code) => done(code ?? 1)));
  let site: Site | undefined;
  let libvirt: LibvirtDaemon | undefined;
  try {
    const url = await step('starting it', () => ready(child));
    if (hypervisor)
      libvirt = await step('starting a private hypervisor for test failovers', async () => {
        site = siteNamed(siteName);
        await site.remove();
        site = await makeSite(siteName);
        // After the vault: it sees the volume that the vault has mounted.
        return startLibvirt(site, libvirtFolder, data);
      });
    else note('no libvirtd or QEMU on this machine: everything but failovers works');
    await makeVault(url);
    await writeEnvironment(environmentFile, data, url, { resourceGroup: groupName, vault: vaultName });
    console.log(`
  the vault answers at ${url}; its log is ${join(data, 'vault.log')}
  ${environmentFile} has all that a client needs

next, in another shell:
  node src/bin/leeward.ts sign-in --env ${relative(process.cwd(), environmentFile)}
  node src/bin/leeward.ts policy create daily --wait
  node src/bin/leeward.ts vault registration-key --out site.VaultCredentials
or any client: docs/api/. Ctrl-C here ends the vault; its data stays in ${data}.`);
    const code = await Promise.race([ended, aborted()]);
    if (code !== undefined)
      throw new LeewardError({
        code: 'VaultEnded',
        summary: `the vault ended by itself with ${code}`,
        possibleCauses: `Its log says it: ${await tail('vault.log')}`,
        recommendedAction: 'Correct what the log names and run make vault again; the data is kept.',
      });
  } finally {
    console.log('\nending the vault');
    // Machines first: they run on the vault's disks.
    await libvirt?.stop();
    child.kill('SIGTERM');
    const late = new AbortController();
    void pause(systemClock, endMilliseconds, late.signal).then(
      () => late.signal.aborted || child.kill('SIGKILL'),
    );
    await ended;
    late.abort();
    await site?.remove();
    if (libvirt !== undefined) await rm(libvirtFolder, { recursive: true, force: true });
  }
}

/** Waits until the listener answers, or says what the vault said before it died. */
async function ready(child: ChildProcess): Promise<string> {
  const settings = JSON.parse(await readFile(join(data, 'vault.json'), 'utf8'));
  const url: string = settings.api.publicUrl ?? `https://${settings.cache.hosts[0]}:${settings.api.port}`;
  const ca = join(data, 'tls/ca.pem');
  await until(
    systemClock,
    readyMilliseconds,
    async () => {
      stopping.signal.throwIfAborted();
      if (child.exitCode !== null)
        throw new LeewardError({
          code: 'VaultNotStarted',
          summary: 'the vault did not start',
          possibleCauses: await tail('vault.log'),
          recommendedAction: `Free the port (or give another: VAULT_PORT=…), or correct what the log names: ${join(data, 'vault.log')}`,
        });
      const answer = await tryRun(
        'curl',
        [
          '--silent',
          '--fail',
          '--cacert',
          ca,
          '--max-time',
          '5',
          `${url}/metadata/endpoints?api-version=2022-09-01`,
        ],
        { timeoutMilliseconds: 10_000 },
      );
      return answer.exitCode === 0 ? true : undefined;
    },
    () => new Error(`the vault does not answer at ${url}`),
    250,
  );
  return url;
}

/** The vault that `vault.env` names; who has the file need not make one. */
async function makeVault(url: string): Promise<void> {
  const owner = await readOwner(data);
  using client = new ArmClient({
    url,
    ca: await readFile(join(data, 'tls/ca.pem'), 'utf8'),
    tenantId: owner.tenantId!,
    clientId: owner.clientId!,
    clientSecret: owner.clientSecret!,
    clock: systemClock,
    signal: stopping.signal,
  });
  await client.request('PUT', vaultResourceId(owner.subscriptionId!, groupName, vaultName), {
    body: { location: 'local', sku: { name: 'Standard' }, properties: {} },
  });
}

/** Where the machines' networks are; a vault that was made without a hypervisor gets one when it is there now. */
async function useNetwork(hypervisor: boolean): Promise<void> {
  const path = join(data, 'vault.json');
  const { failover: _, ...settings } = JSON.parse(await readFile(path, 'utf8'));
  const failover = {
    provider: 'libvirt',
    uri: libvirtUri(libvirtFolder),
    commandPrefix: siteNamed(siteName).networkPrefix,
  };
  await writeFile(
    `${path}.new`,
    `${JSON.stringify(hypervisor ? { ...settings, failover } : settings, null, 2)}\n`,
    { mode: 0o600 },
  );
  await rename(`${path}.new`, path);
}

async function runVault(verb: string, args: readonly string[]): Promise<void> {
  const done = await tryRun(process.execPath, [main, verb, '--data', data, ...args], {
    timeoutMilliseconds: 120_000,
  });
  if (done.exitCode !== 0)
    throw new LeewardError({
      code: 'VaultNotMade',
      summary: `vault ${verb} failed`,
      possibleCauses: done.stderr.trim(),
      recommendedAction: 'Correct what it says and run make vault again.',
    });
}

async function aborted(): Promise<undefined> {
  if (!stopping.signal.aborted)
    await new Promise<void>((done) =>
      stopping.signal.addEventListener('abort', () => done(), { once: true }),
    );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function tail(name: string): Promise<string> {
  return (await readFile(join(data, name), 'utf8').catch(() => '')).trim().split('\n').slice(-8).join('\n');
}

function log(name: string): number {
  return openSync(join(data, name), 'a', 0o600);
}
