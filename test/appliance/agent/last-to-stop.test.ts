/**
 * Goal: inside its sandbox, on a stock Debian, the mobility service stops everything else that writes before the machine is
 * switched off, waits for what stops slowly, keeps the network, and can start all of it again.
 * Method: the real guest under QEMU with the packed agent, whose entry is a stub that does only this; a service that goes on
 * writing while it stops, and one that writes only when it is stopped.
 */
import { spawn } from 'node:child_process';
import { accessSync } from 'node:fs';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import anyTest from 'ava';
import { systemClock, withDeadline } from '../../../src/platform/clock.ts';
import { run } from '../../../src/platform/exec.ts';
import { packAgent } from '../../../tools/agent/pack.ts';
import { guestImage } from '../../support/guest-image.ts';

const obstacle =
  process.getuid?.() !== 0
    ? 'building the guest needs root'
    : ['/usr/bin/qemu-system-x86_64', '/usr/bin/mmdebstrap', '/usr/bin/gcc', '/usr/bin/dpkg-deb'].find(
        (path) => !isThere(path),
      );
if (obstacle) console.log(`skipped: ${obstacle} (missing)`);
const test = obstacle ? anyTest.skip : anyTest;
const limit = { timeoutMilliseconds: 60_000 };

const script = `#!/bin/sh
cd "$(dirname "$0")"
cat >/etc/systemd/system/ledger.service <<'UNIT'
[Service]
ExecStart=/bin/sh -c 'trap "for n in 1 2 3 4 5; do echo stopping-$n >>/root/ledger; sync; sleep 1; done; exit 0" TERM; while :; do echo running >>/root/ledger; sync; sleep 1; done'
KillMode=mixed
UNIT
cat >/etc/systemd/system/saver.service <<'UNIT'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'sleep 2; echo at-the-end >/root/saved; sync'
UNIT
cat >/etc/systemd/system/cron.service <<'UNIT'
[Service]
ExecStart=/bin/sleep infinity
UNIT
systemctl daemon-reload
systemctl start ledger saver cron
mkdir unpacked && tar -xzf agent.tar.gz -C unpacked --strip-components=1
sh unpacked/install.sh
echo '{}' >/etc/leeward/mobility-service/assignment.json
systemctl start leeward-mobility
`;

test('everything that writes stops first, the network stays, and all of it can be started again', async (t) => {
  t.timeout(40 * 60_000);
  const image = await guestImage((what) => t.log(what));
  const folder = await mkdtemp(join(tmpdir(), 'leeward-last-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const packed = await packAgent({ entry: 'test/appliance/agent/stub-last.ts', outputFolder: folder });
  await copyFile(packed.tar, join(folder, 'agent.tar.gz'));
  await writeFile(join(folder, 'script.sh'), script);
  const payload = join(folder, 'payload.tar');
  // Blocks of 1 MiB, so that the file is a whole number of sectors.
  await run('tar', ['-b', '2048', '-cf', payload, '-C', folder, 'script.sh', 'agent.tar.gz'], limit);
  const start =
    'mkdir -p /payload && mount -t tmpfs -o size=400m none /payload && tar -xf /dev/vdb -C /payload && sh /payload/script.sh';
  const guest = spawn(
    'qemu-system-x86_64',
    [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-m', '1536', '-smp', '2'],
      // Emulation: works on every machine, also where /dev/kvm only seems to.
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max'],
      ...['-kernel', image.kernel, '-initrd', image.initrd],
      ...[
        '-append',
        // Our own script is among what is stopped: that must not end the machine.
        `${image.commandLine} systemd.journald.forward_to_console=1 systemd.run="/bin/sh -c '${start}'" systemd.run_success_action=none systemd.run_failure_action=none`,
      ],
      ...['-drive', `file=${image.systemDisk},format=raw,if=virtio,snapshot=on`],
      ...['-drive', `file=${payload},format=raw,if=virtio,readonly=on`],
      // Only so that the guest comes online: it reaches nobody.
      ...['-netdev', 'user,id=n,restrict=on', '-device', 'virtio-net-pci,netdev=n'],
      ...['-serial', 'stdio', '-monitor', 'none'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  t.teardown(() => void guest.kill('SIGKILL'));
  const lines: string[] = [];
  const reading = (async () => {
    for await (const line of createInterface({ input: guest.stdout! })) lines.push(line);
  })();
  await withDeadline(systemClock, 20 * 60_000, reading, () => new Error(lines.slice(-100).join('\n')));
  const said = (event: string) => lines.find((line) => line.includes(`"${event}"`)) ?? '';
  const all = lines.slice(-150).join('\n');
  t.is(said('stub-failed'), '', all);
  const found = said('found');
  t.regex(found, /"states":"inactive inactive inactive active active active"/, all);
  t.regex(found, /"isNetworkAsBefore":true/);
  // It went on for five seconds after it was told to stop; what it synced then is on the disk before anything else happens.
  t.regex(found, /"ledger":"stopping-5"/);
  t.regex(found, /"saved":"at-the-end"/);
  t.regex(said('started-again'), /"states":"active active active active/);
});

function isThere(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}
