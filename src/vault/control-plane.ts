/**
 * The vault's control plane: jobs, the public listener with everything on it, and the standing duties that watch over items.
 * `vault-service.ts` has the data plane and starts this one on top of it.
 *
 *     clients ─▶ listener ─┬─▶ metadata, sign-in, directory
 *                          ├─▶ site link ◀─ configuration servers
 *                          └─▶ REST API ─▶ rows, jobs ─▶ engine ─▶ workflows ─▶ data plane, sites, hypervisor
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { ProtectedItemId } from '../model/ids.ts';
import type { Clock } from '../platform/clock.ts';
import { type Files, writeDurably } from '../platform/files.ts';
import type { Log } from '../platform/log.ts';
import { Metrics } from '../platform/metrics.ts';
import type { Database } from '../platform/mysql.ts';
import type { Random } from '../platform/random.ts';
import { type Authority, tlsOptions } from '../platform/tls.ts';
import { idKey } from '../protocol/arm/resource-id.ts';
import { Access } from './access/access.ts';
import { auditTrail, keepAccess } from './access/audit-trail.ts';
import { Issuer } from './access/issuer.ts';
import { ServicePrincipals } from './access/service-principals.ts';
import { SigningKeys } from './access/signing-keys.ts';
import { activityLogHandlers } from './api/activity-log.ts';
import { type ArmServer, startArmServer } from './api/arm-server.ts';
import { authorizationHandlers } from './api/authorization.ts';
import { deletedVaultHandlers } from './api/deleted-vaults.ts';
import { directory } from './api/directory.ts';
import { metadata } from './api/metadata.ts';
import { mustExist, nounsOfVault } from './api/nouns.ts';
import { policyInput, policyTerms } from './api/policies.ts';
import { refusedHandlers } from './api/refused.ts';
import { issueKey, registrationKeyHandlers } from './api/registration-keys.ts';
import { resourceGroupHandlers } from './api/resource-groups.ts';
import { signIn } from './api/sign-in.ts';
import { subscriptionHandlers } from './api/subscriptions.ts';
import { vaultDetailsHandlers } from './api/vault-details.ts';
import { vaultFigures } from './api/vault-figures.ts';
import { listVaults, vaultHandlers } from './api/vaults.ts';
import type { StoreFacts } from './health/conditions.ts';
import type { JobEngine } from './jobs/engine.ts';
import { openChannels } from './notify/open-channels.ts';
import { Fences } from './reconcilers/fences.ts';
import { HealthReconciler } from './reconcilers/health.ts';
import { Notifier } from './reconcilers/notify.ts';
import { PolicyChanges } from './reconcilers/policy-changes.ts';
import { Registration } from './registration/registration.ts';
import type { VaultSettings } from './settings.ts';
import type { OrdersDesk } from './site-link/orders.ts';
import { siteLinkHandler } from './site-link/routes.ts';
import { auditEntries } from './store/audit-entries.ts';
import { principals } from './store/principals.ts';
import * as itemResources from './store/protected-items.ts';
import type { Resources } from './store/resources.ts';
import { roleAssignments } from './store/role-assignments.ts';
import { signingKeyRecords } from './store/signing-keys.ts';
import * as sites from './store/sites.ts';

export interface ControlPlaneParts {
  readonly settings: VaultSettings;
  readonly dataFolder: string;
  readonly database: Database;
  readonly resources: Resources;
  readonly jobs: JobEngine;
  readonly orders: OrdersDesk;
  readonly storeFacts: () => Promise<StoreFacts>;
  /** Of the replica store, by an item. */
  readonly usedBytes: (itemId: ProtectedItemId) => Promise<number>;
  readonly masterKey: Uint8Array;
  readonly authority: Authority;
  readonly cacheUrl: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly log: Log;
}

export interface ControlPlane extends AsyncDisposable {
  readonly publicUrl: string;
  /** Until `signal` aborts; rejects when a part ends that the vault cannot live without. */
  run(signal: AbortSignal): Promise<void>;
}

/** What the first service principal is called, and the file that its secret is in: written once, read by its owner. */
const ownerName = 'owner';
export const ownerFileName = 'owner.json';
const ownerSecretDays = 365;
/** What the API's vaults are asked for, by those who watch over all of them. */
const vaultsMax = 1000;
/** Of one vault, whose machines are told when one changes. */
const policiesMax = 1000;

export async function startControlPlane(parts: ControlPlaneParts): Promise<ControlPlane> {
  const { settings, database, resources, jobs, orders, clock, random, files, log } = parts;
  const { tenantId, subscriptionId } = settings.api;
  const at = (...names: string[]) => join(parts.dataFolder, ...names);
  const metrics = new Metrics();
  let publicUrl = '';

  // ── access ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  const keys = new SigningKeys({
    records: signingKeyRecords(database),
    masterKey: parts.masterKey,
    clock,
    random,
  });
  await keys.keep();
  const people = principals(database);
  const assignments = roleAssignments(database);
  const servicePrincipals = new ServicePrincipals({ principals: people, clock, random });
  const issuers = await Promise.all(
    settings.api.issuers.map(
      async (issuer) =>
        new Issuer(
          issuer,
          issuer.caFile === undefined ? undefined : await readFile(issuer.caFile, 'utf8'),
          clock,
        ),
    ),
  );
  const access = new Access({
    tenantId,
    subscriptionId,
    publicUrl: () => publicUrl,
    keys,
    principals: people,
    assignments,
    issuers,
    clock,
    random,
  });
  const entries = auditEntries(database);
  const audit = auditTrail(entries, clock);
  await makeOwner();

  // ── listener ───────────────────────────────────────────────────────────────────────────────────────────────────────
  const nouns = { database, resources, jobs, clock, random, files, usedBytes: parts.usedBytes };
  const vaultParts = {
    resources,
    subscriptionId,
    tenantId,
    clock,
    random,
    occupants: async (vaultId: string, max: number) => {
      const { items } = await itemResources.list(database, { vaultId }, { limit: max });
      const registered = await sites.list(database, idKey(vaultId));
      return [
        ...items.map(({ friendlyName }) => `protected item ${friendlyName}`),
        ...registered.map(({ fabricName }) => `site ${fabricName}`),
      ].slice(0, max);
    },
  };
  const registration = new Registration({
    database,
    files,
    clock,
    random,
    log,
    authority: parts.authority,
    publicUrl: () => publicUrl,
    tenantId,
    vaultExists: async (vaultId) => (await resources.get(vaultId)) !== undefined,
  });
  const registrationKeyParts = { registration, resources, subscriptionId, now: () => clock.now() };
  const tls = await tlsOptions({
    caFile: at('tls', 'ca.pem'),
    certificateFile: at('tls', 'certificate.pem'),
    keyFile: at('tls', 'key.pem'),
  });
  const server: ArmServer = await startArmServer({
    nouns: [
      vaultHandlers(vaultParts),
      vaultDetailsHandlers({
        ...vaultParts,
        publicUrl: () => publicUrl,
        figures: (vaultId) => vaultFigures(nouns, vaultId),
        unregister: async (vaultId, name) => {
          const site = await sites.byName(database, vaultId.toLowerCase(), name);
          if (site) await sites.remove(database, site.siteId, new Date(clock.now()).toISOString());
          return site !== undefined;
        },
        vaultCredentials: async (request) => (await issueKey(registrationKeyParts, request)).content,
      }),
      registrationKeyHandlers(registrationKeyParts),
      deletedVaultHandlers(vaultParts),
      resourceGroupHandlers({ resources, subscriptionId, clock }),
      subscriptionHandlers({
        tenantId,
        subscriptionId,
        displayName: 'Leeward',
        locations: [settings.api.location],
      }),
      authorizationHandlers({ assignments, principals: people, access, subscriptionId, clock }),
      activityLogHandlers({ entries, subscriptionId, tenantId }),
      ...nounsOfVault(nouns),
      refusedHandlers(mustExist(nouns)),
    ],
    access,
    audit,
    jobs,
    resources,
    subscriptionId,
    // Sites show a certificate; everybody else comes with a token.
    tls: { ...tls, requestCert: true, rejectUnauthorized: false },
    host: settings.api.listen,
    port: settings.api.port,
    publicUrl: (port) => settings.api.publicUrl ?? `https://${bracketed(settings.cache.hosts[0]!)}:${port}`,
    before: (url) => {
      publicUrl = url;
      const siteLink = siteLinkHandler({
        database,
        files,
        clock,
        log,
        registration,
        orders,
        authority: parts.authority,
        cacheUrl: parts.cacheUrl,
      });
      return [
        metadata(url),
        signIn({ tenantId, access, servicePrincipals, keys, clock, random, log }, url),
        directory({ access, principals: people, servicePrincipals, audit, subscriptionId, clock }, url),
        async (context, next) => {
          // The link answers by itself, also a request that its site hung up on.
          if (await siteLink(context.req, context.res)) context.respond = false;
          else await next();
        },
      ];
    },
    clock,
    random,
    log,
  });

  // ── standing duties ────────────────────────────────────────────────────────────────────────────────────────────────
  const vaultIds = async () =>
    (await listVaults({ resources, subscriptionId }, { limit: vaultsMax })).resources.map(({ id }) => id);
  const notifier = new Notifier({
    database,
    clock,
    log,
    channels: await openChannels(settings.alerts, {
      publicUrl,
      vaultIds,
      alertSettings: async (vaultId) =>
        (await resources.inVault(vaultId, 'replicationAlertSettings', { limit: 100 })).resources.map(
          ({ properties }) => properties,
        ),
    }),
  });
  const health = new HealthReconciler({
    database,
    clock,
    log,
    metrics,
    vaultIds,
    storeFacts: parts.storeFacts,
    policyTimes: async (policyId) => {
      const row = await resources.get(policyId);
      const terms = policyTerms(row === undefined ? { instanceType: '' } : policyInput(row));
      return {
        rpoThresholdSeconds: terms.rpoThresholdMinutes * 60,
        crashConsistentSeconds: terms.crashConsistentSeconds,
        applicationConsistentSeconds: terms.applicationConsistentSeconds,
      };
    },
    onChange: () => notifier.wake(),
  });
  const sitesOf = {
    siteOf: async ({ vaultId, fabricName }: { readonly vaultId: string; readonly fabricName: string }) =>
      (await sites.byName(database, vaultId.toLowerCase(), fabricName))?.siteId,
  };
  const fences = new Fences({ database, clock, log, orders, sites: sitesOf });
  const policyChanges = new PolicyChanges({
    database,
    clock,
    log,
    orders,
    sites: sitesOf,
    policies: async () => {
      const found = [];
      for (const vaultId of await vaultIds())
        for (const row of (await resources.inVault(vaultId, 'replicationPolicies', { limit: policiesMax }))
          .resources) {
          const { crashConsistentSeconds, applicationConsistentSeconds } = policyTerms(policyInput(row));
          found.push({
            policyId: row.id,
            replication: { crashConsistentSeconds, applicationConsistentSeconds },
          });
        }
      return found;
    },
  });
  const figures = settings.metricsPort === 0 ? undefined : await serveMetrics(metrics, settings.metricsPort);
  log.info('control-plane-ready', { publicUrl });
  return {
    publicUrl,
    run: async (signal) => {
      await Promise.all([
        orders.run(signal),
        health.run(signal),
        policyChanges.run(signal),
        fences.run(signal),
        notifier.run(signal),
        keepAccess({ entries, keys, clock, log }, signal),
      ]);
    },
    [Symbol.asyncDispose]: async () => {
      await server.close();
      figures?.close();
    },
  };

  /** On the first start somebody must be able to sign in. A crash before the file leaves a principal without a secret. */
  async function makeOwner(): Promise<void> {
    if ((await files.sizeBytes(at(ownerFileName))) !== undefined) return;
    const made = await servicePrincipals.create(ownerName, { days: ownerSecretDays });
    await assignments.add({
      assignmentId: random.uuid(),
      scope: `/subscriptions/${subscriptionId}`,
      role: 'Owner',
      principalId: made.objectId,
      createdAt: new Date(clock.now()).toISOString(),
      createdBy: made.objectId,
    });
    await writeDurably(
      files,
      at(ownerFileName),
      Buffer.from(
        `${JSON.stringify(
          {
            tenantId,
            subscriptionId,
            clientId: made.applicationId,
            clientSecret: made.secret,
            expiresAt: made.expiresAt,
          },
          null,
          2,
        )}\n`,
      ),
    );
    log.info('owner-made', { applicationId: made.applicationId, file: at(ownerFileName) });
  }
}

async function serveMetrics(metrics: Metrics, port: number): Promise<{ close(): void }> {
  const server = createServer((request, response) => {
    if (request.url === '/metrics')
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(metrics.render());
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

const bracketed = (host: string) => (host.includes(':') ? `[${host}]` : host);
