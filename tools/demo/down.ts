/** Removes every trace of the demo: namespaces with all that runs in them, mounts, loop devices, files. */
import { readFile, rm, rmdir } from 'node:fs/promises';
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
  for (const device of await loops()) await run('losetup', ['--detach', device], limit);
  // Whoever copied the machine's mounts while the volume was mounted may hold it a moment longer.
  await until(
    systemClock,
    30_000,
    async () => ((await loops()).length === 0 ? true : undefined),
    () => new Error(`the loop device of ${state.folder} is still held; run make demo-down again`),
    200,
  );
  await rm(state.folder, { recursive: true, force: true });
  for (const path of [leewardFile, resultFile]) await rm(path, { force: true });
  await rm(demoFolder, { recursive: true, force: true });
  // Not the whole folder: a vault of one's own (make vault) keeps its data there.
  await rmdir(runFolder).catch((error: unknown) => {
    if (!hasCode(error, 'ENOTEMPTY')) throw error;
  });
  console.log('the demo is gone');
}
