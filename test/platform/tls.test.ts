/** Goal: the certificates we issue let the right peers in and nobody else. Real openssl, real TLS on 127.0.0.1. */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import test from 'ava';
import {
  type Authority,
  issueAuthority,
  issueCertificate,
  processorHasAes,
  type TlsFilePaths,
  tlsOptions,
} from '../../src/platform/tls.ts';

let folder: string;
let authority: Authority;
let server: TlsFilePaths;
let client: TlsFilePaths;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leeward-tls-'));
  authority = await issueAuthority(join(folder, 'authority'));
  server = await issueCertificate({
    folder: join(folder, 'server'),
    authority,
    commonName: 'process-server/ps+1=a',
    hosts: ['127.0.0.1', 'localhost'],
    days: 2,
    usage: 'server',
  });
  client = await issueCertificate({
    folder: join(folder, 'client'),
    authority,
    commonName: '6f9619ff-8b86-4011-b42d-00cf4fc964ff',
    hosts: [],
    days: 2,
    usage: 'client',
  });
});
test.after.always(() => rm(folder, { recursive: true, force: true }));

/** What the server saw of a client: its common name and the suite. */
async function shake(
  clientFiles: TlsFilePaths,
  options: { hasAes?: boolean; host?: string } = {},
): Promise<{ commonName: string; cipher: string; protocol: string; serverName: string }> {
  const listener = createServer(await tlsOptions(server, true));
  const seen = new Promise<string>((resolve, reject) => {
    listener.on('secureConnection', (socket) => {
      socket.on('error', () => {});
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.write('x');
    });
    listener.on('tlsClientError', reject);
  });
  seen.catch(() => {});
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const socket = connect({
    port: (listener.address() as AddressInfo).port,
    host: '127.0.0.1',
    ...(options.host && !isIP(options.host) ? { servername: options.host } : {}),
    ...(await tlsOptions(clientFiles, options.hasAes ?? true)),
  });
  try {
    await new Promise<void>((resolve, reject) => {
      // In TLS 1.3 a refused client certificate shows at the first read, not in the handshake.
      socket.on('data', () => resolve());
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('closed')));
    });
    return {
      commonName: await seen,
      cipher: socket.getCipher().standardName,
      protocol: String(socket.getProtocol()),
      serverName: String(socket.getPeerCertificate().subject.CN),
    };
  } finally {
    socket.destroy();
    listener.close();
  }
}

test('the two ends see the common names that were issued, slashes and all', async (t) => {
  const seen = await shake(client);
  t.is(seen.commonName, '6f9619ff-8b86-4011-b42d-00cf4fc964ff');
  t.is(seen.serverName, 'process-server/ps+1=a');
  t.is(seen.protocol, 'TLSv1.3');
});

test('a client without AES instructions gets ChaCha20, one with them gets AES', async (t) => {
  t.is((await shake(client, { hasAes: false })).cipher, 'TLS_CHACHA20_POLY1305_SHA256');
  t.is((await shake(client, { hasAes: true })).cipher, 'TLS_AES_256_GCM_SHA384');
});

test('a certificate of another authority is refused', async (t) => {
  const stranger = await issueAuthority(join(folder, 'stranger'));
  const files = await issueCertificate({
    folder: join(folder, 'stranger-client'),
    authority: stranger,
    commonName: 'intruder',
    hosts: [],
    days: 2,
    usage: 'client',
  });
  // Its own authority would make it distrust our server; with ours it is the server that refuses.
  await t.throwsAsync(shake({ ...files, caFile: authority.caFile }));
  await t.throwsAsync(shake(files));
});

test('a server certificate does not pass as a client certificate', async (t) => {
  await t.throwsAsync(shake(server));
});

test('a server that is reached under another name is refused', async (t) => {
  await t.throwsAsync(shake(client, { host: 'elsewhere.example' }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

test('private keys are readable by their owner only', async (t) => {
  for (const path of [authority.caKeyFile, server.keyFile, client.keyFile])
    t.is((await stat(path)).mode & 0o777, 0o600, path);
});

test('issuing the authority again answers the same one', async (t) => {
  const before = (await stat(authority.caKeyFile)).ino;
  t.deepEqual(await issueAuthority(join(folder, 'authority')), authority);
  t.is((await stat(authority.caKeyFile)).ino, before);
});

test('a host name that would smuggle in another extension is refused', async (t) => {
  await t.throwsAsync(
    issueCertificate({
      folder: join(folder, 'bad'),
      authority,
      commonName: 'x',
      hosts: ['a,DNS:b'],
      days: 1,
      usage: 'server',
    }),
    { instanceOf: RangeError },
  );
});

test('a missing file is named, with what to do', async (t) => {
  const error = await t.throwsAsync(tlsOptions({ ...client, keyFile: join(folder, 'none.pem') }));
  t.like(error, { code: 'CertificateUnreadable' });
});

test('AES instructions are found in x86 and ARM processor descriptions', async (t) => {
  const path = join(folder, 'cpuinfo');
  await writeFile(path, 'processor\t: 0\nflags\t\t: fpu vme aes avx\n');
  t.true(await processorHasAes(path));
  await writeFile(path, 'processor\t: 0\nflags\t\t: fpu vme sse2\n');
  t.false(await processorHasAes(path));
  await writeFile(path, 'processor\t: 0\nFeatures\t: fp asimd aes pmull\n');
  t.true(await processorHasAes(path));
  t.true(await processorHasAes(join(folder, 'no-such-file')));
});
