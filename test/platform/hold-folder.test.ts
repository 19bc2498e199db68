/** Goal: a folder is held by one process, under any name, and is free again however that process ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { holdFolder } from '../../src/platform/hold-folder.ts';

test('a folder is held once, by whatever path, until it is let go', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-hold-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const other = `${folder}.link`;
  await symlink(folder, other);
  t.teardown(() => rm(other));
  {
    await using _held = await holdFolder(folder);
    const refused = await t.throwsAsync(holdFolder(other), { code: 'FolderHeld' });
    t.regex(refused.message, /another process is at work in/);
  }
  await using _again = await holdFolder(other);
  t.pass();
});

test('a process that is killed holds nothing any more', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-hold-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const room = new URL('../../src/platform/hold-folder.ts', import.meta.url).href;
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { holdFolder } from '${room}'; await holdFolder('${folder}'); console.log('held'); setInterval(() => {}, 1000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await t.throwsAsync(holdFolder(folder), { code: 'FolderHeld' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  await using _held = await holdFolder(folder);
  t.pass();
});
