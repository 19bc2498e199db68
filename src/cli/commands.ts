/**
 * `leeward <noun> <verb>`: what a person types, over the vault's admin socket only. Every command ends with what to do
 * next; `--output json` gives the same answer to programs. Exit codes: 0 done, 1 an error (text on standard error),
 * 2 `verify` found something.
 */
import { resolve } from 'node:path';
import { Argument, Command, Option } from 'commander';
import { z } from 'zod';
import { type Clock, pause } from '../platform/clock.ts';
import { LeewardError } from '../platform/errors.ts';
import {
  EventView,
  FailoverView,
  ItemView,
  PointView,
  ProcessServerView,
  ResourceName,
  ResyncView,
  VerifyView,
} from '../protocol/control/vault-admin.ts';
import { type AdminClient, adminClient } from './admin-client.ts';
import { Api } from './api.ts';
import { completionScript, type Shell, shells } from './completion.ts';
import { addJob, followJob } from './nouns/job.ts';
import type { NounContext } from './nouns/noun.ts';
import { addPolicy } from './nouns/policy.ts';
import { addProtectedItem } from './nouns/protected-item.ts';
import { addRecoveryPlan } from './nouns/recovery-plan.ts';
import { addSession } from './nouns/session.ts';
import { addSimpleNouns } from './nouns/simple.ts';
import { addApi, addVault } from './nouns/vault.ts';
import {
  bytes,
  duration,
  endProgress,
  type OutputForm,
  print,
  printNext,
  renderTable,
  showProgress,
} from './output.ts';
import { currentSession, type Environment } from './session.ts';

export interface CommandsOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly environment: Environment;
  /** Runs the vault's own main (`init`, `run`) and answers its exit code. */
  readonly runVault: (args: readonly string[]) => Promise<number>;
}

interface Shared {
  readonly data: string;
  readonly output: OutputForm;
}

const defaultDataFolder = '/var/lib/leeward/vault';

export function commands({ clock, signal, environment, runVault }: CommandsOptions): Command {
  const program = new Command('leeward')
    .description('Disaster recovery for VMware VMs and physical servers')
    .showHelpAfterError('(see: leeward --help)')
    .configureHelp({ showGlobalOptions: true })
    .addOption(new Option('--data <folder>', 'the vault’s data folder').default(defaultDataFolder))
    .addOption(new Option('--output <form>', 'how to answer').choices(['table', 'json']).default('table'));
  const shared = () => program.opts<Shared>();
  const vault = (): AdminClient => adminClient(resolve(shared().data));
  const item = (nameOrId: string) => `/items/${encodeURIComponent(nameOrId)}`;
  const fileOfVault = (command: string) => `leeward --data ${shared().data} ${command}`;

  const vaultCommand = program.command('vault').description('the vault itself');
  for (const verb of ['init', 'run'] as const)
    vaultCommand
      .command(verb)
      .description(
        verb === 'init' ? 'make a data folder, authority and database' : 'run the vault in the foreground',
      )
      .allowUnknownOption()
      .allowExcessArguments()
      .helpOption(false)
      .action(async (_options, command: Command) => {
        process.exitCode = await runVault([verb, '--data', resolve(shared().data), ...command.args]);
      });

  let connection: Promise<Api> | undefined;
  const api = () => {
    connection ??= currentSession(environment).then((session) => Api.connect(session, clock, signal));
    return connection;
  };
  const context: NounContext = {
    api,
    output: () => shared().output,
    clock,
    signal,
    follow: async (jobId, { wait }) => {
      if (wait) return followJob(jobId, { api: await api(), clock, signal, output: shared().output });
      print(shared().output, { jobId }, () => `job ${jobId} has begun`, `leeward job watch ${jobId}`);
      return undefined;
    },
  };
  addSession(program, context, environment);
  addVault(program, vaultCommand, context);
  addPolicy(program, context);
  addProtectedItem(program, context);
  addRecoveryPlan(program, context);
  addJob(program, context);
  addSimpleNouns(program, context);
  addApi(program, context);
  program
    .command('completion')
    .description('a completion script for your shell')
    .addArgument(new Argument('<shell>').choices(shells))
    .action((shell: Shell) => console.log(completionScript(program, shell)));

  const processServer = program.command('process-server').description('process servers');
  processServer
    .command('add')
    .description('register a process server; writes its certificate and settings')
    .argument('<name>')
    .requiredOption('--host <host>', 'address that mobility services reach it by')
    .option('--port <port>', 'port', Number, 9443)
    .requiredOption('--out <folder>', 'where to write what it needs')
    .option('--spool-gib <count>', 'how much may wait there while the vault is away', Number, 100)
    .option(
      '--installed-at <folder>',
      'where that folder will be on its machine',
      '/etc/leeward/process-server',
    )
    .action(
      async (
        name: string,
        options: { host: string; port: number; out: string; spoolGib: number; installedAt: string },
      ) => {
        const outFolder = resolve(options.out);
        await vault().call(z.unknown(), 'POST', '/process-servers', {
          name,
          host: options.host,
          port: options.port,
          outFolder,
          spoolBytes: Math.round(options.spoolGib * 2 ** 30),
          installedAt: options.installedAt,
        });
        print(
          shared().output,
          { name, outFolder },
          () => `process server ${name} registered; what it needs is in ${outFolder}`,
          `copy ${outFolder} to ${options.installedAt} on its machine, then: ${fileOfVault('protect …')}`,
        );
      },
    );

  processServer
    .command('list')
    .description('process servers and how many machines they serve')
    .action(async () => {
      const views = await vault().call(z.array(ProcessServerView), 'GET', '/process-servers');
      print(
        shared().output,
        views,
        () =>
          views.length === 0
            ? 'no process server is registered yet'
            : renderTable(
                ['NAME', 'ADDRESS', 'ITEMS', 'SINCE'],
                views.map((view) => [
                  view.name,
                  `${view.host}:${view.port}`,
                  String(view.itemCount),
                  view.createdAt,
                ]),
              ),
        views.length === 0
          ? fileOfVault('process-server add <name> --host <host> --out <folder>')
          : fileOfVault('items'),
      );
    });

  program
    .command('protect')
    .description('enable replication of a machine; writes what its two ends need')
    .argument('<name>', 'of the machine', (value) => ResourceName.parse(value))
    .requiredOption('--disk <paths...>', 'whole disks on the machine, e.g. /dev/vda')
    .requiredOption('--process-server <name>', 'the process server that serves it')
    .requiredOption('--out <folder>', 'where to write the assignments')
    .option('--every <seconds>', 'crash-consistent points', Number, 300)
    .option('--application-every <seconds>', 'application-consistent points; 0: none', Number, 0)
    .option(
      '--mobility-service-at <folder>',
      'settings folder on the machine',
      '/etc/leeward/mobility-service',
    )
    .option(
      '--process-server-at <folder>',
      'settings folder on the process server',
      '/etc/leeward/process-server',
    )
    .action(
      async (
        name: string,
        options: {
          disk: string[];
          processServer: string;
          out: string;
          every: number;
          applicationEvery: number;
          mobilityServiceAt: string;
          processServerAt: string;
        },
      ) => {
        const outFolder = resolve(options.out);
        const view = await vault().call(ItemView, 'POST', '/items', {
          name,
          disks: options.disk.flatMap((list) => list.split(',')),
          processServer: options.processServer,
          outFolder,
          mobilityServiceAt: options.mobilityServiceAt,
          processServerAt: options.processServerAt,
          crashConsistentSeconds: options.every,
          applicationConsistentSeconds: options.applicationEvery,
        });
        print(
          shared().output,
          view,
          () =>
            [
              `${view.name} is registered as ${view.itemId}`,
              `  ${outFolder}/process-server    → ${options.processServerAt} on the process server`,
              `  ${outFolder}/mobility-service  → ${options.mobilityServiceAt} on the machine`,
            ].join('\n'),
          `start the mobility service on the machine, then: ${fileOfVault(`watch ${view.name}`)}`,
        );
      },
    );

  program
    .command('items')
    .description('protected items and how they are')
    .action(async () => {
      const views = await vault().call(z.array(ItemView), 'GET', '/items');
      print(
        shared().output,
        views,
        () =>
          views.length === 0
            ? 'nothing is protected yet'
            : renderTable(
                ['NAME', 'STATE', 'POINTS', 'RPO', 'LATEST POINT', 'SIZE', 'USED'],
                views.map((view) => [
                  view.name,
                  stateOf(view),
                  String(view.pointCount),
                  view.rpoSeconds === undefined ? '-' : duration(view.rpoSeconds),
                  view.latestPoint ? `${view.latestPoint.takenAt} ${view.latestPoint.type}` : '-',
                  bytes(view.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0)),
                  bytes(view.usedBytes),
                ]),
              ),
        views.length === 0
          ? fileOfVault('protect <name> --disk /dev/vda --process-server <name> --out <folder>')
          : fileOfVault(`points ${views[0]!.name}`),
      );
    });

  program
    .command('item')
    .description('one protected item in full')
    .argument('<item>', 'name or id')
    .action(async (name: string) => {
      const view = await vault().call(ItemView, 'GET', item(name));
      print(shared().output, view, () => describe(view), fileOfVault(`points ${view.name}`));
    });

  program
    .command('watch')
    .description('follow an item until it has a recovery point, with progress and ETA')
    .argument('<item>', 'name or id')
    .option('--forever', 'go on after the first point')
    .option('--timeout <seconds>', 'give up after so long', Number, 86_400)
    .action(async (name: string, options: { forever?: boolean; timeout: number }) => {
      const deadline = clock.monotonic() + options.timeout * 1000;
      let lastPoint: string | undefined;
      for (;;) {
        const view = await vault().call(ItemView, 'GET', item(name));
        if (view.latestPoint && view.latestPoint.pointId !== lastPoint) {
          endProgress();
          lastPoint = view.latestPoint.pointId;
          console.log(
            `recovery point ${view.latestPoint.takenAt} ${view.latestPoint.type} (RPO ${duration(view.rpoSeconds ?? 0)})`,
          );
          if (!options.forever) {
            printNext(fileOfVault(`test-failover ${view.name}`));
            return;
          }
        }
        if (view.blocked) {
          endProgress();
          throw new LeewardError(view.blocked as never);
        }
        showProgress(progressOf(view), fractionOf(view));
        if (signal.aborted) return endProgress();
        if (clock.monotonic() > deadline)
          throw new LeewardError({
            code: 'WatchTimedOut',
            summary: `${view.name} has no recovery point after ${duration(options.timeout)}`,
            possibleCauses:
              'The mobility service or the process server does not run or cannot reach the other side.',
            recommendedAction: `Look at \`${fileOfVault(`events --item ${view.name}`)}\` and at the services’ logs.`,
          });
        await pause(clock, 1000, signal);
      }
    });

  program
    .command('points')
    .description('recovery points of an item, newest first')
    .argument('<item>', 'name or id')
    .option('--limit <count>', 'how many', Number, 50)
    .action(async (name: string, options: { limit: number }) => {
      const points = await vault().call(
        z.array(PointView),
        'GET',
        `${item(name)}/points?limit=${options.limit}`,
      );
      print(
        shared().output,
        points,
        () =>
          points.length === 0
            ? 'no recovery point yet'
            : renderTable(
                ['TAKEN', 'TYPE', 'METHOD', 'FROZEN', 'CHANGED', 'ID'],
                points.map((point) => [
                  point.takenAt,
                  point.type,
                  point.method,
                  point.frozenMilliseconds === 0 ? '-' : `${Math.round(point.frozenMilliseconds)} ms`,
                  bytes(point.changedBytes),
                  point.pointId + (point.lockedUntil ? ` locked until ${point.lockedUntil}` : ''),
                ]),
              ),
        points.length === 0 ? fileOfVault(`watch ${name}`) : fileOfVault(`test-failover ${name}`),
      );
    });

  program
    .command('events')
    .description('what happened, newest first')
    .option('--item <item>', 'name or id')
    .option('--limit <count>', 'how many', Number, 20)
    .action(async (options: { item?: string; limit: number }) => {
      const query = new URLSearchParams({ limit: String(options.limit) });
      if (options.item !== undefined) query.set('item', options.item);
      const events = await vault().call(z.array(EventView), 'GET', `/events?${query}`);
      print(shared().output, events, () =>
        events.length === 0
          ? 'nothing has happened'
          : events
              .map(
                ({ event }) =>
                  `${event.raisedAt} ${event.severity} ${event.code}: ${event.summary}\n    causes: ${event.possibleCauses}\n    do: ${event.recommendedAction}`,
              )
              .join('\n'),
      );
    });

  program
    .command('resync')
    .description('have all disks of an item compared with their replica; only what differs is sent')
    .argument('<item>', 'name or id')
    .action(async (name: string) => {
      const view = await vault().call(ResyncView, 'POST', `${item(name)}/resync`, {});
      print(
        shared().output,
        view,
        () =>
          view.isNew
            ? `${view.name} is compared as soon as its process server sees the request and the machine is connected`
            : `a resync of ${view.name} was ordered before; it begins when the machine is connected`,
        fileOfVault(`item ${view.name}`),
      );
    });

  program
    .command('verify')
    .description('read everything back and check chains and digests')
    .argument('[item]', 'name or id; default: all')
    .action(async (name: string | undefined) => {
      const path = name === undefined ? '/verify' : `${item(name)}/verify`;
      const views = await vault().call(z.array(VerifyView), 'POST', path, {}, showProgress);
      endProgress();
      const findings = views.flatMap((view) => view.findings);
      print(
        shared().output,
        views,
        () =>
          [
            ...views.map(
              (view) =>
                `${view.itemId}: ${view.manifestCount} manifests, ${view.pointCount} points, ${bytes(view.checkedBytes)} read back: ${view.findings.length === 0 ? 'as recorded' : `${view.findings.length} findings`}`,
            ),
            ...findings.map((finding) => `  ${finding}`),
          ].join('\n'),
        findings.length === 0
          ? undefined
          : `use an older point that is not named above, and: ${fileOfVault('resync <item>')}`,
      );
      if (findings.length > 0) process.exitCode = 2;
    });

  program
    .command('test-failover')
    .description('boot a recovery point in an isolated network')
    .argument('<item>', 'name or id')
    .option('--point <point>', 'a point’s id, latest or latestApplicationConsistent', 'latest')
    .option('--wait-for-console <text>', 'ready when the console shows this')
    .option('--wait-for-port <port>', 'ready when this port answers', Number)
    .option('--timeout <seconds>', 'for the machine to answer', Number, 300)
    .option('--cpus <count>', 'processors', Number, 2)
    .option('--memory <mebibytes>', 'memory', Number, 1024)
    .addOption(new Option('--firmware <kind>', 'of the machine').choices(['bios', 'efi']).default('bios'))
    .option('--kernel <path>', 'boot this kernel instead of the disk’s own loader')
    .option('--initrd <path>', 'with --kernel')
    .option('--command-line <text>', 'with --kernel', '')
    .action(
      async (
        name: string,
        options: {
          point: string;
          waitForConsole?: string;
          waitForPort?: number;
          timeout: number;
          cpus: number;
          memory: number;
          firmware: 'bios' | 'efi';
          kernel?: string;
          initrd?: string;
          commandLine: string;
        },
      ) => {
        const check =
          options.waitForPort !== undefined
            ? { type: 'port', port: options.waitForPort }
            : options.waitForConsole !== undefined
              ? { type: 'console', text: options.waitForConsole }
              : { type: 'power' };
        const view = await vault().call(
          FailoverView,
          'POST',
          `${item(name)}/test-failover`,
          {
            point: options.point,
            check,
            timeoutSeconds: options.timeout,
            cpuCount: options.cpus,
            memoryMebibytes: options.memory,
            firmware: options.firmware,
            ...(options.kernel === undefined || options.initrd === undefined
              ? {}
              : {
                  directBoot: {
                    kernel: resolve(options.kernel),
                    initrd: resolve(options.initrd),
                    commandLine: options.commandLine,
                  },
                }),
          },
          showProgress,
        );
        endProgress();
        print(
          shared().output,
          view,
          () => failoverText(view),
          fileOfVault(`cleanup ${view.failoverId} --notes "what you saw"`),
        );
      },
    );

  program
    .command('failovers')
    .description('test failovers that are there')
    .action(async () => {
      const views = await vault().call(z.array(FailoverView), 'GET', '/failovers');
      print(shared().output, views, () =>
        views.length === 0 ? 'none' : views.map(failoverText).join('\n\n'),
      );
    });

  program
    .command('cleanup')
    .description('end a test failover and remove everything it made')
    .argument('<failover>', 'its id')
    .option('--notes <text>', 'what was seen', '')
    .action(async (failoverId: string, options: { notes: string }) => {
      await vault().call(
        z.unknown(),
        'POST',
        `/failovers/${encodeURIComponent(failoverId)}/cleanup`,
        { notes: options.notes },
        showProgress,
      );
      endProgress();
      print(
        shared().output,
        { failoverId },
        () => `test failover ${failoverId} is cleaned up; nothing of it is left`,
      );
    });

  program
    .command('unprotect')
    .description('end replication of an item and delete its replica and all its points')
    .argument('<item>', 'name or id')
    .option('--yes', 'yes, delete')
    .action(async (name: string, options: { yes?: boolean }) => {
      if (!options.yes)
        throw new LeewardError({
          code: 'NotConfirmed',
          summary: `this deletes every recovery point of ${name}`,
          possibleCauses: 'The command was given without --yes.',
          recommendedAction: 'Repeat it with --yes if that is what you want.',
        });
      await vault().call(z.unknown(), 'DELETE', item(name));
      print(
        shared().output,
        { name },
        () => `${name} is no longer protected; its replica and points are deleted`,
        'uninstall the mobility service on the machine',
      );
    });

  return program;
}

function stateOf(view: ItemView): string {
  if (view.blocked) return `stopped: ${view.blocked.code}`;
  const untrusted = view.disks.filter(({ state }) => state !== 'in-sync');
  if (untrusted.length === 0) return 'in sync';
  const first = untrusted[0]!;
  return first.state === 'empty'
    ? 'waiting for the machine'
    : `${first.state} (${first.cause ?? 'unknown cause'})`;
}

function fractionOf(view: ItemView): number | undefined {
  if (view.progress.length === 0) return undefined;
  const total = view.progress.reduce((sum, { totalBytes }) => sum + totalBytes, 0);
  return total === 0 ? undefined : view.progress.reduce((sum, { doneBytes }) => sum + doneBytes, 0) / total;
}

function progressOf(view: ItemView): string {
  const eta = Math.max(0, ...view.progress.map(({ etaSeconds }) => etaSeconds ?? 0));
  const sent = view.progress.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  return view.progress.length === 0
    ? `${view.name}: ${stateOf(view)}`
    : `${view.name}: ${stateOf(view)}, ${bytes(sent)} sent${eta > 0 ? `, about ${duration(eta)} to go` : ''},`;
}

function describe(view: ItemView): string {
  return [
    `${view.name} (${view.itemId})`,
    `  state           ${stateOf(view)}`,
    `  process server  ${view.processServer}`,
    `  points          ${view.pointCount}${view.latestPoint ? `, newest ${view.latestPoint.takenAt} ${view.latestPoint.type}` : ''}`,
    `  RPO             ${view.rpoSeconds === undefined ? 'no point yet' : duration(view.rpoSeconds)}`,
    ...view.disks.map(
      (disk) =>
        `  disk ${disk.path}  ${bytes(disk.sizeBytes)}  ${disk.state}${disk.cause ? ` (${disk.cause})` : ''}`,
    ),
    ...view.progress.map(
      (progress) =>
        `  ${progress.kind} because of ${progress.cause}: ${bytes(progress.doneBytes)} of ${bytes(progress.totalBytes)} compared, ${bytes(progress.sentBytes)} sent`,
    ),
    ...(view.blocked
      ? [`  stopped: ${view.blocked.summary}`, `  do: ${view.blocked.recommendedAction}`]
      : []),
  ].join('\n');
}

function failoverText(view: FailoverView): string {
  return [
    `test failover ${view.failoverId}: ${view.state}`,
    `  machine       ${view.machineName}${view.address ? ` at ${view.address}` : ''}`,
    `  point         ${view.pointId}`,
    ...(view.powerOnSeconds === undefined ? [] : [`  powered on    after ${duration(view.powerOnSeconds)}`]),
    ...(view.readySeconds === undefined ? [] : [`  answered      after ${duration(view.readySeconds)}`]),
    ...(view.accelerator === undefined ? [] : [`  accelerator   ${view.accelerator}`]),
    ...(view.screenshot === undefined ? [] : [`  screenshot    ${view.screenshot}`]),
    ...(view.notes ? [`  notes         ${view.notes}`] : []),
  ].join('\n');
}
