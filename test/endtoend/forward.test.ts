/**
 * Goal: the whole forward path, as real processes on real file systems, keeps its one promise: a recovery point is what
 * the disk was.
 *
 * Method: a vault, a site that registered with it, and for each test a machine of that site whose disks are loop devices with
 * file systems; protected over the API, while a ledger, fio and metadata load write to them. Three oracles:
 *  1. after everything has come to rest, the newest point equals the device, byte for byte;
 *  2. every point taken under load mounts, passes the file system's own check, and its ledger has every line that was
 *     synced before the point's moment, in order, whole: what a power cut at that moment would have left;
 *  3. points taken earlier are unchanged by everything that happened later.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { run, tryRun } from '../../src/platform/exec.ts';
import { difference, sha256Of } from '../support/bytes.ts';
import {
  canLoop,
  canTrace,
  type FileSystemType,
  type LoopDevice,
  type MountedFileSystem,
  makeFileSystem,
  makeLoop,
} from '../support/loop-device.ts';
import { eventually } from '../support/site.ts';
import { type Machine, type Point, type Policy, TwoSites } from '../support/two-sites.ts';

const reason = canLoop() ?? canTrace();
const test = reason === undefined ? anyTest.serial : anyTest.skip;
const limit = { timeoutMilliseconds: 120_000 };

let sites: TwoSites;
anyTest.before(async () => {
  if (reason === undefined) sites = await TwoSites.start();
});
anyTest.after.always(async () => {
  await sites?.[Symbol.asyncDispose]();
});

/** A machine of this test's own, protected; it is let go when the test is over. */
async function protect(
  t: ExecutionContext<unknown>,
  name: string,
  disks: readonly string[],
  policy: Policy,
): Promise<Machine> {
  t.teardown(() => {
    if (!t.passed) t.log(sites.logs().slice(-8000));
  });
  await sites.ready();
  const machine = await sites.protect(name, disks, policy);
  t.teardown(() => machine.end());
  return machine;
}

/** Appends numbered lines, each synced before the next; remembers when each became durable. */
class Ledger {
  readonly #path: string;
  readonly durableAt: number[] = [];
  #running = true;
  #done: Promise<void>;

  constructor(folder: string) {
    this.#path = join(folder, 'ledger');
    this.#done = this.#write();
  }

  async #write(): Promise<void> {
    const file = openSync(this.#path, 'a');
    for (let line = 0; this.#running; line++) {
      writeSync(file, `${String(line).padStart(9, '0')} ${'x'.repeat(90)}\n`);
      fsyncSync(file);
      this.durableAt[line] = Date.now();
      await sleep(10);
    }
    closeSync(file);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }
}

interface Load {
  readonly ledger: Ledger;
  stop(): Promise<void>;
}

/** fio with discards, a tree that is made and removed, zeroing and trimming: every kind of write there is. Trimming marks all
 * that is free, most of the disk: seldom enough that a slow machine has a pass without it and gets its freeze. And where there
 * is not enough processor time for all, it is the load that goes without: else nothing could ever keep up with it. */
function startLoad(mount: MountedFileSystem, megabytesASecond = 8): Load {
  const ledger = new Ledger(mount.mountPoint);
  const children: ChildProcess[] = [
    spawn(
      'nice',
      [
        ...['-n', '19', 'fio'],
        '--name=churn',
        `--directory=${mount.mountPoint}`,
        '--size=24m',
        '--rw=randrw',
        '--rwmixread=20',
        '--bsrange=4k-64k',
        '--ioengine=psync',
        '--fsync=32',
        `--rate=${megabytesASecond}m`,
        '--time_based',
        '--runtime=600',
        '--randrepeat=0',
      ],
      { stdio: 'ignore' },
    ),
    spawn(
      'nice',
      [
        ...['-n', '19', 'bash', '-c'],
        `cd ${mount.mountPoint}; for i in $(seq 1 100000); do
           mkdir -p d$((i % 20)); cp /bin/true d$((i % 20))/f$i 2>/dev/null; ln -s x d$((i % 20))/l$i
           [ $((i % 7)) = 0 ] && rm -rf d$(((i + 3) % 20))
           [ $((i % 11)) = 0 ] && fallocate -l 1M hole && fallocate --punch-hole -o 64K -l 512K hole && rm hole
           [ $((i % 97)) = 0 ] && fstrim .
           sleep 0.02
         done`,
      ],
      { stdio: 'ignore', detached: true },
    ),
  ];
  return {
    ledger,
    stop: async () => {
      await ledger.stop();
      for (const child of children) {
        const ended = new Promise((resolve) => {
          child.once('exit', resolve);
        });
        if (child.exitCode !== null || child.signalCode !== null) continue;
        if (child === children[1]) process.kill(-child.pid!, 'SIGKILL');
        else child.kill('SIGTERM');
        await ended;
      }
    },
  };
}

/** Oracle 2: mounts a clone of the point, checks it as its file system does, and reads its ledger. */
async function checkPoint(
  t: ExecutionContext<unknown>,
  machine: Machine,
  point: Point,
  type: FileSystemType,
  ledger: Ledger,
): Promise<void> {
  const original = machine.pointPath(point);
  const clone = join(sites.vaultFolder, 'replica', `check-${point.pointId}.raw`);
  await run('cp', ['--reflink=always', original, clone], limit);
  const mountPoint = await mkdtemp(join(tmpdir(), 'leeward-check-'));
  const device = (await run('losetup', ['--find', '--show', clone], limit)).trim();
  try {
    // Mounting replays the journal, as a machine would at boot. A btrfs has one place of its name in the kernel, and a test beside
    // this one that began a mount namespace of its own meanwhile keeps the original there until it ends.
    const options = type === 'xfs' ? ['-o', 'nouuid'] : [];
    await eventually(`the copy of ${type} can be mounted`, 240, async () => {
      await run('mount', ['-t', type, ...options, device, mountPoint], limit);
      return true;
    });
    try {
      const lines = readFileSync(join(mountPoint, 'ledger'), 'utf8').split('\n');
      const moment = Date.parse(point.takenAt);
      const expected = ledger.durableAt.filter((at) => at < moment - 1).length;
      const whole = lines.filter((line) => line.length === 100).length;
      t.true(
        whole >= expected,
        `point of ${point.takenAt} has ${whole} lines, ${expected} were synced before it`,
      );
      for (const [index, line] of lines.slice(0, expected).entries())
        if (Number.parseInt(line.slice(0, 9), 10) !== index) t.fail(`line ${index} reads ${line}`);
    } finally {
      await run('umount', [mountPoint], limit);
    }
    const check = {
      ext4: ['e2fsck', '-fn', device],
      xfs: ['xfs_repair', '-n', device],
      btrfs: ['btrfs', 'check', '--readonly', device],
    }[type];
    const result = await tryRun(check[0]!, check.slice(1), limit);
    t.is(
      result.exitCode,
      0,
      `${check[0]} of the point of ${point.takenAt}: ${result.stdout} ${result.stderr}`,
    );
  } finally {
    await run('losetup', ['--detach', device], limit);
    rmSync(clone, { force: true });
    rmSync(mountPoint, { recursive: true, force: true });
  }
}

/** Oracle 1: everything comes to rest, then the newest point must be the device. */
async function checkAtRest(
  t: ExecutionContext<unknown>,
  machine: Machine,
  loop: LoopDevice,
  mount: MountedFileSystem | undefined,
  limitSeconds = 180,
): Promise<Point> {
  await mount?.unmount();
  await run('sync', [], limit);
  const rested = Date.now();
  const point = await machine.pointAfter(rested, limitSeconds);
  t.is(await difference(machine.pointPath(point), loop.path), undefined, 'the point is the device');
  return point;
}

async function digests(machine: Machine): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  // Three points show as much as thirty, in a tenth of the time.
  for (const point of (await machine.points()).slice(0, 3))
    found.set(point.pointId, await sha256Of(machine.pointPath(point)));
  return found;
}

/** Oracle 3. */
async function checkUnchanged(
  t: ExecutionContext<unknown>,
  machine: Machine,
  earlier: ReadonlyMap<string, string>,
): Promise<void> {
  for (const point of await machine.points()) {
    const digest = earlier.get(point.pointId);
    if (digest !== undefined)
      t.is(await sha256Of(machine.pointPath(point)), digest, `point of ${point.takenAt} is as it was`);
  }
}

for (const type of ['ext4', 'xfs', 'btrfs'] as const)
  test(`recovery points of ${type} under load are what the disk was`, async (t) => {
    const loop = await makeLoop(t, (type === 'xfs' ? 320 : 192) << 20);
    const mount = await makeFileSystem(t, loop, type, ['discard']);
    const machine = await protect(t, `${type}-1`, [loop.path], {
      crashConsistentSeconds: 2,
      applicationConsistentSeconds: 5,
    });
    const load = startLoad(mount);
    t.teardown(() => load.stop());
    await machine.pointAfter(0, 180);
    await eventually('six points under load, frozen ones among them', 240, async () => {
      const points = await machine.points();
      return points.length >= 6 && points.some(({ type }) => type === 'ApplicationConsistent')
        ? true
        : undefined;
    });
    const earlier = await digests(machine);
    const underLoad = (await machine.points()).slice(0, 2);
    await load.stop();
    for (const point of underLoad) await checkPoint(t, machine, point, type, load.ledger);
    await checkAtRest(t, machine, loop, mount);
    await checkUnchanged(t, machine, earlier);
    const verified = await sites.leeward('protected-item', 'verify', machine.name, '--wait');
    t.is(verified.exitCode, 0, `${verified.stdout}\n${verified.stderr}`);
    t.regex(verified.stdout, /verifiedBytes +[1-9]/);
  });

for (const house of ['mobility service', 'process server', 'vault'] as const)
  test(`kill -9 of the ${house} under load loses nothing and replication goes on`, async (t) => {
    const loop = await makeLoop(t, 128 << 20);
    const mount = await makeFileSystem(t, loop, 'ext4', ['discard']);
    const machine = await protect(t, `killed-${house.split(' ')[0]}`, [loop.path], {
      crashConsistentSeconds: 1,
    });
    const load = startLoad(mount);
    t.teardown(() => load.stop());
    await machine.pointAfter(0, 180);
    const daemon = {
      'mobility service': machine.service,
      'process server': sites.processServer,
      vault: sites.vault,
    }[house];
    const earlier = await digests(machine);
    for (let round = 0; round < 4; round++) {
      await daemon.kill();
      daemon.start();
      // Not long enough to always come to rest in between: the next kill hits recovery, too.
      await sleep(300 + 700 * round);
    }
    const moment = Date.now();
    const point = await machine.pointAfter(moment, 180);
    await load.stop();
    await checkPoint(t, machine, point, 'ext4', load.ledger);
    await checkAtRest(t, machine, loop, mount);
    await checkUnchanged(t, machine, earlier);
    if (house === 'mobility service') {
      t.true(
        (await machine.events()).some(({ description }) => /UncleanShutdown/.test(description)),
        'the resync after an unclean stop is named with its cause',
      );
    }
  });

test('a trace ring that was made too small loses events, and the resync that follows repairs it', async (t) => {
  const loop = await makeLoop(t, 128 << 20);
  const mount = await makeFileSystem(t, loop, 'ext4', ['discard']);
  const machine = await protect(t, 'small-ring', [loop.path], { crashConsistentSeconds: 1 });
  await machine.pointAfter(0, 180);
  writeFileSync(join(machine.traceInstance, 'buffer_size_kb'), '4');
  // Nobody reads the ring while thousands of writes complete.
  await machine.service.pause();
  await run(
    'fio',
    [
      ...['--name=flood', `--directory=${mount.mountPoint}`, '--size=32m', '--rw=randwrite', '--bs=4k'],
      ...['--direct=1', '--ioengine=psync', '--randrepeat=0'],
    ],
    limit,
  );
  machine.service.resume();
  await eventually('the loss is reported with its cause', 180, async () => {
    const events = await machine.events();
    return events.some(({ description }) => /TraceEventsLost|TracingChanged/.test(description))
      ? true
      : undefined;
  });
  await checkAtRest(t, machine, loop, mount);
});

test('a link that is cut again and again costs time, not bytes, and no resync', async (t) => {
  await sites.ready();
  const relay = await sites.relay();
  t.teardown(async () => {
    relay.close();
    await sites.withoutRelay();
  });
  const loop = await makeLoop(t, 400 << 20);
  const mount = await makeFileSystem(t, loop, 'ext4', ['discard']);
  const machine = await protect(t, 'cut-off', [loop.path], { crashConsistentSeconds: 1 });
  const load = startLoad(mount);
  t.teardown(() => load.stop());
  await machine.pointAfter(0, 180);
  for (let round = 0; round < 5; round++) {
    relay.cut();
    await sleep(200 * round);
    relay.mend();
    await sleep(400);
  }
  relay.cut();
  await sleep(3000);
  relay.mend();
  await machine.pointAfter(Date.now(), 180);
  await load.stop();
  await checkAtRest(t, machine, loop, mount);
  t.true(
    machine.walks().every((walk) => walk === 'initial InitialReplication'),
    `no resync was needed: ${machine.walks().join(', ')}`,
  );
  t.false((await machine.eventCodes()).some((code) => ['ChangesLost', 'ResyncOrdered'].includes(code)));
});

test('a full spool slows the source and loses nothing', async (t) => {
  await sites.ready();
  const quota = (bytes: number) =>
    sites.restartProcessServer((settings) => {
      settings.spool.quotaBytes = bytes;
    });
  await quota(48 << 20);
  t.teardown(() => quota(2 * 2 ** 30));
  const loop = await makeLoop(t, 400 << 20);
  const mount = await makeFileSystem(t, loop, 'ext4', ['discard']);
  const machine = await protect(t, 'full-spool', [loop.path], { crashConsistentSeconds: 1 });
  await machine.pointAfter(0, 180);
  // The vault is gone; what comes now must wait in the spool, and then in the change map.
  await sites.vault.kill();
  await run(
    'dd',
    ['if=/dev/urandom', `of=${join(mount.mountPoint, 'large')}`, 'bs=1M', 'count=150', 'conv=fsync'],
    limit,
  );
  const spool = sites.spoolFolder;
  await eventually('the spool is full', 120, () =>
    readFileSync(sites.processServer.logPath, 'utf8').includes('"code":"SpoolFull"') ? true : undefined,
  );
  await sleep(2000);
  // Some of its files may come and go while du looks, which it remarks on.
  const { stdout } = await tryRun('du', ['-sb', spool], limit);
  const spoolBytes = Number.parseInt(stdout, 10);
  t.true(spoolBytes > 24 << 20 && spoolBytes < 64 << 20, `the quota is kept: ${stdout}`);
  sites.vault.start();
  await sites.vaultAnswers();
  await checkAtRest(t, machine, loop, mount);
  t.true((await machine.eventCodes()).includes('SpoolFull'), 'the full spool was reported');
});

test('a full vault disk pauses with a health event, keeps earlier points, and goes on when there is room', async (t) => {
  const loop = await makeLoop(t, 400 << 20);
  const mount = await makeFileSystem(t, loop, 'ext4', ['discard']);
  const machine = await protect(t, 'full-vault', [loop.path], { crashConsistentSeconds: 1 });
  await machine.pointAfter(0, 180);
  const earlier = await digests(machine);
  const ballast = join(sites.vaultFolder, 'replica', 'ballast');
  const free = Number(
    (await run('stat', ['-f', '-c', '%a %S', join(sites.vaultFolder, 'replica')], limit)).split(' ')[0],
  );
  await run('fallocate', ['-l', String(Math.max(free * 4096 - (40 << 20), 1 << 20)), ballast], limit);
  await run(
    'dd',
    ['if=/dev/urandom', `of=${join(mount.mountPoint, 'large')}`, 'bs=1M', 'count=100', 'conv=fsync'],
    limit,
  );
  await eventually('the full store is reported', 180, async () => {
    return (await machine.eventCodes()).includes('ReplicaStoreFull') ? true : undefined;
  });
  await checkUnchanged(t, machine, earlier);
  rmSync(ballast);
  await checkAtRest(t, machine, loop, mount);
  await checkUnchanged(t, machine, earlier);
});

test('two machines with several disks each do not mix, and idle ones cost nothing', async (t) => {
  const loops = [await makeLoop(t, 64 << 20), await makeLoop(t, 96 << 20), await makeLoop(t, 80 << 20)];
  for (const loop of loops)
    await run('dd', ['if=/dev/urandom', `of=${loop.path}`, 'bs=1M', 'count=40', 'conv=fsync'], limit);
  const first = await protect(t, 'first', [loops[0]!.path, loops[1]!.path], { crashConsistentSeconds: 1 });
  const second = await protect(t, 'second', [loops[2]!.path], { crashConsistentSeconds: 1 });
  await Promise.all([first.pointAfter(0, 180), second.pointAfter(0, 180)]);
  for (const [index, loop] of loops.entries())
    await run(
      'dd',
      ['if=/dev/urandom', `of=${loop.path}`, 'bs=1M', `seek=${index * 3}`, 'count=5', 'conv=fsync,notrunc'],
      limit,
    );
  const moment = Date.now();
  const [a, b] = await Promise.all([first.pointAfter(moment), second.pointAfter(moment)]);
  for (const [machine, point, index, loop] of [
    [first, a, 0, loops[0]!],
    [first, a, 1, loops[1]!],
    [second, b, 0, loops[2]!],
  ] as const)
    t.is(await sha256Of(machine.pointPath(point, index)), await sha256Of(loop.path));
  t.true(statSync(second.pointPath(b)).size === 80 << 20);
});
