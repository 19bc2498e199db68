/** How Terraform finds a machine to protect and the account for it: `Microsoft.OffAzure/vmwareSites`. */
import anyTest from 'ava';
import { type PlainAnswer, subscriptionId } from '../../contract/arm-world.ts';
import { hasMariadb } from '../../support/private-mariadb.ts';
import { aMachine, type NounWorld, resourceGroup, startNounWorld, vaultId, vaultName } from './noun-world.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let world: NounWorld;
const site = `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/providers/Microsoft.OffAzure/vmwareSites/hq`;

anyTest.before(async () => {
  if (!able) return;
  world = await startNounWorld();
  await world.arm.vaults().vaults.beginCreateOrUpdateAndWait(resourceGroup, vaultName, { location: 'here' });
});
anyTest.after.always(() => world?.dispose());

const ended = ({ headers }: PlainAnswer) =>
  world.engine.follow(
    /operationresults\/([^?]+)/.exec(headers.get('location')!)![1]!,
    AbortSignal.timeout(120_000),
  );

test('a machine is found by the site that its fabric names, and protected as Terraform does it', async (t) => {
  const { arm, sdk } = world;
  t.is((await arm.request('GET', `${site}/machines`)).status, 404);
  await sdk.replicationFabrics.beginCreateAndWait(vaultName, resourceGroup, 'hq', {
    properties: {
      customDetails: {
        instanceType: 'InMageRcm',
        vmwareSiteId: site,
        physicalSiteId: site.replace('vmwareSites', 'serverSites'),
        sourceAgentIdentity: {
          tenantId: 't',
          applicationId: 'a',
          objectId: 'o',
          audience: 'x',
          aadAuthority: 'y',
        },
      },
    },
  } as never);
  const machines = ['c', 'a', 'b'].map((name) => aMachine(name));
  const { processServerId } = await world.site('hq', machines);
  const found: { id: string; properties: { displayName: string } }[] = [];
  let path = `${site.toLowerCase().replace('/subscriptions', '/Subscriptions')}/machines?$top=2`;
  for (let pages = 0; pages < 5; pages += 1) {
    const { status, body } = await arm.request('GET', path, { apiVersion: '2020-01-01' });
    t.is(status, 200);
    found.push(...body.value);
    if (body.nextLink === undefined) break;
    path = body.nextLink.slice(arm.url.length);
  }
  t.deepEqual(
    found.map((machine) => machine.properties.displayName),
    ['a', 'b', 'c'],
  );
  t.is((await arm.request('GET', found[0]!.id)).body.properties.displayName, 'a');
  const accounts = (await arm.request('GET', `${site}/runAsAccounts`)).body.value;
  t.is(accounts[0].properties.applianceName, 'ps1');
  t.is((await arm.request('GET', accounts[0].id)).body.properties.displayName, 'mobility-service');
  t.is((await arm.request('GET', site)).body.id, site);
  t.is((await arm.request('GET', `${site}/machines/none`)).body.error.code, 'ResourceNotFound');

  const { properties } = await sdk.replicationFabrics.get(vaultName, resourceGroup, 'hq');
  t.is((properties!.customDetails as { vmwareSiteId?: string }).vmwareSiteId, site);
  const policy = await sdk.replicationPolicies.beginCreateAndWait(vaultName, resourceGroup, 'gold', {
    properties: { providerSpecificInput: { instanceType: 'InMageRcm' } },
  } as never);
  const container = `${vaultId}/replicationFabrics/hq/replicationProtectionContainers/hq-container`;
  const mapping = await arm.request('PUT', `${container}/replicationProtectionContainerMappings/m`, {
    body: {
      properties: {
        targetProtectionContainerId: 'Microsoft Azure',
        policyId: policy.id,
        providerSpecificInput: {},
      },
    },
  });
  t.is(mapping.status, 202);
  await ended(mapping);
  const protect = await arm.request('PUT', `${container}/replicationProtectedItems/a`, {
    body: {
      properties: {
        policyId: policy.id,
        providerSpecificDetails: {
          instanceType: 'InMageRcm',
          fabricDiscoveryMachineId: found[0]!.id,
          targetResourceGroupId: `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}`,
          targetVmName: 'a',
          licenseType: 'NotSpecified',
          processServerId,
          runAsAccountId: accounts[0].id,
        },
      },
    },
  });
  t.is(protect.status, 202, JSON.stringify(protect.body));
  await ended(protect);
  const item = await arm.request('GET', `${container}/replicationProtectedItems/a`);
  const details = item.body.properties.providerSpecificDetails;
  t.is(item.body.properties.friendlyName, 'a');
  t.is(details.runAsAccountId, accounts[0].id);
  t.is(details.processServerName, 'ps1');
  t.true(
    details.protectedDisks.every(
      (disk: { diskId?: string; diskType?: string }) => disk.diskId && disk.diskType,
    ),
  );
  for (const vmNics of [
    [],
    [
      {
        nicId: '00:50:56:00:00:01',
        isPrimaryNic: 'true',
        isSelectedForFailover: 'true',
        targetSubnetName: 's',
      },
    ],
  ]) {
    const update = await arm.request('PATCH', `${container}/replicationProtectedItems/a`, {
      body: { properties: { providerSpecificDetails: { instanceType: 'InMageRcm', vmNics } } },
    });
    t.is(update.status, 202, JSON.stringify(update.body));
    await ended(update);
    const read = await arm.request('GET', `${container}/replicationProtectedItems/a`);
    t.deepEqual(read.body.properties.providerSpecificDetails.vmNics, vmNics, 'a second plan shows no change');
  }
  const disable = await arm.request('POST', `${container}/replicationProtectedItems/a/remove`, {
    body: {
      properties: {
        disableProtectionReason: 'NotSpecified',
        replicationProviderInput: { instanceType: 'DisableProtectionProviderSpecificInput' },
      },
    },
  });
  t.is(disable.status, 202, JSON.stringify(disable.body));
  t.deepEqual(arm.misfits, []);
});
