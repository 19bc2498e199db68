/**
 * Goal: thinning removes what the policy no longer keeps and what nobody knows of, never more, however it is stopped.
 * Method: the reconciler with records in memory, a replica store that only counts, a real archive, an injected clock.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { RecoveryPointId } from '../../../src/model/ids.ts';
import type { Clock } from '../../../src/platform/clock.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { archiveManifestsPerFile } from '../../../src/vault/limits.ts';
import { Archive } from '../../../src/vault/log-processor/archive.ts';
import { Retention } from '../../../src/vault/reconcilers/retention.ts';
import type { ReplicaStore } from '../../../src/vault/replica/replica-store.ts';
import { MemoryStore } from '../../../src/vault/store/memory-store.ts';
import type { RecoveryPoint, VaultStore } from '../../../src/vault/store/vault-store.ts';
import { exampleItem } from '../../support/vault-store-suite.ts';

const hour = 3_600_000;
const start = Date.UTC(2026, 0, 1);
const pointId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` as RecoveryPointId;
const brief = (id: RecoveryPointId) => Number(id.slice(-12));

async function house(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-retention-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  let now = start + 10 * hour;
  const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };
  const store = new MemoryStore();
  const item = exampleItem('web');
  await store.addItem(item, Buffer.alloc(1));
  const steps: string[] = [];
  const onDisk = new Set<RecoveryPointId>();
  const replica = {
    listPoints: async () => [...onDisk],
    dropPoint: async (_: string, id: RecoveryPointId) => {
      steps.push(`file ${brief(id)}`);
      onDisk.delete(id);
    },
  } as unknown as ReplicaStore;
  const watched = new Proxy<VaultStore>(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'removePoint') return value.bind(target) as unknown;
      return async (itemId: never, id: RecoveryPointId) => {
        steps.push(`row ${brief(id)}`);
        await target.removePoint(itemId, id);
      };
    },
  });
  const archive = new Archive({ files: systemFiles, folder });
  let count = 0;
  /** A manifest is recorded, with a point of so many hours ago when asked; its first of a file is archived. */
  const apply = async (hoursAgo: number | undefined, chain = 1, sequence = ++count) => {
    if (sequence % archiveManifestsPerFile === 1)
      await archive.append(item.itemId, chain, sequence, Buffer.from(`{"n":${sequence}}\nmac\n`), 0);
    const at = new Date(now - (hoursAgo ?? 0) * hour).toISOString();
    const point: RecoveryPoint = {
      pointId: pointId(sequence),
      itemId: item.itemId,
      type: 'CrashConsistent',
      method: 'quiet',
      takenAt: at,
      processedAt: at,
      frozenMilliseconds: 0,
      sizeBytes: 1,
      changedBytes: 0,
      chain,
      sequence,
    };
    if (hoursAgo !== undefined) onDisk.add(point.pointId);
    await store.advance(item.itemId, {
      position: { chain, sequence, digest: null, generation: chain, archiveBytes: 0, appliedAt: at },
      disks: [],
      progress: [],
      events: [],
      changedBytes: 0,
      ...(hoursAgo === undefined ? {} : { point }),
    });
    return point.pointId;
  };
  return {
    store,
    item,
    onDisk,
    steps,
    apply,
    later: (milliseconds: number) => {
      now += milliseconds;
    },
    retention: new Retention({ store: watched, replica, archive, clock, log: silentLog }),
    points: async () => (await store.listPoints(item.itemId, { limit: 100 })).map((point) => point.pointId),
    archived: async () => {
      const found: string[] = [];
      for (const chain of await archive.chains(item.itemId))
        for await (const { sequence } of archive.manifests(item.itemId, chain))
          found.push(`${chain}/${sequence}`);
      return found;
    },
  };
}

test('the row of a point goes before its file, and locked points stay', async (t) => {
  const h = await house(t);
  const old = await h.apply(5);
  const locked = await h.apply(4);
  const newest = await h.apply(0);
  await h.store.lockPoint(h.item.itemId, locked, new Date(start + 1000 * hour).toISOString());
  await h.retention.pass();
  t.deepEqual(h.steps, [`row ${brief(old)}`, `file ${brief(old)}`]);
  t.deepEqual(await h.points(), [newest, locked]);
  t.deepEqual([...h.onDisk].sort(), [locked, newest].sort());
  await h.retention.pass();
  t.is(h.steps.length, 2, 'a second pass has nothing to do');
});

test('a lock that has ended protects no longer', async (t) => {
  const h = await house(t);
  const locked = await h.apply(4);
  await h.apply(0);
  await h.store.lockPoint(h.item.itemId, locked, new Date(start + 11 * hour).toISOString());
  await h.retention.pass();
  t.is((await h.points()).length, 2);
  h.later(2 * hour);
  await h.retention.pass();
  t.false((await h.points()).includes(locked));
});

test('files without a row go when two passes have seen them, since a point is cut before it is recorded', async (t) => {
  const h = await house(t);
  await h.apply(0);
  h.onDisk.add(pointId(77));
  await h.retention.pass();
  t.true(h.onDisk.has(pointId(77)), 'it may be recorded in the next moment');
  await h.retention.pass();
  t.false(h.onDisk.has(pointId(77)));
  t.is((await h.points()).length, 1);
});

test('a crash between row and file leaves an orphan that goes by itself', async (t) => {
  const h = await house(t);
  const old = await h.apply(5);
  await h.apply(0);
  await h.store.removePoint(h.item.itemId, old);
  await h.retention.pass();
  await h.retention.pass();
  t.false(h.onDisk.has(old));
});

test('a row without files is left alone: it is for verify to name what was lost', async (t) => {
  const h = await house(t);
  const lost = await h.apply(0);
  h.onDisk.delete(lost);
  await h.retention.pass();
  t.deepEqual(await h.points(), [lost]);
  t.deepEqual(h.steps, []);
});

test('the archive keeps manifests from the oldest point on: older chains and older files go', async (t) => {
  const h = await house(t);
  const size = archiveManifestsPerFile;
  await h.apply(undefined, 1, 1);
  for (const sequence of [1, size, size + 1]) await h.apply(undefined, 2, sequence);
  await h.retention.pass();
  t.deepEqual(await h.archived(), [`2/${size + 1}`], 'without points, what the position needs');
  await h.apply(1, 2, size + 5);
  for (const sequence of [2 * size + 1, 3 * size + 1]) await h.apply(undefined, 2, sequence);
  await h.retention.pass();
  t.deepEqual(await h.archived(), [`2/${size + 1}`, `2/${2 * size + 1}`, `2/${3 * size + 1}`]);
  h.later(3 * hour);
  await h.apply(0, 2, 3 * size + 2);
  await h.retention.pass();
  t.deepEqual(await h.archived(), [`2/${3 * size + 1}`], 'the point that needed them is gone');
});
