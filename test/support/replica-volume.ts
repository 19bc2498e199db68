/** A file system for one test file: XFS or btrfs in a loop-mounted file under /tmp, unmounted and removed at its end. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, tryRun } from '../../src/platform/exec.ts';

export interface TestVolume {
  readonly path: string;
  dispose(): Promise<void>;
}

export async function makeTestVolume(
  kind: 'xfs' | 'btrfs' | 'ext4',
  sizeBytes = 512 << 20,
): Promise<TestVolume> {
  const limit = { timeoutMilliseconds: 60_000 };
  const folder = await mkdtemp(join(tmpdir(), `leeward-${kind}-`));
  const image = join(folder, 'image');
  const path = join(folder, 'mount');
  const handle = await open(image, 'wx', 0o600);
  await handle.truncate(sizeBytes);
  await handle.close();
  await run('mkdir', [path], limit);
  const make = {
    xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
    btrfs: ['mkfs.btrfs', '-q'],
    ext4: ['mkfs.ext4', '-q'],
  };
  const [program, ...options] = make[kind];
  await run(program!, [...options, image], limit);
  await run('mount', ['-t', kind, '-o', 'loop', image, path], limit);
  return {
    path,
    dispose: async () => {
      await run('umount', [path], limit).catch(() => run('umount', ['-l', path], limit));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Takes all the room of a file system, to the last block; what it answers gives it back. */
export async function fill(folder: string): Promise<() => Promise<void>> {
  const at = await mkdtemp(join(folder, 'filler-'));
  let count = 0;
  for (let bytes = 1 << 30; bytes >= 512; )
    if (
      (
        await tryRun('fallocate', ['-l', String(bytes), join(at, String(count++))], {
          timeoutMilliseconds: 60_000,
        })
      ).exitCode !== 0
    )
      bytes /= 2;
  return () => rm(at, { recursive: true });
}
