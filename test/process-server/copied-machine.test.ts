// Goal: a copy of a machine, with its certificate, its disks' ids and a higher generation, changes nothing at the process
// server: no byte of it is taken, the generation stays, the original's session goes on, and is not compared anew.
// Method: the whole process server in this process; two senders of one item that say of themselves that they are other
// machines. Images rebuilt from cache storage are compared with the original's at every bookmark.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { renderMachineIdentity } from '../../src/model/machine-identity.ts';
import { type Clock, systemClock, until } from '../../src/platform/clock.ts';
import type { ProcessServer } from '../../src/process-server/server.ts';
import { heartbeatMilliseconds, silenceMillisecondsMax } from '../../src/protocol/replication/messages.ts';
import { throwsExplained } from '../support/explained.ts';
import { drained, MiB, type ProcessServerWorld, world } from '../support/process-server-world.ts';
import { replay, ScriptedSender } from '../support/scripted-sender.ts';

const hardware = { product: 'p1', serial: 's1', nics: ['n1'], disks: ['d1'], system: 'm1' };
const otherHardware = { product: 'p2', serial: 's2', nics: ['n2'], disks: ['d2'], system: 'm1' };
const identity = (of: typeof hardware, instance: string) => renderMachineIdentity({ ...of, instance });

/** Has everything that lies on the original's disks, and other bytes. */
function copyOf(original: ScriptedSender, machineIdentity: string | undefined): ScriptedSender {
  const copy = Object.assign(new ScriptedSender([MiB]), {
    itemId: original.itemId,
    itemKey: original.itemKey,
    diskIds: original.diskIds,
    previous: original.previous,
    machineIdentity,
  }) as ScriptedSender;
  copy.write(50);
  return copy;
}

async function protectedBy(
  { assign, connect }: ProcessServerWorld,
  server: ProcessServer,
): Promise<ScriptedSender> {
  const original = new ScriptedSender([MiB]);
  original.machineIdentity = identity(hardware, 'i1');
  await assign(server, original);
  original.write(50);
  await connect(server, original, 5);
  await original.synchronize();
  await original.bookmark();
  await original.acknowledged();
  original.previous = { generation: 5, sequence: original.sender.sequence };
  return original;
}

/** Hangs up, and remembers how far it came. */
async function leave(original: ScriptedSender): Promise<void> {
  const { generation, sender } = original;
  original.previous = { generation, sequence: sender.sequence };
  await original.disconnect();
}

/** Every point equals the original's disks: `replay` compares, and knows no point of the copy. */
async function onlyTheOriginal(
  t: import('ava').ExecutionContext<unknown>,
  { store }: ProcessServerWorld,
  server: ProcessServer,
  original: ScriptedSender,
) {
  await drained(server, original);
  const { bookmarks, manifests } = await replay(original, store);
  t.deepEqual(bookmarks, [...original.points.keys()]);
  t.is(new Set(manifests.map(({ chain }) => chain)).size, 1, 'one chain');
}

for (const [title, instance, hasPrevious] of [
  ['that ran on its own before', 'i2', false],
  ['that remembers the original’s session', 'i2', true],
  ['made with its memory', 'i1', true],
] as const)
  test(`a copy ${title} is refused beside the original, which goes on in its session`, async (t) => {
    const w = await world(t);
    const server = w.start();
    const original = await protectedBy(w, server);
    const copy = copyOf(original, identity(otherHardware, instance));
    if (!hasPrevious) copy.previous = undefined;
    for (const generation of [6, 99, 2 ** 50])
      await throwsExplained(t, w.connect(server, copy, generation), {
        code: 'MachineCopied',
        says: /came with the identity of the machine that replicates here/,
        cause: /cloned/,
        action: /enrol/,
      });
    t.is(server.item(original.itemId)?.status.session?.generation, 5);
    t.is(original.ended, undefined);
    const state = JSON.parse(
      await readFile(join(w.folder, 'spool', original.itemId, 'state.json'), 'utf8'),
    ) as {
      highestGeneration: number;
    };
    t.is(state.highestGeneration, 5, 'no generation was moved');
    original.write(20);
    await original.bookmark();
    await original.acknowledged();
    // And the vault is told, once.
    await drained(server, original);
    const { manifests } = await replay(original, w.store);
    t.deepEqual(
      manifests.flatMap(({ health }) => health.map(({ code }) => code)),
      ['MachineCopied'],
    );
    await onlyTheOriginal(t, w, server, original);
  });

test('a copy alone is refused, also by a server that restarted, and the original comes back in sync', async (t) => {
  const w = await world(t);
  const first = w.start();
  const original = await protectedBy(w, first);
  await drained(first, original);
  await leave(original);
  const copy = copyOf(original, identity(otherHardware, 'i2'));
  await t.throwsAsync(w.connect(first, copy, 6), { code: 'MachineCopied' });
  await first[Symbol.asyncDispose]();
  const second = w.start();
  await w.assign(second, original);
  await t.throwsAsync(w.connect(second, copy, 7), { code: 'MachineCopied' });
  // The original rebooted meanwhile, and one of its cards was replaced.
  original.machineIdentity = identity({ ...hardware, nics: ['n9'] }, 'i3');
  original.write(20);
  await w.connect(second, original, 6);
  t.is(original.welcome?.disks[0]?.state, 'in-sync');
  await original.bookmark();
  await original.acknowledged();
  await onlyTheOriginal(t, w, second, original);
  // What it is now is what counts from here on: its board is replaced next.
  await leave(original);
  original.machineIdentity = identity({ ...hardware, nics: ['n9'], product: 'p9', serial: 's9' }, 'i4');
  await w.connect(second, original, 7);
  t.is(original.welcome?.disks[0]?.state, 'in-sync');
});

test('a copy in the same hardware waits while the original lives, and is then known as a copy', async (t) => {
  let aheadMilliseconds = 0;
  const clock: Clock = { ...systemClock, monotonic: () => systemClock.monotonic() + aheadMilliseconds };
  const w = await world(t);
  const server = w.start({ clock });
  const original = await protectedBy(w, server);
  const copy = copyOf(original, identity(hardware, 'i2'));
  await t.throwsAsync(w.connect(server, copy, 6), { code: 'SessionStillLive' });
  aheadMilliseconds = silenceMillisecondsMax + 2 * heartbeatMilliseconds;
  await t.throwsAsync(w.connect(server, copy, 7), { code: 'MachineCopied' });
  original.write(20);
  await original.bookmark();
  await original.acknowledged();
  t.is(original.ended, undefined);
  await onlyTheOriginal(t, w, server, original);
  // A reboot whose old connection has ended is no copy.
  await leave(original);
  await until(
    systemClock,
    60_000,
    () => server.item(original.itemId)?.status.session === null || undefined,
    () => new Error('the session did not end'),
  );
  original.machineIdentity = identity(hardware, 'i3');
  await w.connect(server, original, 8);
  t.is(original.welcome?.disks[0]?.state, 'in-sync');
});

test('the assignment says which machine it is, and may change while it replicates', async (t) => {
  const w = await world(t);
  const server = w.start();
  const original = await protectedBy(w, server);
  const assigned = (machineIdentity: string) =>
    server.assign(
      {
        itemId: original.itemId,
        name: 'machine',
        itemKeyFile: '/unused',
        disks: original.diskIds.map((diskId) => ({ diskId })),
        machineIdentity,
      },
      original.itemKey,
    );
  await assigned(identity(hardware, 'i1'));
  t.is(original.ended, undefined, 'nothing begins anew for it');
  const moved = identity(otherHardware, 'i2');
  const copy = copyOf(original, moved);
  await t.throwsAsync(w.connect(server, copy, 6), { code: 'MachineCopied' });
  // A person said that it takes the place of the other one.
  await leave(original);
  await assigned(moved);
  await w.connect(server, copy, 6);
  t.is(copy.welcome?.disks[0]?.state, 'in-sync');
  await t.throwsAsync(w.connect(server, original, 7), { code: 'MachineCopied' });
  // Half of it has changed: the configuration server decides, and until it has nothing is moved.
  const half = renderMachineIdentity({ ...hardware, disks: [], instance: 'i5' });
  await assigned(half);
  original.machineIdentity = renderMachineIdentity({ ...hardware, disks: [], nics: ['n9'], instance: 'i6' });
  await throwsExplained(t, w.connect(server, original, 8), {
    code: 'MachineChanged',
    says: /in half of what identifies it another machine/,
    cause: /network card/,
    action: /configuration server/,
  });
  t.is(server.item(original.itemId)?.status.session?.generation, 6);
});

test('a machine of an earlier version, which does not say what it is, replicates as before', async (t) => {
  const w = await world(t);
  const server = w.start();
  const original = await protectedBy(w, server);
  await leave(original);
  original.machineIdentity = undefined;
  await w.connect(server, original, 6);
  t.is(original.welcome?.disks[0]?.state, 'in-sync');
  await original.bookmark();
  await original.acknowledged();
  await onlyTheOriginal(t, w, server, original);
});
