/**
 * Loop devices of numbers that a test chooses, far above those that `losetup --find` takes: files are attached to them,
 * detached, and change places, as disks of a machine do.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { systemClock, until } from '../../src/platform/clock.ts';
import { run, tryRun } from '../../src/platform/exec.ts';

const timeoutMilliseconds = 60_000;

export interface FixedLoops {
  readonly paths: readonly string[];
  /** Files to attach, each of its own content. */
  readonly files: readonly string[];
  attach(path: string, file: string): Promise<void>;
  /** As `losetup -d`: while somebody has it open it stays, and goes when it is closed. */
  askToDetach(path: string): Promise<void>;
  /** Until it is gone. */
  detach(path: string): Promise<void>;
}

/** Each process of a test run takes numbers of its own. */
let next = 2000 + (process.pid % 400) * 8;

export async function makeFixedLoops(
  t: ExecutionContext<unknown>,
  loopCount: number,
  fileCount: number,
  sizeBytes: number,
): Promise<FixedLoops> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-fixed-loop-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const files: string[] = [];
  for (let index = 0; index < fileCount; index++) {
    const file = join(folder, `disk${index}.img`);
    await using handle = await open(file, 'wx');
    await handle.truncate(sizeBytes);
    files.push(file);
  }
  const paths: string[] = [];
  for (let index = 0; index < loopCount; index++) {
    const number = next++;
    const path = `/dev/loop${number}`;
    if (!existsSync(path)) {
      await run('mknod', [path, 'b', '7', String(number)], { timeoutMilliseconds });
      t.teardown(() => rm(path, { force: true }));
    }
    t.teardown(() => tryRun('losetup', ['--detach', path], { timeoutMilliseconds }));
    paths.push(path);
  }
  const isAttached = async (path: string): Promise<boolean> =>
    (await tryRun('losetup', [path], { timeoutMilliseconds })).exitCode === 0;
  const askToDetach = async (path: string): Promise<void> => {
    await run('losetup', ['--detach', path], { timeoutMilliseconds });
  };
  return {
    paths,
    files,
    attach: async (path, file) => {
      await run('losetup', [path, file], { timeoutMilliseconds });
    },
    askToDetach,
    detach: async (path) => {
      if (await isAttached(path)) await askToDetach(path);
      await until(
        systemClock,
        timeoutMilliseconds,
        async () => ((await isAttached(path)) ? undefined : true),
        () => new Error(`${path} stays attached`),
      );
    },
  };
}
