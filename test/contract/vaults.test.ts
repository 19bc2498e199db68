/** Vaults and what surrounds them, through `@azure/arm-recoveryservices`, on a real MariaDB and real TLS. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RecoveryServicesClient } from '@azure/arm-recoveryservices';
import anyTest from 'ava';
import { systemClock } from '../../src/platform/clock.ts';
import { run } from '../../src/platform/exec.ts';
import { operations } from '../../src/protocol/arm/description.ts';
import { migrate } from '../../src/vault/store/migrate.ts';
import { MariaResources } from '../../src/vault/store/resources.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../support/private-mariadb.ts';
import { type ArmWorld, startArmWorld, subscriptionId } from './arm-world.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
let world: ArmWorld;
let client: RecoveryServicesClient;
const occupants = new Map<string, string[]>();

anyTest.before(async () => {
  if (!able) return;
  mariadb = await startPrivateMariadb();
  const { database } = await mariadb.database();
  await migrate(database);
  world = await startArmWorld({
    resources: new MariaResources(database, systemClock),
    occupants: async (vaultId) => occupants.get(vaultId.split('/').at(-1)!) ?? [],
  });
  client = world.vaults();
});
anyTest.after.always(async () => {
  await world?.dispose();
  await mariadb?.dispose();
});

const code = (error: unknown) => (error as { code?: string } | undefined)?.code;
const group = `/subscriptions/${subscriptionId}/resourceGroups/`;

test('a vault is made at once and given back as it was sent, in one case', async (t) => {
  const made = await client.vaults.beginCreateOrUpdateAndWait('Group-1', 'vault1', {
    location: 'West Europe',
    tags: { Cost: 'Zero' },
    sku: { name: 'Standard' },
    identity: { type: 'SystemAssigned' },
    properties: {
      securitySettings: { softDeleteSettings: { softDeleteRetentionPeriodInDays: 20 } } as object,
    },
  });
  t.is(made.id, `${group}Group-1/providers/Microsoft.RecoveryServices/vaults/vault1`);
  t.is(made.type, 'Microsoft.RecoveryServices/vaults');
  t.is(made.location, 'westeurope');
  t.deepEqual(made.tags, { Cost: 'Zero' });
  t.is(made.properties?.provisioningState, 'Succeeded');
  t.regex(made.identity?.principalId ?? '', /^[0-9a-f-]{36}$/);
  t.is(made.systemData?.createdBy, 'contract test');
  const read = await client.vaults.get('GROUP-1', 'VAULT1');
  t.deepEqual(read, made);
  const again = await client.vaults.beginCreateOrUpdateAndWait('group-1', 'Vault1', {
    location: 'westeurope',
    identity: { type: 'SystemAssigned' },
  });
  t.is(again.id, made.id!);
  t.is(again.identity?.principalId, made.identity!.principalId!);
  t.not(again.etag, made.etag);
});

test('a change keeps what it does not name, and a stale etag is refused', async (t) => {
  const made = await client.vaults.beginCreateOrUpdateAndWait('g', 'patched', {
    location: 'here',
    tags: { a: '1' },
    properties: {
      restoreSettings: { crossSubscriptionRestoreSettings: { crossSubscriptionRestoreState: 'Disabled' } },
    },
  });
  const changed = await client.vaults.beginUpdateAndWait('g', 'patched', { tags: { b: '2' } });
  t.deepEqual(changed.tags, { b: '2' });
  t.is(
    changed.properties?.restoreSettings?.crossSubscriptionRestoreSettings?.crossSubscriptionRestoreState,
    'Disabled',
  );
  t.is(
    code(
      await t.throwsAsync(client.vaults.beginUpdateAndWait('g', 'patched', { etag: made.etag!, tags: {} })),
    ),
    'PreconditionFailed',
  );
});

test('what a vault cannot keep is refused when it is asked for', async (t) => {
  const refused = async (body: object) =>
    code(
      await t.throwsAsync(
        client.vaults.beginCreateOrUpdateAndWait('g', 'refused', { location: 'here', ...body } as never),
      ),
    );
  t.is(
    await refused({ properties: { encryption: { keyVaultProperties: { keyUri: 'https://k' } } } }),
    'OperationNotSupported',
  );
  t.is(await refused({ properties: { publicNetworkAccess: 'Disabled' } }), 'OperationNotSupported');
  t.is(
    await refused({ identity: { type: 'UserAssigned', userAssignedIdentities: {} } }),
    'OperationNotSupported',
  );
  t.is(code(await t.throwsAsync(client.vaults.get('g', 'refused'))), 'ResourceNotFound');
  t.is(
    code(await t.throwsAsync(client.vaults.beginCreateOrUpdateAndWait('g', '1st', { location: 'here' }))),
    'InvalidResourceName',
  );
});

test('vaults are listed by subscription and by group, page by page', async (t) => {
  for (const name of ['aa', 'bb', 'cc'])
    await client.vaults.beginCreateOrUpdateAndWait('listed', name, { location: 'here' });
  const inGroup: string[] = [];
  for await (const vault of client.vaults.listByResourceGroup('LISTED')) inGroup.push(vault.name!);
  t.deepEqual(inGroup, ['aa', 'bb', 'cc']);
  const all: string[] = [];
  for await (const vault of client.vaults.listBySubscriptionId()) all.push(vault.name!);
  t.true(['aa', 'bb', 'cc', 'vault1'].every((name) => all.includes(name)));
  const found: string[] = [];
  let path = `/subscriptions/${subscriptionId}/providers/Microsoft.RecoveryServices/vaults?$top=1`;
  for (let pages = 0; pages < 50; pages += 1) {
    const { status, body } = await world.request('GET', path);
    t.is(status, 200);
    found.push(...body.value.map((vault: { name: string }) => vault.name));
    if (body.nextLink === undefined) break;
    t.true(body.nextLink.startsWith(world.url));
    path = body.nextLink.slice(world.url.length);
  }
  t.deepEqual(found.sort(), all.sort());
  t.is(
    code(await t.throwsAsync(client.vaults.listByResourceGroup('nowhere').next())),
    'ResourceGroupNotFound',
  );
});

test('a vault with something in it is not deleted, and the refusal names it', async (t) => {
  await client.vaults.beginCreateOrUpdateAndWait('g', 'full', { location: 'here' });
  occupants.set('full', ['protected item web', 'fabric site1']);
  const error = await t.throwsAsync(client.vaults.beginDeleteAndWait('g', 'full'));
  t.is(code(error), 'VaultNotEmpty');
  t.regex(error!.message, /protected item web, fabric site1/);
});

test('a deleted vault comes back whole, to another group too', async (t) => {
  await client.vaults.beginCreateOrUpdateAndWait('g', 'gone', { location: 'here', tags: { x: 'y' } });
  await world.request(
    'PUT',
    `${group}g/providers/Microsoft.RecoveryServices/vaults/gone/extendedInformation/vaultExtendedInfo`,
    {
      body: { properties: { integrityKey: 'a2V5', algorithm: 'None' } },
    },
  );
  await client.vaults.beginDeleteAndWait('g', 'gone');
  t.is(code(await t.throwsAsync(client.vaults.get('g', 'gone'))), 'ResourceNotFound');
  await client.vaults.beginDeleteAndWait('g', 'gone');
  const base = `/subscriptions/${subscriptionId}/providers/Microsoft.RecoveryServices/locations/here/deletedVaults`;
  const listed = await world.request('GET', base);
  const deleted = listed.body.value.find((one: { properties: { vaultId: string } }) =>
    one.properties.vaultId.endsWith('/gone'),
  );
  t.is((await world.request('GET', deleted.id)).body.properties.vaultId, deleted.properties.vaultId);
  t.true(Date.parse(deleted.properties.purgeAt) > Date.parse(deleted.properties.vaultDeletionTime));
  t.is(
    (
      await world.request('POST', `${deleted.id}/undelete`, {
        body: { properties: { recoveryResourceGroupId: 'x' } },
      })
    ).status,
    400,
  );
  const accepted = await world.request('POST', `${deleted.id}/undelete`, {
    body: { properties: { recoveryResourceGroupId: `${group}other` } },
  });
  t.is(accepted.status, 202);
  const polled = await world.request(
    'GET',
    accepted.headers.get('azure-asyncoperation')!.slice(world.url.length),
  );
  t.is(polled.body.status, 'Succeeded');
  const back = await client.vaults.get('other', 'gone');
  t.deepEqual(back.tags, { x: 'y' });
  t.is((await client.vaultExtendedInfo.get('other', 'gone')).integrityKey, 'a2V5');
  t.is((await world.request('GET', deleted.id)).status, 404);
});

test('a vault without soft delete is gone for good', async (t) => {
  await client.vaults.beginCreateOrUpdateAndWait('g', 'hard', {
    location: 'there',
    properties: { securitySettings: { softDeleteSettings: { softDeleteState: 'Disabled' } } as object },
  });
  await client.vaults.beginDeleteAndWait('g', 'hard');
  const { body } = await world.request(
    'GET',
    `/subscriptions/${subscriptionId}/providers/Microsoft.RecoveryServices/locations/there/deletedVaults`,
  );
  t.deepEqual(body, { value: [] });
});

test('soft delete is always on unless a vault is made without, and the backup service says the same', async (t) => {
  await client.vaults.beginCreateOrUpdateAndWait('g', 'always', { location: 'here' });
  const path = `${group}g/providers/Microsoft.RecoveryServices/vaults/always/backupconfig/vaultconfig`;
  t.is((await world.request('GET', path)).body.properties.softDeleteFeatureState, 'AlwaysON');
  const disable = { properties: { softDeleteFeatureState: 'Disabled' } };
  t.is((await world.request('PATCH', path, { body: disable })).body.error.code, 'SoftDeleteAlwaysOn');
  const enable = { properties: { softDeleteFeatureState: 'Enabled' } };
  t.is(
    (await world.request('PATCH', path, { body: enable })).body.properties.softDeleteFeatureState,
    'AlwaysON',
  );
  // As the backup service's own client writes it.
  const soft = { softDeleteSettings: { softDeleteState: 'AlwaysOn' } } as object;
  const spelled = await client.vaults.beginCreateOrUpdateAndWait('g', 'spelled', {
    location: 'here',
    properties: { securitySettings: soft },
  });
  t.is(
    (spelled.properties!.securitySettings as { softDeleteSettings: { softDeleteState: string } })
      .softDeleteSettings.softDeleteState,
    'AlwaysON',
  );
  const made = await client.vaults.beginCreateOrUpdateAndWait('g', 'unlocked', {
    location: 'here',
    properties: { securitySettings: { softDeleteSettings: { softDeleteState: 'Enabled' } } as object },
  });
  t.is(made.properties?.monitoringSettings, undefined, 'only what was sent is said of monitoring');
  const free = path.replace('always', 'unlocked');
  t.is(
    (await world.request('PUT', free, { body: disable })).body.properties.softDeleteFeatureState,
    'Disabled',
  );
  await client.vaults.beginUpdateAndWait('g', 'unlocked', { tags: { a: 'b' } });
  t.is((await world.request('GET', free)).body.properties.softDeleteFeatureState, 'Disabled');
  t.deepEqual(
    (await world.request('GET', free.replace('backupconfig/vaultconfig', 'backupProtectedItems'))).body,
    {
      value: [],
    },
  );
});

test('a certificate is read, and its vault answers who it is', async (t) => {
  await client.vaults.beginCreateOrUpdateAndWait('g', 'certified', { location: 'here' });
  const folder = await mkdtemp(join(tmpdir(), 'leeward-cert-'));
  await run(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      join(folder, 'k'),
      '-out',
      join(folder, 'c'),
      '-outform',
      'DER',
      '-days',
      '2',
      '-subj',
      '/CN=site',
    ],
    { timeoutMilliseconds: 60_000 },
  );
  const made = await client.vaultCertificates.create('g', 'certified', 'CN=site-1', {
    properties: { authType: 'AAD', certificate: await readFile(join(folder, 'c')) },
  });
  await rm(folder, { recursive: true });
  t.is(made.properties?.authType, 'AzureActiveDirectory');
  t.is(made.properties?.subject, 'CN=site');
  t.is(
    code(
      await t.throwsAsync(
        client.vaultCertificates.create('g', 'certified', 'x', {
          properties: { authType: 'AAD', certificate: Buffer.from('no certificate') },
        }),
      ),
    ),
    'InvalidCertificate',
  );
});

test('every operation of the SDK that has not been called yet answers', async (t) => {
  await client.vaults.beginCreateOrUpdateAndWait('g', 'last', { location: 'here' });
  t.is(code(await t.throwsAsync(client.vaultExtendedInfo.get('g', 'last'))), 'ResourceNotFound');
  t.is(
    (await client.vaultExtendedInfo.createOrUpdate('g', 'last', { integrityKey: 'aw==' })).integrityKey,
    'aw==',
  );
  const updated = await client.vaultExtendedInfo.update('g', 'last', { algorithm: 'None' });
  t.is(updated.integrityKey, 'aw==');
  t.is(updated.algorithm, 'None');
  const all = async <T>(pages: AsyncIterable<T>) => {
    const found: T[] = [];
    for await (const one of pages) found.push(one);
    return found;
  };
  t.is((await all(client.replicationUsages.list('g', 'last')))[0]?.protectedItemCount, 3);
  t.true(
    (await all(client.usages.listByVaults('g', 'last'))).some(
      (usage) => usage.name?.value === 'ProtectedItems',
    ),
  );
  t.deepEqual(await all(client.privateLinkResourcesOperations.list('g', 'last')), []);
  t.is(
    code(await t.throwsAsync(client.privateLinkResourcesOperations.get('g', 'last', 'AzureSiteRecovery'))),
    'ResourceNotFound',
  );
  await client.registeredIdentities.delete('g', 'last', 'site1');
  t.is(
    code(await t.throwsAsync(client.registeredIdentities.delete('g', 'last', 'site2'))),
    'ResourceNotFound',
  );
  const type = 'Microsoft.RecoveryServices/Vaults';
  t.false(
    (await client.recoveryServices.checkNameAvailability('g', 'here', { type, name: 'LAST' })).nameAvailable,
  );
  t.true(
    (await client.recoveryServices.checkNameAvailability('g', 'here', { type, name: 'free' })).nameAvailable,
  );
  const capabilities = await client.recoveryServices.capabilities('here', {
    type: 'Microsoft.RecoveryServices/Vaults',
    properties: { dnsZones: [{ subResource: 'AzureSiteRecovery' }] },
  });
  t.deepEqual(capabilities.properties?.dnsZones, [
    { subResource: 'AzureSiteRecovery', requiredZoneNames: [] },
  ]);
  t.true(
    (await all(client.operations.list())).some(
      ({ name }) => name === 'Microsoft.RecoveryServices/vaults/write',
    ),
  );
});

test('groups are made, asked for, listed and deleted when nothing lies in them', async (t) => {
  const path = `/subscriptions/${subscriptionId}/resourcegroups/Plain(1)`;
  t.is((await world.request('HEAD', path)).status, 404);
  t.is((await world.request('PUT', path, { body: { location: 'East US', tags: { a: 'b' } } })).status, 201);
  t.is((await world.request('PUT', path, { body: { location: 'eastus' } })).status, 200);
  t.is((await world.request('HEAD', path)).status, 204);
  const { body } = await world.request('GET', path.toUpperCase().replace('SUBSCRIPTIONS', 'subscriptions'));
  t.is(body.id, `${group}Plain(1)`);
  await client.vaults.beginCreateOrUpdateAndWait('plain(1)', 'inside', { location: 'eastus' });
  t.is(
    (await client.vaults.get('PLAIN(1)', 'inside')).id,
    `${group}Plain(1)/providers/Microsoft.RecoveryServices/vaults/inside`,
  );
  const resources = await world.request('GET', `${path}/resources`);
  t.deepEqual(
    resources.body.value.map((one: { name: string }) => one.name),
    ['inside'],
  );
  t.is((await world.request('DELETE', path)).status, 409);
  await client.vaults.beginDeleteAndWait('plain(1)', 'inside');
  t.is((await world.request('DELETE', path)).status, 200);
  t.is((await world.request('GET', path)).body.error.code, 'ResourceGroupNotFound');
  const groups = await world.request('GET', `/subscriptions/${subscriptionId}/resourcegroups`);
  t.true(groups.body.value.some((one: { name: string }) => one.name === 'listed'));
});

test('everything that was answered fits its model, and every write is in the audit trail', (t) => {
  t.deepEqual(world.misfits, []);
  t.true(
    world.audited.some(
      ({ operationId, code: refusal }) => operationId === 'vaults.delete' && refusal === 'VaultNotEmpty',
    ),
  );
  t.true(
    world.audited.some(
      ({ operationId, status }) => operationId === 'vaults.createOrUpdate' && status === 201,
    ),
  );
});

test('every operation that the SDK has was called', (t) => {
  const missing = operations.filter(
    ({ api, npmName, id }) => api === 'vaults' && npmName !== undefined && !world.calledBySdk.has(id),
  );
  t.deepEqual(
    missing.map(({ npmName }) => npmName),
    [],
  );
});

test('a vault that many delete at once is kept once', async (t) => {
  const path = `${group}g/providers/Microsoft.RecoveryServices/vaults/wanted-gone`;
  await world.request('PUT', path, { body: { location: 'elsewhere' } });
  const atOnce = (method: string) =>
    Promise.all(Array.from({ length: 8 }, () => world.request(method, path)));
  // Connections first: handshakes would put the deletions one after the other.
  await atOnce('GET');
  const answers = await atOnce('DELETE');
  t.true(answers.every(({ status }) => status === 204));
  const kept = await world.request(
    'GET',
    `/subscriptions/${subscriptionId}/providers/Microsoft.RecoveryServices/locations/elsewhere/deletedVaults`,
  );
  t.is(kept.body.value.length, 1);
});
