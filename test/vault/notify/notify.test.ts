/**
 * Goal: what is raised and cleared reaches people and programs, once on a good day and never not at all.
 * Method: the real reconciler and notifier on a real MariaDB; a real SMTP server and a real HTTP server that can refuse.
 */

import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import anyTest from 'ava';
import { SMTPServer } from 'smtp-server';
import { z } from 'zod';
import { type Clock, systemClock, until } from '../../../src/platform/clock.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import type { Database } from '../../../src/platform/mysql.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { parse } from '../../../src/platform/settings.ts';
import { vaultResourceId } from '../../../src/protocol/arm/resource-id.ts';
import type { HealthCondition, StoreFacts } from '../../../src/vault/health/conditions.ts';
import { JobEngine } from '../../../src/vault/jobs/engine.ts';
import type { Workflow } from '../../../src/vault/jobs/workflow.ts';
import { type Channel, mailChannel, webhookChannel } from '../../../src/vault/notify/channels.ts';
import { openChannels } from '../../../src/vault/notify/open-channels.ts';
import { AlertsSettings } from '../../../src/vault/notify/settings.ts';
import { HealthReconciler } from '../../../src/vault/reconcilers/health.ts';
import { Notifier } from '../../../src/vault/reconcilers/notify.ts';
import * as conditions from '../../../src/vault/store/conditions.ts';
import * as history from '../../../src/vault/store/item-history.ts';
import { MariaJobStore } from '../../../src/vault/store/jobs.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import * as sites from '../../../src/vault/store/sites.ts';
import * as states from '../../../src/vault/store/states.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';
import { aMachine, aReport } from '../api/noun-world.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
anyTest.before(async () => {
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(() => mariadb?.dispose());

const start = Date.parse('2026-06-01T00:02:00Z');
const vaultId = vaultResourceId('5ad2a1d6-1b61-4b56-9a2b-111111111111', 'rg', 'v');
const itemId = `${vaultId}/replicationFabrics/f/replicationProtectionContainers/c/replicationProtectedItems/guest`;
const roomy: StoreFacts = { replicaFreePercent: 90, cacheFreePercent: 90 };

class HandClock implements Clock {
  time = start;
  now = () => this.time;
  monotonic = () => this.time;
  sleep = () => Promise.resolve();
}

/** An item that the API knows, with a point taken `secondsAgo`; answers the data plane's id. */
async function addItem(database: Database, clock: Clock, secondsAgo: number): Promise<string> {
  const dataId = systemRandom.uuid();
  await database.change(
    `INSERT INTO protected_items (item_id, name, process_server, disks, retention, sealed_key, created_at)
     VALUES (?, 'guest', 'ps', '[]', '{}', '', ?)`,
    [dataId, new Date(clock.now() - 86_400_000)],
  );
  await database.change(
    `INSERT INTO item_resources (id_key, id, vault_key, container_key, fabric_key, name, friendly_name, instance_type,
       policy_key, item_id, machine_id, process_server_id, protection_state, test_failover_state, active_location, record)
     VALUES (?, ?, ?, '', 'f', 'guest', 'guest', 'InMageAzureV2', 'p', ?, 'm', 'ps', 'Protected', 'None', 'Primary', ?)`,
    [itemId.toLowerCase(), itemId, vaultId.toLowerCase(), dataId, JSON.stringify({ policyId: 'p' })],
  );
  await addPoint(database, dataId, clock.now() - secondsAgo * 1000);
  return dataId;
}

async function addPoint(
  database: Database,
  dataId: string,
  takenAt: number,
  changedBytes = 4096,
): Promise<void> {
  await database.change(
    `INSERT INTO recovery_points
       (item_id, point_id, type, method, taken_at, processed_at, frozen_milliseconds,
         size_bytes, changed_bytes, chain, sequence, locked_until)
     VALUES (?, ?, 'CrashConsistent', 'freeze', ?, ?, 0, 1, ?, 1, ?, NULL)`,
    [dataId, systemRandom.uuid(), new Date(takenAt), new Date(takenAt + 1000), changedBytes, takenAt],
  );
}

const waiting: Workflow<object> = {
  name: 'waiting',
  scenarioName: 'PlannedFailover',
  friendlyName: 'Planned failover',
  input: z.object({}),
  steps: () => [
    {
      name: 'Ask',
      title: 'asking',
      where: 'database',
      do: async ({ resumeComments }) =>
        resumeComments ?? { wait: 'resume', instructions: 'Switch the DNS over.' },
    },
  ],
  cancelable: true,
};

async function world(options: { facts?: StoreFacts } = {}) {
  const { database } = await mariadb.database();
  await migrate(database);
  const clock = new HandClock();
  const metrics = new Metrics();
  const state = { facts: options.facts ?? roomy, changed: 0 };
  const health = new HealthReconciler({
    database,
    clock,
    log: silentLog,
    metrics,
    policyTimes: async () => ({ rpoThresholdSeconds: 900, applicationConsistentSeconds: 0 }),
    vaultIds: async () => [vaultId],
    storeFacts: async () => state.facts,
    onChange: () => {
      state.changed += 1;
    },
  });
  return { database, clock, metrics, state, health };
}

test('an exceeded RPO is raised once, kept while it holds, and cleared by the next point', async (t) => {
  const { database, clock, health, state, metrics } = await world();
  const dataId = await addItem(database, clock, 60);
  await health.pass();
  t.deepEqual(await conditions.raised(database, itemId), []);
  t.regex(metrics.render(), /leeward_item_rpo_seconds\{item="guest",site="f",vault="v"\} 60/);

  clock.time += 1000_000;
  await health.pass();
  await health.pass();
  const [raised] = await conditions.raised(database, itemId.toUpperCase());
  t.like(raised, { name: 'guest', condition: { code: 'RpoExceeded', severity: 'Warning' } });
  t.is((await conditions.changesAfter(database, { after: 0, limit: 10 })).length, 1);

  await addPoint(database, dataId, clock.now() - 5000);
  await health.pass();
  t.deepEqual(await conditions.raised(database, itemId), []);
  const log = await conditions.changesBefore(database, { vaultId, limit: 10 });
  t.deepEqual(
    log.map(({ kind }) => kind),
    ['Cleared', 'Raised'],
  );
  t.is(state.changed, 2);
});

test('a job that waits for a person is told of after a minute, with what to do, until it goes on', async (t) => {
  const { database, clock, health } = await world();
  clock.time = systemClock.now();
  const engine = new JobEngine({
    store: new MariaJobStore(database),
    workflows: [waiting],
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    owner: 'test',
    pollMilliseconds: 100,
  });
  const stopping = new AbortController();
  const running = engine.run(stopping.signal);
  t.teardown(async () => {
    stopping.abort();
    await running;
  });
  const jobId = await engine.start({
    workflow: 'waiting',
    input: {},
    target: { id: `${vaultId}/replicationRecoveryPlans/shop`, name: 'shop', type: 'RecoveryPlan' },
    vaultId,
    requestedBy: 'somebody',
  });
  const reaches = (state: string) =>
    until(
      systemClock,
      60_000,
      async () => (await engine.get(jobId))?.state === state || undefined,
      () => new Error(`the job is not ${state}`),
      20,
    );
  await reaches('Suspended');
  const jobPath = `${vaultId}/replicationJobs/${jobId}`;
  await health.pass();
  t.deepEqual(await conditions.raised(database, jobPath), []);
  clock.time += 61_000;
  await health.pass();
  const [raised] = await conditions.raised(database, jobPath);
  t.like(raised, { condition: { code: 'JobWaits', severity: 'Warning' } });
  t.is(raised!.condition.summary, 'Planned failover of shop waits for a person');
  t.regex(raised!.condition.recommendedAction, /^Switch the DNS over\. \(`leeward job resume /);

  await engine.resume(jobId, 'done', 'somebody');
  await reaches('Succeeded');
  await health.pass();
  t.deepEqual(await conditions.raised(database, jobPath), []);
  t.deepEqual(
    (await conditions.changesBefore(database, { vaultId, limit: 10 })).map(({ kind }) => kind),
    ['Cleared', 'Raised'],
  );
});

test('figures say what holds now', async (t) => {
  const { database, clock, health, metrics, state } = await world();
  await addItem(database, clock, 1000);
  state.facts = { replicaFreePercent: 42, cacheFreePercent: 9 };
  await health.pass();
  const figures = metrics.render().split('\n');
  for (const line of [
    'leeward_items 1',
    'leeward_conditions{severity="Warning"} 1',
    'leeward_conditions{severity="Critical"} 1',
    'leeward_conditions{severity="Information"} 0',
    'leeward_store_free_percent{store="replica"} 42',
    'leeward_conditions_raised_total{code="CacheStorageLow"} 1',
  ])
    t.true(figures.includes(line), line);
});

test('conditions of an item that is gone end with it', async (t) => {
  const { database, clock, health, metrics } = await world();
  await addItem(database, clock, 5000);
  await health.pass();
  t.is((await conditions.raisedInVault(database, vaultId, 10)).length, 1);
  t.regex(metrics.render(), /leeward_item_rpo_seconds\{item="guest"/);
  await database.change('DELETE FROM item_resources');
  await health.pass();
  t.notRegex(metrics.render(), /leeward_item_rpo_seconds\{/, 'nor is there a figure that stands still');
  t.is((await conditions.raisedInVault(database, vaultId, 10)).length, 0);
  t.is((await conditions.changesAfter(database, { vaultId, after: 0, limit: 10 })).at(-1)?.kind, 'Cleared');
});

test('who is silent is named, and a silent site is one condition, not one of each of its machines', async (t) => {
  const { database, clock, health } = await world();
  const dataId = await addItem(database, clock, 60);
  const siteId = systemRandom.uuid();
  const iso = (time: number) => new Date(time).toISOString();
  await sites.add(database, {
    siteId,
    vaultId: vaultId.toLowerCase(),
    fabricName: 'f',
    hostName: 'cs',
    version: '1',
    boxPublicKey: Buffer.alloc(32).toString('base64'),
    registeredAt: iso(clock.now()),
  });
  const processServerId = systemRandom.uuid();
  const report = (machineAt: number, serverAt: number) => {
    const machine = aMachine('guest', {
      itemId: dataId as never,
      // The item has none either.
      disks: [],
      mobilityService: { version: '1', lastHeartbeatAt: iso(machineAt) },
    });
    const said = aReport(iso(clock.now()), processServerId, [{ ...machine, machineId: dataId as never }]);
    const [server] = said.processServers;
    return sites.keepReport(
      database,
      siteId,
      { ...said, processServers: [{ ...server!, lastHeartbeatAt: iso(serverAt) }] },
      iso(clock.now()),
    );
  };
  const holding = async () => {
    // New points all the while: what is silent need not stand still.
    await addPoint(database, dataId, clock.now() - 5000);
    await health.pass();
    return (await conditions.raisedInVault(database, vaultId, 10))
      .map(({ condition, name }) => `${condition.code} ${name}`)
      .sort();
  };
  await report(clock.now(), clock.now());
  t.deepEqual(await holding(), []);
  const quietAt = clock.now();
  clock.time += 1000_000;
  await report(quietAt, clock.now());
  t.deepEqual(await holding(), ['MobilityServiceSilent guest']);
  await report(clock.now(), quietAt);
  t.deepEqual(await holding(), ['ProcessServerSilent ps1']);
  await report(clock.now(), clock.now());
  t.deepEqual(await holding(), []);
  clock.time += 1000_000;
  t.deepEqual(await holding(), ['ConfigurationServerSilent f']);
  await report(clock.now(), clock.now());
  t.deepEqual(await holding(), []);

  await states.block(database, dataId as never, {
    chain: 1,
    event: {
      code: 'SegmentDamaged',
      severity: 'critical',
      summary: 'a segment is damaged',
      possibleCauses: 'The line.',
      recommendedAction: 'Compare anew.',
      raisedAt: iso(clock.now()),
      context: {},
    },
  });
  t.deepEqual(await holding(), ['SegmentDamaged guest']);
  await database.change('DELETE FROM blocked');
  t.deepEqual(await holding(), []);
  const kinds = (await conditions.changesAfter(database, { vaultId, after: 0, limit: 50 })).map(
    ({ kind, condition }) => `${kind} ${condition.code}`,
  );
  t.deepEqual(kinds.sort(), [
    'Cleared ConfigurationServerSilent',
    'Cleared MobilityServiceSilent',
    'Cleared ProcessServerSilent',
    'Cleared SegmentDamaged',
    'Raised ConfigurationServerSilent',
    'Raised MobilityServiceSilent',
    'Raised ProcessServerSilent',
    'Raised SegmentDamaged',
  ]);
});

test('a store that runs full is a condition of the vault', async (t) => {
  const { database, health } = await world({ facts: { replicaFreePercent: 9, cacheFreePercent: 50 } });
  await health.pass();
  t.like((await conditions.raisedInVault(database, vaultId, 10))[0], {
    id: vaultId,
    condition: { code: 'ReplicaStoreLow', severity: 'Critical' },
  });
});

test('RPO and churn are kept in five minutes, then in hours, and no byte is counted twice', async (t) => {
  const { database, clock, health } = await world();
  const dataId = await addItem(database, clock, 60);
  const first = clock.now();
  let bytes = 0;
  for (let count = 0; count < 24; count += 1) {
    clock.time = first + count * 300_000;
    await addPoint(database, dataId, clock.now() - 10_000, 1000 + count);
    bytes += 1000 + count;
    await health.pass();
    await health.pass();
  }
  const page = { from: '2026-05-01T00:00:00Z', to: '2027-01-01T00:00:00Z', limit: 10_000 };
  const fine = await history.list(database, dataId, page);
  t.is(fine.length, 24);
  const sum = (rows: readonly history.HistorySample[]) =>
    rows.reduce((total, row) => total + row.changedBytes, 0);
  // And the 4 KiB of the point that was there before, in the same five minutes as the first.
  t.is(sum(fine), bytes + 4096);
  t.is(fine.at(-1)!.rpoSeconds, 10);

  clock.time = first + 2 * 86_400_000;
  await history.thin(database, clock.now());
  const coarse = await history.list(database, dataId, page);
  t.true(coarse.every(({ seconds }) => seconds === 3600));
  t.is(sum(coarse), sum(fine));
  await history.thin(database, clock.now());
  t.deepEqual(await history.list(database, dataId, page), coarse);
  await history.thin(database, first + 40 * 86_400_000);
  t.deepEqual(await history.list(database, dataId, page), []);
});

test('what came after the last look at its five minutes is counted in them', async (t) => {
  const { database, clock, health } = await world();
  const dataId = await addItem(database, clock, 60);
  await health.pass();
  // It is 00:04:50; the next look is in the next five minutes.
  clock.time = start + 170_000;
  await addPoint(database, dataId, clock.now(), 1000);
  clock.time += 20_000;
  await health.pass();
  await health.pass();
  const page = { from: '2026-06-01T00:00:00Z', to: '2026-06-02T00:00:00Z', limit: 10 };
  const rows = await history.list(database, dataId, page);
  t.deepEqual(
    rows.map(({ at, changedBytes, points }) => [at, changedBytes, points]),
    [
      ['2026-06-01T00:00:00.000Z', 4096 + 1000, 2],
      ['2026-06-01T00:05:00.000Z', 0, 0],
    ],
  );
});

test('a change that another process commits late is told, and before those that came after it', async (t) => {
  const { database } = await world();
  const raise = (session: Pick<Database, 'change'>, name: string) =>
    session.change(
      `INSERT INTO health_changes (vault_hash, vault_id, object_id, object_name, kind, said, at)
       SELECT vault_hash, vault_id, object_id, ?, kind, said, at FROM health_changes LIMIT 1`,
      [name],
    );
  const condition: HealthCondition = {
    code: 'CacheNearlyFull',
    category: 'FabricInfrastructure',
    severity: 'Warning',
    ...{ summary: 's', possibleCauses: 'c', recommendedAction: 'a', context: {}, sustainSeconds: 0 },
  };
  const changes = { begin: [], refresh: [], raise: [condition], clear: [] };
  const object = { id: vaultId, name: 'first', vaultId };
  await conditions.keep(database, object, changes, new Date(start).toISOString());
  const [first] = await conditions.changesAfter(database, { after: 0, limit: 10 });
  const isWritten = Promise.withResolvers<void>();
  const mayCommit = Promise.withResolvers<void>();
  const slow = database.transaction(async (session) => {
    await raise(session, 'slow');
    isWritten.resolve();
    await mayCommit.promise;
  });
  await isWritten.promise;
  await raise(database, 'quick');
  const looking = conditions.changesAfter(database, { after: first!.changeId, limit: 10 });
  const blocked = until(
    systemClock,
    60_000,
    async () =>
      (await database.rows('SELECT requesting_trx_id FROM information_schema.innodb_lock_waits')).length > 0
        ? 'waits'
        : undefined,
    () => new Error('nobody waits'),
  );
  const sooner = await Promise.race([blocked, looking.then(() => 'has passed it by')]);
  mayCommit.resolve();
  await slow;
  t.is(sooner, 'waits');
  t.deepEqual(
    (await looking).map(({ name }) => name),
    ['slow', 'quick'],
  );
});

test('one mail tells many changes, names cause and action, and nothing while nobody listens', async (t) => {
  const mails: string[] = [];
  let isRefusing = false;
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS', 'AUTH'],
    onRcptTo: (_address, _session, done) => done(isRefusing ? new Error('not today') : null),
    onData: (stream, _session, done) => {
      void text(stream).then((mail) => {
        mails.push(mail);
        done();
      });
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const { database, clock, health } = await world({ facts: { replicaFreePercent: 9, cacheFreePercent: 9 } });
  let recipients: string[] = [];
  const channel = mailChannel(
    vaultId,
    'https://vault.example:8443',
    {
      host: '127.0.0.1',
      port: (server.server.address() as AddressInfo).port,
      security: 'none',
      from: 'vault@example.org',
    },
    async () => recipients,
  );
  const notifier = new Notifier({ database, clock, log: silentLog, channels: async () => [channel] });
  const { signal } = new AbortController();

  await notifier.pass(signal);
  await health.pass();
  await notifier.pass(signal);
  t.deepEqual(mails, []);

  recipients = ['operator@example.org', 'boss@example.org'];
  await addItem(database, clock, 5000);
  await health.pass();
  isRefusing = true;
  await notifier.pass(signal);
  t.deepEqual(mails, []);
  isRefusing = false;
  // It waits before it tries again.
  await notifier.pass(signal);
  t.deepEqual(mails, []);
  clock.time += 31_000;
  await notifier.pass(signal);
  await notifier.pass(signal);
  t.is(mails.length, 1);
  t.regex(mails[0]!, /^To: operator@example\.org, boss@example\.org/m);
  t.regex(mails[0]!, /^Subject: \[Leeward v\] Critical: RpoExceeded of guest/m);
  t.regex(mails[0]!, /possible causes:/);
  t.regex(mails[0]!, /what to do:/);
});

test('a webhook gets everything behind its cursor, signed, also after a day away and a restart', async (t) => {
  const bodies: { body: string; signature: string | undefined }[] = [];
  let status = 500;
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      if (status === 200) bodies.push({ body, signature: request.headers['leeward-signature'] as string });
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { database, clock, health, state } = await world();
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const channels = async (): Promise<Channel[]> => [webhookChannel(url, 'shared')];
  const fresh = () => new Notifier({ database, clock, log: silentLog, channels });
  const { signal } = new AbortController();
  await fresh().pass(signal);
  for (const replicaFreePercent of [9, 90, 9]) {
    state.facts = { ...roomy, replicaFreePercent };
    await health.pass();
    clock.time += 3600_000;
    await fresh().pass(signal);
  }
  t.deepEqual(bodies, []);
  status = 200;
  clock.time += 3600_000;
  await fresh().pass(signal);
  await fresh().pass(signal);
  t.is(bodies.length, 1);
  const { body, signature } = bodies[0]!;
  t.is(signature, `sha256=${createHmac('sha256', 'shared').update(body).digest('hex')}`);
  const { changes, ...rest } = JSON.parse(body);
  t.deepEqual(rest, { version: 1, vaultId });
  t.deepEqual(
    changes.map(({ kind, code }: { kind: string; code: string }) => `${kind} ${code}`),
    ['Raised ReplicaStoreLow', 'Cleared ReplicaStoreLow', 'Raised ReplicaStoreLow'],
  );
});

anyTest('mail and webhooks in the clear stay on this machine', (t) => {
  const mail = { host: 'mail.example.org', port: 25, security: 'none', from: 'v@example.org' };
  t.regex(t.throws(() => parse(AlertsSettings, { mail }, 'alerts')).message, /on this machine only/);
  t.notThrows(() => parse(AlertsSettings, { mail: { ...mail, host: '127.0.0.1' } }, 'alerts'));
  const webhooks = [{ url: 'http://chat.example.org/x' }];
  t.regex(t.throws(() => parse(AlertsSettings, { webhooks }, 'alerts')).message, /to this machine only/);
});

anyTest(
  'owners and named addresses get mail as the alert settings say, and a missing secret is named',
  async (t) => {
    const settings = parse(
      AlertsSettings,
      {
        mail: {
          host: 'm',
          from: 'v@example.org',
          owners: ['o@example.org'],
          passwordFile: '/nowhere/secret',
        },
      },
      'alerts',
    );
    const parts = {
      publicUrl: 'https://v',
      vaultIds: async () => [vaultId],
      alertSettings: async () => [
        { sendToOwners: 'Send', customEmailAddresses: ['a@example.org', 'o@example.org'] },
      ],
    };
    await t.throwsAsync(openChannels(settings, parts), { message: /\/nowhere\/secret/ });
    const { passwordFile: _, ...mail } = settings.mail!;
    const channels = await (await openChannels({ ...settings, mail }, parts))();
    t.deepEqual(
      channels.map(({ name }) => name),
      [`mail of ${vaultId}`],
    );
  },
);
