// Goal: under heavy load a point with a freeze holds exactly the bytes that the disk had while everything stood still.
// Method: real ext4, XFS and btrfs on loop devices whose backing file lies on an XFS that can reflink. Just before each
// thaw the backing file is cloned: that is the truth. Capture, drain, freezer and replication are the real ones; when a
// bookmark arrives, the receiver's image is compared with the clone of that freeze.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, readFileSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { openDevice } from '../../../src/disk/device.ts';
import { inspectDisk, mountsOf } from '../../../src/mobility-service/capture/inspect.ts';
import { TraceCapture } from '../../../src/mobility-service/capture/trace-capture.ts';
import { findTracefs, makeInstance } from '../../../src/mobility-service/capture/tracefs.ts';
import type { Freezer, FrozenTime } from '../../../src/mobility-service/consistency/freezer.ts';
import { createHelperFreezer } from '../../../src/mobility-service/consistency/helper-freezer.ts';
import { Replication } from '../../../src/mobility-service/control/replication.ts';
import { ServiceState } from '../../../src/mobility-service/control/state.ts';
import { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import type { Log } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { localThawHelper } from '../../../tools/agent/thaw-helper.ts';
import { canLoop, canTrace, type FileSystemType, makeFileSystem } from '../../support/loop-device.ts';
import { memoryLinkPair } from '../../support/memory-link.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';
import { makeTestVolume } from '../../support/replica-volume.ts';

const missing = canLoop() ?? canTrace();
const test = missing === undefined ? anyTest.serial : anyTest.serial.skip;
if (missing) console.log(`skipped: ${missing}`);
const mebibyte = 1 << 20;
const timeoutMilliseconds = 120_000;
const frozenPointsWanted = 2;

for (const type of ['ext4', 'xfs', 'btrfs'] as const satisfies FileSystemType[])
  test(`a frozen point of a busy ${type} equals the disk while it stood still`, async (t) => {
    const volume = await makeTestVolume('xfs', 4096 * mebibyte);
    t.teardown(() => volume.dispose());
    const backingFile = join(volume.path, 'disk.img');
    await run('truncate', ['--size', String(320 * mebibyte), backingFile], { timeoutMilliseconds });
    const path = (await run('losetup', ['--find', '--show', backingFile], { timeoutMilliseconds })).trim();
    t.teardown(() => run('losetup', ['--detach', path], { timeoutMilliseconds }));
    const mounted = await makeFileSystem(t, { path }, type, ['discard']);
    const folder = await mkdtemp(join(tmpdir(), 'leeward-frozen-bytes-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));

    const said: string[] = [];
    const log = keptIn(said);
    const whole = await inspectDisk(path);
    const rings = {
      tracefs: await findTracefs(),
      ringBytes: 8 * mebibyte,
      deviceNumbers: [whole.deviceNumber],
    };
    const disk = await openDevice(path, 'read');
    t.teardown(() => disk.close());
    const capture = await TraceCapture.open({
      disks: [{ path, deviceNumber: whole.deviceNumber, sizeBytes: disk.sizeBytes }],
      makeRings: () => makeInstance({ ...rings, name: `frozen-${process.pid}-${type}` }),
      clock: systemClock,
      random: systemRandom,
      log,
      bootId: 'test',
    });
    t.teardown(() => capture.remove());

    // By what the thaw answered, which the bookmark repeats.
    const clones = new Map<number, string>();
    let freezes = 0;
    const helper = createHelperFreezer({
      clock: systemClock,
      log,
      helperPath: localThawHelper(),
      notePath: join(folder, 'note'),
      mounts: () => mountsOf([whole]),
      applications: { pre: async () => {}, post: async () => {} },
    });
    const freezer: Freezer = {
      ...helper,
      prepare: async () => {
        const session = await helper.prepare();
        return {
          mountPoints: session.mountPoints,
          writeBack: () => session.writeBack(),
          freeze: (deadline) => session.freeze(deadline),
          thaw: async (): Promise<FrozenTime> => {
            const clone = join(volume.path, `freeze-${++freezes}.img`);
            await copyFile(backingFile, clone, constants.COPYFILE_FICLONE_FORCE);
            const frozen = await session.thaw();
            clones.set(frozen.frozenMilliseconds, clone);
            return frozen;
          },
          [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
        };
      },
    };

    const receiver = new ReferenceReceiver(8 * mebibyte);
    const verdicts: string[] = [];
    receiver.judge = (bookmark, [image]) => {
      if (bookmark.method !== 'freeze') return;
      const clone = clones.get(bookmark.frozenMilliseconds);
      verdicts.push(clone === undefined ? 'no freeze' : firstDifference(readFileSync(clone), image!));
    };
    const stop = new AbortController();
    const replication = new Replication({
      clock: systemClock,
      random: systemRandom,
      log,
      state: await ServiceState.load(systemFiles, join(folder, 'state'), systemClock, 'test'),
      itemId: ProtectedItemId.parse(crypto.randomUUID()),
      hostName: 'test',
      agentVersion: 'test',
      disks: [{ diskId: ProtectedDiskId.parse(crypto.randomUUID()), name: path, disk }],
      capture,
      startLosses: capture.startLosses,
      freezer,
      policy: { crashConsistentSeconds: 60, applicationConsistentSeconds: 1, freezeMillisecondsMax: 2000 },
      dial: async () => {
        const pair = memoryLinkPair();
        receiver.serve(pair.receiver).catch((error: unknown) => t.log(error));
        return pair.sender;
      },
    });
    const load = startLoad(t, mounted.mountPoint);
    let failure: unknown;
    const running = replication.run(stop.signal).catch((error: unknown) => {
      failure = error;
    });
    await until(
      systemClock,
      110_000,
      () => (verdicts.length >= frozenPointsWanted || failure !== undefined ? true : undefined),
      () => new Error(`${verdicts.length} points, ${freezes} freezes; ${said.join('\n')}`),
    );
    await load.end();
    stop.abort();
    await running;
    t.is(failure, undefined);
    t.true(verdicts.length >= frozenPointsWanted);
    for (const verdict of verdicts) t.is(verdict, 'equal');
    t.log(`${freezes} freezes for ${verdicts.length} points`);
  });

/** What the service logs, for the one who asks why no point came. */
function keptIn(lines: string[]): Log {
  const startedAt = systemClock.monotonic();
  const keep =
    (level: string) =>
    (event: string, fields = {}) => {
      const seconds = ((systemClock.monotonic() - startedAt) / 1000).toFixed(2);
      lines.push(`${seconds} ${level} ${event} ${JSON.stringify(fields)}`);
    };
  const log: Log = {
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
    with: () => log,
  };
  return log;
}

function firstDifference(truth: Buffer, image: Buffer): string {
  if (truth.equals(image)) return 'equal';
  const blocks: number[] = [];
  for (let at = 0; at < truth.byteLength && blocks.length < 8; at += 4096)
    if (truth.compare(image, at, at + 4096, at, at + 4096) !== 0) blocks.push(at);
  return `differs at ${blocks.join(', ')}`;
}

/** Data that is synced now and then, and files that come and go. Where there is not enough processor time for all, it is the load
 * that goes without: else nothing could ever keep up with it. */
function startLoad(t: ExecutionContext<unknown>, mountPoint: string): { end(): Promise<void> } {
  const files = join(mountPoint, 'files');
  const children: ChildProcess[] = [
    spawn(
      'nice',
      [
        ...['-n', '19', 'fio'],
        '--name=load',
        // Workers that are processes begin sessions of their own, and would outlive the test.
        '--thread',
        `--directory=${mountPoint}`,
        ...['--rw=randwrite', '--bsrange=4k-64k', '--size=16m', '--numjobs=2', '--fsync=32'],
        ...['--time_based', '--runtime=120', '--rate=6m', '--minimal'],
      ],
      { stdio: 'ignore', detached: true },
    ),
    spawn(
      'nice',
      [
        ...['-n', '19', 'sh', '-c'],
        `mkdir -p ${files}; n=0; while :; do n=$((n+1)); head -c 20000 /dev/urandom > ${files}/$((n % 40)); rm -f ${files}/$(((n + 20) % 40)); done`,
      ],
      { stdio: 'ignore', detached: true },
    ),
  ];
  const ended = children.map((child) => once(child, 'exit'));
  const end = async (): Promise<void> => {
    // Groups of their own: the shell has children.
    for (const child of children)
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL');
    await Promise.all(ended);
    await tryRun('sync', ['-f', mountPoint], { timeoutMilliseconds });
  };
  t.teardown(end);
  return { end };
}
