/**
 * The protocol itself, through `@azure/arm-recoveryservices-siterecovery`: every operation that the SDK has, in each way of
 * polling, against handlers that answer a full sample of the model. What the real handlers do is tested noun by noun.
 */
import type { SiteRecoveryManagementClient } from '@azure/arm-recoveryservices-siterecovery';
import anyTest from 'ava';
import fc from 'fast-check';
import { systemClock, until } from '../../src/platform/clock.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { type Operation, operations } from '../../src/protocol/arm/description.ts';
import { errors } from '../../src/vault/api/errors.ts';
import { armRequestsOfOneMax } from '../../src/vault/api/limits.ts';
import type { Handler, Handlers } from '../../src/vault/api/operation.ts';
import { pageOf } from '../../src/vault/api/paging.ts';
import { refusals } from '../../src/vault/api/refused.ts';
import { type ArmWorld, startArmWorld, subscriptionId } from './arm-world.ts';
import { sampleOf } from './samples.ts';
import { callBySdk, sdkOperations } from './sdk-walk.ts';

const test = anyTest.serial;
let world: ArmWorld;
let client: SiteRecoveryManagementClient;
const vaultId = `/subscriptions/${subscriptionId}/resourceGroups/group/providers/Microsoft.RecoveryServices/vaults/vault`;
/** Requests as the handlers saw them. */
const seen: {
  id: string;
  resourceId: string;
  parameters: Readonly<Record<string, string>>;
  body: unknown;
}[] = [];
const removed = new Set<string>();

function sampleHandler(operation: Operation): Handler {
  return async (request) => {
    seen.push({
      id: operation.id,
      resourceId: request.resourceId,
      parameters: request.parameters,
      body: request.body,
    });
    if (operation.longRunning) {
      const jobId = systemRandom.uuid();
      // The export is asked for as a job; a purge and a removal leave nothing.
      if (operation.result === undefined) removed.add(request.resourceId);
      else removed.delete(request.resourceId);
      world.jobs.set({ jobId, vaultId, state: 'Succeeded', inProgressTimes: 1 });
      return { jobId };
    }
    if (operation.items !== undefined) {
      const { after } = pageOf(request);
      return { page: [sampleOf(operation.items)], next: after === undefined ? 'second page' : undefined };
    }
    if (operation.method === 'GET' && removed.has(request.resourceId))
      throw errors.ResourceNotFound('type', 'name', 'vault');
    const sample = sampleOf(operation.response!);
    return {
      body: { ...sample, ...('name' in sample ? { name: request.resourceId.split('/').at(-1) } : {}) },
    };
  };
}

const samples: Handlers = Object.fromEntries(
  operations
    .filter(({ api, id }) => api === 'siteRecovery' && id !== 'operations.list')
    .map((operation) => [operation.id, sampleHandler(operation)]),
);

anyTest.before(async () => {
  world = await startArmWorld({ nouns: [samples], withoutRefusals: true });
  client = world.siteRecovery();
  await world.vaults().vaults.beginCreateOrUpdateAndWait('group', 'vault', { location: 'here' });
});
anyTest.after.always(() => world?.dispose());

/** Each operation has resources of its own: one removes what another reads. */
const names = (parameter: string, operation?: Operation) =>
  ({ resourceName: 'vault', resourceGroupName: 'group' })[parameter] ??
  `${parameter} of ${operation?.id.replace('.', ' ')}`;
const pathOf = (operation: Operation) =>
  operation.path.replace(/\{([^}]+)\}/g, (_, name: string) =>
    encodeURIComponent(name === 'subscriptionId' ? subscriptionId : names(name, operation)),
  );
const code = (error: unknown) => (error as { code?: string } | undefined)?.code;

test('every operation of the SDK goes through, polled by its status', async (t) => {
  for (const operation of sdkOperations) {
    const answer = await callBySdk(client, operation, names).catch((error: unknown) => {
      throw new Error(`${operation.id}: ${String(error)}`, { cause: error });
    });
    if (operation.paged && operation.id !== 'operations.list')
      t.is((answer as unknown[]).length, 2, `${operation.id}: both pages`);
    else if (operation.result !== undefined && operation.id !== 'replicationProtectedItems.switchProvider')
      t.truthy(
        (answer as { name?: string }).name ?? (answer as { properties?: object }).properties,
        operation.id,
      );
  }
  t.deepEqual(
    sdkOperations.filter(({ id }) => !world.calledBySdk.has(id)).map(({ npmName }) => npmName),
    [],
  );
  t.deepEqual(world.misfits, []);
});

/** A client that does not see these headers of answers. */
const without = (...names: readonly string[]) =>
  world.siteRecovery({
    additionalPolicies: [
      {
        position: 'perCall',
        policy: {
          name: 'without some headers',
          sendRequest: async (
            request: never,
            next: (request: never) => Promise<{ headers: { delete(name: string): void } }>,
          ) => {
            const response = await next(request);
            for (const name of names) response.headers.delete(name);
            return response;
          },
        },
      },
    ],
  });

test('every long-running operation of the SDK goes through, polled by its location only', async (t) => {
  const located = without('azure-asyncoperation');
  for (const operation of sdkOperations.filter(({ longRunning }) => longRunning)) {
    const answer = (await callBySdk(located, operation, names)) as Record<string, unknown> | undefined;
    if (operation.result === undefined) t.falsy(answer && Object.keys(answer).length > 1, operation.id);
    else if (operation.result !== 'VaultHealthDetails') t.truthy(answer?.name, operation.id);
  }
});

test('every long-running operation of the SDK goes through, polled by its status only', async (t) => {
  const watched = without('location');
  for (const operation of sdkOperations.filter(({ longRunning }) => longRunning))
    await t.notThrowsAsync(callBySdk(watched, operation, names), operation.id);
});

test('every PUT of the SDK goes through, polled by the resource itself', async (t) => {
  const neither = without('azure-asyncoperation', 'location');
  const puts = sdkOperations.filter(({ longRunning, method }) => longRunning && method === 'PUT');
  t.true(puts.length > 5);
  for (const operation of puts) {
    const answer = (await callBySdk(neither, operation, names)) as Record<string, unknown> | undefined;
    t.truthy(answer?.name, operation.id);
  }
});

test('each answer of an operation under way says when to ask again', async (t) => {
  const { headers } = await world.request('DELETE', `${vaultId}/replicationPolicies/slow`);
  const jobId = /operationresults\/([0-9a-f-]+)/.exec(headers.get('location')!)![1]!;
  world.jobs.set({ jobId, vaultId, state: 'InProgress' });
  for (const name of ['location', 'azure-asyncoperation']) {
    const answer = await world.request('GET', new URL(headers.get(name)!).pathname);
    t.is(answer.headers.get('retry-after'), headers.get('retry-after'), name);
    t.truthy(answer.headers.get('retry-after'), name);
  }
});

test('the operations that no SDK has yet go through by plain requests', async (t) => {
  for (const operation of operations.filter(
    ({ api, npmName }) => api === 'siteRecovery' && npmName === undefined,
  )) {
    const path = pathOf(operation);
    const body = operation.body === undefined ? undefined : sampleOf(operation.body, { forRequest: true });
    // `operationResults/{jobId}` of a cluster is a result like any other.
    if (operation.id.endsWith('getOperationResults')) continue;
    const { status } = await world.request(operation.method, path, body === undefined ? {} : { body });
    t.is(status, operation.longRunning ? 202 : 200, operation.id);
  }
  t.deepEqual(world.misfits, []);
});

/** Without what `given` says more: fields of a version that the SDK does not know it leaves out. */
function partOf(given: unknown, arrived: unknown): unknown {
  if (Array.isArray(given) && Array.isArray(arrived))
    return given.map((one, index) => partOf(one, arrived[index]));
  if (typeof given !== 'object' || given === null || typeof arrived !== 'object' || arrived === null)
    return given;
  return Object.fromEntries(
    Object.entries(given)
      .filter(([name]) => name in arrived)
      .map(([name, one]) => [name, partOf(one, (arrived as Record<string, unknown>)[name])]),
  );
}

test('each request body that the SDK sends arrives as it was given', (t) => {
  for (const operation of sdkOperations.filter(({ body }) => body !== undefined)) {
    const request = seen.find(({ id }) => id === operation.id);
    t.truthy(request, operation.id);
    const given = sampleOf(operation.body!, { forRequest: true });
    t.deepEqual(request!.body, partOf(given, request!.body), operation.id);
    t.deepEqual(Object.keys(request!.body as object), Object.keys(given), operation.id);
  }
});

test('one GUID is the job, its status and its result, in links of the public URL only', async (t) => {
  const path = `${vaultId}/replicationPolicies/p`;
  const { status, headers } = await world.request('PUT', path, {
    body: { properties: { providerSpecificInput: { instanceType: 'InMageRcm' } } },
    headers: { 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' },
    apiVersion: '2018-07-10',
  });
  t.is(status, 202);
  const location = new URL(headers.get('location')!);
  const async = new URL(headers.get('azure-asyncoperation')!);
  const guid = /operationresults\/([0-9a-f-]{36})$/.exec(location.pathname)?.[1];
  t.is(location.origin, world.url);
  t.is(location.pathname, `${path}/operationresults/${guid}`);
  t.is(async.href, `${world.url}${vaultId}/replicationOperationStatus/${guid}?api-version=2018-07-10`);
  t.truthy(headers.get('retry-after'));
  world.jobs.set({ jobId: guid!, vaultId, state: 'Suspended' });
  const running = await world.request('GET', async.pathname);
  t.is(running.body.status, 'InProgress');
  t.is(running.body.name, guid);
  t.is((await world.request('GET', location.pathname)).status, 202);
  world.jobs.set({ jobId: guid!, vaultId, state: 'Succeeded' });
  t.is((await world.request('GET', async.pathname)).body.status, 'Succeeded');
  t.is((await world.request('GET', location.pathname)).body.name, 'p');
  const other = vaultId.replace(/vault$/, 'second');
  await world.vaults().vaults.beginCreateOrUpdateAndWait('group', 'second', { location: 'here' });
  t.is((await world.request('GET', `${other}/replicationOperationStatus/${guid}`)).status, 404);
  t.is((await world.request('GET', `${other}/replicationPolicies/p/operationresults/${guid}`)).status, 404);
});

test('a job that fails is an error with its code, in each way of polling', async (t) => {
  const begin = async () => {
    const { headers } = await world.request('DELETE', `${vaultId}/replicationPolicies/failing`);
    return headers;
  };
  const headers = await begin();
  const jobId = /operationresults\/([0-9a-f-]+)/.exec(headers.get('location')!)![1]!;
  const error = {
    code: 'PolicyInUse',
    severity: 'error' as const,
    summary: 'The policy is in use.',
    possibleCauses: 'Items use it.',
    recommendedAction: 'Move them.',
    raisedAt: '2026-01-02T03:04:05.000Z',
    context: {},
  };
  world.jobs.set({ jobId, vaultId, state: 'Failed', errors: [error] });
  const status = await world.request('GET', new URL(headers.get('azure-asyncoperation')!).pathname);
  t.is(status.body.status, 'Failed');
  t.is(status.body.error.code, 'PolicyInUse');
  const result = await world.request('GET', new URL(headers.get('location')!).pathname);
  t.is(result.status, 400);
  t.is(result.body.error.details[0].recommendedAction, 'Move them.');
  world.jobs.set({ jobId, vaultId, state: 'Cancelled' });
  t.is(
    (await world.request('GET', new URL(headers.get('location')!).pathname)).body.error.code,
    'JobCancelled',
  );
  world.jobs.failure = error;
  const thrown = await t.throwsAsync(client.replicationPolicies.beginDeleteAndWait('vault', 'group', 'x'));
  t.regex(thrown!.message, /PolicyInUse/);
  world.jobs.failure = undefined;
});

test('paths match without regard to case, whatever the version', async (t) => {
  const path = `${vaultId}/replicationPolicies/MyPolicy`;
  const odd = path
    .replace('/subscriptions/', '/Subscriptions/')
    .replace('resourceGroups', 'RESOURCEGROUPS')
    .replace('Microsoft.RecoveryServices/vaults/vault', 'microsoft.recoveryservices/Vaults/VAULT')
    .replace('replicationPolicies', 'replicationpolicies');
  for (const apiVersion of ['2016-08-10', '2025-08-01', '2099-01-01-preview'])
    t.is((await world.request('GET', odd, { apiVersion })).status, 200);
  t.is(seen.at(-1)?.resourceId, path, 'in the one case, as the vault was made');
});

test('names may have any characters, percent-encoded', async (t) => {
  const name = 'JobStatus;123_ab/c d?#%ü…';
  await client.replicationEvents.get('vault', 'group', name);
  t.is(seen.at(-1)?.parameters.eventName, name);
  t.is(
    (await world.request('GET', `${vaultId}/replicationEvents/%zz`)).body.error.code,
    'InvalidRequestPath',
  );
  t.is((await world.request('GET', `${vaultId}/replicationEvents/${'x'.repeat(400)}`)).status, 400);
});

test('refusals have the shape and the codes of the reference', async (t) => {
  const check = async (
    expected: number,
    codeExpected: string,
    ...request: Parameters<ArmWorld['request']>
  ) => {
    const { status, body, headers } = await world.request(...request);
    t.is(status, expected, codeExpected);
    t.is(body.error.code, codeExpected);
    t.true(body.error.message.length > 10);
    const [detail] = body.error.details;
    t.deepEqual(Object.keys(detail), [
      'code',
      'message',
      'possibleCauses',
      'recommendedAction',
      'clientRequestId',
      'activityId',
    ]);
    t.is(headers.get('x-ms-client-request-id'), detail.clientRequestId);
    t.is(headers.get('x-ms-correlation-request-id'), detail.activityId);
    t.regex(headers.get('x-ms-request-id')!, /^[0-9a-f-]{36}$/);
  };
  const policy = `${vaultId}/replicationPolicies/p`;
  await check(400, 'MissingApiVersionParameter', 'GET', policy, { apiVersion: '' });
  await check(404, 'InvalidResourceType', 'GET', `${vaultId}/replicationUnknowns`);
  await check(405, 'MethodNotAllowed', 'POST', policy);
  await check(401, 'AuthenticationFailed', 'GET', '/nowhere', { headers: { authorization: '' } });
  await check(401, 'InvalidAuthenticationToken', 'GET', policy, { headers: { authorization: 'Bearer x' } });
  await check(404, 'ResourceNotFound', 'GET', policy.replace('/vault/', '/nowhere/'));
  await check(404, 'SubscriptionNotFound', 'GET', policy.replace(subscriptionId, systemRandom.uuid()));
  await check(400, 'InvalidRequestContent', 'PUT', policy, { body: '{' });
  await check(400, 'InvalidRequestContent', 'PUT', policy, { body: [] });
  await check(400, 'InvalidRequestContent', 'PUT', policy, {
    body: { properties: { providerSpecificInput: { instanceType: 'Other' } } },
  });
  await check(413, 'RequestEntityTooLarge', 'PUT', policy, { body: { x: 'x'.repeat(5 << 20) } });
  await check(400, 'InvalidQueryParameter', 'GET', `${vaultId}/replicationPolicies?$skipToken=nonsense`);
  const { headers } = await world.request('POST', policy);
  t.deepEqual(headers.get('allow')!.split(', ').sort(), ['DELETE', 'GET', 'PATCH', 'PUT']);
  t.regex(
    (await world.request('GET', '/x', { headers: { authorization: '' } })).headers.get('www-authenticate')!,
    /^Bearer /,
  );
});

test('a wrong body is refused with the path of what is wrong', async (t) => {
  const message = async (id: string, body: unknown) => {
    const operation = operations.find((one) => one.id === id)!;
    const path = pathOf(operation);
    const answer = await world.request(operation.method, path, { body });
    t.is(answer.status, 400);
    return answer.body.error.message as string;
  };
  t.regex(
    await message('replicationPolicies.create', {
      properties: { providerSpecificInput: { instanceType: 'Inmage' } },
    }),
    /properties\.providerSpecificInput\.instanceType: "Inmage" is not known here; known: .*InMageRcm/,
  );
  t.regex(
    await message('replicationPolicies.create', {
      properties: { providerSpecificInput: { instanceType: 'InMageAzureV2', recoveryPointHistory: 'long' } },
    }),
    /recoveryPointHistory: a whole number is expected.*multiVmSyncStatus: is required/,
  );
  t.regex(
    await message('replicationRecoveryPlans.create', {
      properties: {
        primaryFabricId: 'x',
        recoveryFabricId: 'y',
        groups: [{ groupType: 'Boot', startGroupActions: [{}] }],
      },
    }),
    /properties\.groups\[0\]\.startGroupActions\[0\]\.actionName: is required/,
  );
});

test('errors are RestErrors with code and details, and 429 and 503 are tried again', async (t) => {
  const error = (await t.throwsAsync(client.replicationPolicies.get('nowhere', 'group', 'p'))) as unknown as {
    name: string;
    statusCode: number;
    code: string;
  };
  t.is(error.name, 'RestError');
  t.is(error.statusCode, 404);
  t.is(error.code, 'ResourceNotFound');
  for (const status of [429, 503]) {
    let count = 0;
    world.intercept = (_, path) =>
      path.includes('/replicationPolicies/') && ++count <= 2
        ? { status, headers: { 'retry-after': '0' } }
        : undefined;
    t.truthy((await client.replicationPolicies.get('vault', 'group', 'p')).id);
    t.is(count, 3);
  }
  world.intercept = (_, path) =>
    path.includes('/replicationPolicies/') ? { status: 503, headers: { 'retry-after': '0' } } : undefined;
  t.is(code(await t.throwsAsync(client.replicationPolicies.get('vault', 'group', 'p'))), 'Intercepted');
  world.intercept = undefined;
});

test('what a caller says of itself comes back, and nothing that could break a header', async (t) => {
  const { headers } = await world.request('GET', `${vaultId}/replicationPolicies/p`, {
    headers: { 'x-ms-client-request-id': 'my-id', 'x-ms-correlation-request-id': 'with space' },
  });
  t.is(headers.get('x-ms-client-request-id'), 'my-id');
  t.not(headers.get('x-ms-correlation-request-id'), 'with space');
  t.is(headers.get('cache-control'), 'no-store');
});

test('what this product does not have is refused with a reason, or truthfully empty', async (t) => {
  const plain = await startArmWorld();
  await plain.vaults().vaults.beginCreateOrUpdateAndWait('group', 'vault', { location: 'here' });
  for (const [id, refusal] of Object.entries(refusals)) {
    const operation = operations.find((one) => one.id === id)!;
    const path = pathOf(operation);
    const body = operation.body === undefined ? undefined : sampleOf(operation.body, { forRequest: true });
    const answer = await plain.request(operation.method, path, body === undefined ? {} : { body });
    if (refusal.answer === 'none') t.deepEqual(answer.body, { value: [] }, id);
    else {
      t.is(answer.status, refusal.answer === 'unknown' ? 404 : 400, id);
      t.is(
        answer.body.error.code,
        refusal.answer === 'unknown'
          ? id.endsWith('getOperationResults')
            ? answer.body.error.code
            : 'ResourceNotFound'
          : 'OperationNotSupported',
        id,
      );
      t.true(answer.body.error.details[0].recommendedAction.length > 10, id);
    }
  }
  await plain.dispose();
});

test('one caller cannot keep the others out, and a write that cannot be audited is an error', async (t) => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  let waiting = 0;
  let auditFails = false;
  const held = await startArmWorld({
    withoutRefusals: true,
    nouns: [
      {
        'replicationPolicies.get': async () => {
          waiting += 1;
          await gate;
          return { body: {} };
        },
        'replicationAlertSettings.create': async () => ({ body: {} }),
        'replicationVaultHealth.get': async () => {
          throw new TypeError('a secret of the inside');
        },
      },
    ],
    parts: {
      audit: async () => {
        if (auditFails) throw new Error('disk full');
      },
    },
  });
  await held.vaults().vaults.beginCreateOrUpdateAndWait('group', 'vault', { location: 'here' });
  const asked = Array.from({ length: armRequestsOfOneMax }, () =>
    held.request('GET', `${vaultId}/replicationPolicies/p`),
  );
  await until(
    systemClock,
    60_000,
    () => (waiting === armRequestsOfOneMax ? true : undefined),
    () => new Error('they do not all come'),
  );
  const refused = await held.request('GET', `${vaultId}/replicationPolicies/p`);
  t.is(refused.status, 429);
  t.is(refused.body.error.code, 'TooManyRequests');
  t.truthy(refused.headers.get('retry-after'));
  open();
  t.true((await Promise.all(asked)).every(({ status }) => status === 200));
  t.is((await held.request('GET', `${vaultId}/replicationPolicies/p`)).status, 200);
  const fault = await held.request('GET', `${vaultId}/replicationVaultHealth`);
  t.is(fault.status, 500);
  t.false(JSON.stringify(fault.body).includes('secret'));
  t.true(fault.body.error.details[0].recommendedAction.includes(fault.headers.get('x-ms-request-id')!));
  auditFails = true;
  const write = await held.request('PUT', `${vaultId}/replicationAlertSettings/a`, {
    body: { properties: {} },
  });
  t.is(write.status, 500);
  await held.dispose();
});

test('whatever path, query or body comes, it is answered and never a fault', async (t) => {
  const words = [
    'subscriptions',
    subscriptionId,
    'resourceGroups',
    'group',
    'providers',
    'Microsoft.RecoveryServices',
    'vaults',
    'vault',
    'replicationPolicies',
    'replicationFabrics',
    'operationresults',
    'replicationOperationStatus',
    'default',
    '..',
    '.',
    '',
    '%2e%2e',
    '%2F',
    '%00',
    '%E2%82%AC',
    '%ff',
    '%',
    '__proto__',
    'constructor',
    '$skipToken',
    'x'.repeat(310),
  ];
  const path = fc.array(fc.constantFrom(...words), { maxLength: 14 }).map((parts) => `/${parts.join('/')}`);
  const query = fc.constantFrom(
    '',
    '?api-version=',
    '?api-version=x&$skipToken=MQ',
    '?$filter=%27&$top=-1&api-version=1',
    '?%=1',
  );
  const body = fc.option(fc.oneof(fc.json(), fc.string()), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(
      path,
      query,
      fc.constantFrom('GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS'),
      body,
      async (p, q, method, b) => {
        const answer = await world.request(method, p + q, {
          apiVersion: '',
          ...(b === undefined ? {} : { body: b }),
        });
        t.true(answer.status < 500, `${method} ${p}${q}: ${answer.status} ${JSON.stringify(answer.body)}`);
        if (answer.status >= 400) t.truthy(answer.body?.error?.code, `${method} ${p}${q}`);
      },
    ),
    { numRuns: 300 },
  );
  t.is(({} as Record<string, unknown>).polluted, undefined);
});
