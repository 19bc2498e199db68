/**
 * The vault that public clients are tried against: that of `make vault` when `.run/vault.env` is there and it answers; else one
 * is made for the test, in a folder of its own (root, since its volume is mounted), and ended afterwards.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { systemClock, until } from '../../src/platform/clock.ts';
import { run, tryRun } from '../../src/platform/exec.ts';

const root = join(import.meta.dirname, '../..');

export interface Target {
  readonly url: string;
  readonly caFile: string;
  readonly tenantId: string;
  readonly subscriptionId: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

export interface TestVault extends AsyncDisposable {
  readonly target: Target;
}

/** `data`: a folder that is not there yet. */
export async function testVault(data: string): Promise<TestVault> {
  const target = await running();
  return target === undefined ? ownVault(data) : { target, [Symbol.asyncDispose]: async () => {} };
}

/** The vault of `make vault`, if it runs. */
async function running(): Promise<Target | undefined> {
  const file = join(root, '.run/vault.env');
  if (!existsSync(file)) return undefined;
  const env = parseEnv(await readFile(file, 'utf8'));
  const url = env.LEEWARD_URL;
  const caFile = env.LEEWARD_CA_FILE;
  if (!url || !caFile || !existsSync(caFile)) return undefined;
  const answer = await tryRun('curl', ['-sf', '--cacert', caFile, '-m', '5', `${url}/metadata/endpoints`], {
    timeoutMilliseconds: 10_000,
  }).catch(() => undefined);
  if (answer?.exitCode !== 0) return undefined;
  return {
    url,
    caFile,
    tenantId: env.LEEWARD_TENANT_ID!,
    subscriptionId: env.LEEWARD_SUBSCRIPTION_ID!,
    clientId: env.LEEWARD_CLIENT_ID!,
    clientSecret: env.LEEWARD_CLIENT_SECRET!,
  };
}

async function ownVault(data: string): Promise<TestVault> {
  const main = join(root, 'src/bin/vault.ts');
  const ports = ['--port', '0', '--api-port', '0'];
  await run(process.execPath, [main, 'init', '--data', data, ...ports, '--make-volume', '1'], {
    timeoutMilliseconds: 120_000,
  });
  let said = '';
  const vault = spawn(process.execPath, [main, 'run', '--data', data], { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [vault.stdout, vault.stderr])
    stream.on('data', (text: Buffer) => {
      said = (said + text.toString()).slice(-100_000);
    });
  const stop = async () => {
    if (vault.exitCode !== null) return;
    vault.kill('SIGTERM');
    await new Promise((resolve) => vault.once('exit', resolve));
  };
  try {
    const url = await until(
      systemClock,
      120_000,
      () => {
        if (vault.exitCode !== null) throw new Error(`the vault ended:\n${said}`);
        return /"publicUrl":"([^"]+)","event":"vault-ready"/.exec(said)?.[1];
      },
      () => new Error(`the vault did not start:\n${said}`),
    );
    const owner = JSON.parse(await readFile(join(data, 'owner.json'), 'utf8')) as Omit<
      Target,
      'url' | 'caFile'
    >;
    return { target: { ...owner, url, caFile: join(data, 'tls/ca.pem') }, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
