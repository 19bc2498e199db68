import test from 'ava';
import { MemoryResources } from '../../../src/vault/store/resources.ts';
import { exportJobs } from '../../../src/vault/workflows/export-jobs.ts';
import { resourceChanges } from '../../../src/vault/workflows/resource-changes.ts';
import { type WorkflowCase, workflowSuite } from '../../support/workflow-suite.ts';
import { vaultId, type WorkflowWorld } from '../../support/workflow-world.ts';

/** Rows and what hangs on them; the world's own snapshot knows nothing of either. */
interface Rows {
  readonly resources: MemoryResources;
  readonly openSites: Set<string>;
  readonly retention: Map<string, number>;
}
const rowsByWorld = new WeakMap<WorkflowWorld, Rows>();
function rowsOf(world: WorkflowWorld): Rows {
  const known = rowsByWorld.get(world);
  if (known) return known;
  const rows: Rows = {
    resources: new MemoryResources(world.clock),
    openSites: new Set([fabricId]),
    retention: new Map(),
  };
  rowsByWorld.set(world, rows);
  Object.assign(world, {
    snapshot: async () => ({
      // The suite looks at items here; there are none.
      rows: [],
      resources: (await rows.resources.descendants(vaultId))
        .map(({ id, properties }) => [id, properties])
        .sort(),
      openSites: [...rows.openSites],
      retention: [...rows.retention],
    }),
  });
  return rows;
}
const fabricId = `${vaultId}/replicationFabrics/f`;
const policyId = `${vaultId}/replicationPolicies/p`;
const policy = (minutes: number) => ({
  providerSpecificInput: { instanceType: 'InMageRcm', recoveryPointHistoryInMinutes: minutes },
});

const cases: WorkflowCase[] = [
  {
    workflow: 'put-policy',
    title: 'a policy that is new',
    prepare: async (world) => {
      rowsOf(world);
      return { id: policyId, properties: policy(60) };
    },
    done: async (t, world) => {
      const { resources, retention } = rowsOf(world);
      t.deepEqual((await resources.get(policyId))!.properties, policy(60));
      t.is(retention.get(policyId), 3600);
    },
  },
  {
    workflow: 'put-policy',
    title: 'a policy that is changed',
    prepare: async (world, run) => {
      rowsOf(world);
      await run('put-policy', { id: policyId, properties: policy(1440) });
      return { id: policyId, properties: policy(60) };
    },
    done: async (t, world) => {
      t.is(rowsOf(world).retention.get(policyId), 3600);
    },
  },
  {
    workflow: 'delete-vcenter',
    title: 'a row that goes with what lies in it',
    prepare: async (world) => {
      const { resources } = rowsOf(world);
      await resources.put(`${fabricId}/replicationvCenters/v`, { port: '443' });
      await resources.put(`${fabricId}/replicationvCenters/v/things/t`, {});
      return { id: `${fabricId}/replicationvCenters/v` };
    },
    done: async (t, world) => {
      t.deepEqual(await rowsOf(world).resources.descendants(vaultId), []);
    },
  },
  {
    workflow: 'delete-fabric',
    title: 'a fabric that goes with its site',
    prepare: async (world) => {
      await rowsOf(world).resources.put(fabricId, { customDetails: { instanceType: 'VMwareV2' } });
      return { id: fabricId };
    },
    done: async (t, world) => {
      t.is(rowsOf(world).openSites.size, 0);
      t.is(await rowsOf(world).resources.get(fabricId), undefined);
    },
  },
  {
    workflow: 'refresh-site',
    title: 'a site that is waited for',
    prepare: async (world) => {
      rowsOf(world);
      return { id: fabricId, askedAt: new Date(world.clock.now()).toISOString() };
    },
    done: async (t, _world, job) => {
      t.truthy((job.output as { reportedAt?: string }).reportedAt);
    },
  },
  {
    workflow: 'refresh-vault-health',
    title: 'health that is looked at',
    prepare: async (world) => {
      rowsOf(world);
      return { id: vaultId };
    },
    done: async (t, _world, job) => {
      t.deepEqual(job.output, { conditionCount: 3 });
    },
  },
  {
    workflow: 'export-jobs',
    title: 'an export of jobs',
    prepare: async (world) => {
      rowsOf(world);
      return { vaultId, query: {} };
    },
    done: async (t, _world, job) => {
      t.is((job.output as { text: string }).text, '[]');
    },
  },
];

/** The rest are nothing but rows: each is judged on one of its kind, with something in it. */
const plainNouns = {
  fabric: fabricId,
  provider: `${fabricId}/replicationRecoveryServicesProviders/p`,
  'container-mapping': `${fabricId}/replicationProtectionContainers/c/replicationProtectionContainerMappings/m`,
  vcenter: `${fabricId}/replicationvCenters/v`,
  'storage-mapping': `${fabricId}/replicationStorageClassifications/s/replicationStorageClassificationMappings/m`,
  'recovery-plan': `${vaultId}/replicationRecoveryPlans/r`,
  policy: policyId,
};
for (const [noun, id] of Object.entries(plainNouns)) {
  const was = { ...policy(1440), was: noun };
  const is = { ...policy(60), is: noun };
  const known = (name: string) => cases.some(({ workflow }) => workflow === name);
  if (!known(`put-${noun}`))
    cases.push({
      workflow: `put-${noun}`,
      title: `a ${noun} that is changed`,
      prepare: async (world) => {
        await rowsOf(world).resources.put(id, was);
        return { id, properties: is };
      },
      done: async (t, world) => {
        t.deepEqual((await rowsOf(world).resources.get(id))!.properties, is);
      },
    });
  if (!known(`delete-${noun}`))
    cases.push({
      workflow: `delete-${noun}`,
      title: `a ${noun} that goes`,
      prepare: async (world) => {
        const { resources } = rowsOf(world);
        await resources.put(id, was);
        await resources.put(`${id}/things/t`, {});
        return { id };
      },
      done: async (t, world) => {
        t.deepEqual(await rowsOf(world).resources.descendants(vaultId), []);
      },
    });
}

workflowSuite(test, cases, {
  workflowsOf: (world) => {
    const { resources, openSites, retention } = rowsOf(world);
    return [
      ...resourceChanges({
        resources,
        clock: world.clock,
        healthMilliseconds: 1000,
        sites: {
          lastReportAt: async () => new Date(world.clock.now()).toISOString(),
          close: async (id) => void openSites.delete(id),
        },
        applyRetention: async (id, { rules }) => void retention.set(id, rules.at(-1)!.untilSeconds),
        countConditions: async () => 3,
      }),
      exportJobs(() => ({ list: async () => ({ jobs: [], next: undefined }) })),
    ];
  },
});

test('every workflow of rows is judged', (t) => {
  const nothing = async (): Promise<undefined> => undefined;
  const clock = { now: () => 0, monotonic: () => 0, sleep: nothing };
  const workflows = resourceChanges({
    resources: new MemoryResources(clock),
    clock,
    sites: { lastReportAt: nothing, close: nothing },
    applyRetention: nothing,
    countConditions: async () => 0,
  });
  const names = workflows.map(({ name }) => name);
  t.is(new Set(names).size, names.length);
  const judged = new Set(cases.map(({ workflow }) => workflow));
  t.deepEqual(
    names.filter((name) => !judged.has(name)),
    [],
  );
});
