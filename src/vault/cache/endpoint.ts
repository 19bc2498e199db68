/**
 * The vault's cache endpoint: where process servers put sealed segments and manifests, and fetch digests. The client is
 * `src/protocol/cache/https-store.ts`; the format is `docs/formats/cache-endpoint.md`.
 *
 * Promises: a connection without a certificate of the vault's authority gets nothing. A process server touches only the
 * objects of items that are assigned to it (`items/<item id>/…`). 201 and 200 mean durable and verified. What does not
 * fit is 507, and the process server keeps it in its spool.
 */
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import Koa from 'koa';
import { ProtectedItemId } from '../../model/ids.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { MutualTlsOptions } from '../../platform/tls.ts';
import { type CacheStore, cacheKeyPattern } from '../../protocol/cache/cache-store.ts';
import { cacheErrors } from '../../protocol/cache/errors.ts';
import { cachePath, sha256Header } from '../../protocol/cache/https-store.ts';
import { cacheListMax, cacheObjectBytesMax, cacheRequestsMax, cacheStallMilliseconds } from '../limits.ts';

export interface CacheEndpointParts {
  readonly store: CacheStore;
  readonly tls: MutualTlsOptions;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Name of the process server that an item is assigned to. */
  assignedTo(itemId: ProtectedItemId): Promise<string | undefined>;
  /** Whether a failover keeps the item's source out. Default: none does. */
  readonly isFenced?: (itemId: ProtectedItemId) => Promise<boolean>;
  /** Left free on the volume under the store, and what is free now: the quota. */
  readonly freeBytes: () => Promise<number>;
  readonly reserveBytes: number;
  readonly log: Log;
  /** An object has arrived. */
  readonly onArrival: (key: string) => void;
}

export interface CacheEndpoint extends AsyncDisposable {
  readonly port: number;
  close(): Promise<void>;
}

const processServerPrefix = 'process-server/';

export async function startCacheEndpoint(parts: CacheEndpointParts): Promise<CacheEndpoint> {
  const koa = new Koa();
  // Koa would print what `answerErrors` has already answered and logged.
  koa.silent = true;
  let underWay = 0;
  koa.use(async (context) => {
    const { req: incoming } = context;
    try {
      if (++underWay > cacheRequestsMax) throw busy();
      await answer(parts, context);
    } catch (error) {
      refuse(parts, context, error);
    } finally {
      underWay--;
      // Whoever is still sending must get to read the answer: a line that is cut under a sender loses it. The rest is thrown away
      // until the sender ends the connection, or has sent what it announced; beyond what an object may have, the line is cut.
      if (!incoming.complete && !context.req.readableEnded && context.method === 'PUT') {
        if (!(announcedBytes(context) <= cacheObjectBytesMax)) context.set('connection', 'close');
        incoming.resume();
      }
    }
  });
  const server: Server = createServer({ ...parts.tls }, koa.callback());
  server.timeout = cacheStallMilliseconds;
  // Koa streams long uploads: only standing still counts, not the whole time.
  server.requestTimeout = 0;
  server.on('tlsClientError', (error: Error) => parts.log.debug('tls-refused', { reason: error.message }));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(parts.port, parts.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { port: (server.address() as AddressInfo).port, close, [Symbol.asyncDispose]: close };
}

async function answer(parts: CacheEndpointParts, context: Koa.Context): Promise<void> {
  const peer = String((context.socket as TLSSocket).getPeerCertificate().subject?.CN ?? '');
  if (!peer.startsWith(processServerPrefix)) throw forbidden(peer, 'it is not a process server');
  const name = peer.slice(processServerPrefix.length);
  const aborter = new AbortController();
  context.req.once('aborted', () => aborter.abort(new Error('the sender is gone')));
  const { signal } = aborter;
  if (context.path === cachePath && context.method === 'GET') {
    const prefix = String(context.query.prefix ?? '');
    await authorize(parts, name, prefix);
    const limit = Math.min(
      Math.max(Number.parseInt(String(context.query.limit ?? ''), 10) || cacheListMax, 1),
      cacheListMax,
    );
    const after = String(context.query.after ?? '');
    context.body = { objects: await parts.store.list(prefix, { after, limit }, signal) };
    return;
  }
  if (!context.path.startsWith(`${cachePath}/`)) {
    context.status = 404;
    return;
  }
  const key = context.path.slice(cachePath.length + 1);
  if (!cacheKeyPattern.test(key)) throw cacheErrors.InvalidObjectKey(key);
  await authorize(parts, name, key);
  if (context.method === 'PUT') {
    if (parts.isFenced && (await parts.isFenced(ProtectedItemId.parse(key.split('/')[1])))) throw fenced();
    const sizeBytes = announcedBytes(context);
    const sha256 = context.get(sha256Header);
    if (Number.isNaN(sizeBytes) || !/^[0-9a-f]{64}$/.test(sha256))
      throw invalid('an upload needs Content-Length and Leeward-Sha256');
    if (sizeBytes > cacheObjectBytesMax) throw invalid(`an object has at most ${cacheObjectBytesMax} bytes`);
    if ((await parts.freeBytes()) < sizeBytes + parts.reserveBytes)
      throw cacheErrors.CacheStoreFull('at the vault', 'what is left is kept free');
    // The body can be read once only; a store that finds the object present does not read it at all.
    const result = await parts.store.put(
      key,
      { sizeBytes, sha256, open: () => (sizeBytes === 0 ? Readable.from([]) : bodyOf(context.req)) },
      signal,
    );
    context.status = result === 'created' ? 201 : 200;
    context.body = '';
    parts.onArrival(key);
  } else if (context.method === 'GET') {
    const stream = await parts.store.get(key, signal);
    if (stream === undefined) context.status = 404;
    else {
      context.type = 'application/octet-stream';
      context.body = stream;
    }
  } else if (context.method === 'DELETE') {
    await parts.store.delete(key, signal);
    context.status = 204;
  } else context.status = 405;
}

/**
 * The body for a store, which destroys what it reads from when it fails half-way, as on a disk that is full. A request that is
 * destroyed reads no more from its line: the sender would stand still with the answer before it, and then be cut.
 */
function bodyOf(request: IncomingMessage): Readable {
  const take = (chunk: Buffer) => {
    if (!body.push(chunk)) request.pause();
  };
  const body = new Readable({
    read: () => {
      request.resume();
    },
    destroy: (error, done) => {
      request.off('data', take);
      request.resume();
      done(error);
    },
  });
  request.once('end', () => body.push(null));
  request.once('error', (error) => body.destroy(error));
  request.on('data', take);
  return body;
}

/** NaN: nothing was announced. */
function announcedBytes(context: Koa.Context): number {
  const length = context.get('content-length');
  return /^\d{1,15}$/.test(length) ? Number(length) : Number.NaN;
}

async function authorize(parts: CacheEndpointParts, name: string, key: string): Promise<void> {
  const match = /^items\/([0-9a-f-]{36})\//.exec(key);
  const itemId = ProtectedItemId.safeParse(match?.[1]);
  if (!itemId.success || (await parts.assignedTo(itemId.data)) !== name)
    throw forbidden(`${processServerPrefix}${name}`, 'the item is not assigned to it');
}

function refuse(parts: CacheEndpointParts, context: Koa.Context, error: unknown): void {
  const known = error instanceof LeewardError ? error : undefined;
  const status =
    {
      ObjectConflict: 409,
      ObjectDigestMismatch: 422,
      CacheStoreFull: 507,
      InvalidObjectKey: 400,
      CacheForbidden: 403,
      CacheRequestInvalid: 400,
      CacheBusy: 503,
      ItemFailedOver: 503,
    }[known?.code ?? ''] ?? (known?.code === 'DatabaseUnreachable' ? 503 : 500);
  if (status >= 500 && status !== 507) parts.log.error('cache-request-failed', { path: context.path, error });
  else parts.log.warn('cache-request-refused', { path: context.path, status, code: known?.code });
  context.status = status;
  context.body = {
    code: known?.code ?? 'CacheFailed',
    summary: known?.summary ?? 'the vault could not do it',
    possibleCauses: known?.possibleCauses ?? 'A fault at the vault, which its log shows.',
    recommendedAction: known?.recommendedAction ?? 'Look at the log of the vault; it is tried again.',
  };
}

function forbidden(peer: string, why: string): LeewardError {
  return new LeewardError({
    code: 'CacheForbidden',
    summary: `${peer === '' ? 'this peer' : peer} may not do that: ${why}`,
    possibleCauses:
      "The item was assigned to another process server or unprotected, or the certificate is another's.",
    recommendedAction: "Compare the process server's id with: leeward protected-item show ITEM.",
  });
}

function invalid(summary: string): LeewardError {
  return new LeewardError({
    code: 'CacheRequestInvalid',
    summary,
    possibleCauses: 'The sender is of another version.',
    recommendedAction: 'Update the process server.',
  });
}

/** Transient: when the failover is cancelled, what waits at the process server is taken, and nothing has to be compared. */
function fenced(): LeewardError {
  return new LeewardError({
    code: 'ItemFailedOver',
    summary: 'the vault takes nothing of this item: it is failed over',
    possibleCauses: 'Its source runs again, or sent more than had arrived when it was failed over.',
    recommendedAction: 'Switch the source off, or cancel the failover.',
    retry: 'transient',
  });
}

function busy(): LeewardError {
  return new LeewardError({
    code: 'CacheBusy',
    summary: `the vault works on ${cacheRequestsMax} requests already`,
    possibleCauses: 'Many process servers came back at once.',
    recommendedAction: 'Nothing: it is tried again.',
    retry: 'transient',
  });
}
