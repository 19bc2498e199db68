/**
 * Stands for the service's entry where only the package is under test: it loads what every daemon loads, and with
 * `--freeze <mount point>` does what the sandbox might hinder: read a disk's mount table, freeze, thaw.
 */
import { readFile } from 'node:fs/promises';
import { createHelperFreezer } from '../../../src/mobility-service/consistency/helper-freezer.ts';
import { parseMountTable } from '../../../src/mobility-service/consistency/mount-table.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createLog } from '../../../src/platform/log.ts';

const log = createLog('mobility-service');
const settings = process.argv[3] ?? '';
const mountPoints = (
  JSON.parse(await readFile(`${settings}/assignment.json`, 'utf8')) as { freeze: string[] }
).freeze;
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
