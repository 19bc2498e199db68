/**
 * The main job, through the public SDK alone: a machine of a registered site is protected, gets a recovery point, is
 * rehearsed in an isolated network, and the rehearsal is cleaned up.
 *
 *     node docs/api/examples/protect-and-rehearse.ts <machine> [--disk /dev/sda]… [--size SIZE] [--keep]
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { all, lastName, resourceGroup, siteRecovery, vaultName } from './client.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  // `--keep`: leave the rehearsal running, to look at it.
  options: {
    keep: { type: 'boolean', default: false },
    /** Only these; default: every disk that can be protected. */
    disk: { type: 'string', multiple: true },
    /** Of the machine at the recovery site, e.g. `cpu2-memory4`; default: as large as the source. */
    size: { type: 'string' },
    policy: { type: 'string', default: 'daily' },
  },
});
const [machineName] = positionals;
if (machineName === undefined) throw new Error('which machine? `first-steps.ts` shows sites and machines');

// ── the machine, where its site is ───────────────────────────────────────────────────────────────────────────────────
const containers = await all(siteRecovery.replicationProtectionContainers.list(vaultName, resourceGroup));
const places = containers.map((container) => ({
  fabric: container.id!.split('/').at(-3)!,
  container: container.name!,
}));
const found = (
  await Promise.all(
    places.map(async (place) => {
      const machines = await all(
        siteRecovery.replicationProtectableItems.listByReplicationProtectionContainers(
          vaultName,
          resourceGroup,
          place.fabric,
          place.container,
        ),
      );
      return machines.map((machine) => ({ ...place, machine }));
    }),
  )
)
  .flat()
  .find(({ machine }) => machine.properties?.friendlyName === machineName);
if (found === undefined) throw new Error(`no site has a machine called ${machineName}`);
const { fabric, container, machine } = found;
console.log(`${machineName} is at ${fabric}`);

// ── policy, and the container that uses it ───────────────────────────────────────────────────────────────────────────
const policy = await siteRecovery.replicationPolicies.beginCreateAndWait(
  vaultName,
  resourceGroup,
  values.policy,
  {
    properties: {
      providerSpecificInput: {
        instanceType: 'InMageAzureV2',
        recoveryPointThresholdInMinutes: 15,
        recoveryPointHistory: 24 * 60,
        crashConsistentFrequencyInMinutes: 1,
        appConsistentFrequencyInMinutes: 0,
        multiVmSyncStatus: 'Disable',
      },
    },
  },
);
await siteRecovery.replicationProtectionContainerMappings.beginCreateAndWait(
  vaultName,
  resourceGroup,
  fabric,
  container,
  `${values.policy}-of-${container}`,
  {
    properties: {
      policyId: policy.id!,
      targetProtectionContainerId: 'Microsoft Azure',
    },
  },
);

// ── protect, and wait for a recovery point ───────────────────────────────────────────────────────────────────────────
const itemName = machineName;
const where = [resourceGroup, fabric, container, itemName] as const;
await siteRecovery.replicationProtectedItems.beginCreateAndWait(vaultName, ...where, {
  properties: {
    policyId: policy.id!,
    protectableItemId: machine.id!,
    providerSpecificDetails: {
      instanceType: 'InMageAzureV2',
      ...(values.size === undefined ? {} : { targetVmSize: values.size }),
      ...(values.disk === undefined ? {} : { disksToInclude: values.disk.map((diskId) => ({ diskId })) }),
    },
  },
});
console.log('protection is enabled');
const deadline = performance.now() + 30 * 60_000;
for (let shown = ''; ; await sleep(2000)) {
  const points = await all(siteRecovery.recoveryPoints.listByReplicationProtectedItems(vaultName, ...where));
  if (points.length > 0) {
    const { recoveryPointTime, recoveryPointType } = points[0]!.properties!;
    console.log(`recovery point ${recoveryPointTime?.toISOString()} ${recoveryPointType}`);
    break;
  }
  if (performance.now() > deadline) throw new Error('no recovery point within half an hour');
  const { properties } = await siteRecovery.replicationProtectedItems.get(vaultName, ...where);
  if (properties?.protectionStateDescription !== shown)
    console.log(`  ${properties?.protectionStateDescription}`);
  shown = properties?.protectionStateDescription ?? '';
}

// ── rehearse ─────────────────────────────────────────────────────────────────────────────────────────────────────────
const rehearsed = await siteRecovery.replicationProtectedItems.beginTestFailoverAndWait(vaultName, ...where, {
  properties: {
    failoverDirection: 'PrimaryToRecovery',
    networkType: 'NoNetworkAttachAsInput',
    providerSpecificDetails: { instanceType: 'InMageAzureV2' },
  },
});
console.log(`test failover: ${rehearsed.properties?.testFailoverState}`);
const jobs = await all(siteRecovery.replicationJobs.list(vaultName, resourceGroup));
const job = jobs.find(({ properties }) => properties?.scenarioName === 'TestFailover');
if (job === undefined) throw new Error('there is no job of the test failover');
const { properties } = await siteRecovery.replicationJobs.get(vaultName, resourceGroup, lastName(job.id));
for (const task of properties?.tasks ?? []) console.log(`  ${task.state} ${task.friendlyName}`);

if (!values.keep) {
  await siteRecovery.replicationProtectedItems.beginTestFailoverCleanupAndWait(vaultName, ...where, {
    properties: { comments: 'the machine answered' },
  });
  console.log('cleaned up');
}
