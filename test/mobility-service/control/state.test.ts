// Goal: a service installed anew outnumbers every session of the installation before it, however short those were.
// Method: the state file in a real folder; a clock that stands between two durable writes of the same millisecond.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ServiceState } from '../../../src/mobility-service/control/state.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { systemFiles } from '../../../src/platform/files.ts';

test('sessions within one second do not outnumber the installation that comes after them', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-state-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  let now = Date.UTC(2026, 10, 21, 12, 0, 0);
  const clock: Clock = { ...systemClock, now: () => now };
  const before = await ServiceState.load(systemFiles, folder, clock, 'boot');
  const counted: number[] = [];
  for (let session = 0; session < 20; session += 1) {
    counted.push(await before.nextGeneration());
    now += 2;
  }
  await rm(join(folder, 'state.json'));
  const renewed = await ServiceState.load(systemFiles, folder, clock, 'boot');
  t.true((await renewed.nextGeneration()) > Math.max(...counted), `${renewed.generation} after ${counted}`);
});

test('an installation that remembers goes on counting, whatever the clock says', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-state-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const first = await ServiceState.load(systemFiles, folder, systemClock, 'boot');
  const generation = await first.nextGeneration();
  const setBack: Clock = { ...systemClock, now: () => 0 };
  const second = await ServiceState.load(systemFiles, folder, setBack, 'boot');
  t.is(await second.nextGeneration(), generation + 1);
});
