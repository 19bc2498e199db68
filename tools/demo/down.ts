/** Removes every trace of the demo: namespaces with all that runs in them, mounts, loop devices, files. */
import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { systemClock, until } from '../../src/platform/clock.ts';
import { hasCode } from '../../src/platform/errors.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { siteNamed } from '../../test/support/namespaces.ts';
import {
  demoFolder,
  leewardFile,
  protectedSiteOf,
  readState,
  resultFile,
  runFolder,
  vaultSiteOf,
} from './parts/state.ts';

const limit = { timeoutMilliseconds: 30_000 };
const state = readState();
if (state === undefined) console.log('the demo is not there');
else {
  // The site's processes first: the vault unmounts its own volume when it is asked to end.
  for (const name of [vaultSiteOf(state), protectedSiteOf(state)]) await siteNamed(name).remove();
  const mounts = (await readFile('/proc/self/mounts', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[1])
    .filter((path): path is string => path?.startsWith(`${state.folder}/`) === true);
  for (const path of mounts.reverse()) await run('umount', [path], limit);
  const loops = async () => {
    const { stdout } = await tryRun(
      'losetup',
      ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'],
      limit,
    );
    return stdout
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, backing]) => backing?.startsWith(`${state.folder}/`))
      .map(([device]) => device!);
  };
  // Those of what was mounted are going by themselves.
  for (const device of await loops()) await tryRun('losetup', ['--detach', device], limit);
  const isReleased = await waitFor(async () => (await loops()).length === 0);
  await rm(state.folder, { recursive: true, force: true });
  for (const path of [leewardFile, resultFile]) await rm(path, { force: true });
  await rm(demoFolder, { recursive: true, force: true });
  // Not the whole folder: a vault of one's own (make vault) keeps its data there.
  await rmdir(runFolder).catch((error: unknown) => {
    if (!hasCode(error, 'ENOTEMPTY')) throw error;
  });
  console.log('the demo is gone');
  const still = isReleased ? [] : await holders(state.folder);
  if (still.length > 0)
    console.log(
      `but for a loop device that the kernel keeps until these have ended, which began meanwhile with a copy of this machine's mounts:\n${still.join('\n')}`,
    );
}

/** A few seconds: those that have just been ended may take one. */
async function waitFor(condition: () => Promise<boolean>): Promise<boolean> {
  const late = new Error('late');
  try {
    const holds = async () => ((await condition()) ? true : undefined);
    return await until(systemClock, 15_000, holds, () => late, 200);
  } catch (error) {
    if (error === late) return false;
    throw error;
  }
}

/** `pid command` of those that still see a mount below the folder. */
async function holders(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    // A process may end while it is looked at.
    const text = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
    if ((await text('mountinfo')).includes(` ${folder}/`))
      found.push(`  ${pid} ${(await text('cmdline')).replaceAll('\0', ' ').slice(0, 100)}`);
  }
  return found;
}
