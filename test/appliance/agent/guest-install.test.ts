/**
 * Goal: the package installs, runs inside its sandbox, freezes a real machine's own file systems (its root included), and
 * goes away without a trace.
 * Method: the real Debian guest under QEMU, nothing written to its image; the packages and a script come as one more disk,
 * and the script's findings go out over the serial console. The program is the stub entry: what is under test is the package.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises';
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

test('the package installs, freezes under its sandbox, survives a kill and leaves nothing behind', async (t) => {
  t.timeout(40 * 60_000);
  const image = await guestImage((what) => t.log(what));
  const folder = await mkdtemp(join(tmpdir(), 'leeward-guest-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const packed = await packAgent({ entry: 'test/appliance/agent/stub-service.ts', outputFolder: folder });
  await copyFile(packed.tar, join(folder, 'agent.tar.gz'));
  await copyFile(packed.deb, join(folder, 'agent.deb'));
  await copyFile(join(import.meta.dirname, 'guest-script.sh'), join(folder, 'script.sh'));
  const payload = join(folder, 'payload.tar');
  // Blocks of 1 MiB, so that the file is a whole number of sectors.
  await run(
    'tar',
    ['-b', '2048', '-cf', payload, '-C', folder, 'script.sh', 'agent.tar.gz', 'agent.deb'],
    limit,
  );
  const data = join(folder, 'data.raw');
  await using file = await open(data, 'wx');
  await file.truncate(655_360 * 512);

  const start =
    'mkdir -p /payload && mount -t tmpfs -o size=400m none /payload && tar -xf /dev/vdb -C /payload && sh /payload/script.sh';
  const guest = spawn(
    'qemu-system-x86_64',
    [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-m', '1536', '-smp', '2'],
      // Emulation: works on every machine, also where /dev/kvm only seems to.
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max'],
      ...['-kernel', image.kernel, '-initrd', image.initrd],
      ...['-append', `${image.commandLine} systemd.run="/bin/sh -c '${start}'"`],
      ...['-drive', `file=${image.systemDisk},format=raw,if=virtio,snapshot=on`],
      ...['-drive', `file=${payload},format=raw,if=virtio,readonly=on`],
      ...['-drive', `file=${data},format=raw,if=virtio`],
      // Only so that the guest comes online: it reaches nobody.
      ...['-netdev', 'user,id=n,restrict=on', '-device', 'virtio-net-pci,netdev=n'],
      ...['-serial', 'stdio', '-monitor', 'none'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  t.teardown(() => guest.kill('SIGKILL'));
  const results = await withDeadline(
    systemClock,
    20 * 60_000,
    listen(guest),
    () => new Error('the guest does not finish'),
  );
  const console = results.console.slice(-120).join('\n');
  const is = (key: string, value: string) => t.is(results.found.get(key), value, `${key}\n${console}`);
  const before = results.found.get('before') ?? 'unknown';
  is('installed', 'yes');
  is('without-assignment', 'inactive');
  is('frozen', '"mountPoints":["/data","/"]');
  is('active', 'active');
  is('sandbox', 'traced read EPERM');
  is('writes-go-on', 'yes');
  is('restarted', 'yes');
  is('settings-stay', 'assignment.json');
  is('after-tar', before);
  is('deb-installed', 'yes');
  is('deb-active', 'yes');
  is('after-deb', before);
  is('done', 'yes');
  const residentKibibytes = Number(results.found.get('rss-kib'));
  t.log(`resident: ${Math.round(residentKibibytes / 1024)} MiB`);
  t.true(residentKibibytes > 0 && residentKibibytes < 100 * 1024, String(residentKibibytes));
  // SYS_ADMIN (21) and DAC_READ_SEARCH (2), nothing else.
  is('capabilities', (2n ** 21n + 2n ** 2n).toString(16).padStart(16, '0'));
});

async function listen(guest: ChildProcess): Promise<{ found: Map<string, string>; console: string[] }> {
  const found = new Map<string, string>();
  const lines: string[] = [];
  guest.stderr!.on('data', (text: Buffer) => lines.push(text.toString()));
  for await (const line of createInterface({ input: guest.stdout! })) {
    lines.push(line.trimEnd());
    const match = /^RESULT (\S+) ?(.*)$/.exec(line.trim());
    if (match) found.set(match[1]!, match[2]!.trim());
  }
  return { found, console: lines };
}

function isThere(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
