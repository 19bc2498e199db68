// Goal: a clone of a machine that is connected waits, is found out, ends with 77 and has changed nothing.
// Method: the service as it is started against a whole process server, whose clock the test moves. The service's state is
// set back to an earlier moment while somebody else is connected under its name.
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import { renderMachineIdentity } from '../../../src/model/machine-identity.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import type { ProcessServer } from '../../../src/process-server/server.ts';
import { heartbeatMilliseconds, silenceMillisecondsMax } from '../../../src/protocol/replication/messages.ts';
import { canLoop, canTrace, makeLoop } from '../../support/loop-device.ts';
import { writeMachineFacts } from '../../support/machine-facts.ts';
import { world } from '../../support/process-server-world.ts';
import { awaiting, makeRealService, type StartedService } from '../../support/real-service.ts';
import { ScriptedSender } from '../../support/scripted-sender.ts';

const missing = canLoop() ?? canTrace();
const test = missing === undefined ? anyTest.serial : anyTest.serial.skip;
if (missing) console.log(`skipped: ${missing}`);
const sizeBytes = 4 << 20;

test('a clone of a connected machine waits for its silence, is told that it is one, and ends with 77', async (t) => {
  let aheadMilliseconds = 0;
  const clock: Clock = { ...systemClock, monotonic: () => systemClock.monotonic() + aheadMilliseconds };
  const { start, assign, connect } = await world(t);
  let server: ProcessServer | undefined;
  const device = await makeLoop(t, sizeBytes);
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: async (link) => server!.serve(link),
  });
  const original = Object.assign(new ScriptedSender([sizeBytes]), {
    itemId: real.itemId,
    diskIds: real.diskIds,
  }) as ScriptedSender;
  server = start({ clock });
  await assign(server, original);

  const statePath = join(real.folder, 'state', 'state.json');
  const pointAfter = (service: StartedService, last: string | undefined) =>
    awaiting('a point', service, async () => {
      const { lastBookmark } = (await real.status().catch(() => ({}))) as {
        lastBookmark?: { bookmarkId: string };
      };
      return lastBookmark && lastBookmark.bookmarkId !== last ? lastBookmark.bookmarkId : undefined;
    });
  const first = real.start();
  const point = await pointAfter(first, undefined);
  t.is(await first.stop(), 0);
  const copied = await readFile(statePath);
  const second = real.start();
  await pointAfter(second, point);
  t.is(await second.stop(), 0);

  const { generation } = JSON.parse(await readFile(statePath, 'utf8')) as { generation: number };
  await connect(server, original, generation + 1);
  t.is(original.welcome?.disks[0]?.state, 'in-sync');
  await writeFile(statePath, copied);
  const clone = real.start();
  await awaiting('the clone is told to wait', clone, () =>
    clone.said().includes('SessionStillLive') ? true : undefined,
  );
  t.is(server.item(original.itemId)?.status.session?.generation, generation + 1);
  const closed = once(clone.child, 'close');
  aheadMilliseconds = silenceMillisecondsMax + 2 * heartbeatMilliseconds;
  await closed;
  t.is(clone.child.exitCode, 77, clone.said());
  t.regex(clone.said(), /MachineCopied/);

  // The original has not noticed.
  t.is(server.item(original.itemId)?.status.session?.generation, generation + 1);
  await original.bookmark();
  await original.acknowledged();
  t.is(original.ended, undefined);
});

test('a clone in other hardware is refused at its first hello, whatever its state remembers, and ends with 77', async (t) => {
  const { start, assign, connect, folder } = await world(t);
  let server: ProcessServer | undefined;
  const device = await makeLoop(t, sizeBytes);
  const machineRoot = join(folder, 'clone-root');
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: async (link) => server!.serve(link),
    machineRoot,
  });
  await writeMachineFacts(machineRoot, { product: 'the-clone', nics: ['00:50:56:9a:00:02'] });
  const original = Object.assign(new ScriptedSender([sizeBytes]), {
    itemId: real.itemId,
    diskIds: real.diskIds,
    machineIdentity: renderMachineIdentity({ instance: 'i1', product: 'p1', nics: ['n1'], disks: [] }),
  }) as ScriptedSender;
  server = start();
  await assign(server, original);
  await connect(server, original, 5);
  await original.synchronize();
  await original.bookmark();
  await original.acknowledged();
  // It has no state: its generation is far above the original's, and it remembers no session.
  const clone = real.start();
  await once(clone.child, 'close');
  t.is(clone.child.exitCode, 77, clone.said());
  t.regex(clone.said(), /MachineCopied/);
  t.regex(clone.said(), /leeward-mobility-service enrol/);
  t.is(server.item(original.itemId)?.status.session?.generation, 5);
  await original.bookmark();
  await original.acknowledged();
  t.is(original.ended, undefined);
});

test('a service whose state lies on no protected disk says that nothing proves its capture', async (t) => {
  const device = await makeLoop(t, sizeBytes);
  const { start, assign } = await world(t);
  let server: ProcessServer | undefined;
  const real = await makeRealService(t, {
    paths: [device.path],
    serve: async (link) => server!.serve(link),
  });
  const machine = Object.assign(new ScriptedSender([sizeBytes]), {
    itemId: real.itemId,
    diskIds: real.diskIds,
  }) as ScriptedSender;
  server = start();
  await assign(server, machine);
  const service = real.start();
  const event = await awaiting('the event', service, async () => {
    const status = (await real.status().catch(() => ({}))) as {
      lastHealthEvent?: Record<string, unknown>;
      lastBookmark?: unknown;
    };
    return status.lastBookmark ? status.lastHealthEvent : undefined;
  });
  t.like(event, { code: 'NoCanary', severity: 'warning' });
  t.true(String(event.summary).includes(join(real.folder, 'state')));
  t.regex(String(event.recommendedAction), /Move the state folder to a protected disk/);
  t.is(await service.stop(), 0);
});
