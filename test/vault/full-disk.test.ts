/** A vault that is started on disks that are full: the real daemon, its real database, real file systems. */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import { run } from '../../src/platform/exec.ts';
import { canMakeVolumes } from '../../src/vault/replica/volume.ts';
import { fill, makeTestVolume } from '../support/replica-volume.ts';
import { Daemon, eventually } from '../support/site.ts';

const test = (await canMakeVolumes()) ? anyTest : anyTest.skip;

test('a vault on a full disk says what is full and goes on by itself when there is room', async (t) => {
  t.timeout(300_000);
  const limit = { timeoutMilliseconds: 60_000 };
  const volume = await makeTestVolume('xfs', 1 << 30);
  const cacheVolume = await makeTestVolume('ext4', 16 << 20);
  const data = join(volume.path, 'vault');
  const cache = join(data, 'cache');
  const vault = new Daemon('vault', cacheVolume.path.replace(/mount$/, ''), [
    'src/bin/vault.ts',
    'run',
    '--data',
    data,
  ]);
  t.teardown(async () => {
    await vault.kill('SIGTERM');
    await run('umount', [cache], limit).catch(() => {});
    await volume.dispose();
    await cacheVolume.dispose();
  });
  const ports = ['--port', '0', '--api-port', '0'];
  await run(process.execPath, ['src/bin/vault.ts', 'init', '--data', data, ...ports], limit);
  await mkdir(cache);
  await run('mount', ['--bind', cacheVolume.path, cache], limit);
  const says = (event: string) =>
    eventually(event, 120, async () => {
      const text = await readFile(vault.logPath, 'utf8');
      const line = text.split('\n').find((each) => each.includes(`"event":"${event}"`));
      if (line === undefined && !vault.isRunning) throw new Error(text);
      return line;
    });
  const begin = async () => {
    await vault.kill('SIGTERM');
    await rm(vault.logPath, { force: true });
    vault.start();
  };

  // Cache storage alone: all but uploads works.
  const emptyCache = await fill(cacheVolume.path);
  await begin();
  t.regex(await says('cache-storage-full'), /CacheStoreFull.*possibleCauses.*recommendedAction/);
  await says('vault-ready');

  // All of it: the database cannot start.
  await vault.kill('SIGTERM');
  const emptyData = await fill(volume.path);
  await begin();
  t.regex(await says('replica-store-full'), /possibleCauses.*recommendedAction/);
  t.regex(await says('waits-for-room'), /DatabaseFolderFull.*possibleCauses.*at least 16 MiB/);
  // Whoever stops it meanwhile need not wait for room.
  await begin();
  await says('waits-for-room');
  await emptyData();
  await says('vault-ready');
  await emptyCache();
});
