/**
 * Recovery plans: the operations of an item, done to many in the plan's order. One table says in what they differ; how a
 * plan is walked is in `plan-steps.ts`.
 *
 *                        each item's workflow     stops at a failure   leaves others out   actions
 *     test failover      test-failover            no                   no                  yes
 *     clean-up           test-failover-cleanup    no                   yes                 no
 *     unplanned          unplanned-failover       no                   yes                 yes, sources first
 *     planned            planned-failover         yes                  failed over         yes
 *     commit             commit-failover          no                   yes                 yes
 *     cancel             cancel-failover          no                   yes                 no
 */
import { z } from 'zod';
import { sizeOf } from '../api/compute-sizes.ts';
import type { Json, SomeWorkflow, Step, Workflow } from '../jobs/workflow.ts';
import type { ItemResource } from '../store/protected-items.ts';
import { type FailoverParts, shutDownSource } from './failover-steps.ts';
import { NetworkChoice } from './inputs.ts';
import { siteOf } from './item-steps.ts';
import { concludePlan, hasShutdownGroup, type PlanParts, planSteps } from './plan-steps.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const id = z.string().max(1500);
const point = z.enum(['latest', 'latestProcessed', 'latestApplicationConsistent', 'latestCrashConsistent']);
const network = NetworkChoice.default({ mode: 'isolated' });

export const PlanTestFailoverInput = z.strictObject({ id, point: point.default('latestProcessed'), network });
export const PlanCleanupInput = z.strictObject({ id, comments: z.string().max(4000).default('') });
export const PlanUnplannedFailoverInput = z.strictObject({
  id,
  point: point.default('latestProcessed'),
  network: NetworkChoice.optional(),
  shutDownSource: z.boolean().default(false),
});
export const PlanInputOnly = z.strictObject({ id });

type Parts = PlanParts & Pick<FailoverParts, 'failovers'>;

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function planWorkflows(parts: Parts): SomeWorkflow[] {
  const conclude = concludePlan(parts);
  const plain = (
    name: string,
    scenarioName: string,
    friendlyName: string,
    task: Parameters<typeof planSteps<z.infer<typeof PlanInputOnly>>>[1],
  ): Workflow<z.infer<typeof PlanInputOnly>> => ({
    name,
    scenarioName,
    friendlyName,
    input: PlanInputOnly,
    steps: planSteps(parts, task),
    conclude,
    cancelable: true,
  });
  const test: Workflow<z.infer<typeof PlanTestFailoverInput>> = {
    name: 'plan-test-failover',
    scenarioName: 'TestFailover',
    friendlyName: 'Test failover of the recovery plan',
    input: PlanTestFailoverInput,
    steps: planSteps(parts, {
      operation: 'TestFailover',
      workflow: 'test-failover',
      // One network for all of them: a rehearsal of machines that cannot reach one another shows little.
      inputOf: (item, { input, jobId }) => ({
        id: item.id,
        ...machineFor(item),
        point: input.point,
        network:
          input.network.mode === 'isolated'
            ? { mode: 'isolated', name: `leeward-test-${jobId.slice(0, 8)}` }
            : input.network,
      }),
      stopsAtFailure: false,
      leavesOut: 'none',
      hasActions: true,
    }),
    conclude,
    cancelable: true,
  };
  const cleanup: Workflow<z.infer<typeof PlanCleanupInput>> = {
    name: 'plan-test-failover-cleanup',
    scenarioName: 'TestFailoverCleanup',
    friendlyName: 'Test failover cleanup of the recovery plan',
    input: PlanCleanupInput,
    steps: planSteps(parts, {
      operation: 'TestFailoverCleanup',
      workflow: 'test-failover-cleanup',
      inputOf: ({ id: itemId }, { input }) => ({ id: itemId, comments: input.comments }),
      stopsAtFailure: false,
      leavesOut: 'others',
      hasActions: false,
    }),
    conclude,
    cancelable: false,
  };
  const unplanned: Workflow<z.infer<typeof PlanUnplannedFailoverInput>> = {
    name: 'plan-unplanned-failover',
    scenarioName: 'UnplannedFailover',
    friendlyName: 'Failover of the recovery plan',
    input: PlanUnplannedFailoverInput,
    steps: planSteps(parts, {
      operation: 'UnplannedFailover',
      workflow: 'unplanned-failover',
      inputOf: (item, { input, outputs }) => ({
        id: item.id,
        ...machineFor(item),
        point: input.point,
        // A plan with a group for it has shut them down by now.
        shutDownSource: input.shutDownSource && !hasShutdownGroup(outputs),
        network: input.network ?? networkFor(item),
      }),
      stopsAtFailure: false,
      leavesOut: 'others',
      hasActions: true,
      shutsDown: (input) => input.shutDownSource,
    }),
    conclude,
    cancelable: true,
  };
  const onlyId = ({ id: itemId }: ItemResource): { readonly [key: string]: Json } => ({ id: itemId });
  return [
    test,
    cleanup,
    unplanned,
    plain('plan-planned-failover', 'PlannedFailover', 'Planned failover of the recovery plan', {
      operation: 'PlannedFailover',
      workflow: 'planned-failover',
      inputOf: (item) => ({ id: item.id, ...machineFor(item), network: networkFor(item) }),
      stopsAtFailure: true,
      leavesOut: 'failed-over',
      hasActions: true,
    }),
    plain('plan-commit-failover', 'CommitFailover', 'Commit of the recovery plan', {
      operation: 'Commit',
      workflow: 'commit-failover',
      inputOf: onlyId,
      stopsAtFailure: false,
      leavesOut: 'others',
      hasActions: true,
    }),
    plain('plan-cancel-failover', 'CancelFailover', 'Cancel failover of the recovery plan', {
      operation: 'CancelFailover',
      workflow: 'cancel-failover',
      inputOf: onlyId,
      stopsAtFailure: false,
      leavesOut: 'others',
      hasActions: false,
    }),
    shutDownAlone(parts),
  ];
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

/** What the item's settings say of its machine at the recovery location. */
function machineFor({ settings }: ItemResource): { readonly [key: string]: Json } {
  const size = sizeOf(String(settings.targetVmSize ?? ''));
  return size === undefined ? {} : { machine: { ...size } as { readonly [key: string]: Json } };
}

function networkFor({ settings }: ItemResource): { readonly [key: string]: Json } {
  const named = String(settings.targetNetworkId ?? settings.targetAzureNetworkId ?? '');
  const name = named.split('/').filter(Boolean).at(-1);
  return name === undefined ? { mode: 'isolated' } : { mode: 'existing', name };
}

/** Of a plan's first group: it changes nothing of the item, and a source that does not answer is left alone. */
function shutDownAlone(parts: Parts): Workflow<z.infer<typeof PlanInputOnly>> {
  const steps: readonly Step<z.infer<typeof PlanInputOnly>>[] = [
    {
      name: 'Claim',
      title: 'Looking for the machine',
      where: 'database',
      do: async ({ input, job }) => {
        const found = await siteOf(parts, input.id);
        return { id: input.id, itemId: found?.item.itemId ?? '', name: job.target.name };
      },
    },
    shutDownSource(parts, 'goOn'),
  ];
  return {
    name: 'shut-down-source',
    scenarioName: 'ShutdownSource',
    friendlyName: 'Shut down the source machine',
    input: PlanInputOnly,
    steps: () => steps,
    cancelable: true,
  };
}
