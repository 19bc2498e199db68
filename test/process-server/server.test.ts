/**
 * Goal: what a machine sends comes out of cache storage byte for byte, whatever happens in between.
 * Method: the whole process server in this process, links in memory, a real folder for spool and cache; images rebuilt
 * from cache storage are compared at every bookmark.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'ava';
import { systemClock, until } from '../../src/platform/clock.ts';
import type { LeewardError } from '../../src/platform/errors.ts';
import { type Files, systemFiles } from '../../src/platform/files.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { processServerErrors } from '../../src/process-server/errors.ts';
import type { CacheStore } from '../../src/protocol/cache/cache-store.ts';
import { encodeDigestPart } from '../../src/protocol/cache/digest-part.ts';
import { digestKey } from '../../src/protocol/cache/manifest.ts';
import { sealObject } from '../../src/protocol/cache/segment.ts';
import { digestBytes, digestChunkBytes } from '../../src/protocol/replication/messages.ts';
import { isExplained, throwsExplained } from '../support/explained.ts';
import { memoryLinkPair } from '../support/memory-link.ts';
import { bound, drained, MiB, world } from '../support/process-server-world.ts';
import { replay, ScriptedSender } from '../support/scripted-sender.ts';

test('two machines at once: images at every bookmark equal the machines, byte for byte', async (t) => {
  const { start, assign, connect, store } = await world(t);
  const server = start();
  const senders = [new ScriptedSender([2 * MiB, MiB]), new ScriptedSender([3 * MiB])];
  await Promise.all(
    senders.map(async (sender) => {
      await assign(server, sender);
      sender.write(100);
      await connect(server, sender);
      await sender.synchronize();
      for (let round = 0; round < 5; round++) {
        sender.write(60);
        await sender.bookmark();
      }
      await sender.acknowledged();
      await drained(server, sender);
    }),
  );
  for (const sender of senders) {
    const replayed = await replay(sender, store);
    t.is(replayed.bookmarks.length, 5);
    t.true(replayed.images.every((image, index) => image.equals(sender.images[index]!)));
  }
  t.true(server.renderMetrics().includes('leeward_process_server_received_bytes'));
});

test('a restart goes on from what is in the spool', async (t) => {
  const { start, assign, connect, store } = await world(t);
  const sender = new ScriptedSender([2 * MiB]);
  const stuck: CacheStore = {
    ...bound(store),
    put: (_key, _body, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  };
  const first = start({ store: stuck });
  await assign(first, sender);
  await connect(first, sender);
  await sender.synchronize();
  sender.write(50);
  await sender.bookmark();
  sender.write(50);
  await sender.drain();
  await sender.acknowledged();
  await first[Symbol.asyncDispose]();
  await sender.disconnect();
  const second = start();
  await assign(second, sender);
  await connect(second, sender);
  t.is(sender.welcome?.disks[0]?.state, 'in-sync');
  await sender.bookmark();
  await sender.acknowledged();
  await drained(second, sender);
  t.is((await replay(sender, store)).bookmarks.length, 2);
});

test('a small part waits for a bookmark or for news, a larger one only for its time', async (t) => {
  const { start, assign, connect, store } = await world(t);
  // Longer than any test: only what the test does closes a small part.
  const server = start({ limits: { smallPartBytes: MiB, smallPartPatience: 1e6 } });
  const sender = new ScriptedSender([4 * MiB]);
  await assign(server, sender);
  await connect(server, sender);
  await sender.synchronize();
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  const manifests = async () => (await replay(sender, store)).manifests;
  const before = (await manifests()).length;
  const send = async (blocks: number) => {
    for (let block = 0; block < blocks; block++) {
      randomBytes(4096).copy(sender.images[0]!, block * 4096);
      sender.dirty[0]!.add(block);
    }
    await sender.drain();
    await sender.acknowledged();
  };
  await send(3);
  await send(3);
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  t.is((await manifests()).length, before + 1, 'both with the bookmark');
  await send(3);
  t.true(server.item(sender.itemId)!.spool.openPart !== undefined);
  server.item(sender.itemId)!.raise(processServerErrors.SpoolFull('as an example'));
  await drained(server, sender);
  const told = (await manifests()).at(-1)!;
  t.is(told.bookmark, undefined);
  t.true(told.health.some(({ code }) => code === 'SpoolFull'));
  await send(300);
  await until(
    systemClock,
    60_000,
    async () => (await manifests()).length > before + 2 || undefined,
    () => new Error('1.2 MiB did not travel by the clock'),
  );
});

test('a walk gets its own digests only, from where it goes on, whatever lies there of earlier ones', async (t) => {
  const { start, assign, connect, store } = await world(t);
  const server = start();
  const sender = new ScriptedSender([4 * MiB]);
  await assign(server, sender);
  await connect(server, sender);
  await sender.synchronize();
  await sender.acknowledged();
  /** As the vault does: 64 KiB of disk a digest, here all of one byte. */
  const answer = async (resyncId: string, part: number, fromMiB: number, toMiB: number, byte: number) => {
    const key = digestKey(sender.itemId, resyncId, part, toMiB === 4);
    const lengthBytes = (toMiB - fromMiB) * MiB;
    const digests = Buffer.alloc((lengthBytes / digestChunkBytes) * digestBytes, byte);
    const content = encodeDigestPart({ offsetBytes: fromMiB * MiB, lengthBytes, digests });
    const object = sealObject(sender.itemKey, randomBytes(32), key, content);
    const sha256 = createHash('sha256').update(object).digest('hex');
    const body = { sizeBytes: object.byteLength, sha256, open: () => Readable.from([object]) };
    await store.delete(key, AbortSignal.timeout(60_000));
    await store.put(key, body, AbortSignal.timeout(60_000));
  };
  const got = () =>
    sender.digests.map(({ offsetBytes, lengthBytes, payload }) => [
      offsetBytes / MiB,
      lengthBytes / MiB,
      payload[0],
    ]);
  const reconnect = async () => {
    await sender.acknowledged();
    await sender.disconnect();
    sender.digests = [];
    await connect(server, sender);
  };
  const first = await sender.beginWalk(0, 'resync', 'UncleanShutdown');
  await reconnect();
  // The answers to a walk whose service has died come only now.
  await answer(first, 0, 0, 2, 1);
  await answer(first, 1, 2, 4, 1);
  const second = await sender.beginWalk(0, 'resync', 'UncleanShutdown');
  await sender.acknowledged();
  await answer(second, 0, 0, 2, 2);
  await sender.until(() => sender.digests.length === 1);
  t.deepEqual(got(), [[0, 2, 2]]);
  await reconnect();
  // It goes on where it was; what the link's end left of its own first answer begins elsewhere.
  await answer(second, 1, 2, 4, 2);
  await sender.beginWalk(0, 'resync', 'UncleanShutdown', { resyncId: second, fromBytes: MiB });
  await sender.acknowledged();
  await answer(second, 0, 1, 3, 3);
  await answer(second, 1, 3, 4, 3);
  await sender.until(() => sender.digests.length === 2);
  t.deepEqual(got(), [
    [1, 2, 3],
    [3, 1, 3],
  ]);
  await reconnect();
  const third = await sender.beginWalk(0, 'resync', 'UncleanShutdown');
  await answer(second, 0, 0, 4, 2);
  await answer(third, 0, 0, 4, 4);
  await sender.until(() => sender.digests.length === 1);
  t.deepEqual(got(), [[0, 4, 4]]);
  const left = async () =>
    (await store.list(`items/${sender.itemId}/digests/`, { limit: 10 }, AbortSignal.timeout(60_000))).length;
  await until(
    systemClock,
    60_000,
    async () => (await left()) <= 2 || undefined,
    () => new Error('the answers to the walk before stay'),
  );
});

test('a machine that is failed over is turned away, also when it is connected, and goes on where it was when that is cancelled', async (t) => {
  const { start, assign, connect, store } = await world(t);
  const server = start();
  const sender = new ScriptedSender([2 * MiB]);
  await assign(server, sender);
  await connect(server, sender);
  await sender.synchronize();
  sender.write(50);
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  const before = await replay(sender, store);
  const failedOver = { failoverId: systemRandom.uuid(), at: '2026-01-01T00:00:00.000Z' };
  const plain = server.item(sender.itemId)!.assignment;
  await server.assign({ ...plain, failedOver }, sender.itemKey);
  await sender.disconnect();
  for (let time = 0; time < 2; time++) {
    const error = await t.throwsAsync<LeewardError>(connect(server, sender));
    isExplained(t, error, {
      code: 'FailedOver',
      says: /failed over at 2026-01-01/,
      cause: /started again/,
      action: /cancel the failover/,
    });
    t.is(error?.retry, 'transient', 'it comes back by itself');
  }
  t.is((await replay(sender, store)).manifests.length, before.manifests.length);
  await server.assign(plain, sender.itemKey);
  sender.write(50);
  await connect(server, sender);
  t.is(sender.welcome?.disks[0]?.state, 'in-sync', 'nothing is compared or copied');
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  const replayed = await replay(sender, store);
  t.is(replayed.bookmarks.length, before.bookmarks.length + 1);
  t.is(replayed.manifests.at(-1)?.chain, before.manifests.at(-1)?.chain);
  t.true(replayed.images[0]!.equals(sender.images[0]!));
});

test('an older session is refused, a live one is fenced by a newer, and cannot write any more', async (t) => {
  const { start, assign, connect, store } = await world(t);
  const server = start();
  const sender = new ScriptedSender([MiB]);
  await assign(server, sender);
  await connect(server, sender, 5);
  await sender.synchronize();
  await sender.acknowledged();
  const old = sender.sender;
  await throwsExplained(t, connect(server, sender, 5), {
    code: 'OldGeneration',
    says: /generation 5 came after one of generation 5/,
    cause: /cloned machine/,
    action: /Stop the copy/,
  });
  const twin = bearing(sender, [MiB]);
  await connect(server, twin, 6);
  t.is(twin.welcome?.disks[0]?.state, 'in-sync');
  t.is(old.acknowledgedSequence, old.sequence);
  t.is(server.item(sender.itemId)?.status.session?.generation, 6);
  twin.write(20);
  await twin.bookmark();
  await twin.acknowledged();
  await drained(server, twin);
  t.is((await replay(twin, store)).bookmarks.length, 1);
});

test('a machine that goes on from an earlier moment is told what is here, also by a server that restarted', async (t) => {
  const { start, assign, connect } = await world(t);
  const first = start();
  const sender = new ScriptedSender([MiB]);
  await assign(first, sender);
  await connect(first, sender, 5);
  await sender.synchronize();
  await sender.bookmark();
  await sender.acknowledged();
  await drained(first, sender);
  const { sequence } = sender.sender;
  sender.write(10);
  await sender.bookmark();
  await sender.acknowledged();
  const received = { generation: 5, sequence: sender.sender.sequence };
  // While the old connection seems alive it may be another machine's.
  const twin = bearing(sender, [MiB]);
  twin.previous = { generation: 5, sequence };
  await throwsExplained(t, connect(first, twin, 6), {
    code: 'SessionStillLive',
    says: /while another one of this name is connected/,
    cause: /clone/,
    action: /stop the clone/,
  });
  await sender.disconnect();
  await until(
    systemClock,
    60_000,
    () => first.item(sender.itemId)?.status.session === null || undefined,
    () => new Error('the session did not end'),
  );
  const refusedBy = async (server: ReturnType<typeof start>) => {
    const error = await t.throwsAsync(connect(server, twin, 6));
    isExplained(t, error, {
      code: 'MachineReverted',
      says: /from an earlier moment than session 5/,
      cause: /snapshot/,
      action: /compared/,
    });
    t.like((error as LeewardError).context, {
      highestGeneration: 5,
      receivedGeneration: 5,
      receivedSequence: received.sequence,
    });
  };
  await refusedBy(first);
  await first[Symbol.asyncDispose]();
  const second = start();
  await assign(second, sender);
  await refusedBy(second);
  // Acknowledgements that were lost are no past: the frames were numbered.
  twin.previous = { ...received, sequence: received.sequence + 3 };
  await connect(second, twin, 6);
  t.is(twin.welcome?.disks[0]?.state, 'in-sync');
});

test('unknown items, wrong certificates and wrong disks are refused with their cause, and nothing is taken from them', async (t) => {
  const { start, assign, connect, store } = await world(t);
  const server = start();
  const sender = new ScriptedSender([MiB]);
  await throwsExplained(t, connect(server, sender), {
    code: 'UnknownItem',
    says: new RegExp(`no protected item ${sender.itemId}`),
    cause: /disabled|another process server/,
    action: /Enable protection/,
  });
  await assign(server, sender);
  await connect(server, sender);
  await sender.synchronize();
  const pair = memoryLinkPair({ senderName: 'somebody-else', receiverName: 'process-server/test' });
  void server.serve(pair.receiver);
  const impostor = bearing(sender, [MiB]);
  await throwsExplained(t, impostor.connect(pair.sender), {
    code: 'WrongCertificate',
    says: /certificate of somebody-else does not speak for the protected item/,
    cause: /mixed up|claims to be another/,
    action: /its own certificate at the vault/,
  });
  const other = Object.assign(new ScriptedSender([MiB, MiB]), { itemId: sender.itemId });
  await throwsExplained(t, connect(server, other), {
    code: 'DisksDoNotMatch',
    says: /disks are not those that are protected: .+ is (not protected|missing)/,
    cause: /added or removed/,
    action: /assignments of machine and process server/,
  });
  // The rightful machine was not disturbed by any of them.
  sender.write(20);
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  const replayed = await replay(sender, store);
  t.is(replayed.bookmarks.length, 1);
  t.true(replayed.images[0]!.equals(sender.images[0]!));
});

test('a full spool makes senders wait and loses nothing', async (t) => {
  const { start, assign, connect, store } = await world(t);
  let isOpen = false;
  const gate = Promise.withResolvers<void>();
  const slow: CacheStore = {
    ...bound(store),
    put: async (key, body, signal) => {
      if (!isOpen) await gate.promise;
      return await store.put(key, body, signal);
    },
  };
  const server = start({ store: slow, serverBytes: 6 * MiB });
  const sender = new ScriptedSender([16 * MiB]);
  sender.images[0]!.set(systemRandom.bytes(16 * MiB));
  await assign(server, sender);
  await connect(server, sender);
  const sending = sender.synchronize();
  await until(
    systemClock,
    60_000,
    () => server.status.spoolBytes > 2 * MiB || undefined,
    () => new Error('never full'),
  );
  t.true(server.status.spoolBytes < 8 * MiB);
  isOpen = true;
  gate.resolve();
  await sending;
  await sender.bookmark();
  await sender.acknowledged();
  await drained(server, sender);
  const replayed = await replay(sender, store);
  t.is(replayed.bookmarks.length, 1);
});

test('a file system without room makes senders wait and loses nothing', async (t) => {
  const { start, assign, connect, store } = await world(t);
  let failures = 12;
  const files: Files = {
    ...systemFiles,
    open: async (path, mode) => {
      const file = await systemFiles.open(path, mode);
      const write = file.write.bind(file);
      file.write = async (source, positionBytes) => {
        if (
          path.includes('/spool/') &&
          !path.includes('state.json') &&
          failures-- > 0 &&
          failures % 3 === 0
        ) {
          await write(source.subarray(0, source.byteLength / 2), positionBytes);
          throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        }
        await write(source, positionBytes);
      };
      return file;
    },
  };
  const server = start({ files });
  const sender = new ScriptedSender([4 * MiB]);
  sender.write(200);
  await assign(server, sender);
  await connect(server, sender);
  await sender.synchronize();
  for (let round = 0; round < 3; round++) {
    sender.write(50);
    await sender.bookmark();
  }
  await sender.acknowledged();
  await drained(server, sender);
  t.is((await replay(sender, store)).bookmarks.length, 3);
});

test('without state and without cache storage nobody is welcomed', async (t) => {
  const { start, assign, connect, folder } = await world(t);
  const sender = new ScriptedSender([MiB]);
  const server = start({ store: unreachable() });
  await assign(server, sender);
  // Unreachable from the start: the item is not ready until it could ask whether its state was lost.
  await t.throwsAsync(
    Promise.race([
      connect(server, sender),
      systemClock.sleep(300).then(() => Promise.reject(new Error('waits'))),
    ]),
  );
  await server[Symbol.asyncDispose]();
  t.deepEqual(await readdir(join(folder, 'spool', sender.itemId, 'journal')), []);
});

test('a lost state starts a new chain whose disks are compared', async (t) => {
  const { start, assign, connect, folder, store } = await world(t);
  const sender = new ScriptedSender([MiB]);
  const first = start();
  await assign(first, sender);
  await connect(first, sender);
  t.is(sender.welcome?.disks[0]?.state, 'empty');
  await sender.synchronize();
  sender.write(20);
  await sender.bookmark();
  await sender.acknowledged();
  await drained(first, sender);
  await first[Symbol.asyncDispose]();
  await sender.disconnect();
  await rm(join(folder, 'spool', sender.itemId), { recursive: true });
  const second = start();
  await assign(second, sender);
  await t.throwsAsync(connect(second, sender, 1), { code: 'OldGeneration' } as never);
  await connect(second, sender, 2);
  t.like(sender.welcome?.disks[0], { state: 'resync', resyncCause: 'ProcessServerLostState' });
  await sender.synchronize();
  sender.write(20);
  await sender.bookmark();
  await sender.acknowledged();
  await drained(second, sender);
  const replayed = await replay(sender, store);
  t.is(replayed.bookmarks.length, 2);
  t.deepEqual([...new Set(replayed.manifests.map((manifest) => manifest.chain))], [1, 2]);
});

test('a damaged journal is compared again, never trusted', async (t) => {
  const { start, assign, connect, folder, store } = await world(t);
  const sender = new ScriptedSender([MiB]);
  // Nothing is refined while there is no room for segments, so that the journal stays.
  const noSegments: Files = {
    ...systemFiles,
    open: async (path, mode) => {
      if (path.endsWith('.seg')) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      return await systemFiles.open(path, mode);
    },
  };
  const first = start({ files: noSegments });
  await assign(first, sender);
  await connect(first, sender);
  await sender.synchronize();
  for (let round = 0; round < 3; round++) {
    sender.write(20);
    await sender.bookmark();
  }
  await sender.acknowledged();
  await first[Symbol.asyncDispose]();
  await sender.disconnect();
  const journal = join(folder, 'spool', sender.itemId, 'journal');
  const names = await readdir(journal);
  t.true(names.length >= 3);
  const path = join(journal, names.at(-2)!);
  const bytes = await readFile(path);
  bytes[bytes.byteLength >> 1]! ^= 1;
  await writeFile(path, bytes);
  const second = start();
  await assign(second, sender);
  await connect(second, sender);
  t.like(sender.welcome?.disks[0], { state: 'resync', resyncCause: 'ProcessServerLostState' });
  await sender.synchronize();
  await sender.bookmark();
  await sender.acknowledged();
  await drained(second, sender);
  const replayed = await replay(sender, store);
  t.is(replayed.bookmarks.length, 1);
  t.true(
    replayed.manifests.some((manifest) => manifest.health.some((event) => event.code === 'SpoolDamaged')),
  );
});

function unreachable(): CacheStore {
  const fail = () => Promise.reject(new Error('unreachable'));
  return { put: fail, get: fail, list: fail, delete: fail };
}

/** Another service with the papers of this one's machine: a clone of it, or a cheat. */
function bearing({ itemId, itemKey, diskIds }: ScriptedSender, sizes: readonly number[]): ScriptedSender {
  return Object.assign(new ScriptedSender(sizes), { itemId, itemKey, diskIds });
}
