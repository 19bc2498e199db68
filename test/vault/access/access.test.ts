import anyTest, { type ExecutionContext } from 'ava';
import { decodeJwt, SignJWT } from 'jose';
import type { Clock } from '../../../src/platform/clock.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import type { LeewardError } from '../../../src/platform/errors.ts';
import { operations } from '../../../src/protocol/arm/description.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import { type AccessWorld, accessWorld, subscriptionId, tenantId } from '../../support/access-world.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
anyTest.before(async () => {
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(() => mariadb?.dispose());

/** A clock that a test moves. */
function movable(): Clock & { at: number } {
  const clock = {
    at: Date.parse('2026-03-01T12:00:00Z'),
    now: () => clock.at,
    monotonic: () => clock.at,
    sleep: systemClock.sleep,
  };
  return clock;
}

async function world(clock?: Clock): Promise<AccessWorld> {
  const { database } = await mariadb.database();
  await migrate(database);
  return accessWorld(database, clock === undefined ? {} : { clock });
}

async function refusal(t: ExecutionContext, work: Promise<unknown>): Promise<LeewardError> {
  return (await t.throwsAsync(work)) as LeewardError;
}
const bearer = (token: string) => `Bearer ${token}`;
const operation = (id: string) => operations.find((one) => one.id === id)!;

test('a token of a service principal is accepted, and says who it is', async (t) => {
  const { access, withRole, tokenOf } = await world();
  const made = await withRole('Site Recovery Operator');
  const token = await tokenOf(made);
  const claims = decodeJwt(token);
  t.is(claims.tid, tenantId);
  t.is(claims.oid, made.objectId);
  t.is(claims.appid, made.applicationId);
  t.is(claims.aud, 'https://vault.test');
  t.is(claims.iss, `https://vault.test/${tenantId}/v2.0`);
  t.is(claims.exp! - claims.iat!, 3600);
  t.is(claims.nbf, claims.iat);
  const principal = await access.authenticate(bearer(token));
  t.is(principal.objectId, made.objectId);
  t.is(principal.applicationId, made.applicationId);
  t.deepEqual(principal.roles, [
    { role: 'Site Recovery Operator', scope: `/subscriptions/${subscriptionId}` },
  ]);
});

test('a call without a token, or with something else, is refused in the words of the reference', async (t) => {
  const { access } = await world();
  t.is((await refusal(t, access.authenticate(undefined))).code, 'AuthenticationFailed');
  for (const header of ['', 'Basic YTpi', 'Bearer', 'Bearer a.b', `Bearer ${'a'.repeat(20_000)}.b.c`])
    t.is((await refusal(t, access.authenticate(header))).code, 'AuthenticationFailedInvalidHeader', header);
  t.is((await refusal(t, access.authenticate('Bearer a.b.c'))).code, 'InvalidAuthenticationToken');
});

test('a token that was altered, signed by another key or not signed at all is refused', async (t) => {
  const { access, withRole, tokenOf } = await world();
  const made = await withRole('Owner');
  const token = await tokenOf(made);
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const forged = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 10_000 })).toString('base64url');
  const unsigned = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
  const byUs = JSON.parse(Buffer.from(header, 'base64url').toString());
  // Our public key as the secret of an HMAC: the oldest trick with tokens.
  const hmac = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', kid: byUs.kid })
    .sign(Buffer.from('public key, which everybody knows'));
  const other = await accessWorld((await fresh()).database);
  const foreign = await other.tokenOf(await other.withRole('Owner'));
  for (const bad of [
    `${header}.${forged}.${signature}`,
    `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
    `${unsigned}.${payload}.x`,
    hmac,
    foreign,
  ])
    t.is((await refusal(t, access.authenticate(bearer(bad)))).code, 'InvalidAuthenticationToken');
});

test('a token is refused before its time, after its time, and for another audience', async (t) => {
  const clock = movable();
  const { access, withRole, tokenOf } = await world(clock);
  const made = await withRole('Owner');
  const token = await tokenOf(made);
  await t.notThrowsAsync(access.authenticate(bearer(token)));
  clock.at += 3600_000 + 59_000;
  await t.notThrowsAsync(access.authenticate(bearer(token)), 'the clocks may differ by a minute');
  clock.at += 2_000;
  t.is((await refusal(t, access.authenticate(bearer(token)))).code, 'ExpiredAuthenticationToken');
  clock.at -= 2 * 3600_000;
  const early = await refusal(t, access.authenticate(bearer(token)));
  t.is(early.code, 'InvalidAuthenticationToken');
  t.regex(early.summary, /not valid yet/);
  const graph = await tokenOf(made, access.graphAudience);
  const wrong = await refusal(t, access.authenticate(bearer(graph)));
  t.is(wrong.code, 'InvalidAuthenticationTokenAudience');
  await t.notThrowsAsync(access.authenticate(bearer(await tokenOf(made, 'https://management.azure.com'))));
});

test('disabling or removing a principal, or taking its role, holds from the next call on', async (t) => {
  const { access, withRole, tokenOf, principals, assignments } = await world();
  const made = await withRole('Site Recovery Reader');
  const token = bearer(await tokenOf(made));
  const get = operation('vaults.get');
  const scope = `/subscriptions/${subscriptionId}/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v`;
  await access.authorize(await access.authenticate(token), get, scope);
  const [assignment] = await assignments.ofPrincipal(made.objectId);
  await assignments.remove(assignment!.assignmentId);
  const refused = await refusal(t, access.authorize(await access.authenticate(token), get, scope));
  t.is(refused.code, 'AuthorizationFailed');
  t.true(refused.summary.includes('Microsoft.RecoveryServices/vaults/read'), refused.summary);
  await principals.setEnabled(made.objectId, false);
  t.is((await refusal(t, access.authenticate(token))).code, 'InvalidAuthenticationToken');
  await principals.setEnabled(made.objectId, true);
  await t.notThrowsAsync(access.authenticate(token));
  await principals.remove(made.objectId);
  t.is((await refusal(t, access.authenticate(token))).code, 'InvalidAuthenticationToken');
});

test('two secrets are valid at once, a third is refused, an expired one makes room', async (t) => {
  const clock = movable();
  const { servicePrincipals, principals } = await world(clock);
  const made = await servicePrincipals.create('rotating', { days: 10 });
  const second = await servicePrincipals.addSecret(made.objectId, 'second', 20);
  for (const { secret } of [made, second])
    t.is((await servicePrincipals.check(made.applicationId, secret))?.objectId, made.objectId);
  t.is((await refusal(t, servicePrincipals.addSecret(made.objectId, 'third'))).code, 'SecretsAlreadyExists');
  t.is(await servicePrincipals.check(made.applicationId, 'wrong'), undefined);
  t.is(await servicePrincipals.check('0a1b2c3d-0000-4000-8000-0000000000ff', made.secret), undefined);
  clock.at += 11 * 86_400_000;
  t.is(await servicePrincipals.check(made.applicationId, made.secret), undefined, 'expired');
  t.truthy(await servicePrincipals.check(made.applicationId, second.secret));
  const third = await servicePrincipals.addSecret(made.objectId, 'third');
  t.truthy(await servicePrincipals.check(made.applicationId, third.secret));
  t.true(await principals.removeSecret(made.objectId, second.secretId));
  t.is(await servicePrincipals.check(made.applicationId, second.secret), undefined);
  const rows = await principals.secrets(made.objectId);
  t.is(rows.length, 1);
  t.false(JSON.stringify(rows).includes(third.secret), 'only a hash is kept');
  t.true(rows[0]!.hash.startsWith('scrypt$'));
});

test('two rotations at once leave two secrets', async (t) => {
  const { servicePrincipals, principals } = await world();
  const made = await servicePrincipals.create('raced');
  const tries = await Promise.allSettled(
    ['a', 'b', 'c', 'd'].map((name) => servicePrincipals.addSecret(made.objectId, name)),
  );
  t.is(tries.filter(({ status }) => status === 'fulfilled').length, 1);
  t.is((await principals.secrets(made.objectId)).length, 2);
});

test('a signing key is published a day before it signs, and its tokens are good until they end', async (t) => {
  const clock = movable();
  const { access, keys, withRole, tokenOf } = await world(clock);
  const made = await withRole('Owner');
  const first = (await keys.signer()).keyId;
  clock.at += 89 * 86_400_000 + 1000;
  await keys.keep();
  t.is((await keys.published()).keys.length, 2);
  t.is((await keys.signer()).keyId, first, 'the new one does not sign yet');
  await keys.keep();
  t.is((await keys.published()).keys.length, 2, 'one new key, however often it is looked at');
  clock.at += 86_400_000 - 1000;
  const old = await tokenOf(made);
  clock.at += 2000;
  t.not((await keys.signer()).keyId, first);
  await t.notThrowsAsync(access.authenticate(bearer(old)));
  await keys.keep();
  t.is((await keys.published()).keys.length, 2, 'the old key stays while its tokens live');
  clock.at += 2 * 3600_000;
  await keys.keep();
  t.deepEqual(
    (await keys.published()).keys.map(({ kid }) => kid),
    [(await keys.signer()).keyId],
  );
  t.is((await refusal(t, access.authenticate(bearer(old)))).code, 'InvalidAuthenticationToken');
  for (const key of (await keys.published()).keys)
    t.is(key.d, undefined, 'the private half is not published');
});

test('another vault process signs with the same key, and learns of a new one at its first token', async (t) => {
  const { database } = await fresh();
  const one = await accessWorld(database);
  const two = await accessWorld(database);
  t.is((await one.keys.signer()).keyId, (await two.keys.signer()).keyId);
  const made = await one.withRole('Owner');
  await t.notThrowsAsync(two.access.authenticate(bearer(await one.tokenOf(made))));
});

async function fresh() {
  const made = await mariadb.database();
  await migrate(made.database);
  return made;
}
