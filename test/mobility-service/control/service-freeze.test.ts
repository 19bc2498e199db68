// Goal: an application-consistent point freezes what is mounted from the protected disks, also where the mount table shows a
// device number that no disk has (btrfs), and its image is whole without any recovery.
// Method: the service as it is started, real file systems on loop devices, a reference receiver.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import anyTest, { type ExecutionContext } from 'ava';
import { run, tryRun } from '../../../src/platform/exec.ts';
import {
  canLoop,
  canTrace,
  type MountedFileSystem,
  makeFileSystem,
  makeLoop,
  mountFileSystem,
} from '../../support/loop-device.ts';
import { awaiting, makeRealService, type StartedService } from '../../support/real-service.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';

const missing = canLoop() ?? canTrace();
const test = missing === undefined ? anyTest.serial : anyTest.serial.skip;
if (missing) console.log(`skipped: ${missing}`);
const mebibyte = 1 << 20;
const timeoutMilliseconds = 90_000;
const policy = { crashConsistentSeconds: 30, applicationConsistentSeconds: 1 };

test('a btrfs on a protected disk stands still for an application-consistent point', async (t) => {
  const device = await makeLoop(t, 128 * mebibyte);
  const mounted = await makeFileSystem(t, device, 'btrfs');
  const receiver = new ReferenceReceiver(8 * mebibyte);
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: (link) => receiver.serve(link),
    policy,
  });
  const content = Buffer.alloc(2 * mebibyte, 'only in the page cache until the freeze ');
  await writeFile(join(mounted.mountPoint, 'file'), content);
  const service = real.start();
  const point = await awaiting('a frozen point', service, () =>
    receiver.points.find(({ bookmark }) => bookmark.type === 'ApplicationConsistent'),
  );
  t.is(point.bookmark.method, 'freeze');
  t.true(point.bookmark.frozenMilliseconds > 0, 'nothing stood still');
  await saysWhatStoodStill(service, mounted.mountPoint);
  t.is(await service.stop(), 0);

  const folder = await mkdtemp(join(tmpdir(), 'leeward-point-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const image = join(folder, 'point.img');
  await writeFile(image, point.images[0]!);
  const check = await tryRun('btrfs', ['check', '--readonly', image], { timeoutMilliseconds });
  t.is(check.exitCode, 0, check.stderr);
  // Taken away first: two btrfs with one id must not be mounted at once.
  await mounted.unmount();
  await run('wipefs', ['--all', '--force', device.path], { timeoutMilliseconds });
  const path = (
    await run('losetup', ['--find', '--show', '--read-only', image], { timeoutMilliseconds })
  ).trim();
  t.teardown(() => tryRun('losetup', ['--detach', path], { timeoutMilliseconds }));
  const copy = await mountFileSystem(t, { path }, 'btrfs', ['ro']);
  t.true((await readFile(join(copy.mountPoint, 'file'))).equals(content));
});

test('a btrfs of two disks is found by the one that its mount does not name', async (t) => {
  const [first, second] = [await makeLoop(t, 128 * mebibyte), await makeLoop(t, 128 * mebibyte)];
  await run('mkfs.btrfs', ['-q', '-f', '-d', 'raid1', '-m', 'raid1', first.path, second.path], {
    timeoutMilliseconds,
  });
  const mounted = await mountFileSystem(t, first, 'btrfs');
  const receiver = new ReferenceReceiver(8 * mebibyte);
  const real = await makeRealService(t, {
    paths: [second.path],
    serve: (link) => receiver.serve(link),
    policy,
  });
  const service = real.start();
  const point = await awaiting('a frozen point', service, () =>
    receiver.points.find(({ bookmark }) => bookmark.type === 'ApplicationConsistent'),
  );
  t.true(point.bookmark.frozenMilliseconds > 0, 'nothing stood still');
  await saysWhatStoodStill(service, mounted.mountPoint);
  t.is(await service.stop(), 0);
});

test('a loop device from a file on a protected disk is refused beside it, and frozen with it when it is not', async (t) => {
  const outer = await makeLoop(t, 96 * mebibyte, { partitions: true });
  const quick = { timeoutMilliseconds };
  await run('sfdisk', ['--quiet', outer.path], { timeoutMilliseconds, input: 'label: gpt\nsize=80MiB\n' });
  await run('partx', ['--update', outer.path], quick);
  t.teardown(() => tryRun('partx', ['--delete', outer.path], quick));
  const [major, minor] = (await readFile(`/sys/class/block/${outer.name}p1/dev`, 'utf8')).trim().split(':');
  const nodes = await mkdtemp(join(tmpdir(), 'leeward-node-'));
  t.teardown(() => rm(nodes, { recursive: true, force: true }));
  const part = join(nodes, 'part1');
  await run('mknod', [part, 'b', major!, minor!], quick);
  const lower = await thawedLater(t, await makeFileSystem(t, { path: part }, 'ext4'));
  const file = join(lower.mountPoint, 'disk.img');
  await run('truncate', ['--size', String(24 * mebibyte), file], quick);
  const inner = (await run('losetup', ['--find', '--show', file], quick)).trim();
  t.teardown(() => run('losetup', ['--detach', inner], quick));
  const upper = await thawedLater(t, await makeFileSystem(t, { path: inner }, 'ext4'));

  const receiver = new ReferenceReceiver(8 * mebibyte);
  const serve = (link: Parameters<typeof receiver.serve>[0]) => receiver.serve(link);
  const both = await makeRealService(t, { paths: [outer.path, inner], serve, policy });
  const refused = both.start();
  const [code] = await once(refused.child, 'exit');
  t.is(code, 1);
  t.true(
    refused.said().includes(`${inner} is made from ${file}, which lies on ${outer.path}`),
    refused.said(),
  );

  const real = await makeRealService(t, { paths: [outer.path], serve, policy });
  const service = real.start();
  const point = await awaiting('a frozen point', service, () =>
    receiver.points.find(({ bookmark }) => bookmark.type === 'ApplicationConsistent'),
  );
  t.is(point.bookmark.method, 'freeze');
  // Upper layer first: the other way round the upper one would hang in its freeze.
  await awaiting('the log says in what order', service, () =>
    service.said().includes(`${upper.mountPoint} ${lower.mountPoint}`) ? true : undefined,
  );
  t.is(await service.stop(), 0);
});

test('a file system that hangs in a freeze holds up no other, is named, and is left out until its file is removed', async (t) => {
  const [x, z] = [await makeLoop(t, 64 * mebibyte), await makeLoop(t, 64 * mebibyte)];
  const good = await thawedLater(t, await makeFileSystem(t, x, 'ext4'));
  const under = await thawedLater(t, await makeFileSystem(t, z, 'ext4'));
  const file = join(under.mountPoint, 'disk.img');
  const quick = { timeoutMilliseconds };
  await run('truncate', ['--size', String(24 * mebibyte), file], quick);
  const y = (await run('losetup', ['--find', '--show', file], quick)).trim();
  t.teardown(() => run('losetup', ['--detach', y], quick));
  const stuck = await thawedLater(t, await makeFileSystem(t, { path: y }, 'ext4'));
  const receiver = new ReferenceReceiver(8 * mebibyte);
  const real = await makeRealService(t, {
    paths: [x.path, y],
    serve: (link) => receiver.serve(link),
    policy,
  });
  await run('sync', ['-f', stuck.mountPoint], quick);
  await run('fsfreeze', ['--freeze', under.mountPoint], quick);
  const release = () => tryRun('fsfreeze', ['--unfreeze', under.mountPoint], quick);
  t.teardown(release);

  const writer = spawn(
    process.execPath,
    ['test/mobility-service/consistency/stall-writer.ts', join(good.mountPoint, 'written'), 'buffered'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  t.teardown(() => writer.kill('SIGKILL'));
  const lines = createInterface({ input: writer.stdout! })[Symbol.asyncIterator]();
  await lines.next();
  const service = real.start();
  await awaiting('the event that names it', service, () =>
    service.said().includes('FileSystemHung') && service.said().includes(stuck.mountPoint) ? true : undefined,
  );
  await awaiting('crash-consistent points go on', service, () =>
    service.said().includes('FileSystemsLeftOut') || service.said().includes('is left out')
      ? true
      : undefined,
  );
  const before = receiver.points.length;
  writer.stdin!.end();
  const longest = Number((await lines.next()).value);
  t.true(longest > 0 && longest <= 3000, `a writer beside it stalled for ${longest} ms`);
  t.log(`the longest stall beside it: ${longest} ms`);
  await awaiting('a crash-consistent point', service, () =>
    receiver.points.slice(before).find(({ bookmark }) => bookmark.type === 'CrashConsistent'),
  );
  t.false(receiver.points.some(({ bookmark }) => bookmark.type === 'ApplicationConsistent'));

  await release();
  const folder = join(real.folder, 'run', 'left-out');
  for (const name of await readdir(folder)) await rm(join(folder, name));
  await awaiting('an application-consistent point', service, () =>
    receiver.points.find(({ bookmark }) => bookmark.type === 'ApplicationConsistent'),
  );
  t.is(await service.stop(), 0);
});

/** Whatever a failed test left behind must not hang the unmount. */
async function thawedLater(t: ExecutionContext, mounted: MountedFileSystem): Promise<MountedFileSystem> {
  t.teardown(
    async () => void (await tryRun('fsfreeze', ['--unfreeze', mounted.mountPoint], { timeoutMilliseconds })),
  );
  return mounted;
}

function saysWhatStoodStill(service: StartedService, mountPoint: string): Promise<boolean> {
  return awaiting('the log says what stood still', service, () =>
    service.said().includes(mountPoint) ? true : undefined,
  );
}
