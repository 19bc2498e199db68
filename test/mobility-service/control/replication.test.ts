// Goal: the copy at each bookmark equals the disks at that moment, byte for byte, whatever happens to link and receiver.
// Method: the real Replication over links in memory against a reference receiver. The disks stand in memory; every write
// is logged with its time, so that the state at a bookmark can be built again. Seeded; a failing seed replays.

import { hash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Disk } from '../../../src/disk/disk.ts';
import type { Capture, CaptureLoss } from '../../../src/mobility-service/capture/capture.ts';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';
import type { Brake } from '../../../src/mobility-service/consistency/brake.ts';
import type { Freezer } from '../../../src/mobility-service/consistency/freezer.ts';
import { Replication } from '../../../src/mobility-service/control/replication.ts';
import { ServiceState } from '../../../src/mobility-service/control/state.ts';
import type { BookmarkType } from '../../../src/model/bookmark.ts';
import type { ResyncCause } from '../../../src/model/disk-state.ts';
import { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { type Clock, systemClock, until } from '../../../src/platform/clock.ts';
import { LeewardError } from '../../../src/platform/errors.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { FrameType } from '../../../src/protocol/replication/frame.ts';
import { type MemoryLinkHooks, memoryLinkPair } from '../../support/memory-link.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';

/** Time runs ten times as fast, so that intervals and back-offs do not make the test long. */
const fastClock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 10,
  sleep: (milliseconds, signal) => systemClock.sleep(milliseconds / 10, signal),
};

function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const digestsOf = (images: readonly Buffer[]) => images.map((image) => hash('sha1', image));

/** A machine: disks in memory, a ring of completed writes that barriers read, and a freezer that holds the writer. */
class Machine implements Capture {
  readonly contents: Buffer[];
  readonly disks: Disk[];
  readonly #maps: ChangeMap[];
  losses: CaptureLoss[] = [];
  dropsEvents = false;
  isFrozen = false;
  freezes = 0;
  writtenBytes = 0;
  /** Digests of all disks together, after each write, and when it had completed. */
  readonly history: { readonly digests: readonly string[]; readonly at: number }[] = [];
  /** Completed and not read yet: a barrier finds what is there when it begins, and takes its time. */
  #ring: { readonly index: number; readonly offset: number; readonly length: number }[] = [];
  readonly #random: () => number;
  /** Of drains and walks; under a freeze a failure is the point's. */
  failReads = 0;
  /** Called at each barrier while everything stands still, and before each thaw; with the number of the freeze. */
  onFrozen: (freeze: number) => void = () => {};
  onThaw: (freeze: number) => void = () => {};
  isHeld = false;
  holds = 0;
  /** The same of the write brake. */
  onHeld: (hold: number) => void = () => {};

  constructor(sizes: readonly number[], random: () => number) {
    this.#random = random;
    this.contents = sizes.map((size) => Buffer.alloc(size));
    for (const content of this.contents)
      for (let at = 0; at < content.length; at += 4096)
        if (random() < 0.5)
          content.fill(1 + Math.floor(random() * 255), at, Math.min(at + 4096, content.length));
    this.#maps = sizes.map((size) => new ChangeMap(size));
    this.disks = this.contents.map((content) => ({
      sizeBytes: content.length,
      read: async (target, offset) => {
        await new Promise((resolve) => setImmediate(resolve));
        if (this.failReads > 0 && !this.isFrozen) {
          this.failReads -= 1;
          throw Object.assign(new Error('EIO'), { code: 'EIO' });
        }
        content.copy(target as Buffer, 0, offset, offset + target.byteLength);
        await new Promise((resolve) => setImmediate(resolve));
      },
      write: async () => {},
      flush: async () => {},
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
    }));
    this.remember();
  }

  remember(): void {
    this.history.push({ digests: digestsOf(this.contents), at: systemClock.now() });
  }

  write(random: () => number, isPastFileSystems = false): void {
    if ((this.isFrozen || this.isHeld) && !isPastFileSystems) return;
    const index = Math.floor(random() * this.contents.length);
    const content = this.contents[index]!;
    const offset = Math.floor(random() * (content.length / 512)) * 512;
    const length = Math.min(content.length - offset, 512 * (1 + Math.floor(random() * 64)));
    content.fill(random() < 0.3 ? 0 : Math.floor(random() * 256), offset, offset + length);
    this.writtenBytes += length;
    if (this.dropsEvents)
      this.losses.push({ cause: 'TraceEventsLost' as ResyncCause, detail: 'test', diskIndex: index });
    else this.#ring.push({ index, offset, length });
    this.remember();
  }

  /** Writes at once, as soon as nothing stands still: a frozen machine's writers wait, and these would be lost. */
  async writeSome(random: () => number, count: number): Promise<void> {
    await until(
      systemClock,
      30_000,
      () => (this.isFrozen ? undefined : true),
      () => new Error('the machine stays frozen'),
      1,
    );
    for (let written = 0; written < count; written++) this.write(random);
  }

  async barrier() {
    await new Promise((resolve) => setImmediate(resolve));
    // Between the barrier that begins the moment and the one that ends it.
    if (this.isFrozen) this.onFrozen(this.freezes);
    if (this.isHeld) this.onHeld(this.holds);
    this.readRing();
    await systemClock.sleep(this.#random() * 5);
    return { losses: this.losses.splice(0) };
  }
  readRing(): void {
    for (const { index, offset, length } of this.#ring.splice(0)) this.#maps[index]!.mark(offset, length);
  }
  take(index: number): ChangeMap {
    const map = this.#maps[index]!;
    this.#maps[index] = new ChangeMap(map.sizeBytes);
    return map;
  }
  restore(index: number, map: ChangeMap): void {
    this.#maps[index]!.merge(map);
  }
  pendingBytes(index?: number): number {
    return index === undefined
      ? this.#maps.reduce((sum, map) => sum + map.markedBytes, 0)
      : this.#maps[index]!.markedBytes;
  }
  async [Symbol.asyncDispose]() {}

  /** Disks and change maps as they are now; what is answered brings them back. */
  snapshot(): () => void {
    const contents = this.contents.map((content) => Buffer.from(content));
    const copyOf = (map: ChangeMap): ChangeMap => {
      const copy = new ChangeMap(map.sizeBytes);
      copy.merge(map);
      return copy;
    };
    const maps = this.#maps.map(copyOf);
    const ring = [...this.#ring];
    return () => {
      this.#ring = [...ring];
      for (const [index, content] of contents.entries()) content.copy(this.contents[index]!);
      for (const [index, map] of maps.entries()) this.#maps[index] = copyOf(map);
      this.remember();
    };
  }

  readonly freezer: Freezer = {
    prepare: async () => {
      let hasServed = false;
      return {
        mountPoints: ['/'],
        writeBack: async () => {},
        freeze: async () => {
          if (hasServed) throw new Error('a session serves one freeze');
          hasServed = true;
          this.isFrozen = true;
          this.freezes += 1;
        },
        thaw: async () => {
          this.isFrozen = false;
          this.onThaw(this.freezes);
          return { frozenMilliseconds: 3 };
        },
        [Symbol.asyncDispose]: async () => {
          this.isFrozen = false;
        },
      };
    },
    pre: async () => {},
    post: async () => {},
  };
}

/** Holds back the machine's writers, but for those that write past everything. */
function brakeOf(machine: Machine, unheld: readonly string[] = []): Brake {
  return {
    prepare: async () => ({
      hold: async () => {
        machine.isHeld = true;
        machine.holds += 1;
        return { unheld };
      },
      release: async () => {
        machine.isHeld = false;
        return { heldMilliseconds: 5, isByCommand: true };
      },
      [Symbol.asyncDispose]: async () => {
        machine.isHeld = false;
      },
    }),
  };
}

const itemId = ProtectedItemId.parse(crypto.randomUUID());
const diskIds = [0, 1].map(() => ProtectedDiskId.parse(crypto.randomUUID()));

const often = { crashConsistentSeconds: 0.3, applicationConsistentSeconds: 1, freezeMillisecondsMax: 2000 };
/** After the first one no bookmark comes but those that are ordered. */
const seldom = { ...often, crashConsistentSeconds: 3600, applicationConsistentSeconds: 3600 };

async function world(
  seed: number,
  hooks: MemoryLinkHooks = {},
  policy = often,
  how: {
    readonly brake?: (machine: Machine) => Brake;
    readonly canFreeze?: boolean;
    readonly sizes?: readonly number[];
    readonly heldBytes?: number;
    readonly clock?: Clock;
  } = {},
) {
  const random = seeded(seed);
  const machine = new Machine(how.sizes ?? [768 << 10, (256 << 10) + 1536], random);
  const receiver = new ReferenceReceiver();
  const folder = await mkdtemp(join(tmpdir(), 'leeward-replication-'));
  const links: ReturnType<typeof memoryLinkPair>[] = [];
  const faults: unknown[] = [];
  /** How far the machine's wall clock has been stepped. */
  const wall = { stepMilliseconds: 0 };
  const ticking = how.clock ?? fastClock;
  const clock: Clock = { ...ticking, now: () => ticking.now() + wall.stepMilliseconds };
  const start = async (stateName = 'state') => {
    const stop = new AbortController();
    const replication = new Replication({
      clock,
      random: systemRandom,
      log: silentLog,
      state: await ServiceState.load(systemFiles, join(folder, stateName), clock, 'boot'),
      itemId,
      hostName: 'test',
      agentVersion: 'test',
      disks: machine.disks.map((disk, index) => ({ diskId: diskIds[index]!, name: `/dev/${index}`, disk })),
      capture: machine,
      freezer: how.canFreeze === false ? undefined : machine.freezer,
      brake: how.brake?.(machine),
      heldBytes: how.heldBytes,
      policy,
      dial: async () => {
        const pair = memoryLinkPair(hooks);
        links.push(pair);
        receiver.serve(pair.receiver).catch((error: { code?: string }) => {
          if (error.code !== 'LinkBroken') faults.push(error);
          pair.cut('the receiver failed');
        });
        return pair.sender;
      },
    });
    return { replication, stop, running: replication.run(stop.signal) };
  };
  const points = (count: number) =>
    until(
      systemClock,
      30_000,
      () => (receiver.points.length >= count ? true : undefined),
      () =>
        new Error(
          `only ${receiver.points.length} of ${count} bookmarks; ${JSON.stringify(receiver.health.at(-1))} ${faults.join()}`,
        ),
      5,
    );
  const hasPoint = (type: BookmarkType) =>
    until(
      systemClock,
      30_000,
      () => (receiver.points.some(({ bookmark }) => bookmark.type === type) ? true : undefined),
      () => new Error(`no bookmark is ${type}; ${JSON.stringify(receiver.health.at(-1))}`),
      5,
    );
  return {
    random,
    machine,
    receiver,
    links,
    start,
    points,
    hasPoint,
    faults,
    wall,
    statePath: join(folder, 'state', 'state.json'),
    remove: () => rm(folder, { recursive: true }),
  };
}

/** Writes now and then until told to stop. */
function writer(machine: Machine, random: () => number, everyMilliseconds = 3) {
  let isOver = false;
  const done = (async () => {
    while (!isOver) {
      if (random() < 0.7) machine.write(random);
      await systemClock.sleep(random() * everyMilliseconds);
    }
  })();
  return () => {
    isOver = true;
    return done;
  };
}

/** A service that stops sends what it knows of; what the kernel has recorded besides waits for the next one. */
async function ended(
  machine: Machine,
  service: { readonly stop: AbortController; readonly running: Promise<unknown> },
): Promise<void> {
  machine.readRing();
  service.stop.abort();
  await service.running;
}

function checkPoints(
  t: { true(value: boolean, message?: string): void },
  w: Awaited<ReturnType<typeof world>>,
) {
  for (const [index, { bookmark, images }] of w.receiver.points.entries()) {
    const name = `point ${index} (${bookmark.type}, ${bookmark.method})`;
    const digests = digestsOf(images);
    const without = bookmark.missingDisks?.map(({ diskId }) => diskIds.indexOf(diskId)) ?? [];
    const state = w.machine.history.findLastIndex((one) =>
      one.digests.every((digest, disk) => without.includes(disk) || digest === digests[disk]),
    );
    t.true(state >= 0, `${name} is no state the disks were ever in`);
    // A clock of whole milliseconds cannot tell what happened within one.
    const takenAt = Date.parse(bookmark.takenAt);
    const promised = w.machine.history.findLastIndex(({ at }) => at < takenAt);
    t.true(
      state >= promised,
      `${name} lacks ${promised - state} writes that had completed when it says it was taken`,
    );
  }
}

for (const seed of [1, 2, 3])
  test.serial(
    `every bookmark is a state the disks were in, under random writes (seed ${seed})`,
    async (t) => {
      const w = await world(seed);
      const halt = writer(w.machine, w.random);
      const service = await w.start();
      await w.points(8);
      // Where a freeze took too long, the next one comes later than eight points that need none.
      await w.hasPoint('ApplicationConsistent');
      await halt();
      await ended(w.machine, service);
      checkPoints(t, w);
      t.deepEqual(w.faults, []);
      t.true(w.machine.contents.every((content, index) => content.equals(w.receiver.images[index]!)));
      await w.remove();
    },
  );

for (const seed of [11, 12, 13])
  test.serial(`links cut at any frame and a receiver that forgets do no harm (seed ${seed})`, async (t) => {
    const chance = seeded(seed * 7);
    let cuts = 0;
    const w = await world(seed, {
      onFrame: () => {
        if (cuts < 12 && chance() < 0.03) {
          cuts += 1;
          return 'cut';
        }
        return 'pass';
      },
    });
    const halt = writer(w.machine, w.random);
    const service = await w.start();
    await w.points(4);
    w.receiver.forgetAll();
    w.links.at(-1)!.cut();
    await w.points(8);
    await halt();
    await ended(w.machine, service);
    checkPoints(t, w);
    t.deepEqual(w.faults, []);
    await w.remove();
  });

test.serial('losses told by capture are repaired by a resync with that cause, and told', async (t) => {
  const w = await world(21);
  const service = await w.start();
  await w.points(2);
  w.machine.dropsEvents = true;
  await w.machine.writeSome(w.random, 20);
  w.machine.dropsEvents = false;
  const before = w.receiver.points.length;
  await w.points(before + 3);
  await ended(w.machine, service);
  t.true(w.receiver.begins.some(({ kind, cause }) => kind === 'resync' && cause === 'TraceEventsLost'));
  t.true(w.receiver.health.some(({ code }) => code === 'ChangesLost'));
  t.true(w.machine.contents.every((content, index) => content.equals(w.receiver.images[index]!)));
  await w.remove();
});

test.serial('a disk whose comparison is ordered is compared, and the others are not', async (t) => {
  const w = await world(27);
  const service = await w.start();
  await w.points(2);
  t.is(w.receiver.begins.length, 2);
  const [, second] = w.receiver.begins;
  w.receiver.images[1]![(1 << 16) + 5]! ^= 1;
  await w.receiver.order({ order: 'resync', diskId: second!.diskId });
  await until(
    systemClock,
    30_000,
    () => (w.receiver.begins.length > 2 ? true : undefined),
    () => new Error('nothing is compared'),
    5,
  );
  const before = w.receiver.points.length;
  await w.points(before + 3);
  await ended(w.machine, service);
  t.deepEqual(
    w.receiver.begins.slice(2).map(({ diskId, kind, cause }) => `${diskId} ${kind} ${cause}`),
    [`${second!.diskId} resync Requested`],
  );
  t.true(w.machine.contents.every((content, index) => content.equals(w.receiver.images[index]!)));
  t.deepEqual(w.faults, []);
  await w.remove();
});

test.serial('a machine that was set back with its maps and state is noticed, and compared', async (t) => {
  const w = await world(23);
  const stopped = async (count: number, doing: () => Promise<void>) => {
    const before = w.receiver.points.length;
    const service = await w.start();
    await w.points(before + 1);
    await doing();
    await w.points(before + 1 + count);
    await ended(w.machine, service);
  };
  const writeSome = () => w.machine.writeSome(w.random, 20);
  await stopped(2, writeSome);
  const state = await readFile(w.statePath);
  const revert = w.machine.snapshot();
  await stopped(2, writeSome);
  const walks = w.receiver.begins.length;
  t.is(walks, 2, 'a clean stop is no reason to compare');
  revert();
  await writeFile(w.statePath, state);
  await stopped(2, writeSome);
  t.deepEqual(
    w.receiver.begins.slice(walks).map(({ kind, cause }) => `${kind} ${cause}`),
    ['resync MachineReverted', 'resync MachineReverted'],
  );
  t.true(
    w.receiver.health.some(
      ({ code, context }) => code === 'ChangesLost' && context.cause === 'MachineReverted',
    ),
  );
  checkPoints(t, w);
  t.true(w.machine.contents.every((content, index) => content.equals(w.receiver.images[index]!)));
  const again = w.receiver.begins.length;
  await stopped(1, writeSome);
  t.is(w.receiver.begins.length, again, 'once is enough');
  t.deepEqual(w.faults, []);
  await w.remove();
});

test.serial(
  'what cannot be read is told, points go on without that disk, and have it once it can be read',
  async (t) => {
    const w = await world(31);
    const service = await w.start();
    await w.points(2);
    w.machine.failReads = 3;
    await w.machine.writeSome(w.random, 5);
    await until(
      systemClock,
      30_000,
      () => (w.machine.failReads === 0 ? true : undefined),
      () => new Error('no read'),
      5,
    );
    const without = () => w.receiver.points.findIndex(({ bookmark }) => bookmark.missingDisks);
    await until(
      systemClock,
      90_000,
      () => (without() >= 0 ? true : undefined),
      () => new Error('no point without the disk'),
    );
    t.true(w.receiver.points[without()]!.bookmark.missingDisks!.every(({ cause }) => cause === 'unreadable'));
    await until(
      systemClock,
      90_000,
      () =>
        w.receiver.points.slice(without()).some(({ bookmark }) => !bookmark.missingDisks) ? true : undefined,
      () => new Error('no point with the disk again'),
    );
    await ended(w.machine, service);
    checkPoints(t, w);
    for (const code of ['DiskUnreadable', 'DiskReadable'])
      t.true(
        w.receiver.health.some((event) => event.code === code),
        code,
      );
    t.true(w.machine.contents.every((content, index) => content.equals(w.receiver.images[index]!)));
    await w.remove();
  },
);

test.serial('of two services for one machine the older is fenced and stays away', async (t) => {
  const w = await world(41);
  const older = await w.start('older');
  await w.points(1);
  const newer = await w.start('older');
  await t.throwsAsync(older.running, { code: 'SessionFenced' });
  const before = w.receiver.points.length;
  await w.points(before + 1);
  await ended(w.machine, newer);
  await w.remove();
});

test.serial('a bookmark that is ordered while another one is taken is a later one', async (t) => {
  const w = await world(61, {}, seldom);
  const ordered = Promise.withResolvers<void>();
  let service: Awaited<ReturnType<typeof w.start>> | undefined;
  w.machine.onFrozen = () => {
    w.machine.onFrozen = () => {};
    // The moment has been noted; in the same millisecond it would do for the order, too.
    for (const noted = systemClock.now(); systemClock.now() === noted; );
    service!.replication
      .takeBookmark('CrashConsistent', service!.stop.signal)
      .then(() => ordered.resolve(), ordered.reject);
  };
  service = await w.start();
  await t.notThrowsAsync(ordered.promise);
  checkPoints(t, w);
  await ended(w.machine, service);
  t.deepEqual(w.faults, []);
  await w.remove();
});

test.serial(
  'an ordered bookmark is the one that was ordered, whatever the wall clock is stepped to',
  async (t) => {
    const w = await world(63, {}, seldom);
    const service = await w.start();
    await w.points(1);
    for (const type of ['CrashConsistent', 'ApplicationConsistent'] as const) {
      const { length } = w.receiver.points;
      // All points so far are dated after the order.
      w.wall.stepMilliseconds -= 3_600_000;
      const ordered = service.replication.takeBookmark(type, service.stop.signal);
      // And the one that was ordered, before it.
      w.wall.stepMilliseconds -= 3_600_000;
      await t.notThrowsAsync(ordered);
      t.is(w.receiver.points.length, length + 1);
      t.is(w.receiver.points.at(-1)!.bookmark.type, type);
    }
    checkPoints(t, w);
    await ended(w.machine, service);
    t.deepEqual(w.faults, []);
    await w.remove();
  },
);

test.serial('an ordered bookmark whose acknowledgement is lost with the link is taken again', async (t) => {
  let isOrdered = false;
  let isSent = false;
  const w = await world(
    62,
    {
      onFrame: (frame, direction) => {
        if (direction === 'toReceiver') isSent ||= isOrdered && frame.type === FrameType.bookmark;
        else if (isSent && isOrdered) {
          isOrdered = false;
          return 'cut';
        }
        return 'pass';
      },
    },
    seldom,
  );
  const service = await w.start();
  await w.points(1);
  isOrdered = true;
  await t.notThrowsAsync(service.replication.takeBookmark('ApplicationConsistent', service.stop.signal));
  t.true(isSent && !isOrdered, 'the link was cut');
  t.is(w.links.length, 2);
  checkPoints(t, w);
  await ended(w.machine, service);
  t.deepEqual(w.faults, []);
  await w.remove();
});

const spoilers: Record<string, (machine: Machine, random: () => number) => void> = {
  'a write that completes although all stands still': (machine, random) => {
    machine.onFrozen = (freeze) => {
      if (freeze <= 2) machine.write(random, true);
    };
  },
  'a freeze that somebody ended early': (machine) => {
    machine.onThaw = (freeze) => {
      if (freeze <= 2)
        throw new LeewardError({
          code: 'FreezeExpired',
          summary: 'let go too early',
          possibleCauses: 'test',
          recommendedAction: 'test',
          severity: 'warning',
          retry: 'transient',
        });
    };
  },
  'a loss that shows between freeze and thaw': (machine, random) => {
    machine.onFrozen = (freeze) => {
      if (freeze > 2) return;
      machine.dropsEvents = true;
      machine.write(random, true);
      machine.dropsEvents = false;
    };
  },
};

for (const [what, spoil] of Object.entries(spoilers))
  test.serial(`${what} spoils that point, and the next try makes a good one`, async (t) => {
    const w = await world(51);
    // The writer never pauses, so that points need a freeze.
    const halt = writer(w.machine, w.random, 1);
    spoil(w.machine, w.random);
    const { onFrozen } = w.machine;
    const frozenPoints = () => w.receiver.points.filter(({ bookmark }) => bookmark.method === 'freeze');
    const before: number[] = [];
    w.machine.onFrozen = (freeze) => {
      before[freeze] ??= frozenPoints().length;
      onFrozen(freeze);
    };
    const service = await w.start();
    await until(
      systemClock,
      30_000,
      () => (frozenPoints().length > 0 ? true : undefined),
      () => new Error(`no point after ${w.machine.freezes} freezes; ${JSON.stringify(w.receiver.health)}`),
      5,
    );
    await halt();
    const laterThan = w.receiver.points.length;
    await w.points(laterThan + 1);
    await ended(w.machine, service);
    t.true(w.machine.freezes >= 3);
    t.is(before[3], 0, 'a spoilt moment became a bookmark');
    checkPoints(t, w);
    t.deepEqual(w.faults, []);
    t.true(w.machine.contents.every((content, index) => content.equals(w.receiver.images[index]!)));
    await w.remove();
  });

test.serial('a machine that never pauses gets points by the brake, each a state it was in', async (t) => {
  const w = await world(71, {}, often, { brake: brakeOf, canFreeze: false });
  // At each barrier something has just been written, as where writes never pause; and now and then under the brake, too.
  const pass = w.machine.barrier.bind(w.machine);
  w.machine.barrier = async () => {
    w.machine.write(w.random);
    return await pass();
  };
  w.machine.onHeld = () => {
    if (w.random() < 0.3) w.machine.write(w.random, true);
  };
  const service = await w.start();
  await w.points(8);
  await ended(w.machine, service);
  t.true(w.receiver.points.every(({ bookmark }) => bookmark.method === 'brake'));
  t.true(w.receiver.points.every(({ bookmark }) => (bookmark.heldMilliseconds ?? 0) > 0));
  checkPoints(t, w);
  t.deepEqual(w.faults, []);
  await w.remove();
});

test.serial('writers that cannot be held get no wrong point, and are named', async (t) => {
  const w = await world(72, {}, often, {
    brake: (machine) => brakeOf(machine, ['the root group']),
    canFreeze: false,
  });
  const pass = w.machine.barrier.bind(w.machine);
  let isBusy = true;
  w.machine.barrier = async () => {
    if (isBusy) w.machine.write(w.random, true);
    return await pass();
  };
  const service = await w.start();
  const event = await until(
    systemClock,
    30_000,
    () => w.receiver.health.find(({ code }) => code === 'WritersNotHeld'),
    () => new Error(`not told: ${JSON.stringify(w.receiver.health)}`),
    5,
  );
  t.regex(event.summary, /the root group/);
  t.is(w.receiver.points.length, 0);
  const { holds } = w.machine;
  await until(
    systemClock,
    30_000,
    () => (w.receiver.health.some(({ code }) => code === 'BookmarkMissed') ? true : undefined),
    () => new Error('a missed point is not told'),
    5,
  );
  t.is(w.machine.holds, holds, 'nobody is held for nothing');
  isBusy = false;
  await w.points(2);
  await ended(w.machine, service);
  checkPoints(t, w);
  t.deepEqual(w.faults, []);
  await w.remove();
});

test.serial('what is larger than the memory for it is sent while writers are held', async (t) => {
  const sizes = [12 << 20, 8 << 20];
  const heldBytes = 4 << 20;
  // Real time: all of it must be read and mostly sent within a hold that nobody but this test would ask for.
  const policy = { ...often, holdMillisecondsMax: 10_000 };
  const w = await world(73, {}, policy, {
    ...{ brake: brakeOf, canFreeze: false, sizes, heldBytes, clock: systemClock },
  });
  const pass = w.machine.barrier.bind(w.machine);
  let isAll = true;
  w.machine.barrier = async () => {
    if (!w.machine.isHeld || isAll) {
      // All of both disks at each first barrier of a hold.
      for (const [index, sizeBytes] of sizes.entries()) {
        const map = new ChangeMap(sizeBytes);
        map.mark(0, sizeBytes);
        w.machine.restore(index, map);
      }
      w.machine.write(w.random);
    }
    isAll = !w.machine.isHeld;
    return await pass();
  };
  const service = await w.start();
  await w.points(2);
  await ended(w.machine, service);
  t.true(w.receiver.points.every(({ bookmark }) => bookmark.method === 'brake'));
  checkPoints(t, w);
  t.deepEqual(w.faults, []);
  await w.remove();
});
