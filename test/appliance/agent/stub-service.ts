/**
 * Stands for the service's entry where only the package is under test: it loads what every daemon loads, and with the
 * mount points that its assignment names does what the sandbox might hinder: trace, read a disk, freeze, thaw.
 */
import { constants } from 'node:fs';
import { mkdir, open, readFile } from 'node:fs/promises';
import { createHelperFreezer } from '../../../src/mobility-service/consistency/helper-freezer.ts';
import { parseMountTable } from '../../../src/mobility-service/consistency/mount-table.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createLog } from '../../../src/platform/log.ts';

const log = createLog('mobility-service');
const settings = process.argv[process.argv.indexOf('--settings') + 1] ?? '';
const mountPoints = (
  JSON.parse(await readFile(`${settings}/assignment.json`, 'utf8')) as { freeze: string[] }
).freeze;
// What the sandbox must allow: an instance of tracefs (left for the uninstall to take away) and reading a disk. And what not.
await mkdir('/sys/kernel/tracing/instances/leeward-mobility', { recursive: true });
const disk = await open('/dev/vda', constants.O_RDONLY | constants.O_DIRECT);
await disk.close();
const refused = await open('/dev/vda', constants.O_RDWR).then(
  () => 'written',
  (error: NodeJS.ErrnoException) => error.code,
);
log.info('sandbox-tried', { sandbox: `traced read ${refused}` });
const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
const freezer = createHelperFreezer({
  clock: systemClock,
  log,
  helperPath: '/opt/leeward/mobility-service/bin/leeward-thaw',
  notePath: '/run/leeward-mobility/frozen',
  mounts: async () =>
    mountPoints.map((mountPoint) => ({
      mountPoint,
      device: table.findLast((entry) => entry.mountPoint === mountPoint)?.device ?? '0:0',
    })),
  applications: { pre: async () => {}, post: async () => {} },
});
{
  await using session = await freezer.prepare();
  await session.freeze(2000);
  const time = await session.thaw();
  log.info('frozen-and-thawed', { mountPoints: session.mountPoints, ...time });
}
for (;;) await systemClock.sleep(60_000);
