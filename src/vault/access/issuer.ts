/**
 * An issuer of tokens that is not this vault: any OpenID Connect provider. Its configuration and keys are fetched over
 * HTTPS, kept for an hour, fetched again for a key that is not known (but not for every token that claims one), and kept
 * in use for a day when it does not answer, so that a short outage of it does not lock everybody out.
 *
 *     token ─▶ issuer of the settings? ─▶ key of its set ─▶ signature, audience, times ─▶ claims ─▶ roles of the settings
 */
import { get as httpsGet } from 'node:https';
import { createLocalJWKSet, type JSONWebKeySet, type JWTPayload, errors as jose, jwtVerify } from 'jose';
import { z } from 'zod';
import { type Clock, withDeadline } from '../../platform/clock.ts';
import { parseJson } from '../../platform/settings.ts';
import type { OidcIssuer } from '../settings.ts';
import { errors } from './errors.ts';
import {
  clockSkewSeconds,
  issuerDocumentBytesMax,
  issuerKeysAgainMilliseconds,
  issuerKeysKeptMilliseconds,
  issuerKeysStaleMilliseconds,
  issuerTimeoutMilliseconds,
} from './limits.ts';

/** Signatures only that need the private half of a key: a secret that both sides know would let us be impersonated. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

const Configuration = z.looseObject({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https$/ }) });
const KeySet = z.looseObject({ keys: z.array(z.looseObject({ kty: z.string() })).max(100) });

interface Fetched {
  readonly keys: ReturnType<typeof createLocalJWKSet>;
  readonly at: number;
}

export class Issuer {
  readonly settings: OidcIssuer;
  readonly #clock: Clock;
  /** PEM; undefined: the machine's own trust. */
  readonly #ca: string | undefined;
  #fetched: Fetched | undefined;
  #fetching: Promise<Fetched> | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;

  constructor(settings: OidcIssuer, ca: string | undefined, clock: Clock) {
    this.settings = settings;
    this.#ca = ca;
    this.#clock = clock;
  }

  /** Throws what `jose` says of a token that is not good, and `IssuerUnreachable`. */
  async verify(token: string): Promise<JWTPayload> {
    const check = async ({ keys }: Fetched) =>
      (
        await jwtVerify(token, keys, {
          issuer: this.settings.issuer,
          audience: this.settings.audience,
          algorithms,
          clockTolerance: clockSkewSeconds,
          currentDate: new Date(this.#clock.now()),
          requiredClaims: ['exp', 'sub'],
        })
      ).payload;
    const kept = await this.#keys();
    try {
      return await check(kept);
    } catch (error) {
      if (!(error instanceof jose.JWKSNoMatchingKey)) throw error;
      const anew = await this.#keysAgain(kept);
      if (anew === kept) throw error;
      return check(anew);
    }
  }

  async #keys(): Promise<Fetched> {
    const now = this.#clock.monotonic();
    const kept = this.#fetched;
    if (kept && now - kept.at < issuerKeysKeptMilliseconds) return kept;
    const usable = kept && now - kept.at < issuerKeysStaleMilliseconds ? kept : undefined;
    const triedJustNow = now - this.#triedAt < issuerKeysAgainMilliseconds;
    if (usable && triedJustNow) return usable;
    // Without any keys a flood of tokens would be a flood of requests to the issuer.
    if (triedJustNow && !this.#fetching)
      throw errors.IssuerUnreachable(this.settings.issuer, 'it did not answer some seconds ago');
    try {
      return await this.#fetch();
    } catch (error) {
      if (usable) return usable;
      throw error;
    }
  }

  async #keysAgain(kept: Fetched): Promise<Fetched> {
    if (this.#clock.monotonic() - this.#triedAt < issuerKeysAgainMilliseconds) return kept;
    return this.#fetch().catch(() => kept);
  }

  /** One at a time, however many tokens wait for it. */
  #fetch(): Promise<Fetched> {
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchNow(): Promise<Fetched> {
    const { issuer } = this.settings;
    this.#triedAt = this.#clock.monotonic();
    const at = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const configuration = parseJson(Configuration, await this.#get(at), at);
    if (configuration.issuer !== issuer)
      throw errors.IssuerUnreachable(issuer, `its configuration is that of ${configuration.issuer}`);
    const set = parseJson(KeySet, await this.#get(configuration.jwks_uri), configuration.jwks_uri);
    const fetched = {
      keys: createLocalJWKSet(set as unknown as JSONWebKeySet),
      at: this.#clock.monotonic(),
    };
    this.#fetched = fetched;
    return fetched;
  }

  /** No redirects: keys come from where the settings and the configuration say, over HTTPS. */
  #get(url: string): Promise<string> {
    const failed = (why: string, cause?: unknown) =>
      errors.IssuerUnreachable(this.settings.issuer, `${url}: ${why}`, cause);
    const over = new AbortController();
    const answer = new Promise<string>((resolve, reject) => {
      const request = httpsGet(
        url,
        {
          signal: over.signal,
          agent: false,
          headers: { accept: 'application/json' },
          ...(this.#ca === undefined ? {} : { ca: this.#ca }),
        },
        (response) => {
          const pieces: Buffer[] = [];
          let total = 0;
          if (response.statusCode !== 200) {
            response.resume();
            reject(failed(`status ${response.statusCode}`));
            return;
          }
          response.on('data', (piece: Buffer) => {
            total += piece.byteLength;
            if (total > issuerDocumentBytesMax) request.destroy(new Error('the answer is too long'));
            else pieces.push(piece);
          });
          response.once('error', (cause) => reject(failed(cause.message, cause)));
          response.once('end', () => resolve(Buffer.concat(pieces).toString()));
        },
      );
      request.once('error', (cause) => reject(failed(cause.message, cause)));
    });
    return withDeadline(this.#clock, issuerTimeoutMilliseconds, answer, () =>
      failed(`no answer within ${issuerTimeoutMilliseconds / 1000} s`),
    ).finally(() => over.abort());
  }
}
