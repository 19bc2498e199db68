/** Goal: a key stays where it was made, and of a request only the public key counts. The judge of what we write is openssl. */
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  certificateEnds,
  certificateFiles,
  keepCertificate,
  makeRequest,
  requestKeySha256,
  signRequest,
} from '../../src/platform/certificate-request.ts';
import { run } from '../../src/platform/exec.ts';
import { type Authority, issueAuthority } from '../../src/platform/tls.ts';

const limit = { timeoutMilliseconds: 60_000 };
let folder: string;
let authority: Authority;
let count = 0;
const place = () => join(folder, `place-${++count}`);

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leeward-request-test-'));
  authority = await issueAuthority(join(folder, 'authority'));
});
test.after.always(() => rm(folder, { recursive: true, force: true }));

const sign = async (requestPem: string, usage: 'client' | 'both' = 'client', hosts: string[] = []) =>
  signRequest({
    authority,
    requestPem,
    commonName: 'machine/one',
    hosts,
    days: 3,
    usage,
  });

test('openssl takes a request for what it is', async (t) => {
  const at = place();
  const request = await makeRequest(at);
  const text = await run(
    'openssl',
    ['req', '-in', join(at, 'request.pem'), '-verify', '-noout', '-text'],
    limit,
  );
  t.regex(text, /Subject: CN ?= ?request/);
  t.regex(text, /NIST CURVE: P-256/);
  t.regex(request, /^-----BEGIN CERTIFICATE REQUEST-----\n/);
  t.is((await stat(join(at, 'key.next.pem'))).mode & 0o777, 0o600);
});

test('asked again before the answer is kept, it is the same request; after that another', async (t) => {
  const at = place();
  const first = await makeRequest(at);
  t.is(await makeRequest(at), first);
  await keepCertificate(at, await sign(first), 'ca');
  t.not(await makeRequest(at), first);
});

test('the authority decides on name, hosts and use, whatever the request says', async (t) => {
  const request = join(folder, 'wish.pem');
  const ext = ['-addext', 'subjectAltName=DNS:vault.example', '-addext', 'basicConstraints=CA:TRUE'];
  await run(
    'openssl',
    [
      'req',
      '-new',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=site\\/root',
      '-keyout',
      join(folder, 'k'),
      '-out',
      request,
      ...ext,
    ],
    limit,
  );
  const certificate = new X509Certificate(
    await sign(await readFile(request, 'utf8'), 'both', ['127.0.0.1', 'ps1']),
  );
  t.is(certificate.subject, 'CN=machine/one');
  t.is(certificate.subjectAltName, 'IP Address:127.0.0.1, DNS:ps1');
  t.false(certificate.ca);
  t.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
});

test('what is kept is a whole: key and certificate belong together, wherever keeping broke off', async (t) => {
  const at = place();
  t.is(await certificateEnds(at), undefined);
  const request = await makeRequest(at);
  const certificate = await sign(request);
  const files = await keepCertificate(at, certificate, 'ca');
  t.deepEqual(files, certificateFiles(at));
  t.true((await certificateEnds(at))! > 0);
  // A renewal that broke off between key and certificate: the key in place is the next one's.
  const next = await makeRequest(at);
  const renewed = await sign(next);
  await writeFile(files.keyFile, await readFile(join(at, 'key.next.pem')));
  t.is(await certificateEnds(at), undefined, 'they do not belong together');
  t.is(await makeRequest(at), next, 'so the same request is made again');
  await keepCertificate(at, renewed, 'ca');
  t.true((await certificateEnds(at))! > 0);
});

test('a request is known by its public key, and one that was altered is refused', async (t) => {
  const request = await makeRequest(place());
  t.is(await requestKeySha256(request), await requestKeySha256(request));
  t.not(await requestKeySha256(await makeRequest(place())), await requestKeySha256(request));
  const bytes = Buffer.from(request.replaceAll(/-----.*-----|\n/g, ''), 'base64');
  bytes[60]! ^= 1;
  const altered = `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  for (const wrong of [altered, 'nothing', '', 'x'.repeat(10_000)]) {
    await t.throwsAsync(requestKeySha256(wrong), { message: /CertificateRequestInvalid/ });
    await t.throwsAsync(sign(wrong), { message: /CertificateRequestInvalid/ });
  }
});
