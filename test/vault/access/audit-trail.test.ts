import anyTest from 'ava';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { auditTrail, keepAccess, trimAudit } from '../../../src/vault/access/audit-trail.ts';
import { GuessLimit } from '../../../src/vault/access/guess-limit.ts';
import type { AuditedWrite } from '../../../src/vault/api/access-check.ts';
import { auditEntries } from '../../../src/vault/store/audit-entries.ts';
import { migrate } from '../../../src/vault/store/migrate.ts';
import { hasMariadb, type PrivateMariadb, startPrivateMariadb } from '../../support/private-mariadb.ts';

const able = await hasMariadb();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
let mariadb: PrivateMariadb;
anyTest.before(async () => {
  if (able) mariadb = await startPrivateMariadb();
});
anyTest.after.always(() => mariadb?.dispose());

const vault = '/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v';
const write: AuditedWrite = {
  principal: {
    objectId: '0a1b2c3d-0000-4000-8000-000000000001',
    tenantId: '0a1b2c3d-0000-4000-8000-000000000002',
    applicationId: '0a1b2c3d-0000-4000-8000-000000000003',
    displayName: 'wäb “script”',
    roles: [],
  },
  operationId: 'replicationProtectedItems.testFailover',
  resourceId: `${vault}/replicationFabrics/f`,
  status: 202,
  code: undefined,
  jobId: '0a1b2c3d-0000-4000-8000-000000000004',
  correlationId: 'c',
  clientRequestId: 'r',
  from: '127.0.0.1',
};

async function world() {
  const { database } = await mariadb.database();
  await migrate(database);
  const clock: Clock & { at: number } = {
    at: Date.parse('2026-06-01T00:00:00Z'),
    now: () => clock.at,
    monotonic: () => clock.at,
    sleep: systemClock.sleep,
  };
  const entries = auditEntries(database);
  return { clock, entries, audit: auditTrail(entries, clock) };
}

test('an entry says what was done by its action, and what came of it', async (t) => {
  const { entries, audit } = await world();
  await audit(write);
  await audit({ ...write, status: 403, code: 'AuthorizationFailed', jobId: undefined });
  await audit({ ...write, status: 500, code: 'InternalServerError' });
  await audit({ ...write, status: 200 });
  const found = await entries.list({ limit: 10 });
  t.deepEqual(
    found.map(({ outcome }) => outcome),
    ['Succeeded', 'Failed', 'Refused', 'Accepted'],
  );
  t.true(found[0]!.action.endsWith('/replicationProtectedItems/testFailover/action'));
  t.is(found[3]!.jobId, write.jobId);
  t.is(found[3]!.principalName, 'wäb “script”');
});

test('entries are found under a resource, and not under one whose name begins alike', async (t) => {
  const { entries, audit } = await world();
  for (const resourceId of [vault, `${vault}/replicationFabrics/f`, `${vault}2`, vault.toUpperCase()])
    await audit({ ...write, resourceId });
  t.is((await entries.list({ under: vault, limit: 10 })).length, 3);
  t.is((await entries.list({ under: `${vault}/`, limit: 10 })).length, 3);
  t.is((await entries.list({ under: `${vault}2`, limit: 10 })).length, 1);
});

test('entries older than 90 days are removed, however many they are', async (t) => {
  const { clock, entries, audit } = await world();
  for (let count = 0; count < 5; count++) await audit(write);
  clock.at += 91 * 86_400_000;
  await audit(write);
  t.is(await entries.trim(new Date(clock.at - 90 * 86_400_000).toISOString(), 2), 2, 'a piece at a time');
  await trimAudit({ entries, clock }, new AbortController().signal);
  t.is((await entries.list({ limit: 10 })).length, 1);
});

test('the hourly upkeep goes on after it failed, and ends when it is told to', async (t) => {
  const stop = new AbortController();
  let rounds = 0;
  const clock: Clock = { now: () => 0, monotonic: () => 0, sleep: async () => {} };
  const keys = {
    keep: async () => {
      rounds += 1;
      if (rounds === 3) stop.abort();
      throw new Error('the database is away');
    },
  };
  await keepAccess({ keys: keys as never, entries: {} as never, clock, log: silentLog }, stop.signal);
  t.is(rounds, 3);
});

anyTest('a guesser waits until the window has passed, and only so many are remembered', (t) => {
  const clock = { at: 0, now: () => 0, monotonic: () => clock.at, sleep: async () => {} };
  const limit = new GuessLimit({ clock, most: 2, windowMilliseconds: 60_000, rememberedMax: 3 });
  for (const _ of [1, 2]) limit.wrong('a');
  t.is(limit.waitSeconds('a'), 60);
  t.is(limit.waitSeconds('b'), undefined);
  clock.at = 59_500;
  t.is(limit.waitSeconds('a'), 1);
  clock.at = 60_000;
  t.is(limit.waitSeconds('a'), undefined);
  for (const name of ['b', 'b', 'c', 'd', 'e', 'e']) limit.wrong(name);
  t.is(limit.waitSeconds('e'), 60);
  t.is(limit.waitSeconds('b'), undefined, 'the oldest made room');
});
