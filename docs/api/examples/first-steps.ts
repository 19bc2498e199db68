/** What there is: the vault, its policies, sites, machines, jobs and events. Makes a policy when there is none. */
import { all, resourceGroup, siteRecovery, vaultName, vaults } from './client.ts';

const vault = await vaults.vaults.get(resourceGroup, vaultName);
console.log(`vault ${vault.name} in ${vault.location}: ${vault.properties?.provisioningState}`);

const policies = () => all(siteRecovery.replicationPolicies.list(vaultName, resourceGroup));
if ((await policies()).length === 0) {
  const made = await siteRecovery.replicationPolicies.beginCreateAndWait(vaultName, resourceGroup, 'daily', {
    properties: {
      providerSpecificInput: {
        instanceType: 'InMageAzureV2',
        recoveryPointThresholdInMinutes: 15,
        recoveryPointHistory: 24 * 60,
        crashConsistentFrequencyInMinutes: 5,
        appConsistentFrequencyInMinutes: 60,
        multiVmSyncStatus: 'Enable',
      },
    },
  });
  console.log(`made policy ${made.name}`);
}
for (const { name, properties } of await policies())
  console.log(`policy ${name}: ${properties?.providerSpecificDetails?.instanceType}`);

for (const fabric of await all(siteRecovery.replicationFabrics.list(vaultName, resourceGroup)))
  console.log(`site ${fabric.name}: ${fabric.properties?.health}`);
for (const item of await all(siteRecovery.replicationProtectedItems.list(vaultName, resourceGroup)))
  console.log(`${item.name}: ${item.properties?.protectionState}, ${item.properties?.replicationHealth}`);
for (const job of await all(siteRecovery.replicationJobs.list(vaultName, resourceGroup)))
  console.log(
    `job ${job.properties?.scenarioName} of ${job.properties?.targetObjectName}: ${job.properties?.state}`,
  );
for (const event of await all(siteRecovery.replicationEvents.list(vaultName, resourceGroup)))
  console.log(`event ${event.properties?.severity} ${event.properties?.description}`);
