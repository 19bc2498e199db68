import { mkdir, readdir, readFile, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import type { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../../src/model/ids.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { ReflinkStore } from '../../../src/vault/replica/reflink-store.ts';
import {
  allocatedBytes,
  canMakeVolumes,
  describeFolder,
  makeVolume,
  mountVolume,
  punchHole,
  unmountVolume,
} from '../../../src/vault/replica/volume.ts';
import { throwsExplained } from '../../support/explained.ts';
import { replicaStoreSuite } from '../../support/replica-store-suite.ts';
import { makeTestVolume, type TestVolume } from '../../support/replica-volume.ts';

const able = await canMakeVolumes();
const test = able ? anyTest.serial : (anyTest.skip as unknown as typeof anyTest.serial);
const volumes: TestVolume[] = [];
anyTest.after.always(async () => {
  for (const volume of volumes) await volume.dispose();
});

const storeAt = (folder: string) =>
  new ReflinkStore({
    folder,
    files: systemFiles,
    punch: punchHole,
    allocatedBytes,
    fileSystemName: describeFolder,
  });

for (const kind of ['xfs', 'btrfs'] as const) {
  let volume: Promise<TestVolume> | undefined;
  const folder = async () => {
    volume ??= makeTestVolume(kind).then((made) => {
      volumes.push(made);
      return made;
    });
    return join((await volume).path, 'replica');
  };
  replicaStoreSuite(
    test as never,
    kind,
    async () => {
      const store = storeAt(await folder());
      await store.prepare();
      return store;
    },
    async (_, [itemId, diskId], bytes) =>
      writeFile(join(await folder(), itemId, 'heads', `${diskId}.raw`), bytes, { flag: 'r+' }),
  );
}

test('a folder on ext4 is refused with the way out', async (t) => {
  const volume = await makeTestVolume('ext4', 64 << 20);
  volumes.push(volume);
  await throwsExplained(t, storeAt(join(volume.path, 'replica')).prepare(), {
    code: 'ReplicaFolderCannotClone',
    says: /replica is on ext4 .*which cannot clone files/,
    cause: /reflink/,
    action: /reflink=1.*btrfs.*--make-volume/,
  });
});

test('what a crash left half made or half removed is swept at start and never listed', async (t) => {
  const volume = await makeTestVolume('xfs', 300 << 20);
  volumes.push(volume);
  const folder = join(volume.path, 'replica');
  const item = systemRandom.uuid() as ProtectedItemId;
  const id = systemRandom.uuid() as RecoveryPointId;
  const points = join(folder, item, 'points');
  await mkdir(join(points, `${id}.draft`), { recursive: true });
  await mkdir(join(points, `${systemRandom.uuid()}.gone`));
  await writeFile(join(points, `${id}.draft`, 'x.raw'), 'half');
  const store = storeAt(folder);
  t.deepEqual(await store.listPoints(item), []);
  const disk = systemRandom.uuid() as ProtectedDiskId;
  {
    await using head = await store.openHead(item, disk, 8192);
    await head.flush();
  }
  await store.cutPoint(item, id, [disk]);
  t.deepEqual(await store.pointDisks(item, id), [disk], 'the half made one was made anew');
  await store.prepare();
  t.deepEqual(await readdir(points), [id]);
});

test('zeroing gives space back, and a full volume is a transient error that leaves no half point', async (t) => {
  const volume = await makeTestVolume('xfs', 300 << 20);
  volumes.push(volume);
  const folder = join(volume.path, 'replica');
  const store = storeAt(folder);
  await store.prepare();
  const [item, disk, id] = [systemRandom.uuid(), systemRandom.uuid(), systemRandom.uuid()] as [
    ProtectedItemId,
    ProtectedDiskId,
    RecoveryPointId,
  ];
  const free = async () => {
    const facts = await statfs(folder);
    return facts.bavail * facts.bsize;
  };
  await using head = await store.openHead(item, disk, 1 << 30);
  const chunk = systemRandom.bytes(1 << 20);
  let written = 0;
  const error = (await t.throwsAsync(async () => {
    for (; written < 1024; written++) {
      await head.write(chunk, written << 20);
      if (written % 16 === 15) await head.flush();
    }
  })) as unknown as { code: string; retry: string };
  t.is(error.code, 'ReplicaStoreFull');
  t.is(error.retry, 'transient');
  const before = await free();
  await head.zero(0, 64 << 20);
  await head.flush();
  t.true((await free()) > before + (48 << 20));
  await store.cutPoint(item, id, [disk]);
  t.deepEqual(await store.listPoints(item), [id]);
});

test('zeroing 40 GiB of a head writes nothing: the volume has room for a hundredth of it', async (t) => {
  const volume = await makeTestVolume('xfs', 400 << 20);
  volumes.push(volume);
  const folder = join(volume.path, 'replica');
  const store = storeAt(folder);
  await store.prepare();
  const [item, disk] = [systemRandom.uuid(), systemRandom.uuid()] as [ProtectedItemId, ProtectedDiskId];
  const sizeBytes = 40 * 2 ** 30;
  await using head = await store.openHead(item, disk, sizeBytes);
  const chunk = systemRandom.bytes(1 << 20);
  for (let at = 0; at < sizeBytes; at += 2 ** 30) await head.write(chunk, at);
  await head.flush();
  const raw = join(folder, item, 'heads', `${disk}.raw`);
  t.true((await allocatedBytes(raw)) >= 40 << 20);
  await head.zero(0, sizeBytes);
  await head.flush();
  t.is(await allocatedBytes(raw), 0);
  const found = Buffer.alloc(1 << 20, 1);
  await head.read(found, 7 * 2 ** 30);
  t.true(found.every((byte) => byte === 0));
});

test('a replica volume is made, mounted, mounted again without harm, and unmounted', async (t) => {
  const outer = await makeTestVolume('ext4', 400 << 20);
  volumes.push(outer);
  const image = join(outer.path, 'replica.xfs');
  const mount = join(outer.path, 'replica');
  await makeVolume(image, 300 << 20);
  await t.throwsAsync(makeVolume(image, 300 << 20), { message: /ReplicaVolumeFailed/ });
  await mountVolume(image, mount);
  try {
    await mountVolume(image, mount);
    await storeAt(join(mount, 'items')).prepare();
    const description = await describeFolder(join(mount, 'items'));
    t.regex(description, /^xfs on \/dev\/loop\d+ \(replica volume\)$/);
    const loop = /loop\d+/.exec(description)![0];
    t.is((await readFile(`/sys/block/${loop}/loop/dio`, 'utf8')).trim(), '1', 'one page cache, not two');
  } finally {
    await unmountVolume(mount);
  }
  await unmountVolume(mount);
  t.pass();
});
