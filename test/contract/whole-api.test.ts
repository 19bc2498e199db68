/**
 * Every operation of the reference against the handlers that a vault has: a vault with a site, machines, an item, a plan. What
 * each operation does is tested noun by noun; here each is called in every way that a client could get wrong, and must either
 * answer what fits its model or refuse in the reference's shape with a reason. A fault of the vault's own is never an answer.
 */
import anyTest from 'ava';
import { pause, systemClock, until } from '../../src/platform/clock.ts';
import { type Operation, operations } from '../../src/protocol/arm/description.ts';
import { refusalOf, refusals, refusedByNouns } from '../../src/vault/api/refused.ts';
import * as sites from '../../src/vault/store/sites.ts';
import { hasMariadb } from '../support/private-mariadb.ts';
import {
  addPoint,
  aMachine,
  aReport,
  itemIdOf,
  type NounWorld,
  resourceGroup,
  startNounWorld,
  vaultId,
  vaultName,
} from '../vault/api/noun-world.ts';
import { type PlainAnswer, subscriptionId } from './arm-world.ts';
import { sampleOf } from './samples.ts';
import { callBySdk, sdkOperations } from './sdk-walk.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let world: NounWorld;
const stopping = new AbortController();
/** Ids of operations that have answered `OperationNotSupported`. */
const refusing = new Set<string>();
/** By the names in paths: things that are there. */
const there: Record<string, string> = {};

const code = (error: unknown) => (error as { code?: string } | undefined)?.code;
const container = ['site', 'site-container'] as const;

anyTest.before(async () => {
  if (!able) return;
  world = await startNounWorld();
  const { sdk, arm } = world;
  await arm.vaults().vaults.beginCreateOrUpdateAndWait(resourceGroup, vaultName, { location: 'here' });
  const machine = aMachine('web');
  const machines = [machine, aMachine('other')];
  const { siteId, processServerId } = await world.site('site', machines);
  // The site goes on reporting, whatever comes of it: jobs wait for what it says next. Once it is removed its reports are refused.
  void (async () => {
    while (!stopping.signal.aborted) {
      const now = new Date(systemClock.now()).toISOString();
      await sites
        .keepReport(world.database, siteId, aReport(now, processServerId, machines), now)
        .catch(() => {});
      await pause(systemClock, 300, stopping.signal);
    }
  })();
  const policy = await sdk.replicationPolicies.beginCreateAndWait(vaultName, resourceGroup, 'policy', {
    properties: { providerSpecificInput: { instanceType: 'InMageRcm', recoveryPointHistoryInMinutes: 1440 } },
  } as never);
  await sdk.replicationProtectionContainerMappings.beginCreateAndWait(
    vaultName,
    resourceGroup,
    ...container,
    'mapping',
    {
      properties: {
        targetProtectionContainerId: 'Microsoft Azure',
        policyId: policy.id!,
        providerSpecificInput: { instanceType: 'InMageRcm' },
      },
    } as never,
  );
  const protectable: { id?: string; name?: string }[] = [];
  for await (const one of sdk.replicationProtectableItems.listByReplicationProtectionContainers(
    vaultName,
    resourceGroup,
    ...container,
  ))
    protectable.push(one);
  await sdk.replicationProtectedItems.beginCreateAndWait(vaultName, resourceGroup, ...container, 'web', {
    properties: {
      policyId: policy.id!,
      protectableItemId:
        protectable.find(({ name }) => name === machine.machineId)?.id ?? protectable[0]!.id!,
      providerSpecificDetails: {
        instanceType: 'InMageRcm',
        fabricDiscoveryMachineId: machine.machineId,
        targetResourceGroupId: 'g',
        processServerId,
      },
    },
  } as never);
  const itemId = itemIdOf('site', 'web');
  const row = await world.database.rows('SELECT item_id FROM item_resources WHERE LOWER(id) = ?', [
    itemId.toLowerCase(),
  ]);
  const pointId = await addPoint(world.database, String(row[0]!.item_id), '2026-01-02T03:04:05.000Z');
  await sdk.replicationRecoveryPlans.beginCreateAndWait(vaultName, resourceGroup, 'plan', {
    properties: {
      primaryFabricId: `${vaultId}/replicationFabrics/site`,
      recoveryFabricId: 'Microsoft Azure',
      groups: [{ groupType: 'Boot', replicationProtectedItems: [{ id: itemId }] }],
    },
  } as never);
  const job = (await sdk.replicationJobs.list(vaultName, resourceGroup).next()).value;
  const event = (await sdk.replicationEvents.list(vaultName, resourceGroup).next()).value;
  Object.assign(there, {
    subscriptionId,
    resourceGroupName: resourceGroup,
    resourceName: vaultName,
    vaultName,
    fabricName: 'site',
    protectionContainerName: 'site-container',
    policyName: 'policy',
    mappingName: 'mapping',
    protectableItemName: protectable[0]!.name!,
    replicatedProtectedItemName: 'web',
    recoveryPointName: pointId,
    recoveryPlanName: 'plan',
    jobName: job?.name,
    eventName: event?.name ?? 'event',
    alertSettingName: 'defaultAlertSetting',
    vaultSettingName: 'default',
    providerName: 'site',
    location: 'here',
  });
});
anyTest.after.always(async () => {
  stopping.abort();
  await world?.dispose();
});

const nowhere = (name: string) =>
  ['subscriptionId', 'resourceGroupName', 'resourceName', 'vaultName'].includes(name)
    ? there[name]!
    : `no ${name}`;
const somewhere = (name: string) => there[name] ?? `new-${name}`.slice(0, 40);

const pathOf = (operation: Operation, nameOf: (name: string) => string) =>
  operation.path.replace(/\{([^}]+)\}/g, (_, name: string) => encodeURIComponent(nameOf(name)));

/** Changes the world least first, so that most operations still find something. */
const order = ['GET', 'PUT', 'PATCH', 'POST', 'DELETE', 'HEAD'];
const inOrder = (list: readonly Operation[]) =>
  list
    .filter(
      ({ id }) => !['vaults.delete', 'replicationFabrics.delete', 'replicationFabrics.purge'].includes(id),
    )
    .toSorted((a, b) => order.indexOf(a.method) - order.indexOf(b.method));

function faultOf(operation: Operation, { status, body }: PlainAnswer): string | undefined {
  if (status < 400)
    return operation.statuses.includes(status) || [200, 201, 202, 204].includes(status)
      ? undefined
      : `${status}`;
  const error = body?.error;
  const detail = error?.details?.[0];
  if (status >= 500) return `${status} ${error?.code}: ${error?.message}`;
  if (!error?.code || !error.message || !detail?.possibleCauses || !detail.recommendedAction)
    return `${status}: ${JSON.stringify(body)}`;
  if (/started without its noun/.test(detail.possibleCauses)) return 'has no handler';
  return undefined;
}

async function walk(nameOf: (name: string) => string, bodyOf: (operation: Operation) => unknown) {
  const faults: string[] = [];
  const counts = new Map<number, number>();
  for (const operation of inOrder(operations)) {
    const body = bodyOf(operation);
    const answer = await world.arm.request(
      operation.method,
      pathOf(operation, nameOf),
      body === undefined ? {} : { body },
    );
    if (answer.body?.error?.code === 'OperationNotSupported') refusing.add(operation.id);
    counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
    const fault = faultOf(operation, answer);
    if (fault !== undefined) faults.push(`${operation.id}: ${fault}`);
  }
  return { faults, counts };
}

async function settled() {
  let running: string[] = [];
  await until(
    systemClock,
    120_000,
    async () => {
      const rows = await world.database.rows(
        "SELECT workflow, state, state_description FROM jobs WHERE state IN ('NotStarted', 'InProgress')",
      );
      running = rows.map((row) => JSON.stringify(row));
      return running.length === 0 ? true : undefined;
    },
    () => new Error(`jobs do not end: ${running.join(', ')}`),
  );
}

test('every operation that only reads answers what fits its model', async (t) => {
  const refused: string[] = [];
  for (const operation of operations.filter(({ method }) => method === 'GET')) {
    const { status, body } = await world.arm.request('GET', pathOf(operation, somewhere));
    if (status === 200) continue;
    refused.push(`${operation.id}: ${status} ${body?.error?.code}`);
    t.is(faultOf(operation, { status, body, headers: new Headers() }), undefined, operation.id);
  }
  t.log(refused.join('\n'));
  t.deepEqual(world.arm.misfits, []);
});

test('what is refused for good is in the tables of refusals, and nothing else is', async (t) => {
  const tables = { ...refusedByNouns, ...refusals };
  for (const operation of operations.filter(({ id }) => id in tables)) {
    const refusal = refusalOf(operation.id)!;
    if (refusal.answer !== 'refuse') continue;
    const body = operation.body === undefined ? undefined : sampleOf(operation.body, { forRequest: true });
    const path = pathOf(operation, somewhere);
    const answer = await world.arm.request(operation.method, path, body === undefined ? {} : { body });
    t.is(answer.body?.error?.code, 'OperationNotSupported', operation.id);
    t.true(
      answer.body?.error?.message?.startsWith(refusal.what),
      `${operation.id}: ${answer.body?.error?.message}`,
    );
  }
});

test('no operation answers with a fault, whatever is asked for that is not there', async (t) => {
  t.deepEqual((await walk(nowhere, () => undefined)).faults, []);
  t.deepEqual((await walk(nowhere, (o) => o.body && sampleOf(o.body, { forRequest: true }))).faults, []);
  t.deepEqual(
    (await walk(nowhere, (o) => o.body && sampleOf(o.body, { forRequest: true, least: true }))).faults,
    [],
  );
  await settled();
  t.deepEqual(world.arm.misfits, []);
});

test('no operation answers with a fault, whatever is done to what is there', async (t) => {
  for (const bodyOf of [
    () => undefined,
    (operation: Operation) => operation.body && sampleOf(operation.body, { forRequest: true, least: true }),
    (operation: Operation) => operation.body && sampleOf(operation.body, { forRequest: true }),
    () => ({ properties: { unknown: [1, 'x', null] } }),
  ]) {
    const { faults, counts } = await walk(somewhere, bodyOf);
    t.deepEqual(faults, []);
    t.log(Object.fromEntries(counts));
    await settled();
  }
  // What no model has, a vault gives back as it was sent.
  t.deepEqual(
    world.arm.misfits.filter((misfit) => !/has not: unknown$/.test(misfit)),
    [],
  );
  world.arm.misfits.length = 0;
});

test('every operation of the SDK is answered, or refused with a code', async (t) => {
  const faults: string[] = [];
  for (const operation of inOrder(sdkOperations))
    try {
      await callBySdk(world.sdk, operation, (name) => (name.startsWith('new') ? name : somewhere(name)));
    } catch (error) {
      const text = String((error as Error).message);
      // A job that failed is a plain Error with the code in its text; everything else is a RestError with a code.
      if (code(error) === undefined && !/long-running operation has failed/.test(text))
        faults.push(`${operation.id}: ${text}`);
      if (/InternalServerError|ENOTFOUND|ECONN/.test(`${code(error)} ${text}`))
        faults.push(`${operation.id}: ${text}`);
    }
  t.deepEqual(faults, []);
  t.deepEqual(
    inOrder(sdkOperations)
      .filter(({ id }) => !world.arm.calledBySdk.has(id))
      .map(({ npmName }) => npmName),
    [],
  );
  t.deepEqual(world.arm.misfits, []);
});

test('whatever else was refused has another way to be asked', (t) => {
  // Exports are Json only; vaults refuse what they cannot keep.
  const partly = ['replicationJobs.export', 'vaults.createOrUpdate', 'vaults.update'];
  t.deepEqual(
    [...refusing].filter((id) => !(id in refusals) && !(id in refusedByNouns) && !partly.includes(id)),
    [],
  );
});
