import { RecoveryServicesClient } from '@azure/arm-recoveryservices';
import { ClientSecretCredential } from '@azure/identity';
import anyTest from 'ava';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import { accessServer } from '../../support/access-server.ts';
import { ask, subscriptionId, tenantId } from '../../support/access-world.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
anyTest.before(async () => {
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(() => mariadb?.dispose());

const vaultPath = `/subscriptions/${subscriptionId}/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v1`;

test('ClientSecretCredential signs in with the vault as its authority, and the SDK lists vaults', async (t) => {
  await using world = await accessServer(mariadb);
  const owner = await world.withRole('Owner');
  const tlsOptions = { ca: world.ca };
  const credential = new ClientSecretCredential(tenantId, owner.applicationId, owner.secret, {
    authorityHost: world.url,
    disableInstanceDiscovery: true,
    tlsOptions,
  });
  const client = new RecoveryServicesClient(credential, subscriptionId, { endpoint: world.url, tlsOptions });
  await client.vaults.beginCreateOrUpdateAndWait('g', 'v1', { location: 'here', sku: { name: 'Standard' } });
  const names: (string | undefined)[] = [];
  for await (const { name } of client.vaults.listBySubscriptionId()) names.push(name);
  t.deepEqual(names, ['v1']);
  const wrong = new ClientSecretCredential(tenantId, owner.applicationId, 'not the secret', {
    authorityHost: world.url,
    disableInstanceDiscovery: true,
    tlsOptions,
  });
  const error = await t.throwsAsync(wrong.getToken(`${world.url}/.default`));
  t.regex(error.message, /invalid_client/);
});

test('the OpenID configuration leads to keys that verify a token', async (t) => {
  await using world = await accessServer(mariadb);
  const owner = await world.withRole('Owner');
  for (const tenant of [tenantId, tenantId.toUpperCase(), 'common', 'organizations']) {
    const { status, body } = await ask(
      `${world.url}/${tenant}/v2.0/.well-known/openid-configuration`,
      world.ca,
    );
    t.is(status, 200, tenant);
    t.is(body.issuer, `${world.url}/${tenantId}/v2.0`);
    t.is(body.token_endpoint, `${world.url}/${tenantId}/oauth2/v2.0/token`);
  }
  const other = await ask(
    `${world.url}/0a1b2c3d-0000-4000-8000-0000000000ff/v2.0/.well-known/openid-configuration`,
    world.ca,
  );
  t.is(other.status, 400);
  const { body: configuration } = await ask(
    `${world.url}/common/v2.0/.well-known/openid-configuration`,
    world.ca,
  );
  const { body: answer } = await ask(configuration.token_endpoint, world.ca, {
    form: {
      grant_type: 'client_credentials',
      client_id: owner.applicationId,
      client_secret: owner.secret,
      scope: `${world.url}//.default`,
    },
  });
  t.is(answer.token_type, 'Bearer');
  t.is(answer.expires_in, 3600);
  const { body: keys } = await ask(configuration.jwks_uri, world.ca);
  const remote = createRemoteJWKSet(new URL(configuration.jwks_uri), {
    [customFetch]: async () => new Response(JSON.stringify(keys)),
  });
  const { payload } = await jwtVerify(answer.access_token, remote, {
    issuer: configuration.issuer,
    audience: world.url,
  });
  t.is(payload.appid, owner.applicationId);
});

test('secrets are taken from the body and from Basic, by both versions, and nothing else is', async (t) => {
  await using world = await accessServer(mariadb);
  const owner = await world.withRole('Owner');
  const second = `${world.url}/${tenantId}/oauth2/v2.0/token`;
  const first = `${world.url}/${tenantId}/oauth2/token`;
  const scope = `${world.url}/.default`;
  const grant_type = 'client_credentials';
  const basic = Buffer.from(`${owner.applicationId}:${owner.secret}`).toString('base64');
  const byBasic = await ask(second, world.ca, {
    form: { grant_type, scope },
    headers: { authorization: `Basic ${basic}` },
  });
  t.is(byBasic.status, 200);
  const byFirst = await ask(first, world.ca, {
    form: {
      grant_type,
      resource: 'https://management.azure.com/',
      client_id: owner.applicationId,
      client_secret: owner.secret,
    },
  });
  t.is(byFirst.status, 200);
  t.is(byFirst.body.resource, 'https://management.azure.com/');
  t.is(byFirst.body.expires_in, '3600');
  for (const token of [byBasic.body.access_token, byFirst.body.access_token]) {
    const answer = await ask(`${world.url}/subscriptions?api-version=2022-12-01`, world.ca, {
      headers: { authorization: `Bearer ${token}` },
    });
    t.is(answer.status, 200);
  }
  const good = { grant_type, scope, client_id: owner.applicationId, client_secret: owner.secret };
  const { client_secret: _, ...noSecret } = good;
  const { client_id: __, ...noClient } = good;
  const refused: [Record<string, string>, number, string][] = [
    [{ ...good, client_secret: 'wrong' }, 401, 'invalid_client'],
    [{ ...good, client_id: '0a1b2c3d-0000-4000-8000-0000000000ff' }, 401, 'invalid_client'],
    [{ ...good, grant_type: 'password' }, 400, 'unsupported_grant_type'],
    [{ ...good, scope: 'https://elsewhere.test/.default' }, 400, 'invalid_scope'],
    [{ ...good, scope: '' }, 400, 'invalid_scope'],
    [noSecret, 401, 'invalid_client'],
    [noClient, 400, 'invalid_request'],
  ];
  for (const [form, status, error] of refused) {
    const answer = await ask(second, world.ca, { form });
    t.is(answer.status, status, JSON.stringify(answer.body));
    t.is(answer.body.error, error);
    t.is(typeof answer.body.error_description, 'string');
    t.false(JSON.stringify(answer.body).includes(owner.secret));
  }
  t.is((await ask(second, world.ca)).status, 405);
  t.is((await ask(second, world.ca, { json: {} })).status, 400);
  t.is((await ask(second, world.ca, { form: { x: 'y'.repeat(40_000) } })).status, 413);
});

test('whoever guesses secrets is slowed down, and only they are', async (t) => {
  await using world = await accessServer(mariadb);
  const owner = await world.withRole('Owner');
  const other = await world.withRole('Owner');
  const sign = (client_id: string, client_secret: string) =>
    ask(`${world.url}/${tenantId}/oauth2/v2.0/token`, world.ca, {
      form: { grant_type: 'client_credentials', scope: `${world.url}/.default`, client_id, client_secret },
    });
  for (let guess = 0; guess < 10; guess++)
    t.is((await sign(owner.applicationId, `guess ${guess}`)).status, 401);
  const slowed = await sign(owner.applicationId, owner.secret);
  t.is(slowed.status, 429);
  t.true(Number(slowed.headers['retry-after']) >= 1);
  t.is((await sign(other.applicationId, other.secret)).status, 200);
  world.clock.ahead += 61_000;
  t.is((await sign(owner.applicationId, owner.secret)).status, 200);
});

test('metadata has each of its three shapes, and needs no token', async (t) => {
  await using world = await accessServer(mariadb);
  const at = (version: string) => ask(`${world.url}/metadata/endpoints?api-version=${version}`, world.ca);
  const newest = (await at('2022-09-01')).body;
  t.is(newest.resourceManager, world.url);
  t.deepEqual(newest.authentication, {
    loginEndpoint: world.url,
    audiences: [world.url],
    tenant: 'common',
    identityProvider: 'AAD',
  });
  t.is(newest.microsoftGraphResourceId, `${world.url}/graph`);
  const list = (await at('2019-05-01')).body;
  t.true(Array.isArray(list));
  t.deepEqual(list[0], newest);
  const oldest = (await at('2015-01-01')).body;
  t.is(oldest.authentication.loginEndpoint, world.url);
  t.is(oldest.graphEndpoint, `${world.url}/graph`);
});

test('a call without a token is told where to sign in', async (t) => {
  await using world = await accessServer(mariadb);
  const none = await ask(`${world.url}${vaultPath}?api-version=2024-04-01`, world.ca);
  t.is(none.status, 401);
  t.is(none.body.error.code, 'AuthenticationFailed');
  t.is(
    none.headers['www-authenticate'],
    `Bearer authorization_uri="${world.url}/${tenantId}", error="invalid_token", error_description="AuthenticationFailed"`,
  );
});

test('tenants, subscriptions, locations and providers are there for whoever has a token', async (t) => {
  await using world = await accessServer(mariadb);
  const nobody = await world.servicePrincipals.create('without a role');
  const get = world.as(await world.tokenOf(nobody));
  const { body: subscriptions } = await get('/subscriptions');
  t.like(subscriptions.value[0], { subscriptionId, tenantId, state: 'Enabled' });
  t.is((await get(`/subscriptions/${subscriptionId}`)).body.tenantId, tenantId);
  t.is((await get('/tenants')).body.value[0].tenantId, tenantId);
  t.is((await get(`/subscriptions/${subscriptionId}/locations`)).body.value[0].name, 'local');
  const { body: provider } = await get(
    `/subscriptions/${subscriptionId}/providers/microsoft.recoveryservices`,
  );
  t.is(provider.registrationState, 'Registered');
  t.true(
    provider.resourceTypes.some(
      (one: { resourceType: string }) => one.resourceType === 'vaults/replicationFabrics',
    ),
  );
  t.is((await get(`/subscriptions/${subscriptionId}/providers/Microsoft.Compute`)).status, 404);
  t.is((await get('/subscriptions/0a1b2c3d-0000-4000-8000-0000000000ff')).status, 404);
  t.is((await get(vaultPath)).status, 403);
});

test('roles are assigned, found, inherited and taken away again', async (t) => {
  await using world = await accessServer(mariadb);
  const owner = world.as(await world.tokenOf(await world.withRole('Owner')));
  await owner(vaultPath, 'PUT', { location: 'here', sku: { name: 'Standard' }, properties: {} });
  const made = await world.servicePrincipals.create('an operator');
  const operator = world.as(await world.tokenOf(made));
  t.is((await operator(vaultPath)).status, 403);
  const { body: definitions } = await owner(
    `/subscriptions/${subscriptionId}/providers/Microsoft.Authorization/roleDefinitions?$filter=roleName eq 'site recovery operator'`,
  );
  t.is(definitions.value.length, 1);
  const assignment = `${vaultPath}/providers/Microsoft.Authorization/roleAssignments/0a1b2c3d-0000-4000-8000-000000000001`;
  const properties = { roleDefinitionId: definitions.value[0].id, principalId: made.objectId };
  t.is((await operator(assignment, 'PUT', { properties })).status, 403, 'nobody gives himself a role');
  const created = await owner(assignment, 'PUT', { properties });
  t.is(created.status, 201, JSON.stringify(created.body));
  t.like(created.body.properties, {
    ...properties,
    principalType: 'ServicePrincipal',
    scope: vaultPath.replace('v1', 'v1'),
  });
  t.is((await owner(assignment, 'PUT', { properties })).status, 200, 'twice is once');
  t.is((await owner(assignment.replace(/1$/, '2'), 'PUT', { properties })).status, 409);
  t.is((await operator(vaultPath)).status, 200);
  t.is((await operator(vaultPath, 'DELETE')).status, 403);
  const shown = await owner(
    `/subscriptions/${subscriptionId}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId eq '${made.objectId}'`,
  );
  t.deepEqual(
    shown.body.value.map((one: { name: string }) => one.name),
    ['0a1b2c3d-0000-4000-8000-000000000001'],
  );
  const inherited = await owner(
    `${vaultPath}/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()`,
  );
  t.is(inherited.body.value.length, 2, 'that of the owner is inherited');
  t.is((await owner(assignment, 'DELETE')).status, 200);
  t.is((await owner(assignment, 'DELETE')).status, 204);
  t.is((await operator(vaultPath)).status, 403);
});

test('the last owner can neither be removed, nor disabled, nor lose the role', async (t) => {
  await using world = await accessServer(mariadb);
  const made = await world.withRole('Owner');
  const owner = world.as(await world.tokenOf(made));
  const principal = `/graph/v1.0/servicePrincipals/${made.objectId}`;
  const [assignment] = await world.assignments.ofPrincipal(made.objectId);
  const path = `/subscriptions/${subscriptionId}/providers/Microsoft.Authorization/roleAssignments/${assignment!.assignmentId}`;
  for (const answer of [
    await owner(principal, 'DELETE'),
    await owner(principal, 'PATCH', { accountEnabled: false }),
    await owner(path, 'DELETE'),
  ]) {
    t.is(answer.status, 409);
    t.is(answer.body.error.code, 'PrincipalIsLastOwner');
  }
  await world.withRole('Owner');
  t.is((await owner(path, 'DELETE')).status, 200);
});

test('service principals are made, rotated and removed by an owner, and by nobody else', async (t) => {
  await using world = await accessServer(mariadb);
  const owner = world.as(await world.tokenOf(await world.withRole('Owner'), `${world.url}/graph`));
  const contributor = world.as(await world.tokenOf(await world.withRole('Site Recovery Contributor')));
  const all = '/graph/v1.0/servicePrincipals';
  t.is((await contributor(all, 'POST', { displayName: 'mine' })).status, 403);
  const made = await owner(all, 'POST', { displayName: 'backup script' });
  t.is(made.status, 201);
  const { id, appId, passwordCredentials } = made.body;
  t.truthy(await world.servicePrincipals.check(appId, passwordCredentials[0].secretText));
  const shown = await contributor(`${all}/${id}`);
  t.is(shown.body.displayName, 'backup script');
  t.is(shown.body.passwordCredentials[0].secretText, null, 'a secret is shown once');
  const second = await owner(`${all}/${id}/addPassword`, 'POST', {
    passwordCredential: { displayName: 'new' },
  });
  t.truthy(await world.servicePrincipals.check(appId, second.body.secretText));
  t.is((await owner(`${all}/${id}/addPassword`, 'POST', {})).status, 409);
  const remove = await owner(`${all}/${id}/removePassword`, 'POST', { keyId: passwordCredentials[0].keyId });
  t.is(remove.status, 204);
  t.is(await world.servicePrincipals.check(appId, passwordCredentials[0].secretText), undefined);
  const found = await owner(`${all}?$filter=servicePrincipalNames/any(c:c eq '${appId}')`);
  t.is(found.body.value[0].id, id);
  t.is((await owner(all)).body.value.length, 3);
  t.is((await owner('/graph/v1.0/directoryObjects/getByIds', 'POST', { ids: [id] })).body.value.length, 1);
  t.is((await owner(`${all}/${id}`, 'DELETE')).status, 204);
  t.is((await owner(`${all}/${id}`)).status, 404);
  const log = JSON.stringify(await world.entries.list({ limit: 100 }));
  t.true(log.includes('Leeward.Directory/servicePrincipals/addPassword'));
  t.false(log.includes(second.body.secretText), 'no secret in the audit trail');
});

test('every write is in the activity log with who, what, from where and its result; reads are not', async (t) => {
  await using world = await accessServer(mariadb);
  const made = await world.withRole('Owner');
  const owner = world.as(await world.tokenOf(made));
  const reader = world.as(await world.tokenOf(await world.withRole('Site Recovery Reader')));
  await owner(
    vaultPath,
    'PUT',
    { location: 'here', sku: { name: 'Standard' }, properties: {} },
    {
      'x-ms-correlation-request-id': 'from-the-test',
    },
  );
  await owner(vaultPath);
  t.is((await reader(vaultPath, 'DELETE')).status, 403);
  t.is((await owner(vaultPath, 'PUT', { location: 7 })).status, 400);
  const log = `/subscriptions/${subscriptionId}/providers/Microsoft.Insights/eventtypes/management/values`;
  const since = new Date(world.clock.now() - 60_000).toISOString();
  const { body } = await owner(
    `${log}?$filter=eventTimestamp ge '${since}' and eventChannels eq 'Admin, Operation'`,
  );
  t.deepEqual(
    body.value.map((one: { operationName: { value: string }; status: { value: string } }) => [
      one.operationName.value,
      one.status.value,
    ]),
    [
      ['Microsoft.RecoveryServices/vaults/write', 'Failed'],
      ['Microsoft.RecoveryServices/vaults/delete', 'Failed'],
      ['Microsoft.RecoveryServices/vaults/write', 'Succeeded'],
    ],
  );
  const one = await owner(`${log}?$filter=correlationId eq 'from-the-test'`);
  t.is(one.body.value.length, 1);
  t.like(one.body.value[0], {
    caller: made.applicationId,
    resourceId: vaultPath,
    correlationId: 'from-the-test',
  });
  t.is(one.body.value[0].httpRequest.clientIpAddress, '127.0.0.1');
  const paged: unknown[] = [];
  for (let next: string | undefined = `${log}?$top=2`; next !== undefined; ) {
    const page = await owner(next);
    paged.push(...page.body.value);
    next = page.body.nextLink?.slice(world.url.length);
  }
  t.is(paged.length, 3);
  t.is((await owner(`${log}?$filter=resourceGroupName eq 'other'`)).body.value.length, 0);
  t.is((await owner(`${log}?$filter=resourceGroupName eq 'g'`)).body.value.length, 3);
  t.is((await owner(`${log}?$filter=shoeSize eq '44'`)).status, 400);
  t.is((await reader(log)).status, 403);
});

test('who has a role at one vault sees that one in the lists, and no other', async (t) => {
  await using world = await accessServer(mariadb);
  const owner = world.as(await world.tokenOf(await world.withRole('Owner')));
  const other = vaultPath.replace('/g/', '/h/').replace('v1', 'v2');
  for (const path of [vaultPath, other])
    await owner(path, 'PUT', { location: 'here', sku: { name: 'Standard' } });
  const reader = world.as(await world.tokenOf(await world.withRole('Site Recovery Reader', vaultPath)));
  const names = async (path: string) =>
    (await reader(path)).body.value?.map((one: { name: string }) => one.name);
  const root = `/subscriptions/${subscriptionId}`;
  t.deepEqual(await names(`${root}/providers/Microsoft.RecoveryServices/vaults`), ['v1']);
  t.deepEqual(await names(`${root}/resourceGroups`), ['g']);
  t.deepEqual(await names(`${root}/resources`), ['v1']);
  t.is((await reader(other)).status, 403);
  t.is((await reader(`${root}/resourceGroups/h/providers/Microsoft.RecoveryServices/vaults`)).status, 403);
});
