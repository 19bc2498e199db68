/** A spool of version 1 is recovered for ever: an upgrade finds what the version before it acknowledged. */
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ProtectedDiskId, ProtectedItemId } from '../../../src/model/ids.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { ItemSpool } from '../../../src/process-server/spool/item-spool.ts';
import { SpoolSpace } from '../../../src/process-server/spool/space.ts';
import { encodeFrame, FrameType, frame, jsonFrame } from '../../../src/protocol/replication/frame.ts';
import type { Hello } from '../../../src/protocol/replication/messages.ts';
import { Receiver } from '../../../src/protocol/replication/receiver.ts';

const golden = join(import.meta.dirname, '../../golden/spool/v1');
const itemId = '6f9619ff-8b86-4011-b42d-00cf4fc964ff' as ProtectedItemId;
const diskId = '7f9619ff-8b86-4011-b42d-00cf4fc964ff' as ProtectedDiskId;
const resyncId = '9f9619ff-8b86-4011-b42d-00cf4fc964ff';
const hello: Hello = {
  protocolVersions: [2],
  itemId,
  sessionId: '8f9619ff-8b86-4011-b42d-00cf4fc964ff',
  generation: 7,
  bootId: 'boot',
  agentVersion: '0.1.0',
  hostName: 'golden',
  disks: [{ diskId, sizeBytes: 8192, name: '/dev/sda' }],
};

function spoolIn(folder: string): ItemSpool {
  const space = new SpoolSpace({ serverBytes: 1 << 30, itemBytes: 1 << 30, refineReserveBytes: 0 });
  return new ItemSpool({ files: systemFiles, folder, itemId, space, partBytesMax: 1 << 20 });
}

test('a spool of version 1 is recovered', async (t) => {
  // A missing one is an error; LEEWARD_WRITE_GOLDEN=1 writes that of a new version.
  if (process.env.LEEWARD_WRITE_GOLDEN === '1' && !existsSync(golden)) {
    mkdirSync(golden, { recursive: true });
    const spool = spoolIn(golden);
    await spool.recover();
    await spool.beginAnew(0, []);
    await spool.acceptGeneration(7);
    const receiver = new Receiver(hello, []);
    const begin = {
      resyncId,
      diskId,
      kind: 'initial',
      cause: 'InitialReplication',
      fromBytes: 0,
      sizeBytes: 8192,
    };
    const frames = [
      jsonFrame(FrameType.resyncBegin, begin, { generation: 7, sequence: 1 }),
      frame(FrameType.zero, { generation: 7, sequence: 2, lengthBytes: 8192 }),
      jsonFrame(
        FrameType.resyncEnd,
        { resyncId, diskId, comparedBytes: 8192, sentBytes: 0 },
        { generation: 7, sequence: 3 },
      ),
    ];
    for (const each of frames) {
      receiver.accept(each);
      await spool.append(encodeFrame(each), hello, receiver.disks, {
        closeAfter: each.sequence === 1,
        nowMilliseconds: 0,
        check: () => {},
      });
    }
    await spool.close();
  }
  const folder = await mkdtemp(join(tmpdir(), 'leeward-golden-spool-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  cpSync(golden, folder, { recursive: true });
  const spool = spoolIn(folder);
  await spool.recover();
  t.like(spool.state, { highestGeneration: 7, chain: 7, refinedThroughPart: 0 });
  t.is(spool.closedParts.length, 2);
  t.deepEqual(spool.disks, [{ diskId, sizeBytes: 8192, state: 'in-sync' }]);
});

test('fields that came within version 1 are read, and outlive a session', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-golden-spool-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  cpSync(`${golden}-later`, folder, { recursive: true });
  const spool = spoolIn(folder);
  await spool.recover();
  const { machineIdentity } = spool.state;
  t.regex(machineIdentity!, /^leeward-machine\/1 product=80d3d851304f/);
  t.deepEqual(spool.received, { generation: 7, sequence: 3 });
  // A session of an earlier version says nothing of it; a lost journal does not change the machine either.
  await spool.acceptGeneration(8);
  await spool.beginAnew(8, []);
  const again = spoolIn(folder);
  await again.recover();
  t.is(again.state.machineIdentity, machineIdentity);
});
