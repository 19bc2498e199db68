// Goal: the mobility service stays under 100 MB of a protected machine's memory, under load, whatever the disk's size.
// Method: the service bundled as it is packed, with the heap limits of its start script, and what its status file says of
// itself. Once while a sparse disk of 64 GiB is walked and fio writes all over it, once while points with a freeze are
// made of a busy file system, once while small writes keep it draining. And trims of 4 TiB and of disks that are in sync, in a
// memory cgroup with the unit's limit, which ends whoever takes more. Bytes are asserted, never time.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { ChangeMap } from '../../../src/mobility-service/capture/change-map.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { run } from '../../../src/platform/exec.ts';
import { FrameType, frame, jsonFrame } from '../../../src/protocol/replication/frame.ts';
import type { Link } from '../../../src/protocol/replication/link.ts';
import { parseHello, type ReceivedDisk, Receiver } from '../../../src/protocol/replication/receiver.ts';
import { bundleAgent } from '../../../tools/agent/bundle.ts';
import { canLoop, canTrace, type LoopDevice, makeFileSystem, makeLoop } from '../../support/loop-device.ts';
import {
  awaiting,
  makeRealService,
  type RealService,
  type StartedService,
} from '../../support/real-service.ts';

const missing = canLoop() ?? canTrace();
const test = missing === undefined ? anyTest.serial : anyTest.serial.skip;
if (missing) console.log(`skipped: ${missing}`);
const mebibyte = 1 << 20;
/** As systemd counts its `M`. */
const residentBytesMax = 100 * mebibyte;
const gibibyte = 1 << 30;

test('walking a disk of 64 GiB that is written all over takes less than 100 MB', async (t) => {
  const device = await makeLoop(t, 64 * gibibyte);
  const receiver = new CountingReceiver();
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: (link) => receiver.serve(link),
    ...(await packed(t)),
  });
  const service = real.start();
  await awaiting('a walk', service, () => (receiver.walks > 0 ? true : undefined));
  startFio(t, [`--filename=${device.path}`, '--size=64g', '--direct=1', '--rate_iops=4000']);
  const peakBytes = await peakUntil(real, service, ({ progress }) => {
    const [walk] = progress as { doneBytes: number }[];
    return receiver.dataBytes > 24 * mebibyte && (walk === undefined || walk.doneBytes > 6 * gibibyte);
  });
  t.log(`at most ${(peakBytes / 1e6).toFixed(1)} MB`);
  t.true(peakBytes < residentBytesMax, `${peakBytes} bytes`);
  t.is(await service.stop(), 0);
});

test('points with a freeze of a busy file system take less than 100 MB', async (t) => {
  const device = await makeLoop(t, 512 * mebibyte);
  const mounted = await makeFileSystem(t, device, 'ext4');
  const receiver = new CountingReceiver();
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: (link) => receiver.serve(link),
    ...(await packed(t)),
    policy: { crashConsistentSeconds: 60, applicationConsistentSeconds: 1 },
  });
  const fio = startFio(t, [`--directory=${mounted.mountPoint}`, '--size=64m', '--fsync=32', '--rate=8m']);
  const service = real.start();
  const peakBytes = await peakUntil(real, service, () => receiver.bookmarks >= 3);
  t.log(`at most ${(peakBytes / 1e6).toFixed(1)} MB`);
  t.true(peakBytes < residentBytesMax, `${peakBytes} bytes`);
  await fio.end();
  t.is(await service.stop(), 0);
});

test('draining small writes as fast as they come takes less than 100 MB', async (t) => {
  const device = await makeLoop(t, gibibyte);
  const receiver = new CountingReceiver();
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: (link) => receiver.serve(link),
    ...(await packed(t)),
    policy: { crashConsistentSeconds: 60 },
  });
  const service = real.start();
  await awaiting('the first copy', service, () => (receiver.bookmarks > 0 ? true : undefined));
  const before = receiver.dataBytes;
  startFio(t, [`--filename=${device.path}`, '--size=1g', '--direct=1', '--rate_iops=25600', '--iodepth=8']);
  const peakBytes = await peakUntil(real, service, () => receiver.dataBytes - before > 384 * mebibyte);
  t.log(`at most ${(peakBytes / 1e6).toFixed(1)} MB`);
  t.true(peakBytes < residentBytesMax, `${peakBytes} bytes`);
  t.is(await service.stop(), 0);
});

const limit = { timeoutMilliseconds: 120_000 };
/** The unit's MemoryMax. */
const unitBytesMax = 160 * mebibyte;

test('a trim of 4 TiB and writes all over it stay within the unit’s limit, and a restart compares nothing', async (t) => {
  const sizeBytes = 4 * 1024 * gibibyte;
  const device = await makeDirectLoop(t, sizeBytes);
  const receiver = new CountingReceiver();
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: (link) => receiver.serve(link),
    ...(await packed(t, await memoryGroup(t))),
  });
  const service = real.start();
  await awaiting('a walk', service, () => (receiver.walks > 0 ? true : undefined));
  await run('blkdiscard', [device.path], limit);
  startFio(t, [`--filename=${device.path}`, '--size=4t', '--direct=1', '--rate_iops=2000', '--norandommap']);
  // All of the trim has been heard, and more than one drain and step of the walk came after it.
  const before = receiver.walkedBytes;
  const peakBytes = await peakUntil(real, service, () => receiver.walkedBytes > before + gibibyte);
  t.log(`at most ${(peakBytes / 1e6).toFixed(1)} MB`);
  t.true(peakBytes < unitBytesMax, `${peakBytes} bytes`);
  t.is(await service.stop(), 0, service.said().slice(-3000));
  const again = real.start();
  await awaiting('a second session', again, () => (receiver.hellos > 1 ? true : undefined));
  await awaiting('its walk', again, () => (receiver.walks > 1 ? true : undefined));
  t.is(receiver.causes.at(-1), 'InitialReplication', 'the maps were trusted');
  t.is(await again.stop(), 0);
});

test('what is trimmed of a disk that is in sync travels as ranges, below a hundredth, and reads as zero', async (t) => {
  const sizeBytes = 6 * gibibyte;
  const device = await makeDirectLoop(t, sizeBytes);
  // Something to trim, here and there; the rest of the file has never been written.
  await run('dd', ['if=/dev/urandom', `of=${device.path}`, 'bs=1M', 'count=64', 'conv=fsync'], limit);
  const receiver = new CountingReceiver();
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: (link) => receiver.serve(link),
    ...(await packed(t, await memoryGroup(t))),
    policy: { crashConsistentSeconds: 1 },
  });
  const service = real.start();
  await awaiting('the first copy', service, () => (receiver.bookmarks > 0 ? true : undefined), 170_000);
  const { payloadBytes, frames, walks } = receiver;
  receiver.zeroes.clear();
  await run('blkdiscard', [device.path], limit);
  const peakBytes = await peakUntil(real, service, () => receiver.zeroes.markedBytes === sizeBytes);
  const bookmarks = receiver.bookmarks;
  await awaiting('a point with the trim', service, () => (receiver.bookmarks > bookmarks ? true : undefined));
  const travelled = receiver.payloadBytes - payloadBytes + 64 * (receiver.frames - frames);
  t.log(`${travelled} bytes for ${sizeBytes}, at most ${(peakBytes / 1e6).toFixed(1)} MB`);
  t.true(travelled < sizeBytes / 100_000, `${travelled} bytes travelled`);
  t.is(receiver.walks, walks, 'nothing was compared');
  t.true(peakBytes < unitBytesMax, `${peakBytes} bytes`);
  t.is(await service.stop(), 0);
});

/** Past the page cache of the file under it, as a disk is: a hole is then read at memory's speed. */
async function makeDirectLoop(t: ExecutionContext<unknown>, sizeBytes: number): Promise<LoopDevice> {
  const device = await makeLoop(t, sizeBytes);
  await run('losetup', ['--direct-io=on', device.path], limit);
  return device;
}

/** A memory cgroup with the unit's limit; answers the file that processes are put in by, or undefined where there is none. */
async function memoryGroup(t: ExecutionContext<unknown>): Promise<string | undefined> {
  const isOne = existsSync('/sys/fs/cgroup/cgroup.controllers');
  const parent = isOne ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
  const group = join(parent, `leeward-memory-test-${crypto.randomUUID()}`);
  try {
    await mkdir(group);
    await writeFile(join(group, isOne ? 'memory.max' : 'memory.limit_in_bytes'), String(unitBytesMax));
  } catch (error) {
    await rmdir(group).catch(() => {});
    t.log(`no memory cgroup: only what the service says of itself is looked at (${error})`);
    return undefined;
  }
  // Made first, so removed last: a process that was killed leaves it a moment later.
  t.teardown(() =>
    until(
      systemClock,
      60_000,
      () =>
        rmdir(group).then(
          () => true as const,
          () => undefined,
        ),
      () => new Error(`${group} is still in use`),
    ),
  );
  return join(group, 'cgroup.procs');
}

/** The service as `make agent` ships it; its start script has the same limits. */
async function packed(
  t: ExecutionContext<unknown>,
  group?: string,
): Promise<{ command: readonly string[]; env: Record<string, string> }> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-packed-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const bundle = join(folder, 'mobility-service.mjs');
  await bundleAgent('src/bin/mobility-service.ts', bundle);
  const script = await readFile(
    join(import.meta.dirname, '../../../appliance/agent/leeward-mobility-service'),
    'utf8',
  );
  const flags = script.match(/--(max|optimize|no|v8)-\S+/g)!;
  const settings = [...script.matchAll(/(MALLOC_\w+)=(\d+)/g)].map(([, name, value]) => [name!, value!]);
  t.true(flags.length > 3 && settings.length > 2, 'the start script has its limits');
  const within = group === undefined ? [] : ['/bin/sh', '-c', `echo $$ > ${group} && exec "$@"`, 'sh'];
  return {
    command: [...within, process.execPath, ...flags, bundle],
    env: Object.fromEntries(settings) as never,
  };
}

/** The largest figure that the service gave of itself until the condition holds. */
async function peakUntil(
  real: RealService,
  service: StartedService,
  isReached: (status: Record<string, unknown>) => boolean,
): Promise<number> {
  let peakBytes = 0;
  await awaiting(
    'the load',
    service,
    async () => {
      const status = await real.status().catch(() => undefined);
      if (!status) return undefined;
      peakBytes = Math.max(peakBytes, status.residentBytes);
      return isReached(status) ? true : undefined;
    },
    170_000,
  );
  return peakBytes;
}

function startFio(t: ExecutionContext<unknown>, args: readonly string[]): { end(): Promise<void> } {
  const child = spawn(
    'fio',
    [
      '--name=load',
      '--thread',
      '--rw=randwrite',
      '--bs=4k',
      '--time_based',
      '--runtime=180',
      '--minimal',
      ...args,
    ],
    { stdio: 'ignore', detached: true },
  );
  const exited = once(child, 'exit');
  const end = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL');
    await exited;
  };
  t.teardown(end);
  return { end };
}

/** Checks and counts what comes, and keeps none of it. */
class CountingReceiver {
  walks = 0;
  bookmarks = 0;
  dataBytes = 0;
  hellos = 0;
  frames = 0;
  payloadBytes = 0;
  walkedBytes = 0;
  readonly causes: string[] = [];
  readonly #zeroes: { map?: ChangeMap } = {};
  #known: readonly ReceivedDisk[] = [];

  /** Of the first disk. */
  get zeroes(): ChangeMap {
    return this.#zeroes.map!;
  }

  async serve(link: Link): Promise<void> {
    let receiver: Receiver | undefined;
    for await (const arrived of link.frames()) {
      if (!receiver) {
        const hello = parseHello(arrived);
        receiver = new Receiver(hello, this.#known);
        this.hellos += 1;
        this.#zeroes.map ??= new ChangeMap(hello.disks[0]!.sizeBytes);
        const welcome = {
          protocolVersion: 2,
          sessionId: hello.sessionId,
          generation: hello.generation,
          windowBytes: 64 * mebibyte,
          disks: receiver.disks.map(({ diskId, state }) => ({ diskId, state })),
        };
        await link.send(jsonFrame(FrameType.welcome, welcome));
        continue;
      }
      const received = receiver.accept(arrived);
      this.#known = receiver.disks;
      if (received.kind === 'data') this.dataBytes += arrived.lengthBytes;
      this.frames += 1;
      this.payloadBytes += arrived.payload.byteLength;
      if (received.kind === 'zero') this.zeroes.mark(arrived.offsetBytes, arrived.lengthBytes);
      if (received.kind === 'progress') this.walkedBytes = received.progress.doneBytes;
      if (received.kind === 'resync-begin') {
        this.walks += 1;
        this.causes.push(received.begin.cause);
      }
      if (received.kind === 'bookmark') this.bookmarks += 1;
      await link.send(frame(FrameType.ack, { sequence: receiver.sequence }));
    }
  }
}
