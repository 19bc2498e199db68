/** `leeward policy`: how often points are taken, how long they stay, and from which RPO on somebody is told. */
import type { Command } from 'commander';
import { choose, column, type NounContext, nameColumn, noun, printList, printOne, whole } from './noun.ts';

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
  command
    .command('create')
    .description('make a policy; what is not said is as shown here')
    .argument('<policy>', 'its name')
    .option('--rpo-threshold <minutes>', 'from which RPO on an event is raised', whole(1), 15)
    .option('--retention <minutes>', 'how long points are kept, up to 15 days', whole(0), 1440)
    .option('--crash-consistent <minutes>', 'how often', whole(1), 5)
    .option('--application-consistent <minutes>', 'how often; 0: never', whole(0), 60)
    .option('--crash-consistent-seconds <seconds>', 'instead: more often than once a minute', whole(1))
    .option(
      '--application-consistent-seconds <seconds>',
      'instead: more often than the reference does; 0: never',
      whole(0),
    )
    .option('--wait', 'until the job has ended')
    .action(async (name: string, options: PolicyOptions) => {
      const api = await context.api();
      const { jobId } = await api.put('replicationPolicies.create', name, {
        properties: {
          providerSpecificInput: {
            instanceType: 'InMageAzureV2',
            multiVmSyncStatus: 'Enable',
            ...settingsOf('InMageAzureV2', options),
          },
        },
      });
      if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
    });
  command
    .command('update')
    .description('change a policy; what is not said stays as it is')
    .argument('<policy>', 'name or id')
    .option('--rpo-threshold <minutes>', 'from which RPO on an event is raised', whole(1))
    .option('--retention <minutes>', 'how long points are kept, up to 15 days', whole(0))
    .option('--crash-consistent <minutes>', 'how often', whole(1))
    .option('--application-consistent <minutes>', 'how often; 0: never', whole(0))
    .option('--crash-consistent-seconds <seconds>', 'instead: more often than once a minute', whole(1))
    .option(
      '--application-consistent-seconds <seconds>',
      'instead: more often than the reference does; 0: never',
      whole(0),
    )
    .option('--wait', 'until the job has ended')
    .action(async (wish: string, options: Partial<PolicyOptions>) => {
      const api = await context.api();
      const policy = choose(await api.all('replicationPolicies.list'), wish, 'policy');
      // The kind says what its fields are called.
      const { instanceType, ...before } = (policy.properties?.providerSpecificDetails ?? {}) as Record<
        string,
        unknown
      >;
      const kind = String(instanceType);
      const { jobId } = await api.on(policy, 'replicationPolicies.update', {
        properties: {
          replicationProviderSettings: {
            instanceType: kind,
            // A model of the reference names it as required; it answers `Enabled` to `Enable`.
            ...(typeof before.multiVmSyncStatus === 'string'
              ? { multiVmSyncStatus: before.multiVmSyncStatus.replace(/d$/, '') }
              : {}),
            ...settingsOf(kind, options),
          },
        },
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

/** Under the names that the kind of policy has for them. */
function settingsOf(kind: string, options: Partial<PolicyOptions>): Record<string, unknown> {
  const { crashConsistentSeconds, applicationConsistentSeconds } = options;
  return {
    recoveryPointThresholdInMinutes: options.rpoThreshold,
    [kind === 'InMageRcm' ? 'recoveryPointHistoryInMinutes' : 'recoveryPointHistory']: options.retention,
    crashConsistentFrequencyInMinutes: options.crashConsistent,
    appConsistentFrequencyInMinutes: options.applicationConsistent,
    ...(crashConsistentSeconds === undefined && applicationConsistentSeconds === undefined
      ? {}
      : { leeward: { crashConsistentSeconds, applicationConsistentSeconds } }),
  };
}
