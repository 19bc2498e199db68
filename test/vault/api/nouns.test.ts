import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VMwareDetails } from '@azure/arm-recoveryservices-siterecovery';
import anyTest, { type ExecutionContext } from 'ava';
import { type ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../../src/model/ids.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { childId } from '../../../src/protocol/arm/resource-id.ts';
import * as sites from '../../../src/vault/store/sites.ts';
import { testFailoverRecords } from '../../../src/vault/store/test-failovers.ts';
import { hasMariadb } from '../../support/private-mariadb.ts';
import {
  addPoint,
  aMachine,
  aReport,
  at,
  itemIdOf,
  type NounWorld,
  startNounWorld,
  vaultId,
} from './noun-world.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let world: NounWorld;
anyTest.before(async () => {
  if (able) world = await startNounWorld();
});
anyTest.after.always(() => world?.dispose());

const quick = { updateIntervalInMs: 20 };
async function all<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of pages) found.push(one);
  return found;
}
const policyOf = (input: object) => ({ properties: { providerSpecificInput: input } }) as never;
const rcmPolicy = {
  instanceType: 'InMageRcm',
  recoveryPointHistoryInMinutes: 1440,
  crashConsistentFrequencyInMinutes: 10,
  appConsistentFrequencyInMinutes: 60,
  enableMultiVmSync: 'False',
};
async function code(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    return String((error as { code?: string }).code);
  }
}

test('a policy is given back as it was sent, updated, refused out of bounds, and deleted', async (t) => {
  const { replicationPolicies: policies } = world.sdk;
  const made = await policies.beginCreateAndWait(...at, 'gold', policyOf(rcmPolicy), quick);
  t.is(made.id, childId(vaultId, 'replicationPolicies', 'gold'));
  t.is(made.type, 'Microsoft.RecoveryServices/vaults/replicationPolicies');
  t.deepEqual({ ...made.properties!.providerSpecificDetails }, rcmPolicy as never);
  const v2 = {
    instanceType: 'InMageAzureV2',
    recoveryPointThresholdInMinutes: 15,
    recoveryPointHistory: 1440,
    crashConsistentFrequencyInMinutes: 5,
    appConsistentFrequencyInMinutes: 60,
    multiVmSyncStatus: 'Enable',
  };
  const classic = await policies.beginCreateAndWait(...at, 'classic', policyOf(v2), quick);
  t.deepEqual({ ...classic.properties!.providerSpecificDetails }, {
    ...v2,
    multiVmSyncStatus: 'Enabled',
  } as never);
  const updated = await policies.beginUpdateAndWait(
    ...at,
    'GOLD',
    {
      properties: { replicationProviderSettings: { ...rcmPolicy, crashConsistentFrequencyInMinutes: 5 } },
    } as never,
    quick,
  );
  t.is(
    (updated.properties!.providerSpecificDetails as typeof rcmPolicy).crashConsistentFrequencyInMinutes,
    5,
  );
  t.is(updated.id, made.id);
  t.deepEqual(
    (await all(policies.list(...at))).map(({ name }) => name),
    ['gold', 'classic'],
  );
  for (const wrong of [
    { recoveryPointHistoryInMinutes: 21_601 },
    { crashConsistentFrequencyInMinutes: 0 },
    { appConsistentFrequencyInMinutes: 5 },
    { recoveryPointHistoryInMinutes: 3 },
  ])
    t.is(
      await code(policies.beginCreateAndWait(...at, 'wrong', policyOf({ ...rcmPolicy, ...wrong }), quick)),
      'InvalidRequestContent',
      JSON.stringify(wrong),
    );
  t.is(
    await code(
      policies.beginCreateAndWait(...at, 'wrong', policyOf({ ...v2, instanceType: 'VMwareCbt' }), quick),
    ),
    'ProviderNotHere',
  );
  t.is(
    await code(policies.beginCreateAndWait(...at, 'bad name!', policyOf(rcmPolicy), quick)),
    'InvalidRequestContent',
  );
  t.is(await code(policies.get(...at, 'none')), 'ResourceNotFound');
  await policies.beginDeleteAndWait(...at, 'classic', quick);
  await policies.beginDeleteAndWait(...at, 'classic', quick);
  t.is(await code(policies.get(...at, 'classic')), 'ResourceNotFound');
});

test('a policy’s own seconds outlive a client that does not know of them, until their minutes change', async (t) => {
  const { replicationPolicies: policies } = world.sdk;
  const { crashConsistentFrequencyInMinutes: _, ...others } = rcmPolicy;
  const own = { crashConsistentSeconds: 5, applicationConsistentSeconds: 120 };
  const kept = async () =>
    (await world.resources.get(childId(vaultId, 'replicationPolicies', 'often')))!.properties
      .providerSpecificInput as { leeward: object };
  // The SDK sends only what it knows.
  const put = async (input: { leeward: object }) => {
    const path = `${vaultId}/replicationPolicies/often`;
    const { status, headers } = await world.arm.request('PUT', path, { body: policyOf(input) });
    t.is(status, 202);
    // Not only until the row is there: its job goes on, and keeps the policy for itself to its end.
    const jobId = headers.get('location')!.match(/operationresults\/([0-9a-f-]{36})/)![1]!;
    await until(
      systemClock,
      60_000,
      async () => (await world.engine.get(jobId))?.state === 'Succeeded' || undefined,
      () => new Error('the policy is not put'),
    );
    t.deepEqual((await kept()).leeward, input.leeward);
  };
  await put({ ...rcmPolicy, leeward: own });

  const given = await policies.get(...at, 'often');
  const back = { ...given.properties!.providerSpecificDetails!, recoveryPointHistoryInMinutes: 2880 };
  await policies.beginCreateAndWait(...at, 'often', policyOf(back), quick);
  t.like(await kept(), { leeward: own, recoveryPointHistoryInMinutes: 2880 });

  const changes = { ...others, crashConsistentFrequencyInMinutes: 15 };
  await policies.beginUpdateAndWait(
    ...at,
    'often',
    { properties: { replicationProviderSettings: changes } } as never,
    quick,
  );
  t.deepEqual((await kept()).leeward, { applicationConsistentSeconds: 120 });
  await put({ ...changes, leeward: {} });
  await policies.beginDeleteAndWait(...at, 'often', quick);
});

test('a site that registered is a fabric with provider, container, machines and an appliance', async (t) => {
  const broken = aMachine('broken', {
    disks: [
      {
        path: '/dev/sda',
        name: 'sda',
        sizeBytes: 1,
        uses: [],
        readinessErrors: [
          {
            code: 'TooSmall',
            severity: 'error',
            summary: 'the disk is too small',
            possibleCauses: 'x',
            recommendedAction: 'y',
            raisedAt: '2026-01-01T00:00:00.000Z',
            context: {},
          },
        ],
      },
    ],
  });
  const machine = aMachine('web1.example');
  const { siteId, processServerId } = await world.site('Paris', [machine, broken]);
  const { sdk } = world;
  const fabric = await sdk.replicationFabrics.get(...at, 'PARIS');
  t.is(fabric.id, childId(vaultId, 'replicationFabrics', 'Paris'));
  t.is(fabric.properties!.health, 'Normal');
  const details = fabric.properties!.customDetails as {
    instanceType: string;
    processServers: { id: string; throughputInBytes: number }[];
  };
  t.is(details.instanceType, 'VMware');
  t.is(details.processServers[0]!.id, processServerId);
  t.deepEqual(
    (await all(sdk.replicationFabrics.list(...at))).map(({ name }) => name),
    ['Paris'],
  );
  const providers = await all(
    sdk.replicationRecoveryServicesProviders.listByReplicationFabrics(...at, 'Paris'),
  );
  t.is(providers[0]!.name, siteId);
  t.is(providers[0]!.properties!.connectionStatus, 'Connected');
  const [container] = await all(sdk.replicationProtectionContainers.listByReplicationFabrics(...at, 'Paris'));
  t.is(container!.name, 'Paris-container');
  t.is((await all(sdk.replicationProtectionContainers.list(...at))).length, 1);
  t.is((await sdk.replicationProtectionContainers.get(...at, 'paris', 'paris-container')).id, container!.id);
  t.is(await code(sdk.replicationProtectionContainers.get(...at, 'Paris', 'other')), 'ResourceNotFound');

  const list = (options: object = {}) =>
    all(
      sdk.replicationProtectableItems.listByReplicationProtectionContainers(
        ...at,
        'Paris',
        container!.name!,
        options,
      ),
    );
  t.deepEqual(
    (await list()).map(({ properties }) => [properties!.friendlyName, properties!.protectionStatus]),
    [
      ['broken', 'Unprotected'],
      ['web1.example', 'Unprotected'],
    ],
  );
  t.is((await list({ take: '1' })).length, 2, 'pages of one');
  t.is((await list({ filter: "state eq 'Protected'" })).length, 0);
  t.is((await list({ filter: "state eq 'Unprotected'", take: '1' })).length, 2);
  t.is(await code(list({ filter: "colour eq 'red'" })), 'FilterInvalid');
  const one = await sdk.replicationProtectableItems.get(...at, 'Paris', container!.name!, broken.machineId);
  t.true(one.properties!.protectionReadinessErrors![0]!.includes('too small'));
  const appliances = await all(sdk.replicationAppliances.list(...at));
  t.is(appliances.length, 1);
});

test('fabrics are put, kept and removed with what lies in them', async (t) => {
  const { sdk } = world;
  const input = {
    properties: {
      customDetails: {
        instanceType: 'VMwareV2',
        migrationSolutionId: '/x/solutions/y',
        vmwareSiteId: '/x/sites/z',
      },
    },
  } as never;
  const made = await sdk.replicationFabrics.beginCreateAndWait(...at, 'Lyon', input, quick);
  t.is((made.properties!.customDetails as { vmwareSiteId: string }).vmwareSiteId, '/x/sites/z');
  t.is(made.properties!.health, 'None');
  t.is(
    await code(sdk.replicationFabrics.beginCheckConsistencyAndWait(...at, 'Lyon', quick)),
    'SiteNotRegistered',
  );
  const vcenter = { properties: { friendlyName: 'vc', ipAddress: '10.0.0.9', port: '443' } };
  const put = await sdk.replicationvCenters.beginCreateAndWait(...at, 'Lyon', 'vc1', vcenter, quick);
  t.is(put.properties!.ipAddress, '10.0.0.9');
  await sdk.replicationvCenters.beginUpdateAndWait(
    ...at,
    'Lyon',
    'vc1',
    { properties: { port: '8443' } },
    quick,
  );
  t.is((await sdk.replicationvCenters.get(...at, 'Lyon', 'vc1')).properties!.port, '8443');
  t.is((await all(sdk.replicationvCenters.list(...at))).length, 1);
  t.is((await all(sdk.replicationvCenters.listByReplicationFabrics(...at, 'Lyon'))).length, 1);
  await sdk.replicationFabrics.beginDeleteAndWait(...at, 'Lyon', quick);
  t.is(await code(sdk.replicationFabrics.get(...at, 'Lyon')), 'ResourceNotFound');
  t.is((await all(sdk.replicationvCenters.list(...at))).length, 0);
});

test('a machine is protected, watched, tested, failed over and committed through the SDK alone', async (t) => {
  const { sdk, database } = world;
  const machine = aMachine('db.example');
  const { processServerId } = await world.site('Rome', [machine]);
  const container = 'Rome-container';
  const policy = await sdk.replicationPolicies.beginCreateAndWait(...at, 'rome', policyOf(rcmPolicy), quick);
  const mapping = await sdk.replicationProtectionContainerMappings.beginCreateAndWait(
    ...at,
    'Rome',
    container,
    'map',
    { properties: { policyId: policy.id!, targetProtectionContainerId: 'Microsoft Azure' } },
    quick,
  );
  t.is(mapping.properties!.policyId, policy.id);
  t.is(mapping.properties!.state, 'Paired');
  t.is(await code(sdk.replicationPolicies.beginDeleteAndWait(...at, 'rome', quick)), 'ResourceInUse');

  const protectable = `${vaultId}/replicationFabrics/Rome/replicationProtectionContainers/${container}/replicationProtectableItems/${machine.machineId}`;
  const settings = {
    instanceType: 'InMageRcm',
    fabricDiscoveryMachineId: protectable,
    targetResourceGroupId: '/subscriptions/s/resourceGroups/g',
    processServerId,
    targetVmName: 'db',
    targetVmSize: 'cpu2-memory4',
    disksToInclude: [
      { diskId: '/dev/disk/by-id/one', logStorageAccountId: '/x/storage', diskType: 'Premium_LRS' },
    ],
    multiVmGroupName: 'group',
  };
  const body = {
    properties: { policyId: policy.id!, protectableItemId: protectable, providerSpecificDetails: settings },
  } as never;
  const items = sdk.replicationProtectedItems;
  const path = [...at, 'Rome', container, 'db'] as const;
  t.is(await code(items.get(...path)), 'ResourceNotFound');
  const wrong = (more: object, properties: object = {}) =>
    code(
      items.beginCreateAndWait(
        ...path,
        {
          properties: {
            policyId: policy.id!,
            protectableItemId: protectable,
            providerSpecificDetails: { ...settings, ...more },
            ...properties,
          },
        } as never,
        quick,
      ),
    );
  t.is(await wrong({ processServerId: systemRandom.uuid() }), 'ReferenceNotFound');
  t.is(
    await wrong({ disksToInclude: [{ ...settings.disksToInclude[0], diskId: '/dev/x' }] }),
    'DiskNotFound',
  );
  t.is(await wrong({ fabricDiscoveryMachineId: systemRandom.uuid() }), 'ReferenceNotFound');
  t.is(await wrong({}, { policyId: `${vaultId}/replicationPolicies/none` }), 'ReferenceNotFound');

  const made = await items.beginCreateAndWait(...path, body, quick);
  t.is(made.id, itemIdOf('Rome', 'db'));
  t.is(made.properties!.protectionState, 'InitialReplicationInProgress');
  t.is(made.properties!.policyId, policy.id);
  t.deepEqual(made.properties!.currentScenario!.scenarioName, 'None');
  const details = made.properties!.providerSpecificDetails as unknown as {
    targetVmName: string;
    multiVmGroupName: string;
    processServerName: string;
    protectedDisks: { diskId: string; diskType: string }[];
    unprotectedDisks: { diskId: string }[];
  };
  t.is(details.targetVmName, 'db');
  t.is(details.multiVmGroupName, 'group');
  t.is(details.processServerName, 'ps1');
  t.deepEqual(
    details.protectedDisks.map(({ diskId, diskType }) => [diskId, diskType]),
    [['/dev/disk/by-id/one', 'Premium_LRS']],
  );
  t.deepEqual(
    details.unprotectedDisks.map(({ diskId }) => diskId),
    ['/dev/disk/by-id/two'],
  );
  const again = await items.beginCreateAndWait(...path, body, quick);
  t.is(again.id, made.id, 'the same again is no error');
  t.is(
    await code(items.beginCreateAndWait(...at, 'Rome', container, 'other', body, quick)),
    'MachineAlreadyProtectedConflict',
  );
  t.is(
    await code(items.beginTestFailoverAndWait(...path, { properties: {} } as never, quick)),
    'OperationNotAllowed',
  );

  const itemId = made.properties!.eventCorrelationId!;
  const old = await addPoint(database, itemId, new Date(Date.now() - 3_600_000).toISOString());
  const newest = await addPoint(database, itemId, new Date(Date.now() - 1000).toISOString());
  await database.change('INSERT INTO events (item_id, event) VALUES (?, ?)', [
    itemId,
    JSON.stringify({
      code: 'SomethingOff',
      severity: 'warning',
      summary: 'something is off',
      possibleCauses: 'x',
      recommendedAction: 'y',
      raisedAt: new Date().toISOString(),
      context: {},
    }),
  ]);
  const ready = await items.get(...path);
  t.is(ready.properties!.protectionState, 'Protected');
  t.true(ready.properties!.allowedOperations!.includes('TestFailover'));
  t.is(ready.properties!.replicationHealth, 'Warning');
  t.deepEqual(
    ready.properties!.healthErrors!.map(({ errorCode }) => errorCode),
    ['SomethingOff'],
  );
  const points = await all(sdk.recoveryPoints.listByReplicationProtectedItems(...path));
  t.deepEqual(
    points.map(({ name }) => name),
    [newest, old],
  );
  const point = await sdk.recoveryPoints.get(...path, old);
  t.is(point.properties!.recoveryPointType, 'CrashConsistent');
  await pointWithoutDisk(t, ready.id!, itemId, newest);
  t.true((await all(sdk.targetComputeSizes.listByReplicationProtectedItems(...path))).length > 10);

  await sdk.replicationPolicies.beginCreateAndWait(
    ...at,
    'rome',
    policyOf({ ...rcmPolicy, recoveryPointHistoryInMinutes: 60 }),
    quick,
  );
  const [kept] = await database.rows('SELECT retention FROM protected_items WHERE item_id = ?', [itemId]);
  const { rules } = (typeof kept!.retention === 'string' ? JSON.parse(kept!.retention) : kept!.retention) as {
    rules: { untilSeconds: number }[];
  };
  t.is(rules.at(-1)!.untilSeconds, 3600, 'a policy that is changed counts for what it protects');

  const tested = await items.beginTestFailoverAndWait(
    ...path,
    {
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        networkType: 'NoNetworkAttachAsInput',
        providerSpecificDetails: { instanceType: 'InMageRcm', recoveryPointId: point.id },
      },
    } as never,
    quick,
  );
  t.is(tested.properties!.testFailoverState, 'WaitingForCompletion');
  const job = (await all(sdk.replicationJobs.list(...at))).find(
    ({ properties }) => properties!.scenarioName === 'TestFailover',
  )!;
  const input = (await world.engine.get(job.name!))!.input as {
    point: string;
    machine: object;
    network: object;
  };
  t.is(input.point, old);
  t.deepEqual(input.machine, { cpuCount: 2, memoryMebibytes: 4096 });
  t.deepEqual(input.network, { mode: 'isolated' });
  await screenIsGiven(t, made.id!, itemId, job.name!);
  t.is(
    await code(
      items.beginTestFailoverAndWait(
        ...path,
        { properties: { providerSpecificDetails: { instanceType: 'InMageRcm' } } } as never,
        quick,
      ),
    ),
    'OperationNotAllowed',
  );
  await items.beginTestFailoverCleanupAndWait(...path, { properties: { comments: 'fine' } }, quick);
  const failed = await items.beginUnplannedFailoverAndWait(
    ...path,
    {
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        sourceSiteOperations: 'NotRequired',
        providerSpecificDetails: { instanceType: 'InMageRcm', performShutdown: 'false' },
      },
    } as never,
    quick,
  );
  t.is(failed.properties!.protectionState, 'UnplannedFailoverCommitPendingStatesBegin');
  t.is(failed.properties!.activeLocation, 'Recovery');
  await items.beginApplyRecoveryPointAndWait(
    ...path,
    {
      properties: {
        recoveryPointId: point.id,
        providerSpecificDetails: { instanceType: 'InMageRcm', recoveryPointId: point.id! },
      },
    } as never,
    quick,
  );
  const committed = await items.beginFailoverCommitAndWait(...path, quick);
  t.is(committed.properties!.protectionState, 'UnplannedFailoverCommitted');
  t.is(
    await code(
      items.beginReprotectAndWait(
        ...path,
        { properties: { failoverDirection: 'RecoveryToPrimary' } } as never,
        quick,
      ),
    ),
    'OperationNotSupported',
  );
  t.is((await all(items.list(...at, { filter: "sourceFabricName eq 'rome'" }))).length, 1);
  t.is((await all(items.list(...at, { filter: "sourceFabricName eq 'nowhere'" }))).length, 0);
  t.is((await all(items.listByReplicationProtectionContainers(...at, 'Rome', container))).length, 1);
  const health = await sdk.replicationVaultHealth.get(...at);
  t.is(health.properties!.protectedItemsHealth!.resourceCount, 1);
  await sdk.replicationVaultHealth.beginRefreshAndWait(...at, quick);

  const events = await all(sdk.replicationEvents.list(...at));
  t.true(events.some(({ properties }) => properties!.eventCode === 'SomethingOff'));
  const jobEvents = await all(
    sdk.replicationEvents.list(...at, { filter: "eventType eq 'JobStatus' and fabricName eq 'Rome'" }),
  );
  t.true(jobEvents.length >= 5);
  for (const { name } of [events.find(({ name }) => name!.startsWith('Vm'))!, jobEvents[0]!])
    t.is((await sdk.replicationEvents.get(...at, name!)).name, name);
  await items.beginDeleteAndWait(...path, { properties: {} }, quick);
  t.is(await code(items.get(...path)), 'ResourceNotFound');
});

test('a plan is checked whole, kept as sent, and says what may be done with it', async (t) => {
  const { sdk, database } = world;
  const machines = [aMachine('p1'), aMachine('p2')];
  await world.site('Oslo', machines);
  const policy = await sdk.replicationPolicies.beginCreateAndWait(...at, 'oslo', policyOf(rcmPolicy), quick);
  const v2 = (machineId: string) =>
    ({
      properties: {
        policyId: policy.id!,
        protectableItemId: `${vaultId}/replicationFabrics/Oslo/replicationProtectionContainers/Oslo-container/replicationProtectableItems/${machineId}`,
        providerSpecificDetails: { instanceType: 'InMageAzureV2', targetAzureVmName: 'x' },
      },
    }) as never;
  for (const [index, machine] of machines.entries())
    await sdk.replicationProtectedItems.beginCreateAndWait(
      ...at,
      'Oslo',
      'Oslo-container',
      `p${index + 1}`,
      v2(machine.machineId),
      quick,
    );
  const first = await sdk.replicationProtectedItems.get(...at, 'Oslo', 'Oslo-container', 'p1');
  t.is(first.properties!.providerSpecificDetails!.instanceType, 'InMageAzureV2');
  await addPoint(database, first.properties!.eventCorrelationId!, new Date().toISOString());

  const fabricId = childId(vaultId, 'replicationFabrics', 'Oslo');
  const manual = {
    actionName: 'ask',
    failoverTypes: ['TestFailover'],
    failoverDirections: ['PrimaryToRecovery'],
    customDetails: { instanceType: 'ManualActionDetails', description: 'look at the lights' },
  };
  const script = {
    ...manual,
    actionName: 'run',
    customDetails: {
      instanceType: 'ScriptActionDetails',
      path: 'after.sh',
      timeout: 'PT10M',
      fabricLocation: 'Recovery',
    },
  };
  const boot = (...names: string[]) => ({
    groupType: 'Boot',
    replicationProtectedItems: names.map((name) => ({ id: itemIdOf('Oslo', name) })),
  });
  const base = [{ groupType: 'Shutdown' }, { groupType: 'Failover', startGroupActions: [manual] }];
  const put = (groups: object[], name = 'plan') =>
    sdk.replicationRecoveryPlans.beginCreateAndWait(
      ...at,
      name,
      {
        properties: { primaryFabricId: fabricId, recoveryFabricId: 'Microsoft Azure', groups },
      } as never,
      quick,
    );
  const groups = [...base, boot('p1'), { ...boot('p2'), endGroupActions: [script] }];
  const plan = await put(groups);
  t.deepEqual(plan.properties!.replicationProviders, ['InMageAzureV2']);
  t.is(plan.properties!.currentScenario!.scenarioName, 'None');
  t.deepEqual(plan.properties!.allowedOperations, ['UnplannedFailover']);
  t.is(plan.properties!.groups!.length, 4);
  t.like(plan.properties!.groups![3]!.endGroupActions![0]!, script as never);
  for (const [wrong, why] of [
    [[...base], 'no Boot'],
    [[boot('p1'), ...base], 'order'],
    [[...base, boot('p1', 'p1')], 'twice'],
    [[...base, ...Array.from({ length: 8 }, () => boot())], 'eight'],
    [
      [
        { groupType: 'Shutdown', ...{ replicationProtectedItems: boot('p1').replicationProtectedItems } },
        boot(),
      ],
      'in shutdown',
    ],
    [[...base, { ...boot(), startGroupActions: [manual, manual] }], 'same name'],
    [
      [
        ...base,
        {
          ...boot(),
          startGroupActions: [{ ...script, customDetails: { ...script.customDetails, path: '..' } }],
        },
      ],
      'path',
    ],
    [
      [
        ...base,
        {
          ...boot(),
          startGroupActions: [{ ...script, customDetails: { ...script.customDetails, timeout: 'soon' } }],
        },
      ],
      'timeout',
    ],
    [
      [...base, { ...boot(), startGroupActions: [{ ...manual, failoverTypes: ['TestFailoverCleanup'] }] }],
      'type',
    ],
  ] as const)
    t.is(await code(put(wrong as never, 'wrong')), 'RecoveryPlanInvalid', why);
  t.is(await code(put([...base, boot('nobody')], 'wrong')), 'ReferenceNotFound');
  t.is(
    (await all(sdk.replicationProtectedItems.list(...at, { filter: "recoveryPlanName eq 'plan'" }))).length,
    2,
  );
  t.is(
    await code(
      sdk.replicationProtectedItems.beginDeleteAndWait(
        ...at,
        'Oslo',
        'Oslo-container',
        'p2',
        { properties: {} },
        quick,
      ),
    ),
    'ResourceInUse',
    'a plan keeps its members',
  );
  const updated = await sdk.replicationRecoveryPlans.beginUpdateAndWait(
    ...at,
    'plan',
    { properties: { groups: [...base, boot('p1')] } } as never,
    quick,
  );
  t.is(updated.properties!.groups!.length, 3);
  t.deepEqual(updated.properties!.allowedOperations, [
    'UnplannedFailover',
    'PlannedFailover',
    'TestFailover',
  ]);
  t.is((await all(sdk.replicationRecoveryPlans.list(...at))).length, 1);
  await sdk.replicationRecoveryPlans.beginDeleteAndWait(...at, 'plan', quick);
  t.is(await code(sdk.replicationRecoveryPlans.get(...at, 'plan')), 'ResourceNotFound');
});

test('a condition that holds shows at the item, in the vault’s health and as an event, until it is over', async (t) => {
  const { sdk, database } = world;
  const item = () => sdk.replicationProtectedItems.get(...at, 'Oslo', 'Oslo-container', 'p1');
  const itemId = (await item()).properties!.eventCorrelationId!;
  await database.change('UPDATE recovery_points SET taken_at = ?, processed_at = ? WHERE item_id = ?', [
    new Date(Date.now() - 7_200_000),
    new Date(Date.now() - 7_200_000),
    itemId,
  ]);
  await world.lookAtHealth();
  const late = (await item()).properties!;
  t.is(late.replicationHealth, 'Critical');
  t.deepEqual(
    late.healthErrors!.map(({ errorCode, errorLevel }) => [errorCode, errorLevel]),
    [['RpoExceeded', 'Critical']],
  );
  t.true(late.healthErrors![0]!.recommendedAction!.length > 0);
  const health = (await sdk.replicationVaultHealth.get(...at)).properties!;
  t.deepEqual(health.protectedItemsHealth!.categorizedResourceCounts, { Normal: 1, Warning: 0, Critical: 1 });
  t.is(health.protectedItemsHealth!.issues![0]!.summaryCode, 'RpoExceeded');
  const filter = "eventCode eq 'RpoExceeded' and fabricName eq 'oslo'";
  const [raised] = await all(sdk.replicationEvents.list(...at, { filter }));
  t.is(raised!.properties!.severity, 'Critical');
  t.is((await sdk.replicationEvents.get(...at, raised!.name!)).id, raised!.id);
  const error = late.healthErrors![0]! as Record<string, unknown>;
  t.deepEqual(
    Object.entries(error).flatMap(([name, value]) => (value === undefined ? [name] : [])),
    [],
    'every field of the reference is said',
  );
  t.is(error.entityId, (await item()).id);
  await addPoint(database, itemId, new Date().toISOString());
  await world.lookAtHealth();
  t.is((await item()).properties!.replicationHealth, 'Normal');
  // And over time: the largest RPO of these minutes stays.
  const { body } = await world.arm.request('GET', `${(await item()).id}/replicationHistory`);
  // Of two five minutes, when some have just ended.
  const samples = (body.value as { properties: Record<string, number | string> }[]).map(
    ({ properties }) => properties,
  );
  t.true(samples.some(({ rpoSeconds }) => Number(rpoSeconds) >= 7200));
  t.true(samples.some(({ points }) => Number(points) >= 1));
  t.true(samples.every(({ seconds }) => seconds === 300));
  const later = new Date(Date.now() + 3_600_000).toISOString();
  const none = await world.arm.request('GET', `${(await item()).id}/replicationHistory?startTime=${later}`);
  t.deepEqual(none.body.value, []);
  t.is(
    (await world.arm.request('GET', `${(await item()).id}/replicationHistory?startTime=soon`)).body.error
      .code,
    'InvalidQueryParameter',
  );
  const after = await all(sdk.replicationEvents.list(...at, { filter }));
  t.deepEqual(
    after.map(({ properties }) => properties!.severity),
    ['OK', 'Critical'],
  );
});

test('a disk that gets no points, a disk without protection and a failover that failed are conditions until they are over', async (t) => {
  const { sdk, database } = world;
  const machine = aMachine('lima');
  const place = await world.site('lima', [machine]);
  const container = 'lima-container';
  const path = [...at, 'lima', container, 'db'] as const;
  await sdk.replicationPolicies.beginCreateAndWait(...at, 'lima', policyOf(rcmPolicy), quick);
  const made = await sdk.replicationProtectedItems.beginCreateAndWait(
    ...path,
    {
      properties: {
        policyId: `${vaultId}/replicationPolicies/lima`,
        protectableItemId: machine.machineId,
        providerSpecificDetails: {
          instanceType: 'InMageRcm',
          fabricDiscoveryMachineId: machine.machineId,
          targetResourceGroupId: '/subscriptions/s/resourceGroups/g',
          processServerId: place.processServerId,
        },
      },
    } as never,
    quick,
  );
  const { id } = made;
  const itemId = made.properties!.eventCorrelationId!;
  await database.change('UPDATE site_machines SET item_id = ? WHERE machine_id = ?', [
    itemId,
    machine.machineId.toLowerCase(),
  ]);
  const codes = async () => {
    await world.lookAtHealth();
    const { properties } = await sdk.replicationProtectedItems.get(...path);
    return {
      codes: properties!.healthErrors!.map(({ errorCode }) => errorCode),
      replication: properties!.replicationHealth,
      failover: properties!.failoverHealth,
      texts: properties!.healthErrors!.map(({ summaryMessage }) => summaryMessage).join('\n'),
    };
  };
  const [kept] = await database.rows('SELECT disks FROM protected_items WHERE item_id = ?', [itemId]);
  const disks = (typeof kept!.disks === 'string' ? JSON.parse(kept!.disks) : kept!.disks) as {
    diskId: ProtectedDiskId;
    path: string;
  }[];
  await addPoint(database, itemId, new Date(Date.now() - 2000).toISOString());
  t.like(await codes(), { codes: [], replication: 'Normal', failover: 'Normal' });

  // A disk goes.
  const gone = [{ diskId: disks[1]!.diskId, cause: 'gone' as const }];
  await addPoint(database, itemId, new Date(Date.now() - 1000).toISOString(), gone);
  const lacking = await codes();
  t.like(lacking, { codes: ['DisksNotInRecoveryPoints'], replication: 'Critical' });
  t.true(lacking.texts.includes(disks[1]!.path));
  // … and is back.
  await addPoint(database, itemId, new Date().toISOString());
  t.like(await codes(), { codes: [], replication: 'Normal' });

  // A volume group grows onto a third disk.
  const stacks = [{ through: 'volume group data', disks: [disks[1]!.path, '/dev/sdz'] }];
  const grown = [
    ...machine.disks.map((disk) => (disk.path === disks[1]!.path ? { ...disk, stacks } : disk)),
    { path: '/dev/sdz', name: 'sdz', sizeBytes: 1, readinessErrors: [], uses: [], stacks },
  ];
  const report = (reported: ReturnType<typeof aMachine>['disks']) =>
    database.change(
      "UPDATE site_machines SET said = JSON_SET(said, '$.disks', JSON_EXTRACT(?, '$')) WHERE machine_id = ?",
      [JSON.stringify(reported), machine.machineId.toLowerCase()],
    );
  await report(grown);
  const shared = await codes();
  t.deepEqual(shared.codes.toSorted(), ['DataOnUnprotectedDisk', 'DiskNotProtected']);
  t.regex(shared.texts, /volume group data is also on \/dev\/sdz/);
  await report(machine.disks);
  t.deepEqual((await codes()).codes, []);

  // A failover fails; the next one does not.
  const job = async (workflow: string, state: string, errors: unknown[] = []) => {
    const now = new Date();
    await database.change(
      `INSERT INTO jobs (job_id, vault_id, workflow, scenario_name, friendly_name, state, state_description, target_key,
         target_type, target, input, errors, requested_by, created_at, ended_at)
       VALUES (?, ?, ?, 'x', 'Failover', ?, ?, ?, 'ProtectionEntity', '{}', '{}', ?, 'x', ?, ?)`,
      [
        ...[systemRandom.uuid(), vaultId.toLowerCase(), workflow, state, state, id!.toLowerCase()],
        ...[JSON.stringify(errors), now, now],
      ],
    );
  };
  const error = {
    ...{ code: 'RecoveryHostTooSmall', severity: 'error', summary: '24576 MiB needed' },
    ...{ possibleCauses: 'x', recommendedAction: 'y', raisedAt: new Date().toISOString(), context: {} },
  };
  await job('unplanned-failover', 'Failed', [error]);
  const failed = await codes();
  t.like(failed, { codes: ['FailoverFailed'], replication: 'Normal', failover: 'Critical' });
  t.regex(failed.texts, /24576 MiB needed/);
  await job('unplanned-failover', 'Cancelled');
  t.deepEqual((await codes()).codes, ['FailoverFailed'], 'one that was cancelled proves nothing');
  await job('unplanned-failover', 'Succeeded');
  t.like(await codes(), { codes: [], failover: 'Normal' });
  await job('test-failover', 'Failed', [error]);
  t.like(await codes(), { codes: ['TestFailoverFailed'], failover: 'Warning' });
  await job('test-failover', 'Succeeded');
  t.like(await codes(), { codes: [], failover: 'Normal' });
  await database.change('DELETE FROM jobs WHERE target_key = ?', [id!.toLowerCase()]);
});

test('a machine of more disks than can be protected is refused with the limit, whether they are named or not', async (t) => {
  const { sdk } = world;
  const disk = (index: number) => ({
    ...{ path: `/dev/sd${index}`, name: `sd${index}`, sizeBytes: 1, readinessErrors: [], uses: [] },
  });
  const machine = aMachine('quito', { disks: Array.from({ length: 65 }, (_, index) => disk(index)) });
  const place = await world.site('quito', [machine]);
  const enable = (disksToInclude?: object[]) =>
    sdk.replicationProtectedItems.beginCreateAndWait(
      ...at,
      'quito',
      'quito-container',
      'db',
      {
        properties: {
          policyId: `${vaultId}/replicationPolicies/lima`,
          protectableItemId: machine.machineId,
          providerSpecificDetails: {
            instanceType: 'InMageRcm',
            fabricDiscoveryMachineId: machine.machineId,
            targetResourceGroupId: '/subscriptions/s/resourceGroups/g',
            processServerId: place.processServerId,
            ...(disksToInclude === undefined ? {} : { disksToInclude }),
          },
        },
      } as never,
      quick,
    );
  const named = machine.disks.map(({ path: diskId }) => ({
    diskId,
    logStorageAccountId: 'x',
    diskType: 'Standard_LRS',
  }));
  t.is(await code(enable()), 'TooManyDisks');
  t.is(await code(enable(named)), 'TooManyDisks');
  const error = await t.throwsAsync(enable(named));
  t.regex(error!.message, /65 disks of quito .* at most 64/);
  const { properties } = await enable(named.slice(0, 64));
  t.is((properties!.providerSpecificDetails as { protectedDisks: unknown[] }).protectedDisks.length, 64);
});

test('jobs are listed by the reference’s query, shown with their tasks, exported and steered', async (t) => {
  const { sdk } = world;
  const list = (filter?: string) =>
    all(sdk.replicationJobs.list(...at, filter === undefined ? {} : { filter }));
  const everything = await list();
  t.true(everything.length > 10);
  const failed = await list("jobStatus eq 'Failed'");
  t.true(failed.every(({ properties }) => properties!.state === 'Failed'));
  const policies = await list("affectedObjectTypes eq 'ProtectionProfile'");
  t.true(policies.length > 0);
  t.true(policies.every(({ properties }) => properties!.targetInstanceType === 'ProtectionProfile'));
  const rome = await list("fabricId eq 'rome' and jobName eq 'TestFailover'");
  t.is(rome.length, 1);
  t.is((await list(`startTime eq '${new Date(Date.now() + 3_600_000).toISOString()}'`)).length, 0);
  t.is(await code(list("jobStatus eq 'Sleeping'")), 'InvalidQueryParameter');
  const job = await sdk.replicationJobs.get(...at, policies[0]!.name!);
  t.deepEqual(
    job.properties!.tasks!.map(({ name }) => name),
    ['Remember', 'Write', 'ApplyRetention'],
  );
  t.is(job.properties!.customDetails!.instanceType, 'AsrJobDetails');
  const exported = await sdk.replicationJobs.beginExportAndWait(...at, { jobStatus: 'Succeeded' }, quick);
  const { blobUri } = exported.properties!.customDetails as { blobUri: string };
  const text = Buffer.from(blobUri.split(',')[1]!, 'base64').toString();
  t.true((JSON.parse(text) as { state: string }[]).every(({ state }) => state === 'Succeeded'));
  t.is(await code(sdk.replicationJobs.beginCancelAndWait(...at, job.name!, quick)), 'JobNotCancelable');
  t.is(
    await code(sdk.replicationJobs.beginResumeAndWait(...at, job.name!, { properties: {} }, quick)),
    'JobNotSuspended',
  );
  t.is(await code(sdk.replicationJobs.beginRestartAndWait(...at, job.name!, quick)), 'JobNotRestartable');
  t.is(await code(sdk.replicationJobs.get(...at, systemRandom.uuid())), 'ResourceNotFound');
});

test('a job is followed by a poller that was kept, cancelled while it runs, and begun anew', async (t) => {
  const { sdk, arm, database } = world;
  const { siteId, processServerId } = await world.site('bergen');
  let posts = 0;
  arm.intercept = (method, path) => {
    if (method === 'POST' && path.endsWith('/checkConsistency')) posts += 1;
    return undefined;
  };
  t.teardown(() => {
    arm.intercept = undefined;
  });
  const begin = (more: object = {}) =>
    sdk.replicationFabrics.beginCheckConsistency(...at, 'bergen', { ...quick, ...more });
  const poller = await begin();
  const kept = poller.toString();
  t.false(poller.isDone());
  // In another process, say: it knows nothing but the text.
  const restored = await begin({ resumeFrom: kept });
  await restored.poll();
  t.is(posts, 1, 'a poller that is restored asks for nothing a second time');
  t.false(restored.isDone());
  const list = (filter: string) => all(sdk.replicationJobs.list(...at, { filter }));
  const [job] = await list("jobStatus eq 'NotStarted,InProgress' and fabricId eq 'bergen'");
  t.deepEqual(job!.properties!.allowedActions, ['Cancel']);
  t.like(await world.engine.holder(`${vaultId}/replicationFabrics/bergen`), { jobId: job!.name! });

  await sdk.replicationJobs.beginCancelAndWait(...at, job!.name!, quick);
  for (const one of [poller, restored]) await t.throwsAsync(one.pollUntilDone(), { message: /cancel/i });
  const over = await sdk.replicationJobs.get(...at, job!.name!);
  t.deepEqual([over.properties!.state, over.properties!.allowedActions], ['Cancelled', ['Restart']]);

  const again = await sdk.replicationJobs.beginRestartAndWait(...at, job!.name!, quick);
  t.not(again.name, job!.name);
  const now = new Date(Date.now() + 1000).toISOString();
  await sites.keepReport(database, siteId, aReport(now, processServerId, []), now);
  await world.engine.follow(again.name!, AbortSignal.timeout(120_000));
  t.is((await sdk.replicationJobs.get(...at, again.name!)).properties!.state, 'Succeeded');

  // By every field of the query, alone and together.
  const started = over.properties!.startTime!.toISOString();
  const later = new Date(Date.parse(started) + 1).toISOString();
  const found = async (filter: string) =>
    (await list(`fabricId eq 'bergen' and ${filter}`)).map(({ name }) => name);
  t.deepEqual((await found("jobStatus eq 'Cancelled,Succeeded'")).sort(), [again.name, job!.name].sort());
  t.deepEqual(await found("jobStatus eq 'Cancelled'"), [job!.name]);
  t.deepEqual(await found(`startTime eq '${later}'`), [again.name]);
  t.deepEqual(await found(`StartTime eq '${started}' and EndTime eq '${started}'`), [job!.name]);
  t.deepEqual(await found(`jobName eq '${again.name}'`), [again.name]);
  t.deepEqual(await found("affectedObjectTypes eq 'RecoveryPlan'"), []);
  t.is(await code(list("startTime eq 'soon'")), 'InvalidQueryParameter');
  t.is(await code(list("colour eq 'red'")), 'FilterInvalid');

  // Whoever exports does not wait for others who do.
  const exports = await Promise.all(
    ['Cancelled', 'Succeeded'].map((jobStatus) =>
      sdk.replicationJobs.beginExportAndWait(...at, { jobStatus, fabricId: 'bergen' }, quick),
    ),
  );
  const states = exports.map(({ properties }) => {
    const { blobUri } = properties!.customDetails as { blobUri: string };
    return (JSON.parse(Buffer.from(blobUri.split(',')[1]!, 'base64').toString()) as { state: string }[]).map(
      ({ state }) => state,
    );
  });
  t.deepEqual(states, [['Cancelled'], ['Succeeded']]);
});

test('a site that is silent is a stopped one, a process server that is busy is not', async (t) => {
  const { sdk, database } = world;
  const { siteId, processServerId } = await world.site('turin');
  const now = new Date().toISOString();
  const said = aReport(now, processServerId, []);
  const long = new Date(Date.now() - 3_600_000).toISOString();
  const look = async () => {
    await world.lookAtHealth();
    const { properties } = await sdk.replicationFabrics.get(...at, 'turin');
    const { csServiceStatus, processServers } = properties!.customDetails as VMwareDetails;
    return [csServiceStatus, processServers![0]!.psServiceStatus, properties!.health];
  };
  t.deepEqual(await look(), ['Running', 'Running', 'Normal']);
  const [server] = said.processServers;
  const busy = { ...said, processServers: [{ ...server!, cpuPercent: 99 }] };
  await sites.keepReport(database, siteId, busy, now);
  await world.lookAtHealth();
  await database.change("UPDATE health_conditions SET seen_at = ? WHERE code = 'ProcessServerCpuHigh'", [
    new Date(long),
  ]);
  t.deepEqual(await look(), ['Running', 'Running', 'Critical']);
  const silent = { ...said, processServers: [{ ...server!, lastHeartbeatAt: long }] };
  await sites.keepReport(database, siteId, silent, now);
  t.deepEqual(await look(), ['Running', 'Stopped', 'Critical']);
  await sites.keepReport(database, siteId, said, long);
  t.deepEqual(await look(), ['Stopped', 'Running', 'Critical']);
  const { healthErrorDetails } = (await sdk.replicationFabrics.get(...at, 'turin')).properties!;
  t.deepEqual(
    healthErrorDetails!.map(({ errorCode }) => errorCode),
    ['ConfigurationServerSilent'],
  );
});

test('alert and vault settings have a default, take what is sent and refuse what is no address', async (t) => {
  const { sdk } = world;
  t.is((await all(sdk.replicationAlertSettings.list(...at)))[0]!.name, 'defaultAlertSetting');
  const sent = { sendToOwners: 'Send', customEmailAddresses: ['a@example.org'], locale: 'de-DE' };
  await sdk.replicationAlertSettings.create(...at, 'defaultAlertSetting', { properties: sent });
  const kept = await sdk.replicationAlertSettings.get(...at, 'defaultAlertSetting');
  t.deepEqual({ ...kept.properties }, sent);
  t.is(
    await code(
      sdk.replicationAlertSettings.create(...at, 'defaultAlertSetting', {
        properties: { customEmailAddresses: ['nobody'] },
      }),
    ),
    'InvalidRequestContent',
  );
  t.is((await all(sdk.replicationAlertSettings.list(...at))).length, 1);
  await sdk.replicationVaultSetting.beginCreateAndWait(
    ...at,
    'default',
    { properties: { vmwareToAzureProviderType: 'InMageRcm' } },
    quick,
  );
  t.is(
    (await sdk.replicationVaultSetting.get(...at, 'default')).properties!.vmwareToAzureProviderType,
    'InMageRcm',
  );
  t.is((await all(sdk.replicationVaultSetting.list(...at))).length, 1);
  const systems = await sdk.supportedOperatingSystemsOperations.get(...at, { instanceType: 'InMageRcm' });
  t.is(systems.properties!.supportedOsList!.length, 1);
});

test('a site’s certificate is renewed by a job, and only where there is a site', async (t) => {
  const { sdk } = world;
  const renew = (fabric: string) =>
    sdk.replicationFabrics.beginRenewCertificateAndWait(...at, fabric, { properties: {} }, quick);
  t.is((await renew('Paris')).name, 'Paris');
  const jobs = await all(sdk.replicationJobs.list(...at));
  t.true(jobs.some(({ properties }) => properties?.scenarioName === 'RenewCertificate'));
  t.is(await code(renew('Nowhere')), 'ResourceNotFound');
});

test('what a site does not have is an empty page or 404, and what is not done is refused with its reason', async (t) => {
  const { sdk } = world;
  t.deepEqual(await all(sdk.replicationNetworks.list(...at)), []);
  t.deepEqual(await all(sdk.replicationNetworks.listByReplicationFabrics(...at, 'Paris')), []);
  t.is(await code(sdk.replicationNetworks.get(...at, 'Paris', 'x')), 'ResourceNotFound');
  t.deepEqual(await all(sdk.replicationStorageClassifications.list(...at)), []);
  t.deepEqual(await all(sdk.replicationStorageClassificationMappings.list(...at)), []);
  t.is(
    await code(all(sdk.replicationLogicalNetworks.listByReplicationFabrics(...at, 'Nowhere'))),
    'ResourceNotFound',
  );
  t.is(
    await code(sdk.replicationFabrics.beginMigrateToAadAndWait(...at, 'Paris', quick)),
    'OperationNotSupported',
  );
});

test('every answer fits its model', (t) => {
  t.deepEqual(world.arm.misfits, []);
});

/** A point that lacks a disk says so, and is the newest of nothing. */
async function pointWithoutDisk(
  t: ExecutionContext,
  id: string,
  itemId: string,
  newest: string,
): Promise<void> {
  const { arm, database } = world;
  const { body: details } = await arm.request('GET', `${id}/replicationDetails`);
  const [disk] = details.properties.disks as { diskId: ProtectedDiskId; path: string }[];
  const missing = [{ diskId: disk!.diskId, cause: 'gone' as const }];
  const lesser = await addPoint(database, itemId, new Date().toISOString(), missing);
  const said = [{ ...missing[0]!, path: disk!.path }];
  const { body } = await arm.request('GET', `${id}/recoveryPoints/${lesser}`);
  t.is(body.properties.recoveryPointType, 'CrashConsistentPartial');
  const listed = (await arm.request('GET', `${id}/recoveryPointDetails`)).body.value;
  t.deepEqual(
    listed.map((one: { name: string; properties: object }) => [
      one.name,
      'missingDisks' in one.properties ? one.properties.missingDisks : undefined,
    ])[0],
    [lesser, said],
  );
  t.deepEqual(
    (await arm.request('GET', `${id}/recoveryPoints`)).body.value.map(
      (one: { properties: { recoveryPointType: string } }) => one.properties.recoveryPointType,
    ),
    ['CrashConsistentPartial', 'CrashConsistent', 'CrashConsistent'],
  );
  const after = await arm.request('GET', `${id}/replicationDetails`);
  t.is(after.body.properties.latestRecoveryPoint.pointId, newest);
  const item = await arm.request('GET', id);
  t.is(item.body.properties.providerSpecificDetails.lastRecoveryPointId, newest);
  await database.change('DELETE FROM recovery_points WHERE point_id = ?', [lesser]);
}

/** The evidence of a rehearsal: listed with its item, its screen as long as there is one. */
async function screenIsGiven(
  t: ExecutionContext,
  id: string,
  itemId: string,
  failoverId: string,
): Promise<void> {
  const { arm, database } = world;
  const path = `${id}/testFailovers/${failoverId}`;
  t.is((await arm.request('GET', `${path}/screenshot`)).status, 404, 'no such rehearsal');
  const folder = await mkdtemp(join(tmpdir(), 'leeward-proof-'));
  try {
    const screenshot = join(folder, 'screen.png');
    const record = {
      failoverId,
      itemId: ProtectedItemId.parse(itemId),
      itemName: 'db',
      pointId: RecoveryPointId.parse(systemRandom.uuid()),
      pointTakenAt: '2026-11-21T12:00:00.000Z',
      machineName: 'leeward-test-db',
      networkName: 'leeward-test',
      state: 'running' as const,
      step: 'Prove',
      startedAt: '2026-11-21T12:01:00.000Z',
      powerOnSeconds: 1.5,
    };
    await testFailoverRecords(database).save(record);
    t.is((await arm.request('GET', `${path}/screenshot`)).status, 404, 'no screen yet');
    await writeFile(screenshot, 'a picture');
    await testFailoverRecords(database).save({ ...record, screenshot });
    const [listed] = (await arm.request('GET', `${id}/testFailovers`)).body.value;
    t.is(listed.properties.powerOnSeconds, 1.5);
    const { body } = await arm.request('GET', `${path.toUpperCase()}/screenshot`);
    t.is(body.properties.contentType, 'image/png');
    t.is(Buffer.from(body.properties.content, 'base64').toString(), 'a picture');
    // Somebody else's.
    await testFailoverRecords(database).save({
      ...record,
      itemId: ProtectedItemId.parse(systemRandom.uuid()),
      screenshot,
    });
    t.is((await arm.request('GET', `${path}/screenshot`)).status, 404, "another item's");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
