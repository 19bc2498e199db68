/**
 * JSON over HTTPS between our own processes: routes on one side, calls on the other, errors with cause and action across
 * both. Plain `node:https`, since one end of it is shipped to protected machines.
 *
 *     client.call ── method, path, JSON ──▶ route ──▶ JSON
 *                 ◀── {error: code, summary, possibleCauses, recommendedAction, retry} ──
 *
 * Bounded: requests under way, bytes of a body and of an answer, time of a call. A route that waits (long poll) sees in its
 * signal when the caller has gone.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { z } from 'zod';
import { type Clock, withDeadline } from './clock.ts';
import { LeewardError } from './errors.ts';
import type { Log } from './log.ts';
import { parse, parseJson } from './settings.ts';
import type { MutualTlsOptions } from './tls.ts';

/** Who is at the other end of the connection, if it showed a certificate of the listener's authority. */
export interface Peer {
  readonly commonName: string;
  /** Upper-case hex with colons, as node gives it. */
  readonly sha256: string;
  readonly serialNumber: string;
}

export interface JsonRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  /** Undefined: no certificate, or none of the authority (`peerRefusal` says why). */
  readonly peer: Peer | undefined;
  readonly peerRefusal: string | undefined;
  readonly address: string;
  /** Aborts when the caller hangs up. */
  readonly signal: AbortSignal;
}

export type JsonRoute = (request: JsonRequest) => Promise<unknown>;

export interface JsonRoutesOptions {
  /** By `METHOD /path`. */
  readonly routes: Readonly<Record<string, JsonRoute>>;
  readonly bodyBytesMax: number;
  readonly requestsMax: number;
  readonly log: Log;
}

/** Answers whether the path was one of ours; the caller answers others. Never throws. */
export type JsonHandler = (incoming: IncomingMessage, response: ServerResponse) => Promise<boolean>;

export function jsonRoutes(options: JsonRoutesOptions): JsonHandler {
  const paths = new Set(Object.keys(options.routes).map((key) => key.split(' ')[1]!));
  let underWay = 0;
  return async (incoming, response) => {
    const url = new URL(incoming.url ?? '/', 'https://host');
    if (!paths.has(url.pathname)) return false;
    const method = incoming.method ?? 'GET';
    const gone = new AbortController();
    response.once('close', () => gone.abort(new Error('the caller is gone')));
    underWay += 1;
    try {
      const route = options.routes[`${method} ${url.pathname}`];
      if (!route) throw wireErrors.MethodNotAllowed(method, url.pathname);
      if (underWay > options.requestsMax) throw wireErrors.TooManyRequests(options.requestsMax);
      const body = await readBody(incoming, options.bodyBytesMax);
      const answer = await route({
        method,
        path: url.pathname,
        query: url.searchParams,
        body,
        ...peerOf(incoming.socket as TLSSocket),
        address: incoming.socket.remoteAddress ?? '',
        signal: gone.signal,
      });
      send(response, 200, answer ?? {});
    } catch (error) {
      if (gone.signal.aborted && !response.writable) return true;
      const told = error instanceof LeewardError ? error : wireErrors.InternalError(error);
      if (told.code === 'InternalError') options.log.error('request-failed', { path: url.pathname, error });
      else
        options.log.info('request-refused', {
          path: url.pathname,
          code: told.code,
          summary: told.summary.slice(0, 300),
        });
      // What was not read would be taken for the next request.
      if (!incoming.complete) response.setHeader('connection', 'close');
      send(response, statusOf(told), { error: errorBody(told) });
      incoming.resume();
    } finally {
      underWay -= 1;
    }
    return true;
  };
}

/** A handshake takes two round trips. */
const handshakeMilliseconds = 15_000;

/**
 * Listens and serves. Every caller is asked for a certificate of the listener's authority; those without one come in, too,
 * and it is for the routes to refuse them.
 */
export async function serveJson(
  handler: JsonHandler,
  options: { readonly tls: MutualTlsOptions; readonly host: string; readonly port: number },
): Promise<JsonServer> {
  const server = createServer(
    { ...options.tls, requestCert: true, rejectUnauthorized: false, handshakeTimeout: handshakeMilliseconds },
    (request, response) => {
      void handler(request, response).then((isOurs) => {
        if (!isOurs) response.writeHead(404).end();
      });
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    renew: (tls) => server.setSecureContext(tls),
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface JsonServer extends AsyncDisposable {
  readonly port: number;
  /** New connections see the new certificate. */
  renew(tls: MutualTlsOptions): void;
}

export const ErrorBody = z.object({
  code: z.string(),
  summary: z.string(),
  possibleCauses: z.string(),
  recommendedAction: z.string(),
  retry: z.enum(['transient', 'permanent']).default('permanent'),
  context: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
});

function errorBody(error: LeewardError): z.infer<typeof ErrorBody> {
  const context = Object.entries(error.context).filter(([, value]) => value !== undefined);
  return {
    code: error.code,
    // A form that is wrong in a thousand places says so at length.
    summary: error.summary.slice(0, summaryLengthMax),
    possibleCauses: error.possibleCauses,
    recommendedAction: error.recommendedAction,
    retry: error.retry,
    context: Object.fromEntries(context) as Record<string, string | number | boolean>,
  };
}

/** As a health event's. */
const summaryLengthMax = 2000;

/** Errors carry their HTTP status in `context.status`; 400 is for those that do not. */
function statusOf(error: LeewardError): number {
  const { status } = error.context;
  if (typeof status === 'number') return status;
  return error.retry === 'transient' ? 503 : 400;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent || response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(text);
}

async function readBody(incoming: IncomingMessage, bytesMax: number): Promise<unknown> {
  const pieces: Buffer[] = [];
  let total = 0;
  for await (const piece of incoming) {
    total += (piece as Buffer).byteLength;
    if (total > bytesMax) throw wireErrors.BodyTooLarge(bytesMax);
    pieces.push(piece as Buffer);
  }
  if (total === 0) return undefined;
  return parseJson(z.unknown(), Buffer.concat(pieces).toString(), 'the request');
}

function peerOf(socket: TLSSocket): Pick<JsonRequest, 'peer' | 'peerRefusal'> {
  const certificate = socket.getPeerCertificate?.();
  if (!certificate || Object.keys(certificate).length === 0)
    return { peer: undefined, peerRefusal: 'no certificate was shown' };
  if (!socket.authorized)
    return { peer: undefined, peerRefusal: String(socket.authorizationError ?? 'it is not trusted') };
  const name = certificate.subject?.CN;
  return {
    peer: {
      commonName: (Array.isArray(name) ? name[0] : name) ?? '',
      sha256: certificate.fingerprint256,
      serialNumber: certificate.serialNumber,
    },
    peerRefusal: undefined,
  };
}

export interface JsonClientOptions {
  /** `https://host:port`, without a path. */
  readonly url: string;
  /** PEM. */
  readonly ca: string;
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined;
  readonly clock: Clock;
  /** The name that the server's certificate must have, when it is not the URL's host. */
  readonly serverName?: string;
  readonly answerBytesMax: number;
}

export interface Call<T extends z.ZodType> {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  readonly answer: T;
  readonly timeoutMilliseconds: number;
  readonly signal?: AbortSignal;
}

/** Calls one server; connections are kept and used again. */
export class JsonClient implements Disposable {
  readonly #options: JsonClientOptions;
  readonly #agent: Agent;

  constructor(options: JsonClientOptions) {
    this.#options = options;
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 8,
      ca: options.ca,
      minVersion: 'TLSv1.2',
      ...(options.certificate ?? {}),
      ...(options.serverName === undefined ? {} : { servername: options.serverName }),
    });
  }

  /** Throws what the server answered, or `PeerUnreachable`, `PeerNotTrusted`. */
  async call<T extends z.ZodType>(call: Call<T>): Promise<z.infer<T>> {
    call.signal?.throwIfAborted();
    const over = new AbortController();
    const signal = call.signal ? AbortSignal.any([call.signal, over.signal]) : over.signal;
    try {
      const { status, text } = await withDeadline(
        this.#options.clock,
        call.timeoutMilliseconds,
        this.#exchange(call, signal),
        () => unreachable(this.#options.url, `no answer within ${call.timeoutMilliseconds / 1000} s`),
      );
      return this.#judge(call, status, text);
    } catch (error) {
      if (call.signal?.aborted) throw call.signal.reason;
      throw error;
    } finally {
      over.abort();
    }
  }

  #judge<T extends z.ZodType>(call: Call<T>, status: number, text: string): z.infer<T> {
    const what = `the answer of ${this.#options.url} to ${call.path}`;
    if (status === 200) return parse(call.answer, parseJson(z.unknown(), text, what), what);
    let error: z.infer<typeof ErrorBody> | undefined;
    try {
      error = z.object({ error: ErrorBody }).parse(JSON.parse(text)).error;
    } catch {
      // Not one of our answers: a proxy, or something else that listens there.
      throw unreachable(this.#options.url, `it answered ${status}`);
    }
    throw new LeewardError({ ...error, context: { ...error.context, status } });
  }

  #exchange(call: Call<z.ZodType>, signal: AbortSignal): Promise<{ status: number; text: string }> {
    const { url, answerBytesMax } = this.#options;
    return new Promise((resolve, reject) => {
      const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
      const request = httpsRequest(
        new URL(call.path, url),
        {
          method: call.method,
          agent: this.#agent,
          signal,
          headers: {
            accept: 'application/json',
            ...(body ? { 'content-type': 'application/json', 'content-length': body.byteLength } : {}),
          },
        },
        (response) => {
          const pieces: Buffer[] = [];
          let total = 0;
          response.on('data', (piece: Buffer) => {
            total += piece.byteLength;
            if (total > answerBytesMax) request.destroy(new Error('the answer is too long'));
            else pieces.push(piece);
          });
          response.once('error', (cause) => reject(unreachable(url, messageOf(cause), cause)));
          response.once('end', () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString() }),
          );
        },
      );
      request.once('error', (cause) => {
        reject(
          isCertificateError(cause) ? notTrusted(url, cause) : unreachable(url, messageOf(cause), cause),
        );
      });
      request.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

const wireErrors = {
  MethodNotAllowed: (method: string, path: string) =>
    wireError(
      'MethodNotAllowed',
      405,
      `${path} does not take ${method}`,
      'The caller is of another version.',
    ),
  TooManyRequests: (most: number) =>
    wireError(
      'TooManyRequests',
      429,
      `${most} requests are under way`,
      'Everybody came at once.',
      'transient',
    ),
  BodyTooLarge: (most: number) =>
    wireError(
      'BodyTooLarge',
      413,
      `the request has more than ${most} bytes`,
      'The caller is of another version.',
    ),
  InternalError: (cause: unknown) =>
    wireError(
      'InternalError',
      500,
      `the other side made a mistake: ${messageOf(cause)}`,
      'A defect, or the machine under it.',
      'transient',
      cause,
    ),
};

function wireError(
  code: string,
  status: number,
  summary: string,
  possibleCauses: string,
  retry: 'transient' | 'permanent' = 'permanent',
  cause?: unknown,
): LeewardError {
  return new LeewardError({
    code,
    summary,
    possibleCauses,
    recommendedAction:
      retry === 'transient'
        ? 'It is tried again by itself; look at the log if it stays.'
        : 'Bring both to one version.',
    retry,
    context: { status },
    cause,
  });
}

function unreachable(url: string, why: string, cause?: unknown): LeewardError {
  return new LeewardError({
    code: 'PeerUnreachable',
    summary: `${url} cannot be reached: ${why}`,
    possibleCauses: 'The service there does not run, the name or port is wrong, or a firewall is in between.',
    recommendedAction:
      'Check the address and that this machine may connect to it. It is tried again by itself.',
    retry: 'transient',
    context: { url },
    cause,
  });
}

function notTrusted(url: string, cause: unknown): LeewardError {
  return new LeewardError({
    code: 'PeerNotTrusted',
    summary: `${url} did not prove who it is: ${messageOf(cause)}`,
    possibleCauses: 'Something else listens there, a certificate has run out, or the clocks differ.',
    recommendedAction:
      'Check the address, the clocks of both machines and which authority each of them trusts.',
    retry: 'transient',
    context: { url },
    cause,
  });
}

function isCertificateError(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  return /CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME|ERR_SSL_TLSV1_ALERT|ERR_SSL_TLSV13_ALERT/.test(code);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
