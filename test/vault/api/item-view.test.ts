import test from 'ava';
import { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../../src/model/ids.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { checkAnswer } from '../../../src/protocol/arm/schemas.ts';
import { sizeOf } from '../../../src/vault/api/compute-sizes.ts';
import { type ItemSurroundings, itemView } from '../../../src/vault/api/item-view.ts';
import { policyTerms } from '../../../src/vault/api/policies.ts';
import { readinessOf } from '../../../src/vault/api/protectable-items.ts';
import { retentionOf } from '../../../src/vault/retention/from-policy.ts';
import type { ItemFacts } from '../../../src/vault/store/item-facts.ts';
import type { ItemResource } from '../../../src/vault/store/protected-items.ts';
import { RetentionPolicy } from '../../../src/vault/store/vault-store.ts';
import { actionSeconds } from '../../../src/vault/workflows/plan-shape.ts';

const now = Date.parse('2026-03-01T12:00:00.000Z');
const vaultId = '/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v';
const containerId = `${vaultId}/replicationFabrics/f/replicationProtectionContainers/c`;
const [one, two] = [systemRandom.uuid(), systemRandom.uuid()].map((id) => ProtectedDiskId.parse(id)) as [
  ProtectedDiskId,
  ProtectedDiskId,
];
const item = (more: Partial<ItemResource> = {}): ItemResource => ({
  id: `${containerId}/replicationProtectedItems/i`,
  vaultId,
  containerId,
  fabricName: 'f',
  name: 'i',
  friendlyName: 'web',
  instanceType: 'InMageAzureV2',
  itemId: ProtectedItemId.parse(systemRandom.uuid()),
  machineId: systemRandom.uuid(),
  processServerId: systemRandom.uuid(),
  policyId: `${vaultId}/replicationPolicies/p`,
  protectableItemId: `${containerId}/replicationProtectableItems/m`,
  settings: {
    instanceType: 'InMageAzureV2',
    targetAzureVmName: 'web-at-recovery',
    targetAzureNetworkId: '/networks/n',
    diskType: 'Premium_LRS',
    unknownToTheModel: 'x',
  },
  condition: { protectionState: 'Protected', testFailoverState: 'None', activeLocation: 'Primary' },
  createdAt: '2026-01-01T00:00:00.000Z',
  ...more,
});
const facts = (more: Partial<ItemFacts> = {}): ItemFacts => ({
  disks: [
    { diskId: one, path: '/dev/a' },
    { diskId: two, path: '/dev/b' },
  ],
  states: [
    { diskId: one, sizeBytes: 3 * 2 ** 30, state: 'in-sync' },
    { diskId: two, sizeBytes: 2 ** 30, state: 'in-sync' },
  ],
  progress: [],
  appliedAt: '2026-03-01T11:59:59.000Z',
  blocked: undefined,
  latestPoint: {
    pointId: RecoveryPointId.parse(systemRandom.uuid()),
    takenAt: '2026-03-01T11:58:00.000Z',
    processedAt: '2026-03-01T11:58:05.000Z',
  },
  events: [],
  ...more,
});
const around = (more: Partial<ItemSurroundings> = {}): ItemSurroundings => ({
  facts: facts(),
  machine: {
    machineId: systemRandom.uuid() as never,
    name: 'web',
    addresses: ['10.0.0.1'],
    osName: 'Debian 12',
    kernel: '6.1',
    firmware: 'bios',
    cpuCount: 2,
    memoryBytes: 4 * 2 ** 30,
    mobilityService: { version: '1.0.0', lastHeartbeatAt: '2026-03-01T11:59:50.000Z' },
    disks: [
      { path: '/dev/a', name: 'sda', sizeBytes: 3 * 2 ** 30, readinessErrors: [], uses: [] },
      { path: '/dev/c', name: 'sdc', sizeBytes: 2 ** 30, readinessErrors: [], uses: [] },
    ],
  },
  processServerName: 'ps1',
  providerId: 'p',
  fabricInstanceType: 'VMware',
  raised: [],
  now,
  ...more,
});
interface Shown {
  readonly properties: Readonly<Record<string, unknown>> & {
    readonly providerSpecificDetails: Readonly<Record<string, unknown>>;
    readonly healthErrors: readonly { readonly errorCode: string }[];
  };
}
const shown = (of: ItemResource, with_: ItemSurroundings) => itemView(of, with_) as Shown;

test('both kinds of items fit the model in every phase of their life', (t) => {
  const syncing = facts({
    latestPoint: undefined,
    states: [
      { diskId: one, sizeBytes: 3 * 2 ** 30, state: 'initial', cause: 'InitialReplication' },
      { diskId: two, sizeBytes: 2 ** 30, state: 'resync', cause: 'DiskResized' },
    ],
    progress: [
      {
        diskId: one,
        kind: 'initial',
        cause: 'InitialReplication',
        doneBytes: 100,
        sentBytes: 50,
        totalBytes: 200,
        startedAt: '2026-03-01T11:00:00.000Z',
      },
    ],
  });
  const phases: ItemSurroundings[] = [
    around(),
    around({ facts: syncing }),
    around({ facts: undefined, machine: undefined, processServerName: undefined, providerId: undefined }),
    around({ facts: facts({ states: [], appliedAt: undefined }) }),
  ];
  for (const instanceType of ['InMageAzureV2', 'InMageRcm'] as const)
    for (const phase of phases)
      for (const more of [
        {},
        {
          jobId: systemRandom.uuid(),
          scenario: { name: 'TestFailover', startedAt: '2026-03-01T11:00:00.000Z' },
          groupName: 'g',
          failoverPointId: systemRandom.uuid(),
          lastFailoverAt: '2026-03-01T11:00:00.000Z',
          lastTestFailoverAt: '2026-03-01T11:00:00.000Z',
        },
      ])
        t.deepEqual(
          checkAnswer('ReplicationProtectedItem', itemView(item({ instanceType, ...more }), phase)).problems,
          [],
        );
});

test('RPO counts from the newest point’s moment, progress is weighed by the size of disks', (t) => {
  const v2 = shown(item(), around()).properties.providerSpecificDetails;
  t.is(v2.rpoInSeconds, 120);
  t.is(v2.resyncProgressPercentage, 100);
  t.is(v2.recoveryAzureVMName, 'web-at-recovery');
  t.is(v2.selectedRecoveryAzureNetworkId, '/networks/n');
  const half = facts({
    states: [
      { diskId: one, sizeBytes: 3 * 2 ** 30, state: 'in-sync' },
      { diskId: two, sizeBytes: 2 ** 30, state: 'resync', cause: 'Requested' },
    ],
    progress: [
      {
        diskId: two,
        kind: 'resync',
        cause: 'Requested',
        doneBytes: 50,
        sentBytes: 5,
        totalBytes: 100,
        startedAt: '2026-03-01T11:00:00.000Z',
      },
    ],
  });
  const rcm = shown(item({ instanceType: 'InMageRcm' }), around({ facts: half })).properties;
  t.is(rcm.providerSpecificDetails.resyncProgressPercentage, 87);
  t.is(rcm.providerSpecificDetails.resyncState, 'StartedResynchronization');
  t.is(rcm.providerSpecificDetails.initialReplicationProgressPercentage, 100);
});

test('an event counts until a point is cut after it; information never does', (t) => {
  const event = (code: string, severity: 'information' | 'warning', raisedAt: string) => ({
    code,
    severity,
    summary: 's',
    possibleCauses: 'c',
    recommendedAction: 'a',
    raisedAt,
    context: {},
  });
  const with_ = around({
    facts: facts({
      events: [
        event('After', 'warning', '2026-03-01T11:59:00.000Z'),
        event('News', 'information', '2026-03-01T11:59:00.000Z'),
        event('Before', 'warning', '2026-03-01T11:57:00.000Z'),
      ],
    }),
  });
  const { properties } = shown(item(), with_);
  t.deepEqual(
    properties.healthErrors.map(({ errorCode }) => errorCode),
    ['After'],
  );
  t.is(properties.replicationHealth, 'Warning');
  const away = item({
    condition: {
      protectionState: 'UnplannedFailoverCommitted',
      testFailoverState: 'None',
      activeLocation: 'Recovery',
    },
  });
  t.deepEqual(shown(away, with_).properties.healthErrors, []);
});

test('while a job works nothing is allowed, and the job is named', (t) => {
  const jobId = systemRandom.uuid();
  const { properties } = shown(
    item({ jobId, scenario: { name: 'RepairReplication', startedAt: '2026-03-01T11:00:00.000Z' } }),
    around(),
  );
  t.deepEqual(properties.allowedOperations, []);
  t.is((properties.currentScenario as { jobId: string }).jobId, `${vaultId}/replicationJobs/${jobId}`);
});

test('a policy’s minutes become rules that end where it says', (t) => {
  for (const minutes of [0, 1, 60, 120, 121, 1440, 10_080, 21_600]) {
    const { rules } = RetentionPolicy.parse(retentionOf(minutes));
    t.is(rules.at(-1)!.untilSeconds, Math.max(1, minutes * 60));
    t.deepEqual(
      rules.map(({ untilSeconds }) => untilSeconds),
      rules.map(({ untilSeconds }) => untilSeconds).toSorted((a, b) => a - b),
    );
  }
  t.deepEqual(retentionOf(1440).rules, [
    { untilSeconds: 7200, everySeconds: 0 },
    { untilSeconds: 86_400, everySeconds: 3600 },
  ]);
  t.is(policyTerms({ instanceType: 'InMageAzureV2', recoveryPointHistory: 60 }).retentionMinutes, 60);
});

test('time limits are read in the three ways they are written, and nothing else is', (t) => {
  for (const text of ['600', '00:10:00', 'PT10M', 'PT600S', 'pt0h10m']) t.is(actionSeconds(text), 600, text);
  for (const text of ['', 'soon', '10:00', 'PT', '-5', '1.5', 'P1D'])
    t.is(actionSeconds(text), undefined, text);
});

test('a size is what its name says', (t) => {
  t.deepEqual(sizeOf('CPU4-memory16'), { cpuCount: 4, memoryMebibytes: 16_384 });
  t.is(sizeOf('Standard_D2_v3'), undefined);
});

test('a machine is ready with one good disk and a service that is heard of', (t) => {
  const machine = around().machine!;
  t.deepEqual(readinessOf(machine, now), []);
  t.is(readinessOf(machine, now + 16 * 60_000).length, 1);
  t.is(readinessOf({ ...machine, disks: [] }, now).length, 1);
});
