/**
 * `make az-test`: the public command line and the public Python packages, unmodified, against a vault (`vault.ts`). They are
 * installed from Python's package index into `.cache/az` (some 700 MB, a minute or two), so this is not part of `make test`.
 * What is made in the vault has names that begin with `az-test`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, until } from '../../src/platform/clock.ts';
import { renderError } from '../../src/platform/errors.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { type Target, testVault } from './vault.ts';

const root = join(import.meta.dirname, '../..');
const venv = join(root, '.cache/az');
/** What was tried; newer ones may ask for more. */
const packages = ['azure-cli==2.91.0', 'azure-identity==1.27.0'];

let failed = 0;
const folder = await mkdtemp(join(tmpdir(), 'leeward-az-'));
try {
  await install();
  await using vault = await testVault(join(folder, 'vault'));
  console.log(`vault: ${vault.target.url}`);
  await story(vault.target);
} catch (error) {
  console.error(renderError(error));
  failed += 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(failed === 0 ? 'az-test: everything as expected' : `az-test: ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

async function story(target: Target): Promise<void> {
  const { url, tenantId, subscriptionId, clientId } = target;
  const secretFile = join(folder, 'secret');
  await writeFile(secretFile, target.clientSecret, { mode: 0o600 });
  const env = {
    AZURE_CONFIG_DIR: join(folder, 'az'),
    AZURE_CORE_COLLECT_TELEMETRY: 'false',
    AZURE_CORE_NO_COLOR: 'true',
    REQUESTS_CA_BUNDLE: target.caFile,
  };
  const az = (...args: string[]) => tryRun(join(venv, 'bin/az'), args, { timeoutMilliseconds: 180_000, env });
  /** Shown as it is typed, and judged by what it says. */
  const step = async (
    args: readonly string[],
    expected: (output: string) => boolean,
    { refused = false }: { readonly refused?: boolean } = {},
  ): Promise<string> => {
    const { exitCode, stdout, stderr } = await az(...args);
    const good = (exitCode === 0) !== refused && expected(refused ? stderr : stdout);
    if (!good) failed += 1;
    const shown = args.map((arg) => (/[\s{}'"?&]/.test(arg) ? `'${arg}'` : arg)).join(' ');
    console.log(`${good ? '  ok' : 'FAIL'} az ${shown.replaceAll(folder, '…')}`);
    if (!good) console.log([stdout, stderr].join('\n').trim().replace(/^/gm, '       '));
    return stdout;
  };
  const says = (text: string) => (output: string) => output.toLowerCase().includes(text.toLowerCase());
  const anything = () => true;
  const vaultId = `/subscriptions/${subscriptionId}/resourceGroups/az-test/providers/Microsoft.RecoveryServices/vaults/az-test`;
  const rest = (method: string, path: string, body?: unknown): string[] => [
    ...['rest', '--method', method, '--url', `${path}?api-version=2025-08-01`],
    ...(body === undefined ? [] : ['--body', JSON.stringify(body)]),
  ];

  await step(['cloud', 'register', '-n', 'Leeward', '--endpoint-resource-manager', url], anything);
  await step(['cloud', 'set', '-n', 'Leeward'], anything);
  await step(['config', 'set', 'core.instance_discovery=false'], anything);
  const signIn = ['login', '--service-principal', '-u', clientId, '--tenant', tenantId, '-p'];
  await writeFile(join(folder, 'wrong'), 'not the secret', { mode: 0o600 });
  await step([...signIn, `@${join(folder, 'wrong')}`], says('AADSTS7000215'), { refused: true });
  await step([...signIn, `@${secretFile}`], says(subscriptionId));
  await step(['account', 'list-locations', '--query', '[].name'], says('local'));
  await step(['provider', 'show', '-n', 'Microsoft.RecoveryServices'], says('Registered'));

  await step(['group', 'create', '-n', 'az-test', '-l', 'local'], says('az-test'));
  await step(['backup', 'vault', 'create', '-g', 'az-test', '-n', 'az-test', '-l', 'local'], says(vaultId));
  await step(['backup', 'vault', 'list'], says(vaultId));
  await step(['backup', 'vault', 'show', '-g', 'az-test', '-n', 'az-test'], says('Succeeded'));
  await step(['resource', 'list', '-g', 'az-test'], says('Microsoft.RecoveryServices/vaults'));

  const policy = {
    properties: {
      providerSpecificInput: {
        instanceType: 'InMageRcm',
        recoveryPointHistoryInMinutes: 1440,
        crashConsistentFrequencyInMinutes: 10,
        appConsistentFrequencyInMinutes: 60,
        enableMultiVmSync: 'True',
      },
    },
  };
  await step(rest('put', `${vaultId}/replicationPolicies/az-test`, policy), anything);
  // A PUT is a job; its end is asked for as any client does.
  await until(
    systemClock,
    120_000,
    async () => {
      const { exitCode } = await az(...rest('get', `${vaultId}/replicationPolicies/az-test`));
      return exitCode === 0 ? true : undefined;
    },
    () => new Error('the policy did not come into being'),
    1000,
  );
  await step(rest('get', `${vaultId}/replicationPolicies/az-test`), says('"InMageRcm"'));
  await step(rest('get', `${vaultId}/replicationJobs`), says('replicationJobs'));
  await step(rest('get', `${vaultId}/replicationVaultHealth`), says('replicationVaultHealth'));
  await step(rest('get', `${vaultId}/replicationFabrics`), says('value'));
  await step(rest('get', `${vaultId}/replicationPolicies/none`), says('Not Found'), { refused: true });

  const made = JSON.parse(
    await step(
      rest('post', `${url}/graph/v1.0/servicePrincipals`, { displayName: 'az-test' }),
      says('secretText'),
    ),
  ) as { id: string; appId: string; passwordCredentials: { secretText: string }[] };
  await step(['ad', 'sp', 'list', '--all', '--query', '[].appId'], says(made.appId));
  await step(['role', 'definition', 'list', '-n', 'Site Recovery Operator'], says('testFailover'));
  await step(
    [
      'role',
      'assignment',
      'create',
      '--assignee',
      made.appId,
      '--role',
      'Site Recovery Reader',
      '--scope',
      vaultId,
    ],
    says(made.id),
  );
  await step(['role', 'assignment', 'list', '--scope', vaultId, '--include-inherited'], says('Owner'));

  const readerSecret = join(folder, 'reader-secret');
  await writeFile(readerSecret, made.passwordCredentials[0]!.secretText, { mode: 0o600 });
  await step(
    ['login', '--service-principal', '-u', made.appId, '--tenant', tenantId, '-p', `@${readerSecret}`],
    says(subscriptionId),
  );
  await step(['backup', 'vault', 'list', '--query', '[].name'], says('az-test'));
  await step(rest('delete', `${vaultId}/replicationPolicies/az-test`), says('AuthorizationFailed'), {
    refused: true,
  });
  await step([...signIn, `@${secretFile}`], anything);
  await step(
    ['monitor', 'activity-log', 'list', '--offset', '1h', '--query', '[].operationName.value'],
    says('Microsoft.RecoveryServices/vaults/replicationPolicies/delete'),
  );

  await step(
    [
      'role',
      'assignment',
      'delete',
      '--assignee',
      made.appId,
      '--role',
      'Site Recovery Reader',
      '--scope',
      vaultId,
    ],
    anything,
  );
  await step(rest('delete', `${url}/graph/v1.0/servicePrincipals/${made.id}`), anything);
  await step(['backup', 'vault', 'delete', '-g', 'az-test', '-n', 'az-test', '-y'], anything);

  const python = await tryRun(join(venv, 'bin/python'), [join(import.meta.dirname, 'list_vaults.py')], {
    timeoutMilliseconds: 120_000,
    env: {
      LEEWARD_URL: url,
      LEEWARD_CA_FILE: target.caFile,
      LEEWARD_TENANT_ID: tenantId,
      LEEWARD_CLIENT_ID: clientId,
      LEEWARD_CLIENT_SECRET: target.clientSecret,
      LEEWARD_SUBSCRIPTION_ID: subscriptionId,
    },
  });
  const good = python.exitCode === 0 && python.stdout.includes('az-test-python Succeeded');
  if (!good) failed += 1;
  console.log(`${good ? '  ok' : 'FAIL'} python tools/az-test/list_vaults.py`);
  if (!good) console.log(`${python.stdout}\n${python.stderr}`);
}

async function install(): Promise<void> {
  const stamp = join(venv, 'installed');
  // Its programs name the folder that they were installed into: a tree that was moved needs them again.
  const installed = `${packages.join(' ')} in ${venv}`;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === installed) return;
  console.log(`installing ${packages.join(', ')} into .cache/az`);
  await run('python3', ['-m', 'venv', '--clear', venv], { timeoutMilliseconds: 120_000 });
  await run(join(venv, 'bin/pip'), ['install', '--quiet', ...packages], { timeoutMilliseconds: 900_000 });
  await writeFile(stamp, installed);
}
