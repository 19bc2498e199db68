/**
 * A vault process as far as jobs go: the real engine over a real database, for a test that kills it. Its workflow writes
 * each thing that it does into a ledger that forgets nothing.
 *
 *     node job-process.ts <socket> <database>
 */
import { z } from 'zod';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLog } from '../../src/platform/log.ts';
import { type Database, openDatabase } from '../../src/platform/mysql.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { JobEngine } from '../../src/vault/jobs/engine.ts';
import { hasEnded } from '../../src/vault/jobs/jobs.ts';
import type { SomeWorkflow, Step, Workflow } from '../../src/vault/jobs/workflow.ts';
import { MariaJobStore } from '../../src/vault/store/jobs.ts';

/** A process that is alive and stands still for as long would rightly lose its jobs, which the test takes for a fault. */
const leaseMilliseconds = 15_000;

interface Input {
  readonly pauseMilliseconds: number;
  readonly children: number;
}

export function loadWorkflow(database: Database, processId: number): Workflow<Input> {
  const record = async (jobId: string, step: string, edge: 'begin' | 'end') => {
    await database.change('INSERT INTO ledger (job_id, step, edge, process_id) VALUES (?, ?, ?, ?)', [
      jobId,
      step,
      edge,
      processId,
    ]);
  };
  const effect = (name: string): Step<Input> => ({
    name,
    title: name,
    where: 'database',
    do: async ({ jobId, input, signal, report }) => {
      await record(jobId, name, 'begin');
      report(name, 0.5);
      await systemClock.sleep(input.pauseMilliseconds, signal);
      await record(jobId, name, 'end');
      return { by: processId };
    },
  });
  return {
    name: 'load',
    scenarioName: 'Load',
    friendlyName: 'Load',
    input: z.strictObject({ pauseMilliseconds: z.number(), children: z.number() }),
    steps: () => [
      effect('first'),
      {
        name: 'children',
        title: 'children',
        where: 'database',
        do: async ({ startChild, child, input, job }) => {
          const jobIds: string[] = [];
          for (let n = 0; n < input.children; n++)
            jobIds.push(
              await startChild(
                String(n),
                'load',
                { pauseMilliseconds: input.pauseMilliseconds, children: 0 },
                { id: `${job.target.id}/${n}`, name: String(n), type: 'Load' },
              ),
            );
          const states = await Promise.all(jobIds.map(async (jobId) => (await child(jobId)).state));
          return states.every(hasEnded) ? states : { wait: 'jobs', jobIds };
        },
      },
      {
        name: 'pause',
        title: 'pause',
        where: 'database',
        do: async ({ startedAt }) => {
          const until = Date.parse(startedAt) + 300;
          return systemClock.now() >= until
            ? 'paused'
            : { wait: 'time', until: new Date(until).toISOString() };
        },
      },
      effect('last'),
    ],
    cancelable: true,
  };
}

export function loadEngine(database: Database, processId: number): JobEngine {
  return new JobEngine({
    store: new MariaJobStore(database),
    workflows: [loadWorkflow(database, processId) as SomeWorkflow],
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    owner: `process/${processId}`,
    leaseMilliseconds,
    heartbeatMilliseconds: 1_000,
    pollMilliseconds: 200,
    concurrency: 8,
  });
}

if (import.meta.main) {
  const [socketPath, name] = process.argv.slice(2);
  const database = openDatabase({ socketPath, user: 'root', database: name! });
  const stopping = new AbortController();
  process.once('SIGTERM', () => stopping.abort());
  process.stdout.write('running\n');
  await loadEngine(database, process.pid).run(stopping.signal);
  await database.close();
}
