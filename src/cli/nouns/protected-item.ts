/**
 * `leeward protected-item`: enable replication, watch it, rehearse and carry out failovers. The verbs are the reference's
 * operations on `replicationProtectedItems`; each starts a job, which `--wait` follows as a tree.
 */
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { pause } from '../../platform/clock.ts';
import { LeewardError } from '../../platform/errors.ts';
import { childId } from '../../protocol/arm/resource-id.ts';
import type { Api, Resource } from '../api.ts';
import { bytes, duration, endProgress, print, showProgress } from '../output.ts';
import { Comparisons, detailsOf, progressOf, replicationText } from '../replication-view.ts';
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
  whole,
} from './noun.ts';

interface Wait {
  readonly wait?: boolean;
}

/** Of a `verify` that read everything and found damage; what the job's error is called. */
const damagedExitCode = 2;
const damagedCode = 'ReplicaDamaged';
/** How often an item that is watched is asked for. */
const watchMilliseconds = 1000;
/** Recovery points shown unless asked for more. */
const pointsShown = 50;

/** Of the machine that a failover makes; what is left out comes from the source. */
interface MachineOptions {
  readonly waitForConsole?: string;
  readonly waitForPort?: number;
  readonly timeout?: number;
  readonly cpus?: number;
  readonly memory?: number;
  readonly firmware?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly commandLine?: string;
  readonly allowMissingDisks?: boolean;
}

const machineOptions = (verb: Command) =>
  verb
    .option('--wait-for-console <text>', 'it counts as running when its console shows this')
    .option(
      '--wait-for-port <port>',
      '… when this port answers; default: when its power is on',
      whole(1, 65_535),
    )
    .option('--timeout <seconds>', 'for the machine to answer', whole(1))
    .option('--cpus <count>', 'processors; default: as many as the source has', whole(1))
    .option('--memory <mebibytes>', "memory; default: the source's", whole(64))
    .addOption(new Option('--firmware <kind>', "default: the source's").choices(['bios', 'efi']))
    .option('--kernel <path>', "on the vault: boot this kernel instead of the disk's own loader")
    .option('--initrd <path>', 'with --kernel')
    .option('--command-line <text>', 'with --kernel');

/** The API's `leeward` of a failover; nothing, where nothing was wished. */
function machineWish(options: MachineOptions): { leeward?: unknown } {
  const { waitForConsole, waitForPort, kernel, initrd, commandLine = '' } = options;
  const machine = {
    ...(options.cpus === undefined ? {} : { cpuCount: options.cpus }),
    ...(options.memory === undefined ? {} : { memoryMebibytes: options.memory }),
    ...(options.firmware === undefined ? {} : { firmware: options.firmware }),
    ...(kernel === undefined || initrd === undefined ? {} : { directBoot: { kernel, initrd, commandLine } }),
  };
  const wish = {
    ...(Object.keys(machine).length === 0 ? {} : { machine }),
    ...(waitForPort !== undefined
      ? { check: { type: 'port', port: waitForPort } }
      : waitForConsole !== undefined
        ? { check: { type: 'console', text: waitForConsole } }
        : {}),
    ...(options.timeout === undefined ? {} : { timeoutSeconds: options.timeout }),
    ...(options.allowMissingDisks === true ? { allowMissingDisks: true } : {}),
  };
  return Object.keys(wish).length === 0 ? {} : { leeward: wish };
}

/** `/dev/sdb (gone)` of each disk that a point does not have. */
export const lacksText = (row: Resource): string => {
  const missing = valueAt(row, 'missingDisks');
  return Array.isArray(missing)
    ? missing
        .map(({ path, diskId, cause }: Record<string, unknown>) => `${path || diskId} (${cause})`)
        .join(', ')
    : '-';
};

/** The worse of replication's and failover's: neither is of use without the other. */
export const healthText = (item: Resource): string => {
  const said = ['replicationHealth', 'failoverHealth'].map((name) => valueAt(item, name));
  return ['Critical', 'Warning'].find((level) => said.includes(level)) ?? at(item, 'replicationHealth');
};

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
          { heading: 'HEALTH', value: healthText },
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
      printOne(context, item, `leeward protected-item replication ${item.name}`);
    });

  command
    .command('replication')
    .description('how the replication of an item is: disks, comparisons, points, space')
    .argument('<item>', 'name or id')
    .action(async (wish: string) => {
      const api = await context.api();
      const item = await find(api, wish);
      const body = await detailsOf(api, item);
      print(
        context.output(),
        body,
        () => replicationText(item.name!, body.properties),
        `leeward recovery-point list --item ${item.name}`,
      );
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
    .option('--timeout <seconds>', 'give up after so long', whole(1), 86_400)
    .action(async (wish: string, options: { timeout: number }) => {
      const api = await context.api();
      const { clock, signal } = context;
      const deadline = clock.monotonic() + options.timeout * 1000;
      const comparisons = new Comparisons();
      for (let item = await find(api, wish); ; item = (await api.plain('GET', item.id!)).body) {
        const [point] = await api.all(
          'recoveryPoints.listByReplicationProtectedItems',
          api.parametersOf(item, 'recoveryPoints.listByReplicationProtectedItems'),
          {},
          1,
        );
        const { properties: details } = await detailsOf(api, item);
        const figures = comparisons.update(details);
        if (point !== undefined) {
          endProgress();
          const { rpoSeconds } = details;
          const rpo = rpoSeconds === undefined ? '' : ` (RPO ${duration(rpoSeconds)})`;
          const sent =
            figures === undefined
              ? ''
              : `\n${bytes(figures.totalBytes)} compared, ${bytes(figures.sentBytes)} of it sent`;
          print(
            context.output(),
            { recoveryPoint: point, rpoSeconds, ...figures },
            () =>
              `recovery point ${at(point, 'recoveryPointTime')} ${at(point, 'recoveryPointType')}${rpo}${sent}`,
            `leeward protected-item test-failover ${item.name} --wait`,
          );
          return;
        }
        if (details.blocked) {
          endProgress();
          const { code, summary, possibleCauses, recommendedAction } = details.blocked;
          throw new LeewardError({ code, summary, possibleCauses, recommendedAction });
        }
        showProgress(...progressOf(item.name!, details, figures));
        if (signal.aborted) {
          endProgress();
          process.exitCode = 130;
          return;
        }
        if (clock.monotonic() > deadline)
          throw new LeewardError({
            code: 'WatchTimedOut',
            summary: `${item.name} has no recovery point after ${duration(options.timeout)}`,
            possibleCauses:
              'The mobility service or the process server does not run or cannot reach the other side.',
            recommendedAction: `Look at \`leeward event list --item ${item.name}\` and at the services’ logs.`,
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
    verb
      .option('--point <id>', 'id of a recovery point; default: the newest that has every disk')
      .option(
        '--allow-missing-disks',
        'take the newest also when it lacks disks: the machine starts without these',
      );
  const pointId = (item: Resource, point: string | undefined) =>
    point === undefined
      ? {}
      : { recoveryPointId: point.startsWith('/') ? point : childId(item.id!, 'recoveryPoints', point) };

  operation(
    'test-failover',
    'boot a recovery point in an isolated network; replication goes on',
    'replicationProtectedItems.testFailover',
    (item, options: MachineOptions & { point?: string; network?: string }) => ({
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        networkType: options.network === undefined ? 'NoNetworkAttachAsInput' : 'VmNetworkAsInput',
        ...(options.network === undefined ? {} : { networkId: options.network }),
        providerSpecificDetails: {
          instanceType: isRcm(item) ? 'InMageRcm' : 'InMageAzureV2',
          ...pointId(item, options.point),
          ...machineWish(options),
        },
      },
    }),
    (verb) =>
      machineOptions(pointOption(verb)).option(
        '--network <id>',
        'attach it to this network; default: one of its own',
      ),
  );
  command
    .command('rehearsals')
    .description('the rehearsals of an item, newest first, with what they measured and their proof')
    .argument('<item>', 'name or id')
    .action(async (wish: string) => {
      const api = await context.api();
      const item = await find(api, wish);
      const rows = await api.all('testFailovers.list', api.parametersOf(item, 'testFailovers.list'));
      const seconds = (path: string) => (row: Resource) => {
        const value = valueAt(row, path);
        return typeof value === 'number' ? duration(value) : '-';
      };
      printList(
        context,
        rows,
        [
          column('STARTED', 'startedAt'),
          column('STATE', 'state'),
          column('POINT', 'pointTakenAt'),
          { heading: 'POWER-ON', value: seconds('powerOnSeconds') },
          { heading: 'ANSWERED', value: seconds('readySeconds') },
          column('BY', 'accelerator'),
          column('MACHINE', 'machineName'),
          column('ADDRESS', 'address'),
          {
            heading: 'SCREEN',
            value: (row) => (valueAt(row, 'screenshot') === undefined ? '-' : 'kept'),
          },
          column('NOTES', 'notes'),
        ],
        'it was never rehearsed',
        rows.some((row) => at(row, 'state') === 'running')
          ? `leeward protected-item cleanup ${item.name} --notes 'what you saw' --wait`
          : `leeward protected-item test-failover ${item.name} --wait`,
      );
    });
  command
    .command('screenshot')
    .description('the screen of a rehearsal’s machine when it had answered, as PNG')
    .argument('<item>', 'name or id')
    .requiredOption('--out <file>', 'where to write it')
    .option('--rehearsal <id>', 'of which one; default: the newest that has one')
    .action(async (wish: string, options: { out: string; rehearsal?: string }) => {
      const api = await context.api();
      const item = await find(api, wish);
      const rows = await api.all('testFailovers.list', api.parametersOf(item, 'testFailovers.list'));
      const shown = rows.filter((row) => valueAt(row, 'screenshot') !== undefined);
      const rehearsal =
        options.rehearsal === undefined ? shown[0] : choose(shown, options.rehearsal, 'rehearsal');
      if (rehearsal === undefined)
        throw new LeewardError({
          code: 'NoScreenshot',
          summary: `no rehearsal of ${item.name} has shown its screen`,
          possibleCauses: 'It was never rehearsed, or its machine has not answered yet.',
          recommendedAction: `Run \`leeward protected-item rehearsals ${item.name}\` to see how they are.`,
        });
      const { body } = await api.on(rehearsal, 'testFailovers.getScreenshot');
      const content = Buffer.from(String(valueAt(body, 'content')), 'base64');
      await writeFile(options.out, content).catch((cause: unknown) => {
        throw new LeewardError({
          code: 'FileNotWritten',
          summary: `the screen could not be written to ${options.out}`,
          possibleCauses: 'Its folder is not there, or it is not yours to write.',
          recommendedAction: 'Name another file.',
          cause,
        });
      });
      print(
        context.output(),
        { rehearsal: rehearsal.name, file: options.out, bytes: content.byteLength },
        () => `the screen of the rehearsal of ${at(rehearsal, 'startedAt')} is in ${options.out}`,
      );
    });
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
    (item, options: MachineOptions & { point?: string; shutDown?: boolean }) => ({
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        sourceSiteOperations: options.shutDown === true ? 'Required' : 'NotRequired',
        providerSpecificDetails: isRcm(item)
          ? {
              instanceType: 'InMageRcm',
              performShutdown: String(options.shutDown === true),
              ...pointId(item, options.point),
              ...machineWish(options),
            }
          : { instanceType: 'InMageAzureV2', ...pointId(item, options.point), ...machineWish(options) },
      },
    }),
    (verb) =>
      machineOptions(pointOption(verb)).option(
        '--shut-down',
        'shut the source down first, if it can still be reached',
      ),
  );
  operation(
    'planned-failover',
    'stop all that writes on the source, replicate the rest, switch it off and move; asks when nobody knows whether it is off',
    'replicationProtectedItems.plannedFailover',
    (item, options: MachineOptions) => ({
      properties: {
        failoverDirection: 'PrimaryToRecovery',
        providerSpecificDetails: {
          instanceType: valueAt(item, 'providerSpecificDetails.instanceType'),
          recoveryPointType: 'CrashConsistent',
          ...machineWish(options),
        },
      },
    }),
    machineOptions,
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
    'compare disks with their replica; only what differs is sent',
    'replicationProtectedItems.repairReplication',
    (_item, options: { disk?: string[] }) =>
      options.disk === undefined ? undefined : { properties: { disks: options.disk } },
    (verb) => verb.option('--disk <disks...>', 'only these, by path or id; default: all'),
  );
  command
    .command('verify')
    .description(
      'read everything back and check chains and digests; with --wait the exit code is 2 when something is damaged',
    )
    .argument('[item]', 'name or id; default: all')
    .option('--wait', 'until all is read, showing how far it is')
    .action(async (wish: string | undefined, options: Wait) => {
      const api = await context.api();
      const items =
        wish === undefined ? await api.all('replicationProtectedItems.list') : [await find(api, wish)];
      let worst = 0;
      for (const item of items) {
        const { jobId } = await api.on(item, 'replicationProtectedItems.verify');
        const job =
          jobId === undefined ? undefined : await context.follow(jobId, { wait: options.wait === true });
        const codes = (job?.properties.errors ?? []).map((error) => error.serviceErrorDetails?.code);
        if (codes.includes(damagedCode)) process.exitCode = damagedExitCode;
        // One that could not be read to its end says more than one that is damaged: nobody knows.
        const code = Number(process.exitCode ?? 0);
        if (code !== 0 && (worst === 0 || worst === damagedExitCode)) worst = code;
      }
      process.exitCode = worst;
    });

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

  command
    .command('history')
    .description('RPO and churn over time')
    .argument('<item>', 'name or id')
    .option(
      '--hours <count>',
      'how far back; rows are of five minutes for a day, then of an hour',
      Number,
      24,
    )
    .action(async (wish: string, options: { hours: number }) => {
      const api = await context.api();
      const item = await find(api, wish);
      const from = context.clock.now() - options.hours * 3600_000;
      const rows = await api.all(
        'replicationHistory.list',
        api.parametersOf(item, 'replicationHistory.list'),
        {
          startTime: new Date(from).toISOString(),
        },
      );
      printList(
        context,
        rows,
        [
          column('FROM', 'startTime'),
          { heading: 'FOR', value: (row) => duration(Number(valueAt(row, 'seconds'))) },
          {
            heading: 'RPO',
            value: (row) => {
              const seconds = valueAt(row, 'rpoSeconds');
              return typeof seconds === 'number' ? duration(seconds) : '-';
            },
          },
          { heading: 'CHANGED', value: (row) => bytes(Number(valueAt(row, 'changedBytes') ?? 0)) },
          column('POINTS', 'points'),
        ],
        'nothing is known of that time',
        `leeward protected-item show ${item.name}`,
      );
    });

  const point = noun(program, 'recovery-point', 'moments that a machine can be started from');
  point
    .command('list')
    .description('of one item, newest first')
    .requiredOption('--item <item>', 'name or id')
    .option('--limit <count>', 'how many', whole(1), pointsShown)
    .action(async (options: { item: string; limit: number }) => {
      const api = await context.api();
      const item = await find(api, options.item);
      const rows = await api.all(
        'recoveryPointDetails.list',
        api.parametersOf(item, 'recoveryPointDetails.list'),
        {},
        options.limit,
      );
      printList(
        context,
        rows,
        [
          column('TAKEN', 'takenAt'),
          column('TYPE', 'type'),
          column('METHOD', 'method'),
          {
            heading: 'FROZEN',
            value: (row) => {
              const frozen = Number(valueAt(row, 'frozenMilliseconds') ?? 0);
              return frozen === 0 ? '-' : `${Math.round(frozen)} ms`;
            },
          },
          {
            heading: 'HELD',
            value: (row) => {
              const held = Number(valueAt(row, 'heldMilliseconds') ?? 0);
              return held === 0 ? '-' : `${Math.round(held)} ms`;
            },
          },
          { heading: 'CHANGED', value: (row) => bytes(Number(valueAt(row, 'changedBytes') ?? 0)) },
          column('LOCKED UNTIL', 'lockedUntil'),
          { heading: 'LACKS', value: lacksText },
          { ...nameColumn, heading: 'ID' },
        ],
        'no recovery point yet',
        rows.length === 0
          ? `leeward protected-item watch ${item.name}`
          : `leeward protected-item test-failover ${item.name} --wait`,
      );
    });
}
