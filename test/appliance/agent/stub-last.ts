/**
 * Stands for the service's entry where only the stopping of everything else is under test: inside the unit's sandbox, on a real
 * systemd. What it finds goes to the journal, which the guest shows on its console; then the machine is switched off.
 */
import { readFile } from 'node:fs/promises';
import { stopWriters } from '../../../src/mobility-service/control/writers.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { createLog } from '../../../src/platform/log.ts';

const log = createLog('mobility-service');
const limit = { timeoutMilliseconds: 60_000 };
const units = ['ledger', 'saver', 'cron', 'leeward-mobility', 'systemd-journald', 'network.target'];
const states = async () =>
  (await tryRun('systemctl', ['is-active', ...units], limit)).stdout.split('\n').join(' ');
// The network's own services, whatever they are called here; the guest has one or none.
const network = async () =>
  (await tryRun('systemctl', ['is-active', 'systemd-networkd', 'networking'], limit)).stdout
    .split('\n')
    .join(' ');

try {
  await until(
    systemClock,
    300_000,
    async () => (/^active active active active/.test(await states()) ? true : undefined),
    () => new Error('the machine does not come up'),
  );
  const networkBefore = await network();
  const stopped = await stopWriters(log);
  const ledger = (await readFile('/root/ledger', 'utf8')).trim().split('\n').at(-1);
  log.info('found', {
    states: await states(),
    isNetworkAsBefore: (await network()) === networkBefore,
    ledger,
    saved: (await readFile('/root/saved', 'utf8').catch(() => 'nothing')).trim(),
  });
  await stopped.undo();
  await until(
    systemClock,
    120_000,
    async () => (/^active active active active/.test(await states()) ? true : undefined),
    () => new Error('not started again'),
  );
  log.info('started-again', { states: await states() });
} catch (error) {
  log.error('stub-failed', { error });
}
await run('systemctl', ['poweroff'], limit);
for (;;) await systemClock.sleep(60_000);
