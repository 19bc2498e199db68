/**
 * Goal: the command line drives the vault through its public API alone: it signs in, shows, changes, follows jobs, and says
 * what is wrong with what to do about it.
 * Method: the real `leeward` against a real vault process; a session folder of the test's own.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { tryRun } from '../../src/platform/exec.ts';
import { canMakeVolumes } from '../../src/vault/replica/volume.ts';
import { Daemon, eventually, freePort } from '../support/site.ts';

const able = await canMakeVolumes();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
const root = join(import.meta.dirname, '../..');
let folder: string;
let vault: Daemon;
let variables: Record<string, string> = {};

async function leeward(...args: string[]) {
  return tryRun(process.execPath, [join(root, 'src/bin/leeward.ts'), ...args], {
    timeoutMilliseconds: 180_000,
    env: { XDG_CONFIG_HOME: join(folder, 'config'), PATH: process.env.PATH ?? '' },
  });
}

async function ok(...args: string[]): Promise<string> {
  const said = await leeward(...args);
  if (said.exitCode !== 0)
    throw new Error(`${args.join(' ')}: ${said.exitCode}\n${said.stdout}\n${said.stderr}`);
  return said.stdout;
}

// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
const json = async (...args: string[]): Promise<any> => JSON.parse(await ok('--output', 'json', ...args));

anyTest.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leeward-cli-api-'));
  if (!able) return;
  const data = join(folder, 'vault');
  const port = await freePort();
  await ok('--data', data, 'vault', 'init', '--make-volume', '1', '--port', '0', '--api-port', String(port));
  vault = new Daemon('vault', folder, ['src/bin/vault.ts', 'run', '--data', data]);
  vault.start();
  await eventually('the vault is ready', 180, async () =>
    vault.tail(100).includes('control-plane-ready') ? true : undefined,
  );
  const owner = JSON.parse(await readFile(join(data, 'owner.json'), 'utf8'));
  variables = {
    LEEWARD_URL: `https://localhost:${port}`,
    LEEWARD_CA_FILE: join(data, 'tls/ca.pem'),
    LEEWARD_TENANT_ID: owner.tenantId,
    LEEWARD_CLIENT_ID: owner.clientId,
    LEEWARD_CLIENT_SECRET: owner.clientSecret,
    LEEWARD_SUBSCRIPTION_ID: owner.subscriptionId,
    LEEWARD_RESOURCE_GROUP: 'group',
    LEEWARD_VAULT: 'main',
  };
});
anyTest.after.always(async () => {
  await vault?.kill('SIGTERM');
  await rm(folder, { recursive: true, force: true });
});

async function environmentFile(changes: Record<string, string> = {}): Promise<string> {
  const path = join(folder, 'vault.env');
  await writeFile(
    path,
    Object.entries({ ...variables, ...changes })
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  await chmod(path, 0o600);
  return path;
}

test('who is not signed in is told how to', async (t) => {
  const said = await leeward('fabric', 'list');
  t.is(said.exitCode, 1);
  t.regex(said.stderr, /LEEWARD_URL/);
  t.regex(said.stderr, /leeward\.ts sign-in --env/);
});

test('signing in with a wrong secret, a wrong authority or at a dead port says which it is, and keeps nothing', async (t) => {
  const wrong = await leeward('sign-in', '--env', await environmentFile({ LEEWARD_CLIENT_SECRET: 'wrong' }));
  t.is(wrong.exitCode, 1);
  t.regex(wrong.stderr, /SignInRefused/);
  t.false(wrong.stderr.includes(variables.LEEWARD_CLIENT_SECRET!));
  const { LEEWARD_CA_FILE: _, ...rest } = variables;
  variables = rest;
  const untrusted = await leeward('sign-in', '--env', await environmentFile());
  variables = { ...rest, LEEWARD_CA_FILE: _! };
  t.regex(untrusted.stderr, /VaultUnreachable/);
  t.regex(untrusted.stderr, /certificate/);
  const dead = await leeward(
    'sign-in',
    '--env',
    await environmentFile({ LEEWARD_URL: `https://localhost:${await freePort()}` }),
  );
  t.regex(dead.stderr, /VaultUnreachable/);
  t.is((await leeward('session', 'show')).exitCode, 1);
});

test('a session is kept for its user alone, and never shows the secret', async (t) => {
  t.regex(await ok('sign-in', '--env', await environmentFile()), /signed in at https/);
  t.is((await stat(join(folder, 'config/leeward/session.json'))).mode & 0o777, 0o600);
  const shown = await ok('session', 'show');
  t.true(shown.includes(variables.LEEWARD_CLIENT_ID!));
  t.false(shown.includes(variables.LEEWARD_CLIENT_SECRET!));
});

test('whoever wraps the command says how it is called, and is quoted in what to do next', async (t) => {
  const said = await tryRun(
    process.execPath,
    [join(root, 'src/bin/leeward.ts'), 'sign-in', '--env', await environmentFile()],
    {
      timeoutMilliseconds: 180_000,
      env: {
        XDG_CONFIG_HOME: join(folder, 'config'),
        PATH: process.env.PATH ?? '',
        LEEWARD_COMMAND: 'sudo .run/leeward',
      },
    },
  );
  t.regex(said.stdout, /next: sudo \.run\/leeward [a-z]/);
});

test('a vault is made, listed, shown, deleted and listed as deleted', async (t) => {
  await ok('vault', 'create', 'main');
  await ok('vault', 'create', 'second');
  t.deepEqual(
    (await json('vault', 'list')).map(({ name }: { name: string }) => name),
    ['main', 'second'],
  );
  t.is((await json('vault', 'show')).properties.provisioningState, 'Succeeded');
  await ok('vault', 'delete', 'second');
  t.is((await json('vault', 'list')).length, 1);
  t.is((await json('vault', 'deleted')).length, 1);
  const refused = await leeward('vault', 'create', '7');
  t.is(refused.exitCode, 1);
  t.regex(refused.stderr, /what to do:/);
});

test('a policy is a job that --wait follows as a tree, and changing it is another', async (t) => {
  const made = await ok('policy', 'create', 'daily', '--rpo-threshold', '20', '--wait');
  t.regex(made, /of daily: .*Succeeded/);
  t.regex(made, /✔/);
  await ok('policy', 'update', 'daily', '--rpo-threshold', '30', '--wait');
  const policy = await json('policy', 'show', 'DAILY');
  t.is(policy.properties.providerSpecificDetails.recoveryPointThresholdInMinutes, 30);
  const started = await ok('policy', 'delete', 'daily');
  const jobId = /leeward\.ts job watch (\S+)/.exec(started)![1]!;
  t.regex(await ok('job', 'watch', jobId), /Succeeded/);
  t.is((await json('job', 'list')).length, 3);
  // Health has events of its own: of a disk that runs full, say.
  t.is((await json('event', 'list', '--filter', "eventType eq 'JobStatus'")).length, 3);
});

test('what is not there is named together with what is', async (t) => {
  await ok('policy', 'create', 'hourly', '--wait');
  const said = await leeward('policy', 'show', 'horly');
  t.is(said.exitCode, 1);
  t.regex(said.stderr, /no policy called horly/);
  t.regex(said.stderr, /hourly/);
  const machine = await leeward('protected-item', 'test-failover', 'web');
  t.regex(machine.stderr, /no protected item called web/);
});

test('changing a policy leaves alone what is not said', async (t) => {
  await ok('policy', 'create', 'kept', '--rpo-threshold', '20', '--retention', '600', '--wait');
  await ok('policy', 'update', 'KEPT', '--crash-consistent', '7', '--wait');
  const { providerSpecificDetails: now } = (await json('policy', 'show', 'kept')).properties;
  t.is(now.recoveryPointThresholdInMinutes, 20);
  t.is(now.recoveryPointHistory, 600);
  t.is(now.crashConsistentFrequencyInMinutes, 7);
  t.is(now.multiVmSyncStatus, 'Enabled');
});

test('never is 0, in minutes as in seconds', async (t) => {
  const shown = async (name: string) =>
    (await json('policy', 'show', name)).properties.providerSpecificDetails.appConsistentFrequencyInMinutes;
  await ok('policy', 'create', 'minutes', '--application-consistent', '0', '--wait');
  await ok('policy', 'create', 'seconds', '--application-consistent-seconds', '0', '--wait');
  t.deepEqual([await shown('minutes'), await shown('seconds')], [0, 0]);
  await ok('policy', 'create', 'often', '--application-consistent-seconds', '30', '--wait');
  await ok('policy', 'update', 'often', '--application-consistent-seconds', '0', '--wait');
  t.is(await shown('often'), 0);
  t.is((await leeward('policy', 'create', 'odd', '--crash-consistent-seconds', '0')).exitCode, 1);
});

test('what cannot be read, is no number or is unknown is refused with a way out, never with a stack', async (t) => {
  for (const [expected, ...args] of [
    [/whole number from 1 is expected/, 'policy', 'create', 'odd', '--rpo-threshold', 'abc'],
    [/whole number/, 'job', 'list', '--limit', '1.5'],
    [/OperationUnknown[\s\S]*replicationPolicies.list/, 'api', 'call', 'replicationPolicys.list'],
    [/ParameterMissing[\s\S]*--parameter fabricName=/, 'api', 'call', 'replicationFabrics.get'],
    [/FileUnreadable/, 'api', 'call', 'replicationFabrics.create', '--body', '/nowhere'],
    [/NotThisVault/, 'api', 'request', 'GET', 'https://elsewhere.example/x'],
    [/unknown command[\s\S]*leeward --help/, 'policy', 'frobnicate'],
    [/ResourceNotFound/, 'vault', 'delete', 'nowhere'],
  ] as const) {
    const said = await leeward(...(args as string[]));
    t.is(said.exitCode, 1, args.join(' '));
    t.regex(said.stderr, expected);
    t.notRegex(said.stderr, /^\s+at .*:\d+/m);
  }
  t.false((await json('policy', 'list')).some(({ name }: { name: string }) => name === 'odd'));
  t.regex((await leeward('--help')).stdout, /Exit codes:\n {2}0 {2}done/);
});

test('a sign-in is made good again when its file is broken or names an authority that is gone', async (t) => {
  const session = join(folder, 'config/leeward/session.json');
  await writeFile(session, '{');
  const broken = await leeward('fabric', 'list');
  // As it is called here, so that it can be typed.
  t.regex(broken.stderr, /SessionUnreadable[\s\S]*`node .*leeward\.ts sign-out`/);
  await ok('sign-out');
  const gone = await leeward('sign-in', '--env', await environmentFile({ LEEWARD_CA_FILE: '/nowhere.pem' }));
  t.regex(gone.stderr, /FileUnreadable/);
  const unmade = await ok('sign-in', '--env', await environmentFile({ LEEWARD_VAULT: 'unmade' }));
  t.regex(unmade, /leeward\.ts vault create unmade/);
  await ok('sign-in', '--env', await environmentFile());
});

test('Ctrl-C ends the waiting and not the job, and the exit code says so', async (t) => {
  const child = spawn(process.execPath, [join(root, 'src/bin/leeward.ts'), 'vault', 'health', '--refresh'], {
    env: { XDG_CONFIG_HOME: join(folder, 'config'), PATH: process.env.PATH ?? '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // Not its exit: what it has said may come after that.
  const ended = once(child, 'close');
  let said = '';
  child.stdout.on('data', (chunk) => (said += chunk));
  await once(child.stderr, 'data');
  child.kill('SIGINT');
  t.deepEqual(await ended, [130, null]);
  const [, jobId] = /leeward\.ts job watch (\S+)/.exec(said) ?? [];
  // On a slow machine the half minute that the job takes may be over.
  t.regex((await json('job', 'show', jobId!)).properties.state, /^(InProgress|Succeeded)$/);
});

test('a deleted vault is brought back by its name', async (t) => {
  await ok('vault', 'create', 'third');
  await ok('vault', 'delete', 'third');
  t.regex(await ok('vault', 'undelete', 'third'), /vault third is back/);
  t.is((await json('vault', 'show', 'third')).name, 'third');
});

test('a second vault over the same folder is refused, and the first does not notice', async (t) => {
  const data = join(folder, 'vault');
  const second = await tryRun(process.execPath, [join(root, 'src/bin/vault.ts'), 'run', '--data', data], {
    timeoutMilliseconds: 180_000,
  });
  t.is(second.exitCode, 1);
  t.regex(second.stderr, /FolderHeld/);
  t.is((await json('vault', 'show')).name, 'main');
});

test('every noun lists', async (t) => {
  for (const noun of [
    ...['fabric', 'provider', 'container', 'container-mapping', 'vcenter', 'network', 'network-mapping'],
    ...['storage-classification', 'storage-classification-mapping', 'appliance', 'migration-item'],
    ...['protection-intent', 'cluster', 'alert', 'vault-setting', 'policy', 'protectable-item'],
    ...['process-server', 'protected-item', 'recovery-plan', 'job', 'event', 'vault'],
  ]) {
    const said = await leeward('--output', 'json', noun, 'list');
    t.is(said.exitCode, 0, `${noun}: ${said.stderr}`);
    t.true(Array.isArray(JSON.parse(said.stdout)), noun);
  }
});

test('a registration key is written once, for its owner alone, and says what to do with it', async (t) => {
  const path = join(folder, 'site.VaultCredentials');
  const said = await ok('vault', 'registration-key', '--out', path, '--fabric', 'site1');
  t.regex(said, /configuration-server register --key-file/);
  t.is((await stat(path)).mode & 0o777, 0o600);
  t.true((await readFile(path, 'utf8')).length > 500);
  const again = await leeward('vault', 'registration-key', '--out', path);
  t.is(again.exitCode, 1);
  t.regex(again.stderr, /KeyNotWritten/);
  const [key, ...others] = await json('vault', 'registration-keys');
  t.deepEqual(others, [], 'the key that was there is still the newest');
  t.is(key.properties.state, 'Issued');
  await ok('vault', 'revoke-key', key.name);
  t.is((await json('vault', 'registration-keys'))[0].properties.state, 'Revoked');
});

test('any operation can be called by its id, and by a plain request', async (t) => {
  const body = join(folder, 'alert.json');
  await writeFile(
    body,
    JSON.stringify({
      properties: { sendToOwners: 'DoNotSend', customEmailAddresses: ['a@example.org'], locale: 'en-US' },
    }),
  );
  await ok('alert', 'set', 'defaultAlertSetting', '--body', body);
  const shown = await json(
    ...['api', 'call', 'replicationAlertSettings.get', '--parameter', 'alertSettingName=defaultAlertSetting'],
  );
  t.deepEqual(shown.properties.customEmailAddresses, ['a@example.org']);
  const plain = await json('api', 'request', 'get', shown.id);
  t.deepEqual(plain, shown);
});

test('completion knows nouns, verbs and options', async (t) => {
  const script = await ok('completion', 'bash');
  const complete = async (...words: string[]) =>
    (
      await tryRun(
        'bash',
        [
          '-c',
          `${script}\nCOMP_WORDS=(leeward "$@"); COMP_CWORD=$#; _leeward; echo "\${COMPREPLY[*]}"`,
          'bash',
          ...words,
        ],
        { timeoutMilliseconds: 60_000 },
      )
    ).stdout.trim();
  t.is(await complete('protected-i'), 'protected-item');
  t.is(await complete('protected-item', 'test-'), 'test-failover');
  t.regex(await complete('protected-item', 'test-failover', '--po'), /^--point$/);
  t.regex(await complete('--output', 'json', 'policy', ''), /^list show create/);
  t.is(await complete('policy', 'list', '--output', ''), 'table json');
  t.regex(await complete('plan', 'f'), /^failover$/);
  t.regex(await complete('completion', ''), /^bash zsh fish/);
  t.is(await complete('policy', 'create', 'daily', '--retention', ''), '', 'files, if anything');
  for (const shell of ['zsh', 'fish']) t.regex(await ok('completion', shell), /leeward/);
});
