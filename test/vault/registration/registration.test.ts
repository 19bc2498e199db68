/**
 * Goal: a key registers one configuration server, once; every key that is not good is refused with its own reason, and says
 * what to do. Real TLS, real MariaDB.
 */
import { createPrivateKey } from 'node:crypto';
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import { makeRequest } from '../../../src/platform/certificate-request.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { LeewardError } from '../../../src/platform/errors.ts';
import { JsonClient } from '../../../src/platform/https-json.ts';
import { issueAuthority } from '../../../src/platform/tls.ts';
import { RegisterAnswer, siteLinkPaths } from '../../../src/protocol/control/site-link.ts';
import {
  readToken,
  readVaultCredentials,
  signClaims,
  writeVaultCredentials,
} from '../../../src/protocol/control/vault-credentials.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';
import {
  registerBody,
  type SiteLinkVault,
  startSiteLinkVault,
  vaultId,
} from '../../support/site-link-vault.ts';

const test = (await hasMariadb()) ? anyTest.serial : anyTest.skip;
const golden = join(import.meta.dirname, '../../golden/vault-credentials/v1');
const dayMilliseconds = 86_400_000;
let mariadb: PrivateMariadb;
let vault: SiteLinkVault;
let names = 0;

anyTest.before(async () => {
  if (!(await hasMariadb())) return;
  mariadb = await startPrivateMariadb();
  vault = await startSiteLinkVault((await mariadb.database()).database);
});
anyTest.after.always(async () => {
  await vault?.[Symbol.asyncDispose]();
  await mariadb?.dispose();
});

const key = async (): Promise<string> => readVaultCredentials(await vault.issueKey(`site-${++names}`)).token;
const newRequest = async () => makeRequest(await mkdtemp(join(vault.folder, 'request-')));

async function register(token: string, requestPem: string, now = systemClock.now()) {
  using client = new JsonClient({
    url: vault.url,
    ca: await readFile(vault.authority.caFile, 'utf8'),
    clock: systemClock,
    answerBytesMax: 1 << 20,
  });
  return await client.call({
    method: 'POST',
    path: siteLinkPaths.register,
    body: registerBody(token, requestPem, now),
    answer: RegisterAnswer,
    timeoutMilliseconds: 60_000,
  });
}

async function refused(token: string, requestPem: string, now?: number): Promise<LeewardError> {
  try {
    await register(token, requestPem, now);
  } catch (error) {
    if (error instanceof LeewardError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

test('a key registers one site; the same public key may ask again, another may not', async (t) => {
  const token = await key();
  const requestPem = await newRequest();
  const first = await register(token, requestPem);
  const again = await register(token, requestPem);
  t.is(again.siteId, first.siteId, 'the answer may have been lost: asking again is no second site');
  t.is(again.fabricName, first.fabricName);
  const error = await refused(token, await newRequest());
  t.is(error.code, 'RegistrationKeyUsed');
  t.regex(error.summary, /used at \d{4}-/);
  t.true(error.recommendedAction.length > 20);
});

test('of two configuration servers with one key at the same moment one registers', async (t) => {
  const token = await key();
  const results = await Promise.allSettled([
    register(token, await newRequest()),
    register(token, await newRequest()),
    register(token, await newRequest()),
  ]);
  t.is(results.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const result of results)
    if (result.status === 'rejected') t.is((result.reason as LeewardError).code, 'RegistrationKeyUsed');
});

test('an expired key is refused with the moment it ended', async (t) => {
  const token = await key();
  vault.offsetMilliseconds = 5 * dayMilliseconds + 1000;
  try {
    const error = await refused(token, await newRequest(), systemClock.now() + vault.offsetMilliseconds);
    t.is(error.code, 'RegistrationKeyExpired');
    t.regex(error.summary, /good until \d{4}-.*clock here says \d{4}-/);
  } finally {
    vault.offsetMilliseconds = 0;
  }
});

test('a key is good until its fifth day ends', async (t) => {
  const token = await key();
  vault.offsetMilliseconds = 5 * dayMilliseconds - 60_000;
  try {
    await t.notThrowsAsync(register(token, await newRequest(), systemClock.now() + vault.offsetMilliseconds));
  } finally {
    vault.offsetMilliseconds = 0;
  }
});

test('only the newest key of a vault is good, and one that was used stays known as used', async (t) => {
  const used = await key();
  await register(used, await newRequest());
  const older = await key();
  const newest = await key();
  t.is((await refused(older, await newRequest())).code, 'RegistrationKeySuperseded');
  t.is((await refused(used, await newRequest())).code, 'RegistrationKeyUsed');
  await t.notThrowsAsync(register(newest, await newRequest()));
});

test('a revoked key is refused, and a key that is not of this vault cannot be revoked here', async (t) => {
  const token = await key();
  const { keyId } = readToken(token);
  t.false(await vault.registration.revokeKey(`${vaultId}x`, keyId));
  t.true(await vault.registration.revokeKey(vaultId, keyId));
  t.true(await vault.registration.revokeKey(vaultId, keyId), 'again is no error');
  t.is((await refused(token, await newRequest())).code, 'RegistrationKeyRevoked');
  t.is((await vault.registration.listKeys(vaultId)).find((each) => each.keyId === keyId)?.usedAt, undefined);
});

test('a token that was altered in any of its claims is refused as tampered', async (t) => {
  const token = await key();
  const requestPem = await newRequest();
  const claims = readToken(token);
  for (const altered of [
    { ...claims, expiresAt: new Date(systemClock.now() + 400 * dayMilliseconds).toISOString() },
    { ...claims, fabricName: 'another' },
    { ...claims, vaultId: `${vaultId}2` },
    { ...claims, secret: 'A'.repeat(43) },
  ]) {
    const payload = Buffer.from(JSON.stringify(altered)).toString('base64url');
    const error = await refused(`${payload}.${token.split('.')[1]}`, requestPem);
    t.is(error.code, 'RegistrationKeyTampered');
  }
  const foreign = await issueAuthority(join(vault.folder, 'another-authority'));
  const forged = signClaims(claims, createPrivateKey(await readFile(foreign.caKeyFile)));
  t.is((await refused(forged, requestPem)).code, 'RegistrationKeyTampered');
  t.is((await refused(`${token}x`, requestPem)).code, 'RegistrationKeyTampered');
  t.is((await refused('no token', requestPem)).code, 'RegistrationKeyTampered');
  await t.notThrowsAsync(register(token, requestPem), 'none of it used the key up');
});

test('a key that the vault signed and does not know is refused as unknown', async (t) => {
  const claims = { ...readToken(await key()), keyId: '00000000-0000-4000-8000-00000000dead' };
  const signed = signClaims(claims, createPrivateKey(await readFile(vault.authority.caKeyFile)));
  t.is((await refused(signed, await newRequest())).code, 'RegistrationKeyUnknown');
});

test('clocks more than five minutes apart are refused with what both say, and the key stays good', async (t) => {
  const token = await key();
  const requestPem = await newRequest();
  for (const minutes of [-6, 6]) {
    const siteNow = systemClock.now() + minutes * 60_000;
    const error = await refused(token, requestPem, siteNow);
    t.is(error.code, 'SiteClockOff');
    t.true(error.summary.includes(new Date(siteNow).toISOString()));
    t.regex(error.summary, /that of the vault \d{4}-/);
  }
  await t.notThrowsAsync(register(token, requestPem, systemClock.now() + 4 * 60_000));
});

test('a name that is taken and a vault that is gone are refused, and the key stays good', async (t) => {
  using site = await vault.registered('taken');
  const { token } = readVaultCredentials(await vault.issueKey('Taken'));
  const error = await refused(token, await newRequest());
  t.is(error.code, 'SiteNameTaken');
  vault.isVaultThere = false;
  t.is((await refused(token, await newRequest())).code, 'VaultIsGone');
  vault.isVaultThere = true;
  t.truthy(site.siteId);
});

test('what is no certificate request is refused and does not use the key up', async (t) => {
  const token = await key();
  const error = await refused(
    token,
    '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n',
  );
  t.is(error.code, 'CertificateRequestInvalid');
  await t.notThrowsAsync(register(token, await newRequest()));
});

test('the vault keeps no secret, only its digest', async (t) => {
  const token = await key();
  const { secret } = readToken(token);
  const rows = JSON.stringify(await vault.database.rows('SELECT * FROM registration_keys'));
  t.false(rows.includes(secret));
});

test('a file whose elements contradict its token, or that is cut off, is refused before anybody is asked', async (t) => {
  const file = await vault.issueKey('file');
  t.is(readVaultCredentials(file).claims.fabricName, 'file');
  const cases = [
    file.replace('<ResourceName>first<', '<ResourceName>other<'),
    file.replace(/<SiteName>.*</, '<SiteName>elsewhere<'),
    file.slice(0, file.length / 2),
    file.replace(/<ManagementCert>..../, '<ManagementCert>AAAA'),
    file.replace('<Version>2.0</Version>', ''),
    file.replace('</VaultDetails>', '<ResourceName>first</ResourceName></VaultDetails>'),
    `<!DOCTYPE x [<!ENTITY y "z">]>${file}`,
    'a letter to grandmother',
    '',
  ];
  for (const [index, altered] of cases.entries())
    t.throws(() => readVaultCredentials(altered), { message: /RegistrationKeyTampered/ }, `case ${index}`);
});

test('a file of version 1 is read for ever, and written so', async (t) => {
  const path = join(golden, 'first.VaultCredentials');
  const text = await readFile(path, 'utf8');
  const { token, claims } = readVaultCredentials(text);
  const expected: unknown = JSON.parse(await readFile(join(golden, 'first.json'), 'utf8'));
  t.deepEqual(claims, expected as typeof claims);
  t.is(writeVaultCredentials(token, claims), text);
});
