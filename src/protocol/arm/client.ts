/**
 * Our own client of the vault's REST API, for the command line and the portal: small, because the public SDKs exist for
 * everybody else. Signs in with client credentials, follows pages and job links, and turns the API's errors back into ours.
 *
 *     request ─▶ token (asked once, renewed before it ends) ─▶ HTTPS ─▶ 429, 503: again after Retry-After, three times
 *                                                                  └▶ 202: the job's id, out of `operationresults/{id}`
 */
import { Agent, request as httpsRequest } from 'node:https';
import { z } from 'zod';
import { type Clock, pause } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';

export interface ClientOptions {
  /** The vault's public URL, without a path. */
  readonly url: string;
  /** PEM; undefined: the machine's own trust. */
  readonly ca?: string | undefined;
  readonly tenantId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface ClientAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined where there is none. */
  readonly body: unknown;
  /** Of a 202: the job that does the work. */
  readonly jobId: string | undefined;
}

/** What this client is written against; the vault answers any. */
const apiVersion = '2025-08-01';
/** The vault answers lists and rows in milliseconds; this is for one that hangs. */
const silenceMilliseconds = 60_000;
const retriesMax = 3;
/** A vault that asks for a longer pause is not waited for. */
const retryAfterSecondsMax = 60;
/** Renewed this long before its end, so that it does not end on the way. */
const tokenMarginSeconds = 120;
/** A page of 1,000 items with all their disks is below 8 MiB. */
const answerBytesMax = 32 * 2 ** 20;
const pagesMax = 10_000;

const TokenAnswer = z.looseObject({ access_token: z.string(), expires_in: z.coerce.number() });
const TokenError = z.looseObject({ error: z.string(), error_description: z.string().optional() });
const Page = z.looseObject({ value: z.array(z.unknown()), nextLink: z.string().nullish() });
const ErrorAnswer = z.looseObject({
  error: z.looseObject({
    code: z.string(),
    message: z.string(),
    details: z
      .array(z.looseObject({ possibleCauses: z.string().nullish(), recommendedAction: z.string().nullish() }))
      .nullish(),
  }),
});

export class ArmClient implements Disposable {
  readonly #options: ClientOptions;
  readonly #agent: Agent;
  #token: { readonly text: string; readonly endsAt: number } | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 4,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
  }

  /** `path`: `/subscriptions/…`, percent-encoded. Throws a `LeewardError` with the vault's own code, cause and action. */
  async request(
    method: string,
    path: string,
    options: { readonly query?: Readonly<Record<string, string | undefined>>; readonly body?: unknown } = {},
  ): Promise<ClientAnswer> {
    const url = new URL(path, this.#options.url);
    if (url.origin !== new URL(this.#options.url).origin)
      throw new LeewardError({
        code: 'NotThisVault',
        summary: `${url.origin} is not the vault that is signed in to`,
        possibleCauses: 'A whole URL of another host was given; it would get the token.',
        recommendedAction: 'Give a path, beginning with /subscriptions/.',
      });
    if (!url.searchParams.has('api-version')) url.searchParams.set('api-version', apiVersion);
    for (const [name, value] of Object.entries(options.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, value);
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.#send(method, url, {
        authorization: `Bearer ${await this.#accessToken()}`,
        ...(options.body === undefined
          ? {}
          : { text: JSON.stringify(options.body), type: 'application/json' }),
      });
      const retryAfter = Number(answer.headers['retry-after'] ?? 1);
      if (
        (answer.status === 429 || answer.status === 503) &&
        attempt < retriesMax &&
        retryAfter <= retryAfterSecondsMax
      ) {
        await pause(this.#options.clock, retryAfter * 1000, this.#options.signal);
        this.#options.signal.throwIfAborted();
        continue;
      }
      if (answer.status >= 400) throw refusal(answer, method, url.pathname);
      return answer;
    }
  }

  /** All items of all pages. */
  async *pages(
    path: string,
    query: Readonly<Record<string, string | undefined>> = {},
  ): AsyncGenerator<unknown, void> {
    let next: string | undefined = path;
    for (let count = 0; next !== undefined && count < pagesMax; count += 1) {
      const answer: ClientAnswer = await this.request('GET', next, count === 0 ? { query } : {});
      const page: z.infer<typeof Page> = Page.parse(answer.body);
      yield* page.value;
      // Only the path is followed: the token goes to the vault and to nobody a page may name.
      const link: URL | undefined = page.nextLink ? new URL(page.nextLink, this.#options.url) : undefined;
      next = link === undefined ? undefined : `${link.pathname}${link.search}`;
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #accessToken(): Promise<string> {
    const { tenantId, clientId, clientSecret, url, clock } = this.#options;
    if (this.#token !== undefined && this.#token.endsAt > clock.now()) return this.#token.text;
    const answer = await this.#send('POST', new URL(`/${tenantId}/oauth2/v2.0/token`, url), {
      text: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        client_secret: clientSecret,
        scope: `${url.replace(/\/$/, '')}/.default`,
      }).toString(),
      type: 'application/x-www-form-urlencoded',
    });
    if (answer.status !== 200) {
      const known = TokenError.safeParse(answer.body);
      throw new LeewardError({
        code: 'SignInRefused',
        summary: `the vault at ${url} does not let ${clientId} in: ${known.data?.error_description ?? known.data?.error ?? `status ${answer.status}`}`,
        possibleCauses:
          'The secret is wrong or was rotated, the service principal was disabled or deleted, or the tenant is another.',
        recommendedAction: 'Sign in again with the tenant, client id and secret that the vault gave.',
        context: { status: answer.status },
      });
    }
    const { access_token: text, expires_in: seconds } = TokenAnswer.parse(answer.body);
    this.#token = { text, endsAt: clock.now() + Math.max(0, seconds - tokenMarginSeconds) * 1000 };
    return text;
  }

  #send(
    method: string,
    url: URL,
    options: { readonly authorization?: string; readonly text?: string; readonly type?: string },
  ): Promise<ClientAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<ClientAnswer>();
    const outgoing = httpsRequest(
      url,
      {
        method,
        agent: this.#agent,
        timeout: silenceMilliseconds,
        signal: this.#options.signal,
        headers: {
          accept: 'application/json',
          ...(options.authorization === undefined ? {} : { authorization: options.authorization }),
          ...(options.text === undefined
            ? {}
            : { 'content-type': options.type, 'content-length': Buffer.byteLength(options.text) }),
        },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        let length = 0;
        incoming.on('data', (chunk: Buffer) => {
          length += chunk.byteLength;
          if (length > answerBytesMax)
            incoming.destroy(unreachable(url, new Error('its answer is too long')));
          else chunks.push(chunk);
        });
        incoming.once('error', (error) =>
          reject(error instanceof LeewardError ? error : unreachable(url, error)),
        );
        incoming.once('end', () => {
          const headers = Object.fromEntries(
            Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
          );
          const text = Buffer.concat(chunks).toString();
          try {
            resolve({
              status: incoming.statusCode!,
              headers,
              body: text === '' ? undefined : JSON.parse(text),
              jobId:
                incoming.statusCode === 202
                  ? /\/operationresults\/([^/?]+)/i.exec(headers.location ?? '')?.[1]
                  : undefined,
            });
          } catch (cause) {
            reject(unreachable(url, cause));
          }
        });
      },
    );
    outgoing.once('timeout', () => outgoing.destroy(unreachable(url, new Error('it says nothing'))));
    outgoing.once('error', (error) =>
      reject(error instanceof LeewardError ? error : unreachable(url, error)),
    );
    outgoing.end(options.text);
    return promise;
  }
}

function refusal(answer: ClientAnswer, method: string, path: string): LeewardError {
  const known = ErrorAnswer.safeParse(answer.body);
  const detail = known.data?.error.details?.[0];
  return new LeewardError({
    code: known.data?.error.code ?? `Status${answer.status}`,
    summary: known.data?.error.message ?? `the vault answered ${answer.status}`,
    possibleCauses: detail?.possibleCauses ?? 'The vault does not say.',
    recommendedAction: detail?.recommendedAction ?? 'Correct the request, or look at the vault’s log.',
    context: {
      status: answer.status,
      request: `${method} ${path}`,
      requestId: answer.headers['x-ms-request-id'],
    },
  });
}

function unreachable(url: URL, cause: unknown): LeewardError {
  return new LeewardError({
    code: 'VaultUnreachable',
    summary: `the vault at ${url.origin} cannot be talked to`,
    possibleCauses:
      'It is not running, something between blocks the port, or its certificate is signed by an authority that is not the given one.',
    recommendedAction: 'Start the vault; check its URL and the file of its certificate authority.',
    retry: 'transient',
    context: { url: url.origin },
    cause,
  });
}
