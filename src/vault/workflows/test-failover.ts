/**
 * Test failover: rehearse a disaster without one. A recovery point's disks are lent as clones, a machine is made of them
 * on a network that reaches nothing, it must answer, and its screen is kept as proof. Replication goes on untouched.
 *
 *     Claim ─▶ Choose ─▶ Lend ─▶ PowerOn ─▶ Answer ─▶ Prove ─▶ Finish            clean-up: `test-failover-cleanup.ts`
 *       │        │         │        │          │        │
 *       └────────┴─────────┴────────┴─ any failure ─────┴──▶ undone in reverse: nothing is left but the record
 *
 * Nothing is copied, so the time to power-on does not depend on the size of the disks. The failover's id is the job's: its
 * record, loan, machine and network are found by it.
 */
import { join } from 'node:path';
import { writeDurably } from '../../platform/files.ts';
import { onBuses } from '../failover/buses.ts';
import type { Step, StepContext, Workflow } from '../jobs/workflow.ts';
import type { TestFailoverRecord } from '../store/test-failovers.ts';
import { TestFailoverInput } from './inputs.ts';
import {
  choosePoint,
  claim,
  claimed,
  concludeWithPoint,
  finish,
  lendStep,
  machineOf,
  mustFit,
  networkOf,
  outputOf,
  plainName,
  providerOf,
} from './item-steps.ts';
import type { WorkflowParts } from './parts.ts';

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Input = TestFailoverInput;
type Context = StepContext<Input>;
type Parts = Pick<
  WorkflowParts,
  'items' | 'store' | 'sites' | 'replica' | 'testFailovers' | 'provider' | 'files' | 'clock' | 'proofsFolder'
>;

// ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stepsOf = (parts: Parts): readonly Step<Input>[] => [
  claim(parts, 'TestFailover', 'TestFailover', ({ input }) => input),
  {
    name: 'Choose',
    title: 'Choosing the recovery point',
    where: 'database',
    do: (context) => choose(parts, context),
    undo: (context) => recordFailure(parts, context),
  },
  lendStep(parts, (context) => lend(parts, context)),
  {
    name: 'PowerOn',
    title: 'Starting the machine',
    where: 'hypervisor',
    do: (context) => powerOn(parts, context),
    undo: async (context) => {
      await providerOf(parts).remove(names(context).machineName);
    },
  },
  {
    name: 'Answer',
    title: 'Waiting until the machine answers',
    where: 'hypervisor',
    do: (context) => answer(parts, context),
  },
  {
    name: 'Prove',
    title: 'Keeping its screen as proof',
    where: 'hypervisor',
    do: (context) => prove(parts, context),
  },
  finish(parts, (context) => run(parts, context)),
];

// ── definition ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function testFailover(parts: Parts): Workflow<Input> {
  const steps = stepsOf(parts);
  return {
    name: 'test-failover',
    scenarioName: 'TestFailover',
    friendlyName: 'Test failover',
    input: TestFailoverInput,
    steps: () => steps,
    conclude: concludeWithPoint,
    cancelable: true,
  };
}

// ── implementations ──────────────────────────────────────────────────────────────────────────────────────────────────

const nowOf = ({ clock }: Pick<Parts, 'clock'>) => new Date(clock.now()).toISOString();

function names(context: Pick<Context, 'jobId' | 'outputs'>): { machineName: string; networkName: string } {
  const short = context.jobId.slice(0, 8);
  return {
    machineName: `leeward-test-${plainName(claimed(context).name)}-${short}`,
    networkName: `leeward-test-${short}`,
  };
}

async function choose(parts: Parts, context: Context) {
  const { itemId, name } = claimed(context);
  const point = await choosePoint(parts, { itemId, name }, context.input.point, context.input);
  context.report('asking the hypervisor whether it can run machines', 0);
  const { accelerator, reason } = await providerOf(parts).check();
  context.report(`${accelerator.toUpperCase()}: ${reason}`, 0);
  await mustFit(parts, claimed(context), context.input.machine);
  const machineNetwork = networkOf(context.input.network, names(context).networkName);
  await parts.testFailovers.save({
    failoverId: context.jobId,
    itemId,
    itemName: name,
    pointId: point.pointId,
    pointTakenAt: point.takenAt,
    machineName: names(context).machineName,
    networkName: machineNetwork.name,
    state: 'starting',
    step: 'Choose',
    startedAt: context.job.createdAt,
    accelerator,
  });
  return { ...point };
}

async function recordFailure(parts: Parts, context: Context): Promise<void> {
  const record = await parts.testFailovers.byId(context.jobId);
  if (record === undefined) return;
  const failure = (context.failure ?? 'cancelled').slice(0, 4000);
  await parts.testFailovers.save({ ...record, state: 'failed', failure });
}

/** The record is made by the first step, so it is there. */
async function keep(
  parts: Parts,
  context: Context,
  changes: Partial<TestFailoverRecord>,
): Promise<TestFailoverRecord> {
  const record = { ...(await parts.testFailovers.byId(context.jobId))!, ...changes };
  await parts.testFailovers.save(record);
  return record;
}

async function lend(parts: Parts, context: Context): Promise<void> {
  context.report('cloning the disks of the recovery point', 0);
  await keep(parts, context, { step: 'Lend' });
}

async function powerOn(parts: Parts, context: Context) {
  const { input } = context;
  const { machineName, networkName } = names(context);
  context.report('starting the machine', 0.25);
  await keep(parts, context, { step: 'PowerOn' });
  await providerOf(parts).start({
    name: machineName,
    ...(await machineOf(parts, claimed(context).id, input.machine)),
    disks: onBuses(outputOf<string[]>(context, 'Lend')),
    network: networkOf(input.network, networkName),
  });
  await keep(parts, context, { powerOnSeconds: secondsSince(parts, context) });
  return undefined;
}

async function answer(parts: Parts, context: Context) {
  const { input, signal } = context;
  const { machineName } = names(context);
  context.report('waiting until the machine answers', 0.5);
  await keep(parts, context, { step: 'Answer' });
  const { address } = await providerOf(parts).waitUntilReady(
    machineName,
    input.check,
    input.timeoutSeconds * 1000,
    signal,
  );
  await keep(parts, context, {
    readySeconds: secondsSince(parts, context),
    ...(address === undefined ? {} : { address }),
  });
  return undefined;
}

async function prove(parts: Parts, context: Context) {
  context.report('keeping its screen as proof', 0.75);
  const folder = join(parts.proofsFolder, context.jobId);
  await parts.files.makeFolder(folder);
  const screenshot = join(folder, 'screen.png');
  await writeDurably(parts.files, screenshot, await providerOf(parts).screenshot(names(context).machineName));
  await writeReport(parts, await keep(parts, context, { step: 'Prove', screenshot }));
  return undefined;
}

async function run(parts: Parts, context: Context) {
  await keep(parts, context, { state: 'running' });
  context.report('the machine answers', 1);
  return { lastTestFailoverAt: nowOf(parts) };
}

export async function writeReport(
  parts: Pick<Parts, 'files' | 'proofsFolder'>,
  record: TestFailoverRecord,
): Promise<void> {
  if (record.screenshot === undefined) return;
  await writeDurably(
    parts.files,
    join(parts.proofsFolder, record.failoverId, 'report.json'),
    Buffer.from(`${JSON.stringify(record, null, 2)}\n`),
  );
}

/** From the request on; the wall clock, because the job may have gone on in another process. */
const secondsSince = ({ clock }: Pick<Parts, 'clock'>, { job }: Context): number =>
  Math.max(0, (clock.now() - Date.parse(job.createdAt)) / 1000);
