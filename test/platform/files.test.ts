/** Goal: a small file is read whole while others replace or remove it. Real files, replaced at the worst moment. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type Files, readWhole, systemFiles, writeDurably } from '../../src/platform/files.ts';

const small = Buffer.from('{"a":1}');
const large = Buffer.from(`{"a":${'1'.repeat(5000)}}`);

/** Does something to the file after each step of whoever reads it. */
function disturbed(between: () => Promise<void>): Files {
  return {
    ...systemFiles,
    sizeBytes: async (path) => {
      const size = await systemFiles.sizeBytes(path);
      await between();
      return size;
    },
    open: async (path, mode) => {
      const file = await systemFiles.open(path, mode);
      await between();
      return file;
    },
  };
}

for (const [what, before, after] of [
  ['larger', small, large],
  ['smaller', large, small],
] as const)
  test(`a file that is replaced by a ${what} one while it is read is the one or the other`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'leeward-files-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'status.json');
    await writeDurably(systemFiles, path, before);
    const read = await readWhole(
      disturbed(() => writeDurably(systemFiles, path, after)),
      path,
    );
    t.true(read?.equals(before) || read?.equals(after), `${read?.byteLength} bytes`);
  });

test('a file that is removed while it is read is there or not, and no error', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-files-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'status.json');
  await writeDurably(systemFiles, path, small);
  const read = await readWhole(
    disturbed(() => systemFiles.remove(path)),
    path,
  );
  t.true(read === undefined || read.equals(small));
  t.is(await readWhole(systemFiles, path), undefined);
  await t.throwsAsync(readWhole(systemFiles, folder, 1), undefined, 'a folder is no file');
});
