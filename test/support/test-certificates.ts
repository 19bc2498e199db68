/** Certificates for tests of TLS: an authority of their own, made by openssl, gone afterwards. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/platform/exec.ts';

export interface TestCertificates {
  of(commonName: string): { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
  /** Paths of the same, for settings files. */
  filesOf(commonName: string): { caFile: string; certificateFile: string; keyFile: string };
  remove(): Promise<void>;
}

export async function testCertificates(commonNames: readonly string[]): Promise<TestCertificates> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-certificates-'));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => run('openssl', args, { timeoutMilliseconds: 20_000 });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
  );
  const found = new Map<string, { ca: Buffer; cert: Buffer; key: Buffer }>();
  const files = new Map<string, { caFile: string; certificateFile: string; keyFile: string }>();
  const ca = await readFile(at('ca.pem'));
  for (const [index, name] of commonNames.entries()) {
    const key = at(`${index}.key`);
    const request = at(`${index}.csr`);
    const certificate = at(`${index}.pem`);
    // A slash inside a name must be escaped, or openssl takes it for the next field.
    const subject = `/CN=${name.replaceAll('/', '\\/')}`;
    await openssl('req', '-new', ...newKey, '-keyout', key, '-out', request, '-subj', subject);
    await openssl(
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      at('ca.pem'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
      '-days',
      '2',
      '-out',
      certificate,
    );
    found.set(name, { ca, cert: await readFile(certificate), key: await readFile(key) });
    files.set(name, { caFile: at('ca.pem'), certificateFile: certificate, keyFile: key });
  }
  return {
    of: (name) => found.get(name)!,
    filesOf: (name) => files.get(name)!,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
