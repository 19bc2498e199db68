/**
 * `leeward protected-item`: enable replication, watch it, rehearse and carry out failovers. The verbs are the reference's
 * operations on `replicationProtectedItems`; each starts a job, which `--wait` follows as a tree.
 */
import type { Command } from 'commander';
import { pause } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import { childId } from '../../protocol/arm/resource-id.ts';
import type { Api, Resource } from '../api.ts';
import { duration, endProgress, printNext, showProgress } from '../output.ts';
import {
  at,
  choose,
  column,
  type NounContext,
  nameColumn,
  noun,
  printList,
  printOne,
  readBody,
  valueAt,
} from './noun.ts';

interface Wait {
  readonly wait?: boolean;
}

/** How often an item that is watched is asked for. */
const watchMilliseconds = 1000;
/** Recovery points shown unless asked for more. */
const pointsShown = 50;

const isRcm = (item: Resource) => valueAt(item, 'providerSpecificDetails.instanceType') === 'InMageRcm';
const rpoOf = (item: Resource) => {
  const seconds =
    valueAt(item, 'providerSpecificDetails.rpoInSeconds') ??
    valueAt(item, 'providerSpecificDetails.lastRpoInSeconds');
  return typeof seconds === 'number' ? seconds : undefined;
};

export function addProtectedItem(program: Command, context: NounContext): void {
  const command = noun(program, 'protected-item', 'machines that are replicated');
  const find = async (api: Api, wish: string) =>
    choose(await api.all('replicationProtectedItems.list'), wish, 'protected item');
  const operation = (
    verb: string,
    description: string,
    operationId: string,
    body: (item: Resource, options: Record<string, never>) => unknown,
    shape: (verb: Command) => Command = (same) => same,
  ) =>
    shape(command.command(verb).description(description).argument('<item>', 'name or id'))
      .option('--wait', 'until the job has ended, showing its tasks')
      .action(async (wish: string, options: Record<string, never> & Wait) => {
        const api = await context.api();
        const item = await find(api, wish);
        const { jobId } = await api.on(item, operationId, body(item, options));
        if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
      });

  command
    .command('list')
    .description('protected items and how they are')
    .option('--filter <text>', "the API's $filter, e.g. instanceType eq 'InMageAzureV2'")
    .action(async (options: { filter?: string }) => {
      const api = await context.api();
      const rows = await api.all('replicationProtectedItems.list', {}, { $filter: options.filter });
      printList(
        context,
        rows,
        [
          nameColumn,
          column('MACHINE', 'friendlyName'),
          column('STATE', 'protectionState'),
          column('HEALTH', 'replicationHealth'),
          {
            heading: 'RPO',
            value: (row) => {
              const seconds = rpoOf(row);
              return seconds === undefined ? '-' : duration(seconds);
            },
          },
          column('ACTIVE', 'activeLocation'),
          column('TEST FAILOVER', 'testFailoverState'),
          column('JOB', 'currentScenario.scenarioName'),
        ],
        'nothing is protected yet',
        rows.length === 0
          ? 'leeward protectable-item list'
          : `leeward recovery-point list --item ${rows[0]!.name}`,
      );
    });

  command
    .command('show')
    .description('one item, with everything it says')
    .argument('<item>', 'name or id')
    .action(async (wish: string) => {
      const item = await find(await context.api(), wish);
      printOne(context, item, `leeward recovery-point list --item ${item.name}`);
    });

  command
    .command('enable')
    .description('enable replication of a protectable item')
    .argument('<machine>', 'name or id of a protectable item')
    .requiredOption('--policy <name>', 'replication policy')
    .option('--name <name>', "of the protected item; default: the machine's")
    .option('--disk <ids...>', 'only these disks; default: all that can be protected')
    .option('--process-server <id>', 'the process server that serves it; default: the least busy one')
    .option('--wait', 'until protection is enabled, showing its tasks')
    .action(
      async (
        wish: string,
        options: { policy: string; name?: string; disk?: string[]; processServer?: string } & Wait,
      ) => {
        const api = await context.api();
        const containers = await api.all('replicationProtectionContainers.list');
        const machines: Resource[] = [];
        for (const container of containers)
          machines.push(
            ...(await api.all(
              'replicationProtectableItems.listByReplicationProtectionContainers',
              api.parametersOf(container, 'replicationProtectionContainers.get'),
            )),
          );
        const machine = choose(machines, wish, 'protectable item');
        const policy = choose(await api.all('replicationPolicies.list'), options.policy, 'policy');
        const name = options.name ?? String(machine.properties?.friendlyName ?? machine.name);
        const { jobId } = await api.call(
          'replicationProtectedItems.create',
          {
            ...api.parametersOf(machine, 'replicationProtectableItems.get'),
            replicatedProtectedItemName: name,
          },
          {
            body: {
              properties: {
                policyId: policy.id,
                protectableItemId: machine.id,
                providerSpecificDetails: {
                  instanceType: 'InMageAzureV2',
                  ...(options.processServer === undefined ? {} : { processServerId: options.processServer }),
                  ...(options.disk === undefined
                    ? {}
                    : { disksToInclude: options.disk.map((diskId) => ({ diskId })) }),
                },
              },
            },
          },
        );
        if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
      },
    );

  command
    .command('watch')
    .description('follow an item until it has a recovery point, with progress')
    .argument('<item>', 'name or id')
    .option('--timeout <seconds>', 'give up after so long', Number, 86_400)
    .action(async (wish: string, options: { timeout: number }) => {
      const api = await context.api();
      const { clock, signal } = context;
      const deadline = clock.monotonic() + options.timeout * 1000;
      for (let item = await find(api, wish); ; item = (await api.plain('GET', item.id!)).body) {
        const points = await api.all(
          'recoveryPoints.listByReplicationProtectedItems',
          api.parametersOf(item, 'recoveryPoints.listByReplicationProtectedItems'),
          {},
          1,
        );
        if (points[0] !== undefined) {
          endProgress();
          const rpo = rpoOf(item);
          console.log(
            `recovery point ${at(points[0], 'recoveryPointTime')} ${at(points[0], 'recoveryPointType')}${rpo === undefined ? '' : ` (RPO ${duration(rpo)})`}`,
          );
          printNext(`leeward protected-item test-failover ${item.name} --wait`);
          return;
        }
        const percent = Number(
          valueAt(item, 'providerSpecificDetails.resyncProgressPercentage') ??
            valueAt(item, 'providerSpecificDetails.initialReplicationProgressPercentage') ??
            Number.NaN,
        );
        showProgress(
          `${item.name}: ${at(item, 'protectionStateDescription')}`,
          Number.isNaN(percent) ? undefined : percent / 100,
        );
        if (signal.aborted) return endProgress();
        if (clock.monotonic() > deadline)
          throw new LeewardError({
            code: 'WatchTimedOut',
            summary: `${item.name} has no recovery point after ${duration(options.timeout)}`,
            possibleCauses:
              'The mobility service or the process server does not run or cannot reach the other side.',
            recommendedAction: 'Look at `leeward event list` and at the services’ logs.',
          });
        await pause(clock, watchMilliseconds, signal);
      }
    });

  command
    .command('update')
    .description('change properties from a file')
    .argument('<item>', 'name or id')
    .requiredOption('--body <file>', 'the request as JSON; - reads standard input')
    .option('--wait', 'until the job has ended')
    .action(async (wish: string, options: { body: string } & Wait) => {
      const api = await context.api();
      const { jobId } = await api.on(
        await find(api, wish),
        'replicationProtectedItems.update',
        await readBody(options.body),
      );
      if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
    });

  const pointOption = (verb: Command) =>
    verb.option('--point <id>', 'id of a recovery point; default: the newest');
  const pointId = (item: Resource, point: string | undefined) =>
    point === undefined
      ? {}
      : { recoveryPointId: point.startsWith('/') ? point : childId(item.id!, 'recoveryPoints', point) };

  operation(
    'test-failover',
    'boot a recovery point in an isolated network; replication goes on',
    'replicationProtectedItems.testFailover',
    (item, options: { point?: string; network?: string }) => ({
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        networkType: options.network === undefined ? 'NoNetworkAttachAsInput' : 'VmNetworkAsInput',
        ...(options.network === undefined ? {} : { networkId: options.network }),
        providerSpecificDetails: {
          instanceType: isRcm(item) ? 'InMageRcm' : 'InMageAzureV2',
          ...pointId(item, options.point),
        },
      },
    }),
    (verb) =>
      pointOption(verb).option('--network <id>', 'attach it to this network; default: one of its own'),
  );
  operation(
    'cleanup',
    'end a test failover and remove everything it made',
    'replicationProtectedItems.testFailoverCleanup',
    (_item, options: { notes?: string }) => ({ properties: { comments: options.notes ?? '' } }),
    (verb) => verb.option('--notes <text>', 'what was seen'),
  );
  operation(
    'failover',
    'the disaster is real: run the machine at the recovery site',
    'replicationProtectedItems.unplannedFailover',
    (item, options: { point?: string; shutDown?: boolean }) => ({
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        sourceSiteOperations: options.shutDown === true ? 'Required' : 'NotRequired',
        providerSpecificDetails: isRcm(item)
          ? {
              instanceType: 'InMageRcm',
              performShutdown: String(options.shutDown === true),
              ...pointId(item, options.point),
            }
          : { instanceType: 'InMageAzureV2', ...pointId(item, options.point) },
      },
    }),
    (verb) =>
      pointOption(verb).option('--shut-down', 'shut the source down first, if it can still be reached'),
  );
  operation(
    'planned-failover',
    'shut the source down, replicate the rest and move: nothing is lost',
    'replicationProtectedItems.plannedFailover',
    (item) => ({
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        providerSpecificDetails: {
          instanceType: valueAt(item, 'providerSpecificDetails.instanceType'),
          recoveryPointType: 'CrashConsistent',
        },
      },
    }),
  );
  operation(
    'commit',
    'keep the failover; its other points go',
    'replicationProtectedItems.failoverCommit',
    () => undefined,
  );
  operation(
    'cancel-failover',
    'undo a failover that is not committed',
    'replicationProtectedItems.failoverCancel',
    () => undefined,
  );
  operation(
    'change-point',
    'before the commit: run another recovery point instead',
    'replicationProtectedItems.applyRecoveryPoint',
    (item, options: { point?: string }) => ({
      properties: {
        ...pointId(item, options.point),
        providerSpecificDetails: { instanceType: isRcm(item) ? 'InMageRcm' : 'InMageAzureV2' },
      },
    }),
    (verb) => verb.requiredOption('--point <id>', 'id of the recovery point'),
  );
  operation(
    'resync',
    'compare all disks with their replica; only what differs is sent',
    'replicationProtectedItems.repairReplication',
    () => undefined,
  );

  for (const [verb, operationId, description] of [
    ['disable', 'replicationProtectedItems.delete', 'end replication; replica and points are deleted'],
    [
      'purge',
      'replicationProtectedItems.purge',
      'forget an item whose site is gone; replica and points are deleted',
    ],
  ] as const)
    command
      .command(verb)
      .description(description)
      .argument('<item>', 'name or id')
      .option('--yes', 'yes, delete')
      .option('--wait', 'until the job has ended')
      .action(async (wish: string, options: { yes?: boolean } & Wait) => {
        const api = await context.api();
        const item = await find(api, wish);
        if (!options.yes)
          throw new LeewardError({
            code: 'NotConfirmed',
            summary: `this deletes every recovery point of ${item.name}`,
            possibleCauses: 'The command was given without --yes.',
            recommendedAction: 'Repeat it with --yes if that is what you want.',
          });
        const { jobId } = await api.on(
          item,
          operationId,
          verb === 'disable'
            ? { properties: { disableProtectionReason: 'NotSpecified', replicationProviderInput: {} } }
            : undefined,
        );
        if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
      });

  const point = noun(program, 'recovery-point', 'moments that a machine can be started from');
  point
    .command('list')
    .description('of one item, newest first')
    .requiredOption('--item <item>', 'name or id')
    .option('--limit <count>', 'how many', Number, pointsShown)
    .action(async (options: { item: string; limit: number }) => {
      const api = await context.api();
      const item = await find(api, options.item);
      const rows = await api.all(
        'recoveryPoints.listByReplicationProtectedItems',
        api.parametersOf(item, 'recoveryPoints.listByReplicationProtectedItems'),
        {},
        options.limit,
      );
      printList(
        context,
        rows,
        [
          column('TAKEN', 'recoveryPointTime'),
          column('TYPE', 'recoveryPointType'),
          { ...nameColumn, heading: 'ID' },
        ],
        'no recovery point yet',
        rows.length === 0
          ? `leeward protected-item watch ${item.name}`
          : `leeward protected-item test-failover ${item.name} --wait`,
      );
    });
}
