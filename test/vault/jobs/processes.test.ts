/**
 * Goal: with two vault processes over one database, of which one is killed again and again, no job is lost and none is done
 * by two at once.
 * Method: real processes, real MariaDB, SIGKILL. Whatever a step does is appended to a ledger; a step may stand there twice
 * only if whoever did it first was killed, and the second time only behind that moment: one that two do at once is found even
 * when one of them is killed later.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import anyTest from 'ava';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { MariaJobStore } from '../../../src/vault/store/jobs.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import { loadEngine } from '../../support/job-process.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const test = (await hasMariadb()) ? anyTest : anyTest.skip;
const limitMilliseconds = 120_000;
const kills = 6;
const jobsEachRound = 8;

let server: PrivateMariadb | undefined;
const processes = new Set<ChildProcess>();
anyTest.after.always(async () => {
  for (const child of processes) child.kill('SIGKILL');
  await server?.dispose();
});

test('two vault processes, one of them killed again and again, lose no job and do none twice', async (t) => {
  t.timeout(180_000);
  server = await startPrivateMariadb();
  const { name, database } = await server.database();
  await migrate(database);
  await database.change(
    `CREATE TABLE ledger (place BIGINT AUTO_INCREMENT PRIMARY KEY, job_id CHAR(36), step VARCHAR(20), edge VARCHAR(5),
       process_id INT) ENGINE = InnoDB`,
  );
  const script = join(import.meta.dirname, '../../support/job-process.ts');
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(process.execPath, [script, server!.socketPath, name], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    processes.add(child);
    await once(child.stdout!, 'data');
    return child;
  };
  const vaults = [await start(), await start()];
  /** How long the ledger was when each was killed. */
  const killedAt = new Map<number, number>();
  const ledgerLength = async () => Number((await database.rows('SELECT COUNT(*) AS n FROM ledger'))[0]!.n);
  // Starts jobs, and never runs: a front door without an engine.
  const door = loadEngine(database, 0);
  const started: string[] = [];
  for (let round = 0; round < kills; round++) {
    for (let n = 0; n < jobsEachRound; n++)
      started.push(
        await door.start({
          workflow: 'load',
          input: { pauseMilliseconds: 20 + 40 * (n % 4), children: n % 3 },
          target: { id: `/load/${systemRandom.uuid()}`, name: 'load', type: 'Load' },
          vaultId: '/v',
          requestedBy: 'test',
        }),
      );
    const seen = await ledgerLength();
    // In the midst of work: something was done since the round began.
    await until(
      systemClock,
      limitMilliseconds,
      async () => ((await ledgerLength()) > seen + 3 ? true : undefined),
      () => new Error('nothing is done'),
      5,
    );
    const victim = vaults[round % 2]!;
    const [last] = await database.rows('SELECT MAX(place) AS place FROM ledger');
    killedAt.set(victim.pid!, Number(last!.place));
    victim.kill('SIGKILL');
    await once(victim, 'exit');
    processes.delete(victim);
    vaults[round % 2] = await start();
  }
  const store = new MariaJobStore(database);
  const left = async () =>
    Number((await database.rows('SELECT COUNT(*) AS n FROM jobs WHERE ended_at IS NULL'))[0]!.n);
  await until(
    systemClock,
    limitMilliseconds,
    async () => ((await left()) === 0 ? true : undefined),
    () => new Error('jobs are left'),
    100,
  );

  const jobs = await store.list({}, { limit: 1000 });
  const children = started.reduce((sum, _, index) => sum + ((index % jobsEachRound) % 3), 0);
  t.is(jobs.length, started.length + children, 'each child was started once');
  for (const { jobId, state } of jobs) {
    t.is(state, 'Succeeded');
    const entries = (await store.log(jobId)).map(
      (entry) => `${entry.entry} ${'step' in entry ? entry.step : ''}`,
    );
    t.deepEqual(
      entries,
      ['first', 'children', 'pause', 'last'].flatMap((step) => [`Started ${step}`, `Succeeded ${step}`]),
    );
  }
  const ledger = await database.rows(
    'SELECT place, job_id, step, edge, process_id FROM ledger ORDER BY place',
  );
  interface Entry {
    readonly place: number;
    readonly processId: number;
    readonly edge: string;
  }
  const runs = new Map<string, Entry[]>();
  for (const { place, job_id, step, edge, process_id } of ledger) {
    const key = `${job_id} ${step}`;
    const entry = { place: Number(place), processId: Number(process_id), edge: String(edge) };
    runs.set(key, [...(runs.get(key) ?? []), entry]);
  }
  t.is(runs.size, jobs.length * 2);
  let repeated = 0;
  for (const [key, entries] of runs) {
    const begins = entries.filter(({ edge }) => edge === 'begin');
    // All but the last were broken off by a kill, before the next one began; the last one came through.
    for (const [index, { processId }] of begins.slice(0, -1).entries())
      t.true(
        (killedAt.get(processId) ?? Number.POSITIVE_INFINITY) < begins[index + 1]!.place,
        `${key}: ${JSON.stringify(entries)}`,
      );
    // What one has done, the next one does again only if it died before it could say so.
    t.true(entries.filter(({ edge }) => edge === 'end').length <= begins.length, key);
    t.is(entries.at(-1)?.edge, 'end', key);
    repeated += begins.length - 1;
  }
  t.log(`${jobs.length} jobs, ${kills} kills, ${ledger.length} effects, ${repeated} steps taken up again`);
  t.true(repeated > 0, 'the kills hit nothing');
  for (const child of vaults) {
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    processes.delete(child);
    t.is(code, 0, 'a process that is told to stop drains and ends');
  }
});
