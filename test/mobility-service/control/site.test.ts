// Goal: what an operator writes beside a site's orders is taken as it stands, or refused by name.
// Method: the files alone.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ownScripts } from '../../../src/mobility-service/control/site.ts';

test('scripts of an enrolled machine come from its settings folder, and a file that is wrong is no missing one', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-own-scripts-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  t.is(await ownScripts(folder), undefined);
  const path = join(folder, 'scripts.json');
  const scripts = { pre: '/etc/leeward/pre', post: '/etc/leeward/post', timeoutSeconds: 60 };
  await writeFile(path, JSON.stringify(scripts));
  t.deepEqual(await ownScripts(folder), scripts);
  for (const wrong of [
    '{',
    '{}',
    JSON.stringify({ ...scripts, pre: 'pre' }),
    JSON.stringify({ ...scripts, x: 1 }),
  ]) {
    await writeFile(path, wrong);
    const error = await t.throwsAsync(ownScripts(folder));
    t.true(error?.message.includes(path), error?.message);
  }
});
