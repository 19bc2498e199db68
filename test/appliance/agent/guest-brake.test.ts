/**
 * Goal: on a stock Debian, with cgroup v2 and with v1, the write brake holds back who can be held, says who cannot, lets everybody
 * go on, and leaves no limit behind.
 * Method: the real Debian guest under QEMU, booted once with each; writers in each kind of control group, past the page cache
 * and through it, and how many of their writes completed under the brake.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import anyTest from 'ava';
import { systemClock, withDeadline } from '../../../src/platform/clock.ts';
import { compileStatic } from '../../../tools/agent/thaw-helper.ts';
import { compileWriteBrake } from '../../../tools/agent/write-brake.ts';
import { guestImage } from '../../support/guest-image.ts';

const obstacle =
  process.getuid?.() !== 0
    ? 'building the guest needs root'
    : ['/usr/bin/qemu-system-x86_64', '/usr/bin/mmdebstrap', '/usr/bin/gcc'].find((path) => !isThere(path));
if (obstacle) console.log(`skipped: ${obstacle} (missing)`);
const test = obstacle ? anyTest.serial.skip : anyTest.serial;

for (const version of [2, 1])
  test(`with cgroup v${version} of a stock guest writers are held, or it is said which were not`, async (t) => {
    t.timeout(40 * 60_000);
    const image = await guestImage((what) => t.log(what));
    const folder = await mkdtemp(join(tmpdir(), 'leeward-guest-brake-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    compileWriteBrake(join(folder, 'leeward-brake'));
    for (const name of ['brake-writer', 'brake-judge'])
      compileStatic(`test/appliance/agent/${name}.c`, join(folder, name));
    await copyFile(join(import.meta.dirname, 'brake-script.sh'), join(folder, 'script.sh'));
    const payload = join(folder, 'payload.tar');
    // Blocks of 1 MiB, so that the file is a whole number of sectors.
    execFileSync('tar', [
      '-b',
      '2048',
      '-cf',
      payload,
      '-C',
      folder,
      'script.sh',
      'leeward-brake',
      'brake-writer',
      'brake-judge',
    ]);
    await using file = await open(join(folder, 'data.raw'), 'wx');
    await file.truncate(655_360 * 512);
    const start =
      'mkdir -p /payload && mount -t tmpfs -o size=64m none /payload && tar -xf /dev/vdb -C /payload && sh /payload/script.sh';
    const guest = spawn(
      'qemu-system-x86_64',
      [
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-m', '768', '-smp', '2'],
        ...['-accel', 'tcg,thread=multi', '-cpu', 'max'],
        ...['-kernel', image.kernel, '-initrd', image.initrd],
        '-append',
        `${image.commandLine} ${version === 1 ? 'systemd.unified_cgroup_hierarchy=0' : ''} systemd.run="/bin/sh -c '${start}'"`,
        ...['-drive', `file=${image.systemDisk},format=raw,if=virtio,snapshot=on`],
        ...['-drive', `file=${payload},format=raw,if=virtio,readonly=on`],
        ...['-drive', `file=${join(folder, 'data.raw')},format=raw,if=virtio`],
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
    const console = results.console.slice(-80).join('\n');
    t.is(results.found.get('done'), 'yes', console);
    t.log([...results.found].map(([key, value]) => `${key}: ${value}`).join('\n'));
    for (const place of ['root', 'system', 'user', 'container'])
      for (const mode of ['direct', 'buffered']) {
        const [written, goes, left, root] = (results.found.get(`${place}-${mode}`) ?? '').split(' ');
        const what = `${place} ${mode}: ${results.found.get(`${place}-${mode}`)}\n${console}`;
        t.is(goes, 'goes', what);
        t.is(left, 'left=0', what);
        // The root group of v2 cannot be limited, and the brake says so.
        t.is(root, version === 2 ? 'root=free' : 'root=held', what);
        if (version === 1 || place !== 'root') t.is(written, '0', what);
      }
    t.is(results.found.get('released'), 'stuck=0 held as-before', console);
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
