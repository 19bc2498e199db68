// Goal: disks that change places, are replaced, vanish, come back, grow, fail or hang are never mixed, are named, and do not keep
// the other disks from their points.
// Method: the service as it is started, on loop devices of fixed names whose files are moved about, the real trace rings, and a
// receiver whose every point is compared with the devices.

import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import type { MissingDisk } from '../../../src/model/bookmark.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { type FixedLoops, makeFixedLoops } from '../../support/fixed-loop.ts';
import { canLoop, canTrace, makeFileSystem, makeLoop } from '../../support/loop-device.ts';
import {
  awaiting,
  makeRealService,
  type RealService,
  type StartedService,
} from '../../support/real-service.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';

const missing = canLoop() ?? canTrace();
const test = missing === undefined ? anyTest.serial : anyTest.skip;
const because = missing === undefined ? '' : ` (skipped: ${missing})`;
const mib = 1 << 20;
const timeoutMilliseconds = 60_000;

interface Setup {
  readonly loops: FixedLoops;
  readonly receiver: ReferenceReceiver;
  readonly service: RealService;
}

/** Files of random content, the first ones attached in order. */
async function setUp(t: ExecutionContext, fileCount = 3): Promise<Setup> {
  const loops = await makeFixedLoops(t, 2, fileCount, 16 * mib);
  for (const file of loops.files) await fill(file);
  for (const [index, path] of loops.paths.entries()) await loops.attach(path, loops.files[index]!);
  const receiver = new ReferenceReceiver(8 * mib);
  const service = await makeRealService(t, {
    paths: loops.paths,
    serve: (link) => receiver.serve(link),
    policy: { crashConsistentSeconds: 1, applicationConsistentSeconds: 0 },
  });
  return { loops, receiver, service };
}

async function fill(path: string, offset = 0, length = 16 * mib): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(randomFillSync(Buffer.alloc(length)), 0, length, offset);
  await file.sync();
}

const missingOf = (receiver: ReferenceReceiver, index: number): readonly MissingDisk[] =>
  receiver.points[index]?.bookmark.missingDisks ?? [];

/** Waits for a point after those that are there, of whose disks these are missing. */
function nextPoint(
  { receiver, service }: Setup,
  started: StartedService,
  expected: readonly string[] = [],
): Promise<readonly Buffer[]> {
  const before = receiver.points.length;
  // One may have been on its way.
  return awaiting(`a point without ${expected.join(', ') || 'anything missing'}`, started, () => {
    for (let index = before + 1; index < receiver.points.length; index++) {
      const found = missingOf(receiver, index).map(
        ({ diskId, cause }) => `${service.diskIds.indexOf(diskId)} ${cause}`,
      );
      if (found.join() === expected.join()) return receiver.points[index]!.images;
    }
    return undefined;
  });
}

const hasEvent = (
  { receiver }: Setup,
  started: StartedService,
  code: string,
  ...words: readonly string[]
): Promise<true> =>
  awaiting(`the event ${code} that says ${words.join(', ')}`, started, () =>
    receiver.health.some(
      (event) => event.code === code && words.every((word) => event.summary.includes(word)),
    )
      ? true
      : undefined,
  );

const sequenceOf = async (path: string): Promise<string> =>
  (await readFile(`/sys/block/${basename(path)}/diskseq`, 'utf8')).trim();

test(`two disks that changed places while the service was stopped are compared, and named${because}`, async (t) => {
  const world = await setUp(t);
  const { loops, receiver, service } = world;
  const [one, other] = loops.paths as [string, string];
  const first = service.start();
  await nextPoint(world, first);
  t.is(await first.stop(), 0, first.said());
  const before = [await sequenceOf(one), await sequenceOf(other)];
  for (const path of loops.paths) await loops.detach(path);
  await loops.attach(one, loops.files[1]!);
  await loops.attach(other, loops.files[0]!);
  const after = [await sequenceOf(one), await sequenceOf(other)];
  const second = service.start();
  const images = await nextPoint(world, second);
  // Nothing tells which of two disks without any id is which: each path's copy becomes what is there.
  t.true(images[0]!.equals(await readFile(loops.files[1]!)), 'the first path has what the second had');
  t.true(images[1]!.equals(await readFile(loops.files[0]!)));
  for (const index of [0, 1])
    await hasEvent(
      world,
      second,
      'DiskReplaced',
      loops.paths[index]!,
      `seq:${before[index]}`,
      `seq:${after[index]}`,
    );
  t.deepEqual(
    receiver.begins
      .slice(2)
      .map(({ cause }) => cause)
      .sort(),
    ['DiskReplaced', 'DiskReplaced'],
  );
  await second.stop();
});

test(`disks that are known by what is on them are followed when they change places${because}`, async (t) => {
  const world = await setUp(t);
  const { loops, receiver, service } = world;
  for (const path of loops.paths) await run('mkfs.ext4', ['-q', '-F', path], { timeoutMilliseconds });
  const first = service.start();
  await nextPoint(world, first);
  await first.stop();
  for (const path of loops.paths) await loops.detach(path);
  await loops.attach(loops.paths[0]!, loops.files[1]!);
  await loops.attach(loops.paths[1]!, loops.files[0]!);
  const before = receiver.framesTaken;
  const second = service.start();
  const images = await nextPoint(world, second);
  for (const index of [0, 1])
    t.true(images[index]!.equals(await readFile(loops.files[index]!)), `disk ${index}`);
  await hasEvent(world, second, 'DiskMoved', loops.paths[0]!, loops.paths[1]!);
  t.deepEqual(
    receiver.begins
      .slice(2)
      .map(({ cause }) => cause)
      .sort(),
    ['DiskReturned', 'DiskReturned'],
  );
  t.true(receiver.framesTaken - before < 60, 'compared by digests, not sent anew');
  await second.stop();
});

test(`a disk that was replaced by another of its size is compared, and the event names both${because}`, async (t) => {
  const world = await setUp(t);
  const { loops, receiver, service } = world;
  const first = service.start();
  await nextPoint(world, first);
  await first.stop();
  const before = await sequenceOf(loops.paths[0]!);
  await loops.detach(loops.paths[0]!);
  await loops.attach(loops.paths[0]!, loops.files[2]!);
  await fill(loops.paths[1]!, mib, mib);
  const second = service.start();
  const images = await nextPoint(world, second);
  t.true(images[0]!.equals(await readFile(loops.files[2]!)));
  t.true(images[1]!.equals(await readFile(loops.files[1]!)));
  await hasEvent(world, second, 'DiskReplaced', `seq:${before}`, `seq:${await sequenceOf(loops.paths[0]!)}`);
  t.deepEqual(
    receiver.begins.slice(2).map(({ diskId, cause }) => `${service.diskIds.indexOf(diskId)} ${cause}`),
    ['0 DiskReplaced'],
    'the other disk keeps its map',
  );
  await second.stop();
});

test(`a disk that is gone at the start does not keep the other from its points, and comes back${because}`, async (t) => {
  const world = await setUp(t);
  const { loops, receiver, service } = world;
  const first = service.start();
  await nextPoint(world, first);
  await first.stop();
  await loops.detach(loops.paths[1]!);
  const second = service.start();
  await fill(loops.paths[0]!, 2 * mib, mib);
  const images = await nextPoint(world, second, ['1 gone']);
  t.true(images[0]!.equals(await readFile(loops.files[0]!)));
  await hasEvent(world, second, 'DiskMissing', loops.paths[1]!);
  const status = (await service.status()) as { disks?: { missing?: string; isInSync: boolean }[] };
  t.deepEqual(
    status.disks!.map(({ missing: why, isInSync }) => [why, isInSync]),
    [
      [undefined, true],
      ['gone', false],
    ],
  );
  // Written elsewhere meanwhile.
  await fill(loops.files[1]!, 4 * mib, mib);
  const frames = receiver.framesTaken;
  await loops.attach(loops.paths[1]!, loops.files[1]!);
  const whole = await nextPoint(world, second);
  for (const index of [0, 1])
    t.true(whole[index]!.equals(await readFile(loops.files[index]!)), `disk ${index}`);
  t.true(receiver.framesTaken - frames < 100, `${receiver.framesTaken - frames} frames: not sent anew`);
  t.deepEqual(
    receiver.begins.slice(2).map(({ diskId }) => service.diskIds.indexOf(diskId)),
    [1],
  );
  await second.stop();
});

test(`disks that are detached and change places while the service runs are never mixed${because}`, async (t) => {
  const world = await setUp(t);
  const { loops, service } = world;
  const started = service.start();
  await nextPoint(world, started);
  await loops.askToDetach(loops.paths[1]!);
  const images = await nextPoint(world, started, ['1 gone']);
  t.true(images[0]!.equals(await readFile(loops.files[0]!)));
  await loops.detach(loops.paths[1]!);
  await loops.attach(loops.paths[1]!, loops.files[2]!);
  const replaced = await nextPoint(world, started);
  t.true(replaced[0]!.equals(await readFile(loops.files[0]!)));
  t.true(replaced[1]!.equals(await readFile(loops.files[2]!)));
  await hasEvent(world, started, 'DiskReplaced', loops.paths[1]!);
  // Both at once: nobody is there, and then they are.
  for (const path of loops.paths) await loops.askToDetach(path);
  await awaiting('both are missing', started, async () => {
    const { disks } = (await service.status()) as { disks?: { missing?: string }[] };
    return disks?.every(({ missing: why }) => why === 'gone') ? true : undefined;
  });
  for (const path of loops.paths) await loops.detach(path);
  await loops.attach(loops.paths[0]!, loops.files[2]!);
  await loops.attach(loops.paths[1]!, loops.files[0]!);
  const swapped = await nextPoint(world, started);
  t.true(swapped[0]!.equals(await readFile(loops.files[2]!)));
  t.true(swapped[1]!.equals(await readFile(loops.files[0]!)));
  await started.stop();
});

test(`a disk that grows is compared at its new size, and the other goes on${because}`, async (t) => {
  const world = await setUp(t);
  const { loops, receiver, service } = world;
  const started = service.start();
  await nextPoint(world, started);
  await using file = await open(loops.files[1]!, 'r+');
  await file.truncate(24 * mib);
  await run('losetup', ['--set-capacity', loops.paths[1]!], { timeoutMilliseconds });
  await hasEvent(world, started, 'DiskResized', loops.paths[1]!);
  await fill(loops.paths[1]!, 20 * mib, mib);
  const images = await nextPoint(world, started);
  t.is(images[1]!.byteLength, 24 * mib);
  t.true(images[1]!.equals(await readFile(loops.files[1]!)));
  t.deepEqual(
    receiver.begins.slice(2).map(({ diskId, cause }) => `${service.diskIds.indexOf(diskId)} ${cause}`),
    ['1 DiskResized'],
  );
  await started.stop();
});

test(`a disk whose reads never return does not keep the other from its points${because}`, async (t) => {
  // A loop on a file system that stands still: its write waits, and behind it every read.
  const under = await makeLoop(t, 64 * mib);
  const mounted = await makeFileSystem(t, under, 'ext4');
  const world = await setUp(t);
  const { loops, receiver, service } = world;
  const file = `${mounted.mountPoint}/disk.img`;
  await writeFile(file, randomFillSync(Buffer.alloc(16 * mib)));
  await run('sync', ['-f', mounted.mountPoint], { timeoutMilliseconds });
  await loops.detach(loops.paths[1]!);
  await loops.attach(loops.paths[1]!, file);
  t.teardown(() => loops.detach(loops.paths[1]!));
  const started = service.start();
  t.teardown(() => tryRun('fsfreeze', ['--unfreeze', mounted.mountPoint], { timeoutMilliseconds }));
  await nextPoint(world, started);
  await run('fsfreeze', ['--freeze', mounted.mountPoint], { timeoutMilliseconds });
  const writer = spawn('dd', [
    ...['if=/dev/urandom', `of=${loops.paths[1]}`, 'bs=64k', 'count=8', 'oflag=direct', 'conv=notrunc'],
  ]);
  t.teardown(() => void writer.kill('SIGKILL'));
  // The write that hangs is not completed, so nothing asks for a read yet: somebody orders a comparison.
  await receiver.order({ order: 'resync', diskId: service.diskIds[1] as never });
  await fill(loops.paths[0]!, 3 * mib, mib);
  const images = await nextPoint(world, started, ['1 unreadable']);
  t.true(images[0]!.equals(await readFile(loops.files[0]!)));
  await hasEvent(world, started, 'DiskUnreadable', loops.paths[1]!);
  await run('fsfreeze', ['--unfreeze', mounted.mountPoint], { timeoutMilliseconds });
  const whole = await nextPoint(world, started);
  t.true(whole[1]!.equals(await readFile(file)));
  await hasEvent(world, started, 'DiskReadable', loops.paths[1]!);
  t.is(await started.stop(), 0, started.said());
});
