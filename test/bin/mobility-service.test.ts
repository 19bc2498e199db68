/**
 * The mobility service as it is started: what it says, and with which code it ends, when it was given what it cannot protect.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { systemClock, until } from '../../src/platform/clock.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { serveLinks } from '../support/link-server.ts';
import { canLoop, canTrace, makeLoop } from '../support/loop-device.ts';
import { ReferenceReceiver } from '../support/reference-receiver.ts';
import { testCertificates } from '../support/test-certificates.ts';

const missing = canLoop() ?? canTrace();
const loopTest = missing === undefined ? anyTest : anyTest.skip;
const because = missing === undefined ? '' : ` (skipped: ${missing})`;
const main = join(import.meta.dirname, '../../src/bin/mobility-service.ts');
const timeoutMilliseconds = 90_000;

interface Home {
  readonly folder: string;
  readonly itemId: string;
  readonly args: readonly string[];
}

/** Folders with an assignment of these disks to a process server at `port`, where nobody need listen. */
async function makeHome(
  t: ExecutionContext<unknown>,
  disks: readonly string[],
  assignment: { port?: number; itemId?: string; tls?: object } = {},
): Promise<Home> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-bin-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const itemId = assignment.itemId ?? crypto.randomUUID();
  // A clean stop leaves the kernel recording, on purpose.
  t.teardown(() =>
    tryRun('rmdir', [`/sys/kernel/tracing/instances/leeward-${itemId.slice(0, 8)}`], { timeoutMilliseconds }),
  );
  const pem = join(folder, 'none.pem');
  await writeFile(
    join(folder, 'assignment.json'),
    JSON.stringify({
      itemId,
      name: 'test',
      processServer: { host: '127.0.0.1', port: assignment.port ?? 1 },
      tls: assignment.tls ?? { caFile: pem, certificateFile: pem, keyFile: pem },
      disks: disks.map((path) => ({ diskId: crypto.randomUUID(), path })),
      policy: { crashConsistentSeconds: 1, applicationConsistentSeconds: 0, freezeMillisecondsMax: 1000 },
    }),
  );
  return {
    folder,
    itemId,
    args: ['--settings', folder, '--state', join(folder, 'state'), '--runtime', join(folder, 'run')],
  };
}

/** Runs to the end. */
const ended = (args: readonly string[]) => tryRun(process.execPath, [main, ...args], { timeoutMilliseconds });

function start(t: ExecutionContext<unknown>, home: Home): { child: ChildProcess; said: () => string } {
  const child = spawn(process.execPath, [main, ...home.args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk) => (said += chunk));
  child.stderr.on('data', (chunk) => (said += chunk));
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return { child, said: () => said.slice(-3000) };
}

anyTest('it says how it is called', async (t) => {
  const { exitCode, stdout } = await ended(['--help']);
  t.is(exitCode, 0);
  t.regex(stdout, /--settings FOLDER/);
  const wrong = await ended(['--setings', 'x']);
  t.is(wrong.exitCode, 1);
  t.regex(wrong.stderr, /--setings/);
});

anyTest('a status that nobody wrote is an error that names the unit', async (t) => {
  const { exitCode, stderr } = await ended(['status', '--runtime', '/nonexistent']);
  t.is(exitCode, 1);
  t.regex(stderr, /systemctl start leeward-mobility\.service/);
});

for (const [what, path, says] of [
  ['an unknown disk', '/dev/disk/by-id/leeward-no-such-disk', /DiskNotFound[\s\S]*lsblk/],
  ['a file', main, /is not a block device[\s\S]*what to do/],
  ['a folder', '/', /is not a block device/],
  ['a character device', '/dev/null', /is not a block device/],
] as const)
  anyTest(`${what} is refused with cause and action`, async (t) => {
    const { exitCode, stderr } = await ended((await makeHome(t, [path])).args);
    t.is(exitCode, 1);
    t.regex(stderr, says);
    t.regex(stderr, /possible causes: .+\n.*what to do: .+/);
  });

anyTest('a reload that is asked for before there is anything to reload does not end it', async (t) => {
  const home = await makeHome(t, ['/dev/disk/by-id/leeward-no-such-disk']);
  const gate = join(home.folder, 'gate');
  await run('mkfifo', [gate], { timeoutMilliseconds });
  // What an earlier run left frozen is let go before anything else: here it takes as long as the test wants.
  const helper = join(home.folder, 'thaw');
  await writeFile(helper, `#!/bin/sh\nread line < ${gate}\n`, { mode: 0o755 });
  const { child, said } = start(t, { ...home, args: [...home.args, '--thaw-helper', helper] });
  const closed = once(child, 'close');
  const pipe = await open(gate, 'w');
  child.kill('SIGHUP');
  await pipe.writeFile('\n');
  await pipe.close();
  t.deepEqual(await closed, [1, null], said());
  t.regex(said(), /DiskNotFound/);
});

loopTest(`a partition is refused with the disk to use${because}`, async (t) => {
  const device = await makeLoop(t, 16 << 20);
  const input = 'label: gpt\nsize=8MiB\n';
  await run('sfdisk', ['--quiet', '--no-tell-kernel', device.path], { timeoutMilliseconds, input });
  await run('partx', ['--add', device.path], { timeoutMilliseconds });
  t.teardown(() => tryRun('partx', ['--delete', device.path], { timeoutMilliseconds }));
  const [major, minor] = readFileSync(`/sys/class/block/${device.name}p1/dev`, 'utf8').trim().split(':');
  const folder = await mkdtemp(join(tmpdir(), 'leeward-node-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const node = join(folder, 'part1');
  await run('mknod', [node, 'b', major!, minor!], { timeoutMilliseconds });
  const { exitCode, stderr } = await ended((await makeHome(t, [node])).args);
  t.is(exitCode, 1);
  t.true(
    stderr.includes(`is a partition; what can be protected is the whole disk under it: ${device.path} `),
    stderr,
  );
  t.true(stderr.includes(`Protect ${device.path} instead`), stderr);
});

loopTest(`two services do not take one disk, and a killed one does not keep it${because}`, async (t) => {
  const device = await makeLoop(t, 16 << 20);
  const itemIds = [crypto.randomUUID(), crypto.randomUUID()] as const;
  const certificates = await testCertificates(itemIds);
  t.teardown(() => certificates.remove());
  // Nobody listens there, so that they go on trying.
  const homeOf = (itemId: string) =>
    makeHome(t, [device.path], { itemId, tls: certificates.filesOf(itemId) });
  const home = await homeOf(itemIds[0]);
  const first = start(t, home);
  const statusOf = (folder: string) => join(folder, 'run', 'status.json');
  const running = ({ folder }: Home, said: () => string) =>
    until(
      systemClock,
      timeoutMilliseconds,
      () => (existsSync(statusOf(folder)) ? true : undefined),
      () => new Error(said()),
    );
  await running(home, first.said);
  const other = await homeOf(itemIds[1]);
  const refused = await ended(other.args);
  t.is(refused.exitCode, 1);
  t.regex(refused.stderr, /already being replicated[\s\S]*what to do: Stop one of them/);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  const second = start(t, other);
  await running(other, second.said);
  second.child.kill('SIGTERM');
  const [code] = (await once(second.child, 'exit')) as [number];
  t.is(code, 0, second.said());
});

loopTest(`a disk that is enlarged while it is replicated goes on with its new size${because}`, async (t) => {
  const device = await makeLoop(t, 16 << 20);
  const itemId = crypto.randomUUID();
  const certificates = await testCertificates(['process-server/test', itemId]);
  t.teardown(() => certificates.remove());
  const receiver = new ReferenceReceiver(8 << 20);
  const port = await serveLinks(t, certificates, (link) => receiver.serve(link));
  const home = await makeHome(t, [device.path], { port, itemId, tls: certificates.filesOf(itemId) });
  const service = start(t, home);
  const pointOf = (sizeBytes: number) =>
    until(
      systemClock,
      timeoutMilliseconds,
      () => receiver.points.findLast(({ images }) => images[0]!.byteLength === sizeBytes),
      () => new Error(service.said()),
    );
  await pointOf(16 << 20);
  await truncate(device.backingFile, 24 << 20);
  await run('losetup', ['--set-capacity', device.path], { timeoutMilliseconds });
  const content = join(home.folder, 'content');
  await writeFile(content, Buffer.alloc(1 << 20, 'beyond the old end '));
  const at = `seek=${20 << 20}`;
  await run(
    'dd',
    [`if=${content}`, `of=${device.path}`, 'bs=1M', at, 'oflag=direct,seek_bytes', 'status=none'],
    {
      timeoutMilliseconds,
    },
  );
  const { images } = await pointOf(24 << 20);
  service.child.kill('SIGTERM');
  const [code] = (await once(service.child, 'exit')) as [number];
  t.is(code, 0, service.said());
  t.true(images[0]!.equals(await readFile(device.backingFile)), 'the point equals the enlarged disk');
  const told = receiver.health.find((event) => event.code === 'DiskResized');
  t.regex(told?.summary ?? '', new RegExp(`${device.path} has changed its size: .*16777216.*25165824`));
  t.regex(told?.possibleCauses ?? '', /extended or replaced/);
  t.regex(told?.recommendedAction ?? '', /Earlier recovery points keep the old size/);
  const old = receiver.points.filter((point) => point.images[0]!.byteLength === 16 << 20);
  t.true(old.length > 0, 'earlier points are still there, as they were');
});
