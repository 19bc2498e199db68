/** What every keeper of protected items' rows must do: `store/item-records.ts` and the stand-in of the workflows' tests. */
import type { TestFn } from 'ava';
import { ProtectedItemId } from '../../src/model/ids.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { ItemRecords } from '../../src/vault/workflows/parts.ts';

export interface RecordsUnderTest {
  readonly records: ItemRecords;
  /** Gives the item its first recovery point. */
  readonly addPoint: (itemId: ProtectedItemId) => Promise<void>;
}

export function itemRecordsSuite(test: TestFn, name: string, open: () => Promise<RecordsUnderTest>): void {
  const make = () => {
    const itemId = ProtectedItemId.parse(systemRandom.uuid());
    const vaultId = '/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v';
    const containerId = `${vaultId}/replicationFabrics/site/replicationProtectionContainers/c`;
    const item = {
      id: `${containerId}/replicationProtectedItems/web-${itemId}`,
      vaultId,
      containerId,
      fabricName: 'site',
      name: `web-${itemId}`,
      friendlyName: 'Web',
      instanceType: 'InMageRcm' as const,
      machineId: systemRandom.uuid(),
      processServerId: systemRandom.uuid(),
      policyId: `${vaultId}/replicationPolicies/p`,
      protectableItemId: 'q',
      settings: { a: 1 },
      createdAt: '2030-01-01T00:00:00.000Z',
    };
    return { item, itemId };
  };
  const job = () => ({
    jobId: systemRandom.uuid(),
    scenarioName: 'Trial',
    startedAt: '2030-01-01T00:00:00.000Z',
  });
  const state = async ({ records }: RecordsUnderTest, id: string) =>
    (await records.byId(id))?.condition.protectionState;

  test(`${name}: an item begins in the hands of its job, and waits for its first point`, async (t) => {
    const under = await open();
    const { records } = under;
    const { item, itemId } = make();
    const enabling = job();
    await records.add(item, enabling);
    await t.throwsAsync(records.add(item, job()), { code: 'ItemAlreadyProtected' });
    t.like(await records.byId(item.id), { jobId: enabling.jobId, friendlyName: 'Web', settings: { a: 1 } });
    await records.tie(item.id, itemId);
    await records.tie(item.id, itemId);
    await t.throwsAsync(records.begin(item.id, 'TestFailover', job()), { code: 'OperationNotAllowed' });
    await records.end(item.id, systemRandom.uuid(), 'done');
    t.is(await state(under, item.id), 'EnablingProtection');
    await records.end(item.id, enabling.jobId, 'done');
    await records.end(item.id, enabling.jobId, 'failed');
    t.is(await state(under, item.id), 'InitialReplicationInProgress');
    t.is((await records.byId(item.id.toUpperCase()))?.jobId, undefined);
    await under.addPoint(itemId);
    t.is(await state(under, item.id), 'Protected');
  });

  test(`${name}: enabling that fails leaves no row`, async (t) => {
    const under = await open();
    const { item } = make();
    const enabling = job();
    await under.records.add(item, enabling);
    await under.records.end(item.id, enabling.jobId, 'failed');
    t.is(await under.records.byId(item.id), undefined);
  });

  test(`${name}: one job at a time holds an item, by the table of states`, async (t) => {
    const under = await open();
    const { records } = under;
    const { item, itemId } = make();
    const enabling = job();
    await records.add(item, enabling);
    await records.tie(item.id, itemId);
    await records.end(item.id, enabling.jobId, 'done');
    await under.addPoint(itemId);
    const failover = job();
    await records.begin(item.id, 'UnplannedFailover', failover);
    await records.begin(item.id, 'UnplannedFailover', failover);
    await t.throwsAsync(records.begin(item.id, 'TestFailover', job()), { code: 'OperationNotAllowed' });
    await records.end(item.id, failover.jobId, 'done', {
      failoverPointId: 'x',
      lastFailoverAt: failover.startedAt,
    });
    t.like(await records.byId(item.id), {
      condition: {
        protectionState: 'UnplannedFailoverCommitPendingStatesBegin',
        testFailoverState: 'None',
        activeLocation: 'Recovery',
      },
      failoverPointId: 'x',
      jobId: undefined,
      scenario: undefined,
    });
    await t.throwsAsync(records.begin(item.id, 'RepairReplication', job()), { code: 'OperationNotAllowed' });
    await records.change(item.id, { friendlyName: 'Web 2', settings: { b: 2 } });
    t.like(await records.byId(item.id), { friendlyName: 'Web 2', settings: { b: 2 } });
    const removal = job();
    await records.begin(item.id, 'DisableProtection', removal);
    await records.end(item.id, removal.jobId, 'done');
    t.is(await records.byId(item.id), undefined);
    await t.throwsAsync(records.begin(item.id, 'Commit', job()), { code: 'ItemUnknown' });
    await records.change(item.id, { friendlyName: 'gone' });
  });
}
