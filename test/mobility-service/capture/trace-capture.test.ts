/**
 * Capture against real kernels' rings and real file systems. The oracle is the byte: a copy of the device is kept up to
 * date only from what capture marks, while programs write, delete, discard, punch and zero; at the end the copy must
 * equal the device.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import anyTest, { type ExecutionContext } from 'ava';
import { openDevice, splitDeviceNumber } from '../../../src/disk/device.ts';
import { blockBytes, extentBytesMax } from '../../../src/disk/disk.ts';
import { diskFacts } from '../../../src/mobility-service/capture/disk-identity.ts';
import { lookAt } from '../../../src/mobility-service/capture/find-disks.ts';
import {
  type Canary,
  fileCanary,
  TraceCapture,
  type TraceCaptureOptions,
} from '../../../src/mobility-service/capture/trace-capture.ts';
import {
  adoptInstance,
  findTracefs,
  type InstanceOptions,
  kernelDeviceNumber,
  makeInstance,
  removeInstance,
} from '../../../src/mobility-service/capture/tracefs.ts';
import { identityText } from '../../../src/model/disk-identity.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import type { LeewardError } from '../../../src/platform/errors.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import {
  canLoop,
  canTrace,
  type FileSystemType,
  type LoopDevice,
  makeFileSystem,
  makeLoop,
} from '../../support/loop-device.ts';

const missing = canLoop() ?? canTrace();
const test = missing === undefined ? anyTest.serial : anyTest.skip;
const because = missing === undefined ? '' : ` (skipped: ${missing})`;
const mib = 1 << 20;
const shell = (script: string, cwd: string): Promise<unknown> =>
  promisify(execFile)('/bin/sh', ['-ec', script], { cwd, timeout: 240_000 });

interface Setup {
  readonly options: TraceCaptureOptions;
  readonly instance: InstanceOptions;
  readonly instancePath: string;
}

async function setUp(
  t: ExecutionContext,
  device: Pick<LoopDevice, 'path'>,
  extra: { ringBytes?: number; canary?: Canary; folder?: string } = {},
): Promise<Setup> {
  const { major, minor } = splitDeviceNumber(statSync(device.path).rdev);
  const deviceNumber = kernelDeviceNumber(major, minor);
  const sizeBytes = Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512;
  const instance: InstanceOptions = {
    tracefs: await findTracefs(),
    name: `test-${randomUUID()}`,
    deviceNumbers: [deviceNumber],
    ringBytes: extra.ringBytes ?? 4 * mib,
  };
  t.teardown(() => removeInstance(instance));
  const options: TraceCaptureOptions = {
    disks: [
      {
        path: device.path,
        deviceNumber,
        sizeBytes,
        identity: identityText(
          await diskFacts(`/sys/dev/block/${major}:${minor}`, 'boot-1', sizeBytes, undefined),
        ),
      },
    ],
    makeRings: () => makeInstance(instance),
    adoptRings: (deviceNumbers) => adoptInstance({ ...instance, deviceNumbers }),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    bootId: 'boot-1',
    canaryMilliseconds: 100,
    ...(extra.canary ? { canary: extra.canary } : {}),
    ...(extra.folder ? { state: { files: systemFiles, path: join(extra.folder, 'capture.state') } } : {}),
  };
  return { options, instance, instancePath: join(instance.tracefs, 'instances', `leeward-${instance.name}`) };
}

/** Opened captures are ended at the teardown, also when the test failed before: one that is left polls for ever. */
async function open(t: ExecutionContext, options: TraceCaptureOptions): Promise<TraceCapture> {
  const capture = await TraceCapture.open(options);
  t.teardown(() => capture.remove().catch(() => {}));
  return capture;
}

/** Takes what is marked and brings the copy up to date with it. */
async function refresh(capture: TraceCapture, device: LoopDevice, copy: Buffer): Promise<number> {
  await using disk = await openDevice(device.path, 'read');
  let readBytes = 0;
  for (const { offsetBytes, lengthBytes } of capture.take(0).extents(extentBytesMax)) {
    await disk.read(copy.subarray(offsetBytes, offsetBytes + lengthBytes), offsetBytes);
    readBytes += lengthBytes;
  }
  return readBytes;
}

async function content(device: LoopDevice): Promise<Buffer> {
  await using disk = await openDevice(device.path, 'read');
  const all = Buffer.alloc(disk.sizeBytes);
  await disk.read(all, 0);
  return all;
}

/** The blocks in which the copy is not the device. */
function staleBlocks(copy: Buffer, now: Buffer): number[] {
  const stale: number[] = [];
  for (let offset = 0; offset < now.byteLength; offset += blockBytes)
    if (copy.compare(now, offset, offset + blockBytes, offset, offset + blockBytes) !== 0)
      stale.push(offset / blockBytes);
  return stale;
}

const load = `
  fio --name=a --directory=. --size=24m --bs=4k --rw=randwrite --ioengine=psync --direct=1 --fdatasync=64 \
      --time_based --runtime=3 --minimal >/dev/null &
  fio --name=b --directory=. --size=24m --bs=16k --rw=randwrite --ioengine=psync --fsync=32 \
      --time_based --runtime=3 --minimal >/dev/null &
  for i in 1 2 3 4 5 6; do
    mkdir tree$i
    for j in $(seq 60); do dd if=/dev/urandom of=tree$i/$j bs=9k count=2 status=none; done
    dd if=/dev/urandom of=big bs=1M count=12 conv=fsync status=none
    fallocate --punch-hole --offset 1MiB --length 3MiB big
    fallocate --zero-range --offset 6MiB --length 2MiB big
    sync -f .
    rm -r tree$i
    mv big big-old
    fstrim . || true
  done
  wait
  sync -f .
`;

for (const type of ['ext4', 'xfs', 'btrfs'] as const satisfies FileSystemType[])
  test(`a copy refreshed only from marks equals the ${type} device after writes, deletes and discards${because}`, async (t) => {
    const device = await makeLoop(t, 320 * mib);
    const mounted = await makeFileSystem(t, device, type, ['discard']);
    const { options } = await setUp(t, device, {
      canary: {
        path: 'canary',
        deviceNumbers: [kernelDeviceNumber(7, Number(device.name.slice(4)))],
        write: fileCanary(systemFiles, join(mounted.mountPoint, 'canary'), []).write,
      },
    });
    const capture = await open(t, options);
    t.deepEqual(
      capture.startLosses.map((loss) => loss.cause),
      ['InitialReplication'],
    );
    const copy = await content(device);

    let loading = true;
    const work = shell(load, mounted.mountPoint).finally(() => {
      loading = false;
    });
    let refreshes = 0;
    while (loading) {
      await refresh(capture, device, copy);
      refreshes++;
      await systemClock.sleep(20);
    }
    await work;
    t.true(refreshes > 5, 'the copy was refreshed while programs wrote');
    const churn = capture.writtenBytes;
    // The canary goes quiet and the file system writes its last before the comparison.
    await shell('rm canary', mounted.mountPoint);
    await mounted.unmount();
    await until(
      systemClock,
      60_000,
      async () => {
        t.deepEqual(
          (await capture.barrier()).losses.filter((loss) => loss.cause !== 'CanaryMissing'),
          [],
        );
        await refresh(capture, device, copy);
        return capture.pendingBytes() === 0 ? true : undefined;
      },
      () => new Error('the device never came to rest'),
    );
    t.deepEqual(staleBlocks(copy, await content(device)), []);
    t.true(churn > 30 * mib, `only ${churn} bytes were written`);
  });

test(`a barrier marks every write that completed before it${because}`, async (t) => {
  const device = await makeLoop(t, 16 * mib);
  const { options } = await setUp(t, device);
  const capture = await open(t, { ...options, pollMilliseconds: 60_000 });
  await using disk = await openDevice(device.path, 'write');
  for (let block = 0; block < 200; block++) {
    await disk.write(Buffer.alloc(blockBytes, 1), block * 5 * blockBytes);
    if (block % 10 !== 0) continue;
    t.deepEqual(await capture.barrier(), { losses: [] });
    t.true(capture.take(0).has(block * 5 * blockBytes), `block ${block * 5}`);
  }
});

test(`a full ring is a loss, and capture can be trusted again after it${because}`, async (t) => {
  const device = await makeLoop(t, 64 * mib);
  const { options } = await setUp(t, device, { ringBytes: 4096 });
  // Nobody reads the ring between the barriers.
  const capture = await open(t, { ...options, pollMilliseconds: 60_000 });
  await shell(
    `fio --name=x --filename=${device.path} --rw=randwrite --bs=4k --size=32m --direct=1 --ioengine=psync --minimal >/dev/null`,
    '/',
  );
  const { losses } = await capture.barrier();
  t.deepEqual([...new Set(losses.map((loss) => loss.cause))], ['TraceEventsLost']);
  capture.take(0);
  await using disk = await openDevice(device.path, 'write');
  await disk.write(Buffer.alloc(blockBytes, 1), 0);
  t.deepEqual((await capture.barrier()).losses, []);
  t.true(capture.take(0).has(0));
});

for (const [what, file, value, back] of [
  ['tracing stopped', 'tracing_on', '0', undefined],
  ['another filter', 'events/block/block_rq_complete/filter', 'dev == 1', undefined],
  ['the event switched off', 'events/block/block_rq_complete/enable', '0', undefined],
  ['overwriting switched on', 'options/overwrite', '1', undefined],
  ['a ring shrunk', 'buffer_size_kb', '16', undefined],
  ['tracing stopped and started again', 'tracing_on', '0', '1'],
  ['the ring emptied', 'trace', '\n', undefined],
] as const)
  test(`${what} behind our back is a loss, and is put right${because}`, async (t) => {
    const device = await makeLoop(t, 16 * mib);
    const { options, instancePath } = await setUp(t, device);
    const capture = await open(t, options);
    t.deepEqual((await capture.barrier()).losses, []);
    writeFileSync(join(instancePath, file), value);
    if (back !== undefined) writeFileSync(join(instancePath, file), back);
    const losses = await until(
      systemClock,
      60_000,
      async () => {
        const found = (await capture.barrier()).losses;
        return found.length > 0 ? found : undefined;
      },
      () => new Error('it was not noticed'),
    );
    t.true(
      losses.every((loss) => loss.cause === 'TracingChanged'),
      JSON.stringify(losses),
    );
    await capture.barrier();
    capture.take(0);
    await using disk = await openDevice(device.path, 'write');
    await disk.write(Buffer.alloc(blockBytes, 7), 8 * blockBytes);
    t.deepEqual((await capture.barrier()).losses, []);
    t.true(capture.take(0).has(8 * blockBytes));
  });

test(`a canary that is not heard is a loss${because}`, async (t) => {
  const device = await makeLoop(t, 16 * mib);
  const { options } = await setUp(t, device, {
    canary: {
      path: 'nowhere',
      deviceNumbers: [kernelDeviceNumber(7, Number(device.name.slice(4)))],
      write: async () => {},
    },
  });
  const capture = await open(t, options);
  const losses = await until(
    systemClock,
    60_000,
    async () => {
      const found = (await capture.barrier()).losses;
      return found.length > 0 ? found : undefined;
    },
    () => new Error('it was not noticed'),
  );
  t.is(losses[0]!.cause, 'CanaryMissing');
});

test(`a canary that cannot be written is told, and is no loss${because}`, async (t) => {
  const device = await makeLoop(t, 16 * mib);
  const { options } = await setUp(t, device, {
    canary: {
      path: '/full/canary',
      deviceNumbers: [],
      write: async () => {
        throw new Error('ENOSPC: no space left on device');
      },
    },
  });
  const told: LeewardError[] = [];
  const capture = await open(t, { ...options, canaryMilliseconds: 5, report: (error) => told.push(error) });
  await until(
    systemClock,
    60_000,
    () => (told.length > 0 ? true : undefined),
    () => new Error('nobody was told'),
  );
  t.is(told[0]!.code, 'CanaryUnwritable');
  t.regex(told[0]!.summary, /\/full\/canary/);
  t.deepEqual((await capture.barrier()).losses, []);
});

test(`a clean restart keeps the maps and what was written meanwhile; each other end is a loss${because}`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-capture-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const device = await makeLoop(t, 16 * mib);
  const { options, instance } = await setUp(t, device, { folder });
  await using disk = await openDevice(device.path, 'write');
  const first = await open(t, options);
  await disk.write(Buffer.alloc(blockBytes, 1), 3 * blockBytes);
  await first.close();
  await disk.write(Buffer.alloc(blockBytes, 1), 5 * blockBytes);

  const second = await open(t, options);
  t.deepEqual(second.startLosses, []);
  t.deepEqual(await second.barrier(), { losses: [] });
  t.deepEqual(
    [...second.take(0).extents(extentBytesMax)].map((extent) => extent.offsetBytes / blockBytes),
    [3, 5],
  );
  // As after kill -9: the kernel closes the rings, but the file still says that the service runs.
  const statePath = join(folder, 'capture.state');
  const running = readFileSync(statePath);
  await second.close();
  writeFileSync(statePath, running);
  const third = await open(t, options);
  t.deepEqual(
    third.startLosses.map((loss) => loss.cause),
    ['UncleanShutdown'],
  );
  await third.close();

  const rebooted = await open(t, { ...options, bootId: 'boot-2' });
  t.deepEqual(
    rebooted.startLosses.map((loss) => loss.cause),
    ['MachineRebooted'],
  );
  await rebooted.close();
  removeInstance(instance);
  const gone = await open(t, { ...options, bootId: 'boot-2' });
  t.deepEqual(
    gone.startLosses.map((loss) => loss.cause),
    ['TracingChanged'],
  );
  await gone.remove();
});

test(`a disk that is added, or taken away, does not cost the others a comparison${because}`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-capture-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const [one, other] = [await makeLoop(t, 16 * mib), await makeLoop(t, 16 * mib)];
  const { options, instance } = await setUp(t, one, { folder });
  const { options: others, instance: otherInstance } = await setUp(t, other);
  const both = { ...instance, deviceNumbers: [...instance.deviceNumbers, ...otherInstance.deviceNumbers] };
  const bothOptions = {
    ...options,
    disks: [...options.disks, ...others.disks],
    makeRings: () => makeInstance(both),
  };
  const write = async (device: LoopDevice, block: number): Promise<void> => {
    await using disk = await openDevice(device.path, 'write');
    await disk.write(Buffer.alloc(blockBytes, 1), block * blockBytes);
  };
  const marked = (capture: TraceCapture, index: number): number[] =>
    [...capture.take(index).extents(extentBytesMax)].map((extent) => extent.offsetBytes / blockBytes);

  const first = await open(t, options);
  await write(one, 3);
  await first.close();
  await write(one, 5);
  const second = await open(t, bothOptions);
  t.deepEqual(
    second.startLosses.map(({ cause, diskIndex }) => ({ cause, diskIndex })),
    [{ cause: 'InitialReplication', diskIndex: 1 }],
  );
  await write(other, 7);
  t.deepEqual(await second.barrier(), { losses: [] });
  t.deepEqual([marked(second, 0), marked(second, 1)], [[3, 5], [7]]);
  await second.close();
  await write(one, 9);
  await write(other, 9);
  const third = await open(t, options);
  t.deepEqual(third.startLosses, []);
  await write(other, 10);
  t.deepEqual(await third.barrier(), { losses: [] });
  t.deepEqual(marked(third, 0), [9]);
  await third.close();
});

test(`a disk whose size changed is a loss of that disk alone${because}`, async (t) => {
  const device = await makeLoop(t, 16 * mib);
  const { options } = await setUp(t, device);
  let sizeBytes = 16 * mib;
  const [disk] = options.disks;
  const { major, minor } = splitDeviceNumber(statSync(device.path).rdev);
  const facts = await diskFacts(`/sys/dev/block/${major}:${minor}`, 'boot-1', sizeBytes, undefined);
  const look = () => lookAt({ deviceNumber: disk!.deviceNumber!, facts: { ...facts, sizeBytes } }, false);
  const capture = await open(t, { ...options, disks: [{ ...disk!, look }] });
  t.deepEqual((await capture.barrier()).losses, []);
  sizeBytes += 4096;
  const { losses } = await capture.barrier();
  t.deepEqual(
    losses.map(({ cause, diskIndex }) => ({ cause, diskIndex })),
    [{ cause: 'DiskResized', diskIndex: 0 }],
  );
});

test(`a saved map is never used for another disk at the same place${because}`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-capture-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const device = await makeLoop(t, 16 * mib);
  const { options } = await setUp(t, device, { folder });
  const [disk] = options.disks;
  const first = await open(t, options);
  await first.close();
  const attached = (number: number, more = '') =>
    `disk/1 boot=boot-1 at=seq:${number}${more} size=${disk!.sizeBytes}`;
  const causes = async (identity: string | undefined): Promise<string[]> => {
    const { identity: _, ...rest } = disk!;
    const capture = await open(t, {
      ...options,
      disks: [identity === undefined ? rest : { ...rest, identity }],
    });
    await capture.close();
    return capture.startLosses.map(({ cause }) => cause);
  };
  t.deepEqual(await causes(attached(1)), ['DiskReplaced'], 'its number is another');
  t.deepEqual(await causes(attached(1)), [], 'the same attachment');
  t.deepEqual(await causes(attached(2)), ['DiskReplaced']);
  t.deepEqual(await causes(attached(3, ' wwid=a')), ['DiskReplaced']);
  t.deepEqual(await causes(attached(4, ' wwid=a')), ['DiskReturned'], 'the same disk, which was away');
  t.deepEqual(await causes(undefined), ['UncleanShutdown'], 'nobody noted which disk it was');
  t.deepEqual(await causes(attached(4)), ['UncleanShutdown']);
});
