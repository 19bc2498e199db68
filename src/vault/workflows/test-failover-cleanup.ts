/**
 * The end of a test failover: machine, network and clones go; the record, the screen and the report with the notes stay as
 * evidence. Twice is once.
 *
 *     Claim ─▶ Mark (cleaning) ─▶ RemoveMachine ─▶ GiveBack ─▶ Finish (cleaned)
 *                 └── failure: running again, so that it can be cleaned up again
 */
import type { Step, StepContext, Workflow } from '../jobs/workflow.ts';
import type { TestFailoverRecord } from '../store/test-failovers.ts';
import { errors } from './errors.ts';
import { TestFailoverCleanupInput } from './inputs.ts';
import { claim, finish, outputOf, providerOf, resourceOf } from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';
import { writeReport } from './test-failover.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = TestFailoverCleanupInput;
type Context = StepContext<Input>;
type Parts = Pick<
  WorkflowParts,
  'items' | 'store' | 'replica' | 'testFailovers' | 'provider' | 'files' | 'clock' | 'proofsFolder'
>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts): readonly Step<Input>[] => [
  claim(parts, 'TestFailoverCleanup', 'TestFailoverCleanup', ({ input }) => input),
  {
    name: 'Mark',
    title: 'Marking the test environment for deletion',
    where: 'database',
    do: async (context) => {
      const record = await find(parts, context.input);
      if (record.state !== 'cleaned')
        await parts.testFailovers.save({
          ...record,
          state: 'cleaning',
          ...(context.input.comments === '' ? {} : { notes: context.input.comments }),
        });
      return { failoverId: record.failoverId };
    },
    undo: async (context) => {
      const record = await find(parts, context.input).catch(() => undefined);
      if (record?.state === 'cleaning') await parts.testFailovers.save({ ...record, state: 'running' });
    },
  },
  {
    name: 'RemoveMachine',
    title: 'Removing the machine and its network',
    where: 'hypervisor',
    do: async (context) => {
      context.report('removing the machine, its network and its disks', 0);
      await providerOf(parts).remove((await marked(parts, context)).machineName);
      return undefined;
    },
  },
  {
    name: 'GiveBack',
    title: 'Removing its disks',
    where: 'replica',
    do: async (context) => {
      const { itemId, failoverId } = await marked(parts, context);
      await parts.replica.giveBack(itemId, failoverId);
      return undefined;
    },
  },
  finish(parts, async (context) => {
    const record = await marked(parts, context);
    if (record.state !== 'cleaned') {
      const cleaned: TestFailoverRecord = {
        ...record,
        state: 'cleaned',
        cleanedAt: new Date(parts.clock.now()).toISOString(),
      };
      await writeReport(parts, cleaned);
      await parts.testFailovers.save(cleaned);
    }
    context.report('nothing is left but the proof', 1);
    return {};
  }),
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function testFailoverCleanup(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'test-failover-cleanup',
    scenarioName: 'TestFailoverCleanup',
    friendlyName: 'Test failover cleanup',
    input: TestFailoverCleanupInput,
    steps: () => steps,
    cancelable: false,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

async function find(parts: Parts, input: Input): Promise<TestFailoverRecord> {
  const { failoverId } = input;
  const itemId = failoverId === undefined ? (await resourceOf(parts, input))?.itemId : undefined;
  const record =
    failoverId !== undefined
      ? await parts.testFailovers.byId(failoverId)
      : itemId && (await parts.testFailovers.ofItem(itemId));
  if (record === undefined) throw errors.TestFailoverUnknown(failoverId ?? input.id);
  return record;
}

/** Its record by id: after a repetition it may be cleaned already. */
async function marked(parts: Parts, context: Context): Promise<TestFailoverRecord> {
  const { failoverId } = outputOf<{ failoverId: string }>(context, 'Mark');
  return (await parts.testFailovers.byId(failoverId))!;
}
