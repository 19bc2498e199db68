/**
 * The vault's admin socket: koa on a unix socket in the data folder, which only the vault's own user may open. Routes
 * parse and render; the work is in `admin-operations.ts`. Each answer is lines of JSON: progress, then one result or error.
 */
import { chmod, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { PassThrough } from 'node:stream';
import Koa from 'koa';
import { z } from 'zod';
import { type Clock, pause } from '../../platform/clock.ts';
import { causesOf, LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import { parse, parseJson } from '../../platform/settings.ts';
import {
  AddProcessServer,
  type AdminLine,
  ProtectRequest,
  TestFailoverRequest,
} from '../../protocol/control/vault-admin.ts';
import { errors } from '../errors.ts';
import { adminBodyBytesMax, pageMax } from '../limits.ts';
import type { AdminOperations, Report } from './admin-operations.ts';

type Handler = (
  operations: AdminOperations,
  request: { readonly match: RegExpMatchArray; readonly query: URLSearchParams; readonly body: unknown },
  report: Report,
) => Promise<unknown>;

const route = (method: string, path: RegExp, handler: Handler) => ({ method, path, handler });
const body = <T extends z.ZodType>(schema: T, value: unknown) => parse(schema, value, 'the request');
const limitOf = (query: URLSearchParams) => {
  const limit = Number(query.get('limit') ?? 50);
  if (!Number.isInteger(limit) || limit < 1 || limit > pageMax)
    throw errors.RequestInvalid(`limit must be a whole number from 1 to ${pageMax}`);
  return limit;
};
const named = (match: RegExpMatchArray) => decodeURIComponent(match[1]!);

const routes = [
  route('POST', /^\/process-servers$/, (o, { body: b }) => o.addProcessServer(body(AddProcessServer, b))),
  route('GET', /^\/process-servers$/, (o) => o.listProcessServers()),
  route('GET', /^\/items$/, (o) => o.listItems()),
  route('POST', /^\/items$/, (o, { body: b }) => o.protect(body(ProtectRequest, b))),
  route('GET', /^\/items\/([^/]+)$/, (o, { match }) => o.showItem(named(match))),
  route('DELETE', /^\/items\/([^/]+)$/, (o, { match }) => o.unprotect(named(match))),
  route('GET', /^\/items\/([^/]+)\/points$/, (o, { match, query }) =>
    o.listPoints(named(match), limitOf(query)),
  ),
  route('POST', /^\/items\/([^/]+)\/resync$/, (o, { match }) => o.resync(named(match))),
  route('POST', /^\/items\/([^/]+)\/verify$/, (o, { match }, report) => o.verify(named(match), report)),
  route('POST', /^\/verify$/, (o, _, report) => o.verify(undefined, report)),
  route('GET', /^\/events$/, (o, { query }) => o.listEvents(query.get('item') ?? undefined, limitOf(query))),
  route('POST', /^\/items\/([^/]+)\/test-failover$/, (o, { match, body: b }, report) =>
    o.testFailover(named(match), body(TestFailoverRequest, b), report),
  ),
  route('GET', /^\/failovers$/, (o) => o.listFailovers()),
  route('POST', /^\/failovers\/([^/]+)\/cleanup$/, (o, { match, body: b }, report) =>
    o.cleanup(
      named(match),
      typeof b === 'object' && b !== null && 'notes' in b ? String(b.notes) : '',
      report,
    ),
  ),
] as const;

export interface AdminServerOptions {
  readonly socketPath: string;
  readonly operations: AdminOperations;
  readonly clock: Clock;
  readonly log: Log;
}

/** Well below the silence after which the command line gives up. */
const repeatMilliseconds = 10_000;

export async function startAdminServer(options: AdminServerOptions): Promise<AsyncDisposable> {
  const { socketPath, operations, clock, log } = options;
  const app = new Koa();
  app.use(async (context) => {
    const lines = new PassThrough();
    context.status = 200;
    context.type = 'application/x-ndjson';
    context.body = lines;
    // A caller must be able to tell long work from a vault that hangs: the last thing said is said again.
    const working = new AbortController();
    let last: AdminLine = { kind: 'progress', text: 'working' };
    const say = (line: AdminLine) => {
      last = line;
      lines.write(`${JSON.stringify(line)}\n`);
    };
    const repeat = async () => {
      while (!working.signal.aborted) {
        await pause(clock, repeatMilliseconds, working.signal);
        if (!working.signal.aborted) say(last);
      }
    };
    const work = async () => {
      const [path, query] = context.url.split('?', 2);
      for (const { method, path: pattern, handler } of routes) {
        const match = context.method === method ? path!.match(pattern) : null;
        if (!match) continue;
        const content = await readBody(context.req);
        return handler(
          operations,
          { match, query: new URLSearchParams(query ?? ''), body: content },
          (text, fraction) =>
            void say({ kind: 'progress', text, ...(fraction === undefined ? {} : { fraction }) }),
        );
      }
      throw errors.RequestInvalid(`the vault knows no ${context.method} ${path}`);
    };
    // Not awaited here: koa sends the headers when this function returns, and the lines as they come.
    void repeat();
    void work().then(
      (value) => {
        working.abort();
        say({ kind: 'result', value: value ?? null });
        lines.end();
      },
      (error: unknown) => {
        working.abort();
        const known = error instanceof LeewardError ? error : internal(error);
        if (!(error instanceof LeewardError)) log.error('admin-request-failed', { error });
        const { code, summary, possibleCauses, recommendedAction } = known;
        say({
          kind: 'error',
          error: { code, summary, possibleCauses, recommendedAction, because: causesOf(known) },
        });
        lines.end();
      },
    );
  });
  const server = createServer(app.callback());
  await rm(socketPath, { force: true });
  // The socket must never be open to others, not even between `listen` and `chmod`.
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socketPath, () => resolve());
    });
  } finally {
    process.umask(mask);
  }
  await chmod(socketPath, 0o600);
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      await rm(socketPath, { force: true });
    },
  };
}

async function readBody(request: AsyncIterable<unknown>): Promise<unknown> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of request) {
    total += (chunk as Buffer).byteLength;
    if (total > adminBodyBytesMax) throw errors.RequestInvalid('the request is too large');
    chunks.push(chunk as Buffer);
  }
  const text = Buffer.concat(chunks).toString();
  return text === '' ? undefined : parseJson(z.unknown(), text, 'the request');
}

function internal(error: unknown): LeewardError {
  return new LeewardError({
    code: 'InternalError',
    summary: `the vault made a mistake: ${error instanceof Error ? error.message : String(error)}`,
    possibleCauses: 'A defect of the vault, or the machine under it.',
    recommendedAction: 'Look at the vault’s log for `admin-request-failed` and report it.',
    cause: error,
  });
}
