/**
 * Registration keys: issued to a person, redeemed once by a configuration server.
 *
 *     issued ──▶ used (by one public key, which may ask again: the answer may have been lost)
 *       │ ├────▶ superseded (a newer one was issued)
 *       │ └────▶ revoked
 *       └──────▶ expired (five days)
 *
 * A key is judged in one transaction with the site's row, so a registration is done wholly or not at all, and of two that
 * come at once with one key the second is refused. The secret is kept as its digest; the token is signed with the key of
 * the vault's authority, so what was altered is refused before anything is looked up.
 */
import { createHash, createPrivateKey, timingSafeEqual, X509Certificate } from 'node:crypto';
import { requestKeySha256, signRequest } from '../../platform/certificate-request.ts';
import type { Clock } from '../../platform/clock.ts';
import { type Files, readWhole } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import type { Random } from '../../platform/random.ts';
import type { Authority } from '../../platform/tls.ts';
import {
  clockDifferenceMillisecondsMax,
  type RegisterAnswer,
  type RegisterRequest,
  sitePrefix,
} from '../../protocol/control/site-link.ts';
import {
  signClaims,
  type VaultCredentialsClaims,
  vaultCredentialsDays,
  vaultCredentialsErrors,
  verifyToken,
  writeVaultCredentials,
} from '../../protocol/control/vault-credentials.ts';
import { reportSeconds, siteCertificateDays } from '../site-link/limits.ts';
import * as keys from '../store/registration-keys.ts';
import * as sites from '../store/sites.ts';
import { registrationErrors } from './errors.ts';

export interface RegistrationParts {
  readonly database: Database;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly authority: Authority;
  /** Where configuration servers reach this vault. */
  readonly publicUrl: () => string;
  readonly tenantId: string;
  /** Whether the vault resource (lower-cased id) is there. */
  readonly vaultExists: (vaultId: string) => Promise<boolean>;
}

export interface IssueRequest {
  /** As resource ids are written (`protocol/arm/resource-id.ts`). */
  readonly vaultId: string;
  readonly subscriptionId: string;
  readonly resourceGroup: string;
  readonly vaultName: string;
  readonly location: string;
  readonly fabricName?: string | undefined;
  readonly requestedBy: string;
}

export interface IssuedKey {
  readonly keyId: string;
  /** `<vault>_<date>.VaultCredentials`. */
  readonly fileName: string;
  /** The file. Given out once; not kept. */
  readonly content: string;
  readonly issuedAt: string;
  readonly expiresAt: string;
}

const dayMilliseconds = 86_400_000;
/** Keys of a vault that are shown; older ones are of no interest. */
const keysShown = 50;

export class Registration {
  readonly #parts: RegistrationParts;

  constructor(parts: RegistrationParts) {
    this.#parts = parts;
  }

  async issueKey(request: IssueRequest): Promise<IssuedKey> {
    const { database, clock, random, publicUrl, tenantId, log } = this.#parts;
    const now = clock.now();
    const secret = random.bytes(32).toString('base64url');
    const claims: VaultCredentialsClaims = {
      format: 'leeward-vault-credentials/1',
      keyId: random.uuid(),
      purpose: 'register-site',
      vaultId: request.vaultId,
      subscriptionId: request.subscriptionId,
      resourceGroup: request.resourceGroup,
      vaultName: request.vaultName,
      location: request.location,
      tenantId,
      ...(request.fabricName === undefined ? {} : { fabricName: request.fabricName }),
      url: publicUrl(),
      caPem: await this.#caPem(),
      secret,
      issuedAt: new Date(now).toISOString(),
      expiresAt: new Date(now + vaultCredentialsDays * dayMilliseconds).toISOString(),
    };
    const token = signClaims(claims, createPrivateKey(await this.#pem(this.#parts.authority.caKeyFile)));
    await keys.add(database, {
      keyId: claims.keyId,
      vaultId: request.vaultId.toLowerCase(),
      fabricName: request.fabricName,
      secretSha256: sha256(secret),
      issuedAt: claims.issuedAt,
      expiresAt: claims.expiresAt,
      requestedBy: request.requestedBy,
    });
    log.info('registration-key-issued', { keyId: claims.keyId, vaultId: request.vaultId });
    return {
      keyId: claims.keyId,
      fileName: `${request.vaultName}_${claims.issuedAt.slice(0, 10)}.VaultCredentials`,
      content: writeVaultCredentials(token, claims),
      issuedAt: claims.issuedAt,
      expiresAt: claims.expiresAt,
    };
  }

  /** Newest first, without secrets. */
  listKeys(vaultId: string): Promise<keys.RegistrationKey[]> {
    return keys.list(this.#parts.database, vaultId.toLowerCase(), keysShown);
  }

  /** False: there is no such key of this vault. */
  async revokeKey(vaultId: string, keyId: string): Promise<boolean> {
    const { database, clock } = this.#parts;
    return keys.revoke(database, vaultId.toLowerCase(), keyId, new Date(clock.now()).toISOString());
  }

  async register(request: RegisterRequest): Promise<RegisterAnswer> {
    const { database, clock, random, log } = this.#parts;
    const now = new Date(clock.now()).toISOString();
    const caPem = await this.#caPem();
    const claims = verifyToken(request.token, caPem);
    const keySha256 = await requestKeySha256(request.requestPem);
    if (Math.abs(Date.parse(request.at) - clock.now()) > clockDifferenceMillisecondsMax)
      throw registrationErrors.SiteClockOff(request.at, now);
    const vaultId = claims.vaultId.toLowerCase();
    if (!(await this.#parts.vaultExists(vaultId))) throw registrationErrors.VaultIsGone(claims.vaultId);
    const site = await database.transaction(async (session) => {
      const key = await keys.take(session, claims.keyId);
      if (!key || !isSame(key.secretSha256, sha256(claims.secret)))
        throw registrationErrors.RegistrationKeyUnknown();
      if (key.revokedAt !== undefined) throw registrationErrors.RegistrationKeyRevoked(key.revokedAt);
      if (key.usedAt !== undefined) {
        const registered = key.usedByKeySha256 === keySha256 && (await sites.byId(session, key.siteId!));
        if (!registered) throw registrationErrors.RegistrationKeyUsed(key.usedAt);
        return registered;
      }
      if (key.supersededAt !== undefined)
        throw registrationErrors.RegistrationKeySuperseded(key.supersededAt);
      if (Date.parse(key.expiresAt) <= clock.now())
        throw vaultCredentialsErrors.RegistrationKeyExpired(key.expiresAt, now);
      const fabricName = key.fabricName ?? nameOf(request.hostName);
      if (await sites.byName(session, vaultId, fabricName))
        throw registrationErrors.SiteNameTaken(fabricName);
      const added = {
        siteId: random.uuid(),
        vaultId,
        fabricName,
        hostName: request.hostName,
        version: request.version,
        boxPublicKey: request.boxPublicKey,
        registeredAt: now,
      };
      await sites.add(session, added);
      await keys.markUsed(session, { keyId: key.keyId, at: now, keySha256, siteId: added.siteId });
      return added;
    });
    log.info('site-registered', { siteId: site.siteId, fabricName: site.fabricName, keyId: claims.keyId });
    return {
      siteId: site.siteId,
      vaultId: claims.vaultId,
      fabricName: site.fabricName,
      certificatePem: await this.siteCertificate(site.siteId, request.requestPem),
      caPem,
      reportSeconds,
      at: now,
    };
  }

  siteCertificate(siteId: string, requestPem: string): Promise<string> {
    const { authority, random } = this.#parts;
    return signRequest({
      authority,
      requestPem,
      commonName: `${sitePrefix}${siteId}`,
      hosts: [],
      days: siteCertificateDays,
      usage: 'client',
      random,
    });
  }

  async #caPem(): Promise<string> {
    return new X509Certificate(await this.#pem(this.#parts.authority.caFile)).toString();
  }

  async #pem(path: string): Promise<Buffer> {
    const pem = await readWhole(this.#parts.files, path, 64 << 10);
    if (pem === undefined) throw new Error(`${path} is gone`);
    return pem;
  }
}

/** A fabric's name from a host's: letters, digits and hyphens. */
function nameOf(hostName: string): string {
  const name = hostName
    .split('.')[0]!
    .replace(/[^A-Za-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63);
  return name === '' ? 'site' : name;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function isSame(one: string, other: string): boolean {
  return timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
