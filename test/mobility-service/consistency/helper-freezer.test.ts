/**
 * Goal: a freeze really stops every writer, and whatever is stopped, killed or done behind our back, the file systems run
 * again and a spoilt moment is never taken for a good one.
 * Method: real ext4, XFS and btrfs on loop devices of the test's own (nothing else is ever frozen), a real writer that the
 * kernel holds, and SIGSTOP, SIGKILL and fsfreeze from outside.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import anyTest, { type ExecutionContext } from 'ava';
import type { Freezer } from '../../../src/mobility-service/consistency/freezer.ts';
import {
  createHelperFreezer,
  type FreezeMount,
  releaseFrozen,
} from '../../../src/mobility-service/consistency/helper-freezer.ts';
import { parseMountTable } from '../../../src/mobility-service/consistency/mount-table.ts';
import { openThawLink } from '../../../src/mobility-service/consistency/thaw-link.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { hasCode } from '../../../src/platform/errors.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { localThawHelper } from '../../../tools/agent/thaw-helper.ts';
import {
  canLoop,
  type FileSystemType,
  type LoopDevice,
  type MountedFileSystem,
  makeFileSystem,
  makeLoop,
} from '../../support/loop-device.ts';

const obstacle = canLoop() ?? needs('gcc') ?? needs('fsfreeze');
if (obstacle) console.log(`skipped: ${obstacle}`);
const test = obstacle ? anyTest.serial.skip : anyTest.serial;
const mebibyte = 1 << 20;
/** XFS refuses less than 300 MB. */
const sizes: Record<FileSystemType, number> = {
  ext4: 64 * mebibyte,
  xfs: 320 * mebibyte,
  btrfs: 128 * mebibyte,
};
const types = Object.keys(sizes) as FileSystemType[];
const limitMilliseconds = 90_000;
/** For what is to be done, or to happen, while all stands still: a busy machine needs more than the service ever asks for. */
const longMilliseconds = 10_000;
const quick = { timeoutMilliseconds: 90_000 };

for (const type of types) {
  test(`a frozen ${type} stops its writers, keeps every byte, and thawed lets them go on`, async (t) => {
    const { device, mounted, mount } = await fileSystem(t, type);
    await writeFile(join(mounted.mountPoint, 'before'), Buffer.alloc(3 * mebibyte, 'b'));
    await using session = await freezer(t, [mount]).prepare();
    t.deepEqual(session.mountPoints, [mounted.mountPoint]);
    await session.freeze(longMilliseconds);
    const writer = startWriter(t, mounted);
    await writer.isHeld();
    // Two copies, made while everything stands still and judged after it: reading is all that the deadline leaves time for.
    const copies = [join(await folder(t), 'first.img'), join(await folder(t), 'second.img')] as const;
    for (const copy of copies) await run('cp', ['--sparse=auto', device.backingFile, copy], quick);
    t.false(await exists(join(mounted.mountPoint, 'written')));
    const { frozenMilliseconds } = await session.thaw();
    t.true(frozenMilliseconds > 0);
    t.is(await writer.exitCode, 0);
    t.is(await readFile(join(mounted.mountPoint, 'written'), 'utf8'), 'hello\n');
    t.is(await digest(copies[0]), await digest(copies[1]));
    await assertClean(t, type, copies[0]);
  });
}

test('several file systems stand still together, the upper one first, and are let go together', async (t) => {
  const lower = await fileSystem(t, 'ext4');
  const upper = await fileSystem(t, 'btrfs');
  await using session = await freezer(t, [upper.mount, lower.mount]).prepare();
  await session.freeze(longMilliseconds);
  const writers = [startWriter(t, lower.mounted), startWriter(t, upper.mounted)];
  for (const writer of writers) await writer.isHeld();
  await session.thaw();
  for (const writer of writers) t.is(await writer.exitCode, 0);
});

test('a session that is disposed while frozen thaws', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  {
    await using session = await freezer(t, [mount]).prepare();
    await session.freeze(longMilliseconds);
  }
  t.is(await startWriter(t, mounted).exitCode, 0);
});

test('the helper thaws at the deadline by itself, and the moment is thrown away', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  await using session = await freezer(t, [mount]).prepare();
  await session.freeze(500);
  t.is(await startWriter(t, mounted).exitCode, 0);
  await t.throwsAsync(session.thaw(), { code: 'FreezeExpired', message: /deadline/ });
});

for (const signal of ['SIGKILL', 'SIGSTOP', 'SIGTERM'] as const) {
  test(`file systems run again when the service gets ${signal}`, async (t) => {
    const { mounted, mount } = await fileSystem(t, 'ext4');
    const notePath = join(await folder(t), 'note');
    const service = spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'freezing-service.ts'),
        localThawHelper(),
        notePath,
        '1500',
        mount.mountPoint,
        mount.device,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    t.teardown(() => service.kill('SIGKILL'));
    for await (const line of createInterface({ input: service.stdout! })) if (line === 'frozen') break;
    const writer = startWriter(t, mounted);
    service.kill(signal);
    t.is(await writer.exitCode, 0);
    await until(
      systemClock,
      limitMilliseconds,
      async () => ((await readdir(dirname(notePath))).length > 0 ? undefined : true),
      () => new Error('the note is still there'),
    );
    t.pass();
  });
}

test('the guard thaws when the helper is killed, and the moment is thrown away', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  await using session = await freezer(t, [mount]).prepare();
  const [helper] = await bothProcesses();
  await session.freeze(longMilliseconds);
  process.kill(helper!, 'SIGKILL');
  t.is(await startWriter(t, mounted).exitCode, 0);
  await t.throwsAsync(session.thaw(), { code: 'FreezeExpired', message: /killed/ });
});

test('the guard thaws when the helper is stopped over its deadline, and the moment is thrown away', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  await using session = await freezer(t, [mount]).prepare();
  const [helper] = await bothProcesses();
  await session.freeze(800);
  process.kill(helper!, 'SIGSTOP');
  try {
    t.is(await startWriter(t, mounted).exitCode, 0);
    await t.throwsAsync(session.thaw(), { code: 'FreezeExpired' });
  } finally {
    process.kill(helper!, 'SIGCONT');
  }
});

test('the helper thaws when its guard is killed, and the moment is thrown away', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  await using session = await freezer(t, [mount]).prepare();
  const [, guard] = await bothProcesses();
  await session.freeze(longMilliseconds);
  process.kill(guard!, 'SIGKILL');
  t.is(await startWriter(t, mounted).exitCode, 0);
  await t.throwsAsync(session.thaw(), { code: 'FreezeExpired', message: /guard-lost/ });
});

test('what was left frozen when service, helper, guard and workers were all killed is let go through the note', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  const notePath = join(await folder(t), 'note');
  const link = openThawLink(localThawHelper(), notePath, `-\0${mount.mountPoint}\0\0\0`);
  t.is((await link.next())?.word, 'ready');
  const family = await familyOf(link.processId!);
  link.send(`F${longMilliseconds}\n`);
  t.is((await link.next())?.word, 'freezing');
  t.is((await link.next())?.word, 'frozen');
  // Stopped first, so that none of them sees another one die.
  for (const signal of ['SIGSTOP', 'SIGKILL'] as const) for (const each of family) process.kill(each, signal);
  await link.ended;
  const writer = startWriter(t, mounted);
  await writer.isHeld();
  t.true(await exists(`${notePath}.${link.processId}`));
  t.is(await releaseFrozen({ helperPath: localThawHelper(), notePath }), 1);
  t.is(await writer.exitCode, 0);
  t.false(await exists(`${notePath}.${link.processId}`));
  t.is(await releaseFrozen({ helperPath: localThawHelper(), notePath }), 0);
});

for (const [what, signals] of [
  ['stopped', ['SIGSTOP']],
  ['stopped and then killed', ['SIGSTOP', 'SIGKILL']],
] as const)
  test(`the service lets go when all processes of its helper are ${what} at once, and the moment is thrown away`, async (t) => {
    const { mounted, mount } = await fileSystem(t, 'ext4');
    await using session = await freezer(t, [mount]).prepare();
    const [helper] = await bothProcesses();
    const family = await familyOf(helper!);
    await session.freeze(1000);
    for (const signal of signals) for (const each of family) process.kill(each, signal);
    t.teardown(() => {
      for (const each of family)
        try {
          process.kill(each, 'SIGKILL');
        } catch (error) {
          if (!hasCode(error, 'ESRCH')) throw error;
        }
    });
    t.is(await startWriter(t, mounted).exitCode, 0);
    await t.throwsAsync(session.thaw(), { code: 'FreezeExpired' });
  });

test('a worker that is killed is replaced, and the moment is thrown away', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  await using session = await freezer(t, [mount]).prepare();
  const [helper] = await bothProcesses();
  const worker = await namedBelow(helper!, 'leeward-mount');
  await session.freeze(longMilliseconds);
  process.kill(worker, 'SIGKILL');
  t.is(await startWriter(t, mounted).exitCode, 0);
  await t.throwsAsync(session.thaw(), { code: 'FreezeExpired' });
});

test('a worker that is stopped over its deadline is replaced, and the moment is thrown away', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  await using session = await freezer(t, [mount]).prepare();
  const [helper] = await bothProcesses();
  const worker = await namedBelow(helper!, 'leeward-mount');
  await session.freeze(800);
  process.kill(worker, 'SIGSTOP');
  t.teardown(() => process.kill(worker, 'SIGKILL'));
  t.is(await startWriter(t, mounted).exitCode, 0);
  await t.throwsAsync(session.thaw(), { code: 'FreezeExpired' });
});

test('any mount point of a file system serves, and only when none opens it is an error that names them', async (t) => {
  const { mount } = await fileSystem(t, 'ext4');
  // What chroots and containers leave in the mount table.
  const gone = ['/nowhere/one', '/nowhere/two'].map((mountPoint) => ({ ...mount, mountPoint }));
  {
    await using session = await freezer(t, [...gone, mount]).prepare();
    t.deepEqual(session.mountPoints, [mount.mountPoint]);
    await session.freeze(longMilliseconds);
    await session.thaw();
  }
  const error = await t.throwsAsync(freezer(t, gone).prepare(), { code: 'MountUnreachable' });
  t.regex(error!.message, /\/nowhere\/one, \/nowhere\/two/);
});

test('a file system that somebody else froze is reported as busy, and what was frozen before it is let go', async (t) => {
  const ours = await fileSystem(t, 'btrfs');
  const theirs = await fileSystem(t, 'ext4');
  await using session = await freezer(t, [ours.mount, theirs.mount]).prepare();
  await run('fsfreeze', ['--freeze', theirs.mounted.mountPoint], quick);
  try {
    await t.throwsAsync(session.freeze(longMilliseconds), {
      code: 'FreezeBusy',
      message: new RegExp(theirs.mounted.mountPoint),
    });
    t.is(await startWriter(t, ours.mounted).exitCode, 0);
    const writer = startWriter(t, theirs.mounted);
    await writer.isHeld();
  } finally {
    await run('fsfreeze', ['--unfreeze', theirs.mounted.mountPoint], quick);
  }
});

test('a moment in which somebody else thawed is thrown away, naming the file system', async (t) => {
  const { mounted, mount } = await fileSystem(t, 'ext4');
  await using session = await freezer(t, [mount]).prepare();
  await session.freeze(longMilliseconds);
  await run('fsfreeze', ['--unfreeze', mounted.mountPoint], quick);
  const error = await t.throwsAsync(session.thaw(), { code: 'FreezeExpired' });
  t.true(error?.message.includes(mounted.mountPoint));
});

test('bind mounts and btrfs subvolumes of one file system are frozen once', async (t) => {
  const { mounted, mount, device } = await fileSystem(t, 'btrfs');
  await run('btrfs', ['subvolume', 'create', join(mounted.mountPoint, 'sub')], quick);
  const second = await folder(t);
  await run('mount', ['-o', 'subvol=sub', device.path, second], quick);
  t.teardown(async () => void (await run('umount', [second], quick)));
  const third = await folder(t);
  await run('mount', ['--bind', mounted.mountPoint, third], quick);
  t.teardown(async () => void (await run('umount', [third], quick)));
  const mounts = [mount, await mountOf(second), await mountOf(third)];
  t.is(new Set(mounts.map((each) => each.device)).size, 1);
  await using session = await freezer(t, mounts).prepare();
  t.is(session.mountPoints.length, 1);
  await session.freeze(longMilliseconds);
  const writer = startWriter(t, { mountPoint: second });
  await writer.isHeld();
  await session.thaw();
  t.is(await writer.exitCode, 0);
});

test('a mount point with spaces, quotes and a newline in its name is frozen like any other', async (t) => {
  const { mounted, device } = await fileSystem(t, 'ext4');
  await mounted.unmount();
  const strange = join(await folder(t), 'a b\'"\\\n\tü -c');
  await mkdir(strange);
  await run('mount', [device.path, strange], quick);
  t.teardown(async () => void (await run('umount', [strange], quick)));
  await using session = await freezer(t, [await mountOf(strange)]).prepare();
  await session.freeze(longMilliseconds);
  const writer = startWriter(t, { mountPoint: strange });
  await writer.isHeld();
  await session.thaw();
  t.is(await writer.exitCode, 0);
});

test('a path that leads to another file system than meant is refused before anything is frozen', async (t) => {
  const below = await fileSystem(t, 'ext4');
  const over = await fileSystem(t, 'ext4');
  await run('mount', ['--bind', over.mounted.mountPoint, below.mounted.mountPoint], quick);
  try {
    await t.throwsAsync(freezer(t, [below.mount]).prepare(), { code: 'MountUnreachable' });
  } finally {
    await run('umount', [below.mounted.mountPoint], quick);
  }
});

test('a mount point that is gone and a helper that is not installed are clear errors', async (t) => {
  await t.throwsAsync(freezer(t, [{ mountPoint: '/nowhere/at/all', device: '7:99' }]).prepare(), {
    code: 'MountUnreachable',
    message: /\/nowhere\/at\/all/,
  });
  const { mount } = await fileSystem(t, 'ext4');
  const missing = createHelperFreezer({
    ...options(await folder(t)),
    helperPath: '/nowhere/thaw',
    mounts: async () => [mount],
  });
  await t.throwsAsync(missing.prepare(), { code: 'CommandNotStarted' });
});

test('a machine without mounted file systems freezes nothing and takes no time', async (t) => {
  await using session = await freezer(t, []).prepare();
  await session.freeze(longMilliseconds);
  t.deepEqual(await session.thaw(), { frozenMilliseconds: 0 });
});

test('file systems that know no freeze are written back, left running and named', async (t) => {
  const { mount } = await fileSystem(t, 'ext4');
  // The kernel answers EOPNOTSUPP for tmpfs as it does for vfat, which not every kernel here has.
  const running = await folder(t);
  await run('mount', ['-t', 'tmpfs', 'leeward-test', running], quick);
  t.teardown(async () => void (await run('umount', [running], quick)));
  await using session = await freezer(t, [await mountOf(running), mount]).prepare();
  await session.freeze(longMilliseconds);
  const time = await session.thaw();
  t.deepEqual(time.runningMountPoints, [running]);
});

function needs(program: string): string | undefined {
  for (const place of (process.env.PATH ?? '').split(':'))
    try {
      accessSync(join(place, program), constants.X_OK);
      return undefined;
    } catch {}
  return `${program} is not installed`;
}

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'leeward-freeze-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

function options(noteFolder: string) {
  return {
    clock: systemClock,
    log: silentLog,
    helperPath: localThawHelper(),
    notePath: join(noteFolder, 'note'),
    deadlineMillisecondsMax: longMilliseconds,
    applications: { pre: async () => {}, post: async () => {} },
  };
}

function freezer(t: ExecutionContext, mounts: readonly FreezeMount[], notePath?: string): Freezer {
  return {
    prepare: async () =>
      createHelperFreezer({
        ...options(await folder(t)),
        ...(notePath ? { notePath } : {}),
        mounts: async () => mounts,
      }).prepare(),
    pre: async () => {},
    post: async () => {},
  };
}

async function mountOf(mountPoint: string): Promise<FreezeMount> {
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  const entry = table.find((each) => each.mountPoint === mountPoint);
  if (!entry) throw new Error(`${mountPoint} is not mounted`);
  return { mountPoint, device: entry.device };
}

async function fileSystem(
  t: ExecutionContext,
  type: FileSystemType,
): Promise<{ device: LoopDevice; mounted: MountedFileSystem; mount: FreezeMount }> {
  const device = await makeLoop(t, sizes[type]);
  const mounted = await makeFileSystem(t, device, type);
  // Whatever a failed test left behind must not hang the unmount. Never a file system that the test did not make.
  t.teardown(async () => void (await tryRun('fsfreeze', ['--unfreeze', mounted.mountPoint], quick)));
  return { device, mounted, mount: await mountOf(mounted.mountPoint) };
}

/** A process that writes one file; while its file system is frozen the kernel holds it. */
function startWriter(t: ExecutionContext, at: Pick<MountedFileSystem, 'mountPoint'>) {
  const child = spawn('sh', ['-c', 'echo hello >"$0/written"', at.mountPoint], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const exitCode = new Promise<number | null>((resolve) => {
    child.once('exit', resolve);
  });
  return {
    exitCode,
    /** Uninterruptible sleep: it waits inside the kernel. */
    isHeld: () =>
      until(
        systemClock,
        limitMilliseconds,
        async () => {
          if (child.exitCode !== null) throw new Error('the writer was not held');
          const status = await readFile(`/proc/${child.pid}/stat`, 'utf8');
          return /\) D /.test(status) ? true : undefined;
        },
        () => new Error('the writer neither wrote nor was held'),
        2,
      ),
  };
}

/** Our helper, which is this process's child, and its guard, which is the helper's. */
/** A guard that was just made has its name a moment later. */
async function bothProcesses(): Promise<number[]> {
  return until(
    systemClock,
    limitMilliseconds,
    async () => {
      const found = await helperProcesses();
      return found.length === 2 ? found : undefined;
    },
    () => new Error('helper and guard are not both there'),
  );
}

async function helperProcesses(): Promise<number[]> {
  const found: number[] = [];
  for (let parent = process.pid; ; ) {
    const children = (await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8')).trim().split(' ');
    let next: number | undefined;
    for (const child of children.filter((each) => each !== '')) {
      const name = (await readFile(`/proc/${child}/comm`, 'utf8')).trim();
      if (name === (found.length === 0 ? 'leeward-thaw' : 'leeward-guard')) next = Number(child);
    }
    if (next === undefined) return found;
    found.push(next);
    parent = next;
  }
}

/** A process and all below it. */
async function familyOf(parent: number): Promise<number[]> {
  const children = (await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8')).trim();
  const below = await Promise.all(
    children
      .split(' ')
      .filter((each) => each !== '')
      .map((each) => familyOf(Number(each))),
  );
  return [parent, ...below.flat()];
}

async function namedBelow(parent: number, name: string): Promise<number> {
  for (const each of await familyOf(parent))
    if ((await readFile(`/proc/${each}/comm`, 'utf8')).trim() === name) return each;
  throw new Error(`there is no ${name} below ${parent}`);
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  const { createReadStream } = await import('node:fs');
  for await (const chunk of createReadStream(path, { highWaterMark: mebibyte })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** The copy is read by the file system's own checker, which must find nothing to repair. */
async function assertClean(t: ExecutionContext, type: FileSystemType, image: string): Promise<void> {
  // A frozen XFS leaves its log to be replayed on purpose, for files that were unlinked while open.
  if (type === 'xfs') {
    const mountPoint = await folder(t);
    await run('mount', ['-o', 'loop,nouuid', image, mountPoint], quick);
    await run('umount', [mountPoint], quick);
  }
  const check = {
    ext4: ['e2fsck', '-f', '-n', image],
    xfs: ['xfs_repair', '-n', '-f', image],
    btrfs: ['btrfs', 'check', '--readonly', image],
  }[type];
  const result = await tryRun(check[0]!, check.slice(1), { timeoutMilliseconds: 60_000 });
  t.is(result.exitCode, 0, `${result.stdout}\n${result.stderr}`);
}
