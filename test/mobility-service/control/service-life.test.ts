// Goal: how the service ends, reloads and is refused is what its unit and its operator rely on.
// Method: the service as it is started, a small loop device, a receiver of the test's own.
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import { run } from '../../../src/platform/exec.ts';
import { canLoop, canTrace, makeLoop } from '../../support/loop-device.ts';
import { awaiting, makeRealService } from '../../support/real-service.ts';
import { ReferenceReceiver } from '../../support/reference-receiver.ts';

const missing = canLoop() ?? canTrace();
const test = missing === undefined ? anyTest.serial : anyTest.serial.skip;
if (missing) console.log(`skipped: ${missing}`);
const timeoutMilliseconds = 90_000;

test('SIGHUP takes a valid assignment, keeps the old one instead of an invalid one, and needs no walk', async (t) => {
  const device = await makeLoop(t, 16 << 20);
  const receiver = new ReferenceReceiver(8 << 20);
  const real = await makeRealService(t, { paths: [device.path], serve: (link) => receiver.serve(link) });
  const service = real.start();
  await awaiting('a first point', service, () => (receiver.points.length > 0 ? true : undefined));
  const path = join(real.folder, 'assignment.json');
  const text = await readFile(path, 'utf8');

  await writeFile(path, '{ "itemId": ');
  service.child.kill('SIGHUP');
  await awaiting('the refusal in the log', service, () =>
    service.said().includes('assignment-not-reloaded') ? true : undefined,
  );
  const before = receiver.points.length;
  await run('dd', ['if=/dev/zero', `of=${device.path}`, 'bs=4k', 'count=1', 'status=none'], {
    timeoutMilliseconds,
  });
  await awaiting('points go on', service, () => (receiver.points.length > before ? true : undefined));

  await writeFile(path, text.replace('"crashConsistentSeconds":1', '"crashConsistentSeconds":2'));
  const { generation } = await real.status();
  service.child.kill('SIGHUP');
  await awaiting('a new session', service, async () =>
    Number((await real.status()).generation) > Number(generation) ? true : undefined,
  );
  const later = receiver.points.length;
  await awaiting('points after it', service, () => (receiver.points.length > later ? true : undefined));
  t.is(receiver.begins.length, 1, 'only the initial replication');
  t.is(await service.stop(), 0);
});

test('a machine that was reverted is told what to do, ends with 77, and does that', async (t) => {
  const device = await makeLoop(t, 16 << 20);
  const receiver = new ReferenceReceiver(8 << 20);
  const real = await makeRealService(t, { paths: [device.path], serve: (link) => receiver.serve(link) });
  const statePath = join(real.folder, 'state', 'state.json');
  const first = real.start();
  await awaiting('a first point', first, () => (receiver.points.length > 0 ? true : undefined));
  const snapshot = await readFile(statePath);
  t.is(await first.stop(), 0);
  const second = real.start();
  const before = receiver.points.length;
  await awaiting('a second run', second, () => (receiver.points.length > before ? true : undefined));
  t.is(await second.stop(), 0);
  t.is(receiver.begins.length, 1, second.said());

  await writeFile(statePath, snapshot);
  const reverted = real.start();
  await once(reverted.child, 'close');
  t.is(reverted.child.exitCode, 77, reverted.said());
  t.regex(reverted.said(), /MachineCopied/);
  t.true(reverted.said().includes(`remove the files in ${join(real.folder, 'state')}`), reverted.said());

  for (const name of ['state.json', 'capture.state'])
    await rm(join(real.folder, 'state', name), { force: true });
  const renewed = real.start();
  const walks = receiver.begins.length;
  const points = receiver.points.length;
  await awaiting('a point after that', renewed, () => (receiver.points.length > points ? true : undefined));
  t.is(receiver.begins.length, walks + 1, 'the disk is compared');
  t.is(receiver.begins.at(-1)?.kind, 'resync');
  t.is(await renewed.stop(), 0);
});

test('a status that cannot be written keeps nothing from being replicated', async (t) => {
  const device = await makeLoop(t, 16 << 20);
  const receiver = new ReferenceReceiver(8 << 20);
  const real = await makeRealService(t, { paths: [device.path], serve: (link) => receiver.serve(link) });
  const service = real.start();
  await awaiting('a first point', service, () => (receiver.points.length > 0 ? true : undefined));
  await rm(join(real.folder, 'run'), { recursive: true });
  await awaiting('the reason in the log', service, () =>
    service.said().includes('status-not-written') ? true : undefined,
  );
  const before = receiver.points.length;
  await awaiting('points go on', service, () => (receiver.points.length > before + 1 ? true : undefined));
  t.is(await service.stop(), 0);
  t.is(receiver.begins.length, 1);
});

test('the unit does not bring a refused service back', async (t) => {
  const unit = await readFile(
    join(import.meta.dirname, '../../../appliance/agent/leeward-mobility.service'),
    'utf8',
  );
  t.regex(unit, /^RestartPreventExitStatus=77$/m);
});
