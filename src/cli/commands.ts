/**
 * `leeward <noun> <verb>`: what a person types, over the vault's API only (`vault init` and `vault run`, on the vault's own
 * machine, become its main). Every command ends with what to do next; `--output json` gives the same answer to programs. Exit
 * codes: 0 done, 1 an error (text on standard error), 2 `protected-item verify` found damage, 3 to 5 as the job that was
 * waited for ended (`nouns/job.ts`).
 */
import { resolve } from 'node:path';
import { Argument, Command, Option } from 'commander';
import type { Clock } from '../platform/clock.ts';
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
import { type OutputForm, print } from './output.ts';
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

const exitCodeHelp = `
Exit codes:
  0  done                          3  the job that was waited for failed
  1  an error, on standard error   4  it was cancelled
  2  verify found damage           5  it waits for somebody
`;

const defaultDataFolder = '/var/lib/leeward/vault';

export function commands({ clock, signal, environment, runVault }: CommandsOptions): Command {
  const program = new Command('leeward')
    .description('Disaster recovery for VMware VMs and physical servers')
    .showHelpAfterError('(see: leeward --help)')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', exitCodeHelp)
    .addOption(
      new Option('--data <folder>', 'of vault init and run: its data folder').default(defaultDataFolder),
    )
    .addOption(new Option('--output <form>', 'how to answer').choices(['table', 'json']).default('table'));
  const shared = () => program.opts<Shared>();

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
  return program;
}
