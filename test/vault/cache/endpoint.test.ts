/** Goal: the vault's endpoint keeps every promise of a cache store over real TLS, and nobody touches another's items. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { connect } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { issueAuthority, issueCertificate, tlsOptions } from '../../../src/platform/tls.ts';
import type { CacheStore, ObjectBody } from '../../../src/protocol/cache/cache-store.ts';
import { FolderStore } from '../../../src/protocol/cache/folder-store.ts';
import { HttpsStore } from '../../../src/protocol/cache/https-store.ts';
import { startCacheEndpoint } from '../../../src/vault/cache/endpoint.ts';
import { cacheStoreSuite, objectBody } from '../../support/cache-store-suite.ts';
import { makeTestVolume } from '../../support/replica-volume.ts';

const never = new AbortController().signal;
const itemA = '11111111-1111-4111-8111-111111111111';
const itemB = '22222222-2222-4222-8222-222222222222';

async function house({ cacheFolder }: { readonly cacheFolder?: string } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-cache-'));
  const authority = await issueAuthority(join(folder, 'ca'));
  const certificate = (commonName: string, at: string, usage: 'server' | 'client') =>
    issueCertificate({
      folder: join(folder, at),
      authority,
      commonName,
      hosts: usage === 'server' ? ['127.0.0.1', 'localhost'] : [],
      days: 2,
      usage,
    });
  const store = new FolderStore({
    files: systemFiles,
    random: systemRandom,
    folder: cacheFolder ?? join(folder, 'cache'),
  });
  await store.prepare();
  let free = Number.MAX_SAFE_INTEGER;
  const arrivals: string[] = [];
  const endpoint = await startCacheEndpoint({
    store,
    tls: await tlsOptions(await certificate('vault', 'vault', 'server')),
    host: '127.0.0.1',
    port: 0,
    assignedTo: async (itemId) => ({ [itemA]: 'ps1', [itemB]: 'ps2' })[itemId as string],
    freeBytes: async () => free,
    reserveBytes: 1000,
    log: silentLog,
    onArrival: (key) => arrivals.push(key),
  });
  const clients: HttpsStore[] = [];
  const client = async (commonName: string, port = endpoint.port) => {
    const paths = await certificate(commonName, `client-${clients.length}`, 'client');
    const made = new HttpsStore({ url: `https://127.0.0.1:${port}`, tls: await tlsOptions(paths) });
    clients.push(made);
    return made;
  };
  return {
    folder,
    endpoint,
    arrivals,
    certificate,
    client,
    setFree: (bytes: number) => {
      free = bytes;
    },
    close: async () => {
      for (const made of clients) await made.close();
      await endpoint.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The suite's keys, put below an item. */
class Below implements CacheStore {
  readonly #store: CacheStore;
  readonly #prefix: string;
  constructor(store: CacheStore, prefix: string) {
    this.#store = store;
    this.#prefix = prefix;
  }
  put(key: string, body: ObjectBody, signal: AbortSignal) {
    return this.#store.put(this.#prefix + key, body, signal);
  }
  get(key: string, signal: AbortSignal): Promise<Readable | undefined> {
    return this.#store.get(this.#prefix + key, signal);
  }
  async list(prefix: string, options: { after?: string; limit: number }, signal: AbortSignal) {
    const found = await this.#store.list(
      this.#prefix + prefix,
      options.after === undefined ? options : { ...options, after: this.#prefix + options.after },
      signal,
    );
    return found.map((object) => ({ ...object, key: object.key.slice(this.#prefix.length) }));
  }
  delete(key: string, signal: AbortSignal) {
    return this.#store.delete(this.#prefix + key, signal);
  }
}

cacheStoreSuite('https endpoint', async () => {
  const h = await house();
  return { store: new Below(await h.client('process-server/ps1'), `items/${itemA}/`), close: h.close };
});

const code = (error: unknown) => (error as { code?: string }).code;

test('a process server touches only the items that are assigned to it', async (t) => {
  const h = await house();
  t.teardown(h.close);
  const one = await h.client('process-server/ps1');
  const two = await h.client('process-server/ps2');
  await one.put(`items/${itemA}/a`, objectBody(Buffer.from('x')), never);
  t.deepEqual(h.arrivals, [`items/${itemA}/a`]);
  for (const attempt of [
    () => two.get(`items/${itemA}/a`, never),
    () => two.delete(`items/${itemA}/a`, never),
    () => two.put(`items/${itemA}/b`, objectBody(Buffer.from('x')), never),
    () => two.list(`items/${itemA}/`, { limit: 5 }, never),
    () => two.list('', { limit: 5 }, never),
    () => two.list('items/', { limit: 5 }, never),
    () => two.get('other/a', never),
    () => two.get('items/33333333-3333-4333-8333-333333333333/a', never),
  ])
    t.is(code(await t.throwsAsync(attempt)), 'CacheForbidden');
  t.true((await one.get(`items/${itemA}/a`, never)) !== undefined);
});

test('a mobility service is not let in, nor a stranger of another authority', async (t) => {
  const h = await house();
  t.teardown(h.close);
  const machine = await h.client(itemA);
  t.is(code(await t.throwsAsync(machine.get(`items/${itemA}/a`, never))), 'CacheForbidden');
  const folder = await mkdtemp(join(tmpdir(), 'leeward-stranger-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const paths = await issueCertificate({
    folder: join(folder, 'x'),
    authority: await issueAuthority(join(folder, 'ca')),
    commonName: 'process-server/ps1',
    hosts: [],
    days: 2,
    usage: 'client',
  });
  const stranger = new HttpsStore({
    url: `https://127.0.0.1:${h.endpoint.port}`,
    tls: { ...(await tlsOptions(paths)), rejectUnauthorized: true },
  });
  t.teardown(() => stranger.close());
  t.is(code(await t.throwsAsync(stranger.get(`items/${itemA}/a`, never))), 'CacheStoreUnreachable');
});

test('a full vault answers 507 before it takes a byte, and takes the same object once there is room', async (t) => {
  const h = await house();
  t.teardown(h.close);
  const store = await h.client('process-server/ps1');
  const body = objectBody(systemRandom.bytes(3_000_000));
  h.setFree(3_000_500);
  const error = await t.throwsAsync(store.put(`items/${itemA}/a`, body, never));
  t.like(error, { code: 'CacheStoreFull', retry: 'transient' });
  h.setFree(4_000_000);
  t.is(await store.put(`items/${itemA}/a`, body, never), 'created');
});

test('whoever is refused while he sends gets to read why, and the line is not cut under him', async (t) => {
  const h = await house();
  t.teardown(h.close);
  h.setFree(1000);
  await hearsWhy(t, h);
});

test('whoever fills the disk half-way gets to read why, and the line is not cut under him', async (t) => {
  const volume = await makeTestVolume('ext4', 16 << 20);
  const h = await house({ cacheFolder: join(volume.path, 'cache') });
  t.teardown(async () => {
    await h.close();
    await volume.dispose();
  });
  await hearsWhy(t, h);
  const store = await h.client('process-server/ps1');
  // More of them than a process server has lines: none is left behind with half a body on it.
  const body = objectBody(Buffer.alloc(40_000_000));
  for (let index = 0; index < 12; index++)
    t.is(code(await t.throwsAsync(store.put(`items/${itemA}/${index}`, body, never))), 'CacheStoreFull');
  t.is(await store.put(`items/${itemA}/small`, objectBody(Buffer.alloc(1_000_000)), never), 'created');
});

/** Sends one half of an upload, the other when it was told that the vault is full, and then asks on the same line. */
async function hearsWhy(t: ExecutionContext, h: Awaited<ReturnType<typeof house>>): Promise<void> {
  const tls = await tlsOptions(await h.certificate('process-server/ps1', 'raw', 'client'));
  const socket = connect({ ...tls, host: '127.0.0.1', port: h.endpoint.port });
  t.teardown(() => socket.destroy());
  let said = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = once(socket, 'close').then(() => true);
  const hears = (words: RegExp) =>
    Promise.race([
      ended.then(() => said),
      until(
        systemClock,
        60_000,
        () => (words.test(said) ? said : undefined),
        () => new Error(`heard: ${said}`),
        5,
      ),
    ]);
  const path = `/cache/v1/objects/items/${itemA}/a`;
  socket.write(
    `PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 40000000\r\nLeeward-Sha256: ${'0'.repeat(64)}\r\n\r\n`,
  );
  socket.write(Buffer.alloc(20_000_000));
  t.regex(await hears(/CacheStoreFull.*\}$/s), /^HTTP\/1\.1 507 /);
  said = '';
  socket.write(Buffer.alloc(20_000_000));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  t.regex(await hears(/\r\n\r\n/), /^HTTP\/1\.1 404 /);
}

test('who is answered before all was sent keeps the answer, and sends no more', async (t) => {
  const h = await house();
  t.teardown(h.close);
  let isCut = false;
  const server = createServer(
    await tlsOptions(await h.certificate('vault', 'early', 'server')),
    (request, response) => {
      request.socket.once('close', () => {
        isCut = true;
      });
      // Nothing of the body is read.
      response.writeHead(507).end('full');
    },
  );
  // Only the sender ends the line.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.closeAllConnections());
  t.teardown(() => server.close());
  const store = await h.client('process-server/ps1', (server.address() as AddressInfo).port);
  let sentBytes = 0;
  const body = {
    ...objectBody(Buffer.alloc(0)),
    sizeBytes: 2 ** 30,
    open: () =>
      Readable.from(
        (function* () {
          for (; sentBytes < 2 ** 30; sentBytes += 1 << 20) yield Buffer.alloc(1 << 20);
        })(),
        { objectMode: false },
      ),
  };
  const error = await t.throwsAsync(store.put(`items/${itemA}/a`, body, never));
  t.is(code(error), 'CacheStoreFull');
  await until(
    systemClock,
    60_000,
    () => isCut || undefined,
    () => new Error('it goes on sending'),
  );
  t.true(sentBytes < 2 ** 29);
});

test('a vault that is gone is transient, and its return is found', async (t) => {
  const h = await house();
  t.teardown(h.close);
  const store = await h.client('process-server/ps1');
  await store.put(`items/${itemA}/a`, objectBody(Buffer.from('x')), never);
  await h.endpoint.close();
  const error = await t.throwsAsync(
    store.put(`items/${itemA}/b`, objectBody(systemRandom.bytes(500_000)), never),
  );
  t.like(error, { code: 'CacheStoreUnreachable', retry: 'transient' });
  t.is(createHash('sha256').update('x').digest('hex').length, 64);
});
