// Goal: before a machine is switched off for a failover everything that writes there is stopped, and what carries the last
// bookmark away is not. Method: the choice from what systemd says of a stock Debian's units; the calls against a systemctl of
// the test's own.
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { readUnits, stopWriters, writersOf } from '../../../src/mobility-service/control/writers.ts';
import { hasCode } from '../../../src/platform/errors.ts';
import { silentLog } from '../../../src/platform/log.ts';

const ordinary = 'sysinit.target system.slice basic.target systemd-journald.socket';
const shown = [
  ['basic.target', 'active', 'sysinit.target'],
  ['network-pre.target', 'active', 'firewalld.service'],
  [
    'network.target',
    'active',
    'NetworkManager.service systemd-networkd.service ifup@eth0.service networking.service',
  ],
  ['network-online.target', 'active', 'network.target NetworkManager-wait-online.service'],
  ['remote-fs-pre.target', 'active', 'rbdmap.service'],
  ['NetworkManager.service', 'active', ordinary],
  ['NetworkManager-wait-online.service', 'active', ordinary],
  ['firewalld.service', 'active', ordinary],
  ['rbdmap.service', 'active', ordinary],
  ['ifup@eth0.service', 'active', 'local-fs.target'],
  ['dbus.service', 'active', ordinary],
  ['systemd-logind.service', 'active', ordinary],
  ['systemd-journald.service', 'active', 'systemd-journald.socket'],
  ['lvm2-monitor.service', 'active', 'dm-event.socket'],
  ['dm-event.socket', 'listening', '-.mount'],
  ['leeward-mobility.service', 'active', `network-online.target ${ordinary}`],
  ['mariadb.service', 'active', `network.target ${ordinary}`],
  ['save-at-the-end.service', 'active', ordinary],
  ['off.service', 'inactive', ordinary],
  ['docker.socket', 'active', 'sysinit.target'],
  ['docker.service', 'active', `docker.socket ${ordinary}`],
  ['fstrim.timer', 'active', 'sysinit.target'],
  ['user@1000.service', 'active', ordinary],
  ['docker-0123.scope', 'active', 'system.slice'],
  ['session-3.scope', 'active', 'systemd-logind.service'],
  ['init.scope', 'active', ''],
]
  .map(([id, state, after]) => `Id=${id}\nAfter=${after}\nActiveState=${state}`)
  .join('\n\n');

const units = [
  'mariadb.service',
  'save-at-the-end.service',
  'docker.socket',
  'docker.service',
  'fstrim.timer',
  'user@1000.service',
];

test('every ordinary service, timer, socket and session is stopped; the network and what disks stand on stay', (t) => {
  const found = writersOf(readUnits(shown));
  t.deepEqual([...found.units].sort(), [...units].sort());
  t.deepEqual(found.scopes, ['docker-0123.scope', 'session-3.scope']);
  t.true(found.units.indexOf('docker.socket') < found.units.indexOf('docker.service'), 'else it comes back');
});

async function fake(t: { teardown(work: () => Promise<void>): void }, stopping: string) {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-writers-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'systemctl');
  const log = join(folder, 'log');
  await writeFile(join(folder, 'shown'), shown);
  await writeFile(
    path,
    `#!/bin/sh\necho "$*" >> ${log}\ncase $1 in show) cat ${folder}/shown;; stop) ${stopping};; is-active) shift; for u; do echo active; done; exit 0;; esac\n`,
  );
  await chmod(path, 0o700);
  return { path, calls: async () => (await readFile(log, 'utf8')).trim().split('\n') };
}

test('scopes are stopped after the services, and all of it is started again when the machine stays up', async (t) => {
  const { path, calls } = await fake(t, 'exit 0');
  const stopped = await stopWriters(silentLog, path);
  const [, services, scopes] = await calls();
  t.true(
    units.every((unit) => services!.split(' ').includes(unit)),
    services,
  );
  t.is(scopes, 'stop docker-0123.scope session-3.scope');
  await stopped.undo();
  t.regex((await calls()).at(-1)!, /^start --no-block .*mariadb\.service/);
});

test('a service that is not stopped is named, and nothing is left stopped', async (t) => {
  const { path, calls } = await fake(t, 'exit 1');
  const error = await t.throwsAsync(stopWriters(silentLog, path));
  t.true(hasCode(error, 'ServicesNotStopped'), error?.message);
  t.regex(error!.message, /docker\.socket/);
  t.regex((await calls()).at(-1)!, /^start --no-block/);
});
