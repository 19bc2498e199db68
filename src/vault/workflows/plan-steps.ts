/**
 * Steps of recovery plans: groups in order, the items of a group side by side, and actions before and after.
 *
 *     ReadPlan ─▶ Shutdown ─▶ Failover ─▶ Boot 1: actions ─▶ items ─▶ actions ─▶ Boot 2 …
 *                                                     └── each item a job of its own, shown under the group
 *
 * An item that fails lets the others go on, and an action that fails in an unplanned failover too: what can be saved is
 * saved. Planned failovers stop there, because their machines still run at home. Nothing of what came through is taken
 * back: the plan ends as Failed, `PartiallySucceeded` where some came through, and can be run again for the rest.
 */
import type { HealthEvent } from '../../model/health.ts';
import { allowedOperations, type ItemOperation } from '../../model/protection-state.ts';
import { derivedId } from '../jobs/derived-id.ts';
import { hasEnded } from '../jobs/jobs.ts';
import type { Json, Step, StepContext, Wait } from '../jobs/workflow.ts';
import type { ItemResource } from '../store/protected-items.ts';
import { errors } from './errors.ts';
import { type OrderOutcome, siteOrder } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';
import { actionSeconds, type PlanAction, type PlanGroup, type PlanShape, planOf } from './plan-shape.ts';

export type PlanParts = Pick<
  WorkflowParts,
  'items' | 'sites' | 'orders' | 'clock' | 'readPlan' | 'runScript'
>;

export interface PlanInput {
  readonly id: string;
}

/** What a plan does to each of its items. */
export interface PlanTask<Input extends PlanInput> {
  readonly operation: ItemOperation;
  /** The item's workflow, and what it is given. */
  readonly workflow: string;
  readonly inputOf: (item: ItemResource, context: StepContext<Input>) => { readonly [key: string]: Json };
  /** Whether a failed action or group ends the plan. */
  readonly stopsAtFailure: boolean;
  /** Which items in a state that does not allow the operation are left out instead of failing. */
  readonly leavesOut: 'others' | 'failed-over' | 'none';
  /** Actions belong to failovers, not to cleaning up after them. */
  readonly hasActions: boolean;
  /** Every source is shut down before the first group. */
  readonly shutsDown?: (input: Input) => boolean;
}

/** Items of one group that are worked on at once. */
const itemsAtOnce = 10;
const actionSecondsDefault = 3600;

export function planSteps<Input extends PlanInput>(
  parts: PlanParts,
  task: PlanTask<Input>,
): (input: Input, outputs: Readonly<Record<string, Json>>) => readonly Step<Input>[] {
  const first = readPlan<Input>(parts);
  return (input, outputs) => {
    const plan = planOf(outputs);
    if (plan === undefined) return [first];
    const steps: Step<Input>[] = [first];
    let boots = 0;
    for (const group of plan.groups) {
      const name = group.groupType === 'Boot' ? `Group ${++boots}` : group.groupType;
      const add = (actions: readonly PlanAction[], when: 'start' | 'end') => {
        if (!task.hasActions) return;
        for (const action of actions.filter((one) => belongs(one, task.operation))) {
          const step = `${name}: ${when}: ${action.actionName}`;
          steps.push(actionStep(parts, task, plan, name, action, step, outputs[step] !== undefined));
        }
      };
      add(group.startGroupActions, 'start');
      if (group.groupType === 'Boot') steps.push(itemsStep(parts, task, plan, group, name));
      else if (group.groupType === 'Shutdown' && task.shutsDown?.(input))
        steps.push(shutdownStep(parts, plan, name));
      add(group.endGroupActions, 'end');
    }
    return steps;
  };
}

/** Whether the plan has a group in which the sources are shut down before the others begin. */
export const hasShutdownGroup = (outputs: Readonly<Record<string, Json>>): boolean =>
  planOf(outputs)?.groups.some(({ groupType }) => groupType === 'Shutdown') === true;

/** How the job ends, from what its steps gave. */
export function concludePlan({ clock }: Pick<WorkflowParts, 'clock'>) {
  return (
    outputs: Readonly<Record<string, Json>>,
  ): { readonly stateDescription: string; readonly failed?: HealthEvent } => {
    const results = Object.values(outputs).flatMap(resultsIn);
    const failed = results.filter(({ outcome }) => outcome === 'failed');
    if (failed.length === 0)
      return {
        stateDescription: results.some(({ outcome }) => outcome === 'skipped')
          ? 'CompletedWithInformation'
          : 'Completed',
      };
    const done = results.filter(({ outcome }) => outcome === 'done').length;
    const error = errors.PlanPartlyFailed(
      failed.map(({ name, why }) => `${name}: ${why ?? 'failed'}`).slice(0, 10),
      failed.length,
      results.length,
    );
    return {
      stateDescription: done > 0 ? 'PartiallySucceeded' : 'Failed',
      failed: {
        code: error.code,
        severity: 'error',
        summary: error.summary.slice(0, 2000),
        possibleCauses: error.possibleCauses,
        recommendedAction: error.recommendedAction,
        raisedAt: new Date(clock.now()).toISOString(),
        context: { failed: failed.length, total: results.length },
      },
    };
  };
}

interface Result {
  readonly name: string;
  readonly outcome: 'done' | 'failed' | 'skipped';
  readonly why?: string;
}

function resultsIn(output: Json): readonly Result[] {
  if (typeof output !== 'object' || output === null || !('results' in output)) return [];
  return output.results as unknown as readonly Result[];
}

// ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function readPlan<Input extends PlanInput>(parts: PlanParts): Step<Input> {
  return {
    name: 'ReadPlan',
    title: 'Checking prerequisites of the recovery plan',
    where: 'database',
    do: async ({ input }) => {
      const plan = await parts.readPlan(input.id);
      if (!plan) throw errors.PlanUnknown(input.id);
      // Changes of the plan from now on are for the next time.
      return JSON.parse(JSON.stringify(plan)) as Json;
    },
  };
}

const belongs = (action: PlanAction, operation: ItemOperation): boolean =>
  action.failoverTypes.includes(operation) && action.failoverDirections.includes('PrimaryToRecovery');

// ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function itemsStep<Input extends PlanInput>(
  parts: PlanParts,
  task: PlanTask<Input>,
  plan: PlanShape,
  group: PlanGroup,
  name: string,
): Step<Input> {
  return {
    name,
    title: `Recovery plan group: ${name}`,
    where: 'database',
    task: {
      type: 'RecoveryPlanGroupTaskDetails',
      details: { name, groupId: `${plan.id}/${name}`, rpGroupType: group.groupType },
    },
    do: (context) => eachItem(parts, group.replicationProtectedItems, context, task),
  };
}

function shutdownStep<Input extends PlanInput>(parts: PlanParts, plan: PlanShape, name: string): Step<Input> {
  return {
    name,
    title: 'Shutting down all source machines',
    where: 'site',
    task: {
      type: 'RecoveryPlanShutdownGroupTaskDetails',
      details: { name, groupId: `${plan.id}/${name}`, rpGroupType: 'Shutdown' },
    },
    do: (context) =>
      eachItem(
        parts,
        // Backwards: what was started last is stopped first.
        plan.groups.flatMap(({ replicationProtectedItems }) => replicationProtectedItems).toReversed(),
        context,
        {
          operation: 'UnplannedFailover',
          workflow: 'shut-down-source',
          inputOf: ({ id }) => ({ id }),
          leavesOut: 'others',
          stopsAtFailure: false,
        },
      ),
  };
}

/** A job for each item, so many at once; called again whenever one of them has ended. */
async function eachItem<Input extends PlanInput>(
  parts: PlanParts,
  members: readonly { readonly id: string }[],
  context: StepContext<Input>,
  task: Pick<PlanTask<Input>, 'operation' | 'workflow' | 'inputOf' | 'leavesOut' | 'stopsAtFailure'>,
): Promise<Json | Wait> {
  const results: Result[] = [];
  const unfinished: string[] = [];
  for (const { id } of members) {
    if (unfinished.length >= itemsAtOnce) break;
    const item = await parts.items.byId(id);
    const name = item?.friendlyName ?? id.split('/').at(-1)!;
    let jobId = await context.findChild(id);
    if (jobId === undefined) {
      if (item === undefined) {
        results.push({ name, outcome: 'failed', why: 'it is not protected any more' });
        continue;
      }
      const { condition } = item;
      const mayBeLeft =
        task.leavesOut === 'others' ||
        (task.leavesOut === 'failed-over' && condition.activeLocation === 'Recovery');
      if (mayBeLeft && !allowedOperations(condition).includes(task.operation)) {
        results.push({ name, outcome: 'skipped', why: condition.protectionState });
        continue;
      }
      try {
        jobId = await context.startChild(id, task.workflow, task.inputOf(item, context), {
          id,
          name,
          type: 'ProtectionEntity',
        });
      } catch (error) {
        if (!isBusyError(error)) throw error;
        results.push({ name, outcome: 'failed', why: error.message });
        continue;
      }
    }
    const { state, error } = await context.child(jobId);
    if (!hasEnded(state)) unfinished.push(jobId);
    else if (state === 'Succeeded') results.push({ name, outcome: 'done' });
    else results.push({ name, outcome: 'failed', why: error ?? state });
  }
  context.report(
    `${results.length} of ${members.length} machines`,
    members.length === 0 ? 1 : results.length / members.length,
  );
  if (unfinished.length > 0) return { wait: 'jobs', jobIds: unfinished, any: true };
  const failed = results.find(({ outcome }) => outcome === 'failed');
  if (failed && task.stopsAtFailure) throw errors.PlanStopped(failed.name, failed.why ?? 'it failed');
  return { results: results as unknown as Json };
}

const isBusyError = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && error.code === 'TargetIsBusy';

// ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function actionStep<Input extends PlanInput>(
  parts: PlanParts,
  task: PlanTask<Input>,
  plan: PlanShape,
  group: string,
  action: PlanAction,
  name: string,
  isDone: boolean,
): Step<Input> {
  const { customDetails: details } = action;
  if (details.instanceType === 'ManualActionDetails') return manualStep(action, name);
  const isRunbook = details.instanceType === 'AutomationRunbookActionDetails';
  const script = (isRunbook ? details.runbookId : details.path)?.split(/[\\/]/).at(-1) ?? '';
  const timeoutSeconds = actionSeconds(details.timeout ?? '') ?? actionSecondsDefault;
  const isPrimary = details.fabricLocation === 'Primary';
  const scriptArguments = [task.operation, plan.name, group];
  const shown = {
    type: isRunbook ? 'AutomationRunbookTaskDetails' : 'ScriptActionTaskDetails',
    details: {
      name: action.actionName,
      ...(isRunbook ? { runbookId: details.runbookId ?? '', runbookName: script } : { path: script }),
      isPrimarySideScript: isPrimary,
    },
  };
  const said = (output: string): { readonly [key: string]: Json } => ({
    results: [{ name: action.actionName, outcome: 'done' }],
    details: { [isRunbook ? 'jobOutput' : 'output']: output },
  });
  const failed = (why: string): { readonly [key: string]: Json } => {
    if (task.stopsAtFailure) throw errors.PlanStopped(action.actionName, why);
    return {
      results: [{ name: action.actionName, outcome: 'failed', why }],
      details: { [isRunbook ? 'jobOutput' : 'output']: why },
    };
  };
  if (!isPrimary)
    return {
      name,
      title: action.actionName,
      where: 'database',
      task: shown,
      do: async (context) => {
        context.report(`running ${script}`);
        try {
          const { output } = await parts.runScript({
            runId: derivedId(context.jobId, name),
            name: script,
            arguments: scriptArguments,
            environment: {
              LEEWARD_JOB_ID: context.jobId,
              LEEWARD_PLAN: plan.name,
              LEEWARD_GROUP: group,
              LEEWARD_FAILOVER_TYPE: task.operation,
            },
            timeoutSeconds,
            signal: context.signal,
          });
          return said(output);
        } catch (error) {
          if (context.signal.aborted || !(error instanceof Error)) throw error;
          return failed(error.message);
        }
      },
    };
  const segments = plan.primaryFabricId.split('/');
  const findSite = () =>
    parts.sites.siteOf({
      vaultId: segments.slice(0, 9).join('/'),
      fabricName: segments.at(-1) ?? '',
    });
  const order = siteOrder<Input>(parts, {
    name,
    title: action.actionName,
    timeoutSeconds: timeoutSeconds + orderGraceSeconds,
    isOptional: true,
    what: async () => {
      const siteId = await findSite();
      return siteId === undefined
        ? undefined
        : {
            siteId,
            content: { order: 'run-script', name: script, arguments: scriptArguments, timeoutSeconds },
          };
    },
  });
  const stop = async ({ jobId, startedAt }: StepContext<Input>): Promise<void> => {
    const scriptOrderId = derivedId(jobId, name);
    const siteId = await findSite();
    if (siteId === undefined || (await parts.orders.answer(scriptOrderId)) !== undefined) return;
    await parts.orders.place({
      orderId: derivedId(scriptOrderId, 'stop'),
      siteId,
      content: { order: 'stop-script', scriptOrderId },
      // Until the script would have ended by itself.
      expiresAt: new Date(Date.parse(startedAt) + (timeoutSeconds + orderGraceSeconds) * 1000).toISOString(),
    });
  };
  return {
    ...order,
    task: shown,
    do: async (context) => {
      const result = await order.do(context);
      if (typeof result !== 'object' || result === null || !('outcome' in result)) return result;
      const { outcome, output, why } = result as unknown as OrderOutcome;
      return outcome === 'done' ? said(output ?? '') : failed(why ?? 'the site is not registered');
    },
    // Nothing that it did is taken back, but it does not go on for a plan that was cancelled.
    ...(isDone ? {} : { undo: stop }),
  };
}

/** For the order to reach the site and its answer to come back. */
const orderGraceSeconds = 300;

/** Nothing goes on until somebody says that it is done. */
function manualStep<Input extends PlanInput>(action: PlanAction, name: string): Step<Input> {
  const instructions = action.customDetails.description ?? '';
  return {
    name,
    title: action.actionName,
    where: 'database',
    task: { type: 'ManualActionTaskDetails', details: { name: action.actionName, instructions } },
    do: async ({ resumeComments }) =>
      resumeComments === undefined
        ? { wait: 'resume', instructions: instructions === '' ? action.actionName : instructions }
        : { details: { observation: resumeComments } },
  };
}
