/** Removes every trace of the demo: namespaces with all that runs in them, mounts, loop devices, files. */
import { readFile, rm } from 'node:fs/promises';
import { run, tryRun } from '../../src/platform/exec.ts';
import { siteNamed } from '../../test/support/namespaces.ts';
import { protectedSiteOf, readState, runFolder, vaultSiteOf } from './parts/state.ts';

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
  const loops = await tryRun('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'], limit);
  for (const line of loops.stdout.split('\n')) {
    const [device, backing] = line.trim().split(/\s+/);
    if (device !== undefined && backing?.startsWith(`${state.folder}/`) === true)
      await run('losetup', ['--detach', device], limit);
  }
  await rm(state.folder, { recursive: true, force: true });
  await rm(runFolder, { recursive: true, force: true });
  console.log('the demo is gone');
}
