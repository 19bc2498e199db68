/**
 * Service principals: programs that sign in with an application id and a secret. Secrets are made here and shown once; what
 * stays is a hash. Two may be valid at once, so that one can be replaced without a moment in which neither works.
 */
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { hashSecret, matchesHash } from '../../platform/secret-hash.ts';
import type { PrincipalRecord, Principals, SecretRecord } from '../store/principals.ts';
import { errors } from './errors.ts';
import {
  hashesAtOnceMax,
  hashesWaitingMax,
  secretBytes,
  secretDaysDefault,
  secretDaysMax,
  secretsOfOneMax,
} from './limits.ts';

export interface ServicePrincipalsParts {
  readonly principals: Principals;
  readonly clock: Clock;
  readonly random: Random;
}

export interface MadeSecret {
  readonly secretId: string;
  /** The only time that it is seen. */
  readonly secret: string;
  readonly hint: string;
  readonly expiresAt: string;
}

export interface MadePrincipal extends MadeSecret {
  readonly objectId: string;
  readonly applicationId: string;
  readonly displayName: string;
}

export class ServicePrincipals {
  readonly #parts: ServicePrincipalsParts;
  #hashing = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(parts: ServicePrincipalsParts) {
    this.#parts = parts;
  }

  async create(
    displayName: string,
    { days = secretDaysDefault, enabled = true }: { readonly days?: number; readonly enabled?: boolean } = {},
  ): Promise<MadePrincipal> {
    const { principals, random, clock } = this.#parts;
    const principal: PrincipalRecord = {
      objectId: random.uuid(),
      kind: 'ServicePrincipal',
      applicationId: random.uuid(),
      displayName,
      enabled,
      createdAt: new Date(clock.now()).toISOString(),
    };
    await principals.add(principal);
    const secret = await this.addSecret(principal.objectId, 'first', days);
    return {
      objectId: principal.objectId,
      applicationId: principal.applicationId!,
      displayName,
      ...secret,
    };
  }

  async addSecret(objectId: string, displayName: string, days = secretDaysDefault): Promise<MadeSecret> {
    const { principals, random, clock } = this.#parts;
    const principal = await principals.byObjectId(objectId);
    if (principal?.kind !== 'ServicePrincipal') throw errors.PrincipalNotFound(objectId);
    const secret = random.bytes(secretBytes).toString('base64url');
    const now = clock.now();
    const lifeDays = Math.min(Math.max(days, 1 / 86_400), secretDaysMax);
    const record: SecretRecord = {
      secretId: random.uuid(),
      displayName,
      hint: secret.slice(0, 3),
      hash: await this.#hashed(() => hashSecret(secret, random)),
      createdAt: new Date(now).toISOString(),
      expiresAt: new Date(Math.round(now + lifeDays * 86_400_000)).toISOString(),
    };
    const added = await principals.addSecret(
      principal.objectId,
      record,
      secretsOfOneMax,
      new Date(now).toISOString(),
    );
    if (!added) throw errors.SecretsAlreadyExists(secretsOfOneMax);
    return { secretId: record.secretId, secret, hint: record.hint, expiresAt: record.expiresAt };
  }

  /** The principal whose secret this is, if it is enabled and the secret has not expired. */
  async check(applicationId: string, secret: string): Promise<PrincipalRecord | undefined> {
    const { principals, clock } = this.#parts;
    const principal = await principals.byApplicationId(applicationId);
    const now = clock.now();
    const valid = principal
      ? (await principals.secrets(principal.objectId)).filter(({ expiresAt }) => Date.parse(expiresAt) > now)
      : [];
    // An application that is not there takes as long as a wrong secret.
    if (valid.length === 0) await this.#hashed(() => matchesHash(secret, noSecret));
    for (const { hash } of valid)
      if (await this.#hashed(() => matchesHash(secret, hash)))
        return principal!.enabled ? principal : undefined;
    return undefined;
  }

  /** Hashing takes memory and a core: a few at once, the others wait, and a crowd is turned away. */
  async #hashed<T>(work: () => Promise<T>): Promise<T> {
    if (this.#hashing >= hashesAtOnceMax) {
      if (this.#waiting.length >= hashesWaitingMax) throw errors.SignInBusy();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#hashing += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#hashing -= 1;
    }
  }
}

/** Of nothing anybody knows. */
const noSecret = `scrypt$16384$8$1$${'A'.repeat(22)}$${'A'.repeat(43)}`;
