/**
 * Goal: a rehearsal either runs or leaves nothing, whichever step fails and wherever the vault is killed.
 * Method: a provider and a replica store that only remember, failing where the test says; the real workflow.
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { BookmarkId, ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../../src/model/ids.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import type { FailoverProvider } from '../../../src/vault/failover/provider.ts';
import { toPng } from '../../../src/vault/failover/screen.ts';
import type { TestFailoverRecord } from '../../../src/vault/store/test-failovers.ts';
import type { ProtectedItem, RecoveryPoint } from '../../../src/vault/store/vault-store.ts';
import { type TestFailoverInput, TestFailovers } from '../../../src/vault/workflows/test-failover.ts';

const itemId = ProtectedItemId.parse('00000000-0000-4000-8000-000000000001');
const diskIds = [2, 3].map((n) => ProtectedDiskId.parse(`00000000-0000-4000-8000-00000000000${n}`));
const item: ProtectedItem = {
  itemId,
  name: 'web 1',
  processServer: 'ps',
  disks: diskIds.map((diskId, index) => ({ diskId, path: `/dev/vd${'ab'[index]}` })),
  retention: { rules: [{ untilSeconds: 3600, everySeconds: 0 }] },
  createdAt: '2030-01-01T00:00:00.000Z',
};
const point = (digit: number, type: RecoveryPoint['type']): RecoveryPoint => ({
  pointId: RecoveryPointId.parse(BookmarkId.parse(`00000000-0000-4000-8000-0000000000${digit}0`)),
  itemId,
  type,
  method: 'quiet',
  takenAt: `2030-01-01T0${digit}:00:00.000Z`,
  processedAt: `2030-01-01T0${digit}:00:01.000Z`,
  frozenMilliseconds: 0,
  sizeBytes: 1,
  changedBytes: 1,
  chain: 1,
  sequence: digit,
});
const newest = point(3, 'CrashConsistent');
const consistent = point(2, 'ApplicationConsistent');
const input: TestFailoverInput = {
  point: 'latest',
  check: { type: 'power' },
  timeoutSeconds: 1,
  cpuCount: 1,
  memoryMebibytes: 64,
  firmware: 'bios',
};

interface World {
  readonly failovers: TestFailovers;
  readonly machines: Map<string, readonly string[]>;
  readonly loans: Set<string>;
  readonly records: Map<string, TestFailoverRecord>;
  readonly folder: string;
  failAt: string | undefined;
}

async function world(failAt?: string, withoutPoints = false): Promise<World> {
  const machines: World['machines'] = new Map();
  const loans: World['loans'] = new Set();
  const records: World['records'] = new Map();
  const fails = (where: string) => {
    if (self.failAt === where) throw new Error(`no ${where}`);
  };
  const provider: FailoverProvider = {
    check: async () => {
      fails('check');
      return { accelerator: 'tcg', reason: 'a test' };
    },
    start: async (machine) => {
      machines.set(
        machine.name,
        machine.disks.map(({ path }) => path),
      );
      fails('start');
    },
    waitUntilReady: async () => {
      fails('answer');
      return { address: '10.213.0.9' };
    },
    screenshot: async () => {
      fails('prove');
      return toPng(Buffer.concat([Buffer.from('P6 1 1 255\n'), Buffer.alloc(3)]));
    },
    isRunning: async (name) => machines.has(name),
    remove: async (name) => {
      fails('remove');
      machines.delete(name);
    },
    list: async () => [...machines.keys()],
  };
  const folder = await mkdtemp(join(tmpdir(), 'leeward-failover-'));
  const self: World = {
    failAt,
    machines,
    loans,
    records,
    folder,
    failovers: new TestFailovers({
      provider,
      records: {
        save: async (record) => void records.set(record.failoverId, record),
        byId: async (failoverId) => records.get(failoverId),
        list: async (limit) => [...records.values()].slice(0, limit),
        unfinished: async () =>
          [...records.values()].filter(({ state }) => state === 'starting' || state === 'cleaning'),
      },
      points: { listPoints: async () => (withoutPoints ? [] : [newest, consistent]) },
      replica: {
        lend: async (_, __, loanId) => {
          loans.add(loanId);
          fails('lend');
          // Not in the item's order: the workflow has to put them right.
          return diskIds.toReversed().map((diskId) => ({ diskId, path: `/loan/${diskId}` }));
        },
        giveBack: async (_, loanId) => void loans.delete(loanId),
      },
      files: systemFiles,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      folder,
    }),
  };
  return self;
}

test('a rehearsal runs on the newest point, keeps proof, and its clean-up leaves only that', async (t) => {
  const w = await world();
  const record = await w.failovers.testFailover(item, input);
  t.is(record.state, 'running');
  t.is(record.pointId, newest.pointId);
  t.regex(record.machineName, /^leeward-test-web-1-[0-9a-f]{8}$/);
  t.deepEqual([...w.machines.values()], [diskIds.map((diskId) => `/loan/${diskId}`)]);
  t.true(record.powerOnSeconds !== undefined && record.readySeconds! >= record.powerOnSeconds);
  await w.failovers.cleanup(record.failoverId, 'all well');
  await w.failovers.cleanup(record.failoverId, 'again');
  t.is(w.machines.size + w.loans.size, 0);
  const report = JSON.parse(await readFile(join(w.folder, record.failoverId, 'report.json'), 'utf8'));
  t.is(report.notes, 'all well');
  t.is(report.state, 'cleaned');
  await rm(w.folder, { recursive: true });
});

for (const step of ['lend', 'start', 'answer', 'prove'])
  test(`a rehearsal that fails at ${step} is undone and says why`, async (t) => {
    const w = await world(step);
    await t.throwsAsync(w.failovers.testFailover(item, input), { message: new RegExp(`no ${step}`) });
    t.is(w.machines.size + w.loans.size, 0);
    const [record] = w.records.values();
    t.is(record?.state, 'failed');
    t.regex(record?.failure ?? '', new RegExp(`no ${step}`));
    await rm(w.folder, { recursive: true });
  });

test('what a crash or a failing undo left on its way is undone at the next start', async (t) => {
  const w = await world('answer');
  w.failAt = 'start';
  const provider = w.failovers.testFailover(item, input);
  w.failAt = 'remove';
  await provider.catch(() => {});
  const running = [...w.records.values()][0]!;
  w.records.set(running.failoverId, { ...running, state: 'starting' });
  w.failAt = undefined;
  await w.failovers.recover();
  t.is(w.machines.size + w.loans.size, 0);
  t.is(w.records.get(running.failoverId)?.state, 'failed');
  await rm(w.folder, { recursive: true });
});

test('a point is chosen by kind or id, and a missing one is named', async (t) => {
  const w = await world();
  const byKind = await w.failovers.testFailover(item, { ...input, point: 'latestApplicationConsistent' });
  t.is(byKind.pointId, consistent.pointId);
  const byId = await w.failovers.testFailover(item, { ...input, point: consistent.pointId });
  t.is(byId.pointId, consistent.pointId);
  await t.throwsAsync(w.failovers.testFailover(item, { ...input, point: 'gone' }), {
    code: 'RecoveryPointGone',
  });
  await t.throwsAsync(w.failovers.cleanup('gone', ''), { code: 'TestFailoverUnknown' });
  await rm(w.folder, { recursive: true });
  const empty = await world(undefined, true);
  await t.throwsAsync(empty.failovers.testFailover(item, input), { code: 'NoRecoveryPoint' });
  t.is(empty.records.size, 0);
  await rm(empty.folder, { recursive: true });
});
