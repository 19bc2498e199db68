/**
 * `make vault` as a test has it: the real script with a data folder, ports and an environment file of its own, and the
 * public SDK signed in with nothing but that file.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SiteRecoveryManagementClient } from '@azure/arm-recoveryservices-siterecovery';
import { ClientSecretCredential } from '@azure/identity';
import { Daemon, eventually, freePort } from './site.ts';

export class OwnVault implements AsyncDisposable {
  /** `<data>` of the vault. */
  readonly data: string;
  readonly environmentFile: string;
  readonly daemon: Daemon;
  variables: Readonly<Record<string, string>> = {};

  private constructor(folder: string, ports: { readonly api: number; readonly cache: number }) {
    this.data = join(folder, 'vault');
    this.environmentFile = join(folder, 'vault.env');
    this.daemon = new Daemon('make-vault', folder, [
      ...['tools/vault/up.ts', '--data', this.data, '--environment', this.environmentFile],
      ...['--volume-gib', '2', '--port', String(ports.api), '--cache-port', String(ports.cache)],
    ]);
  }

  static async start(folder: string): Promise<OwnVault> {
    const own = new OwnVault(folder, { api: await freePort(), cache: await freePort() });
    own.daemon.start();
    try {
      await eventually('make vault is ready', 300, () => {
        if (!own.daemon.isRunning) throw new Error(own.daemon.tail());
        return existsSync(own.environmentFile) || undefined;
      });
    } catch (error) {
      await own.daemon.kill('SIGTERM');
      throw error;
    }
    own.variables = Object.fromEntries(
      (await readFile(own.environmentFile, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]),
    );
    return own;
  }

  /** The network namespace of its machines, and the folder of its libvirtd: both named by the data folder. */
  get siteName(): string {
    return `leeward-vault-${createHash('sha256').update(this.data).digest('hex').slice(0, 6)}`;
  }

  /** As the SDK takes them: the vault first. */
  get at(): readonly [string, string] {
    return [this.variables.LEEWARD_VAULT!, this.variables.LEEWARD_RESOURCE_GROUP!];
  }

  async sdk(): Promise<SiteRecoveryManagementClient> {
    const { LEEWARD_URL: url, LEEWARD_SUBSCRIPTION_ID: subscription, ...more } = this.variables;
    const tlsOptions = { ca: await readFile(more.LEEWARD_CA_FILE!, 'utf8') };
    const credential = new ClientSecretCredential(
      more.LEEWARD_TENANT_ID!,
      more.LEEWARD_CLIENT_ID!,
      more.LEEWARD_CLIENT_SECRET!,
      { authorityHost: url!, disableInstanceDiscovery: true, tlsOptions },
    );
    return new SiteRecoveryManagementClient(credential, subscription!, {
      endpoint: url!,
      credentialScopes: `${url}/.default`,
      tlsOptions,
    });
  }

  /** What it said last: for failing tests. */
  logs(): string {
    return `${this.daemon.tail(10)}\n${readFileSync(join(this.data, 'vault.log'), 'utf8').slice(-6000)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon.kill('SIGTERM');
  }
}
