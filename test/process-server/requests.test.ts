/**
 * Goal: the vault's word gets a chain going again, once, whenever it comes and whatever dies meanwhile; and what stands
 * still says so. Method: the whole process server in this process; requests are put as the vault's log processor puts them.
 */
import test from 'ava';
import { systemClock, until } from '../../src/platform/clock.ts';
import type { CacheStore } from '../../src/protocol/cache/cache-store.ts';
import { manifestMacKey, requestMacKey } from '../../src/protocol/cache/keys.ts';
import { encodeManifest, manifestKey, segmentKey } from '../../src/protocol/cache/manifest.ts';
import {
  decodeSigned,
  getSigned,
  HaltNotice,
  haltNoticeKey,
  putSigned,
  requestPrefix,
  resyncRequestKey,
} from '../../src/protocol/cache/request.ts';
import { orderResync } from '../../src/vault/log-processor/resync-order.ts';
import { bound, drained, MiB, type ProcessServerWorld, world } from '../support/process-server-world.ts';
import { replay, ScriptedSender } from '../support/scripted-sender.ts';

const never = new AbortController().signal;
const order = (w: ProcessServerWorld, sender: ScriptedSender, chain: number, store: CacheStore = w.store) =>
  orderResync(
    { itemId: sender.itemId, itemKey: sender.itemKey, cache: store },
    chain,
    'ReplicaInvalid',
    never,
  );
const requestsLeft = (w: ProcessServerWorld, sender: ScriptedSender) =>
  w.store.list(requestPrefix(sender.itemId), { limit: 10 }, never);
const gone = (w: ProcessServerWorld, sender: ScriptedSender) =>
  until(
    systemClock,
    60_000,
    async () => ((await requestsLeft(w, sender)).length === 0 ? true : undefined),
    () => new Error('the request is still there'),
  );

/** What another process server with the same item would have written there. */
function foreignManifest(sender: ScriptedSender, sequence: number): Buffer {
  return encodeManifest(
    {
      format: 'leeward-manifest/1',
      itemId: sender.itemId,
      chain: 1,
      sequence,
      previousDigest: 'ab'.repeat(32),
      generation: 1,
      createdAt: '2026-01-01T00:00:00.000Z',
      segments: [],
      disks: [],
      progress: [],
      health: [],
    },
    manifestMacKey(sender.itemKey),
  );
}

async function inSync(w: ProcessServerWorld, disks: number[] = [MiB]) {
  const server = w.start();
  const sender = new ScriptedSender(disks);
  await w.assign(server, sender);
  sender.write(30);
  await w.connect(server, sender);
  await sender.synchronize();
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  return { server, sender };
}

test('an ordered resync ends the session for now, starts a new chain, and says so in its first manifest', async (t) => {
  const w = await world(t);
  const { server, sender } = await inSync(w, [2 * MiB, MiB]);
  t.true(await order(w, sender, 1));
  await t.throwsAsync(
    sender.until(() => false),
    { code: 'ResyncOrdered' } as never,
  );
  await sender.disconnect();
  await gone(w, sender);
  await w.connect(server, sender);
  for (const disk of sender.welcome!.disks) t.like(disk, { state: 'resync', resyncCause: 'ReplicaInvalid' });
  await sender.synchronize();
  sender.write(20);
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  const replayed = await replay(sender, w.store);
  t.is(replayed.bookmarks.length, 2);
  t.deepEqual([...new Set(replayed.manifests.map(({ chain }) => chain))], [1, 2]);
  const first = replayed.manifests.find(({ chain }) => chain === 2)!;
  t.true(first.health.some(({ code }) => code === 'ResyncOrdered'));
});

test('a request that names a disk is told to the machine until its comparison has begun, and ends no chain', async (t) => {
  const w = await world(t);
  const { server, sender } = await inSync(w, [2 * MiB, MiB]);
  const [, diskId] = sender.diskIds;
  const ask = () =>
    orderResync(
      { itemId: sender.itemId, itemKey: sender.itemKey, cache: w.store },
      1,
      'Requested',
      never,
      diskId,
    );
  t.true(await ask());
  await sender.until(() => sender.orders.length > 0);
  t.deepEqual(sender.orders, [{ order: 'resync', diskId: diskId! }]);
  t.true(await ask(), 'asking twice is asking once');
  // It was told and its session broke before it did anything: it is told again.
  await sender.disconnect();
  await w.connect(server, sender);
  await sender.until(() => sender.orders.length > 1);
  t.is((await requestsLeft(w, sender)).length, 1);
  await sender.compare(1, 'Requested');
  await gone(w, sender);
  sender.write(20);
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  t.is(sender.orders.length, 2);
  t.is(server.item(sender.itemId)?.status.chain, 1);
  const replayed = await replay(sender, w.store);
  t.is(replayed.bookmarks.length, 2);
  t.deepEqual([...new Set(replayed.manifests.map(({ chain }) => chain))], [1]);
  const untrusted = replayed.manifests
    .slice(1)
    .flatMap(({ disks }) => disks)
    .filter((disk) => disk.cause === 'Requested');
  t.deepEqual([...new Set(untrusted.map((disk) => disk.diskId))], [diskId!]);
});

test('a request for an older chain, or of nobody, is dropped and changes nothing', async (t) => {
  const w = await world(t);
  const { server, sender } = await inSync(w);
  await order(w, sender, 1);
  await t.throwsAsync(sender.until(() => false));
  await sender.disconnect();
  await gone(w, sender);
  await w.connect(server, sender);
  await sender.synchronize();
  await sender.acknowledged();
  t.is(server.item(sender.itemId)?.status.chain, 2);
  // As a vault would that was restored from yesterday, or an answer that was lost.
  await order(w, sender, 1);
  await gone(w, sender);
  const forged = new ScriptedSender([MiB]);
  await putSigned(
    w.store,
    resyncRequestKey(sender.itemId, 2),
    Buffer.from(`{"itemId":"${forged.itemId}"}\n${'0'.repeat(64)}\n`),
    never,
  );
  await gone(w, sender);
  await sender.bookmark();
  await sender.acknowledged();
  t.like(server.item(sender.itemId)?.status, { chain: 2, halted: null });
  t.is(server.item(sender.itemId)?.status.session?.generation, 2);
  await drained(server, sender);
  const replayed = await replay(sender, w.store);
  t.true(replayed.manifests.some(({ health }) => health.some(({ code }) => code === 'RequestTampered')));
});

test('a crash between the new beginning and the removal of its request costs no second resync', async (t) => {
  const w = await world(t);
  const { server, sender } = await inSync(w);
  await server[Symbol.asyncDispose]();
  await sender.disconnect();
  // Deletions get lost: as if the process died just before each.
  const keeping: CacheStore = { ...bound(w.store), delete: async () => {} };
  const forgetful = w.start({ store: keeping });
  await w.assign(forgetful, sender);
  await w.connect(forgetful, sender);
  await order(w, sender, 1);
  await t.throwsAsync(sender.until(() => false));
  await sender.disconnect();
  await until(
    systemClock,
    60_000,
    () => (forgetful.item(sender.itemId)?.status.chain === null ? true : undefined),
    () => new Error('the chain was not given up'),
  );
  await forgetful[Symbol.asyncDispose]();
  t.is((await requestsLeft(w, sender)).length, 1);
  const next = w.start();
  await w.assign(next, sender);
  await w.connect(next, sender);
  t.is(sender.welcome?.disks[0]?.state, 'resync');
  await gone(w, sender);
  await sender.synchronize();
  await sender.bookmark();
  await sender.acknowledged();
  await drained(next, sender);
  t.is(next.item(sender.itemId)?.status.chain, sender.generation);
  t.is((await replay(sender, w.store)).bookmarks.length, 2);
});

test('other content under a key of its chain halts the item, tells the vault, and waits for an order', async (t) => {
  const w = await world(t);
  const { server, sender } = await inSync(w);
  const next = server.item(sender.itemId)!.status.sequence + 1;
  // Another process server with this item has been faster.
  const foreignKey = manifestKey(sender.itemId, 1, next);
  await putSigned(w.store, foreignKey, foreignManifest(sender, next), never);
  sender.write(10);
  await sender.bookmark();
  await t.throwsAsync(
    sender.until(() => false),
    { code: 'ItemHalted' } as never,
  );
  await sender.disconnect();
  t.regex(server.item(sender.itemId)?.status.halted ?? '', /other content/);
  await t.throwsAsync(w.connect(server, sender), { code: 'ItemHalted' } as never);
  const key = haltNoticeKey(sender.itemId, 1);
  const object = await until(
    systemClock,
    60_000,
    () => getSigned(w.store, key, never),
    () => new Error('no notice'),
  );
  const notice = decodeSigned(HaltNotice, object, requestMacKey(sender.itemKey), key);
  t.like(notice, { chain: 1, event: { code: 'ItemHalted', severity: 'critical' } });
  t.regex(notice.event.recommendedAction, /leeward protected-item resync/);
  // The operator has settled who it is, and says so.
  await order(w, sender, 1);
  await gone(w, sender);
  await until(
    systemClock,
    60_000,
    () => (server.item(sender.itemId)?.status.halted === null ? true : undefined),
    () => new Error('still halted'),
  );
  await sender.disconnect();
  await w.connect(server, sender, sender.generation + 1);
  await sender.synchronize();
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  await w.store.delete(foreignKey, never);
  const replayed = await replay(sender, w.store);
  t.is(replayed.manifests.at(-1)!.chain, sender.generation);
  t.is(replayed.bookmarks.length, 2);
});

test('what was damaged where it lay is put again, and is not taken for another writer', async (t) => {
  const w = await world(t);
  const { server, sender } = await inSync(w);
  const next = server.item(sender.itemId)!.status.sequence + 1;
  const key = manifestKey(sender.itemId, 1, next);
  const damaged = foreignManifest(sender, next);
  damaged[20]! ^= 1;
  await putSigned(w.store, key, damaged, never);
  await putSigned(
    w.store,
    segmentKey(sender.itemId, 1, next, sender.diskIds[0]!),
    Buffer.alloc(500, 7),
    never,
  );
  sender.write(10);
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  t.is(server.item(sender.itemId)?.status.halted, null);
  t.is((await replay(sender, w.store)).bookmarks.length, 2);
});

test('a process server that is stopped sends machines away for now, not for good', async (t) => {
  const w = await world(t);
  const { server, sender } = await inSync(w);
  await server[Symbol.asyncDispose]();
  const ended = (await t.throwsAsync(sender.until(() => false))) as Error & { code?: string; retry?: string };
  t.is(ended.code, 'ServerStopping');
  t.is(ended.retry, 'transient');
});
