/**
 * Goal: what threads digest is what this thread would, at every edge of a file, and an error comes back as one.
 * Method: a real file with zeroes, odd tail and a range beyond its end, read past the page cache.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { digestChunks, digestStretchBytes } from '../../../src/vault/replica/chunk-digests.ts';
import { DigestPool } from '../../../src/vault/replica/digest-pool.ts';

test('threads digest a file as it would be digested here, byte for byte', async (t) => {
  // Not on tmpfs, which older kernels cannot read past the page cache.
  const folder = await mkdtemp('/var/tmp/leeward-digest-pool-');
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await using pool = new DigestPool(2);
  const path = join(folder, 'disk.raw');
  const content = randomBytes(2 * digestStretchBytes + (64 << 10) + 1536);
  content.fill(0, 1 << 20, 3 << 20);
  await writeFile(path, content);
  const stretches: { offsetBytes: number; lengthBytes: number }[] = [];
  for (let at = 0; at < content.byteLength; at += digestStretchBytes)
    stretches.push({
      offsetBytes: at,
      lengthBytes: Math.min(digestStretchBytes, content.byteLength - at),
    });
  // A file that is shorter than its disk reads as zeroes from there on.
  stretches.push({ offsetBytes: 2 * digestStretchBytes, lengthBytes: 1 << 20 });
  const found = await Promise.all(stretches.map((stretch) => pool.digest({ path, ...stretch })));
  for (const [index, { offsetBytes, lengthBytes }] of stretches.entries()) {
    const bytes = Buffer.alloc(lengthBytes);
    content.copy(bytes, 0, offsetBytes);
    t.deepEqual(found[index], digestChunks(bytes), `at ${offsetBytes}`);
  }
  await t.throwsAsync(pool.digest({ path: join(folder, 'gone'), offsetBytes: 0, lengthBytes: 4096 }), {
    code: 'ENOENT',
  });
});
