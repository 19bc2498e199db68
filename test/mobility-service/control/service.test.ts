// Goal: the mobility service as it is started on a machine replicates a real disk under real writes, and a restart keeps it.
// Method: its own process, a loop device with ext4, the real trace rings, TLS to a reference receiver. Each point is an
// image that must pass fsck and hold every file that was synced before it was taken.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { serveLinks } from '../../support/link-server.ts';
import { canLoop, canTrace, makeFileSystem, makeLoop } from '../../support/loop-device.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';
import { testCertificates } from '../../support/test-certificates.ts';

const missing = canLoop() ?? canTrace();
const test = missing === undefined ? anyTest.serial : anyTest.skip;

const itemId = crypto.randomUUID();
const diskId = crypto.randomUUID();
const timeoutMilliseconds = 90_000;

test(`a real disk is replicated under writes and over a clean restart${missing ? ` (skipped: ${missing})` : ''}`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-service-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  // A clean stop leaves the kernel recording, on purpose.
  t.teardown(() =>
    tryRun('rmdir', [`/sys/kernel/tracing/instances/leeward-${itemId.slice(0, 8)}`], { timeoutMilliseconds }),
  );
  const device = await makeLoop(t, 48 << 20);
  const mounted = await makeFileSystem(t, device, 'ext4');
  const certificates = await testCertificates(['process-server/test', itemId]);
  t.teardown(() => certificates.remove());
  const receiver = new ReferenceReceiver(8 << 20);
  const port = await serveLinks(t, certificates, (link) => receiver.serve(link));
  await writeFile(
    join(folder, 'assignment.json'),
    JSON.stringify({
      itemId,
      name: 'test',
      processServer: { host: '127.0.0.1', port },
      tls: certificates.filesOf(itemId),
      disks: [{ diskId, path: device.path }],
      policy: { crashConsistentSeconds: 1, applicationConsistentSeconds: 0, freezeMillisecondsMax: 1000 },
    }),
  );
  const start = () => {
    const args = ['--settings', folder, '--state', join(folder, 'state'), '--runtime', join(folder, 'run')];
    const child = spawn(process.execPath, ['src/bin/mobility-service.ts', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (chunk) => (said += chunk));
    child.stderr.on('data', (chunk) => (said += chunk));
    t.teardown(() => void child.kill('SIGKILL'));
    return { child, said: () => said.slice(-3000) };
  };
  const pointsAfter = (count: number, said: () => string) =>
    until(
      systemClock,
      90_000,
      () => (receiver.points.length > count ? true : undefined),
      () => new Error(said()),
    );

  const first = start();
  await pointsAfter(0, first.said);
  for (let turn = 0; turn < 3; turn++) {
    const content = Buffer.alloc(3 << 20, `turn ${turn} `);
    await writeFile(join(mounted.mountPoint, `file-${turn}`), content);
    if (turn === 1) await rm(join(mounted.mountPoint, 'file-0'));
    await run('sync', ['-f', mounted.mountPoint], { timeoutMilliseconds });
    const before = receiver.points.length;
    // Two: the first one may have been on its way.
    await pointsAfter(before + 1, first.said);
    const image = join(folder, 'point.img');
    await writeFile(image, receiver.points.at(-1)!.images[0]!);
    await run('e2fsck', ['-fy', '-E', 'journal_only', image], { timeoutMilliseconds }).catch(() => '');
    const fsck = await tryRun('e2fsck', ['-fn', image], { timeoutMilliseconds });
    t.is(fsck.exitCode, 0, fsck.stdout);
    const dumped = join(folder, 'dumped');
    await run('debugfs', ['-R', `dump /file-${turn} ${dumped}`, image], { timeoutMilliseconds });
    t.true((await readFile(dumped)).equals(content), `file-${turn} of the point`);
  }
  first.child.kill('SIGTERM');
  const [code] = (await once(first.child, 'exit')) as [number];
  t.is(code, 0, first.said());
  const status = JSON.parse(await readFile(join(folder, 'run', 'status.json'), 'utf8')) as {
    connection: string;
  };
  t.is(status.connection, 'stopped');

  // Written while no service ran: the kernel went on recording.
  await writeFile(join(mounted.mountPoint, 'meanwhile'), 'written while the service was down');
  await mounted.unmount();
  const begins = receiver.begins.length;
  const before = receiver.points.length;
  const second = start();
  await pointsAfter(before + 1, second.said);
  t.is(receiver.begins.length, begins, 'a clean restart needs no walk');
  second.child.kill('SIGTERM');
  await once(second.child, 'exit');
  t.true(receiver.points.at(-1)!.images[0]!.equals(await readFile(device.backingFile)));

  // Killed: the maps are gone, so the disk is compared, with that cause.
  const third = start();
  const afterThird = receiver.points.length;
  await pointsAfter(afterThird, third.said);
  third.child.kill('SIGKILL');
  await once(third.child, 'exit');
  const fourth = start();
  await pointsAfter(receiver.points.length, fourth.said);
  t.is(receiver.begins.at(-1)?.cause, 'UncleanShutdown');
  fourth.child.kill('SIGTERM');
  await once(fourth.child, 'exit');
  t.true(receiver.points.at(-1)!.images[0]!.equals(await readFile(device.backingFile)));
});
