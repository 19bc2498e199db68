// Goal: machines that never pause get points, each of them a state that the disks were in, and nobody who writes stands
// still for long, whatever is killed meanwhile.
// Method: three raw devices written in one order without a pause, by a process that knows it; the service as it is started; a
// point must be a prefix of that order. The service and its brake are killed in the middle.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { tryRun } from '../../../src/platform/exec.ts';
import { canLoop, canTrace, type LoopDevice, makeLoop } from '../../support/loop-device.ts';
import { lastOfPrefix } from '../../support/ordered-writer.ts';
import { awaiting, makeRealService, type StartedService } from '../../support/real-service.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';
import { canBrake, limitsOn } from '../../support/write-limits.ts';

const missing = canLoop() ?? canTrace() ?? canBrake();
const test = missing === undefined ? anyTest.serial : anyTest.serial.skip;
if (missing) console.log(`skipped: ${missing}`);
const mebibyte = 1 << 20;
/** The limit of safety: no writer may stand still for longer, whatever happens. */
const stallMillisecondsMax = 3_000;

for (const hasBrake of [true, false])
  test(`three raw disks written without a pause: every point is a prefix of their order, ${hasBrake ? 'with' : 'without'} the brake`, async (t) => {
    const w = await world(t, hasBrake);
    const service = w.real.start();
    // Without the brake such a machine may get none.
    await w.begin(service);
    if (hasBrake) await w.points(service, 6);
    const writer = await w.writer.end();
    await w.points(service, 1);
    t.is(await service.stop(), 0);
    t.log(
      `${writer.last} writes, ${w.receiver.points.length} points, longest stall ${writer.longestMilliseconds.toFixed(0)} ms`,
    );
    if (hasBrake) t.true(w.receiver.points.some(({ bookmark }) => bookmark.method === 'brake'));
    w.judged(writer);
  });

test('kill -9 of the service and of its brake leaves no limit behind and spoils no point', async (t) => {
  const w = await world(t, true);
  let service = w.real.start();
  await w.begin(service);
  // While it holds writers back, or as near as can be told from outside.
  for (const victims of [
    ['leeward-brake'],
    ['leeward-brakeg'],
    ['leeward-brakeg', 'leeward-brake'],
    ['service'],
  ]) {
    await awaiting('a hold', service, async () => {
      const ids: number[] = [];
      for (const name of victims)
        ids.push(...(name === 'service' ? [service.child.pid!] : await brakesOf(service.child.pid!, name)));
      if (ids.length < victims.length) return undefined;
      // All of them at once, so that none can act on another's death.
      for (const signal of ['SIGSTOP', 'SIGKILL'] as const)
        for (const id of ids) if (isThere(id)) process.kill(id, signal);
      return true;
    });
    if (victims[0] === 'service') {
      await once(service.child, 'exit');
      // The brake meets the end of its input.
      await limitsOn(w.devices, 0);
      service = w.real.start();
    }
    await w.points(service, 1);
  }
  const writer = await w.writer.end();
  await w.points(service, 1);
  t.is(await service.stop(), 0);
  await limitsOn(w.devices, 0);
  t.log(`${w.receiver.points.length} points, longest stall ${writer.longestMilliseconds.toFixed(0)} ms`);
  w.judged(writer);
});

async function world(t: ExecutionContext<unknown>, hasBrake: boolean) {
  const devices = [
    await makeLoop(t, 12 * mebibyte),
    await makeLoop(t, 12 * mebibyte),
    await makeLoop(t, 12 * mebibyte),
  ];
  const receiver = new ReferenceReceiver(8 * mebibyte);
  const prefixes: number[] = [];
  const faults: unknown[] = [];
  receiver.judge = (bookmark, images) => {
    try {
      prefixes.push(lastOfPrefix(images));
    } catch (error) {
      faults.push(`${bookmark.method}: ${String(error)}`);
    }
  };
  const real = await makeRealService(t, {
    paths: devices.map(({ path }) => path),
    serve: (link) => receiver.serve(link),
    policy: { crashConsistentSeconds: 0.5 },
    hasBrake,
  });
  const writer = startWriter(t, devices);
  const points = async (service: StartedService, count: number): Promise<void> => {
    const { length } = receiver.points;
    await awaiting('points', service, () => (receiver.points.length >= length + count ? true : undefined));
  };
  return {
    ...{ devices, receiver, real, writer, points },
    begin: (service: StartedService) =>
      awaiting('a session', service, () => (receiver.begins.length >= devices.length ? true : undefined)),
    judged: ({ last, longestMilliseconds }: Written) => {
      t.deepEqual(faults, []);
      t.is(prefixes.at(-1), last, 'the last point has all that was written');
      t.deepEqual(
        [...prefixes].sort((one, other) => one - other),
        prefixes,
        'a later point has no less',
      );
      t.true(
        longestMilliseconds < stallMillisecondsMax,
        `a writer stood still for ${longestMilliseconds} ms`,
      );
    },
  };
}

interface Written {
  readonly last: number;
  readonly longestMilliseconds: number;
}

function startWriter(
  t: ExecutionContext<unknown>,
  devices: readonly LoopDevice[],
): { end(): Promise<Written> } {
  const child: ChildProcess = spawn(
    process.execPath,
    ['test/support/ordered-writer.ts', '1', ...devices.map(({ path }) => path)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let said = '';
  child.stdout!.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const closed = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  return {
    end: async () => {
      child.kill('SIGTERM');
      await closed;
      return JSON.parse(said) as Written;
    },
  };
}

/** Children of the service, or theirs, by name. */
async function brakesOf(parent: number, name: string): Promise<number[]> {
  const { stdout } = await tryRun('pgrep', ['-x', name], { timeoutMilliseconds: 10_000 });
  const found: number[] = [];
  for (const id of stdout
    .split('\n')
    .filter((line) => line !== '')
    .map(Number)) {
    let above = id;
    for (let layer = 0; layer < 3 && above !== parent && above > 1; layer++)
      above = Number(
        /^PPid:\s+(\d+)/m.exec(await readFile(`/proc/${above}/status`, 'utf8').catch(() => ''))?.[1] ?? 0,
      );
    if (above === parent) found.push(id);
  }
  return found;
}

function isThere(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch {
    return false;
  }
}
