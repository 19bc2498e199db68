/**
 * Certificates for keys that were made elsewhere: a machine makes its own key and a request, the authority signs. Of a
 * request only the public key counts (its signature proves that the sender has the private one); the name, the hosts and
 * what the certificate may be used for are the authority's decision, whatever the request says.
 *
 *     machine                                  authority
 *     makeRequest ── request (PEM) ──────────▶ signRequest
 *     keepCertificate ◀── certificate (PEM) ──
 *
 * The private key never leaves the folder in which it was made.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode, LeewardError } from './errors.ts';
import { tryRun } from './exec.ts';
import { type Random, systemRandom } from './random.ts';
import { type Authority, alternativeName, subject, type TlsFilePaths } from './tls.ts';

/** A request for a P-256 key has about 400 bytes, one for RSA 4096 has 1,700. */
export const requestPemBytesMax = 8 << 10;
const opensslTimeoutMilliseconds = 60_000;

/** Makes a key in `folder` and answers a request for it. The key in use (`key.pem`) is not touched until `keepCertificate`. */
export async function makeRequest(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const keyDraft = join(folder, 'key.next.pem');
  const requestPath = join(folder, 'request.pem');
  // A request whose answer was lost is asked again with the same key, so that the answerer sees that it is the same.
  const before = await textOf(requestPath);
  if (before?.includes('END CERTIFICATE REQUEST') && (await textOf(keyDraft)) !== undefined) return before;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await rm(keyDraft, { force: true });
  await writeFile(keyDraft, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
  const request = encodeRequest(publicKey, privateKey);
  await writeFile(`${requestPath}.draft`, request);
  await rename(`${requestPath}.draft`, requestPath);
  return request;
}

/**
 * PKCS #10, as little of it as there is: written here, since protected machines need not have openssl.
 *
 *     request = SEQUENCE { info, algorithm, BIT STRING { signature of info } }
 *     info    = SEQUENCE { 0, name CN=request, public key, [0] {} }
 */
function encodeRequest(publicKey: KeyObject, privateKey: KeyObject): string {
  const commonName = der(0x30, oid.commonName, der(0x0c, Buffer.from('request')));
  const info = der(
    0x30,
    der(0x02, Buffer.of(0)),
    der(0x30, der(0x31, commonName)),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa0),
  );
  const signature = sign('sha256', info, privateKey);
  const request = der(0x30, info, der(0x30, oid.ecdsaWithSha256), der(0x03, Buffer.of(0), signature));
  const lines = request.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}

const oid = {
  /** 2.5.4.3 */
  commonName: Buffer.from('0603550403', 'hex'),
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: Buffer.from('06082a8648ce3d040302', 'hex'),
};

/** Tag, length, content. Nothing here is longer than 255 bytes but the whole, which has two bytes of length. */
function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const { byteLength } = body;
  const length =
    byteLength < 0x80
      ? [byteLength]
      : byteLength < 0x100
        ? [0x81, byteLength]
        : [0x82, byteLength >> 8, byteLength & 0xff];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}

/** Puts the answer to `makeRequest` in place: `ca.pem`, `certificate.pem`, `key.pem`. Safe to repeat after a crash. */
export async function keepCertificate(
  folder: string,
  certificatePem: string,
  caPem: string,
): Promise<TlsFilePaths> {
  const paths = certificateFiles(folder);
  const keyDraft = join(folder, 'key.next.pem');
  await writeFile(`${paths.certificateFile}.draft`, certificatePem, { mode: 0o600 });
  await writeFile(`${paths.caFile}.draft`, caPem, { mode: 0o600 });
  await rename(`${paths.caFile}.draft`, paths.caFile);
  // Between the two renames key and certificate do not match. The request and its key stay until both are in place, so that
  // a crash in between ends with the same question asked once more.
  await rm(`${paths.keyFile}.draft`, { force: true });
  await copyFile(keyDraft, `${paths.keyFile}.draft`, constants.COPYFILE_EXCL);
  await rename(`${paths.keyFile}.draft`, paths.keyFile);
  await rename(`${paths.certificateFile}.draft`, paths.certificateFile);
  await rm(join(folder, 'request.pem'), { force: true });
  await rm(keyDraft, { force: true });
  return paths;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export function certificateFiles(folder: string): TlsFilePaths {
  return {
    caFile: join(folder, 'ca.pem'),
    certificateFile: join(folder, 'certificate.pem'),
    keyFile: join(folder, 'key.pem'),
  };
}

/** When the certificate in `folder` ends; undefined when there is none, or a request for it is under way. */
export async function certificateEnds(folder: string): Promise<number | undefined> {
  try {
    const certificate = new X509Certificate(await readFile(certificateFiles(folder).certificateFile));
    const key = createPrivateKey(await readFile(certificateFiles(folder).keyFile));
    return certificate.checkPrivateKey(key) ? Date.parse(certificate.validTo) : undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export interface SignOptions {
  readonly authority: Authority;
  readonly requestPem: string;
  readonly commonName: string;
  readonly hosts: readonly string[];
  readonly days: number;
  readonly usage: 'server' | 'client' | 'both';
  readonly random?: Random;
}

/** Answers the certificate (PEM). Throws `CertificateRequestInvalid`. */
export async function signRequest(options: SignOptions): Promise<string> {
  const { authority, commonName } = options;
  if (commonName.length < 1 || commonName.length > 64)
    throw new RangeError(`a common name has 1 to 64 characters, not ${commonName.length}`);
  if (options.requestPem.length > requestPemBytesMax) throw invalid('it is too large');
  const folder = await mkdtemp(join(tmpdir(), 'leeward-request-'));
  try {
    const requestPath = join(folder, 'request.pem');
    const extensionsPath = join(folder, 'extensions');
    const certificatePath = join(folder, 'certificate.pem');
    const usages = { server: 'serverAuth', client: 'clientAuth', both: 'serverAuth,clientAuth' };
    await writeFile(requestPath, options.requestPem);
    await writeFile(
      extensionsPath,
      `${[
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        `extendedKeyUsage=${usages[options.usage]}`,
        'subjectKeyIdentifier=hash',
        'authorityKeyIdentifier=keyid',
        ...(options.hosts.length === 0
          ? []
          : [`subjectAltName=${options.hosts.map(alternativeName).join(',')}`]),
      ].join('\n')}\n`,
    );
    const serial = `0x4c${(options.random ?? systemRandom).bytes(15).toString('hex')}`;
    await openssl([
      ...[
        'x509',
        '-req',
        '-sha256',
        '-in',
        requestPath,
        '-CA',
        authority.caFile,
        '-CAkey',
        authority.caKeyFile,
      ],
      ...['-set_serial', serial, '-days', String(options.days), '-subj', subject(commonName)],
      ...['-extfile', extensionsPath, '-out', certificatePath],
    ]);
    return await readFile(certificatePath, 'utf8');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** SHA-256 of the request's public key, in hex: who asks, whatever else the request says. Throws `CertificateRequestInvalid`. */
export async function requestKeySha256(requestPem: string): Promise<string> {
  if (requestPem.length > requestPemBytesMax) throw invalid('it is too large');
  const folder = await mkdtemp(join(tmpdir(), 'leeward-request-'));
  try {
    const path = join(folder, 'request.pem');
    await writeFile(path, requestPem);
    const pem = await openssl(['req', '-in', path, '-verify', '-noout', '-pubkey']);
    const key = createPublicKey(pem).export({ type: 'spki', format: 'der' });
    return createHash('sha256').update(key).digest('hex');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function openssl(args: readonly string[]): Promise<string> {
  const result = await tryRun('openssl', args, { timeoutMilliseconds: opensslTimeoutMilliseconds });
  if (result.exitCode !== 0)
    throw invalid(result.stderr.trim().split('\n').slice(-2).join(' ').slice(0, 300));
  return result.stdout;
}

function invalid(why: string): LeewardError {
  return new LeewardError({
    code: 'CertificateRequestInvalid',
    summary: `the certificate request cannot be signed: ${why}`,
    possibleCauses: 'It was damaged on its way or made by another program.',
    recommendedAction: 'Start the service that asks again; it makes a new request.',
  });
}
