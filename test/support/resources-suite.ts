/** What every store of resources must do. */
import type { TestFn } from 'ava';
import type { Resources } from '../../src/vault/store/resources.ts';

const vaultId = (name: string) =>
  `/subscriptions/S-1/resourceGroups/Rg/providers/Microsoft.RecoveryServices/vaults/${name}`;

export function resourcesSuite(test: TestFn, name: string, open: () => Promise<Resources>): void {
  test(`${name}: a resource is found in any case and keeps the case it was made in`, async (t) => {
    const resources = await open();
    const id = `${vaultId('V')}/replicationPolicies/Gold Pölicy`;
    const made = await resources.put(id, { a: 1, nested: { list: [1, 'ü', null] } });
    t.true(made.created);
    t.is(made.resource.name, 'Gold Pölicy');
    t.is(made.resource.type, 'Microsoft.RecoveryServices/vaults/replicationPolicies');
    t.deepEqual(await resources.get(id.toUpperCase()), made.resource);
    const again = await resources.put(id.toLowerCase(), { b: 2 });
    t.false(again.created);
    t.is(again.resource.id, id);
    t.is(again.resource.revision, 2);
    t.is(again.resource.createdAt, made.resource.createdAt);
    t.deepEqual((await resources.get(id))?.properties, { b: 2 });
    t.true(await resources.delete(id.toUpperCase()));
    t.false(await resources.delete(id));
    t.is(await resources.get(id), undefined);
  });

  test(`${name}: changes of several writers are all there`, async (t) => {
    const resources = await open();
    const id = vaultId('shared');
    await resources.put(id, { count: 0 });
    await Promise.all(
      Array.from({ length: 8 }, () =>
        resources.update(id, (before) => ({ ...before, count: Number(before.count) + 1 })),
      ),
    );
    const row = await resources.get(id);
    t.is(row?.properties.count, 8);
    t.is(row?.revision, 9);
    t.is(await resources.update(vaultId('none'), () => t.fail() as never), undefined);
  });

  test(`${name}: children come page by page, of one type and one parent`, async (t) => {
    const resources = await open();
    for (const one of ['c', 'a', 'b']) await resources.put(`${vaultId('v')}/replicationPolicies/${one}`, {});
    await resources.put(`${vaultId('v')}/replicationFabrics/f`, {});
    await resources.put(`${vaultId('w')}/replicationPolicies/other`, {});
    const first = await resources.children(vaultId('V'), 'REPLICATIONpolicies', { limit: 2 });
    t.deepEqual(
      first.resources.map((row) => row.name),
      ['c', 'a'],
    );
    await resources.delete(`${vaultId('v')}/replicationPolicies/a`);
    await resources.put(`${vaultId('v')}/replicationPolicies/d`, {});
    const second = await resources.children(vaultId('v'), 'replicationPolicies', {
      limit: 2,
      after: first.next,
    });
    t.deepEqual(
      second.resources.map((row) => row.name),
      ['b', 'd'],
    );
    t.is(second.next, undefined);
  });

  test(`${name}: a type is listed over a whole vault, and a tree goes with its root`, async (t) => {
    const resources = await open();
    const fabric = `${vaultId('v')}/replicationFabrics/f`;
    const container = `${fabric}/replicationProtectionContainers/c`;
    await resources.put(vaultId('v'), {});
    await resources.put(fabric, {});
    await resources.put(container, {});
    await resources.put(`${container}/replicationProtectedItems/i`, {});
    await resources.put(`${vaultId('v')}/replicationFabrics/f2`, {});
    await resources.put(`${vaultId('v2')}/replicationFabrics/f`, {});
    const listed = await resources.inVault(vaultId('v'), 'replicationProtectedItems', { limit: 10 });
    t.deepEqual(
      listed.resources.map((row) => row.name),
      ['i'],
    );
    t.deepEqual(
      (await resources.descendants(fabric.toUpperCase())).map((row) => row.name),
      ['c', 'i'],
    );
    await resources.deleteTree(fabric);
    t.is(await resources.get(container), undefined);
    t.truthy(await resources.get(`${vaultId('v')}/replicationFabrics/f2`));
    await resources.deleteTree(vaultId('v'));
    t.truthy(await resources.get(`${vaultId('v2')}/replicationFabrics/f`));
    t.is(await resources.get(vaultId('v')), undefined);
  });

  test(`${name}: what one holds is not changed by who changes what he was given`, async (t) => {
    const resources = await open();
    const properties = { list: [1] };
    await resources.put(vaultId('v'), properties);
    properties.list.push(2);
    t.deepEqual((await resources.get(vaultId('v')))?.properties, { list: [1] });
  });
}
