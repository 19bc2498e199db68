/**
 * The vault's end of the site link, on a real database and a real TLS listener: authority, registration, orders, routes.
 * Its clock can be set apart from the machine's.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certificateFiles, keepCertificate, makeRequest } from '../../src/platform/certificate-request.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { systemFiles } from '../../src/platform/files.ts';
import { JsonClient, serveJson } from '../../src/platform/https-json.ts';
import { silentLog } from '../../src/platform/log.ts';
import type { Database } from '../../src/platform/mysql.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { type Authority, issueAuthority, issueCertificate, tlsOptions } from '../../src/platform/tls.ts';
import { RegisterAnswer, siteLinkPaths } from '../../src/protocol/control/site-link.ts';
import { readVaultCredentials } from '../../src/protocol/control/vault-credentials.ts';
import { Registration } from '../../src/vault/registration/registration.ts';

import { OrdersDesk } from '../../src/vault/site-link/orders.ts';
import { siteLinkHandler } from '../../src/vault/site-link/routes.ts';
import { migrate } from '../../src/vault/store/migrate.ts';

export const vaultId =
  '/subscriptions/9e5b9a7e-0000-4000-8000-000000000001/resourceGroups/recovery/providers/Microsoft.RecoveryServices/vaults/first';

export interface SiteLinkVault extends AsyncDisposable {
  readonly folder: string;
  readonly url: string;
  readonly port: number;
  readonly database: Database;
  readonly registration: Registration;
  readonly orders: OrdersDesk;
  readonly authority: Authority;
  /** Added to the machine's clock. */
  offsetMilliseconds: number;
  isVaultThere: boolean;
  readonly answered: string[];
  issueKey(fabricName?: string): Promise<string>;
  /** Registers as a site would; answers a client that shows the certificate. */
  registered(fabricName?: string): Promise<RegisteredSite>;
}

export interface RegisteredSite extends Disposable {
  readonly siteId: string;
  readonly fabricName: string;
  readonly client: JsonClient;
  readonly folder: string;
}

export async function startSiteLinkVault(
  database: Database,
  options: {
    readonly port?: number;
    readonly folder?: string;
    readonly cacheUrl?: string;
    /** What keys name; default: where it listens. */
    readonly publicPort?: () => number;
  } = {},
): Promise<SiteLinkVault> {
  await migrate(database);
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'leeward-site-link-')));
  const authority = await issueAuthority(join(folder, 'authority'));
  const files = await issueCertificate({
    folder: join(folder, 'tls'),
    authority,
    commonName: 'localhost',
    hosts: ['localhost', '127.0.0.1'],
    days: 10,
    usage: 'server',
  });
  const answered: string[] = [];
  const state = { offsetMilliseconds: 0, isVaultThere: true };
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + state.offsetMilliseconds };
  const orders = new OrdersDesk({ database, clock, log: silentLog, onAnswer: (id) => answered.push(id) });
  // The key says where the vault is, which is known once it listens.
  let url = 'https://127.0.0.1:1';
  const registrationParts = {
    database,
    files: systemFiles,
    clock,
    random: systemRandom,
    log: silentLog,
    authority,
    publicUrl: () => (options.publicPort ? `https://127.0.0.1:${options.publicPort()}` : url),
    tenantId: '9e5b9a7e-0000-4000-8000-0000000000ff',
    vaultExists: async () => state.isVaultThere,
  };
  const registration = new Registration(registrationParts);
  const handler = siteLinkHandler({
    database,
    files: systemFiles,
    clock,
    log: silentLog,
    registration,
    orders,
    authority,
    cacheUrl: options.cacheUrl ?? 'https://127.0.0.1:1',
  });
  const listener = await serveJson(handler, {
    tls: await tlsOptions(files),
    host: '127.0.0.1',
    port: options.port ?? 0,
  });
  url = `https://127.0.0.1:${listener.port}`;
  const issueKey = async (fabricName?: string) =>
    (
      await registration.issueKey({
        vaultId,
        subscriptionId: '9e5b9a7e-0000-4000-8000-000000000001',
        resourceGroup: 'recovery',
        vaultName: 'first',
        location: 'here',
        fabricName,
        requestedBy: 'a test',
      })
    ).content;
  return {
    folder,
    url,
    port: listener.port,
    database,
    registration,
    orders,
    authority,
    answered,
    get offsetMilliseconds() {
      return state.offsetMilliseconds;
    },
    set offsetMilliseconds(value: number) {
      state.offsetMilliseconds = value;
    },
    get isVaultThere() {
      return state.isVaultThere;
    },
    set isVaultThere(value: boolean) {
      state.isVaultThere = value;
    },
    issueKey,
    registered: async (fabricName) => {
      const { token, claims } = readVaultCredentials(await issueKey(fabricName));
      const siteFolder = await mkdtemp(join(folder, 'site-'));
      const requestPem = await makeRequest(siteFolder);
      using first = new JsonClient({ url, ca: claims.caPem, clock, answerBytesMax: 1 << 20 });
      const answer = await first.call({
        method: 'POST',
        path: siteLinkPaths.register,
        body: registerBody(token, requestPem, systemClock.now()),
        answer: RegisterAnswer,
        timeoutMilliseconds: 60_000,
      });
      await keepCertificate(siteFolder, answer.certificatePem, answer.caPem);
      const client = await clientOf(url, siteFolder);
      return {
        siteId: answer.siteId,
        fabricName: answer.fabricName,
        client,
        folder: siteFolder,
        [Symbol.dispose]: () => client[Symbol.dispose](),
      };
    },
    [Symbol.asyncDispose]: async () => {
      await listener[Symbol.asyncDispose]();
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

export function registerBody(token: string, requestPem: string, now: number) {
  return {
    token,
    registrationId: '7d0b7a52-3d1c-4b6e-9b62-0f8a4d7f2f10',
    requestPem,
    boxPublicKey: Buffer.alloc(32, 7).toString('base64'),
    hostName: 'appliance.example',
    version: '0.1.0',
    at: new Date(now).toISOString(),
  };
}

export async function clientOf(url: string, folder: string): Promise<JsonClient> {
  const paths = certificateFiles(folder);
  const text = (path: string) => readFile(path, 'utf8');
  return new JsonClient({
    url,
    ca: await text(paths.caFile),
    certificate: { cert: await text(paths.certificateFile), key: await text(paths.keyFile) },
    clock: systemClock,
    answerBytesMax: 16 << 20,
  });
}
