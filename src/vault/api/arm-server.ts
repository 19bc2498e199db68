/**
 * The vault's public HTTPS listener: Site Recovery's REST API, and before it whatever else is public (sign-in, metadata, the
 * link of the sites), each a middleware that takes its own paths.
 *
 *     koa ─▶ request ids ─▶ others' paths ─▶ who asks ─▶ match ─▶ may they ─▶ vault ─▶ body against its model ─▶ handler ─▶ audit ─▶ answer
 *                                                          └▶ {any resource}/operationresults/{guid} ─▶ job ─▶ the same handler's GET
 *
 * Promises: every answer carries the three request ids, every refusal is the reference's `{error: {code, message, …}}`. Nobody
 * learns anything without a token, not even which paths there are. Each write is audited once, with what came of it.
 */
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import Koa from 'koa';
import type { Clock } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import {
  matchOperation,
  methodsOf,
  type Operation,
  type OperationMatch,
} from '../../protocol/arm/description.ts';
import { openApi } from '../../protocol/arm/openapi.ts';
import { vaultResourceId } from '../../protocol/arm/resource-id.ts';
import type { Principal } from '../access/principal.ts';
import { hasEnded } from '../jobs/jobs.ts';
import type { Resources } from '../store/resources.ts';
import type { AccessCheck, Audit } from './access-check.ts';
import { jobFailure, notYet, operationStatus, type Rendered, render } from './answer.ts';
import { readArmBody, readRest } from './body.ts';
import { envelope, errors, shown, statusOf } from './errors.ts';
import type { JobReader } from './job-reader.ts';
import {
  armConnectionsMax,
  armHandshakeMilliseconds,
  armHeaderBytesMax,
  armNameMax,
  armRequestMilliseconds,
  armRequestsMax,
  armRequestsOfOneMax,
  retryAfterSeconds,
} from './limits.ts';
import type { ArmRequest, Handler, Handlers } from './operation.ts';
import { handlerTable } from './router.ts';

export interface ArmServerParts {
  readonly nouns: readonly Handlers[];
  /** False: operations without a handler answer 400 `OperationNotSupported` (tests of one noun). */
  readonly whole?: boolean;
  readonly access: AccessCheck;
  readonly audit: Audit;
  readonly jobs: JobReader;
  readonly resources: Resources;
  /** The one subscription. */
  readonly subscriptionId: string;
  readonly tls: ServerOptions;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** What all links are built from; given the port, for a server that took any free one. */
  readonly publicUrl: (port: number) => string;
  /** Asked before the API, in order; each takes its own paths and calls `next` for others. */
  readonly before?: (publicUrl: string) => readonly Koa.Middleware[];
  /** Default 1; tests that poll a lot take 0. */
  readonly retryAfterSeconds?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface ArmServer extends AsyncDisposable {
  readonly port: number;
  readonly publicUrl: string;
  close(): Promise<void>;
}

interface Ids {
  readonly requestId: string;
  readonly correlationId: string;
  readonly clientRequestId: string;
}

export async function startArmServer(parts: ArmServerParts): Promise<ArmServer> {
  const table = handlerTable(parts.nouns, { whole: parts.whole ?? true });
  const koa = new Koa();
  // Every error is answered and logged below.
  koa.silent = true;
  const server: Server = createServer(
    {
      maxHeaderSize: armHeaderBytesMax,
      handshakeTimeout: armHandshakeMilliseconds,
      // Refused below, in the shape of all other refusals.
      requireHostHeader: false,
      ...parts.tls,
    },
    (incoming, outgoing) => answer(incoming, outgoing),
  );
  // An expectation that is not known is no reason to refuse what comes with it.
  server.on('checkExpectation', (incoming, outgoing) => answer(incoming, outgoing));
  /** Sockets on which an answer is under way: another one must not be written into it. */
  const answering = new WeakSet<Duplex>();
  server.on('clientError', (error: Error & { code?: string }, socket: Duplex) => {
    if (error.code === 'ECONNRESET' || !socket.writable || answering.has(socket)) socket.destroy();
    else socket.end(refusalOfUnread(error.code, parts.random));
  });
  server.maxConnections = armConnectionsMax;
  server.requestTimeout = armRequestMilliseconds;
  server.on('tlsClientError', (error: Error) => parts.log.debug('tls-refused', { reason: error.message }));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(parts.port, parts.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const publicUrl = parts.publicUrl(port).replace(/\/$/, '');
  const arm = new ArmDoor(parts, table, publicUrl);
  koa.use((context, next) => arm.identify(context, next));
  for (const middleware of parts.before?.(publicUrl) ?? []) koa.use(middleware);
  koa.use((context, next) => arm.openApi(context, next));
  koa.use((context) => arm.answer(context));
  const callback = koa.callback();
  const answer: typeof callback = (incoming, outgoing) => {
    const { socket } = incoming;
    answering.add(socket);
    outgoing.once('close', () => answering.delete(socket));
    return callback(incoming, outgoing);
  };
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { port, publicUrl, close, [Symbol.asyncDispose]: close };
}

/** One request after the other, with what all of them share. */
class ArmDoor {
  readonly #parts: ArmServerParts;
  readonly #table: ReadonlyMap<string, Handler>;
  readonly #publicUrl: string;
  readonly #retryAfterSeconds: number;
  readonly #underWayOf = new Map<string, number>();
  #underWay = 0;

  constructor(parts: ArmServerParts, table: ReadonlyMap<string, Handler>, publicUrl: string) {
    this.#parts = parts;
    this.#table = table;
    this.#publicUrl = publicUrl;
    this.#retryAfterSeconds = parts.retryAfterSeconds ?? retryAfterSeconds;
  }

  /** Ids for every answer of the listener, and an answer for whatever anybody throws. */
  async identify(context: Koa.Context, next: Koa.Next): Promise<void> {
    const named = (header: string) => {
      const value = context.get(header);
      return /^[\x21-\x7e]{1,128}$/.test(value) ? value : this.#parts.random.uuid();
    };
    const ids: Ids = {
      requestId: this.#parts.random.uuid(),
      correlationId: named('x-ms-correlation-request-id'),
      clientRequestId: named('x-ms-client-request-id'),
    };
    context.state.ids = ids;
    context.set({
      'x-ms-request-id': ids.requestId,
      'x-ms-correlation-request-id': ids.correlationId,
      'x-ms-client-request-id': ids.clientRequestId,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'strict-transport-security': 'max-age=31536000',
    });
    try {
      if (context.req.httpVersion === '1.1' && context.req.headers.host === undefined)
        throw errors.MalformedRequest('it has no Host header');
      await next();
    } catch (error) {
      this.#refuse(context, error, ids);
    } finally {
      const { headers, readableEnded } = context.req;
      const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
      // What is not read would be taken for the next request: then the connection ends with the answer.
      if (
        !context.headerSent &&
        hasBody &&
        !readableEnded &&
        !(await readRest(context.req, this.#parts.clock))
      )
        context.set('connection', 'close');
    }
  }

  /** The description of the API is no secret: it is in the documentation. */
  async openApi(context: Koa.Context, next: Koa.Next): Promise<void> {
    if (context.path !== '/openapi.json') return next();
    if (context.method !== 'GET' && context.method !== 'HEAD')
      throw errors.MethodNotAllowed(context.method, 'GET, HEAD');
    context.body = JSON.stringify(openApi());
    context.type = 'application/json; charset=utf-8';
  }

  async answer(context: Koa.Context): Promise<void> {
    const ids = context.state.ids as Ids;
    if (this.#underWay >= armRequestsMax) throw errors.ServerBusy();
    this.#underWay += 1;
    try {
      const principal = await this.#parts.access.authenticate(context.get('authorization') || undefined);
      const who = principal.objectId;
      const ofThis = this.#underWayOf.get(who) ?? 0;
      if (ofThis >= armRequestsOfOneMax) throw errors.TooManyRequests(armRequestsOfOneMax);
      this.#underWayOf.set(who, ofThis + 1);
      try {
        const rendered = await this.#work(context, principal, ids);
        context.status = rendered.status;
        context.set({ ...rendered.headers });
        if (rendered.body === undefined) context.body = null;
        else {
          context.body = JSON.stringify(rendered.body);
          context.type = 'application/json; charset=utf-8';
        }
        // Koa makes 204 of an empty body.
        context.status = rendered.status;
      } finally {
        const left = this.#underWayOf.get(who)! - 1;
        if (left === 0) this.#underWayOf.delete(who);
        else this.#underWayOf.set(who, left);
      }
    } finally {
      this.#underWay -= 1;
    }
  }

  async #work(context: Koa.Context, principal: Principal, ids: Ids): Promise<Rendered> {
    const at = context.url.indexOf('?');
    const path = at < 0 ? context.url : context.url.slice(0, at);
    const query = new URLSearchParams(at < 0 ? '' : context.url.slice(at + 1));
    const polled = /^(.*)\/operationresults\/([^/]+)\/?$/i.exec(path);
    const isResult = context.method === 'GET' && polled !== null;
    const match = isResult ? undefined : matchOperation(context.method, path);
    if (!isResult && match === undefined) throw unmatched(context.method, path);
    if (!query.get('api-version')) throw errors.MissingApiVersionParameter();
    if (isResult) return this.#result(polled[1]!, polled[2]!, path, query, principal, ids);

    const { operation } = match!;
    const { request, vaultIsThere } = await this.#request(match!, query, principal, ids);
    const isWrite = operation.method !== 'GET' && operation.method !== 'HEAD';
    let jobId: string | undefined;
    const audit = (status: number, code: string | undefined) =>
      isWrite
        ? this.#parts.audit({
            principal,
            operationId: operation.id,
            resourceId: request.resourceId,
            status,
            code,
            jobId,
            correlationId: ids.correlationId,
            clientRequestId: ids.clientRequestId,
            from: context.req.socket.remoteAddress ?? '',
          })
        : undefined;
    let rendered: Rendered;
    try {
      await this.#parts.access.authorize(principal, operation, request.resourceId);
      mustHaveVault(request, vaultIsThere);
      await this.#mustFit(context, match!, request);
      const body = await readArmBody(context.req, operation);
      const answer = await this.#handlerOf(operation)({ ...request, body });
      if ('jobId' in answer) jobId = answer.jobId;
      rendered = render(answer, {
        operation,
        path,
        query,
        vaultPath: encodedPath(request.vaultId ?? ''),
        publicUrl: this.#publicUrl,
        retryAfterSeconds: this.#retryAfterSeconds,
      });
    } catch (error) {
      const known = shown(error, ids.requestId);
      // The client is told what it did wrong even where that cannot be written down.
      await audit(statusOf(known), known.code)?.catch((cause: unknown) =>
        this.#parts.log.error('audit-failed', { ...ids, operationId: operation.id, error: cause }),
      );
      throw error;
    }
    // Written down before the client knows: a write that is in no trail is an error, though it happened.
    await audit(rendered.status, undefined);
    return rendered;
  }

  /**
   * `If-Match` and `If-None-Match` of a write, against what a GET of the same path answers. Vaults have etags; of everything else
   * can be said only whether it is there (`*`).
   */
  async #mustFit(context: Koa.Context, { operation }: OperationMatch, request: ArmRequest): Promise<void> {
    const tagsIn = (header: string) =>
      context.get(header) === ''
        ? undefined
        : context
            .get(header)
            .split(',')
            .map((tag) => tag.trim());
    const wanted = tagsIn('if-match');
    const unwanted = tagsIn('if-none-match');
    if (!['PUT', 'PATCH', 'DELETE'].includes(operation.method) || (wanted ?? unwanted) === undefined) return;
    const found = matchOperation('GET', context.path);
    if (found === undefined) return;
    let etag: string | undefined;
    let isThere = true;
    try {
      const answer = await this.#handlerOf(found.operation)({ ...request, operation: found.operation });
      etag = 'body' in answer ? (answer.body as { etag?: string } | undefined)?.etag : undefined;
    } catch (error) {
      if (!(error instanceof LeewardError) || statusOf(error) !== 404) throw error;
      isThere = false;
    }
    const fits = (tags: readonly string[]) =>
      isThere && (tags.includes('*') || (etag !== undefined && tags.includes(etag)));
    const name = request.resourceId.split('/').at(-1)!;
    if (wanted !== undefined && !fits(wanted))
      throw errors.PreconditionFailed(
        name,
        !isThere
          ? 'is not there'
          : etag === undefined
            ? 'has no etag to be compared with If-Match'
            : undefined,
      );
    if (unwanted !== undefined && fits(unwanted))
      throw errors.PreconditionFailed(name, 'is there already, and If-None-Match forbids that');
  }

  /** Of a long-running operation: 202 until its job has ended, then what a GET of the resource answers. */
  async #result(
    resourcePath: string,
    jobId: string,
    path: string,
    query: URLSearchParams,
    principal: Principal,
    ids: Ids,
  ): Promise<Rendered> {
    const job = await this.#parts.jobs.get(jobId.toLowerCase());
    // The export is a job that answers itself; the vault's health is asked without its `default`.
    const target = resourcePath
      .replace(/\/replicationJobs$/i, `/replicationJobs/${jobId}`)
      .replace(/(\/replicationVaultHealth)\/default$/i, '$1');
    const match = matchOperation('GET', target);
    if (match === undefined) throw unmatched('GET', path);
    const { request, vaultIsThere } = await this.#request(match, query, principal, ids);
    await this.#parts.access.authorize(principal, match.operation, request.resourceId);
    mustHaveVault(request, vaultIsThere);
    if (job === undefined || job.vaultId.toLowerCase() !== request.vaultId?.toLowerCase())
      throw errors.OperationNotFound(jobId);
    if (job.state === 'Failed' || job.state === 'Cancelled') return jobFailure(job, ids);
    if (job.state !== 'Succeeded') return notYet(path, query, this.#publicUrl, this.#retryAfterSeconds);
    try {
      return render(await this.#handlerOf(match.operation)(request), {
        operation: match.operation,
        path: target,
        query,
        vaultPath: encodedPath(request.vaultId ?? ''),
        publicUrl: this.#publicUrl,
        retryAfterSeconds: this.#retryAfterSeconds,
      });
    } catch (error) {
      // It did what it was to do, and that was to remove the resource.
      if (error instanceof LeewardError && statusOf(error) === 404)
        return { status: 204, headers: {}, body: undefined };
      throw error;
    }
  }

  async #request(
    { operation, parameters }: OperationMatch,
    query: URLSearchParams,
    principal: Principal,
    ids: Ids,
  ): Promise<{ readonly request: ArmRequest; readonly vaultIsThere: boolean }> {
    for (const value of Object.values(parameters))
      if (value.length > armNameMax || value.trim() === '' || hasControl(value))
        throw errors.InvalidResourceName(
          `${value.slice(0, 60).replaceAll(/\p{Cc}/gu, '?')}${value.length > 60 ? '…' : ''}`,
          `a name in a path has 1 to ${armNameMax} characters, none of them a control character`,
        );
    const { subscriptionId, resourceGroupName: group } = parameters;
    if (
      subscriptionId !== undefined &&
      subscriptionId.toLowerCase() !== this.#parts.subscriptionId.toLowerCase()
    )
      throw errors.SubscriptionNotFound(subscriptionId);
    const vaultName = parameters.resourceName ?? parameters.vaultName;
    let vaultId: string | undefined;
    let vaultIsThere = false;
    if (vaultName !== undefined && group !== undefined) {
      const asked = vaultResourceId(this.#parts.subscriptionId, group, vaultName);
      const row = await this.#parts.resources.get(asked);
      vaultIsThere = row !== undefined;
      vaultId = row?.id ?? asked;
    }
    const request: ArmRequest = {
      operation,
      parameters,
      query,
      vaultId,
      resourceId: resourceIdOf(operation, parameters, this.#parts.subscriptionId, vaultId),
      body: undefined,
      principal,
      clientRequestId: ids.clientRequestId,
      correlationId: ids.correlationId,
    };
    return { request, vaultIsThere };
  }

  #handlerOf(operation: Operation): Handler {
    if (operation.id === 'replicationOperationStatus.get') return (request) => this.#status(request);
    return (
      this.#table.get(operation.id) ??
      (async () => {
        throw errors.OperationNotSupported(
          `The operation ${operation.id} is not there.`,
          'This server was started without its noun.',
          'Start a whole vault.',
        );
      })
    );
  }

  async #status({ parameters, vaultId, resourceId }: ArmRequest) {
    const job = await this.#parts.jobs.get(parameters.operationId!.toLowerCase());
    if (job === undefined || job.vaultId.toLowerCase() !== vaultId?.toLowerCase())
      throw errors.OperationNotFound(parameters.operationId!);
    return { body: operationStatus(job, resourceId), underWay: !hasEnded(job.state) };
  }

  #refuse(context: Koa.Context, error: unknown, ids: Ids): void {
    const known = shown(error, ids.requestId);
    const status = statusOf(known);
    const fields = { ...ids, method: context.method, path: context.path, code: known.code };
    if (status >= 500) this.#parts.log.error('arm-request-failed', { ...fields, error });
    else this.#parts.log.debug('arm-request-refused', { ...fields, status });
    context.status = status;
    if (status === 429 || status === 503) context.set('retry-after', String(this.#retryAfterSeconds || 1));
    if (status === 401)
      context.set(
        'www-authenticate',
        `Bearer authorization_uri="${known.context.authorizationUri ?? `${this.#publicUrl}/`}", error="invalid_token", error_description="${known.code}"`,
      );
    if (status === 405) context.set('allow', String(known.context.allowed ?? ''));
    context.body = JSON.stringify(envelope(known, ids));
    context.type = 'application/json; charset=utf-8';
  }
}

/** What HTTP's parser could not read is refused like everything else, on the bare socket. `code`: the parser's. */
function refusalOfUnread(code: string | undefined, random: Random): string {
  const [status, reason, what] =
    code === 'HPE_HEADER_OVERFLOW'
      ? [
          431,
          'Request Header Fields Too Large',
          `its address and headers are longer than ${armHeaderBytesMax} bytes`,
        ]
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout', 'it did not arrive in time']
        : code === 'HPE_INVALID_METHOD'
          ? [400, 'Bad Request', 'its method is none of HTTP’s, or not in capital letters']
          : [400, 'Bad Request', 'it is not HTTP/1.1'];
  const ids = { clientRequestId: random.uuid(), correlationId: random.uuid() };
  const body = JSON.stringify(envelope(errors.MalformedRequest(what, status), ids));
  return [
    `HTTP/1.1 ${status} ${reason}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-ms-request-id: ${ids.correlationId}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

/** What lies in a vault that is not there: the reference names the vault, not what lies in it. */
function mustHaveVault({ operation, vaultId, parameters }: ArmRequest, isThere: boolean): void {
  if (vaultId === undefined || isThere || /\/vaults\/\{[^}]+\}$/.test(operation.path)) return;
  throw errors.ResourceNotFound(
    'Microsoft.RecoveryServices/vaults',
    (parameters.resourceName ?? parameters.vaultName)!,
    `resource group '${parameters.resourceGroupName}'`,
  );
}

function unmatched(method: string, path: string): LeewardError {
  try {
    decodeURIComponent(path);
  } catch {
    return errors.InvalidRequestPath();
  }
  const allowed = methodsOf(path);
  return allowed.length > 0 && !allowed.includes(method as (typeof allowed)[number])
    ? errors.MethodNotAllowed(method, allowed.join(', '))
    : errors.InvalidResourceType(path);
}

/** The path's template filled in up to its last name, the vault's part as the vault was made. */
function resourceIdOf(
  operation: Operation,
  parameters: Readonly<Record<string, string>>,
  subscriptionId: string,
  vaultId: string | undefined,
): string {
  const upToName = operation.path.replace(/(\/[^/{}]+)+$/, '');
  const filled = (path: string) =>
    path.replace(/\{([^}]+)\}/g, (_, name: string) =>
      name === 'subscriptionId' ? subscriptionId : (parameters[name] ?? ''),
    );
  const below = /^.*?\/vaults\/\{[^}]+\}(.*)$/.exec(upToName)?.[1];
  if (vaultId !== undefined && below !== undefined) return `${vaultId}${filled(below)}`;
  return filled(upToName.replace('/resourcegroups/', '/resourceGroups/'));
}

const encodedPath = (id: string): string => id.split('/').map(encodeURIComponent).join('/');

/** Control characters in a name would break logs and headers. */
const hasControl = (text: string): boolean => /\p{Cc}/u.test(text);
