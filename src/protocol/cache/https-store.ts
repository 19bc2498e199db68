/**
 * Cache storage at the vault's own HTTPS endpoint: the process server's end. The other end is `src/vault/cache/endpoint.ts`;
 * the format is `docs/formats/cache-endpoint.md`. Both sides show certificates of the vault's authority.
 *
 *     PUT    /cache/v1/objects/<key>     Content-Length, Leeward-Sha256   201 created, 200 present, 409, 422, 507
 *     GET    /cache/v1/objects/<key>     200, 404
 *     DELETE /cache/v1/objects/<key>     204
 *     GET    /cache/v1/objects?prefix=&after=&limit=                      200 {objects: [{key, sizeBytes}]}
 *
 * Time limits are about standing still, not about how long a big object takes: 60 s without a byte is a dead peer.
 */

import type { IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { addAbortSignal, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { LeewardError } from '../../platform/errors.ts';
import { parseJson } from '../../platform/settings.ts';
import type { MutualTlsOptions } from '../../platform/tls.ts';
import { type CacheObject, type CacheStore, cacheKeyPattern, type ObjectBody } from './cache-store.ts';
import { cacheErrors } from './errors.ts';

export const cachePath = '/cache/v1/objects';
export const sha256Header = 'leeward-sha256';
/** Connections of one process server: uploads of four items and their small requests. */
const connectionsMax = 8;
const stallMilliseconds = 60_000;
/** 1000 keys of 400 characters are below half a MiB. */
const answerBytesMax = 1 << 20;

export const Listing = z.strictObject({
  objects: z.array(z.strictObject({ key: z.string(), sizeBytes: z.number().int().nonnegative() })).max(1000),
});
export const ErrorAnswer = z.object({
  code: z.string(),
  summary: z.string(),
  possibleCauses: z.string(),
  recommendedAction: z.string(),
});

export class HttpsStore implements CacheStore, AsyncDisposable {
  readonly #base: URL;
  readonly #agent: Agent;

  constructor(parts: {
    readonly url: string;
    readonly tls: MutualTlsOptions;
    readonly stallMilliseconds?: number;
  }) {
    this.#base = new URL(parts.url);
    this.#agent = new Agent({
      ...parts.tls,
      keepAlive: true,
      maxSockets: connectionsMax,
      timeout: parts.stallMilliseconds ?? stallMilliseconds,
    });
  }

  async put(key: string, body: ObjectBody, signal: AbortSignal): Promise<'created' | 'present'> {
    checkKey(key);
    const { answer, isSent } = await this.#send('PUT', this.#at(key), signal, {
      headers: { 'content-length': body.sizeBytes, [sha256Header]: body.sha256 },
      body,
      key,
    });
    const text = await textOf(answer);
    // An answer before all was sent: the rest is not sent any more, and a line with half a body on it serves nobody. Left in the
    // agent it would count against `connectionsMax` until the vault cuts it.
    if (!isSent()) answer.socket.destroy();
    if (answer.statusCode === 201) return 'created';
    if (answer.statusCode === 200) return 'present';
    throw this.#failure(key, answer, text);
  }

  async get(key: string, signal: AbortSignal): Promise<Readable | undefined> {
    checkKey(key);
    const { answer } = await this.#send('GET', this.#at(key), signal, { key });
    if (answer.statusCode === 200) return addAbortSignal(signal, answer);
    const text = await textOf(answer);
    if (answer.statusCode === 404) return undefined;
    throw this.#failure(key, answer, text);
  }

  async list(
    prefix: string,
    options: { readonly after?: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<CacheObject[]> {
    const query = new URLSearchParams({ prefix, after: options.after ?? '', limit: String(options.limit) });
    const { answer } = await this.#send('GET', `${cachePath}?${query}`, signal, { key: prefix });
    const text = await textOf(answer);
    if (answer.statusCode !== 200) throw this.#failure(prefix, answer, text);
    return parseJson(Listing, text, `the listing of ${this.#base.host}`).objects;
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    checkKey(key);
    const { answer } = await this.#send('DELETE', this.#at(key), signal, { key });
    const text = await textOf(answer);
    if (answer.statusCode !== 204) throw this.#failure(key, answer, text);
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #at(key: string): string {
    return `${cachePath}/${key}`;
  }

  async #send(
    method: string,
    path: string,
    signal: AbortSignal,
    extra: {
      readonly headers?: Readonly<Record<string, string | number>>;
      readonly body?: ObjectBody;
      readonly key: string;
    },
  ): Promise<{ readonly answer: IncomingMessage; readonly isSent: () => boolean }> {
    signal.throwIfAborted();
    const options: RequestOptions = {
      agent: this.#agent,
      method,
      path,
      host: this.#base.hostname,
      port: this.#base.port || 443,
      headers: { ...extra.headers },
      signal,
    };
    const call = request(options);
    let sourceFailure: { readonly error: unknown } | undefined;
    const { promise: answered, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    // Whoever loses a race below must not become an unhandled rejection.
    answered.catch(() => {});
    let isSent = false;
    // From here on the line may be another request's.
    call.once('finish', () => {
      isSent = true;
    });
    call.once('response', resolve);
    call.once('error', reject);
    call.once('close', () => reject(new Error('the connection was closed')));
    call.once('timeout', () => call.destroy(new Error('the connection stood still')));
    if (extra.body === undefined) call.end();
    else {
      const { body } = extra;
      const counted = async function* () {
        let sentBytes = 0;
        try {
          for await (const chunk of body.open() as AsyncIterable<Buffer>) {
            sentBytes += chunk.byteLength;
            // Node would send more than announced and break the connection for the next request.
            if (sentBytes > body.sizeBytes) throw cacheErrors.ObjectDigestMismatch(extra.key);
            yield chunk;
          }
          if (sentBytes < body.sizeBytes) throw cacheErrors.ObjectDigestMismatch(extra.key);
        } catch (error) {
          sourceFailure = { error };
          throw error;
        }
      };
      pipeline(counted, call).catch((error: unknown) => {
        // Ending a request that waits for its connection makes no event: the answer is refused here. When it is the peer
        // that stopped reading, its answer (conflict, full) may still come, and the events above decide.
        if (sourceFailure !== undefined) reject(error);
        call.destroy();
      });
    }
    try {
      return { answer: await answered, isSent: () => isSent };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (sourceFailure !== undefined) throw sourceFailure.error;
      throw cacheErrors.CacheStoreUnreachable(this.#base.host, error);
    }
  }

  #failure(key: string, answer: IncomingMessage, text: string): LeewardError {
    const known = ErrorAnswer.safeParse(safeJson(text));
    if (answer.statusCode === 409) return cacheErrors.ObjectConflict(key);
    if (answer.statusCode === 422) return cacheErrors.ObjectDigestMismatch(key);
    if (answer.statusCode === 507) return cacheErrors.CacheStoreFull(this.#base.host, text);
    if (known.success)
      return new LeewardError({
        ...known.data,
        retry: (answer.statusCode ?? 500) >= 500 || answer.statusCode === 429 ? 'transient' : 'permanent',
        context: { key, status: answer.statusCode },
      });
    return cacheErrors.CacheStoreUnreachable(this.#base.host, `status ${answer.statusCode}`);
  }
}

function checkKey(key: string): void {
  if (!cacheKeyPattern.test(key)) throw cacheErrors.InvalidObjectKey(key);
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      sizeBytes += piece.byteLength;
      if (sizeBytes > answerBytesMax) throw new Error('the answer is too long');
      pieces.push(piece);
    }
  } catch (error) {
    throw cacheErrors.CacheStoreUnreachable('vault', error);
  }
  return Buffer.concat(pieces).toString();
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
