/**
 * Walks every operation by every role. What comes out is checked in as a document for people (`docs/api/roles.md`), so a
 * change of a role, an operation or a path shows as a difference that somebody has to look at.
 * To write it anew: LEEWARD_WRITE_GOLDEN=1 ava test/vault/access/roles.test.ts
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { LeewardError } from '../../../src/platform/errors.ts';
import { type Operation, operations } from '../../../src/protocol/arm/description.ts';
import { ownOperations } from '../../../src/protocol/arm/own-operations.ts';
import { Access, foreignObjectId, may } from '../../../src/vault/access/access.ts';
import { actionOf } from '../../../src/vault/access/actions.ts';
import type { Principal, Role } from '../../../src/vault/access/principal.ts';
import { roleAllows, roleDefinitions, roleNames, scopeCovers } from '../../../src/vault/access/roles.ts';

const file = join(import.meta.dirname, '../../../docs/api/roles.md');
const all: readonly Operation[] = [...operations, ...ownOperations];
const subscription = '/subscriptions/5a3c1f9e-0d7b-4c55-8f8e-3f1d5f3a2b10';
const vault = `${subscription}/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v`;

/** Only what `authorize` needs: nothing. */
const access = new Access({ publicUrl: () => 'https://vault.test' } as never);

const having = (role: Role | undefined, scope = subscription): Principal => ({
  objectId: '00000000-0000-4000-8000-000000000001',
  tenantId: '00000000-0000-4000-8000-000000000002',
  applicationId: undefined,
  displayName: 'somebody',
  roles: role === undefined ? [] : [{ role, scope: scope.toLowerCase() }],
});

async function allowed(principal: Principal, operation: Operation): Promise<boolean> {
  const resourceId = operation.path.replace('{subscriptionId}', subscription.split('/')[2]!);
  try {
    await access.authorize(
      principal,
      operation,
      resourceId.startsWith('/subscriptions/') ? resourceId : subscription,
    );
    return true;
  } catch (error) {
    if (error instanceof LeewardError && error.code === 'AuthorizationFailed') return false;
    throw error;
  }
}

async function document(): Promise<string> {
  const short = {
    Owner: 'Owner',
    'Site Recovery Contributor': 'Contributor',
    'Site Recovery Operator': 'Operator',
    'Site Recovery Reader': 'Reader',
  };
  const rows: string[] = [];
  for (const operation of all) {
    const cells = await Promise.all(
      roleNames.map(async (role) => ((await allowed(having(role), operation)) ? 'yes' : '')),
    );
    rows.push(
      `| \`${operation.id}\` | \`${actionOf(operation.method, operation.path)}\` | ${cells.join(' | ')} |`,
    );
  }
  const lists = roleDefinitions.map(({ role, id, description, actions, added }) =>
    [
      `### ${role}`,
      '',
      `\`${id}\`. ${description}`,
      '',
      'As published:',
      '',
      ...actions.map((action) => `- \`${action}\``),
      ...(added.length === 0 ? [] : ['', 'Added here:', '', ...added.map((action) => `- \`${action}\``)]),
    ].join('\n'),
  );
  return `# Roles

Who may call which operation. The roles are Azure Site Recovery's, with its ids and its published lists of actions. Those
lists are older than the API: with them alone an operator could start a failover but not poll it, and a reader could see each
item but not the list of all. What was added for that is listed apart below. \`*\` stands for anything; case does not matter.

A role is assigned at the subscription, at a resource group or at a vault, and holds for everything in it
([how](az.md#roles)). A call without the action is answered 403 \`AuthorizationFailed\`, which names action and scope, and is
in the audit trail. Lists of vaults and of resource groups are also answered to whoever has a role further in; tenants,
subscriptions, providers and the list of operations to everybody with a token. Service principals (\`/graph/v1.0\`) are read
by everybody with a token and written by owners of the subscription.

This file is written by a test that asks the vault's own check about every operation
(\`test/vault/access/roles.test.ts\`).

## Operations

| operation | action | ${roleNames.map((role) => short[role]).join(' | ')} |
| --- | --- | ${roleNames.map(() => '---').join(' | ')} |
${rows.join('\n')}

## Lists of actions

${lists.join('\n\n')}
`;
}

test('every operation has an action, and the table of who may call it is the checked-in one', async (t) => {
  const wanted = await document();
  if (process.env.LEEWARD_WRITE_GOLDEN === '1') await writeFile(file, wanted);
  t.is(await readFile(file, 'utf8'), wanted, 'look at the difference, then write the file anew');
  for (const { id, method, path } of all) {
    const action = actionOf(method, path);
    t.regex(action, /^[^/]+(\/[^/]+)*\/(read|write|delete|action)$/, id);
  }
});

test('nobody may do anything without a role, except learn what there is', async (t) => {
  const open: string[] = [];
  for (const operation of all) if (await allowed(having(undefined), operation)) open.push(operation.id);
  t.deepEqual(open.sort(), [
    'operations.list',
    'provider.listOperations',
    'providers.get',
    'providers.list',
    'subscriptions.get',
    'subscriptions.list',
    'subscriptions.listLocations',
    'tenants.list',
  ]);
});

test('a reader changes nothing, an operator protects nothing, a contributor makes no vault and gives no role', async (t) => {
  for (const operation of all) {
    const action = actionOf(operation.method, operation.path);
    const isWrite = operation.method !== 'GET' && operation.method !== 'HEAD';
    if (isWrite) t.false(await allowed(having('Site Recovery Reader'), operation), operation.id);
    t.true(await allowed(having('Owner'), operation), operation.id);
    if (/\/(write|delete)$/.test(action) || /(\/remove|\/addDisks|\/removeDisks)\/action$/.test(action))
      t.false(await allowed(having('Site Recovery Operator'), operation), operation.id);
    if (
      /^Microsoft\.RecoveryServices\/vaults\/(write|delete)$/.test(action) ||
      /roleAssignments\/(write|delete)$/.test(action)
    )
      t.false(await allowed(having('Site Recovery Contributor'), operation), operation.id);
  }
  for (const verb of [
    'testFailover',
    'testFailoverCleanup',
    'unplannedFailover',
    'plannedFailover',
    'failoverCommit',
  ])
    t.true(
      await allowed(
        having('Site Recovery Operator'),
        all.find(({ id }) => id === `replicationProtectedItems.${verb}`)!,
      ),
      verb,
    );
});

test('a role holds at its scope and in it, and nowhere else', (t) => {
  const action = 'Microsoft.RecoveryServices/vaults/replicationJobs/cancel/action';
  const operator = having('Site Recovery Operator', vault);
  t.true(may(operator, action, `${vault}/replicationJobs/1`));
  t.true(may(operator, action, `${vault.toUpperCase()}/replicationJobs/1`));
  t.false(may(operator, action, `${vault}2/replicationJobs/1`), 'v2 is not in v');
  t.false(may(operator, action, subscription));
  t.true(scopeCovers(`${subscription}/`, vault));
  t.false(scopeCovers(vault, subscription));
});

test('patterns match whole actions without regard to case', (t) => {
  const reader = 'Site Recovery Reader';
  t.true(roleAllows(reader, 'microsoft.recoveryservices/VAULTS/read'));
  t.false(roleAllows(reader, 'Microsoft.RecoveryServices/vaults/readX'));
  t.false(roleAllows(reader, 'XMicrosoft.RecoveryServices/vaults/read'));
  t.false(roleAllows(reader, 'MicrosoftXRecoveryServices/vaults/read'), 'a dot is a dot');
});

test('an action is named from method and path alone', (t) => {
  const cases: [string, string, string][] = [
    [
      'POST',
      `${vault}/replicationFabrics/f/checkConsistency`,
      'Microsoft.RecoveryServices/vaults/replicationFabrics/checkConsistency/action',
    ],
    ['GET', `${vault}/replicationFabrics`, 'Microsoft.RecoveryServices/vaults/replicationFabrics/read'],
    ['GET', `${vault}/replicationFabrics/f`, 'Microsoft.RecoveryServices/vaults/replicationFabrics/read'],
    [
      'POST',
      `${vault}/replicationVaultHealth/default/refresh`,
      'Microsoft.RecoveryServices/vaults/replicationVaultHealth/refresh/action',
    ],
    [
      'POST',
      `${vault}/replicationJobs/export`,
      'Microsoft.RecoveryServices/vaults/replicationJobs/export/action',
    ],
    ['PATCH', vault, 'Microsoft.RecoveryServices/vaults/write'],
    ['DELETE', `${subscription}/resourceGroups/g`, 'Microsoft.Resources/subscriptions/resourceGroups/delete'],
    [
      'PUT',
      `${vault}/providers/Microsoft.Authorization/roleAssignments/1`,
      'Microsoft.Authorization/roleAssignments/write',
    ],
  ];
  for (const [method, path, action] of cases) t.is(actionOf(method, path), action);
});

test('a foreign principal has one id for ever', (t) => {
  const id = foreignObjectId('https://issuer.test', 'somebody');
  t.is(id, foreignObjectId('https://issuer.test', 'somebody'));
  t.regex(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.not(id, foreignObjectId('https://other.test', 'somebody'));
});
