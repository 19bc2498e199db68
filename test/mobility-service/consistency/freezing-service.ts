/**
 * A service that freezes what it is told to and then does nothing more: the tests stop and kill it.
 * Arguments: helper, note, deadline, mount point, device. Prints `frozen` once everything stands still.
 */
import { createHelperFreezer } from '../../../src/mobility-service/consistency/helper-freezer.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { silentLog } from '../../../src/platform/log.ts';

const [helperPath, notePath, deadline, mountPoint, device] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const freezer = createHelperFreezer({
  clock: systemClock,
  log: silentLog,
  helperPath,
  notePath,
  mounts: async () => [{ mountPoint, device }],
  applications: { pre: async () => {}, post: async () => {} },
});
const session = await freezer.prepare();
await session.freeze(Number(deadline));
process.stdout.write('frozen\n');
// Holds on until it is killed; the limit is for a test that lost sight of it.
await systemClock.sleep(60_000);
