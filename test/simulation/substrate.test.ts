/**
 * Goal: the simulated world keeps the promises that its rooms make, above all that it can lose what may be lost and never
 * loses what was made durable; otherwise its verdict on the houses is worth nothing.
 */
import test from 'ava';
import { readWhole, writeDurably } from '../../src/platform/files.ts';
import { Life, SimulatedClock, Timeline, WallClock } from '../support/simulated/clock.ts';
import { SimulatedDisk } from '../support/simulated/disk.ts';
import { SimulatedDrive } from '../support/simulated/files.ts';
import { SeededRandom } from '../support/simulated/random.ts';

/** Runs `work` in a world of its own, to its end or to `untilMilliseconds`. */
async function inWorld(
  seed: string,
  work: (world: {
    timeline: Timeline;
    random: SeededRandom;
    life: Life;
    drive: SimulatedDrive;
  }) => Promise<void>,
  untilMilliseconds = 1e9,
): Promise<{ isDone: boolean }> {
  const timeline = new Timeline();
  const random = new SeededRandom(seed);
  const life = new Life('test');
  const drive = new SimulatedDrive(timeline, random.fork('drive'));
  let isDone = false;
  let failure: unknown;
  work({ timeline, random, life, drive }).then(
    () => {
      isDone = true;
    },
    (error: unknown) => {
      failure = error;
      isDone = true;
    },
  );
  await timeline.run(untilMilliseconds, () => isDone);
  if (failure) throw failure;
  return { isDone };
}

test('a seed gives the same numbers every time, and a fork does not depend on what its parent has given', (t) => {
  const one = new SeededRandom('7');
  const other = new SeededRandom('7');
  t.deepEqual(one.bytes(64), other.bytes(64));
  t.is(one.fork('a').uuid(), new SeededRandom('7').fork('a').uuid());
  t.not(one.fork('a').uuid(), one.fork('b').uuid());
});

test('time jumps to the next wait, in order, and an ended life never comes back', async (t) => {
  const seen: string[] = [];
  await inWorld('1', async ({ timeline, life }) => {
    const doomed = new Life('doomed');
    const clock = new SimulatedClock(timeline, life, new WallClock(1000));
    const doomedClock = new SimulatedClock(timeline, doomed, new WallClock(0));
    void doomedClock.sleep(50).then(() => seen.push('doomed'));
    void clock.sleep(20).then(() => seen.push(`b at ${clock.monotonic()}`));
    void clock.sleep(10).then(() => {
      seen.push(`a at ${clock.now()}`);
      doomed.end();
    });
    await clock.sleep(3_600_000);
    seen.push('an hour later');
  });
  t.deepEqual(seen, ['a at 1010', 'b at 20', 'an hour later']);
});

test('an abort ends a simulated sleep with its reason', async (t) => {
  await inWorld('1', async ({ timeline, life }) => {
    const clock = new SimulatedClock(timeline, life, new WallClock(0));
    const abort = new AbortController();
    timeline.after(5, () => abort.abort(new Error('enough')));
    await t.throwsAsync(clock.sleep(1000, abort.signal), { message: 'enough' });
    t.is(clock.monotonic(), 5);
  });
});

test('a power loss keeps what was synced and may lose or tear the rest, by sector', async (t) => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 60; seed++)
    await inWorld(`loss/${seed}`, async ({ drive, life }) => {
      const files = drive.files(life);
      await files.makeFolder('/f');
      const file = await files.open('/f/a', 'exclusive');
      await file.write(Buffer.alloc(4096, 'o'), 0);
      await file.sync();
      await files.syncDirectory('/f');
      await file.write(Buffer.alloc(1024, 'n'), 512);
      await file.write(Buffer.alloc(512, 'n'), 4096);
      drive.losePower();
      const content = drive.peek('/f/a')!;
      t.is(content.subarray(0, 512).toString(), 'o'.repeat(512));
      t.is(content.subarray(1536, 4096).toString(), 'o'.repeat(2560));
      const sectors = [512, 1024].map((at) => {
        const sector = content.subarray(at, at + 512).toString();
        t.true(sector === 'o'.repeat(512) || sector === 'n'.repeat(512));
        return sector[0];
      });
      outcomes.add(sectors.join(''));
    });
  t.deepEqual([...outcomes].sort(), ['nn', 'no', 'on', 'oo']);
});

test('a name is durable only after its folder was synced, and a rename is never half done', async (t) => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 60; seed++)
    await inWorld(`names/${seed}`, async ({ drive, life }) => {
      const files = drive.files(life);
      await files.makeFolder('/f');
      await writeDurably(files, '/f/old', Buffer.from('old'));
      await files.rename('/f/old', '/f/new');
      const lost = await files.open('/f/lost', 'exclusive');
      await lost.sync();
      drive.losePower();
      const names = drive.paths('/f');
      t.true(names.includes('/f/old') !== names.includes('/f/new'));
      outcomes.add(names.join(' '));
    });
  t.deepEqual([...outcomes].sort(), ['/f/lost /f/new', '/f/lost /f/old', '/f/new', '/f/old']);
});

test('what writeDurably wrote is old or new after a power loss at any moment, and whole', async (t) => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 150; seed++)
    await inWorld(`durably/${seed}`, async ({ timeline, random, drive, life }) => {
      const setUp = drive.files(life);
      await setUp.makeFolder('/f');
      await writeDurably(setUp, '/f/a', Buffer.alloc(2000, 'o'));
      const doomed = new Life('doomed');
      let hasReturned = false;
      void writeDurably(drive.files(doomed), '/f/a', Buffer.alloc(3000, 'n')).then(() => {
        hasReturned = true;
      });
      await new SimulatedClock(timeline, life, new WallClock(0)).sleep(random.range(0, 4));
      doomed.end();
      drive.losePower();
      const content = (await readWhole(drive.files(life), '/f/a'))!.toString();
      t.true(content === 'o'.repeat(2000) || content === 'n'.repeat(3000));
      if (hasReturned) t.is(content, 'n'.repeat(3000));
      outcomes.add(`${content[0]}${hasReturned}`);
    });
  t.deepEqual([...outcomes].sort(), ['nfalse', 'ntrue', 'ofalse']);
});

test('a clone shares content and goes its own way', async (t) => {
  await inWorld('clone', async ({ drive, life }) => {
    const files = drive.files(life);
    await files.makeFolder('/f');
    const file = await files.open('/f/a', 'exclusive');
    await file.write(Buffer.from('before'), 0);
    await files.clone('/f/a', '/f/b');
    await file.write(Buffer.from('after '), 0);
    t.is(drive.peek('/f/b')!.toString(), 'before');
    t.is(drive.peek('/f/a')!.toString(), 'after ');
  });
});

test('a full drive fails a write after a part of it, with ENOSPC', async (t) => {
  await inWorld('full', async ({ drive, life }) => {
    const files = drive.files(life);
    await files.makeFolder('/f');
    const file = await files.open('/f/a', 'exclusive');
    drive.isFull = true;
    await t.throwsAsync(file.write(Buffer.alloc(100, 'x'), 0), { code: 'ENOSPC' });
    await t.throwsAsync(files.open('/f/b', 'create'), { code: 'ENOSPC' });
    t.true((await file.sizeBytes()) < 100);
    drive.isFull = false;
    await file.write(Buffer.alloc(100, 'x'), 0);
    t.is(await file.sizeBytes(), 100);
  });
});

test('the oracle accepts every state that a power loss could leave, and no other', async (t) => {
  await inWorld('oracle', async ({ timeline, random }) => {
    const disks = ['a', 'b'].map((name) => new SimulatedDisk(name, 8192, timeline, random.fork(name)));
    const image = () =>
      disks.map((disk) => {
        const content = Buffer.alloc(disk.sizeBytes);
        disk.readNow(content, 0);
        return { disk, content };
      });
    const legal = (images: ReturnType<typeof image>) => {
      let blamed = '';
      const moments = SimulatedDisk.legalMoments(images, { from: 0, to: timeline.moment }, (text) => {
        blamed = text;
      });
      t.is(moments.length === 0, blamed !== '');
      return moments;
    };
    const empty = image();
    await disks[0]!.write(0, Buffer.alloc(4096, '1'));
    const first = image();
    await disks[1]!.write(4096, Buffer.alloc(4096, '2'));
    const second = image();
    t.true(legal(empty).length > 0 && legal(first).length > 0 && legal(second).length > 0);
    // The second write without the first was never so.
    t.deepEqual(legal([empty[0]!, second[1]!]), []);
    // A completed write is not torn; one under way may be.
    const torn = image();
    torn[0]!.content.fill(0, 512, 1024);
    t.deepEqual(legal(torn), []);
    const underWay = disks[0]!.write(0, Buffer.alloc(4096, '3'));
    const half = image();
    half[0]!.content.fill('3', 512, 1024);
    t.is(legal(half).at(-1)?.to, timeline.moment);
    await underWay;
    half[0]!.content.fill('1', 512, 1024);
    half[0]!.content[0] = 0x7a;
    t.deepEqual(legal(half), []);
  });
});
