/**
 * The whole control plane as a client meets it first: the secret that the vault wrote for its owner, `@azure/identity` with the
 * vault as its authority, and both SDKs. Nothing stands in for anything but the job engine's work.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RecoveryServicesClient } from '@azure/arm-recoveryservices';
import { SiteRecoveryManagementClient } from '@azure/arm-recoveryservices-siterecovery';
import { ClientSecretCredential } from '@azure/identity';
import anyTest from 'ava';
import { systemClock } from '../../src/platform/clock.ts';
import { systemFiles } from '../../src/platform/files.ts';
import { silentLog } from '../../src/platform/log.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { issueAuthority, issueCertificate } from '../../src/platform/tls.ts';
import { ArmClient } from '../../src/protocol/arm/client.ts';
import { ownerFileName, startControlPlane } from '../../src/vault/control-plane.ts';
import { JobEngine } from '../../src/vault/jobs/engine.ts';
import { VaultSettings } from '../../src/vault/settings.ts';
import { OrdersDesk } from '../../src/vault/site-link/orders.ts';
import { MariaJobStore } from '../../src/vault/store/jobs.ts';
import { migrate } from '../../src/vault/store/migrate.ts';
import { MariaResources } from '../../src/vault/store/resources.ts';
import { resourceChangeParts, resourceChanges } from '../../src/vault/workflows/resource-changes.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../support/private-mariadb.ts';
import { eventually, freePort } from '../support/site.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
let folder: string;
anyTest.before(async () => {
  if (!able) return;
  mariadb = await startPrivateMariadb();
  folder = await mkdtemp(join(tmpdir(), 'leeward-signed-in-'));
});
anyTest.after.always(async () => {
  if (!able) return;
  await mariadb.dispose();
  await rm(folder, { recursive: true, force: true });
});

test('the owner of a new vault signs in with every public client and drives it', async (t) => {
  const { database } = await mariadb.database();
  await migrate(database);
  const clock = systemClock;
  const random = systemRandom;
  const authority = await issueAuthority(join(folder, 'authority'));
  const paths = await issueCertificate({
    folder: join(folder, 'tls'),
    authority,
    commonName: 'localhost',
    hosts: ['localhost'],
    days: 2,
    usage: 'both',
  });
  const ca = await readFile(paths.caFile, 'utf8');
  const metricsPort = await freePort();
  const resources = new MariaResources(database, clock);
  const engine = new JobEngine({
    store: new MariaJobStore(database),
    workflows: resourceChanges(resourceChangeParts(database, resources, clock)),
    clock,
    random,
    log: silentLog,
    owner: 'test',
    pollMilliseconds: 50,
  });
  await using plane = await startControlPlane({
    settings: VaultSettings.parse({
      cache: { hosts: ['localhost'], listen: '127.0.0.1', port: 0 },
      replica: { folder },
      database: { type: 'embedded' },
      metricsPort,
      api: { listen: '127.0.0.1', port: 0, tenantId: random.uuid(), subscriptionId: random.uuid() },
    }),
    dataFolder: folder,
    database,
    resources,
    jobs: engine,
    orders: new OrdersDesk({ database, clock, log: silentLog, onAnswer: () => {} }),
    usedBytes: async () => 0,
    storeFacts: async () => ({ usedBytes: 0, freeBytes: 1 << 30, cacheFreeBytes: 1 << 30 }) as never,
    masterKey: random.bytes(32),
    authority,
    cacheUrl: 'https://localhost:1',
    clock,
    random,
    files: systemFiles,
    log: silentLog,
  });
  const stopping = new AbortController();
  const running = Promise.all([plane.run(stopping.signal), engine.run(stopping.signal)]);
  running.catch(() => {});
  const owner = JSON.parse(await readFile(join(folder, ownerFileName), 'utf8')) as Record<string, string>;
  const options = { endpoint: plane.publicUrl, tlsOptions: { ca } };
  const sign = (secret: string) =>
    new ClientSecretCredential(owner.tenantId!, owner.clientId!, secret, {
      authorityHost: plane.publicUrl,
      disableInstanceDiscovery: true,
      tlsOptions: { ca },
      retryOptions: { maxRetries: 0 },
    });
  const credential = sign(owner.clientSecret!);

  const vaults = new RecoveryServicesClient(credential, owner.subscriptionId!, options);
  const made = await vaults.vaults.beginCreateOrUpdateAndWait('group', 'first', { location: 'local' });
  t.is(made.properties?.provisioningState, 'Succeeded');
  const siteRecovery = new SiteRecoveryManagementClient(credential, owner.subscriptionId!, options);
  const policy = await siteRecovery.replicationPolicies.beginCreateAndWait('first', 'group', 'gold', {
    properties: {
      providerSpecificInput: { instanceType: 'InMageRcm', recoveryPointHistoryInMinutes: 1440 },
    } as object,
  });
  t.is(policy.id, `${made.id}/replicationPolicies/gold`);
  const jobs: string[] = [];
  for await (const job of siteRecovery.replicationJobs.list('first', 'group'))
    jobs.push(`${job.properties?.scenarioName} ${job.properties?.state}`);
  t.deepEqual(jobs, ['AddProtectionProfile Succeeded']);

  using own = new ArmClient({
    url: plane.publicUrl,
    ca,
    tenantId: owner.tenantId!,
    clientId: owner.clientId!,
    clientSecret: owner.clientSecret!,
    clock,
    signal: stopping.signal,
  });
  const names: unknown[] = [];
  for await (const one of own.pages(`${made.id}/replicationPolicies`))
    names.push((one as { name: string }).name);
  t.deepEqual(names, ['gold']);
  const removal = await own.request('DELETE', policy.id!);
  t.regex(removal.jobId ?? '', /^[0-9a-f-]{36}$/);
  const log = await own.request(
    'GET',
    `/subscriptions/${owner.subscriptionId}/providers/Microsoft.Insights/eventtypes/management/values`,
  );
  t.true(JSON.stringify(log.body).includes('Microsoft.RecoveryServices/vaults/replicationPolicies/write'));

  const figures = await eventually('figures of the vault', 180, async () => {
    const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
    const text = await answer.text();
    return text.includes('leeward_jobs_unfinished') ? { answer, text } : undefined;
  });
  t.regex(figures.answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  t.regex(figures.text, /^# TYPE leeward_items gauge\nleeward_items 0$/m);
  t.is((await fetch(`http://127.0.0.1:${metricsPort}/`)).status, 404);

  const stranger = new RecoveryServicesClient(sign('wrong'), owner.subscriptionId!, options);
  const refused = await t.throwsAsync(stranger.vaults.get('group', 'first'));
  t.regex(refused!.message, /invalid_client|AADSTS7000215/);
  stopping.abort();
  await running;
});
