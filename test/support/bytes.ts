/** Whole contents compared by their digest: the oracle of every test that moves data. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { run } from '../../src/platform/exec.ts';

/** SHA-256 of a file or block device, past the page cache of a device that others write to. */
export async function sha256Of(path: string): Promise<string> {
  if (path.startsWith('/dev/')) await run('blockdev', ['--flushbufs', path], { timeoutMilliseconds: 60_000 });
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
