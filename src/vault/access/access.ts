/**
 * Who asks, and may they: the check in front of every call of the API.
 *
 *     Authorization: Bearer ─▶ whose issuer? ─ this vault ──▶ our keys ──────┐
 *                                            └ one of the settings ▶ its keys ┴▶ audience, times ─▶ principal's row ─▶ roles
 *     principal, operation ─▶ action (`actions.ts`) ─▶ a role at this scope or around it that has the action (`roles.ts`)
 *
 * Promises: nothing of a token counts before its signature is checked. The principal's row is read with every call, so
 * disabling or removing one, or taking a role away, holds from the next call on, at every vault process.
 */
import { createHash } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, type JWTPayload, errors as jose, jwtVerify, SignJWT } from 'jose';
import type { Clock } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import type { Random } from '../../platform/random.ts';
import type { Operation } from '../../protocol/arm/description.ts';
import type { AccessCheck } from '../api/access-check.ts';
import type { PrincipalRecord, Principals } from '../store/principals.ts';
import type { RoleAssignments } from '../store/role-assignments.ts';
import { actionOf } from './actions.ts';
import { errors } from './errors.ts';
import type { Issuer } from './issuer.ts';
import { clockSkewSeconds, tokenCharactersMax, tokenSeconds } from './limits.ts';
import type { Principal } from './principal.ts';
import { roleAllows, scopeCovers } from './roles.ts';
import { type SigningKeys, signingAlgorithm } from './signing-keys.ts';

export interface AccessParts {
  /** The one tenant. */
  readonly tenantId: string;
  readonly subscriptionId: string;
  /** Known only when the listener has its port; asked late. */
  readonly publicUrl: () => string;
  readonly keys: SigningKeys;
  readonly principals: Principals;
  readonly assignments: RoleAssignments;
  readonly issuers: readonly Issuer[];
  readonly clock: Clock;
  readonly random: Random;
}

export interface IssuedToken {
  readonly token: string;
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number;
}

/**
 * Names of the public cloud's resource manager. Some clients have them built in and ask for a token of that name, wherever
 * they were told to find the API; the token is ours all the same.
 */
const resourceManagerNames = ['https://management.azure.com', 'https://management.core.windows.net'];

/** What everybody with a valid token may ask: what there is, not what is in it. */
const openToAll: ReadonlySet<string> = new Set([
  'provider.listOperations',
  'operations.list',
  'subscriptions.list',
  'subscriptions.get',
  'subscriptions.listLocations',
  'tenants.list',
  'providers.list',
  'providers.get',
]);

/** Lists over what one may see: whoever may read one of the vaults may ask, and the answer is cut to those. */
const listsOfVisible: ReadonlySet<string> = new Set([
  'vaults.listBySubscriptionId',
  'vaults.listByResourceGroup',
  'resourceGroups.list',
  'resources.list',
  'resources.listByResourceGroup',
]);

export class Access implements AccessCheck {
  readonly #parts: AccessParts;

  constructor(parts: AccessParts) {
    this.#parts = parts;
  }

  /** `iss` of our tokens. */
  get issuer(): string {
    return `${this.#url()}/${this.#parts.tenantId}/v2.0`;
  }

  /** Of the directory (`/graph`), which has its own name so that Terraform can ask a token for it. */
  get graphAudience(): string {
    return `${this.#url()}/graph`;
  }

  /** The audience that a token for `resource` is issued to; undefined: not ours. */
  audienceOf(resource: string): string | undefined {
    const asked = resource.replace(/\/+$/, '').toLowerCase();
    return [this.#url(), this.graphAudience, ...resourceManagerNames].find(
      (audience) => audience.toLowerCase() === asked,
    );
  }

  async issue(principal: PrincipalRecord, audience: string): Promise<IssuedToken> {
    const { tenantId, keys, clock, random } = this.#parts;
    const { keyId, key } = await keys.signer();
    const issuedAtSeconds = Math.floor(clock.now() / 1000);
    const expiresAtSeconds = issuedAtSeconds + tokenSeconds;
    const token = await new SignJWT({
      tid: tenantId,
      oid: principal.objectId,
      appid: principal.applicationId,
      appidacr: '1',
      idtyp: 'app',
      app_displayname: principal.displayName,
      ver: '1.0',
    })
      .setProtectedHeader({ alg: signingAlgorithm, typ: 'JWT', kid: keyId })
      .setIssuer(this.issuer)
      .setSubject(principal.objectId)
      .setAudience(audience)
      .setIssuedAt(issuedAtSeconds)
      .setNotBefore(issuedAtSeconds)
      .setExpirationTime(expiresAtSeconds)
      .setJti(random.uuid())
      .sign(key);
    return { token, issuedAtSeconds, expiresAtSeconds };
  }

  authenticate(authorization: string | undefined): Promise<Principal> {
    return this.authenticateFor(authorization, [this.#url(), ...resourceManagerNames]);
  }

  async authenticateFor(authorization: string | undefined, audiences: readonly string[]): Promise<Principal> {
    const uri = this.#authorizationUri();
    if (authorization === undefined) throw errors.AuthenticationFailed(uri);
    const token = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization)?.[1];
    if (token === undefined || token.length > tokenCharactersMax)
      throw errors.AuthenticationFailedInvalidHeader(uri);
    let issuer: string | undefined;
    try {
      issuer = decodeJwt(token).iss;
    } catch {
      throw errors.InvalidAuthenticationToken('it is not a JSON web token', uri);
    }
    try {
      if (issuer === this.issuer) return await this.#ours(token, audiences);
      const foreign = this.#parts.issuers.find(({ settings }) => settings.issuer === issuer);
      if (foreign) return await this.#foreign(foreign, token);
    } catch (error) {
      throw this.#refusal(error, token, audiences);
    }
    throw errors.InvalidAuthenticationToken('its issuer is not trusted here', uri);
  }

  async authorize(principal: Principal, operation: Operation, resourceId: string): Promise<void> {
    if (openToAll.has(operation.id)) return;
    const action = actionOf(operation.method, operation.path);
    if (may(principal, action, resourceId)) return;
    // Whoever has the action further in is answered, with what they may see.
    if (
      listsOfVisible.has(operation.id) &&
      principal.roles.some(({ role, scope }) => roleAllows(role, action) && scopeCovers(resourceId, scope))
    )
      return;
    throw this.refused(principal, action, resourceId);
  }

  refused(principal: Principal, action: string, scope: string): LeewardError {
    const client = principal.applicationId ?? principal.displayName;
    return errors.AuthorizationFailed(client, principal.objectId, action, scope);
  }

  /** The owner of everything that is left besides `without`: a principal, or an assignment. */
  async hasOtherOwner(without: {
    readonly principalId?: string | undefined;
    readonly assignmentId?: string | undefined;
  }): Promise<boolean> {
    const root = `/subscriptions/${this.#parts.subscriptionId}`.toLowerCase();
    for (const { role, scope, principalId, assignmentId } of await this.#parts.assignments.list(10_000)) {
      if (role !== 'Owner' || scope !== root) continue;
      if (principalId === without.principalId || assignmentId === without.assignmentId) continue;
      if ((await this.#parts.principals.byObjectId(principalId))?.enabled) return true;
    }
    return false;
  }

  async #ours(token: string, audiences: readonly string[]): Promise<Principal> {
    const { keys, clock, tenantId, principals } = this.#parts;
    const { payload } = await jwtVerify(
      token,
      async ({ kid }) => {
        const key = kid === undefined ? undefined : await keys.verifier(kid);
        if (key === undefined) throw new jose.JWKSNoMatchingKey();
        return key;
      },
      {
        issuer: this.issuer,
        audience: audiences.flatMap((audience) => [audience, `${audience}/`]),
        algorithms: [signingAlgorithm],
        clockTolerance: clockSkewSeconds,
        currentDate: new Date(clock.now()),
        requiredClaims: ['exp', 'nbf', 'oid', 'tid'],
      },
    );
    const uri = this.#authorizationUri();
    if (payload.tid !== tenantId) throw errors.InvalidAuthenticationToken('it is of another tenant', uri);
    const record = await principals.byObjectId(String(payload.oid));
    if (!record?.enabled)
      throw errors.InvalidAuthenticationToken('its principal was disabled or removed', uri);
    return this.#principal(record, []);
  }

  async #foreign(issuer: Issuer, token: string): Promise<Principal> {
    const { principals, clock, subscriptionId } = this.#parts;
    const { settings } = issuer;
    const payload = await issuer.verify(token);
    const subject = textOf(payload[settings.subjectClaim]);
    const uri = this.#authorizationUri();
    if (subject === undefined)
      throw errors.InvalidAuthenticationToken(`it has no claim ${settings.subjectClaim}`, uri);
    const objectId = foreignObjectId(settings.issuer, subject);
    const mapped = settings.roles
      .filter(({ claim, value }) => valuesOf(payload, claim).includes(value))
      .map(({ role, scope }) => ({
        role,
        scope: (scope ?? `/subscriptions/${subscriptionId}`).toLowerCase(),
      }));
    const known = await principals.byObjectId(objectId);
    if (known && !known.enabled)
      throw errors.InvalidAuthenticationToken('its principal was disabled here', uri);
    const record: PrincipalRecord = known ?? {
      objectId,
      kind: 'ForeignPrincipal',
      issuer: settings.issuer,
      subject: subject.slice(0, 500),
      displayName: (textOf(payload[settings.nameClaim]) ?? subject).slice(0, 200),
      enabled: true,
      createdAt: new Date(clock.now()).toISOString(),
    };
    const principal = await this.#principal(record, mapped);
    // Only who has a role here: an issuer may have many more people than this vault has to do with.
    if (known === undefined && principal.roles.length > 0) await principals.add(record);
    return principal;
  }

  async #principal(record: PrincipalRecord, mapped: Principal['roles']): Promise<Principal> {
    const assigned = await this.#parts.assignments.ofPrincipal(record.objectId);
    return {
      objectId: record.objectId,
      tenantId: this.#parts.tenantId,
      applicationId: record.applicationId,
      displayName: record.displayName,
      roles: [...mapped, ...assigned.map(({ role, scope }) => ({ role, scope }))],
    };
  }

  /** What `jose` says of a token, in the reference's codes. */
  #refusal(error: unknown, token: string, audiences: readonly string[]): unknown {
    const uri = this.#authorizationUri();
    if (error instanceof LeewardError) return error;
    if (error instanceof jose.JWTExpired)
      return errors.ExpiredAuthenticationToken(
        new Date(Number(error.payload.exp ?? 0) * 1000).toISOString(),
        uri,
      );
    if (error instanceof jose.JWTClaimValidationFailed) {
      if (error.claim === 'aud')
        return errors.InvalidAuthenticationTokenAudience(String(decodeJwt(token).aud), audiences[0]!, uri);
      if (error.claim === 'nbf') return errors.InvalidAuthenticationToken('it is not valid yet', uri);
      return errors.InvalidAuthenticationToken(`its claim ${error.claim} is missing or wrong`, uri);
    }
    if (error instanceof jose.JWKSNoMatchingKey)
      return errors.InvalidAuthenticationToken(
        `no key ${decodeProtectedHeader(token).kid ?? '(unnamed)'} is known`,
        uri,
      );
    if (error instanceof jose.JOSEError)
      return errors.InvalidAuthenticationToken('its signature is not valid', uri);
    return error;
  }

  #authorizationUri(): string {
    return `${this.#url()}/${this.#parts.tenantId}`;
  }

  #url(): string {
    return this.#parts.publicUrl();
  }
}

/** Whether one of its roles has the action at this scope or around it. */
export function may(principal: Principal, action: string, resourceId: string): boolean {
  return principal.roles.some(
    ({ role, scope }) => scopeCovers(scope, resourceId) && roleAllows(role, action),
  );
}

/** A GUID for whoever an issuer calls `subject`: always the same, and nobody else's (a UUID of version 8). */
export function foreignObjectId(issuer: string, subject: string): string {
  const bytes = createHash('sha256').update(`${issuer}\n${subject}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value.length > 0 ? value : undefined;

/** Of a claim that is a text or a list of them. */
function valuesOf(payload: JWTPayload, claim: string): readonly unknown[] {
  const value = payload[claim];
  return Array.isArray(value) ? value : [value];
}
