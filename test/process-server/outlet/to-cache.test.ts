/**
 * Goal: uploads are tried again when it makes sense, for hours, and what is throttled stays below its rate.
 * Method: the whole process server on a simulated drive and a fake clock: hours take seconds.
 */

import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import test from 'ava';
import { LeewardError } from '../../../src/platform/errors.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { standardLimits } from '../../../src/process-server/limits.ts';
import { ProcessServer } from '../../../src/process-server/server.ts';
import type { CacheStore } from '../../../src/protocol/cache/cache-store.ts';
import { cacheErrors } from '../../../src/protocol/cache/errors.ts';
import { inlineSealer } from '../../../src/protocol/cache/segment.ts';
import { memoryLinkPair } from '../../support/memory-link.ts';
import { ScriptedSender } from '../../support/scripted-sender.ts';
import { Life, SimulatedClock, Timeline, WallClock } from '../../support/simulated/clock.ts';
import { SimulatedDrive } from '../../support/simulated/files.ts';
import { SeededRandom } from '../../support/simulated/random.ts';

const minute = 60_000;

/** Cache storage in memory that can be made to fail, and remembers when what was asked. */
class MoodyStore implements CacheStore {
  readonly objects = new Map<string, Buffer>();
  /** Simulated milliseconds of every put that began. */
  readonly puts: number[] = [];
  readonly lists: number[] = [];
  putFails: (() => Error) | undefined;
  listFails: (() => Error) | undefined;
  readonly #timeline: Timeline;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  async put(key: string, body: { open(): Readable }): Promise<'created' | 'present'> {
    this.puts.push(this.#timeline.nowMilliseconds);
    if (this.putFails) throw this.putFails();
    this.objects.set(key, await buffer(body.open()));
    return 'created';
  }
  async get(key: string): Promise<Readable | undefined> {
    const object = this.objects.get(key);
    return object && Readable.from([object]);
  }
  async list(prefix: string): Promise<{ key: string; sizeBytes: number }[]> {
    this.lists.push(this.#timeline.nowMilliseconds);
    if (this.listFails) throw this.listFails();
    return [...this.objects]
      .filter(([key]) => key.startsWith(prefix) && !prefix.endsWith('/manifests/'))
      .map(([key, object]) => ({ key, sizeBytes: object.byteLength }));
  }
  async delete(key: string): Promise<void> {
    this.objects.delete(key);
  }
}

/** A process server with a part to upload, in a world of its own. */
async function world(name: string, uploadBytesPerSecondMax?: number) {
  const timeline = new Timeline();
  const random = new SeededRandom(name);
  const life = new Life('process-server');
  const drive = new SimulatedDrive(timeline, random.fork('drive'));
  const store = new MoodyStore(timeline);
  const metrics = new Metrics();
  const server = new ProcessServer({
    files: drive.files(life),
    clock: new SimulatedClock(timeline, life, new WallClock(Date.UTC(2026, 0, 1))),
    random: random.fork('server'),
    log: silentLog,
    store,
    sealer: inlineSealer,
    spoolFolder: '/spool',
    metrics,
    limits: { ...standardLimits, partMillisecondsMax: 1000 },
    quota: { serverBytes: 1 << 30, itemBytes: 1 << 30 },
  });
  const sender = new ScriptedSender([1 << 20]);
  sender.images[0]!.set(random.bytes(1 << 20));
  const send = async () => {
    await drive.files(life).makeFolder('/spool');
    await server.assign(
      {
        itemId: sender.itemId,
        name: 'machine',
        itemKeyFile: '/unused',
        disks: sender.diskIds.map((diskId) => ({ diskId })),
        ...(uploadBytesPerSecondMax === undefined ? {} : { uploadBytesPerSecondMax }),
      },
      sender.itemKey,
    );
    const pair = memoryLinkPair({ senderName: sender.itemId, receiverName: 'process-server/test' });
    void server.serve(pair.receiver);
    await sender.connect(pair.sender);
    await sender.synchronize();
    await sender.bookmark();
    await sender.acknowledged();
  };
  const run = async (untilMilliseconds: number, done?: () => boolean) =>
    timeline.run(untilMilliseconds, done);
  return { timeline, store, server, sender, send, run, metrics };
}

test('a vault that answers and refuses is tried after 2 s, 10 s, 1, 2, 4, 8, 10 and then every 30 minutes', async (t) => {
  const w = await world('ladder');
  w.store.putFails = () => cacheErrors.CacheStoreFull('test');
  void w.send();
  await w.run(6 * 60 * minute);
  const waits = w.store.puts.slice(1).map((at, index) => Math.round((at - w.store.puts[index]!) / 1000));
  t.deepEqual(waits.slice(0, 7), [2, 10, 60, 120, 240, 480, 600]);
  t.true(waits.length > 14);
  t.true(
    waits.slice(7).every((wait) => wait === 1800),
    waits.join(),
  );
  // One event, not one a try.
  w.store.putFails = undefined;
  await w.run(w.timeline.nowMilliseconds + 31 * minute, () => w.server.item(w.sender.itemId)!.isDrained);
  t.true(w.server.item(w.sender.itemId)!.isDrained);
});

test('an error that does not look passing waits the last rung at once', async (t) => {
  const w = await world('slow');
  w.store.putFails = () =>
    new LeewardError({ code: 'CacheForbidden', summary: 'no', possibleCauses: 'x', recommendedAction: 'y' });
  void w.send();
  await w.run(3 * 60 * minute);
  const waits = w.store.puts.slice(1).map((at, index) => (at - w.store.puts[index]!) / minute);
  t.true(waits.length >= 4);
  t.true(
    waits.every((wait) => Math.round(wait) === 30),
    waits.join(),
  );
});

test('a vault that was gone for hours is noticed within a minute of its return', async (t) => {
  const w = await world('return');
  const gone = () => cacheErrors.CacheStoreUnreachable('test');
  w.store.putFails = gone;
  void w.send();
  // It was there when the item began, and goes then.
  await w.run(minute);
  w.store.listFails = gone;
  await w.run(5 * 60 * minute);
  const tries = w.store.puts.length;
  t.true(tries < 25, `${tries} tries in five hours`);
  const asked = w.store.lists.filter((at) => at > 60 * minute && at <= 120 * minute).length;
  t.true(asked >= 55 && asked <= 65, `${asked} questions in an hour`);
  w.store.putFails = undefined;
  w.store.listFails = undefined;
  const back = w.timeline.nowMilliseconds;
  await w.run(back + 61_000, () => w.server.item(w.sender.itemId)!.isDrained);
  t.true(w.server.item(w.sender.itemId)!.isDrained, 'everything is uploaded');
});

test('a throttled item stays below its rate, and the figures say what was sent', async (t) => {
  const rate = 64 << 10;
  const w = await world('throttle', rate);
  void w.send();
  await w.run(10 * minute, () => {
    const item = w.server.item(w.sender.itemId);
    return item !== undefined && item.status.lastBookmark !== null && item.isDrained;
  });
  t.true(w.server.item(w.sender.itemId)!.isDrained);
  const bytes = [...w.store.objects].reduce(
    (sum, [key, object]) => sum + (key.endsWith('.seg') ? object.byteLength : 0),
    0,
  );
  t.true(bytes > 1 << 20, 'noise');
  // Simulated time: what was sent cannot have taken less.
  t.true(w.timeline.nowMilliseconds / 1000 >= bytes / rate - 1);
  const text = w.server.renderMetrics();
  const figure = (name: string) => Number(new RegExp(`^${name}\\S* (\\S+)$`, 'm').exec(text)?.[1]);
  t.is(figure('leeward_process_server_sent_bytes'), bytes);
  t.true(figure('leeward_process_server_received_bytes') > 1 << 20);
  t.is(figure('leeward_process_server_spool_bytes'), w.server.status.spoolBytes);
  t.is(figure('leeward_process_server_sessions'), 1);
  t.true(figure('leeward_process_server_refined_object_bytes') >= bytes);
  t.regex(text, /^# HELP leeward_process_server_ack_seconds/m);
});
