/**
 * The key pairs that sign the vault's tokens. Rows in the database, the private half sealed under the master key, so that
 * several vault processes sign with the same key and a stolen database signs nothing.
 *
 *     made ── a day: published, does not sign ── signs ── next one signs ── last token of it has ended: removed
 *          └───────────────────────── in the published set ─────────────────────────────┘
 *
 * Promises: every token that was issued can be checked until it ends; whoever keeps the published set for up to a day never
 * meets a token of a key that was not in it.
 */
import { generateKeyPair, type JsonWebKey, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { seal, unseal } from '../../platform/seal.ts';
import { errors as vaultErrors } from '../errors.ts';
import type { SigningKeyRecord, SigningKeyRecords } from '../store/signing-keys.ts';
import {
  clockSkewSeconds,
  signingKeyDays,
  signingKeyNoticeHours,
  signingKeysAgainMilliseconds,
  signingKeysKeptMilliseconds,
  tokenSeconds,
} from './limits.ts';

export const signingAlgorithm = 'RS256';

export interface SigningKeysParts {
  readonly records: SigningKeyRecords;
  readonly masterKey: Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
}

type Key = Exclude<Awaited<ReturnType<typeof importJWK>>, Uint8Array>;

const generate = promisify(generateKeyPair) as (
  type: 'rsa',
  options: { modulusLength: number },
) => Promise<{ publicKey: KeyObject; privateKey: KeyObject }>;

const day = 86_400_000;
const noticeMilliseconds = signingKeyNoticeHours * 3_600_000;

export class SigningKeys {
  readonly #parts: SigningKeysParts;
  #known: readonly SigningKeyRecord[] = [];
  #readAt = Number.NEGATIVE_INFINITY;
  readonly #privateKeys = new Map<string, Promise<Key>>();
  readonly #publicKeys = new Map<string, Promise<Key>>();

  constructor(parts: SigningKeysParts) {
    this.#parts = parts;
  }

  /** Makes the first key, the next one in time, and removes those whose tokens have ended. Called at start and every hour. */
  async keep(): Promise<void> {
    const { records, clock } = this.#parts;
    let keys = await records.list();
    const newest = keys.at(-1);
    const now = clock.now();
    if (newest === undefined) await this.#make(1, now);
    else if (Date.parse(newest.signsFrom) + signingKeyDays * day - noticeMilliseconds <= now)
      await this.#make(newest.generation + 1, now + noticeMilliseconds);
    keys = await records.list();
    const longestToken = (tokenSeconds + clockSkewSeconds) * 1000;
    for (const [index, key] of keys.entries()) {
      const successor = keys[index + 1];
      if (successor && Date.parse(successor.signsFrom) + longestToken < now)
        await records.remove(key.generation);
    }
    await this.#read();
  }

  async signer(): Promise<{ readonly keyId: string; readonly key: Key }> {
    await this.#freshen();
    const now = this.#parts.clock.now();
    const record = this.#known.findLast(({ signsFrom }) => Date.parse(signsFrom) <= now) ?? this.#known[0];
    if (record === undefined) throw vaultErrors.SealBroken();
    return { keyId: record.keyId, key: await this.#privateKey(record) };
  }

  /** For checking; undefined: none of ours. */
  async verifier(keyId: string): Promise<Key | undefined> {
    await this.#freshen();
    let record = this.#find(keyId);
    if (
      record === undefined &&
      this.#parts.clock.monotonic() - this.#readAt >= signingKeysAgainMilliseconds
    ) {
      await this.#read();
      record = this.#find(keyId);
    }
    if (record === undefined) return undefined;
    const known = this.#publicKeys.get(keyId) ?? imported(record.publicKey);
    this.#publicKeys.set(keyId, known);
    return known;
  }

  /** What `jwks_uri` answers. */
  async published(): Promise<{ readonly keys: readonly JWK[] }> {
    await this.#freshen();
    return {
      keys: this.#known.map(({ keyId, publicKey }) => ({
        ...(publicKey as unknown as JWK),
        kid: keyId,
        use: 'sig',
        alg: signingAlgorithm,
      })),
    };
  }

  async #make(generation: number, signsFrom: number): Promise<void> {
    const { records, masterKey, random, clock } = this.#parts;
    const { publicKey, privateKey } = await generate('rsa', { modulusLength: 2048 });
    const publicJwk = publicKey.export({ format: 'jwk' }) as Record<string, string>;
    const privateJwk: JsonWebKey = privateKey.export({ format: 'jwk' });
    await records.add({
      generation,
      keyId: await calculateJwkThumbprint(publicJwk as unknown as JWK),
      publicKey: publicJwk,
      sealedPrivateKey: Uint8Array.from(seal(masterKey, Buffer.from(JSON.stringify(privateJwk)), random)),
      createdAt: new Date(clock.now()).toISOString(),
      signsFrom: new Date(signsFrom).toISOString(),
    });
  }

  #privateKey(record: SigningKeyRecord): Promise<Key> {
    const known = this.#privateKeys.get(record.keyId);
    if (known) return known;
    const opened = unseal(this.#parts.masterKey, record.sealedPrivateKey);
    if (opened === undefined) throw vaultErrors.SealBroken();
    const key = imported(JSON.parse(opened.toString()));
    this.#privateKeys.set(record.keyId, key);
    return key;
  }

  #find(keyId: string): SigningKeyRecord | undefined {
    return this.#known.find((key) => key.keyId === keyId);
  }

  async #freshen(): Promise<void> {
    const { clock } = this.#parts;
    if (clock.monotonic() - this.#readAt >= signingKeysKeptMilliseconds) await this.#read();
  }

  async #read(): Promise<void> {
    this.#known = await this.#parts.records.list();
    this.#readAt = this.#parts.clock.monotonic();
    const ids = new Set(this.#known.map(({ keyId }) => keyId));
    for (const kept of [this.#privateKeys, this.#publicKeys])
      for (const keyId of kept.keys()) if (!ids.has(keyId)) kept.delete(keyId);
  }
}

const imported = (jwk: Readonly<Record<string, unknown>>): Promise<Key> =>
  importJWK(jwk as unknown as JWK, signingAlgorithm) as Promise<Key>;
