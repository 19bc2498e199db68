import test from 'ava';
import { matchOperation, methodsOf, operations } from '../../../src/protocol/arm/description.ts';
import { models } from '../../../src/protocol/arm/schemas.ts';

const vault = '/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v';

test('every operation of the reference is found by its own path, and by no other', (t) => {
  t.is(operations.length, 176);
  for (const operation of operations) {
    const path = operation.path.replace(/\{([^}]+)\}/g, (_, name: string) => `a%2Fname of ${name}`);
    const match = matchOperation(operation.method, path.toUpperCase());
    t.is(match?.operation.id, operation.id);
    for (const [name, value] of Object.entries(match!.parameters))
      t.is(value.toLowerCase(), `a/name of ${name}`.toLowerCase());
  }
  t.is(new Set(operations.map(({ id }) => id)).size, operations.length);
});

test('every model that an operation names is described', (t) => {
  for (const { id, body, response, items, result } of operations)
    for (const name of [body, response, items, result])
      if (name !== undefined) t.truthy(models[name], `${id}: ${name}`);
});

test('a path with a broken encoding, or with more in it, is no operation', (t) => {
  t.is(matchOperation('GET', `${vault}/replicationPolicies/%E0%A4`), undefined);
  t.is(matchOperation('GET', `${vault}/replicationPolicies/p/x`), undefined);
  t.is(matchOperation('GET', `${vault}//replicationPolicies`), undefined);
  t.is(matchOperation('OPTIONS', vault), undefined);
  t.deepEqual(methodsOf(vault).sort(), ['DELETE', 'GET', 'PATCH', 'PUT']);
});
