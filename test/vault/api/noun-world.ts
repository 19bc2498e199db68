/**
 * The nouns under a vault as a client meets them: the public SDK over TLS, a real MariaDB, the real job engine. What works on
 * machines is behind stand-ins (`standIn…`): they move items through the real table of states and touch no replica.
 */

import type { SiteRecoveryManagementClient } from '@azure/arm-recoveryservices-siterecovery';
import { z } from 'zod';
import { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import type { ItemOperation } from '../../../src/model/protection-state.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import type { Database } from '../../../src/platform/mysql.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { childId, vaultResourceId } from '../../../src/protocol/arm/resource-id.ts';
import type { ReportedMachine, SiteAnswer, SiteReport } from '../../../src/protocol/control/site-link.ts';
import { mustExist, nounsOfVault } from '../../../src/vault/api/nouns.ts';
import { refusedHandlers } from '../../../src/vault/api/refused.ts';
import { JobEngine } from '../../../src/vault/jobs/engine.ts';
import type { SomeWorkflow, Step, Workflow } from '../../../src/vault/jobs/workflow.ts';
import { HealthReconciler } from '../../../src/vault/reconcilers/health.ts';
import { itemRecords } from '../../../src/vault/store/item-records.ts';
import * as dataPlane from '../../../src/vault/store/items.ts';
import { MariaJobStore } from '../../../src/vault/store/jobs.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import * as items from '../../../src/vault/store/protected-items.ts';
import { MariaResources, type Resources } from '../../../src/vault/store/resources.ts';
import * as sites from '../../../src/vault/store/sites.ts';
import type { RecoveryPoint } from '../../../src/vault/store/vault-store.ts';
import { exportJobs } from '../../../src/vault/workflows/export-jobs.ts';
import { EnableProtectionInput } from '../../../src/vault/workflows/inputs.ts';
import type { WorkflowParts } from '../../../src/vault/workflows/parts.ts';
import { renewCertificate } from '../../../src/vault/workflows/renew-certificate.ts';
import { resourceChangeParts, resourceChanges } from '../../../src/vault/workflows/resource-changes.ts';
import { updateProtection } from '../../../src/vault/workflows/update-protection.ts';
import { type ArmWorld, startArmWorld, subscriptionId } from '../../contract/arm-world.ts';
import { type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

export const resourceGroup = 'Group1';
export const vaultName = 'Vault1';
export const vaultId = vaultResourceId(subscriptionId, resourceGroup, vaultName);
/** As the SDK takes them: the vault first. */
export const at = [vaultName, resourceGroup] as const;

export interface NounWorld {
  readonly arm: ArmWorld;
  readonly sdk: SiteRecoveryManagementClient;
  readonly database: Database;
  readonly resources: Resources;
  readonly engine: JobEngine;
  /** One pass of the standing duty. */
  readonly lookAtHealth: () => Promise<void>;
  /** A site that has registered and reported these machines. */
  site(
    name: string,
    machines?: readonly ReportedMachine[],
  ): Promise<{ siteId: string; processServerId: string }>;
  dispose(): Promise<void>;
}

export async function startNounWorld(clock: Clock = systemClock): Promise<NounWorld> {
  const mariadb: PrivateMariadb = await startPrivateMariadb();
  const { database } = await mariadb.database();
  await migrate(database);
  const resources = new MariaResources(database, clock);
  const stopping = new AbortController();
  const engine: JobEngine = new JobEngine({
    store: new MariaJobStore(database),
    workflows: [
      ...resourceChanges({ ...resourceChangeParts(database, resources, clock), healthMilliseconds: 0 }),
      exportJobs(() => engine),
      renewCertificate({ clock, ...willingSite() }),
      ...standInItemWorkflows(database),
    ],
    clock,
    random: systemRandom,
    log: silentLog,
    owner: 'test',
    pollMilliseconds: 50,
  });
  const running = engine.run(stopping.signal);
  const parts = { database, resources, jobs: engine, clock, random: systemRandom, files: systemFiles };
  const arm = await startArmWorld({
    resources,
    withoutRefusals: true,
    nouns: [...nounsOfVault(parts), refusedHandlers(mustExist(parts))],
    parts: { jobs: engine },
  });
  await resources.put(vaultId, { location: 'here' });
  const health = new HealthReconciler({
    database,
    clock,
    log: silentLog,
    metrics: new Metrics(),
    vaultIds: async () => [vaultId],
    storeFacts: async () => ({ replicaFreePercent: 50, cacheFreePercent: 50 }),
    policyTimes: async () => ({ rpoThresholdSeconds: 900, applicationConsistentSeconds: 0 }),
    onChange: () => {},
  });
  return {
    arm,
    sdk: arm.siteRecovery(),
    database,
    resources,
    engine,
    lookAtHealth: () => health.pass(),
    site: async (name, machines = []) => {
      const siteId = systemRandom.uuid();
      const now = new Date(clock.now()).toISOString();
      await sites.add(database, {
        siteId,
        vaultId: vaultId.toLowerCase(),
        fabricName: name,
        hostName: `${name}.example`,
        version: '1.0.0',
        boxPublicKey: Buffer.alloc(32).toString('base64'),
        registeredAt: now,
      });
      const processServerId = systemRandom.uuid();
      await sites.keepReport(database, siteId, aReport(now, processServerId, machines), now);
      return { siteId, processServerId };
    },
    dispose: async () => {
      stopping.abort();
      await running.catch(() => {});
      await arm.dispose();
      await mariadb.dispose();
    },
  };
}

export function aReport(
  now: string,
  processServerId: string,
  machines: readonly ReportedMachine[],
): SiteReport {
  return {
    configurationServer: {
      version: '1.0.0',
      hostName: 'cs.example',
      addresses: ['10.0.0.1'],
      at: now,
      health: [],
    },
    processServers: [
      {
        processServerId,
        name: 'ps1',
        host: '10.0.0.2',
        port: 9443,
        version: '1.0.0',
        lastHeartbeatAt: now,
        cpuPercent: 12.5,
        memoryTotalBytes: 16 * 2 ** 30,
        memoryAvailableBytes: 8 * 2 ** 30,
        spoolTotalBytes: 600 * 2 ** 30,
        spoolFreeBytes: 500 * 2 ** 30,
        pendingBytes: 1 << 20,
        uploadBytesPerSecond: 12_345_678.9,
        itemCount: machines.length,
        health: [],
      },
    ],
    machines: [...machines],
    page: { index: 0, last: true },
  };
}

export function aMachine(name: string, more: Partial<ReportedMachine> = {}): ReportedMachine {
  return {
    machineId: systemRandom.uuid() as ReportedMachine['machineId'],
    name,
    addresses: ['10.1.0.5', 'fe80::1'],
    osName: 'Debian GNU/Linux 12',
    kernel: '6.1.0',
    firmware: 'efi',
    cpuCount: 4,
    memoryBytes: 8 * 2 ** 30,
    mobilityService: { version: '1.0.0', lastHeartbeatAt: new Date(systemClock.now()).toISOString() },
    disks: [
      { path: '/dev/disk/by-id/one', name: 'sda', sizeBytes: 10 * 2 ** 30, readinessErrors: [], uses: ['/'] },
      {
        path: '/dev/disk/by-id/two',
        name: 'sdb',
        sizeBytes: 20 * 2 ** 30,
        readinessErrors: [],
        uses: ['/srv'],
      },
    ],
    ...more,
  };
}

/** A recovery point's row, as the log processor would write it. */
export async function addPoint(
  database: Database,
  itemId: string,
  takenAt: string,
  missingDisks?: RecoveryPoint['missingDisks'],
): Promise<string> {
  const pointId = systemRandom.uuid();
  await database.change(
    `INSERT INTO recovery_points
       (item_id, point_id, type, method, taken_at, processed_at, frozen_milliseconds,
         size_bytes, changed_bytes, chain, sequence, locked_until, missing_disks)
     VALUES (?, ?, 'CrashConsistent', 'quiet', ?, ?, 0, 1, 1, 1, ?, NULL, ?)`,
    // The later of two has the higher sequence.
    [
      itemId,
      pointId,
      new Date(takenAt),
      new Date(takenAt),
      Date.parse(takenAt),
      missingDisks === undefined ? null : JSON.stringify(missingDisks),
    ],
  );
  return pointId;
}

/** A site that does at once what it is ordered. */
function willingSite(): Pick<WorkflowParts, 'orders' | 'sites'> {
  const answers = new Map<string, SiteAnswer>();
  return {
    orders: {
      place: async ({ orderId }) => {
        answers.set(orderId, {
          orderId,
          outcome: { state: 'done', output: '2027-01-01T00:00:00.000Z' },
          answeredAt: '2026-01-01T00:00:00.000Z',
        });
      },
      answer: async (orderId) => answers.get(orderId),
    },
    sites: { siteOf: async () => 'site' } as unknown as WorkflowParts['sites'],
  };
}

function standInItemWorkflows(database: Database): SomeWorkflow[] {
  const enable: Workflow<EnableProtectionInput> = {
    name: 'enable-protection',
    scenarioName: 'EnableDr',
    friendlyName: 'Enable replication',
    input: EnableProtectionInput,
    cancelable: true,
    steps: () => [
      {
        name: 'Ids',
        title: 'Making ids',
        where: 'database',
        do: async ({ input }) => ({
          itemId: systemRandom.uuid(),
          disks: input.disks.map(({ path }) => ({ path, diskId: systemRandom.uuid() })),
        }),
      },
      {
        name: 'Rows',
        title: 'Writing rows',
        where: 'database',
        do: async ({ input, outputs, jobId, startedAt }) => {
          const made = outputs.Ids as { itemId: string; disks: { path: string; diskId: string }[] };
          const itemId = ProtectedItemId.parse(made.itemId);
          const segments = input.id.split('/');
          await items.add(
            database,
            {
              ...input,
              replication: { ...input.replication, change: 0, heardChange: 0 },
              itemId,
              vaultId: segments.slice(0, 9).join('/'),
              containerId: segments.slice(0, 13).join('/'),
              fabricName: segments[10]!,
              name: segments[14]!,
              createdAt: startedAt,
            },
            { jobId, scenarioName: 'EnableDr', startedAt },
          );
          await dataPlane.add(
            database,
            {
              itemId,
              name: input.name,
              processServer: 'ps1',
              disks: made.disks.map(({ path, diskId }) => ({ path, diskId: ProtectedDiskId.parse(diskId) })),
              retention: input.retention,
              createdAt: startedAt,
            },
            Buffer.alloc(60),
          );
          await items.end(database, input.id, jobId, 'done');
          return undefined;
        },
      },
    ],
  };
  const other = (name: string, scenarioName: string, operation: ItemOperation): SomeWorkflow =>
    ({
      name,
      scenarioName,
      friendlyName: scenarioName,
      input: z.looseObject({ id: z.string() }),
      cancelable: true,
      steps: () =>
        [
          {
            name: 'Begin',
            title: 'Taking the item',
            where: 'database',
            do: async ({ input, jobId, startedAt }) => {
              await items.begin(database, input.id, operation, { jobId, scenarioName, startedAt });
              return { ...input } as never;
            },
          },
          {
            name: 'End',
            title: 'Letting it go',
            where: 'database',
            do: async ({ input, jobId }) => {
              await items.end(database, input.id, jobId, 'done');
              return undefined;
            },
          },
        ] satisfies Step<{ id: string }>[],
    }) as unknown as SomeWorkflow;
  return [
    enable as unknown as SomeWorkflow,
    updateProtection({ items: itemRecords(database) }) as unknown as SomeWorkflow,
    other('disable-protection', 'DisableDr', 'DisableProtection'),
    other('test-failover', 'TestFailover', 'TestFailover'),
    other('test-failover-cleanup', 'TestFailoverCleanup', 'TestFailoverCleanup'),
    other('unplanned-failover', 'UnplannedFailover', 'UnplannedFailover'),
    other('commit-failover', 'CommitFailover', 'Commit'),
    other('cancel-failover', 'CancelFailover', 'CancelFailover'),
    other('apply-recovery-point', 'ChangeRecoveryPoint', 'ChangePit'),
    other('repair-replication', 'RepairReplication', 'RepairReplication'),
  ];
}

export const itemIdOf = (fabric: string, name: string): string =>
  childId(
    vaultId,
    'replicationFabrics',
    fabric,
    'replicationProtectionContainers',
    `${fabric}-container`,
    'replicationProtectedItems',
    name,
  );
