// Goal: what a site says of copies of a machine is a condition of its item at the next look, and over when the site does not
// say it any more.
// Method: real database, reports as a site's link keeps them, the health reconciler's own pass.
import anyTest from 'ava';
import { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import type { MachineId, ReportedMachine } from '../../../src/protocol/control/site-link.ts';
import { HealthReconciler } from '../../../src/vault/reconcilers/health.ts';
import { defaultRetention } from '../../../src/vault/retention/plan.ts';
import * as conditions from '../../../src/vault/store/conditions.ts';
import { MariaStore } from '../../../src/vault/store/maria-store.ts';
import * as items from '../../../src/vault/store/protected-items.ts';
import * as sites from '../../../src/vault/store/sites.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';
import { type SiteLinkVault, startSiteLinkVault, vaultId } from '../../support/site-link-vault.ts';

const test = (await hasMariadb()) ? anyTest.serial : anyTest.skip;
let mariadb: PrivateMariadb;
let vault: SiteLinkVault;
anyTest.before(async () => {
  if (!(await hasMariadb())) return;
  mariadb = await startPrivateMariadb();
  vault = await startSiteLinkVault((await mariadb.database()).database);
});
anyTest.after.always(async () => {
  await vault?.[Symbol.asyncDispose]();
  await mariadb?.dispose();
});

test('a copy that a site reports is a condition of the item, named, until it is not reported any more', async (t) => {
  const { database } = vault;
  using site = await vault.registered('branch');
  const now = () => new Date(systemClock.now()).toISOString();
  const itemId = ProtectedItemId.parse(systemRandom.uuid());
  const machineId = systemRandom.uuid();
  const containerId = `${vaultId}/replicationFabrics/branch/replicationProtectionContainers/main`;
  const id = `${containerId}/replicationProtectedItems/web`;
  await new MariaStore(database).addItem(
    {
      itemId,
      name: 'web',
      processServer: 'ps1',
      disks: [{ diskId: ProtectedDiskId.parse(systemRandom.uuid()), path: '/dev/sda' }],
      retention: defaultRetention,
      createdAt: now(),
    },
    Buffer.from('kept elsewhere'),
  );
  await items.add(
    database,
    {
      id,
      vaultId,
      containerId,
      fabricName: 'branch',
      name: 'web',
      friendlyName: 'web',
      instanceType: 'InMageRcm',
      policyId: `${vaultId}/replicationPolicies/often`,
      protectableItemId: `${containerId}/replicationProtectableItems/web`,
      settings: { instanceType: 'InMageRcm', targetVmName: 'x' },
      machineId,
      processServerId: 'ps1',
      createdAt: now(),
    },
    { jobId: systemRandom.uuid(), scenarioName: 'EnableDr', startedAt: now() },
  );
  await items.tie(database, id, itemId);
  const reconciler = new HealthReconciler({
    database,
    clock: systemClock,
    log: silentLog,
    metrics: new Metrics(),
    policyTimes: async () => ({ rpoThresholdSeconds: 900, applicationConsistentSeconds: 0 }),
    vaultIds: async () => [vaultId],
    storeFacts: async () => ({ replicaFreePercent: 90, cacheFreePercent: 90 }),
    onChange: () => {},
  });
  const seen = async (copies: ReportedMachine['copies']) => {
    await sites.keepReport(
      database,
      site.siteId,
      {
        configurationServer: { version: '0.1.0', hostName: 'cs', addresses: [], at: now(), health: [] },
        processServers: [],
        machines: [
          {
            machineId: machineId as MachineId,
            name: 'web',
            addresses: [],
            osName: 'Debian',
            kernel: '6.1',
            firmware: 'efi',
            cpuCount: 1,
            memoryBytes: 1,
            mobilityService: { version: '0.1.0', lastHeartbeatAt: now() },
            disks: [],
            itemId,
            ...(copies === undefined ? {} : { copies }),
          },
        ],
        page: { index: 0, last: true },
      },
      now(),
    );
    await reconciler.pass();
    const kept = (await conditions.keptOf(database, [id])).get(id.toLowerCase()) ?? [];
    return kept.map(({ condition }) => condition);
  };
  t.deepEqual(await seen(undefined), []);
  const copy = { name: 'web-clone', addresses: ['192.0.2.9'], firstSeenAt: '2026-11-30T20:00:00.000Z' };
  const [condition, ...rest] = await seen([copy]);
  t.deepEqual(rest, []);
  t.like(condition, { code: 'MachineCopied', severity: 'Warning' });
  t.regex(condition!.summary, /web-clone \(192\.0\.2\.9\), first seen at 2026-11-30T20:00/);
  t.deepEqual(await seen(undefined), []);
});
