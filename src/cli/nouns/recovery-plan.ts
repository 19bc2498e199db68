/**
 * `leeward recovery-plan`: many machines, in order. Groups and actions are written as JSON, because that is what they are;
 * `show --output json` gives the form to begin with.
 */
import { type Command, Option } from 'commander';
import type { Api, Resource } from '../api.ts';
import {
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

/** The reference's words for them. */
const points = ['Latest', 'LatestProcessed', 'LatestApplicationConsistent', 'LatestCrashConsistent'];

interface Wait {
  readonly wait?: boolean;
}

export function addRecoveryPlan(program: Command, context: NounContext): void {
  const command = noun(program, 'recovery-plan', 'many machines, failed over in order').alias('plan');
  const rows = (api: Api) => api.all('replicationRecoveryPlans.list');
  const find = async (api: Api, wish: string) => choose(await rows(api), wish, 'recovery plan');
  command
    .command('list')
    .description('all recovery plans of the vault')
    .action(async () =>
      printList(
        context,
        await rows(await context.api()),
        [
          nameColumn,
          {
            heading: 'GROUPS',
            value: (plan) => String((valueAt(plan, 'groups') as unknown[] | undefined)?.length ?? 0),
          },
          column('STATUS', 'currentScenarioStatus'),
          column('LAST TEST', 'lastTestFailoverTime'),
        ],
        'no recovery plan yet',
      ),
    );
  command
    .command('show')
    .description('one plan, with its groups and actions')
    .argument('<plan>', 'name or id')
    .action(async (wish: string) => printOne(context, await find(await context.api(), wish)));
  for (const [verb, operationId] of [
    ['create', 'replicationRecoveryPlans.create'],
    ['update', 'replicationRecoveryPlans.update'],
  ] as const)
    command
      .command(verb)
      .description(`${verb} a plan from a file`)
      .argument('<plan>', 'its name')
      .requiredOption('--body <file>', 'the request as JSON; - reads standard input')
      .option('--wait', 'until the job has ended')
      .action(async (name: string, options: { body: string } & Wait) => {
        const api = await context.api();
        const { jobId } = await api.put(operationId, name, await readBody(options.body));
        if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
      });

  const verbs: readonly {
    readonly verb: string;
    readonly operation: string;
    readonly description: string;
    /** A recovery point is chosen, or notes are kept. */
    readonly takes?: 'point' | 'notes';
    readonly body?: (plan: Resource, options: { readonly point: string; readonly notes: string }) => unknown;
  }[] = [
    {
      verb: 'test-failover',
      operation: 'testFailover',
      description: 'rehearse the whole plan in isolated networks',
      takes: 'point',
      body: (plan, { point }) => ({
        properties: {
          failoverDirection: 'PrimaryToRecovery',
          networkType: 'NoNetworkAttachAsInput',
          providerSpecificDetails: pointsOf(plan, point),
        },
      }),
    },
    {
      verb: 'cleanup',
      operation: 'testFailoverCleanup',
      description: 'end the rehearsal of all its machines',
      takes: 'notes',
      body: (_plan, { notes }) => ({ properties: { comments: notes } }),
    },
    {
      verb: 'failover',
      operation: 'unplannedFailover',
      description: 'the disaster is real: run all of it at the recovery site',
      takes: 'point',
      body: (plan, { point }) => ({
        properties: {
          failoverDirection: 'PrimaryToRecovery',
          sourceSiteOperations: 'NotRequired',
          providerSpecificDetails: pointsOf(plan, point),
        },
      }),
    },
    {
      verb: 'planned-failover',
      operation: 'plannedFailover',
      description: 'shut the sources down, replicate the rest and move',
      body: (plan) => ({
        properties: {
          failoverDirection: 'PrimaryToRecovery',
          providerSpecificDetails: pointsOf(plan, 'LatestProcessed'),
        },
      }),
    },
    { verb: 'commit', operation: 'failoverCommit', description: 'keep the failover of all its machines' },
    {
      verb: 'cancel-failover',
      operation: 'failoverCancel',
      description: 'undo a failover that is not committed',
    },
    { verb: 'delete', operation: 'delete', description: 'forget the plan; its machines stay as they are' },
  ];
  for (const { verb, operation, description, takes, body } of verbs) {
    const shaped = command.command(verb).description(description).argument('<plan>', 'name or id');
    if (takes === 'point')
      shaped.addOption(
        new Option('--point <which>', 'of each machine').choices(points).default('LatestProcessed'),
      );
    if (takes === 'notes') shaped.option('--notes <text>', 'what was seen', '');
    shaped
      .option('--wait', 'until the job has ended, showing its tasks')
      .action(async (wish: string, options: { point: string; notes: string } & Wait) => {
        const api = await context.api();
        const plan = await find(api, wish);
        const { jobId } = await api.on(plan, `replicationRecoveryPlans.${operation}`, body?.(plan, options));
        if (jobId !== undefined) await context.follow(jobId, { wait: options.wait === true });
      });
  }
}

/** One entry per provider whose machines are in the plan. */
function pointsOf(plan: Resource, point: string): unknown[] {
  const providers = (valueAt(plan, 'replicationProviders') as string[] | undefined) ?? [];
  return (providers.length === 0 ? ['InMageAzureV2'] : providers).map((instanceType) => ({
    instanceType,
    recoveryPointType: point,
  }));
}
