/** `leeward policy`: how often points are taken, how long they stay, and from which RPO on somebody is told. */
import type { Command } from 'commander';
import { choose, column, type NounContext, nameColumn, noun, printList, printOne } from './noun.ts';

interface PolicyOptions {
  readonly rpoThreshold: number;
  readonly retention: number;
  readonly crashConsistent: number;
  readonly applicationConsistent: number;
  readonly crashConsistentSeconds?: number;
  readonly applicationConsistentSeconds?: number;
  readonly wait?: boolean;
}

export function addPolicy(program: Command, context: NounContext): void {
  const command = noun(program, 'policy', 'how often points are taken and how long they stay');
  command
    .command('list')
    .description('all replication policies of the vault')
    .action(async () => {
      const rows = await (await context.api()).all('replicationPolicies.list');
      printList(
        context,
        rows,
        [
          nameColumn,
          column('KIND', 'providerSpecificDetails.instanceType'),
          column('CRASH-CONSISTENT MIN', 'providerSpecificDetails.crashConsistentFrequencyInMinutes'),
          column('APPLICATION-CONSISTENT MIN', 'providerSpecificDetails.appConsistentFrequencyInMinutes'),
          column('HISTORY MIN', 'providerSpecificDetails.recoveryPointHistory'),
          column('RPO THRESHOLD MIN', 'providerSpecificDetails.recoveryPointThresholdInMinutes'),
        ],
        'no policy yet',
        rows.length === 0 ? 'leeward policy create <name>' : undefined,
      );
    });
  command
    .command('show')
    .description('one policy')
    .argument('<policy>', 'name or id')
    .action(async (wish: string) =>
      printOne(
        context,
        choose(await (await context.api()).all('replicationPolicies.list'), wish, 'policy'),
        'leeward protected-item enable <machine> --policy <name>',
      ),
    );
  for (const verb of ['create', 'update'] as const)
    command
      .command(verb)
      .description(`${verb} a policy`)
      .argument('<policy>', 'its name')
      .option('--rpo-threshold <minutes>', 'from which RPO on an event is raised', Number, 15)
      .option('--retention <minutes>', 'how long points are kept, up to 15 days', Number, 1440)
      .option('--crash-consistent <minutes>', 'how often', Number, 5)
      .option('--application-consistent <minutes>', 'how often; 0: never', Number, 60)
      .option('--crash-consistent-seconds <seconds>', 'instead: more often than once a minute', Number)
      .option(
        '--application-consistent-seconds <seconds>',
        'instead: more often than the reference does',
        Number,
      )
      .option('--wait', 'until the job has ended')
      .action(async (name: string, options: PolicyOptions) => {
        const api = await context.api();
        const { crashConsistentSeconds, applicationConsistentSeconds } = options;
        const settings = {
          instanceType: 'InMageAzureV2',
          recoveryPointThresholdInMinutes: options.rpoThreshold,
          recoveryPointHistory: options.retention,
          crashConsistentFrequencyInMinutes: options.crashConsistent,
          appConsistentFrequencyInMinutes: options.applicationConsistent,
          multiVmSyncStatus: 'Enable',
          ...(crashConsistentSeconds === undefined && applicationConsistentSeconds === undefined
            ? {}
            : { leeward: { crashConsistentSeconds, applicationConsistentSeconds } }),
        };
        const { jobId } = await api.put(`replicationPolicies.${verb}`, name, {
          properties:
            verb === 'create'
              ? { providerSpecificInput: settings }
              : { replicationProviderSettings: settings },
        });
        if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
      });
  command
    .command('delete')
    .description('delete a policy that nothing uses')
    .argument('<policy>', 'name or id')
    .option('--wait', 'until the job has ended')
    .action(async (wish: string, options: { wait?: boolean }) => {
      const api = await context.api();
      const policy = choose(await api.all('replicationPolicies.list'), wish, 'policy');
      const { jobId } = await api.on(policy, 'replicationPolicies.delete');
      if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
    });
}
