/**
 * Goal: whatever hangs, is stopped or is killed in a freeze, no writer on any other file system stalls for more than 3 s, and
 * nothing stays frozen.
 * Method: real file systems on loop devices, with writers that measure how long the kernel held each of their writes. A device that
 * never completes is a loop device whose file lies on a file system that this test has frozen. The time asserted is a limit of
 * safety, and the backing files are in memory, so that no other load of the machine's disk counts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import anyTest, { type ExecutionContext } from 'ava';
import { inspectDisk, mountsOf } from '../../../src/mobility-service/capture/inspect.ts';
import type { Freezer } from '../../../src/mobility-service/consistency/freezer.ts';
import {
  createHelperFreezer,
  type FreezeMount,
  type HelperFreezerOptions,
} from '../../../src/mobility-service/consistency/helper-freezer.ts';
import { parseMountTable } from '../../../src/mobility-service/consistency/mount-table.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { hasCode, type LeewardError } from '../../../src/platform/errors.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { localThawHelper } from '../../../tools/agent/thaw-helper.ts';
import {
  canLoop,
  type FileSystemType,
  type LoopDevice,
  makeFileSystem,
  makeLoop,
} from '../../support/loop-device.ts';

const obstacle = canLoop();
if (obstacle) console.log(`skipped: ${obstacle}`);
const test = obstacle ? anyTest.serial.skip : anyTest.serial;
const mebibyte = 1 << 20;
const limitMilliseconds = 90_000;
const limit = { timeoutMilliseconds: limitMilliseconds };
const deadlineMilliseconds = 2_000;
/** A limit of safety: people's programs and their clusters' heartbeats bear this much. */
const stallMillisecondsMax = 3_000;
const sizes: Record<FileSystemType, number> = {
  ext4: 64 * mebibyte,
  xfs: 320 * mebibyte,
  btrfs: 128 * mebibyte,
};

/** What befalls the helper while all stands still; `undefined`: the service just does not come back to thaw. */
const harms = {
  'nobody thaws': [],
  'the helper is killed': [['leeward-thaw', 'SIGKILL']],
  'the helper is stopped': [['leeward-thaw', 'SIGSTOP']],
  'the helper is stopped and killed': [
    ['leeward-thaw', 'SIGSTOP'],
    ['leeward-thaw', 'SIGKILL'],
  ],
  'helper and guard are killed': [
    ['leeward-guard', 'SIGKILL'],
    ['leeward-thaw', 'SIGKILL'],
  ],
  'helper and guard are stopped': [
    ['leeward-guard', 'SIGSTOP'],
    ['leeward-thaw', 'SIGSTOP'],
  ],
  'the workers are killed': [['leeward-mount', 'SIGKILL']],
  'the workers are stopped': [['leeward-mount', 'SIGSTOP']],
  'all of its processes are stopped': [['leeward-', 'SIGSTOP']],
  'all of its processes are killed': [
    ['leeward-', 'SIGSTOP'],
    ['leeward-', 'SIGKILL'],
  ],
} as const satisfies Record<string, readonly (readonly [string, NodeJS.Signals])[]>;

for (const type of Object.keys(sizes) as FileSystemType[])
  for (const harm of Object.keys(harms) as (keyof typeof harms)[])
    test(`${type}: ${harm}, and writers go on within 3 s`, async (t) => {
      const place = await fileSystem(t, type);
      const writers = await startWriters(t, [place]);
      {
        await using session = await freezer(t, [place.mount]).prepare();
        await session.freeze(deadlineMilliseconds);
        await doHarm(t, harm);
        await writers.haveGoneOn();
      }
      await writers.assertStalls(harm);
    });

test('nested loop devices are frozen upper layer first, and a point on both is had', async (t) => {
  const { lower, upper } = await nested(t);
  const mounts = await mountsOf([await inspectDisk(lower.device.path)]);
  t.deepEqual(
    mounts.map(({ mountPoint }) => mountPoint),
    [upper.mount.mountPoint, lower.mount.mountPoint],
  );
  const writers = await startWriters(t, [lower, upper]);
  {
    await using session = await freezer(t, mounts).prepare();
    await session.freeze(deadlineMilliseconds);
    t.true((await session.thaw()).frozenMilliseconds > 0);
  }
  await writers.assertStalls('nested');
});

for (const harm of ['nobody thaws', 'the helper is killed', 'the helper is stopped'] as const)
  test(`nested loop devices frozen lower layer first hang, and are let go: ${harm}`, async (t) => {
    const { lower, upper } = await nested(t);
    const writers = await startWriters(t, [lower, upper]);
    {
      await using session = await freezer(t, [lower.mount, upper.mount]).prepare();
      const freezing = t.throwsAsync(session.freeze(deadlineMilliseconds));
      await isFreezing(upper);
      await doHarm(t, harm);
      await freezing;
      await writers.haveGoneOn();
    }
    await writers.assertStalls(harm);
  });

for (const harm of [
  'nobody thaws',
  'the helper is killed',
  'the helper is stopped',
  'the helper is stopped and killed',
  'helper and guard are killed',
  'helper and guard are stopped',
] as const)
  test(`a device that never completes keeps no other file system frozen: ${harm}`, async (t) => {
    const { good, stuck, release } = await withStuckDevice(t);
    const writers = await startWriters(t, [good]);
    {
      await using session = await freezer(t, [good.mount, stuck.mount]).prepare();
      const freezing = t.throwsAsync(session.freeze(deadlineMilliseconds));
      await isFreezing(stuck);
      await doHarm(t, harm);
      const error = await freezing;
      if (harm === 'nobody thaws') t.true(error?.message.includes(stuck.mount.mountPoint), String(error));
      await writers.haveGoneOn();
      // The session ends here although the kernel has not come back.
    }
    await writers.assertStalls(harm);
    // A FIFREEZE that comes back so late is undone by whoever made it.
    await release();
    await ends(t, stuck.mount.mountPoint);
    t.pass();
  });

test('what hung once is left out by name until its file is removed, and the others are frozen', async (t) => {
  const { good, stuck, release } = await withStuckDevice(t);
  const told: LeewardError[] = [];
  const folder = await newFolder(t);
  const made = freezer(t, [good.mount, stuck.mount], {
    notePath: join(folder, 'note'),
    hungMilliseconds: 0,
    report: (error) => told.push(error),
  });
  const writers = await startWriters(t, [good]);
  {
    await using session = await made.prepare();
    await t.throwsAsync(session.freeze(500), { code: 'FreezeFailed' });
  }
  {
    await using session = await made.prepare();
    t.deepEqual(session.mountPoints, [good.mount.mountPoint]);
    t.is(session.leftOut?.code, 'FileSystemsLeftOut');
    t.true(session.leftOut?.message.includes(stuck.mount.mountPoint));
    await session.freeze(deadlineMilliseconds);
    await session.thaw();
  }
  const [event] = told;
  t.is(event?.code, 'FileSystemHung');
  t.true(event?.message.includes(stuck.mount.mountPoint));
  // Another service after this one knows of it, too.
  {
    await using session = await freezer(t, [good.mount, stuck.mount], {
      notePath: join(folder, 'note'),
    }).prepare();
    t.deepEqual(session.mountPoints, [good.mount.mountPoint]);
  }
  await release();
  await ends(t, stuck.mount.mountPoint);
  const file = String(event?.context.file);
  t.deepEqual(await readdir(join(folder, 'left-out')), [file.slice(file.lastIndexOf('/') + 1)]);
  await rm(file);
  await until(
    systemClock,
    limitMilliseconds,
    async () => {
      try {
        await using session = await made.prepare();
        t.is(session.mountPoints.length, 2);
        t.is(session.leftOut, undefined);
        await session.freeze(deadlineMilliseconds);
        await session.thaw();
        return true;
      } catch (error) {
        // The late process is on its way out.
        if (hasCode(error, 'FreezeLate')) return undefined;
        throw error;
      }
    },
    () => new Error('it is not frozen again'),
  );
  await writers.assertStalls('left out');
});

test('one slow freeze is no reason to leave a file system out', async (t) => {
  const { good, stuck, release } = await withStuckDevice(t);
  const made = freezer(t, [good.mount, stuck.mount], { hungMilliseconds: 600_000 });
  {
    await using session = await made.prepare();
    await t.throwsAsync(session.freeze(500), { code: 'FreezeFailed' });
  }
  const error = await t.throwsAsync(made.prepare(), { code: 'FreezeLate' });
  t.true(error?.message.includes(stuck.mount.mountPoint));
  await release();
  await until(
    systemClock,
    limitMilliseconds,
    async () => {
      try {
        await using session = await made.prepare();
        return session.mountPoints.length === 2 ? true : undefined;
      } catch (late) {
        if (hasCode(late, 'FreezeLate')) return undefined;
        throw late;
      }
    },
    () => new Error('it is not tried again'),
  );
  t.pass();
});

test('writing back to a device that never completes has a limit, and nothing is frozen meanwhile', async (t) => {
  const { good, stuck, release } = await withStuckDevice(t, true);
  const writers = await startWriters(t, [good]);
  {
    await using session = await freezer(t, [good.mount, stuck.mount], {
      writeBackMillisecondsMax: 500,
    }).prepare();
    const error = await t.throwsAsync(session.writeBack(), { code: 'FreezeFailed' });
    t.true(error?.message.includes(stuck.mount.mountPoint));
  }
  {
    await using session = await freezer(t, [good.mount, stuck.mount], {
      writeBackMillisecondsMax: 500,
    }).prepare();
    const error = await t.throwsAsync(session.freeze(deadlineMilliseconds), { code: 'FreezeFailed' });
    t.true(error?.message.includes(stuck.mount.mountPoint));
  }
  await writers.assertStalls('writing back');
  await release();
  await ends(t, stuck.mount.mountPoint);
});

interface Place {
  readonly device: LoopDevice;
  readonly mount: FreezeMount;
}

async function newFolder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'leeward-matrix-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function fileSystem(t: ExecutionContext, type: FileSystemType, under = '/dev/shm'): Promise<Place> {
  const device = await makeLoop(t, sizes[type], { under });
  return placeOn(t, device, type);
}

async function placeOn(t: ExecutionContext, device: LoopDevice, type: FileSystemType): Promise<Place> {
  const { mountPoint } = await makeFileSystem(t, device, type);
  // Whatever a failed test left behind must not hang the unmount. Never a file system that the test did not make.
  t.teardown(async () => void (await tryRun('fsfreeze', ['--unfreeze', mountPoint], limit)));
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  const entry = table.find((each) => each.mountPoint === mountPoint)!;
  return { device, mount: { mountPoint, device: entry.device } };
}

/** A loop device whose file lies on another one's file system. */
async function on(t: ExecutionContext, lower: Place): Promise<Place> {
  const backingFile = join(lower.mount.mountPoint, 'disk.img');
  await run('truncate', ['--size', String(24 * mebibyte), backingFile], limit);
  const path = (await run('losetup', ['--find', '--show', backingFile], limit)).trim();
  t.teardown(() => run('losetup', ['--detach', path], limit));
  return placeOn(t, { path, name: path.slice('/dev/'.length), backingFile }, 'ext4');
}

async function nested(t: ExecutionContext): Promise<{ lower: Place; upper: Place }> {
  const lower = await fileSystem(t, 'ext4');
  return { lower, upper: await on(t, lower) };
}

/** X, and Y on a loop device whose file lies on Z, which is frozen until `release`. */
async function withStuckDevice(t: ExecutionContext, isDirty = false) {
  const [good, under] = [await fileSystem(t, 'ext4'), await fileSystem(t, 'ext4')];
  const stuck = await on(t, under);
  await run('sync', ['-f', stuck.mount.mountPoint], limit);
  await run('fsfreeze', ['--freeze', under.mount.mountPoint], limit);
  const release = async (): Promise<void> =>
    void (await tryRun('fsfreeze', ['--unfreeze', under.mount.mountPoint], limit));
  t.teardown(release);
  if (isDirty) await writeFile(join(stuck.mount.mountPoint, 'dirty'), Buffer.alloc(mebibyte, 'd'));
  return { good, stuck, release };
}

function freezer(
  t: ExecutionContext,
  mounts: readonly FreezeMount[],
  options: Partial<HelperFreezerOptions> = {},
): Freezer {
  const made = async () =>
    createHelperFreezer({
      clock: systemClock,
      log: silentLog,
      helperPath: localThawHelper(),
      notePath: join(await newFolder(t), 'note'),
      mounts: async () => mounts,
      applications: { pre: async () => {}, post: async () => {} },
      ...options,
    });
  let one: Promise<Freezer> | undefined;
  return {
    prepare: async () => {
      one ??= made();
      return (await one).prepare();
    },
    pre: async () => {},
    post: async () => {},
  };
}

async function startWriters(t: ExecutionContext, places: readonly Place[]) {
  const kinds = ['buffered', 'synced'] as const;
  const writers = await Promise.all(
    places.flatMap(({ mount }) =>
      kinds.map(async (kind) => {
        const child = spawn(
          process.execPath,
          [join(import.meta.dirname, 'stall-writer.ts'), join(mount.mountPoint, kind), kind],
          { stdio: ['pipe', 'pipe', 'inherit'] },
        );
        t.teardown(() => child.kill('SIGKILL'));
        const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
        await lines.next();
        return { name: `${kind} on ${mount.mountPoint}`, child, lines, path: join(mount.mountPoint, kind) };
      }),
    ),
  );
  return {
    /** All of them have written after this was asked. */
    haveGoneOn: async (): Promise<void> => {
      for (const { path } of writers) await ends(t, path);
    },
    assertStalls: async (what: string): Promise<void> => {
      for (const { name, child, lines } of writers) {
        const exited = once(child, 'exit');
        child.stdin!.end();
        const said = await lines.next();
        await exited;
        const longest = Number(said.value);
        t.log(`${what}: ${name}: ${longest} ms`);
        t.true(longest > 0 && longest <= stallMillisecondsMax, `${what}: ${name} stalled for ${longest} ms`);
      }
    },
  };
}

/** A change of what is at a path ends: nothing is frozen there. */
async function ends(t: ExecutionContext, path: string): Promise<void> {
  const child = spawn('touch', ['--no-create', path], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  await until(
    systemClock,
    limitMilliseconds,
    () => (child.exitCode === null ? undefined : true),
    () => new Error(`${path} cannot be changed`),
    5,
  );
  await exited;
}

/** Its worker is in the kernel, in FIFREEZE. */
async function isFreezing({ mount }: Place): Promise<void> {
  await until(
    systemClock,
    limitMilliseconds,
    async () => {
      for (const pid of await helperProcesses('leeward-mount')) {
        const call = await readFile(`/proc/${pid}/syscall`, 'utf8').catch(() => '');
        const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
        if (call.includes('0xc0045877') && /\) D /.test(status)) return true;
      }
      return undefined;
    },
    () => new Error(`${mount.mountPoint} does not hang`),
    2,
  );
}

async function doHarm(t: ExecutionContext, harm: keyof typeof harms): Promise<void> {
  for (const [name, signal] of harms[harm])
    for (const pid of await helperProcesses(name)) {
      const kill = (with_: NodeJS.Signals): void => {
        try {
          process.kill(pid, with_);
        } catch (error) {
          if (!hasCode(error, 'ESRCH')) throw error;
        }
      };
      kill(signal);
      if (signal === 'SIGSTOP') t.teardown(() => kill('SIGKILL'));
    }
}

/** Below this process, by the beginning of their name. */
async function helperProcesses(name: string, parent = process.pid): Promise<number[]> {
  const children = (await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => '')).trim();
  const found: number[] = [];
  for (const child of children.split(' ').filter((each) => each !== '')) {
    const comm = await readFile(`/proc/${child}/comm`, 'utf8').catch(() => '');
    if (comm.startsWith(name)) found.push(Number(child));
    if (comm.startsWith('leeward-')) found.push(...(await helperProcesses(name, Number(child))));
  }
  return found;
}
