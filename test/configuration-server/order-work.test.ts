/**
 * Goal: an order's effect happens once and its answer is one, wherever the process dies. Method: the same classes on a real
 * database that fails at its n-th statement, for every n there is; then a successor on a sound one. Effects are counted in a
 * ledger that scripts write, and in the rows that agents are told from.
 */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { OrderWork } from '../../src/configuration-server/assignments/order-work.ts';
import { wantedOf } from '../../src/configuration-server/assignments/wanted.ts';
import { scriptsMax } from '../../src/configuration-server/limits.ts';
import { ScriptRuns } from '../../src/configuration-server/scripts/runs.ts';
import * as agents from '../../src/configuration-server/store/agents.ts';
import * as items from '../../src/configuration-server/store/items.ts';
import { migrate } from '../../src/configuration-server/store/migrate.ts';
import * as orders from '../../src/configuration-server/store/orders.ts';
import { adopt } from '../../src/configuration-server/store/registrations.ts';
import { Bell } from '../../src/platform/bell.ts';
import { type BoxKeys, makeBoxKeys, sealTo } from '../../src/platform/box.ts';
import { type Clock, systemClock, until } from '../../src/platform/clock.ts';
import { LeewardError } from '../../src/platform/errors.ts';
import { silentLog } from '../../src/platform/log.ts';
import type { Database, Session } from '../../src/platform/mysql.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { AgentReport, agentSilentMilliseconds } from '../../src/protocol/control/agent-link.ts';
import { type SiteAnswer, SiteOrder } from '../../src/protocol/control/site-link.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../support/private-mariadb.ts';

const test = (await hasMariadb()) ? anyTest.serial : anyTest.skip;
let mariadb: PrivateMariadb;
let folder: string;

anyTest.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leeward-orders-'));
  if (await hasMariadb()) mariadb = await startPrivateMariadb();
});
anyTest.after.always(async () => {
  await mariadb?.dispose();
  await rm(folder, { recursive: true, force: true });
});

class Crash extends Error {}

/** Dies at the n-th statement: before it, or, in a transaction, also between its commit and the return. */
function dyingAt(database: Database, statement: number): Database & { readonly count: number } {
  let count = 0;
  const step = () => {
    count += 1;
    if (count >= statement) throw new Crash(`at ${statement}`);
  };
  const dying = (session: Session): Session => ({
    rows: async (sql, values) => {
      step();
      return session.rows(sql, values);
    },
    change: async (sql, values) => {
      step();
      const changed = await session.change(sql, values);
      step();
      return changed;
    },
  });
  return {
    ...dying(database),
    get count() {
      return count;
    },
    transaction: async (work) => {
      const result = await database.transaction((session) => work(dying(session)));
      step();
      return result;
    },
    close: () => database.close(),
    [Symbol.asyncDispose]: () => database.close(),
  };
}

interface World {
  vaultIsAway: boolean;
  readonly database: Database;
  readonly boxKeys: BoxKeys;
  readonly masterKey: Buffer;
  readonly folder: string;
  readonly ledger: string;
  clockOffset: number;
  /** How much later the monotonic clock is than the system's. */
  passedMilliseconds: number;
  work(database?: Database): OrderWork;
  order(content: Record<string, unknown>, expiresSeconds?: number): Promise<SiteOrder>;
  answer(orderId: string): Promise<SiteAnswer | undefined>;
  sealedKey(): string;
}

let worlds = 0;
let sequence = 0;

async function world(): Promise<World> {
  const { database } = await mariadb.database();
  await migrate(database);
  const own = join(folder, `world-${++worlds}`);
  await mkdir(join(own, 'scripts'), { recursive: true });
  const ledger = join(own, 'ledger');
  await writeFile(
    join(own, 'scripts', 'note'),
    `#!/bin/sh\necho "$1" >> ${ledger}\nsync ${ledger}\necho "noted $1"\n`,
  );
  await writeFile(join(own, 'scripts', 'fail'), '#!/bin/sh\necho no good; exit 3\n');
  await writeFile(join(own, 'scripts', 'slow'), '#!/bin/sh\nsleep 60\n');
  await writeFile(join(own, 'scripts', 'open'), '#!/bin/sh\ntrue\n');
  for (const name of ['note', 'fail', 'slow']) await chmod(join(own, 'scripts', name), 0o700);
  await chmod(join(own, 'scripts', 'open'), 0o777);
  const boxKeys = makeBoxKeys(systemRandom);
  const masterKey = systemRandom.bytes(32);
  const state = { clockOffset: 0, passedMilliseconds: 0, vaultIsAway: false };
  const clock: Clock = {
    ...systemClock,
    now: () => systemClock.now() + state.clockOffset,
    monotonic: () => systemClock.monotonic() + state.passedMilliseconds,
  };
  return {
    database,
    boxKeys,
    masterKey,
    folder: own,
    ledger,
    get clockOffset() {
      return state.clockOffset;
    },
    set clockOffset(value: number) {
      state.clockOffset = value;
    },
    get passedMilliseconds() {
      return state.passedMilliseconds;
    },
    set passedMilliseconds(value: number) {
      state.passedMilliseconds = value;
    },
    set vaultIsAway(value: boolean) {
      state.vaultIsAway = value;
    },
    work: (on = database) =>
      new OrderWork({
        database: on,
        clock,
        random: systemRandom,
        log: silentLog,
        masterKey,
        boxSecretKey: boxKeys.secretKey,
        scripts: new ScriptRuns({
          scriptsFolder: join(own, 'scripts'),
          runsFolder: join(own, 'runs'),
          clock,
        }),
        renewCertificate: async () => {
          if (state.vaultIsAway)
            throw new LeewardError({
              code: 'PeerUnreachable',
              summary: 'the vault is away',
              possibleCauses: 'x',
              recommendedAction: 'y',
              retry: 'transient',
            });
          return '2027-01-01T00:00:00.000Z';
        },
        wantedBell: new Bell(),
        workBell: new Bell(),
        answerBell: new Bell(),
        reportBell: new Bell(),
      }),
    order: async (content, expiresSeconds = 60) => {
      const order = SiteOrder.parse({
        orderId: systemRandom.uuid(),
        sequence: ++sequence,
        expiresAt: new Date(systemClock.now() + expiresSeconds * 1000).toISOString(),
        ...content,
      });
      // As if the vault repeated itself.
      const at = new Date(systemClock.now()).toISOString();
      await orders.receive(database, [order, order], at);
      await orders.receive(database, [order], at);
      return order;
    },
    answer: async (orderId) =>
      (await orders.unsent(database, 100)).find((answer) => answer.orderId === orderId),
    sealedKey: () => sealTo(boxKeys.publicKey, systemRandom.bytes(32), systemRandom).toString('base64'),
  };
}

async function passUntilAnswered(at: World, work: OrderWork, orderId: string): Promise<SiteAnswer> {
  return until(
    systemClock,
    120_000,
    async () => {
      await work.pass();
      return at.answer(orderId);
    },
    () => new Error(`${orderId} is not answered`),
    20,
  );
}

const note = (text: string) => ({ order: 'run-script', name: 'note', arguments: [text], timeoutSeconds: 20 });

async function enrolled(at: World): Promise<{ machineId: string; processServerId: string }> {
  const machineId = systemRandom.uuid();
  const processServerId = systemRandom.uuid();
  const now = new Date(systemClock.now()).toISOString();
  await agents.enrol(at.database, { agentId: machineId, role: 'mobility-service', name: 'machine' }, now);
  await agents.enrol(at.database, { agentId: processServerId, role: 'process-server', name: 'ps' }, now);
  await agents.report(
    at.database,
    processServerId,
    {
      role: 'process-server',
      processServer: {
        processServerId,
        name: 'ps',
        host: '192.0.2.7',
        port: 9443,
        version: '0.1.0',
        cpuPercent: 1,
        memoryTotalBytes: 1,
        memoryAvailableBytes: 1,
        spoolTotalBytes: 1,
        spoolFreeBytes: 1,
        pendingBytes: 0,
        uploadBytesPerSecond: 0,
        itemCount: 0,
        health: [],
      },
    },
    now,
  );
  return { machineId, processServerId };
}

async function takes(at: World, agentId: string, role: 'mobility-service' | 'process-server') {
  const { version, wanted } = await wantedOf(at.database, { agentId, role }, at.masterKey);
  await agents.answered(at.database, agentId, version, undefined);
  return wanted;
}

function protect(
  at: World,
  ids: { machineId: string; processServerId: string },
  itemId = systemRandom.uuid(),
) {
  return {
    order: 'protect',
    itemId,
    name: 'item',
    ...ids,
    disks: [{ diskId: systemRandom.uuid(), path: '/dev/vda' }],
    sealedItemKey: at.sealedKey(),
    policy: { crashConsistentSeconds: 300, applicationConsistentSeconds: 0 },
  };
}

test('a certificate is renewed when the vault is back, and nothing else waits for that', async (t) => {
  const at = await world();
  at.vaultIsAway = true;
  const renewal = await at.order({ order: 'renew-certificate' });
  const work = at.work();
  const script = await passUntilAnswered(at, work, (await at.order(note('meanwhile'))).orderId);
  t.is(script.outcome.state, 'done');
  t.is(await at.answer(renewal.orderId), undefined);
  at.vaultIsAway = false;
  const { outcome } = await passUntilAnswered(at, work, renewal.orderId);
  t.deepEqual(outcome, { state: 'done', output: '2027-01-01T00:00:00.000Z' });

  at.vaultIsAway = true;
  const late = await at.order({ order: 'renew-certificate' });
  at.clockOffset = 3_600_000;
  t.like((await passUntilAnswered(at, work, late.orderId)).outcome, { error: { code: 'OrderExpired' } });
});

test('a script’s order is done once and answered once, wherever the process dies', async (t) => {
  const at = await world();
  let deaths = 0;
  for (let statement = 1; ; statement++) {
    const order = await at.order(note(`death at ${statement}`));
    const dying = dyingAt(at.database, statement);
    const first = at.work(dying);
    let hasDied = false;
    // Several passes: the script begins in one and is found ended in a later one.
    for (let pass = 0; pass < 40 && !hasDied && !(await at.answer(order.orderId)); pass++) {
      await first.pass().catch((error: unknown) => {
        if (!(error instanceof Crash)) throw error;
        hasDied = true;
      });
      await systemClock.sleep(5);
    }
    const answer = await passUntilAnswered(at, at.work(), order.orderId);
    t.deepEqual(answer.outcome, { state: 'done', output: `noted death at ${statement}\n` });
    if (!hasDied) break;
    deaths += 1;
    // As the vault would confirm.
    await orders.sent(at.database, [order.orderId], new Date(systemClock.now()).toISOString());
  }
  const lines = (await readFile(at.ledger, 'utf8')).trim().split('\n');
  t.is(new Set(lines).size, lines.length, 'no script ran twice');
  t.is(lines.length, deaths + 1, 'each one ran');
  t.true(deaths >= 5, `there were ${deaths} places to die at`);
});

test('a protect order assigns once, serves the process server first, and is answered when both have taken it', async (t) => {
  const at = await world();
  for (let statement = 1, hasDied = true; hasDied; statement++) {
    hasDied = false;
    const ids = await enrolled(at);
    const order = await at.order(protect(at, ids));
    const dying = at.work(dyingAt(at.database, statement));
    await dying.pass().catch((error: unknown) => {
      if (!(error instanceof Crash)) throw error;
      hasDied = true;
    });
    const work = at.work();
    await work.pass();
    t.is(
      (await items.ofMachine(at.database, ids.machineId))?.itemId,
      (order as { itemId: string }).itemId as never,
    );
    t.like(await takes(at, ids.machineId, 'mobility-service'), { item: null }, 'it would be turned away');
    await work.pass();
    t.is(await at.answer(order.orderId), undefined);
    t.like(await takes(at, ids.processServerId, 'process-server'), { items: [{ name: 'item' }] });
    await work.pass();
    t.is(await at.answer(order.orderId), undefined, 'the machine has not taken it');
    t.like(await takes(at, ids.machineId, 'mobility-service'), {
      item: { processServer: { host: '192.0.2.7', port: 9443 } },
    });
    await work.pass();
    t.deepEqual((await at.answer(order.orderId))?.outcome, { state: 'done' });
    await orders.sent(at.database, [order.orderId], new Date(systemClock.now()).toISOString());
  }
});

test('a script that nobody waits for any more is ended, or does not begin', async (t) => {
  const at = await world();
  const script = { order: 'run-script', name: 'slow', arguments: [], timeoutSeconds: 60 };
  const running = await at.order(script);
  const work = at.work();
  for (let pass = 0; pass < 3; pass++) await work.pass();
  t.is(await at.answer(running.orderId), undefined);
  const stop = await at.order({ order: 'stop-script', scriptOrderId: running.orderId });
  t.deepEqual((await passUntilAnswered(at, work, stop.orderId)).outcome, { state: 'done' });
  t.like((await passUntilAnswered(at, work, running.orderId)).outcome, {
    state: 'failed',
    error: { code: 'ScriptFailed' },
  });
  // Before it began: as many as run at once are under way.
  const busy = await Promise.all(Array.from({ length: scriptsMax }, () => at.order(script)));
  const late = await at.order(note('never'));
  await work.pass();
  const early = await at.order({ order: 'stop-script', scriptOrderId: late.orderId });
  t.deepEqual((await passUntilAnswered(at, work, early.orderId)).outcome, { state: 'done' });
  for (const { orderId } of busy) await at.order({ order: 'stop-script', scriptOrderId: orderId });
  t.like((await passUntilAnswered(at, work, late.orderId)).outcome, { state: 'failed' });
  for (const { orderId } of busy) await passUntilAnswered(at, work, orderId);
  t.false((await readFile(at.ledger, 'utf8').catch(() => '')).includes('never'));
  // Of one that is answered nothing is left, and nothing comes back.
  const again = await at.order({ order: 'stop-script', scriptOrderId: late.orderId });
  await passUntilAnswered(at, work, again.orderId);
  t.deepEqual(await readdir(join(at.folder, 'runs')), []);
});

test('a failover is durable at once and told to the process server, and so is its cancelling', async (t) => {
  const at = await world();
  const ids = await enrolled(at);
  const { itemId, orderId } = (await at.order(protect(at, ids))) as SiteOrder & { itemId: string };
  await at.work().pass();
  await takes(at, ids.processServerId, 'process-server');
  await at.work().pass();
  await takes(at, ids.machineId, 'mobility-service');
  await passUntilAnswered(at, at.work(), orderId);
  const before = await items.byId(at.database, itemId);
  const failedOver = { failoverId: systemRandom.uuid(), at: '2026-01-01T00:00:00.000Z' };
  const on = await at.order({ order: 'change-failed-over', itemId, failedOver });
  t.deepEqual((await passUntilAnswered(at, at.work(), on.orderId)).outcome, { state: 'done' });
  t.like(await takes(at, ids.processServerId, 'process-server'), { items: [{ itemId, failedOver }] });
  // A policy that changes meanwhile lets nobody in.
  const policy = { crashConsistentSeconds: 60, applicationConsistentSeconds: 0 };
  const change = await at.order({ order: 'change-policy', itemId, policy });
  await passUntilAnswered(at, at.work(), change.orderId);
  t.like(await takes(at, ids.processServerId, 'process-server'), { items: [{ failedOver }] });
  const off = await at.order({ order: 'change-failed-over', itemId, failedOver: null });
  t.deepEqual((await passUntilAnswered(at, at.work(), off.orderId)).outcome, { state: 'done' });
  t.deepEqual(await items.byId(at.database, itemId), { ...before!, policy });
  const unknown = await at.order({ order: 'change-failed-over', itemId: systemRandom.uuid(), failedOver });
  t.deepEqual((await passUntilAnswered(at, at.work(), unknown.orderId)).outcome, { state: 'done' });
});

test('a changed policy is durable at once, told to the machine, and nothing where the item is not', async (t) => {
  const at = await world();
  const ids = await enrolled(at);
  const { itemId, orderId } = (await at.order(protect(at, ids))) as SiteOrder & { itemId: string };
  await at.work().pass();
  await takes(at, ids.processServerId, 'process-server');
  await at.work().pass();
  await takes(at, ids.machineId, 'mobility-service');
  await passUntilAnswered(at, at.work(), orderId);
  const policy = { crashConsistentSeconds: 60, applicationConsistentSeconds: 3600 };
  const change = await at.order({ order: 'change-policy', itemId, policy });
  t.deepEqual((await passUntilAnswered(at, at.work(), change.orderId)).outcome, { state: 'done' });
  t.like(await takes(at, ids.machineId, 'mobility-service'), { item: { itemId, policy } });
  t.true((await items.byId(at.database, itemId))?.isServed, 'it need not be served anew');
  const unknown = await at.order({ order: 'change-policy', itemId: systemRandom.uuid(), policy });
  t.deepEqual((await passUntilAnswered(at, at.work(), unknown.orderId)).outcome, { state: 'done' });
  // Disabled meanwhile: it does not come back.
  const off = await at.order({ order: 'unprotect', itemId });
  const late = await at.order({ order: 'change-policy', itemId, policy });
  await at.work().pass();
  await takes(at, ids.machineId, 'mobility-service');
  await takes(at, ids.processServerId, 'process-server');
  await passUntilAnswered(at, at.work(), off.orderId);
  t.deepEqual((await passUntilAnswered(at, at.work(), late.orderId)).outcome, { state: 'done' });
  t.is(await items.byId(at.database, itemId), undefined);
});

test('what an agent cannot take is withdrawn and answered with its reason', async (t) => {
  const at = await world();
  const ids = await enrolled(at);
  const order = await at.order(protect(at, ids));
  const work = at.work();
  await work.pass();
  await takes(at, ids.processServerId, 'process-server');
  await work.pass();
  const { version } = await wantedOf(
    at.database,
    { agentId: ids.machineId, role: 'mobility-service' },
    at.masterKey,
  );
  const error = {
    code: 'DiskNotFound',
    severity: 'error' as const,
    summary: 'there is no /dev/vda',
    possibleCauses: 'It is gone.',
    recommendedAction: 'Look.',
    raisedAt: new Date(systemClock.now()).toISOString(),
    context: {},
  };
  await agents.answered(at.database, ids.machineId, version, error);
  await work.pass();
  t.deepEqual((await at.answer(order.orderId))?.outcome, { state: 'failed', error });
  t.is(await items.ofMachine(at.database, ids.machineId), undefined);
});

test('disabling ends an enabling that waits, waits for those that live, and not for those that are silent', async (t) => {
  const at = await world();
  const ids = await enrolled(at);
  const enabling = await at.order(protect(at, ids));
  const work = at.work();
  await work.pass();
  const { itemId } = enabling as { itemId: string } & SiteOrder;
  const disabling = await at.order({ order: 'unprotect', itemId });
  for (let pass = 0; pass < 3; pass++) await work.pass();
  t.like((await at.answer(enabling.orderId))?.outcome, {
    state: 'failed',
    error: { code: 'OrderWithdrawn' },
  });
  t.is(await at.answer(disabling.orderId), undefined, 'the process server lives and has not let go');
  await takes(at, ids.processServerId, 'process-server');
  await work.pass();
  t.deepEqual(
    (await at.answer(disabling.orderId))?.outcome,
    { state: 'done' },
    'the machine was never heard of',
  );
});

test('a machine is off when it said good-bye as the last one there, and nothing came from it since', async (t) => {
  const at = await world();
  const { machineId } = await enrolled(at);
  const order = await at.order({ order: 'shut-down-machine', machineId, timeoutSeconds: 600 }, 7200);
  const work = at.work();
  const outcomeAfter = async (milliseconds: number) => {
    at.passedMilliseconds += milliseconds;
    await work.pass();
    return (await at.answer(order.orderId))?.outcome;
  };
  await speaks(at, machineId);
  t.is(await outcomeAfter(0), undefined);
  // Its last word looks an hour old, and it runs.
  at.clockOffset = 3_600_000;
  t.is(await outcomeAfter(1000), undefined);
  work.commandAnswered(machineId, { commandId: order.orderId });
  t.is(await outcomeAfter(agentSilentMilliseconds + 1000), undefined, 'silence alone is no good-bye');
  const bookmarkId = systemRandom.uuid();
  await speaks(at, machineId, bookmarkId);
  t.is(await outcomeAfter(0), undefined);
  t.is(await outcomeAfter(agentSilentMilliseconds - 1000), undefined, 'it may come back');
  await speaks(at, machineId);
  t.is(await outcomeAfter(2000), undefined, 'it came back, and took its good-bye back');
  await speaks(at, machineId, bookmarkId);
  t.is(await outcomeAfter(0), undefined);
  t.deepEqual(await outcomeAfter(agentSilentMilliseconds), { state: 'done', output: bookmarkId });
});

test('a machine that fell silent without a good-bye is not believed to be off, whatever it answered', async (t) => {
  const at = await world();
  for (const hasAnswered of [true, false]) {
    const { machineId } = await enrolled(at);
    await speaks(at, machineId);
    const order = await at.order({ order: 'shut-down-machine', machineId, timeoutSeconds: 600 }, 7200);
    const work = at.work();
    await work.pass();
    if (hasAnswered) work.commandAnswered(machineId, { commandId: order.orderId });
    for (let silence = 0; silence < 6 * agentSilentMilliseconds; silence += agentSilentMilliseconds) {
      at.passedMilliseconds += agentSilentMilliseconds;
      await work.pass();
    }
    const outcome = (await at.answer(order.orderId))?.outcome;
    t.is(outcome?.state === 'failed' ? outcome.error.code : outcome?.state, 'MachineNotKnownOff');
  }
});

/** A report of it has arrived, with its good-bye or without. */
async function speaks(at: World, machineId: string, bookmarkId?: string): Promise<void> {
  const machine = {
    machineId,
    name: 'web',
    addresses: [],
    osName: 'Linux',
    kernel: '6',
    firmware: 'bios',
    cpuCount: 1,
    memoryBytes: 1,
    version: '1',
    disks: [],
  };
  const saidAt = new Date(systemClock.now()).toISOString();
  const farewell = bookmarkId === undefined ? {} : { farewell: { bookmarkId, saidAt } };
  await agents.report(
    at.database,
    machineId,
    AgentReport.parse({ role: 'mobility-service', machine, ...farewell }),
    saidAt,
  );
}

test('disabling what is not protected here is done', async (t) => {
  const at = await world();
  const order = await at.order({ order: 'unprotect', itemId: systemRandom.uuid() });
  t.deepEqual((await passUntilAnswered(at, at.work(), order.orderId)).outcome, { state: 'done' });
});

test('each order that cannot be done is answered with its own reason', async (t) => {
  const at = await world();
  const ids = await enrolled(at);
  const work = at.work();
  const code = async (content: Record<string, unknown>, expiresSeconds?: number) => {
    const order = await at.order(content, expiresSeconds);
    const { outcome } = await passUntilAnswered(at, work, order.orderId);
    return outcome.state === 'failed' ? outcome.error.code : 'done';
  };
  t.is(await code(protect(at, { ...ids, machineId: systemRandom.uuid() })), 'MachineUnknown');
  t.is(await code(protect(at, { ...ids, processServerId: systemRandom.uuid() })), 'ProcessServerUnknown');
  const foreign = sealTo(makeBoxKeys(systemRandom).publicKey, systemRandom.bytes(32), systemRandom);
  t.is(await code({ ...protect(at, ids), sealedItemKey: foreign.toString('base64') }), 'ItemKeyUnreadable');
  t.is(await code(protect(at, ids), -1), 'OrderExpired');
  t.is(
    await code({ order: 'take-bookmark', itemId: systemRandom.uuid(), type: 'CrashConsistent' }),
    'ItemNotProtectedHere',
  );
  t.is(
    await code({ order: 'shut-down-machine', machineId: systemRandom.uuid(), timeoutSeconds: 5 }),
    'MachineUnknown',
  );
  t.is(await code(note('late'), -1), 'OrderExpired');
  const script = (name: string, timeoutSeconds = 20) => ({
    order: 'run-script',
    name,
    arguments: [],
    timeoutSeconds,
  });
  t.is(await code(script('missing')), 'ScriptMissing');
  t.is(await code(script('open')), 'ScriptMissing', 'others may write it');
  t.is(await code(script('fail')), 'ScriptFailed');
  t.is(await code(script('slow', 0.2)), 'ScriptTimedOut');
});

test('a machine that replicates already is not protected a second time', async (t) => {
  const at = await world();
  const ids = await enrolled(at);
  const work = at.work();
  const first = await at.order(protect(at, ids));
  await work.pass();
  await takes(at, ids.processServerId, 'process-server');
  await work.pass();
  await takes(at, ids.machineId, 'mobility-service');
  await work.pass();
  t.deepEqual((await at.answer(first.orderId))?.outcome, { state: 'done' });
  const second = await at.order(protect(at, ids));
  const { outcome } = await passUntilAnswered(at, work, second.orderId);
  t.like(outcome, { state: 'failed', error: { code: 'MachineProtectedAlready' } });
  const again = await at.order(protect(at, ids, (first as { itemId: string } & SiteOrder).itemId as never));
  await work.pass();
  t.is(await at.answer(again.orderId), undefined, 'the same item with other disks is taken anew');
  at.clockOffset = 61_000;
  await work.pass();
  t.like((await at.answer(again.orderId))?.outcome, { state: 'failed', error: { code: 'OrderExpired' } });
  t.truthy(await items.ofMachine(at.database, ids.machineId), 'it goes on with what it had taken');
});

test('a new registration begins with no orders and no assignments, and the same one keeps them', async (t) => {
  const at = await world();
  const ids = await enrolled(at);
  const siteId = systemRandom.uuid();
  const now = new Date(systemClock.now()).toISOString();
  t.true(await adopt(at.database, siteId, now));
  await at.order(protect(at, ids));
  await at.work().pass();
  t.false(await adopt(at.database, siteId, now));
  t.truthy(await items.ofMachine(at.database, ids.machineId));
  t.true((await orders.lastSequence(at.database)) > 0);
  t.true(await adopt(at.database, systemRandom.uuid(), now));
  t.is(await items.ofMachine(at.database, ids.machineId), undefined);
  t.is(await orders.lastSequence(at.database), 0, 'the new site’s first order is the first one wanted');
  t.truthy(await agents.byId(at.database, ids.machineId), 'agents stay');
});

test('a bookmark is commanded until the machine answers, and only it may', async (t) => {
  const at = await world();
  const ids = await enrolled(at);
  const work = at.work();
  const enabling = await at.order(protect(at, ids));
  await work.pass();
  await takes(at, ids.processServerId, 'process-server');
  await work.pass();
  await takes(at, ids.machineId, 'mobility-service');
  await work.pass();
  const { itemId } = enabling as { itemId: string } & SiteOrder;
  const order = await at.order({ order: 'take-bookmark', itemId, type: 'CrashConsistent' });
  await work.pass();
  const command = { commandId: order.orderId, command: 'take-bookmark', type: 'CrashConsistent' };
  t.deepEqual(work.commandsOf(ids.machineId) as unknown, [command]);
  work.commandAnswered(ids.processServerId, { commandId: order.orderId });
  await work.pass();
  t.is(await at.answer(order.orderId), undefined, 'another agent’s answer counts for nothing');
  const successor = at.work();
  await successor.pass();
  t.deepEqual(successor.commandsOf(ids.machineId) as unknown, [command], 'a successor commands it again');
  successor.commandAnswered(ids.machineId, { commandId: order.orderId });
  await successor.pass();
  t.deepEqual((await at.answer(order.orderId))?.outcome, { state: 'done' });
});

test('a script that lost its machine is not run again by itself', async (t: ExecutionContext<unknown>) => {
  const at = await world();
  const order = await at.order(note('interrupted'));
  const run = join(at.folder, 'runs', order.orderId);
  await mkdir(run, { recursive: true });
  // What a reboot leaves: it was begun by a process that is no more.
  await writeFile(join(run, 'begun'), '4194303\n');
  const { outcome } = await passUntilAnswered(at, at.work(), order.orderId);
  t.like(outcome, { state: 'failed', error: { code: 'ScriptInterrupted' } });
  await t.throwsAsync(readFile(at.ledger));
});
