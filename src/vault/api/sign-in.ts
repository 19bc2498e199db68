/**
 * Sign-in of service principals, with the paths and bodies of the reference's: what `az`, `azure-identity`, Terraform and
 * MSAL ask when the vault's URL is their authority.
 *
 *     GET  /{tenant}/v2.0/.well-known/openid-configuration     where everything is
 *     GET  /{tenant}/discovery/v2.0/keys                       what signs
 *     POST /{tenant}/oauth2/v2.0/token                         id and secret ─▶ a token for an hour
 *     POST /{tenant}/oauth2/token                              the same, as the first version has it
 *
 * Promises: whoever guesses secrets is slowed down, per application and per address; an answer does not say whether the
 * application exists. A secret is in the body or in `Authorization: Basic`, never in a log.
 */
import type Koa from 'koa';
import { type Clock, withDeadline } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Log } from '../../platform/log.ts';
import type { Random } from '../../platform/random.ts';
import type { Access } from '../access/access.ts';
import { GuessLimit } from '../access/guess-limit.ts';
import {
  guessersRememberedMax,
  guessesOfAddressPerMinuteMax,
  guessesPerMinuteMax,
  guessWindowMilliseconds,
  signInBodyBytesMax,
  signInBodyMilliseconds,
} from '../access/limits.ts';
import type { ServicePrincipals } from '../access/service-principals.ts';
import { type SigningKeys, signingAlgorithm } from '../access/signing-keys.ts';
import { readText } from './body.ts';

export interface SignInParts {
  readonly tenantId: string;
  readonly access: Access;
  readonly servicePrincipals: ServicePrincipals;
  readonly keys: SigningKeys;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** `publicUrl`: without a slash at its end. */
export function signIn(parts: SignInParts, publicUrl: string): Koa.Middleware {
  const { tenantId, clock } = parts;
  const limit = (most: number) =>
    new GuessLimit({
      clock,
      most,
      windowMilliseconds: guessWindowMilliseconds,
      rememberedMax: guessersRememberedMax,
    });
  const guesses: Guesses = {
    ofApplication: limit(guessesPerMinuteMax),
    ofAddress: limit(guessesOfAddressPerMinuteMax),
  };
  return async (context, next) => {
    const [, tenant = '', ...rest] = context.path.split('/');
    const route = routes[rest.join('/').toLowerCase().replace(/\/$/, '')];
    if (route === undefined) return next();
    try {
      const known = tenant.toLowerCase();
      if (
        known !== tenantId.toLowerCase() &&
        !(route !== 'token' && anyTenant.has(known)) &&
        route !== 'instance'
      )
        throw oauth(400, 'invalid_request', `AADSTS90002: Tenant '${tenant}' not found.`, 90002);
      if (route === 'token') {
        if (context.method !== 'POST')
          throw oauth(
            405,
            'invalid_request',
            'AADSTS900561: The endpoint only accepts POST requests.',
            900561,
          );
        context.body = await token(parts, guesses, context, rest.join('/').toLowerCase().includes('v2.0'));
        context.set({ 'cache-control': 'no-store', pragma: 'no-cache' });
        return;
      }
      if (context.method !== 'GET')
        throw oauth(405, 'invalid_request', 'AADSTS900561: The endpoint only accepts GET requests.', 900561);
      if (route === 'keys') context.body = await parts.keys.published();
      else if (route === 'instance') context.body = instance(publicUrl, tenantId);
      else context.body = configuration(publicUrl, tenantId, route === 'configuration');
    } catch (error) {
      refuse(parts, context, error);
    }
  };
}

const routes: Readonly<Record<string, 'configuration' | 'configuration1' | 'keys' | 'instance' | 'token'>> = {
  'v2.0/.well-known/openid-configuration': 'configuration',
  '.well-known/openid-configuration': 'configuration1',
  'discovery/v2.0/keys': 'keys',
  'discovery/keys': 'keys',
  'discovery/instance': 'instance',
  'oauth2/v2.0/token': 'token',
  'oauth2/token': 'token',
};

/** Names that the reference has for "whichever tenant"; there is one. */
const anyTenant: ReadonlySet<string> = new Set(['common', 'organizations']);

interface Guesses {
  readonly ofApplication: GuessLimit;
  readonly ofAddress: GuessLimit;
}

async function token(
  parts: SignInParts,
  guesses: Guesses,
  context: Koa.Context,
  secondVersion: boolean,
): Promise<unknown> {
  const form = await readForm(parts.clock, context);
  const { clientId, secret } = credentials(form, context.get('authorization'));
  if (form.get('grant_type') !== 'client_credentials')
    throw oauth(
      400,
      form.get('grant_type') ? 'unsupported_grant_type' : 'invalid_request',
      `AADSTS70003: The app requested an unsupported grant type '${form.get('grant_type') ?? ''}'. This vault signs in service principals with client_credentials; people sign in at their own issuer.`,
      70003,
    );
  if (clientId === undefined)
    throw oauth(
      400,
      'invalid_request',
      "AADSTS900144: The request body must contain the following parameter: 'client_id'.",
      900144,
    );
  if (secret === undefined)
    throw oauth(
      401,
      'invalid_client',
      "AADSTS7000218: The request body must contain the following parameter: 'client_secret'. Assertions are not supported here.",
      7000218,
    );
  const asked = secondVersion ? resourceOfScope(form.get('scope')) : (form.get('resource') ?? undefined);
  const audience = asked === undefined ? undefined : parts.access.audienceOf(asked);
  if (audience === undefined)
    throw oauth(
      400,
      secondVersion ? 'invalid_scope' : 'invalid_resource',
      asked === undefined
        ? 'AADSTS1002012: The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource.'
        : `AADSTS500011: The resource principal named ${asked} was not found in the tenant. Ask for ${parts.access.audienceOf('https://management.azure.com')}, or for the vault's public URL.`,
      asked === undefined ? 1002012 : 500011,
    );
  const address = context.req.socket.remoteAddress ?? '';
  const guesser = `${clientId.toLowerCase().slice(0, 100)} ${address}`;
  const wait = Math.max(
    guesses.ofApplication.waitSeconds(guesser) ?? 0,
    guesses.ofAddress.waitSeconds(address) ?? 0,
  );
  if (wait > 0) {
    context.set('retry-after', String(wait));
    throw oauth(
      429,
      'temporarily_unavailable',
      `AADSTS50196: Too many wrong secrets. Try again in ${wait} seconds.`,
      50196,
    );
  }
  const principal = await parts.servicePrincipals.check(clientId, secret);
  if (principal === undefined) {
    guesses.ofApplication.wrong(guesser);
    guesses.ofAddress.wrong(address);
    parts.log.warn('sign-in-refused', { applicationId: clientId.slice(0, 100), address });
    throw oauth(
      401,
      'invalid_client',
      `AADSTS7000215: Invalid client secret provided, it has expired, or there is no application '${clientId.slice(0, 100)}'.`,
      7000215,
    );
  }
  const issued = await parts.access.issue(principal, audience);
  parts.log.info('signed-in', { objectId: principal.objectId, address });
  const seconds = issued.expiresAtSeconds - issued.issuedAtSeconds;
  return secondVersion
    ? { token_type: 'Bearer', expires_in: seconds, ext_expires_in: seconds, access_token: issued.token }
    : {
        token_type: 'Bearer',
        expires_in: String(seconds),
        ext_expires_in: String(seconds),
        expires_on: String(issued.expiresAtSeconds),
        not_before: String(issued.issuedAtSeconds),
        resource: asked,
        access_token: issued.token,
      };
}

/** `https://vault//.default` is what `az` writes. */
function resourceOfScope(scope: string | null): string | undefined {
  const resources = (scope ?? '')
    .split(' ')
    .filter((one) => one.endsWith('/.default'))
    .map((one) => one.slice(0, -'/.default'.length));
  return resources.length === 1 ? resources[0] : undefined;
}

function credentials(
  form: URLSearchParams,
  authorization: string,
): { readonly clientId: string | undefined; readonly secret: string | undefined } {
  const basic = /^Basic +([\w+/=-]{1,4096})$/i.exec(authorization)?.[1];
  if (basic === undefined)
    return {
      clientId: form.get('client_id') ?? undefined,
      secret: form.get('client_secret') ?? undefined,
    };
  const text = Buffer.from(basic, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 0) return { clientId: undefined, secret: undefined };
  // RFC 6749, 2.3.1: both are form-encoded before they are joined.
  const decoded = (value: string) => {
    try {
      return decodeURIComponent(value.replaceAll('+', ' '));
    } catch {
      return value;
    }
  };
  return { clientId: decoded(text.slice(0, colon)), secret: decoded(text.slice(colon + 1)) };
}

async function readForm(clock: Clock, context: Koa.Context): Promise<URLSearchParams> {
  if (!context.is('application/x-www-form-urlencoded'))
    throw oauth(
      400,
      'invalid_request',
      "AADSTS900144: The request body must be of type 'application/x-www-form-urlencoded'.",
      900144,
    );
  const read = async () => {
    try {
      return new URLSearchParams(await readText(context.req, signInBodyBytesMax));
    } catch (error) {
      if (!(error instanceof LeewardError)) throw error;
      throw error.code === 'RequestEntityTooLarge'
        ? oauth(413, 'invalid_request', 'AADSTS90015: The request is too long.', 90015)
        : oauth(400, 'invalid_request', `AADSTS900144: ${error.summary}`, 900144);
    }
  };
  return withDeadline(clock, signInBodyMilliseconds, read(), () =>
    oauth(408, 'invalid_request', 'AADSTS90033: The request did not arrive in time.', 90033),
  );
}

/** An error as OAuth writes it; it never leaves this file. */
class OAuthRefusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly number: number;
  constructor(status: number, code: string, description: string, number: number) {
    super(description);
    this.status = status;
    this.code = code;
    this.number = number;
  }
}
const oauth = (status: number, code: string, description: string, number: number) =>
  new OAuthRefusal(status, code, description, number);

function refuse(parts: SignInParts, context: Koa.Context, error: unknown): void {
  let refusal: OAuthRefusal;
  if (error instanceof OAuthRefusal) refusal = error;
  else if (error instanceof LeewardError && error.retry === 'transient') {
    context.set('retry-after', '2');
    refusal = oauth(503, 'temporarily_unavailable', `AADSTS90033: ${error.summary}`, 90033);
  } else throw error;
  const ids = context.state.ids as { requestId: string; correlationId: string } | undefined;
  context.status = refusal.status;
  if (refusal.status === 401)
    context.set('www-authenticate', `Basic realm="${parts.tenantId}", error="${refusal.code}"`);
  context.body = {
    error: refusal.code,
    error_description: refusal.message,
    error_codes: [refusal.number],
    timestamp: new Date(parts.clock.now()).toISOString().replace('T', ' '),
    trace_id: ids?.requestId ?? parts.random.uuid(),
    correlation_id: ids?.correlationId ?? parts.random.uuid(),
  };
}

function configuration(publicUrl: string, tenantId: string, secondVersion: boolean): unknown {
  const root = `${publicUrl}/${tenantId}`;
  const version = secondVersion ? '/v2.0' : '';
  return {
    issuer: `${root}/v2.0`,
    authorization_endpoint: `${root}/oauth2${version}/authorize`,
    token_endpoint: `${root}/oauth2${version}/token`,
    device_authorization_endpoint: `${root}/oauth2${version}/devicecode`,
    jwks_uri: `${root}/discovery${version}/keys`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    grant_types_supported: ['client_credentials'],
    response_types_supported: ['code', 'token'],
    response_modes_supported: ['query', 'form_post'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: [signingAlgorithm],
    scopes_supported: ['openid'],
    claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'nbf', 'oid', 'tid', 'appid'],
    tenant_region_scope: null,
    cloud_instance_name: new URL(publicUrl).host,
  };
}

/** What MSAL asks to learn whether a host is an authority at all. */
function instance(publicUrl: string, tenantId: string): unknown {
  const { host } = new URL(publicUrl);
  return {
    tenant_discovery_endpoint: `${publicUrl}/${tenantId}/v2.0/.well-known/openid-configuration`,
    'api-version': '1.1',
    metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
  };
}
