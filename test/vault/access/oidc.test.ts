/** Tokens of a real issuer that is not the vault: oidc-provider over TLS, with keys that it rotates. */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import anyTest, { type ExecutionContext } from 'ava';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { Provider } from 'oidc-provider';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import type { LeewardError } from '../../../src/platform/errors.ts';
import { foreignObjectId } from '../../../src/vault/access/access.ts';
import { Issuer } from '../../../src/vault/access/issuer.ts';
import { OidcIssuer } from '../../../src/vault/settings.ts';
import { accessServer } from '../../support/access-server.ts';
import { ask, type HttpsIdentity, httpsIdentity, subscriptionId } from '../../support/access-world.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
const audience = 'https://vault.test/api';
let mariadb: PrivateMariadb;
let identity: HttpsIdentity;

anyTest.before(async () => {
  identity = await httpsIdentity();
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(async () => {
  await mariadb?.dispose();
  await identity?.[Symbol.asyncDispose]();
});

interface RealIssuer extends AsyncDisposable {
  readonly url: string;
  /** Client credentials at the issuer itself. */
  token(client: 'operator' | 'stranger', resource?: string): Promise<string>;
  /** With the keys that it has now; claims as given. */
  signed(claims: Record<string, unknown>, key?: SigningKey): Promise<string>;
  /** New keys, as after a rotation. */
  rotate(): Promise<void>;
  /** Requests for its keys so far. */
  readonly keysAsked: () => number;
  silent: boolean;
}
interface SigningKey {
  readonly jwk: JWK;
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];
}

async function newKey(kid: string): Promise<SigningKey> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { jwk: { ...(await exportJWK(privateKey)), kid, use: 'sig', alg: 'ES256' }, privateKey };
}

async function realIssuer(): Promise<RealIssuer> {
  let asked = 0;
  let key = await newKey('first');
  let handler: ReturnType<Provider['callback']>;
  const server: Server = createServer({ cert: identity.cert, key: identity.key }, (incoming, outgoing) => {
    if (issuer.silent) {
      outgoing.writeHead(503).end();
      return;
    }
    if (incoming.url?.startsWith('/jwks')) asked += 1;
    void handler(incoming, outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  const begin = () => {
    const provider = new Provider(url, {
      jwks: { keys: [key.jwk] } as never,
      clients: ['operator', 'stranger'].map((name) => ({
        client_id: name,
        client_secret: `${name}-secret`,
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
        id_token_signed_response_alg: 'ES256',
      })),
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_context: unknown, resource: string) => ({
            scope: 'api',
            audience: resource,
            accessTokenFormat: 'jwt' as const,
            jwt: { sign: { alg: 'ES256' as const } },
          }),
        },
      },
      extraTokenClaims: (_context: unknown, token: { clientId?: string }) => ({
        name: `program ${token.clientId}`,
        groups: token.clientId === 'operator' ? ['everybody', 'dr-operators'] : ['everybody'],
      }),
    } as never);
    handler = provider.callback();
  };
  begin();
  const issuer: RealIssuer = {
    url,
    silent: false,
    keysAsked: () => asked,
    token: async (client, resource = audience) => {
      const { status, body } = await ask(`${url}/token`, identity.ca, {
        form: { grant_type: 'client_credentials', resource, scope: 'api' },
        headers: {
          authorization: `Basic ${Buffer.from(`${client}:${client}-secret`).toString('base64')}`,
        },
      });
      if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
      return body.access_token as string;
    },
    signed: (claims, by = key) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: by.jwk.kid! }).sign(by.privateKey),
    rotate: async () => {
      key = await newKey('second');
      begin();
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return issuer;
}

const settingsFor = (url: string) =>
  OidcIssuer.parse({
    issuer: url,
    audience,
    roles: [{ claim: 'groups', value: 'dr-operators', role: 'Site Recovery Operator' }],
  });

async function code(t: ExecutionContext, work: Promise<unknown>): Promise<string> {
  return ((await t.throwsAsync(work)) as LeewardError).code;
}

test('a token of a trusted issuer signs in with the role that its claims give, and can be shut out', async (t) => {
  await using issuer = await realIssuer();
  await using world = await accessServer(mariadb, {
    issuers: [{ settings: settingsFor(issuer.url), ca: identity.ca }],
  });
  const token = await issuer.token('operator');
  const principal = await world.access.authenticate(`Bearer ${token}`);
  t.is(principal.displayName, 'program operator');
  t.is(principal.objectId, foreignObjectId(issuer.url, 'operator'));
  t.deepEqual(principal.roles, [
    { role: 'Site Recovery Operator', scope: `/subscriptions/${subscriptionId}` },
  ]);
  const call = world.as(token);
  t.is((await call(`/subscriptions/${subscriptionId}/resourceGroups`)).status, 200);
  t.is(
    (await call(`/subscriptions/${subscriptionId}/resourceGroups/g`, 'PUT', { location: 'here' })).status,
    403,
  );
  const [entry] = await world.entries.list({ limit: 1 });
  t.like(entry, { principalName: 'program operator', outcome: 'Refused', code: 'AuthorizationFailed' });
  const row = await world.principals.byObjectId(principal.objectId);
  t.like(row, { kind: 'ForeignPrincipal', issuer: issuer.url, subject: 'operator' });
  await world.principals.setEnabled(principal.objectId, false);
  t.is((await call('/subscriptions')).status, 401);
});

test('somebody of a trusted issuer without a mapped claim has no role, until one is assigned', async (t) => {
  await using issuer = await realIssuer();
  await using world = await accessServer(mariadb, {
    issuers: [{ settings: settingsFor(issuer.url), ca: identity.ca }],
  });
  const call = world.as(await issuer.token('stranger'));
  t.is((await call('/subscriptions')).status, 200);
  t.is((await call(`/subscriptions/${subscriptionId}/resourceGroups/g`)).status, 403);
  const objectId = foreignObjectId(issuer.url, 'stranger');
  t.is(await world.principals.byObjectId(objectId), undefined, 'the world outside gets no rows');
  const refused = await call(`/subscriptions/${subscriptionId}/resourceGroups/g`);
  t.true(refused.body.error.message.includes(objectId), 'the refusal says whom to give a role');
  const owner = world.as(await world.tokenOf(await world.withRole('Owner')));
  const assignment = `/subscriptions/${subscriptionId}/resourceGroups/g/providers/Microsoft.Authorization/roleAssignments/0a1b2c3d-0000-4000-8000-00000000000e`;
  const properties = {
    roleDefinitionId: 'dbaa88c4-0c30-4179-9fb3-46319faa6149',
    principalId: objectId,
  };
  t.is((await owner(assignment, 'PUT', { properties })).status, 404, 'nobody of that name');
  const made = await owner(assignment, 'PUT', { properties: { ...properties, principalType: 'User' } });
  t.is(made.status, 201);
  t.is(made.body.properties.principalType, 'User');
  t.is((await call(`/subscriptions/${subscriptionId}/resourceGroups/g`)).status, 404, 'it may look now');
  t.is((await world.principals.byObjectId(objectId))?.displayName, 'program stranger');
});

test('audience, issuer, time and signature of a foreign token are checked', async (t) => {
  await using issuer = await realIssuer();
  await using world = await accessServer(mariadb, {
    issuers: [{ settings: settingsFor(issuer.url), ca: identity.ca }],
  });
  const authenticate = (token: string) => world.access.authenticate(`Bearer ${token}`);
  const now = Math.floor(world.clock.now() / 1000);
  const good = { iss: issuer.url, aud: audience, sub: 'operator', exp: now + 600, iat: now };
  t.is((await authenticate(await issuer.signed(good))).displayName, 'operator');
  t.is(
    await code(t, authenticate(await issuer.token('operator', 'https://elsewhere.test/'))),
    'InvalidAuthenticationTokenAudience',
  );
  const refused: [Record<string, unknown>, string][] = [
    [{ ...good, iss: 'https://nobody.test' }, 'InvalidAuthenticationToken'],
    [{ ...good, exp: now - 120 }, 'ExpiredAuthenticationToken'],
    [{ ...good, nbf: now + 120 }, 'InvalidAuthenticationToken'],
    [{ iss: issuer.url, aud: audience, sub: 'operator', iat: now }, 'InvalidAuthenticationToken'],
    [{ iss: issuer.url, aud: audience, exp: now + 600 }, 'InvalidAuthenticationToken'],
  ];
  for (const [claims, wanted] of refused)
    t.is(await code(t, authenticate(await issuer.signed(claims))), wanted, JSON.stringify(claims));
  const impostor = await newKey('first');
  t.is(await code(t, authenticate(await issuer.signed(good, impostor))), 'InvalidAuthenticationToken');
});

test('keys are kept, fetched anew for one that is not known, and not for every token that claims one', async (t) => {
  await using issuer = await realIssuer();
  const clock = movable();
  const verifier = new Issuer(settingsFor(issuer.url), identity.ca, clock);
  const now = Math.floor(clock.now() / 1000);
  const claims = { iss: issuer.url, aud: audience, sub: 's', exp: now + 100_000, iat: now };
  const old = await issuer.signed(claims);
  for (let time = 0; time < 5; time++) await verifier.verify(old);
  t.is(issuer.keysAsked(), 1);
  await issuer.rotate();
  clock.ahead += 31_000;
  const unknown = await newKey('made-up');
  const recent = await issuer.signed(claims);
  await verifier.verify(recent);
  t.is(issuer.keysAsked(), 2);
  for (let time = 0; time < 5; time++)
    await t.throwsAsync(verifier.verify(await issuer.signed(claims, unknown)));
  t.is(issuer.keysAsked(), 2, 'not again within half a minute');
  clock.ahead += 2 * 3_600_000;
  issuer.silent = true;
  await verifier.verify(recent);
  t.pass('an issuer that does not answer does not lock out those whose key is known');
  clock.ahead += 24 * 3_600_000;
  t.is(await code(t, verifier.verify(recent)), 'IssuerUnreachable');
  t.is(await code(t, verifier.verify(recent)), 'IssuerUnreachable', 'a day is the end of it');
  issuer.silent = false;
  clock.ahead += 31_000;
  await verifier.verify(recent);
  t.is(issuer.keysAsked(), 3);
});

test('an issuer whose certificate is not trusted, or that says it is another, gives no keys', async (t) => {
  await using issuer = await realIssuer();
  await using stranger = await httpsIdentity();
  const claims = { iss: issuer.url, aud: audience, sub: 's', exp: 4e9 };
  const token = await issuer.signed(claims);
  const untrusted = new Issuer(settingsFor(issuer.url), stranger.ca, systemClock);
  t.is(await code(t, untrusted.verify(token)), 'IssuerUnreachable');
  const renamed = new Issuer(settingsFor(`${issuer.url}/`), identity.ca, systemClock);
  t.is(await code(t, renamed.verify(token)), 'IssuerUnreachable');
});

function movable(): Clock & { ahead: number } {
  const clock = {
    ahead: 0,
    now: () => systemClock.now() + clock.ahead,
    monotonic: () => systemClock.monotonic() + clock.ahead,
    sleep: systemClock.sleep,
  };
  return clock;
}
