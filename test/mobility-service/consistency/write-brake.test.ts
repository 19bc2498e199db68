/**
 * Goal: the write brake holds back whoever writes to a disk, and whatever is stopped or killed, everybody writes again within its
 * deadline, with the limits of before. Method: real loop devices and control groups (v1) of the test's own, writers that count, and
 * SIGSTOP and SIGKILL from outside. Stock guests with v2 are in `test/appliance/agent/guest-brake.test.ts`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { createWriteBrake, releaseHeld } from '../../../src/mobility-service/consistency/write-brake.ts';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { tryRun } from '../../../src/platform/exec.ts';
import { silentLog } from '../../../src/platform/log.ts';
import { localStatic } from '../../../tools/agent/thaw-helper.ts';
import { localWriteBrake } from '../../../tools/agent/write-brake.ts';
import { canLoop, type LoopDevice, makeFileSystem, makeLoop } from '../../support/loop-device.ts';
import {
  blkioFolder,
  canBrake,
  limitFile,
  limitsOf,
  limitsOn,
  numberOf,
} from '../../support/write-limits.ts';

const missing = canLoop() ?? canBrake();
const test = missing === undefined ? anyTest.serial : anyTest.serial.skip;
if (missing) console.log(`skipped: ${missing}`);
const mebibyte = 1 << 20;
const quick = { timeoutMilliseconds: 30_000 };

for (const mode of ['direct', 'buffered'] as const)
  test(`writers of the root group, of a group and of one inside it are held (${mode})`, async (t) => {
    const device = await makeLoop(t, 64 * mebibyte);
    const { mountPoint } = await makeFileSystem(t, device, 'ext4');
    const group = await makeGroup(t, 'outer');
    const inner = await makeGroup(t, join('outer', 'inner'));
    const writers: Writer[] = [];
    for (const [index, place] of [blkioFolder, group, inner].entries())
      writers.push(await startWriter(t, join(mountPoint, String(index)), mode, place));
    await using session = await brake(await folder(t), device).prepare();
    for (let round = 0; round < 3; round++) {
      const held = await session.hold(400);
      t.deepEqual(held.unheld, []);
      // What was under way completes; then nothing does until the brake lets go, whenever that is.
      await systemClock.sleep(80);
      const before = await Promise.all(writers.map((each) => each.count()));
      await systemClock.sleep(100);
      const after = await Promise.all(writers.map((each) => each.count()));
      const { isByCommand } = await session.release();
      // A machine so busy that the deadline came first says nothing.
      if (isByCommand) t.deepEqual(after, before);
      for (const writer of writers) await writer.goesOn();
      t.is((await limitsOf(device)).size, 0);
    }
  });

test('limits of before are put back exactly, and one that somebody sets meanwhile stays', async (t) => {
  const device = await makeLoop(t, 16 * mebibyte);
  const number = await numberOf(device);
  const [first, second] = [await makeGroup(t, 'first'), await makeGroup(t, 'second')];
  await writeFile(join(first, limitFile), `${number} 4000`);
  await using session = await brake(await folder(t), device).prepare();
  await session.hold(400);
  t.is((await limitsOf(device)).get(first), '1');
  await writeFile(join(second, limitFile), `${number} 777`);
  await session.release();
  t.deepEqual(
    [...(await limitsOf(device))].sort(),
    [
      [first, '4000'],
      [second, '777'],
    ].sort(),
  );
});

test('groups that come are held the next time, and those that go are in nobody’s way', async (t) => {
  const device = await makeLoop(t, 16 * mebibyte);
  const going = await makeGroup(t, 'going');
  await using session = await brake(await folder(t), device).prepare();
  await session.hold(400);
  await rmdir(going);
  await session.release();
  const come = await makeGroup(t, 'come');
  await session.hold(400);
  t.is((await limitsOf(device)).get(come), '1');
  await session.release();
  t.is((await limitsOf(device)).size, 0);
});

test('at the deadline it lets go by itself, and can hold again', async (t) => {
  const device = await makeLoop(t, 16 * mebibyte);
  await using session = await brake(await folder(t), device).prepare();
  await session.hold(50);
  await limitsOn([device], 0);
  t.false((await session.release()).isByCommand);
  await session.hold(400);
  t.true((await limitsOf(device)).size > 0);
  await session.release();
});

for (const [what, victims, signal] of [
  ['its program is killed', ['program'], 'SIGKILL'],
  ['its program is stopped', ['program'], 'SIGSTOP'],
  ['its guard is killed', ['guard'], 'SIGKILL'],
  ['its guard is stopped', ['guard'], 'SIGSTOP'],
] as const)
  test(`writers go on within the deadline when ${what}`, async (t) => {
    const device = await makeLoop(t, 16 * mebibyte);
    const home = await folder(t);
    const program = await startProgram(t, home, device);
    const writer = await startWriter(t, device.path, 'direct', blkioFolder);
    for (const id of await program.stoppedWhileHeld(victims)) process.kill(id, signal);
    await t.notThrowsAsync(limitsOn([device], 0));
    await writer.goesOn();
  });

test('when all of it is killed at once the note is worked through, and the prior limit is there again', async (t) => {
  const device = await makeLoop(t, 16 * mebibyte);
  const number = await numberOf(device);
  const group = await makeGroup(t, 'all-killed');
  await writeFile(join(group, limitFile), `${number} 5000`);
  const home = await folder(t);
  const program = await startProgram(t, home, device);
  for (const id of await program.stoppedWhileHeld(['program', 'guard'])) process.kill(id, 'SIGKILL');
  await once(program.child, 'exit');
  t.is((await limitsOf(device)).get(group), '1', 'nobody was there to let go');
  const options = { helperPath: localWriteBrake(), notePath: join(home, 'held') };
  t.true((await releaseHeld(options)) >= 2);
  t.deepEqual([...(await limitsOf(device))], [[group, '5000']]);
  t.is(await releaseHeld(options), 0);
});

test('a machine without the controller is told so', async (t) => {
  const home = await folder(t);
  const device = await makeLoop(t, 16 * mebibyte);
  // A mount table without cgroups, as in a container.
  const wrapper = join(home, 'alone');
  await writeFile(
    wrapper,
    `#!/bin/sh\nexec unshare --mount sh -c 'umount -l /sys/fs/cgroup/blkio; for at in $(grep " cgroup2 " /proc/self/mounts | cut -d" " -f2); do umount -l $at; done; exec "$0" "$@"' ${localWriteBrake()} "$@"\n`,
    { mode: 0o700 },
  );
  const alone = createWriteBrake({
    ...{ clock: systemClock, log: silentLog, helperPath: wrapper, notePath: join(home, 'held') },
    deviceNumbers: () => [],
  });
  await t.throwsAsync(alone.prepare(), { code: 'BrakeUnusable' });
  const number = await numberOf(device);
  const known = createWriteBrake({
    ...{ clock: systemClock, log: silentLog, helperPath: wrapper, notePath: join(home, 'held') },
    deviceNumbers: () => [number],
  });
  await t.throwsAsync(known.prepare(), { code: 'BrakeUnusable', message: /no cgroup hierarchy/ });
});

async function folder(t: ExecutionContext<unknown>): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'leeward-brake-'));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

function brake(home: string, device: LoopDevice) {
  let number = '';
  const create = createWriteBrake({
    ...{ clock: systemClock, log: silentLog, helperPath: localWriteBrake(), notePath: join(home, 'held') },
    deviceNumbers: () => [number],
  });
  return {
    prepare: async () => {
      number = await numberOf(device);
      return await create.prepare();
    },
  };
}

/** Below this process's own, so that two runs do not meet. */
async function makeGroup(t: ExecutionContext<unknown>, name: string): Promise<string> {
  const path = join(blkioFolder, `leeward-test-${process.pid}-${name}`);
  await mkdir(path);
  t.teardown(async () => {
    await tryRun('rmdir', [path], quick);
  });
  return path;
}

interface Writer {
  count(): Promise<number>;
  /** Resolves when writes complete again. */
  goesOn(): Promise<void>;
}

async function startWriter(
  t: ExecutionContext<unknown>,
  path: string,
  mode: 'direct' | 'buffered',
  group: string,
): Promise<Writer> {
  const counter = join(await folder(t), 'count');
  const program = localStatic('test/appliance/agent/brake-writer.c', 'brake-writer', 'brake-writer');
  const child = spawn(
    'sh',
    ['-c', `echo $$ >${group}/cgroup.procs && exec ${program} ${path} ${mode} ${counter}`],
    { stdio: 'ignore' },
  );
  t.teardown(async () => {
    const exited = once(child, 'exit');
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await exited;
    }
  });
  const count = async (): Promise<number> => Number(await readFile(counter, 'utf8').catch(() => '0'));
  const goesOn = async (): Promise<void> => {
    const before = await count();
    await until(
      systemClock,
      3_000,
      async () => ((await count()) > before ? true : undefined),
      () => new Error(`no write of ${group} completed within 3 s`),
      10,
    );
  };
  await goesOn();
  return { count, goesOn };
}

async function startProgram(t: ExecutionContext<unknown>, home: string, device: LoopDevice) {
  const child: ChildProcess = spawn(localWriteBrake(), ['--note', join(home, 'held')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout!.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const says = (word: string): Promise<true> =>
    until(
      systemClock,
      10_000,
      () => (said.includes(word) ? true : undefined),
      () => new Error(`it does not say ${word}: ${said}`),
      5,
    );
  t.teardown(async () => {
    const guard = await tryRun('pgrep', ['-P', String(child.pid)], quick);
    for (const id of [child.pid!, ...guard.stdout.split('\n').filter(Boolean).map(Number)])
      await tryRun('kill', ['-CONT', String(id)], quick);
    child.stdin!.end();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  child.stdin!.write(`${await numberOf(device)}\0\0`);
  await says('ready');
  const idOf = async (who: 'program' | 'guard'): Promise<number> =>
    who === 'program'
      ? child.pid!
      : Number((await tryRun('pgrep', ['-P', String(child.pid)], quick)).stdout.trim());
  return {
    child,
    /** Their ids. Where the deadline came first, another hold is tried. */
    stoppedWhileHeld: async (victims: readonly ('program' | 'guard')[]): Promise<number[]> => {
      for (let round = 0; round < 20; round++) {
        said = '';
        child.stdin!.write('B400\n');
        await says('holding');
        const ids = await Promise.all(victims.map(idOf));
        if (ids.every((id) => id > 0)) {
          for (const id of ids) process.kill(id, 'SIGSTOP');
          if ((await limitsOf(device)).size > 0) return ids;
          for (const id of ids) process.kill(id, 'SIGCONT');
        }
        await says('released');
      }
      throw new Error(`no hold lasted long enough: ${said}`);
    },
  };
}
