/** Goal: ranges land where they belong, few or many, at once in several files, and a failure is told with its code. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type OpenFile, systemFiles } from '../../src/platform/files.ts';
import { giveBack } from '../../src/platform/memory.ts';

async function fileIn(t: ExecutionContext): Promise<{ file: OpenFile; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-ranges-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'disk');
  return { file: await systemFiles.open(path, 'exclusive'), path };
}

for (const count of [1, 3, 4, 300])
  test(`${count} ranges are written from one source, each to its place`, async (t) => {
    const { file, path } = await fileIn(t);
    // A view and, below, a buffer of its own: only the latter is given away.
    const source = Buffer.concat([Buffer.alloc(1), randomBytes(count * 4096)]).subarray(1);
    const expected = Buffer.alloc(count * 3 * 4096);
    // Backwards, with gaps.
    const ranges = Array.from({ length: count }, (_, at) => ({
      positionBytes: (count - 1 - at) * 3 * 4096,
      lengthBytes: 4096,
    }));
    for (const [at, { positionBytes }] of ranges.entries())
      source.copy(expected, positionBytes, at * 4096, (at + 1) * 4096);
    await file.truncate(expected.byteLength);
    await file.writeRanges(source, ranges);
    t.true((await readFile(path)).equals(expected));
    await file.truncate(0);
    await file.truncate(expected.byteLength);
    await file.writeRanges(Uint8Array.from(source), ranges);
    t.true((await readFile(path)).equals(expected));
    await file.close();
  });

test('many at once go to their own files', async (t) => {
  const files = await Promise.all(Array.from({ length: 8 }, () => fileIn(t)));
  await Promise.all(
    files.map(({ file }, index) =>
      file.writeRanges(
        new Uint8Array(64 * 4096).fill(index + 1),
        Array.from({ length: 64 }, (_, at) => ({ positionBytes: at * 4096, lengthBytes: 4096 })),
      ),
    ),
  );
  for (const [index, { file, path }] of files.entries()) {
    t.true((await readFile(path)).every((byte) => byte === index + 1));
    await file.close();
  }
});

test('a file that may not be written says so with its code', async (t) => {
  const { file, path } = await fileIn(t);
  await file.close();
  const reader = await systemFiles.open(path, 'read');
  const ranges = Array.from({ length: 5 }, (_, at) => ({ positionBytes: at * 10, lengthBytes: 10 }));
  await t.throwsAsync(reader.writeRanges(new Uint8Array(50), ranges), { code: 'EBADF' });
  await reader.close();
});

test('memory that is shared with others is not given back', (t) => {
  const own = new Uint8Array(1 << 20);
  const shared = new Uint8Array(1 << 20).subarray(1);
  giveBack(own);
  giveBack(own);
  giveBack(shared);
  t.is(own.byteLength, 0);
  t.is(shared.byteLength, (1 << 20) - 1);
});
