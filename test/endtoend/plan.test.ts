/**
 * Goal: a recovery plan does on real machines what it says. Two protected machines in two groups, scripts on the vault and at
 * the site, a manual action; rehearsed, resumed, cleaned up, cancelled, failed and failed over through the public SDK alone.
 * Method: a vault of one's own (`make vault`), a registered site, two mobility services (each with a host name of its own) with
 * a loop disk each, machines under libvirt. What is left is looked for where it would be: libvirt, disks, processes.
 */
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  Job,
  RecoveryPlanAction,
  RecoveryPlanGroup,
  SiteRecoveryManagementClient,
  TestFailoverJobDetails,
} from '@azure/arm-recoveryservices-siterecovery';
import anyTest, { type ExecutionContext } from 'ava';
import { run, tryRun } from '../../src/platform/exec.ts';
import { libvirtUri } from '../support/libvirt-daemon.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { OwnVault } from '../support/own-vault.ts';
import { eventually } from '../support/site.ts';
import { RealSite } from '../support/site-world.ts';

const reason =
  canLoop() ??
  canTrace() ??
  (existsSync('/usr/sbin/libvirtd') ? undefined : 'there is no libvirtd on this machine');
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const limit = { timeoutMilliseconds: 60_000 };
const quick = { updateIntervalInMs: 200 };
const forward = { failoverDirection: 'PrimaryToRecovery' } as const;
const planName = 'shop';

type Kind = 'TestFailover' | 'UnplannedFailover' | 'PlannedFailover';
const action = (
  actionName: string,
  failoverTypes: Kind[],
  customDetails: RecoveryPlanAction['customDetails'],
): RecoveryPlanAction => ({
  actionName,
  failoverTypes,
  failoverDirections: ['PrimaryToRecovery'],
  customDetails,
});
const script = (path: string, failoverTypes: Kind[], fabricLocation = 'Recovery', timeout?: string) =>
  action(path, failoverTypes, {
    instanceType: 'ScriptActionDetails',
    path,
    fabricLocation,
    ...(timeout === undefined ? {} : { timeout }),
  });

/** Two groups of one machine each. */
const groupsOf = (db: string, web: string): RecoveryPlanGroup[] => [
  { groupType: 'Shutdown' },
  { groupType: 'Failover', startGroupActions: [script('broken', ['PlannedFailover', 'UnplannedFailover'])] },
  {
    groupType: 'Boot',
    replicationProtectedItems: [{ id: db }],
    startGroupActions: [script('prepare', ['TestFailover'])],
    endGroupActions: [
      script('at-home', ['TestFailover'], 'Primary'),
      script('endless', ['UnplannedFailover'], 'Recovery', '00:00:01'),
      script('endless-at-home', ['UnplannedFailover'], 'Primary', 'PT1S'),
    ],
  },
  {
    groupType: 'Boot',
    replicationProtectedItems: [{ id: web }],
    startGroupActions: [
      action('Ask the shop', ['TestFailover'], {
        instanceType: 'ManualActionDetails',
        description: 'Is the database as it should be?',
      }),
    ],
  },
];

test('a recovery plan of two machines, through the public SDK alone', async (t) => {
  t.timeout(480_000);
  const world = await openWorld(t);
  const { client, own, at, note } = world;
  const plans = client.replicationRecoveryPlans;
  const plan = async () => (await plans.get(...at, planName)).properties!;

  // ── rehearsed: the plan stands at its manual action, and goes on when somebody says so ──────────────────────────────
  const rehearsal = await plans.beginTestFailover(...at, planName, {
    properties: { ...forward, networkType: 'NoNetworkAttachAsInput' },
  });
  const standing = await suspended(world, 'TestFailover');
  t.deepEqual(standing.properties?.allowedActions?.toSorted(), ['Cancel', 'Resume']);
  t.is((await plan()).currentScenario?.jobId, standing.id);
  t.is((await plan()).currentScenarioStatus, 'Suspended');
  t.false(rehearsal.isDone());
  t.deepEqual((await machines(own)).map(shortName), ['leeward-test-db']);
  t.deepEqual(taskStates(standing), [
    ['Checking prerequisites of the recovery plan', 'Succeeded'],
    ['prepare', 'Succeeded'],
    ['Recovery plan group: Group 1', 'Succeeded'],
    ['at-home', 'Succeeded'],
    ['Ask the shop', 'Suspended'],
    ['Recovery plan group: Group 2', 'NotStarted'],
  ]);
  const scripts = standing.properties!.tasks!.filter(
    ({ taskType }) => taskType === 'ScriptActionTaskDetails',
  );
  t.deepEqual(
    scripts.map(({ customDetails }) => ({ ...customDetails })),
    [
      {
        instanceType: 'ScriptActionTaskDetails',
        name: 'prepare',
        path: 'prepare',
        isPrimarySideScript: false,
        output: `TestFailover shop Group 1 ${standing.name} TestFailover shop Group 1`,
      },
      {
        instanceType: 'ScriptActionTaskDetails',
        name: 'at-home',
        path: 'at-home',
        isPrimarySideScript: true,
        output: 'at home: TestFailover shop Group 1\n',
      },
    ],
  );
  const resumed = await client.replicationJobs.beginResumeAndWait(
    ...at,
    standing.name!,
    { properties: { comments: 'as it should be' } },
    quick,
  );
  t.is(resumed.name, standing.name);
  const rehearsed = await rehearsal.pollUntilDone();
  t.is(rehearsed.name, planName);
  const done = await client.replicationJobs.get(...at, standing.name!);
  t.is(done.properties?.state, 'Succeeded');
  t.like(done.properties?.customDetails, {
    instanceType: 'TestFailoverJobDetails',
    testFailoverStatus: 'running',
  });
  const { protectedItemDetails: tested } = done.properties!.customDetails as TestFailoverJobDetails;
  t.deepEqual(
    tested?.map(({ friendlyName, testVmName, recoveryPointTime }) => [
      friendlyName,
      shortName(testVmName ?? ''),
      recoveryPointTime instanceof Date,
    ]),
    [
      ['db', 'leeward-test-db', true],
      ['web', 'leeward-test-web', true],
    ],
  );
  const manual = done.properties!.tasks!.find(({ friendlyName }) => friendlyName === 'Ask the shop');
  t.like(manual?.customDetails, {
    instanceType: 'ManualActionTaskDetails',
    instructions: 'Is the database as it should be?',
    observation: 'as it should be',
  });
  t.deepEqual((await machines(own)).map(shortName), ['leeward-test-db', 'leeward-test-web']);
  t.is((await networks(own)).length, 1, 'both machines are in one network');
  t.truthy((await plan()).lastTestFailoverTime);
  await note('rehearsed');

  await plans.beginTestFailoverCleanupAndWait(
    ...at,
    planName,
    { properties: { comments: 'both came up' } },
    quick,
  );
  await nothingLeft(t, world, 'after the clean-up');
  await note('cleaned up');

  // ── cancelled at the manual action: what came through waits to be cleaned up, nothing else is there ─────────────────
  const cancelled = await plans.beginTestFailover(...at, planName, {
    properties: { ...forward, networkType: 'NoNetworkAttachAsInput' },
  });
  const second = await suspended(world, 'TestFailover');
  await client.replicationJobs.beginCancelAndWait(...at, second.name!, quick);
  await t.throwsAsync(cancelled.pollUntilDone(), { message: /cancel/i });
  t.is((await client.replicationJobs.get(...at, second.name!)).properties?.state, 'Cancelled');
  t.deepEqual((await machines(own)).map(shortName), ['leeward-test-db']);
  await plans.beginTestFailoverCleanupAndWait(...at, planName, { properties: { comments: '' } }, quick);
  await nothingLeft(t, world, 'after the cancelled one');
  await note('cancelled');

  // ── a planned failover stops at a script that fails, before any machine is touched ──────────────────────────────────
  await t.throwsAsync(plans.beginPlannedFailoverAndWait(...at, planName, { properties: forward }, quick), {
    message: /PlanStopped/,
  });
  await nothingLeft(t, world, 'after the planned one that stopped');
  t.deepEqual(
    await Promise.all(
      world.items.map(
        async (item) =>
          (await client.replicationProtectedItems.get(...at, ...item)).properties?.protectionState,
      ),
    ),
    ['Protected', 'Protected'],
  );
  await note('stopped');

  // ── an unplanned one goes on; scripts that do not end are ended, with all that they started ─────────────────────────
  const failure = await t.throwsAsync(
    plans.beginUnplannedFailoverAndWait(
      ...at,
      planName,
      {
        properties: {
          ...forward,
          sourceSiteOperations: 'NotRequired',
          providerSpecificDetails: [{ instanceType: 'InMageAzureV2', recoveryPointType: 'Latest' }],
        },
      },
      quick,
    ),
  );
  t.regex(
    failure!.message,
    /PlanPartlyFailed.*3 of 5 parts of the plan failed: broken: .*no luck.*endless: /s,
  );
  const partly = (await jobs(world, "jobName eq 'UnplannedFailover'"))[0]!;
  t.like(partly.properties, {
    state: 'Failed',
    stateDescription: 'PartiallySucceeded',
    allowedActions: ['Restart'],
  });
  t.is((await machines(own)).length, 2);
  t.deepEqual(await processesOf(world), [], 'nothing of the scripts is left');
  t.true((await plan()).allowedOperations?.includes('CancelFailover'));
  await note('failed over');
  await plans.beginFailoverCancelAndWait(...at, planName, quick);
  await nothingLeft(t, world, 'after the failover was cancelled');
  await note('cancelled it');

  // ── meanwhile the machines have heard of the policy that was changed, and nothing was compared anew for it ───────────
  for (const [, , name] of world.items) {
    const home = join(world.site.folder, name);
    await eventually(`${name} has heard of the policy`, 180, async () => {
      const text = await readFile(join(home, 'state/site/assignment.json'), 'utf8');
      return (JSON.parse(text) as { policy: { crashConsistentSeconds: number } }).policy
        .crashConsistentSeconds === 120
        ? true
        : undefined;
    });
  }
  for (const item of world.items) {
    const { properties } = await client.replicationProtectedItems.get(...at, ...item);
    t.deepEqual(properties?.healthErrors, [], item[2]);
    t.is(properties?.protectionState, 'Protected');
  }
  const history = await run(
    process.execPath,
    ['src/bin/leeward.ts', '--output', 'json', 'protected-item', 'history', 'db', '--hours', '1'],
    { ...limit, env: { ...own.variables, XDG_CONFIG_HOME: join(own.data, '../config') } },
  );
  const samples = JSON.parse(history) as { properties: { seconds: number; rpoSeconds?: number } }[];
  t.true(samples.length > 0 && samples.every(({ properties }) => properties.seconds === 300), history);
});

// ── the world ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface World {
  readonly own: OwnVault;
  readonly site: RealSite;
  readonly client: SiteRecoveryManagementClient;
  readonly at: readonly [string, string];
  /** Fabric, container, item. */
  readonly items: readonly (readonly [string, string, string])[];
  /** Every script's processes have this in their command line. */
  readonly mark: string;
  note(what: string): Promise<void>;
}

async function openWorld(t: ExecutionContext<unknown>): Promise<World> {
  const startedAt = performance.now();
  const note = async (what: string) =>
    t.log(`${((performance.now() - startedAt) / 1000).toFixed(1)} s: ${what}`);
  const folder = await mkdtemp(join(tmpdir(), 'leeward-plan-'));
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const disks = [await makeLoop(t, 16 << 20), await makeLoop(t, 16 << 20)];
  const own = await OwnVault.start(folder);
  t.teardown(() => own[Symbol.asyncDispose]());
  const site = await RealSite.make();
  t.teardown(async () => {
    if (!t.passed) t.log(`${own.logs()}\n${site.logs()}`);
    await site[Symbol.asyncDispose]();
  });
  await note('a vault and a site');

  const mark = `9${process.pid}`;
  t.teardown(async () => {
    for (const line of await processesOf({ mark })) process.kill(Number.parseInt(line, 10), 'SIGKILL');
  });
  const scriptsAtHome = join(folder, 'scripts');
  await mkdir(scriptsAtHome);
  const put = async (where: string, name: string, text: string) => {
    await writeFile(join(where, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(where, name), 0o700);
  };
  const here = join(own.data, 'scripts');
  await put(here, 'prepare', 'echo "$* $LEEWARD_JOB_ID $LEEWARD_FAILOVER_TYPE $LEEWARD_PLAN $LEEWARD_GROUP"');
  await put(here, 'broken', 'echo "no luck" >&2; exit 3');
  // A child that does not want to end, and one in the background.
  const endless = `sleep ${mark} & sh -c 'trap "" TERM; sleep ${mark}; sleep ${mark}' & wait`;
  await put(here, 'endless', endless);
  await put(scriptsAtHome, 'at-home', 'echo "at home: $*"');
  await put(scriptsAtHome, 'endless-at-home', endless);
  const settings = JSON.parse(await readFile(site.settings, 'utf8')) as object;
  await writeFile(site.settings, JSON.stringify({ ...settings, scriptsFolder: scriptsAtHome }));

  const client = await own.sdk();
  const { at } = own;
  const keyFile = join(folder, 'site.VaultCredentials');
  await run(
    process.execPath,
    ['src/bin/leeward.ts', 'vault', 'registration-key', '--fabric', 'home', '--out', keyFile],
    { ...limit, env: { ...own.variables, XDG_CONFIG_HOME: join(folder, 'config') } },
  );
  await site.register(await readFile(keyFile, 'utf8'));
  site.server.start();
  await site.startProcessServer();
  for (const name of ['db', 'web']) await site.startMachine(name, { hostName: name });
  const container = await eventually('the site has a container', 180, async () => {
    for await (const { name } of client.replicationProtectionContainers.listByReplicationFabrics(
      ...at,
      'home',
    ))
      return name!;
    return undefined;
  });
  await note('a site with a process server and two machines');

  const policy = await client.replicationPolicies.beginCreateAndWait(
    ...at,
    'minutes',
    {
      properties: {
        providerSpecificInput: {
          instanceType: 'InMageAzureV2',
          recoveryPointHistory: 60,
          crashConsistentFrequencyInMinutes: 1,
          appConsistentFrequencyInMinutes: 0,
          multiVmSyncStatus: 'Disable',
        },
      },
    },
    quick,
  );
  await client.replicationProtectionContainerMappings.beginCreateAndWait(
    ...at,
    'home',
    container,
    'minutes',
    { properties: { policyId: policy.id!, targetProtectionContainerId: 'Microsoft Azure' } },
    quick,
  );
  const machineIds = await eventually('both machines are protectable', 180, async () => {
    const found = new Map<string, string>();
    for await (const {
      id,
      properties,
    } of client.replicationProtectableItems.listByReplicationProtectionContainers(...at, 'home', container))
      found.set(properties!.friendlyName!, id!);
    return found.has('db') && found.has('web') ? found : undefined;
  });
  const items = ['db', 'web'].map((name) => ['home', container, name] as const);
  const ids = await Promise.all(
    items.map(async (item, index) => {
      const { id } = await client.replicationProtectedItems.beginCreateAndWait(
        ...at,
        ...item,
        {
          properties: {
            policyId: policy.id!,
            protectableItemId: machineIds.get(item[2])!,
            providerSpecificDetails: {
              instanceType: 'InMageAzureV2',
              targetVmSize: 'cpu1-memory1',
              disksToInclude: [{ diskId: disks[index]!.path }],
            },
          },
        },
        quick,
      );
      for (const file of readdirSync(join(site.folder, item[2], 'state/site/items')))
        site.itemIds.push(/[0-9a-f-]{36}/.exec(file)![0]);
      return id!;
    }),
  );
  for (const item of items)
    await eventually(`${item[2]} is protected`, 180, async () => {
      const { properties } = await client.replicationProtectedItems.get(...at, ...item);
      return properties?.protectionState === 'Protected' || undefined;
    });
  await note('both are protected');
  const fabric = await client.replicationFabrics.get(...at, 'home');
  const made = await client.replicationRecoveryPlans.beginCreateAndWait(
    ...at,
    planName,
    {
      properties: {
        primaryFabricId: fabric.id!,
        recoveryFabricId: 'Microsoft Azure',
        failoverDeploymentModel: 'ResourceManager',
        groups: groupsOf(ids[0]!, ids[1]!),
      },
    },
    quick,
  );
  t.is(made.properties?.groups?.length, 4);
  await client.replicationPolicies.beginUpdateAndWait(
    ...at,
    'minutes',
    {
      properties: {
        replicationProviderSettings: {
          instanceType: 'InMageAzureV2',
          crashConsistentFrequencyInMinutes: 2,
          multiVmSyncStatus: 'Disable',
        },
      },
    },
    quick,
  );
  return { own, client, site, at, items, mark, note };
}

// ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────────

async function jobs({ client, at }: World, filter: string): Promise<Job[]> {
  const found: Job[] = [];
  for await (const job of client.replicationJobs.list(...at, { filter })) found.push(job);
  return found;
}

/** The one job of this kind that stands still, whole. */
const suspended = (world: World, scenario: string): Promise<Job> =>
  eventually(`a ${scenario} that is suspended`, 180, async () => {
    const [job] = await jobs(world, `jobStatus eq 'Suspended' and jobName eq '${scenario}'`);
    return job && world.client.replicationJobs.get(...world.at, job.name!);
  });

const taskStates = ({ properties }: Job) =>
  properties!.tasks!.map(({ friendlyName, state }) => [friendlyName, state]);

async function virsh(own: OwnVault, ...args: readonly string[]): Promise<string[]> {
  const { stdout } = await tryRun('virsh', ['-q', '-c', libvirtUri(`/run/${own.siteName}`), ...args], limit);
  return stdout
    .split('\n')
    .flatMap((line) => (line.trim() === '' ? [] : [line.trim()]))
    .toSorted();
}
const machines = (own: OwnVault) => virsh(own, 'list', '--all', '--name');
const networks = (own: OwnVault) => virsh(own, 'net-list', '--all', '--name');
/** Without the job's id. */
const shortName = (name: string) => name.replace(/-[0-9a-f]{8}$/, '');

/** Of the scripts that do not end by themselves. */
async function processesOf({ mark }: Pick<World, 'mark'>): Promise<string[]> {
  const { stdout } = await tryRun('pgrep', ['-f', '-a', `sleep ${mark}`], limit);
  return stdout.split('\n').filter((line) => line !== '');
}

async function nothingLeft(t: ExecutionContext<unknown>, world: World, when: string): Promise<void> {
  const { own, client, at, items } = world;
  t.deepEqual(await machines(own), [], when);
  t.deepEqual(await networks(own), [], when);
  const replica = join(own.data, 'replica');
  const lent = readdirSync(replica, { recursive: true, encoding: 'utf8' }).filter((path) =>
    /\/(loans|lent)\/./.test(path),
  );
  t.deepEqual(lent, [], when);
  for (const item of items)
    t.is(
      (await client.replicationProtectedItems.get(...at, ...item)).properties?.testFailoverState,
      'None',
      when,
    );
  t.deepEqual(await processesOf(world), [], when);
}
