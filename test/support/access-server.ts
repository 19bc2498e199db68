/** The API's listener with sign-in, metadata, the directory and vaults over a real database: what a client meets first. */
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { silentLog } from '../../src/platform/log.ts';
import type { Database } from '../../src/platform/mysql.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { auditTrail } from '../../src/vault/access/audit-trail.ts';
import { activityLogHandlers } from '../../src/vault/api/activity-log.ts';
import { startArmServer } from '../../src/vault/api/arm-server.ts';
import { authorizationHandlers } from '../../src/vault/api/authorization.ts';
import { deletedVaultHandlers } from '../../src/vault/api/deleted-vaults.ts';
import { directory } from '../../src/vault/api/directory.ts';
import { metadata } from '../../src/vault/api/metadata.ts';
import { resourceGroupHandlers } from '../../src/vault/api/resource-groups.ts';
import { signIn } from '../../src/vault/api/sign-in.ts';
import { subscriptionHandlers } from '../../src/vault/api/subscriptions.ts';
import { vaultHandlers } from '../../src/vault/api/vaults.ts';
import type { OidcIssuer } from '../../src/vault/settings.ts';
import { type AuditEntries, auditEntries } from '../../src/vault/store/audit-entries.ts';
import { migrate } from '../../src/vault/store/migrate.ts';
import { MemoryResources } from '../../src/vault/store/resources.ts';
import {
  type AccessWorld,
  type Answer,
  accessWorld,
  ask,
  httpsIdentity,
  subscriptionId,
  tenantId,
} from './access-world.ts';
import type { PrivateMariadb } from './private-mariadb.ts';

export interface AccessServer extends AccessWorld, AsyncDisposable {
  readonly ca: string;
  readonly caFile: string;
  readonly database: Database;
  readonly entries: AuditEntries;
  /** Runs ahead of the real one by `ahead` milliseconds. */
  readonly clock: Clock & { ahead: number };
  /** Calls the API with this token; a path without `api-version` gets one. */
  as(
    token: string,
  ): (
    path: string,
    method?: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Answer>;
}

export async function accessServer(
  mariadb: PrivateMariadb,
  options: {
    readonly port?: number;
    readonly issuers?: readonly { readonly settings: OidcIssuer; readonly ca: string }[];
  } = {},
): Promise<AccessServer> {
  const { database } = await mariadb.database();
  await migrate(database);
  const clock = {
    ahead: 0,
    now: () => systemClock.now() + clock.ahead,
    monotonic: () => systemClock.monotonic() + clock.ahead,
    sleep: systemClock.sleep,
  };
  const random = systemRandom;
  const world = await accessWorld(database, { clock, issuers: options.issuers ?? [] });
  const identity = await httpsIdentity();
  const entries = auditEntries(database);
  const audit = auditTrail(entries, clock);
  const resources = new MemoryResources(clock);
  const parts = {
    ...world,
    tenantId,
    subscriptionId,
    resources,
    clock,
    random,
    log: silentLog,
    entries,
    audit,
  };
  const server = await startArmServer({
    nouns: [
      vaultHandlers({ ...parts, occupants: async () => [] }),
      deletedVaultHandlers({ ...parts, occupants: async () => [] } as never),
      resourceGroupHandlers(parts),
      subscriptionHandlers({ ...parts, displayName: 'Leeward', locations: ['local'] }),
      authorizationHandlers(parts),
      activityLogHandlers(parts),
    ],
    whole: false,
    access: world.access,
    audit,
    jobs: { get: async () => undefined },
    resources,
    subscriptionId,
    tls: { cert: identity.cert, key: identity.key },
    host: '127.0.0.1',
    port: options.port ?? 0,
    publicUrl: (port) => `https://localhost:${port}`,
    before: (url) => {
      world.url = url;
      return [metadata(url), signIn(parts, url), directory(parts, url)];
    },
    clock,
    random,
    log: silentLog,
  });
  return Object.assign(world, {
    ca: identity.ca,
    caFile: identity.caFile,
    database,
    entries,
    clock,
    as: (token: string): ReturnType<AccessServer['as']> => {
      return (path, method = 'GET', body, headers = {}) => {
        const joined = path.includes('api-version=')
          ? path
          : `${path}${path.includes('?') ? '&' : '?'}api-version=2025-08-01`;
        return ask(world.url + (joined.includes('%') ? joined : encodeURI(joined)), identity.ca, {
          method,
          headers: { authorization: `Bearer ${token}`, ...headers },
          ...(body === undefined ? {} : { json: body }),
        });
      };
    },
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await identity[Symbol.asyncDispose]();
    },
  });
}
