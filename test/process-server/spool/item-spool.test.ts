/** Goal: whatever a crash leaves of a journal's tail, what was acknowledged is there and nothing else counts. */
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type Files, systemFiles } from '../../../src/platform/files.ts';
import { ItemSpool } from '../../../src/process-server/spool/item-spool.ts';
import { SpoolSpace } from '../../../src/process-server/spool/space.ts';
import { encodeFrame, FrameType, frame } from '../../../src/protocol/replication/frame.ts';
import { Receiver } from '../../../src/protocol/replication/receiver.ts';
import { ScriptedSender } from '../../support/scripted-sender.ts';

const sender = Object.assign(new ScriptedSender([1 << 20]), { generation: 1 });

/** Where a thousand crashes are tried: what is durable is of no matter to what is found. */
const unsyncedFiles: Files = {
  ...systemFiles,
  syncDirectory: async () => {},
  open: async (path, mode) => Object.assign(await systemFiles.open(path, mode), { sync: async () => {} }),
};

function spoolIn(folder: string, files = systemFiles): ItemSpool {
  const space = new SpoolSpace({ serverBytes: 1 << 30, itemBytes: 1 << 30, refineReserveBytes: 0 });
  return new ItemSpool({ files, folder, itemId: sender.itemId, space, partBytesMax: 1 << 20 });
}

const write = (sequence: number) =>
  frame(FrameType.data, {
    generation: 1,
    sequence,
    offsetBytes: sequence * 512,
    lengthBytes: 40,
    payload: Buffer.alloc(40, sequence),
  });

test('a tail that is torn at any byte, or has something else in its place, is cut, the part before it stays', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-spool-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const spool = spoolIn(join(folder, 'a'));
  await spool.recover();
  await spool.beginAnew(0, []);
  await spool.acceptGeneration(1);
  const hello = sender.hello();
  const receiver = new Receiver(hello, []);
  const options = { closeAfter: false, nowMilliseconds: 0, check: () => {} };
  for (let sequence = 1; sequence <= 4; sequence++) {
    receiver.accept(write(sequence));
    await spool.append(encodeFrame(write(sequence)), hello, receiver.disks, options);
  }
  await spool.close();
  const [name] = await readdir(join(folder, 'a', 'journal'));
  const whole = await readFile(join(folder, 'a', 'journal', name!));
  const frameBytes = encodeFrame(write(1)).byteLength;
  const firstEnd = whole.byteLength - 4 * frameBytes;
  const scratch = join(folder, 'b');
  await mkdir(join(scratch, 'journal'), { recursive: true });
  await copyFile(join(folder, 'a', 'state.json'), join(scratch, 'state.json'));
  // As a power loss leaves it: shorter, or as long as before with zeroes or an older file's content in place of the end.
  const ends = [
    () => Buffer.alloc(0),
    (count: number) => Buffer.alloc(count),
    (count: number) => Buffer.alloc(count, 0xa5),
  ];
  for (let at = 0; at <= whole.byteLength * ends.length; at++) {
    const length = Math.floor(at / ends.length);
    // Every length; every seventh with something else behind it, which meets each field of a frame as well.
    if (at % ends.length > 0 && length % 7 > 0) continue;
    const end = ends[at % ends.length]!(whole.byteLength - length);
    await writeFile(join(scratch, 'journal', name!), Buffer.concat([whole.subarray(0, length), end]));
    const again = spoolIn(scratch, unsyncedFiles);
    await again.recover();
    const frames = Math.max(0, Math.floor((length - firstEnd) / frameBytes));
    const kept = again.closedParts[0]?.sizeBytes ?? 0;
    t.is(
      kept,
      frames === 0 ? 0 : firstEnd + frames * frameBytes,
      `cut at ${length}, ${end.byteLength} bytes of something else behind it`,
    );
    t.is(again.state.highestGeneration, 1);
  }
});

test('an older generation can neither begin nor write', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-spool-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const spool = spoolIn(folder);
  await spool.recover();
  await spool.beginAnew(0, []);
  await spool.acceptGeneration(1);
  await spool.acceptGeneration(2);
  await t.throwsAsync(spool.acceptGeneration(2), { code: 'OldGeneration' } as never);
  const again = spoolIn(folder);
  await again.recover();
  await t.throwsAsync(again.acceptGeneration(1), { code: 'OldGeneration' } as never);
  await t.throwsAsync(
    again.append(encodeFrame(write(1)), sender.hello(), [], {
      closeAfter: false,
      nowMilliseconds: 0,
      check: () => {},
    }),
    { code: 'SessionFenced' } as never,
  );
});

test('a write whose sync fails does not count, and the next one goes where it was', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-spool-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  let failing = false;
  const files = {
    ...systemFiles,
    open: async (path: string, mode: Parameters<typeof systemFiles.open>[1]) => {
      const file = await systemFiles.open(path, mode);
      const sync = file.sync.bind(file);
      file.sync = async () => {
        if (failing && path.endsWith('.journal')) {
          failing = false;
          throw Object.assign(new Error('input/output error'), { code: 'EIO' });
        }
        await sync();
      };
      return file;
    },
  };
  const space = new SpoolSpace({ serverBytes: 1 << 30, itemBytes: 1 << 30, refineReserveBytes: 0 });
  const spool = new ItemSpool({ files, folder, itemId: sender.itemId, space, partBytesMax: 1 << 20 });
  await spool.recover();
  await spool.beginAnew(0, []);
  await spool.acceptGeneration(1);
  const hello = sender.hello();
  const receiver = new Receiver(hello, []);
  const options = { closeAfter: false, nowMilliseconds: 0, check: () => {} };
  receiver.accept(write(1));
  await spool.append(encodeFrame(write(1)), hello, receiver.disks, options);
  failing = true;
  await t.throwsAsync(spool.append(encodeFrame(write(2)), hello, receiver.disks, options), {
    code: 'EIO',
  } as never);
  await spool.append(encodeFrame(write(2)), hello, receiver.disks, options);
  await spool.close();
  const again = spoolIn(folder);
  await again.recover();
  t.is(again.closedParts[0]?.sizeBytes, spool.closedParts[0]?.sizeBytes);
});

test('a part of nothing but zero ranges is closed by their number, long before it is long', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-spool-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const space = new SpoolSpace({ serverBytes: 1 << 30, itemBytes: 1 << 30, refineReserveBytes: 0 });
  const partFramesMax = 100;
  const spool = new ItemSpool({
    ...{ files: unsyncedFiles, folder, itemId: sender.itemId, space },
    ...{ partBytesMax: 32 << 20, partFramesMax },
  });
  await spool.recover();
  await spool.beginAnew(0, []);
  await spool.acceptGeneration(1);
  const hello = sender.hello();
  const receiver = new Receiver(hello, []);
  for (let sequence = 1; sequence <= 300; ) {
    const frames: Buffer[] = [];
    for (let count = 0; count < 30; count++, sequence++) {
      const zero = frame(FrameType.zero, {
        ...{ generation: 1, sequence },
        ...{ offsetBytes: sequence * 1024, lengthBytes: 512 },
      });
      receiver.accept(zero);
      frames.push(encodeFrame(zero));
    }
    await spool.append(Buffer.concat(frames), hello, receiver.disks, {
      ...{ closeAfter: false, nowMilliseconds: 0, check: () => {} },
      frames: frames.length,
    });
  }
  await spool.close();
  t.deepEqual(
    spool.closedParts.map(({ sizeBytes }) => Math.floor(sizeBytes / 64) < partFramesMax + 20),
    [true, true, true, true],
  );
  const again = spoolIn(folder);
  await again.recover();
  t.is(again.received?.sequence, 300, 'all of them are there');
});
