/** The folder store keeps the promises of cache storage, on the real file system. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemFiles } from '../../../src/platform/files.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { FolderStore } from '../../../src/protocol/cache/folder-store.ts';
import { cacheStoreSuite, objectBody } from '../../support/cache-store-suite.ts';
import { fill, makeTestVolume } from '../../support/replica-volume.ts';

async function openFolderStore() {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-folder-store-'));
  const store = new FolderStore({ files: systemFiles, random: systemRandom, folder });
  await store.prepare();
  return { store, folder, close: () => rm(folder, { recursive: true, force: true }) };
}

cacheStoreSuite('folder store', openFolderStore);

test('what a crash left half arrived is cleared at start', async (t) => {
  const { store, folder, close } = await openFolderStore();
  t.teardown(close);
  await writeFile(join(folder, '.incoming', 'half'), 'x');
  await store.prepare();
  t.deepEqual(await readdir(join(folder, '.incoming')), []);
});

test('a full file system is CacheStoreFull, which may pass', async (t) => {
  const { folder, close } = await openFolderStore();
  t.teardown(close);
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  const store = new FolderStore({
    files: {
      ...systemFiles,
      open: async (path, mode) => {
        const file = await systemFiles.open(path, mode);
        file.write = async () => {
          throw full;
        };
        return file;
      },
    },
    random: systemRandom,
    folder,
  });
  const error = await t.throwsAsync(
    store.put('a', objectBody(Buffer.from('x')), new AbortController().signal),
  );
  t.like(error, { code: 'CacheStoreFull', retry: 'transient' });
  t.deepEqual(await readdir(join(folder, '.incoming')), []);
});

test('a store begins on a disk that is full, gives what is there, and goes on when there is room', async (t) => {
  const volume = await makeTestVolume('ext4', 16 << 20);
  t.teardown(() => volume.dispose());
  const never = new AbortController().signal;
  const storeAt = () =>
    new FolderStore({ files: systemFiles, random: systemRandom, folder: join(volume.path, 'cache') });
  const before = storeAt();
  await before.prepare();
  await before.put('a', objectBody(Buffer.from('x')), never);
  await rm(join(volume.path, 'cache', '.incoming'), { recursive: true });
  const release = await fill(volume.path);
  const store = storeAt();
  await store.prepare();
  t.like(await t.throwsAsync(store.put('b', objectBody(Buffer.from('y')), never)), {
    code: 'CacheStoreFull',
  });
  t.deepEqual(await store.list('', { limit: 10 }, never), [{ key: 'a', sizeBytes: 1 }]);
  await release();
  t.is(await store.put('b', objectBody(Buffer.from('y')), never), 'created');
});
