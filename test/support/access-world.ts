/** Access, sign-in and the API's listener over a real database and real TLS, with an owner who can sign in. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import type { Database } from '../../src/platform/mysql.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { issueAuthority, issueCertificate } from '../../src/platform/tls.ts';
import { Access } from '../../src/vault/access/access.ts';
import { Issuer } from '../../src/vault/access/issuer.ts';
import type { Role } from '../../src/vault/access/principal.ts';
import { type MadePrincipal, ServicePrincipals } from '../../src/vault/access/service-principals.ts';
import { SigningKeys } from '../../src/vault/access/signing-keys.ts';
import type { OidcIssuer } from '../../src/vault/settings.ts';
import { type Principals, principals } from '../../src/vault/store/principals.ts';
import { type RoleAssignments, roleAssignments } from '../../src/vault/store/role-assignments.ts';
import { signingKeyRecords } from '../../src/vault/store/signing-keys.ts';

export const tenantId = '0a1b2c3d-0000-4000-8000-00000000000a';
export const subscriptionId = '0a1b2c3d-0000-4000-8000-00000000000b';
export const masterKey = Uint8Array.from(Buffer.alloc(32, 7));

export interface AccessWorld {
  readonly access: Access;
  readonly keys: SigningKeys;
  readonly principals: Principals;
  readonly assignments: RoleAssignments;
  readonly servicePrincipals: ServicePrincipals;
  /** Settable, since a listener knows its port late. */
  url: string;
  /** A principal with a role at a scope; default: the subscription. */
  withRole(role: Role, scope?: string): Promise<MadePrincipal>;
  /** A token of it, without asking over the network. */
  tokenOf(principal: { readonly objectId: string }, audience?: string): Promise<string>;
}

export async function accessWorld(
  database: Database,
  options: {
    readonly clock?: Clock;
    readonly issuers?: readonly { readonly settings: OidcIssuer; readonly ca: string }[];
  } = {},
): Promise<AccessWorld> {
  const clock = options.clock ?? systemClock;
  const random = systemRandom;
  const keys = new SigningKeys({ records: signingKeyRecords(database), masterKey, clock, random });
  await keys.keep();
  const people = principals(database);
  const assignments = roleAssignments(database);
  const servicePrincipals = new ServicePrincipals({ principals: people, clock, random });
  const access = new Access({
    tenantId,
    subscriptionId,
    publicUrl: () => world.url,
    keys,
    principals: people,
    assignments,
    issuers: (options.issuers ?? []).map(({ settings, ca }) => new Issuer(settings, ca, clock)),
    clock,
    random,
  });
  const world: AccessWorld = {
    access,
    keys,
    principals: people,
    assignments,
    servicePrincipals,
    url: 'https://vault.test',
    withRole: async (role, scope = `/subscriptions/${subscriptionId}`) => {
      const made = await servicePrincipals.create(`a ${role}`);
      await assignments.add({
        assignmentId: random.uuid(),
        scope: scope.toLowerCase(),
        role,
        principalId: made.objectId,
        createdAt: new Date(clock.now()).toISOString(),
        createdBy: made.objectId,
      });
      return made;
    },
    tokenOf: async ({ objectId }, audience) => {
      const record = await people.byObjectId(objectId);
      return (await access.issue(record!, audience ?? world.url)).token;
    },
  };
  return world;
}

export interface HttpsIdentity extends AsyncDisposable {
  readonly ca: string;
  readonly caFile: string;
  readonly cert: string;
  readonly key: string;
}

/** A certificate for localhost and 127.0.0.1, of an authority of its own. */
export async function httpsIdentity(): Promise<HttpsIdentity> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-identity-'));
  const authority = await issueAuthority(join(folder, 'authority'));
  const files = await issueCertificate({
    folder: join(folder, 'tls'),
    authority,
    commonName: 'localhost',
    hosts: ['localhost', '127.0.0.1'],
    days: 2,
    usage: 'server',
  });
  const [ca, cert, key] = await Promise.all(
    [files.caFile, files.certificateFile, files.keyFile].map((path) => readFile(path, 'utf8')),
  );
  return {
    ca: ca!,
    caFile: files.caFile,
    cert: cert!,
    key: key!,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
  readonly body: any;
}

export function ask(
  url: string,
  ca: string,
  options: {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly form?: Readonly<Record<string, string>>;
    readonly json?: unknown;
  } = {},
): Promise<Answer> {
  const text =
    options.form !== undefined
      ? new URLSearchParams(options.form).toString()
      : options.json !== undefined
        ? JSON.stringify(options.json)
        : undefined;
  const type = options.form !== undefined ? 'application/x-www-form-urlencoded' : 'application/json';
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      url,
      {
        method: options.method ?? (text === undefined ? 'GET' : 'POST'),
        ca,
        agent: false,
        timeout: 20_000,
        headers: {
          ...(text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) }),
          ...options.headers,
        },
      },
      (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.once('error', reject);
        response.once('end', () => {
          const body = Buffer.concat(pieces).toString();
          let parsed: unknown = body;
          try {
            parsed = JSON.parse(body);
          } catch {
            // Not JSON: the text itself.
          }
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parsed });
        });
      },
    );
    request.once('error', reject);
    request.end(text);
  });
}
