/**
 * Discards of several ranges. Goal: whatever is merged into one request is marked, at a time when it has completed.
 * Method: a small model of the kernel: discards are queued, some are merged, requests complete; each event goes into the ring
 * of some processor; rings are read at random, maps are taken at random. At a barrier every discard that had completed must
 * be in the map, or in one that was taken after its completion.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import fc from 'fast-check';
import { splitDeviceNumber } from '../../../src/disk/device.ts';
import { blockBytes } from '../../../src/disk/disk.ts';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';
import { wholeDeviceOf } from '../../../src/mobility-service/capture/inspect.ts';
import { OpenDiscards } from '../../../src/mobility-service/capture/open-discards.ts';
import { TraceCapture } from '../../../src/mobility-service/capture/trace-capture.ts';
import {
  findTracefs,
  kernelDeviceNumber,
  makeInstance,
  removeInstance,
} from '../../../src/mobility-service/capture/tracefs.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { canLoop, canTrace, makeLoop } from '../../support/loop-device.ts';

const missing = canLoop() ?? canTrace();
const loopTest = missing === undefined ? anyTest : anyTest.skip;
const sizeBytes = 64 << 20;

type Event = { kind: 'queue' | 'done'; block: number; blocks: number };
interface Discard {
  readonly block: number;
  readonly blocks: number;
  completedAt?: number;
}

class ModelKernel {
  readonly rings: Event[][] = [[], []];
  readonly discards: Discard[] = [];
  requests: Discard[][] = [];

  queue(block: number, blocks: number, ring: number, merge: boolean): void {
    const discard = { block, blocks };
    this.discards.push(discard);
    this.rings[ring]!.push({ kind: 'queue', block, blocks });
    const last = this.requests.at(-1);
    if (merge && last) last.push(discard);
    else this.requests.push([discard]);
  }

  complete(which: number, ring: number, now: number): void {
    const [request] = this.requests.splice(which % Math.max(1, this.requests.length), 1);
    if (!request) return;
    const blocks = request.reduce((sum, each) => sum + each.blocks, 0);
    for (const each of request) each.completedAt = now;
    this.rings[ring]!.push({ kind: 'done', block: request[0]!.block, blocks });
  }
}

const ring = fc.nat({ max: 1 });
const inner = fc.record({ a: fc.nat({ max: 400 }), ring, complete: fc.boolean() });
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant('queue' as const),
      a: fc.nat({ max: 400 }),
      b: fc.integer({ min: 1, max: 3 }),
      ring,
      merge: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('complete' as const), a: fc.nat(), ring }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('poll' as const), a: fc.nat({ max: 4 }), ring }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('take' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant('barrier' as const),
      inner: fc.oneof(fc.constant([]), fc.array(inner, { maxLength: 4 })),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ what: 'barrier' as const, inner: [] }) },
);

anyTest('every range of a merged discard is marked when it has completed', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const kernel = new ModelKernel();
      const open = new OpenDiscards(sizeBytes);
      let map = new ChangeMap(sizeBytes);
      const taken: { at: number; map: ChangeMap }[] = [];
      const read = (event: Event): void => {
        if (event.kind === 'queue') open.queued(event.block * blockBytes, event.blocks * blockBytes);
        else {
          map.mark(event.block * blockBytes, event.blocks * blockBytes);
          open.completed(event.blocks * blockBytes);
        }
      };
      const has = (which: ChangeMap, { block, blocks }: Discard): boolean =>
        Array.from({ length: blocks }, (_, index) => which.has((block + index) * blockBytes)).every(Boolean);
      for (const [now, each] of steps.entries()) {
        if (each.what === 'queue') kernel.queue(each.a, each.b, each.ring, each.merge);
        else if (each.what === 'complete') kernel.complete(each.a, each.ring, now);
        else if (each.what === 'poll')
          for (const event of kernel.rings[each.ring]!.splice(0, each.a)) read(event);
        else if (each.what === 'take') {
          taken.push({ at: now, map });
          map = new ChangeMap(sizeBytes);
        } else {
          // What happens while one ring after the other is read may or may not be read, too.
          const before = kernel.discards.filter(({ completedAt }) => completedAt !== undefined);
          for (const event of kernel.rings[0]!.splice(0)) read(event);
          for (const { a, ring, complete } of each.inner)
            if (complete) kernel.complete(a, ring, now);
            else kernel.queue(a, 1, ring, a % 2 === 0);
          for (const event of kernel.rings[1]!.splice(0)) read(event);
          open.settle(map);
          for (const discard of before)
            if (!has(map, discard))
              t.true(
                taken.some(({ at, map: earlier }) => at >= discard.completedAt! && has(earlier, discard)),
                JSON.stringify(discard),
              );
        }
      }
      // All is over: after a few barriers nothing is open any more.
      for (let turn = 0; kernel.requests.length > 0; turn++) kernel.complete(turn, 0, steps.length);
      for (const ring of kernel.rings) for (const event of ring.splice(0)) read(event);
      for (let turn = 0; turn < 5; turn++) open.settle(map);
      t.true(open.isEmpty);
    }),
    { numRuns: 3_000 },
  );
  t.pass();
});

anyTest('after a loss what is open stays open for a while', (t) => {
  const open = new OpenDiscards(sizeBytes);
  open.queued(0, blockBytes);
  open.distrust();
  for (let turn = 0; turn < 20; turn++) open.settle(new ChangeMap(sizeBytes));
  t.false(open.isEmpty);
  for (let turn = 0; turn < 60; turn++) open.settle(new ChangeMap(sizeBytes));
  t.true(open.isEmpty);
});

loopTest(
  `real discards of a disk and of its partition are heard when they are queued${missing ? ` (skipped: ${missing})` : ''}`,
  async (t) => {
    const timeoutMilliseconds = 90_000;
    const device = await makeLoop(t, sizeBytes);
    await run('sfdisk', ['--quiet', '--no-tell-kernel', device.path], {
      timeoutMilliseconds,
      input: 'label: gpt\nstart=8MiB,size=16MiB\n',
    });
    await run('partx', ['--add', device.path], { timeoutMilliseconds });
    t.teardown(() => tryRun('partx', ['--delete', device.path], { timeoutMilliseconds }));
    const [major, minor] = readFileSync(`/sys/class/block/${device.name}p1/dev`, 'utf8').trim().split(':');
    const folder = await mkdtemp(join(tmpdir(), 'leeward-node-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const node = join(folder, 'part1');
    await run('mknod', [node, 'b', major!, minor!], { timeoutMilliseconds });
    const numbers = splitDeviceNumber(statSync(device.path).rdev);
    const deviceNumber = kernelDeviceNumber(numbers.major, numbers.minor);
    t.is(wholeDeviceOf(kernelDeviceNumber(Number(major), Number(minor))), deviceNumber);
    t.is(wholeDeviceOf(deviceNumber), deviceNumber);
    t.is(wholeDeviceOf(0xfff_00001), undefined);
    const instance = {
      tracefs: await findTracefs(),
      name: `test-${crypto.randomUUID()}`,
      deviceNumbers: [deviceNumber],
      ringBytes: 1 << 20,
      withQueuedDiscards: true,
    };
    t.teardown(() => removeInstance(instance));
    let asked = 0;
    const capture = await TraceCapture.open({
      disks: [{ path: device.path, deviceNumber, sizeBytes, hasRangedDiscards: true }],
      makeRings: () => makeInstance(instance),
      wholeDeviceOf: (number) => {
        asked++;
        return wholeDeviceOf(number);
      },
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      bootId: 'boot-1',
    });
    t.teardown(() => capture.remove());
    const marked = async () => {
      t.deepEqual(await capture.barrier(), { losses: [] });
      return [...capture.take(0).extents(sizeBytes)].map(({ offsetBytes, lengthBytes }) => [
        offsetBytes >> 20,
        lengthBytes >> 20,
      ]);
    };
    await marked();
    await run('blkdiscard', ['--offset', '1MiB', '--length', '2MiB', device.path], { timeoutMilliseconds });
    t.deepEqual(await marked(), [[1, 2]]);
    // On a partition: its sector is the disk's.
    await run('blkdiscard', ['--force', '--offset', '4MiB', '--length', '1MiB', node], {
      timeoutMilliseconds,
    });
    t.true((await marked()).some(([offset, length]) => offset === 12 && length === 1));
    t.true(asked >= 2, 'both were heard when they were queued');
    for (let turn = 0; turn < 3; turn++) await marked();
    t.deepEqual(await marked(), [], 'nothing is open any more');
    t.true(existsSync(join(instance.tracefs, 'instances', `leeward-${instance.name}`)));
  },
);
