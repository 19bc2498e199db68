/**
 * Who is who on the wire: a small authority of our own, the certificates it issues, and the TLS options that both ends
 * of every link use. Every process has one certificate; both sides of every connection show theirs and check the
 * other's, so that knowing an address is never enough.
 *
 * Certificates are made by the `openssl` command, which is on every Debian: Node can verify X.509 but not write it.
 * A private key is written by openssl itself into a file that only its owner may read. It is never in an argument list,
 * an environment, a log or this process's memory while it is made; only its path goes round.
 */
import { constants } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { SecureContextOptions, SecureVersion } from 'node:tls';
import { hasCode, LeewardError } from './errors.ts';
import { run } from './exec.ts';
import { type Random, systemRandom } from './random.ts';

/** Paths of PEM files. */
export interface TlsFilePaths {
  readonly caFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface Authority {
  readonly caFile: string;
  /** Stays on the machine that issues. */
  readonly caKeyFile: string;
}

export interface CertificateRequest {
  /** Gets `ca.pem`, `certificate.pem` and `key.pem`: all that the process needs. */
  readonly folder: string;
  readonly authority: Authority;
  /** Item id, `process-server/<name>`, or a host name: at most 64 characters. */
  readonly commonName: string;
  /** Names and addresses under which a server is reached; empty for pure clients. */
  readonly hosts: readonly string[];
  readonly days: number;
  readonly usage: 'server' | 'client' | 'both';
  readonly random?: Random;
}

/** openssl makes an EC key and signs in milliseconds; a minute is for a machine that is starved of entropy or CPU. */
const opensslTimeoutMilliseconds = 60_000;
/** An authority outlives the machines it protects: 20 years, since replacing it means visiting every one of them. */
const authorityDays = 7300;

/** Makes the authority in `folder` (`ca.pem`, `ca.key.pem`), or answers the one that is there. */
export async function issueAuthority(folder: string, commonName = 'Leeward authority'): Promise<Authority> {
  const authority: Authority = { caFile: join(folder, 'ca.pem'), caKeyFile: join(folder, 'ca.key.pem') };
  if ((await isThere(authority.caFile)) && (await isThere(authority.caKeyFile))) return authority;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const keyDraft = `${authority.caKeyFile}.draft`;
  const caDraft = `${authority.caFile}.draft`;
  await reserveKeyFile(keyDraft);
  await run(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-sha256'],
      ...['-days', String(authorityDays), '-subj', subject(commonName), '-keyout', keyDraft, '-out', caDraft],
      ...['-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0'],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    ],
    { timeoutMilliseconds: opensslTimeoutMilliseconds },
  );
  // The key first: a certificate without its key would be taken for a whole authority after a crash; the other way
  // round both are made anew.
  await rename(keyDraft, authority.caKeyFile);
  await rename(caDraft, authority.caFile);
  return authority;
}

/** Makes a key and a certificate for it. Replaces what was in the folder: this is also how one is renewed. */
export async function issueCertificate(request: CertificateRequest): Promise<TlsFilePaths> {
  const { folder, authority, commonName } = request;
  if (commonName.length < 1 || commonName.length > 64)
    throw new RangeError(`a common name has 1 to 64 characters, not ${commonName.length}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const paths: TlsFilePaths = {
    caFile: join(folder, 'ca.pem'),
    certificateFile: join(folder, 'certificate.pem'),
    keyFile: join(folder, 'key.pem'),
  };
  const keyDraft = `${paths.keyFile}.draft`;
  const certificateDraft = `${paths.certificateFile}.draft`;
  const requestDraft = join(folder, 'request.pem.draft');
  const extensionsDraft = join(folder, 'extensions.draft');
  const usages = { server: 'serverAuth', client: 'clientAuth', both: 'serverAuth,clientAuth' };
  const extensions = [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature',
    `extendedKeyUsage=${usages[request.usage]}`,
    'subjectKeyIdentifier=hash',
    'authorityKeyIdentifier=keyid',
    ...(request.hosts.length === 0 ? [] : [`subjectAltName=${request.hosts.map(alternativeName).join(',')}`]),
  ];
  try {
    await reserveKeyFile(keyDraft);
    await writeFile(extensionsDraft, `${extensions.join('\n')}\n`);
    await run(
      'openssl',
      [
        ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-sha256'],
        ...['-subj', subject(commonName), '-keyout', keyDraft, '-out', requestDraft],
      ],
      { timeoutMilliseconds: opensslTimeoutMilliseconds },
    );
    // A random serial number, not a counter in a file: two certificates may be issued at once. The first byte is kept
    // below 0x80 and above zero, since a serial is a positive number of at most 20 bytes.
    const serial = `0x4c${(request.random ?? systemRandom).bytes(15).toString('hex')}`;
    await run(
      'openssl',
      [
        ...['x509', '-req', '-sha256', '-in', requestDraft, '-CA', authority.caFile, '-CAkey'],
        ...[authority.caKeyFile, '-set_serial', serial, '-days', String(request.days)],
        ...['-extfile', extensionsDraft, '-out', certificateDraft],
      ],
      { timeoutMilliseconds: opensslTimeoutMilliseconds },
    );
    if (authority.caFile !== paths.caFile) await copyFile(authority.caFile, paths.caFile);
    await rename(keyDraft, paths.keyFile);
    await rename(certificateDraft, paths.certificateFile);
  } finally {
    for (const draft of [keyDraft, certificateDraft, requestDraft, extensionsDraft])
      await rm(draft, { force: true });
  }
  return paths;
}

export interface MutualTlsOptions extends SecureContextOptions {
  readonly minVersion: SecureVersion;
  readonly requestCert: true;
  readonly rejectUnauthorized: true;
}

/**
 * Options for `tls.connect`, `tls.createServer` and `https`: both sides must show a certificate of the authority.
 * @param hasAes whether this processor has AES instructions; default: what it says of itself
 */
export async function tlsOptions(paths: TlsFilePaths, hasAes?: boolean): Promise<MutualTlsOptions> {
  const [ca, cert, key, aes] = await Promise.all([
    readPem(paths.caFile),
    readPem(paths.certificateFile),
    readPem(paths.keyFile),
    hasAes ?? processorHasAes(),
  ]);
  return {
    ca,
    cert,
    key,
    minVersion: 'TLSv1.2',
    requestCert: true,
    rejectUnauthorized: true,
    ciphers: (aes ? [...aesSuites, ...chachaSuites] : [...chachaSuites, ...aesSuites]).join(':'),
    // The server's order counts, except that a client which puts ChaCha20 first gets it: it knows that its processor
    // has no AES instructions (AES-256-GCM 19 MiB/s there, ChaCha20-Poly1305 95).
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_CIPHER_SERVER_PREFERENCE | constants.SSL_OP_PRIORITIZE_CHACHA,
  };
}

/** Whether `/proc/cpuinfo` names AES instructions (x86: `flags … aes`, ARM: `Features … aes`). Unknown counts as yes. */
export async function processorHasAes(cpuinfoPath = '/proc/cpuinfo'): Promise<boolean> {
  let text: string;
  try {
    text = await readFile(cpuinfoPath, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EACCES')) return true;
    throw error;
  }
  const features = text.match(/^(?:flags|Features)\s*:(.*)$/m)?.[1];
  return features === undefined || features.split(/\s+/).includes('aes');
}

// TLS 1.3 names come first in each list; the others are for TLS 1.2 with our EC certificates. Only forward-secret AEADs.
const aesSuites = ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'];
const chachaSuites = ['TLS_CHACHA20_POLY1305_SHA256', 'ECDHE-ECDSA-CHACHA20-POLY1305'];

/** openssl's `/CN=` syntax: `/`, `+`, `=` and `\` in a value are escaped. */
export function subject(commonName: string): string {
  return `/CN=${commonName.replace(/[\\/+=]/g, (character) => `\\${character}`)}`;
}

export function alternativeName(host: string): string {
  if (isIP(host)) return `IP:${host}`;
  // A comma or a line feed would end the value and begin another extension.
  if (!/^[A-Za-z0-9*._-]{1,253}$/.test(host))
    throw new RangeError(`"${host}" is not a host name or an address`);
  return `DNS:${host}`;
}

/** An empty file with the right mode before openssl opens it: whatever the umask, the key is never readable by others. */
async function reserveKeyFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await writeFile(path, '', { mode: 0o600, flag: 'wx' });
  await chmod(path, 0o600);
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await readFile(path)).byteLength > 0;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new LeewardError({
      code: 'CertificateUnreadable',
      summary: `the PEM file ${path} cannot be read`,
      possibleCauses: hasCode(cause, 'ENOENT')
        ? 'No certificate was issued for this process, or it was removed.'
        : 'The file belongs to another user.',
      recommendedAction: 'Issue a certificate for this process at the vault and copy it to the named folder.',
      context: { path },
      cause,
    });
  }
}
