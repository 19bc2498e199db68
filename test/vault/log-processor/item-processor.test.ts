/**
 * Goal: whatever happens to the objects or to the process, a recovery point is byte for byte what the source had.
 * Method: real XFS volume, real cache folder, a chain writer that remembers every bookmark's bytes.
 */
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import anyTest from 'ava';
import type { HealthEvent } from '../../../src/model/health.ts';
import type { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../../src/model/ids.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { decodeDigestPart } from '../../../src/protocol/cache/digest-part.ts';
import { FolderStore } from '../../../src/protocol/cache/folder-store.ts';
import { requestMacKey } from '../../../src/protocol/cache/keys.ts';
import { digestKey, type Manifest } from '../../../src/protocol/cache/manifest.ts';
import {
  decodeSigned,
  encodeSigned,
  getSigned,
  HaltNotice,
  haltNoticeKey,
  noticePrefix,
  putSigned,
  ResyncRequest,
  requestPrefix,
  resyncRequestKey,
} from '../../../src/protocol/cache/request.ts';
import { openObject } from '../../../src/protocol/cache/segment.ts';
import { errors } from '../../../src/vault/errors.ts';
import { Archive } from '../../../src/vault/log-processor/archive.ts';
import { ItemProcessor } from '../../../src/vault/log-processor/item-processor.ts';
import { ReflinkStore } from '../../../src/vault/replica/reflink-store.ts';
import { canMakeVolumes, punchHole } from '../../../src/vault/replica/volume.ts';
import { defaultRetention } from '../../../src/vault/retention/plan.ts';
import { MemoryStore } from '../../../src/vault/store/memory-store.ts';
import { verifyItem } from '../../../src/vault/verify/verify.ts';
import { ChainWriter } from '../../support/chain-writer.ts';
import { makeTestVolume, type TestVolume } from '../../support/replica-volume.ts';

const able = await canMakeVolumes();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
const never = new AbortController().signal;
let volume: TestVolume;
anyTest.before(async () => {
  if (able) volume = await makeTestVolume('xfs', 1 << 30);
});
anyTest.after.always(() => volume?.dispose());

async function house(sizes: readonly number[]) {
  const root = join(volume.path, systemRandom.uuid());
  const cacheFolder = join(root, 'cache');
  const cache = new FolderStore({ files: systemFiles, random: systemRandom, folder: cacheFolder });
  const replica = new ReflinkStore({ folder: join(root, 'replica'), files: systemFiles, punch: punchHole });
  await systemFiles.makeFolder(root);
  await cache.prepare();
  await replica.prepare();
  const archive = new Archive({ files: systemFiles, folder: join(root, 'archive') });
  const store = new MemoryStore();
  const writer = new ChainWriter(cache, sizes);
  const item = {
    itemId: writer.itemId,
    name: 'web',
    processServer: 'ps1',
    disks: writer.disks.map(({ diskId }, n) => ({ diskId, path: `/dev/vd${'abc'[n]}` })),
    retention: defaultRetention,
    createdAt: '2026-01-01T00:00:00.000Z',
  };
  await store.addItem(item, Buffer.alloc(1));
  const open = (other: { clock?: Clock; store?: MemoryStore; replica?: ReflinkStore } = {}) =>
    new ItemProcessor({
      item,
      itemKey: writer.itemKey,
      cache,
      store,
      replica,
      archive,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      ...other,
    });
  const drain = async (processor = open()) => {
    for (let n = 0; n < 1000; n++) {
      const answer = await processor.step(never);
      if (answer !== 'applied') {
        await processor.close();
        return answer;
      }
    }
    throw new Error('no end');
  };
  const wrongPoints = async () => {
    const wrong: string[] = [];
    for (const { pointId } of await store.listPoints(writer.itemId, { limit: 1000 })) {
      const expected = writer.points.get(pointId)!;
      for (const [n, { diskId }] of writer.disks.entries()) {
        await using disk = await replica.openPoint(writer.itemId, pointId, diskId);
        const found = Buffer.alloc(disk.sizeBytes);
        await disk.read(found, 0);
        if (Buffer.compare(found, expected[n]!) !== 0) wrong.push(`${pointId} ${n}`);
      }
    }
    return wrong;
  };
  const objectPath = (key: string) => join(cacheFolder, `${key}=`);
  const verify = () => verifyItem({ item, itemKey: writer.itemKey, store, replica, archive }, () => {});
  return { cache, replica, archive, store, writer, item, open, drain, wrongPoints, objectPath, verify };
}

test('every recovery point is what the source was, and cache storage keeps only the newest manifest', async (t) => {
  const h = await house([8 << 20, (2 << 20) + 512]);
  await h.writer.put({ state: 'initial' });
  for (let n = 0; n < 8; n++) await h.writer.put({ isBookmark: n % 2 === 1 });
  t.is(await h.drain(), 'idle');
  t.is((await h.store.listPoints(h.item.itemId, { limit: 100 })).length, 4);
  t.deepEqual(await h.wrongPoints(), []);
  const left = await h.cache.list('', { limit: 10 }, never);
  t.is(left.length, 1, 'only the newest manifest stays in cache storage');
  t.regex(left[0]!.key, /\/manifests\//);
  t.deepEqual((await h.verify()).findings, []);
});

test('a point without a disk of the machine has the others, as they were, and nothing of that one', async (t) => {
  const h = await house([4 << 20, 2 << 20]);
  const [there, gone] = h.writer.disks.map(({ diskId }) => diskId);
  await h.writer.put({ state: 'initial' });
  await h.writer.put({ isBookmark: true });
  const without = (cause: 'gone' | 'comparing') => (manifest: Manifest) => ({
    ...manifest,
    disks: manifest.disks.map((disk) =>
      disk.diskId === gone && cause === 'comparing' ? { ...disk, state: 'resync' as const } : disk,
    ),
    bookmark: { ...manifest.bookmark!, missingDisks: [{ diskId: gone!, cause }] },
  });
  const lacking = [
    (await h.writer.put({ isBookmark: true, alter: without('gone') })).bookmarkId,
    (await h.writer.put({ isBookmark: true, alter: without('comparing') })).bookmarkId,
  ];
  await h.writer.put({ isBookmark: true });
  t.is(await h.drain(), 'idle');
  const points = await h.store.listPoints(h.item.itemId, { limit: 10 });
  t.deepEqual(
    points.map(({ missingDisks, sizeBytes }) => [missingDisks?.map(({ cause }) => cause), sizeBytes]),
    [
      [undefined, 6 << 20],
      [['comparing'], 4 << 20],
      [['gone'], 4 << 20],
      [undefined, 6 << 20],
    ],
  );
  t.is((await h.store.listPoints(h.item.itemId, { limit: 10, isComplete: true })).length, 2);
  for (const pointId of lacking as RecoveryPointId[]) {
    t.deepEqual(await h.replica.pointDisks(h.item.itemId, pointId), [there!]);
    await using disk = await h.replica.openPoint(h.item.itemId, pointId, there!);
    const found = Buffer.alloc(disk.sizeBytes);
    await disk.read(found, 0);
    t.is(Buffer.compare(found, h.writer.points.get(pointId)![0]!), 0);
    // What `wrongPoints` below compares has every disk.
    h.writer.points.delete(pointId);
    await h.store.removePoint(h.item.itemId, pointId);
  }
  t.deepEqual(await h.wrongPoints(), []);
  t.deepEqual((await h.verify()).findings, []);
});

test('a trouble that passes is told while it lasts: one event, and its end', async (t) => {
  const h = await house([1 << 20]);
  const pauses: (string | undefined)[] = [];
  const store = Object.create(h.store, {
    pause: {
      value: async (itemId: ProtectedItemId, event: HealthEvent | undefined) => {
        pauses.push(event?.code);
        await h.store.pause(itemId, event);
      },
    },
  }) as MemoryStore;
  let isFull = true;
  const replica = Object.create(h.replica, {
    openHead: {
      value: (...args: Parameters<ReflinkStore['openHead']>) =>
        isFull ? Promise.reject(errors.ReplicaStoreFull('/replica')) : h.replica.openHead(...args),
    },
  }) as ReflinkStore;
  await using processor = h.open({ store: bound(store, h.store), replica: bound(replica, h.replica) });
  await h.writer.put({ state: 'initial' });
  for (let tries = 0; tries < 3; tries++)
    await t.throwsAsync(processor.step(never), { code: 'ReplicaStoreFull' });
  t.deepEqual(pauses, ['ReplicaStoreFull']);
  isFull = false;
  t.is(await processor.step(never), 'applied');
  t.is(await processor.step(never), 'idle');
  // Applying ends it by itself; another trouble later is told again, and its end when there is nothing left to apply.
  isFull = true;
  await processor.close();
  await h.writer.put({ isBookmark: true });
  await t.throwsAsync(processor.step(never), { code: 'ReplicaStoreFull' });
  t.deepEqual(pauses, ['ReplicaStoreFull', 'ReplicaStoreFull']);
  // A process that begins anew knows nothing of what its predecessor told.
  isFull = false;
  const heir = h.open({ store: bound(store, h.store) });
  t.is(await heir.step(never), 'applied');
  t.is(await heir.step(never), 'idle');
  const late = h.open({ store: bound(store, h.store) });
  t.is(await late.step(never), 'idle');
  t.is(await late.step(never), 'idle');
  t.deepEqual(pauses.slice(2), [undefined]);
  for (const one of [heir, late]) await one.close();
});

/** Methods of `over` where it has some of its own, else those of `real`, which keep their own `this`. */
function bound<T extends object>(over: T, real: T): T {
  return new Proxy(real, {
    get: (_, name) => {
      const own = Object.getOwnPropertyDescriptor(over, name)?.value as unknown;
      const value = (own ?? Reflect.get(real, name, real)) as unknown;
      return typeof value === 'function' && own === undefined ? value.bind(real) : value;
    },
  });
}

for (const [title, alter] of [
  ['lacks every disk', (manifest: Manifest) => manifest.disks.map(({ diskId }) => diskId)],
  ['lacks a disk that is not protected', () => [systemRandom.uuid() as ProtectedDiskId]],
] as const)
  test(`a bookmark that ${title} blocks the item`, async (t) => {
    const h = await house([1 << 20]);
    await h.writer.put({ state: 'initial' });
    await h.writer.put({
      isBookmark: true,
      alter: (manifest) => ({
        ...manifest,
        bookmark: {
          ...manifest.bookmark!,
          missingDisks: alter(manifest).map((diskId) => ({ diskId, cause: 'gone' as const })),
        },
      }),
    });
    t.is(await h.drain(), 'blocked');
    t.is((await h.store.state(h.item.itemId)).blocked?.event.code, 'ChainBroken');
  });

test('a disk that is not in sync and is not said to be missing blocks the item', async (t) => {
  const h = await house([1 << 20, 1 << 20]);
  await h.writer.put({ state: 'initial' });
  await h.writer.put({
    isBookmark: true,
    alter: (manifest) => ({
      ...manifest,
      disks: manifest.disks.map((disk) => ({ ...disk, state: 'resync' as const })),
      bookmark: {
        ...manifest.bookmark!,
        missingDisks: [{ diskId: manifest.disks[1]!.diskId, cause: 'comparing' as const }],
      },
    }),
  });
  t.is(await h.drain(), 'blocked');
  t.is((await h.store.state(h.item.itemId)).blocked?.event.code, 'BookmarkNotInSync');
});

test('what a source sends after a failover is not applied, and is when that is cancelled: in the same chain', async (t) => {
  const h = await house([4 << 20]);
  await h.writer.put({ state: 'initial' });
  await h.writer.put({ isBookmark: true });
  t.is(await h.drain(), 'idle');
  const before = await h.store.state(h.item.itemId);
  const heads = async () => {
    const { diskId, content } = h.writer.disks[0]!;
    await using head = await h.replica.openHead(h.item.itemId, diskId, content.byteLength);
    const bytes = Buffer.alloc(content.byteLength);
    await head.read(bytes, 0);
    return createHash('sha256').update(bytes).digest('hex');
  };
  const was = await heads();
  await h.store.fence(h.item.itemId, {
    failoverId: systemRandom.uuid(),
    fencedAt: '2026-01-01T00:00:00.000Z',
  });
  for (let n = 0; n < 3; n++) await h.writer.put({ isBookmark: true });
  t.is(await h.drain(), 'idle');
  t.is(await heads(), was, 'no byte of it is in the replica');
  t.deepEqual((await h.store.state(h.item.itemId)).position, before.position);
  t.is((await h.store.listPoints(h.item.itemId, { limit: 9 })).length, 1);
  await h.store.liftFence(h.item.itemId);
  t.is(await h.drain(), 'idle');
  t.is((await h.store.listPoints(h.item.itemId, { limit: 9 })).length, 4);
  t.is(
    (await h.store.state(h.item.itemId)).position?.chain,
    before.position?.chain,
    'nothing is compared anew',
  );
  t.deepEqual(await h.wrongPoints(), []);
});

test('a failover that comes while a manifest is applied keeps that one out, too', async (t) => {
  const h = await house([4 << 20]);
  await h.writer.put({ state: 'initial' });
  await h.writer.put({ isBookmark: true });
  t.is(await h.drain(), 'idle');
  await h.writer.put({ isBookmark: true });
  // Between the read of the state and its advance: the point is being cut.
  const cut = h.replica.cutPoint.bind(h.replica);
  h.replica.cutPoint = async (...args) => {
    await h.store.fence(h.item.itemId, {
      failoverId: systemRandom.uuid(),
      fencedAt: '2026-01-01T00:00:00.000Z',
    });
    return cut(...args);
  };
  t.is(await h.drain(), 'idle');
  h.replica.cutPoint = cut;
  t.is((await h.store.listPoints(h.item.itemId, { limit: 9 })).length, 1);
  t.deepEqual(await h.store.listEvents({ limit: 9 }), [], 'it is no fault');
  await h.store.liftFence(h.item.itemId);
  t.is(await h.drain(), 'idle');
  t.is((await h.store.listPoints(h.item.itemId, { limit: 9 })).length, 2);
  t.deepEqual(await h.wrongPoints(), []);
});

for (const [title, harm, code] of [
  [
    'a flipped bit in a segment',
    async (h: Awaited<ReturnType<typeof house>>, put: { key: string; segments: { key: string }[] }) => {
      const path = h.objectPath(put.segments[1]!.key);
      const content = await readFile(path);
      content[content.byteLength >> 1]! ^= 4;
      await writeFile(path, content);
    },
    'CacheObjectCorrupt',
  ],
  [
    'a missing segment',
    (h: Awaited<ReturnType<typeof house>>, put: { segments: { key: string }[] }) =>
      h.cache.delete(put.segments[1]!.key, never),
    'CacheObjectMissing',
  ],
  [
    'a flipped bit in a manifest',
    async (h: Awaited<ReturnType<typeof house>>, put: { key: string }) => {
      const content = await readFile(h.objectPath(put.key));
      content[20]! ^= 1;
      await writeFile(h.objectPath(put.key), content);
    },
    'ManifestTampered',
  ],
  [
    'a missing manifest',
    async (h: Awaited<ReturnType<typeof house>>, put: { key: string }) => {
      await h.cache.delete(put.key, never);
      await h.writer.put({});
    },
    'ChainBroken',
  ],
] as const)
  test(`${title} stops the item with a critical event, nothing applied, and a newer chain heals it`, async (t) => {
    const h = await house([2 << 20, 1 << 20]);
    await h.writer.put({ state: 'initial' });
    await h.writer.put({ isBookmark: true });
    await h.drain();
    const before = await h.store.state(h.item.itemId);
    const heads = async () => {
      const hash = createHash('sha256');
      for (const { diskId, content } of h.writer.disks) {
        await using head = await h.replica.openHead(h.item.itemId, diskId, content.byteLength);
        const bytes = Buffer.alloc(content.byteLength);
        await head.read(bytes, 0);
        hash.update(bytes);
      }
      return hash.digest('hex');
    };
    const was = await heads();
    const put = await h.writer.put({ isBookmark: true });
    await harm(h, put as never);
    t.is(await h.drain(), 'blocked');
    t.is(await h.drain(), 'blocked', 'it stays blocked');
    t.is(await heads(), was, 'nothing was applied');
    const state = await h.store.state(h.item.itemId);
    t.deepEqual(state.position, before.position);
    t.is(state.blocked?.event.code, code);
    const [event] = await h.store.listEvents({ limit: 1 });
    t.is(event?.event.severity, 'critical');
    t.regex(event?.event.possibleCauses ?? '', /altered|removed/);
    t.regex(event?.event.recommendedAction ?? '', /arlier recovery points are not touched\.$/);
    t.deepEqual(await h.wrongPoints(), []);
    const key = resyncRequestKey(h.item.itemId, 1);
    const object = (await getSigned(h.cache, key, never))!;
    t.like(decodeSigned(ResyncRequest, object, requestMacKey(h.writer.itemKey), key), {
      chain: 1,
      cause: 'ReplicaInvalid',
    });
    // The process server starts a new chain: the disk is compared and sent where it differs.
    h.writer.newChain();
    for (const { content } of h.writer.disks) content.fill(0);
    await h.writer.put({ state: 'initial', extents: 4 });
    await h.writer.put({ isBookmark: true });
    t.is(await h.drain(), 'idle');
    t.is((await h.store.state(h.item.itemId)).blocked, undefined);
    t.is((await h.store.listPoints(h.item.itemId, { limit: 10 })).length, 2);
    t.deepEqual(await h.wrongPoints(), []);
    t.deepEqual((await h.verify()).findings, []);
  });

test('a new chain that begins broken is ordered to end as the one before it', async (t) => {
  const h = await house([1 << 20]);
  await h.writer.put({ state: 'initial' });
  await h.drain();
  h.writer.newChain();
  const put = await h.writer.put({ state: 'initial' });
  const content = await readFile(h.objectPath(put.key));
  content[30]! ^= 1;
  await writeFile(h.objectPath(put.key), content);
  t.is(await h.drain(), 'blocked');
  t.is((await h.store.state(h.item.itemId)).blocked?.chain, 2);
  t.is(await h.drain(), 'blocked');
  const requests = await h.cache.list(requestPrefix(h.item.itemId), { limit: 10 }, never);
  t.deepEqual(
    requests.map(({ key }) => key),
    [resyncRequestKey(h.item.itemId, 2)],
  );
});

test('chains that break one after the other are ordered anew ever more slowly, until there is a point', async (t) => {
  const h = await house([1 << 20]);
  let now = 0;
  const clock = { now: () => now, monotonic: () => now, sleep: () => Promise.resolve() };
  const processor = h.open({ clock });
  const waits: number[] = [];
  const breakOnce = async () => {
    h.writer.newChain();
    const put = await h.writer.put({ state: 'initial' });
    await h.cache.delete(put.segments[0]!.key, never);
    const began = now;
    const key = resyncRequestKey(h.item.itemId, h.writer.chain);
    for (;;) {
      t.is(await processor.step(never), 'blocked');
      if ((await getSigned(h.cache, key, never)) !== undefined) break;
      now += 30_000;
    }
    waits.push((now - began) / 60_000);
    await h.cache.delete(key, never);
  };
  for (let n = 0; n < 8; n++) await breakOnce();
  t.deepEqual(waits, [0, 1, 2, 4, 8, 10, 30, 30]);
  // Nothing came of it: it is said again.
  now += 10 * 60_000;
  t.is(await processor.step(never), 'blocked');
  t.not(await getSigned(h.cache, resyncRequestKey(h.item.itemId, h.writer.chain), never), undefined);
  h.writer.newChain();
  await h.writer.put({ state: 'initial' });
  await h.writer.put({ isBookmark: true });
  t.is(await h.drain(processor), 'idle');
  waits.length = 0;
  await breakOnce();
  t.deepEqual(waits, [0]);
});

test('a process server that stands still blocks its item with its own words, and nothing is ordered', async (t) => {
  const h = await house([1 << 20]);
  await h.writer.put({ state: 'initial' });
  await h.drain();
  const { itemId } = h.item;
  const event = {
    code: 'ItemHalted',
    severity: 'critical' as const,
    summary: 'replication of this machine stands still: other content',
    possibleCauses: 'Two process servers.',
    recommendedAction: 'leeward resync ITEM',
    raisedAt: '2026-01-01T00:00:00.000Z',
    context: {},
  };
  const say = (key: string, macKey: Buffer) =>
    putSigned(
      h.cache,
      key,
      encodeSigned(HaltNotice, { format: 'leeward-halt-notice/1', itemId, chain: 1, event }, macKey, key),
      never,
    );
  await say(haltNoticeKey(itemId, 1), Buffer.alloc(32));
  t.is(await h.drain(), 'idle', 'nobody else can stop an item');
  const [forged] = await h.store.listEvents({ limit: 1 });
  t.is(forged?.event.code, 'RequestTampered');
  await say(haltNoticeKey(itemId, 1), requestMacKey(h.writer.itemKey));
  t.is(await h.drain(), 'blocked');
  t.is((await h.store.state(itemId)).blocked?.event.summary, event.summary);
  t.is(await h.drain(), 'blocked');
  t.deepEqual(await h.cache.list(requestPrefix(itemId), { limit: 10 }, never), []);
  t.deepEqual(await h.cache.list(noticePrefix(itemId), { limit: 10 }, never), []);
});

test('a bookmark while a disk is not in sync is refused', async (t) => {
  const h = await house([1 << 20]);
  await h.writer.put({ state: 'resync', isBookmark: true });
  t.is(await h.drain(), 'blocked');
  t.is((await h.store.state(h.item.itemId)).blocked?.event.code, 'BookmarkNotInSync');
  t.deepEqual(await h.replica.listPoints(h.item.itemId), []);
});

test('digests of what the head really has are answered, sealed, from where they were asked', async (t) => {
  const h = await house([(1 << 20) + 4096]);
  await h.writer.put({ state: 'initial' });
  const { diskId, content } = h.writer.disks[0]!;
  const resyncId = systemRandom.uuid();
  await h.writer.put({
    state: 'resync',
    extents: 3,
    digestRequest: { resyncId, diskId, fromBytes: 1 << 19 },
  });
  t.is(await h.drain(), 'idle');
  const key = digestKey(h.item.itemId, resyncId, 0, true);
  const object = await buffer((await h.cache.get(key, never))!);
  const part = decodeDigestPart(await openObject(h.writer.itemKey, key, object), key);
  t.is(part.offsetBytes, 1 << 19);
  t.is(part.lengthBytes, content.byteLength - (1 << 19));
  for (let n = 0; n < part.digests.byteLength / 16; n++) {
    const from = (1 << 19) + n * 65_536;
    const expected = createHash('sha256')
      .update(content.subarray(from, from + 65_536))
      .digest()
      .subarray(0, 16);
    t.true(expected.equals(part.digests.subarray(n * 16, n * 16 + 16)));
  }
});

test('a failure between any two steps is answered by applying the same manifest again', async (t) => {
  const h = await house([2 << 20, 1 << 20]);
  await h.writer.put({ state: 'initial' });
  for (let n = 0; n < 4; n++) await h.writer.put({ isBookmark: true });
  // Each call of cache, replica or store counts; the n-th one fails, for every n until nothing fails any more.
  for (let failAt = 1; ; failAt += 1 + Math.floor(failAt / 8)) {
    let calls = 0;
    let failed = false;
    const faulty = <T extends object>(target: T): T =>
      new Proxy(target, {
        get: (object, name) => {
          const value = Reflect.get(object, name);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            if (++calls === failAt) {
              failed = true;
              return Promise.reject(new Error('EIO'));
            }
            return value.apply(object, args);
          };
        },
      });
    const processor = new ItemProcessor({
      item: h.item,
      itemKey: h.writer.itemKey,
      cache: faulty(h.cache),
      store: faulty(h.store),
      replica: faulty(h.replica),
      archive: h.archive,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
    });
    await h.drain(processor).catch(() => processor.close());
    t.deepEqual(await h.wrongPoints(), []);
    await h.writer.put({ isBookmark: true, extents: 3 });
    if (!failed) break;
  }
  t.is(await h.drain(), 'idle');
  t.is((await h.store.listPoints(h.item.itemId, { limit: 1000 })).length, h.writer.points.size);
  t.deepEqual(await h.wrongPoints(), []);
  t.deepEqual((await h.verify()).findings, []);
});

test('verify finds a flipped bit in a point and a lost link of the archive, and says where', async (t) => {
  const h = await house([1 << 20]);
  await h.writer.put({ state: 'initial', extents: 2 });
  const { bookmarkId } = await h.writer.put({ isBookmark: true });
  await h.drain();
  t.deepEqual((await h.verify()).findings, []);
  const [loan] = await h.replica.lend(h.item.itemId, bookmarkId as RecoveryPointId, 'where');
  const path = loan!.path.replace('/loans/where/', `/points/${bookmarkId}/`);
  const content = await readFile(path);
  content[123_456]! ^= 8;
  await writeFile(path, content);
  const found = (await h.verify()).findings;
  t.is(found.length, 1);
  t.is(found[0]?.code, 'ReplicaBlockCorrupt');
  t.is(found[0]?.context.offsetBytes, Math.floor(123_456 / 4096) * 4096);
  for await (const { object, file } of h.archive.manifests(h.item.itemId, 1)) {
    await writeFile(file, (await readFile(file)).subarray(object.byteLength));
    break;
  }
  const codes = (await h.verify()).findings.map((finding) => finding.code);
  t.true(codes.includes('ArchiveBroken'), codes.join());
});

test('verify accepts an archive that was trimmed to what the points need, and no shorter one', async (t) => {
  const h = await house([1 << 20]);
  await h.writer.put({ state: 'initial', extents: 1 });
  await h.writer.put({ isBookmark: true, extents: 1 });
  h.writer.newChain();
  await h.writer.put({ state: 'initial', extents: 1 });
  const { bookmarkId } = await h.writer.put({ isBookmark: true, extents: 1 });
  await h.drain();
  const old = (await h.store.listPoints(h.item.itemId, { limit: 10 })).find(
    ({ pointId }) => (pointId as string) !== bookmarkId,
  );
  // Chain 1 is gone while the point of the second still stands: nothing is missing for it.
  if (old) await h.store.removePoint(h.item.itemId, old.pointId);
  if (old) await h.replica.dropPoint(h.item.itemId, old.pointId);
  t.is(await h.archive.trim(h.item.itemId, { chain: 2, sequence: 2 }), old ? 1 : 0);
  t.deepEqual(await h.archive.chains(h.item.itemId), [2]);
  t.deepEqual((await h.verify()).findings, []);
  for await (const { file, object } of h.archive.manifests(h.item.itemId, 2)) {
    // As if the file that the point needs were lost: the next one begins behind it.
    await writeFile(file.replace('0000000000000001.', '0000000000001001.'), object);
    await rm(file);
    break;
  }
  t.true((await h.verify()).findings.some(({ code }) => code === 'ArchiveBroken'));
});
