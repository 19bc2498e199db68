/**
 * Disks past the page cache: real loop devices with sectors of 512 and 4096 bytes, disks whose size is no multiple of a
 * block, raw files, aligned and unaligned memory. The oracle is the byte.
 */
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Arena } from '../../src/disk/arena.ts';
import { openDevice, splitDeviceNumber } from '../../src/disk/device.ts';
import { blockBytes } from '../../src/disk/disk.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { throwsExplained } from '../support/explained.ts';
import { canLoop, makeFileSystem, makeLoop } from '../support/loop-device.ts';

const missing = canLoop();
const loopTest = missing === undefined ? anyTest.serial : anyTest.skip;
const because = missing === undefined ? '' : ` (skipped: ${missing})`;
const timeoutMilliseconds = 90_000;

async function makeFile(t: ExecutionContext<unknown>, sizeBytes: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-disk-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'disk.raw');
  await writeFile(path, Buffer.alloc(sizeBytes));
  return path;
}

/** `detach` is safe to call twice: by then the device may be another test's. */
async function attach(
  t: ExecutionContext<unknown>,
  file: string,
  sectorBytes: number,
): Promise<{ path: string; detach: () => Promise<void> }> {
  const args = ['--find', '--show', '--sector-size', String(sectorBytes), file];
  const path = (await run('losetup', args, { timeoutMilliseconds })).trim();
  let attached = true;
  const detach = async (): Promise<void> => {
    if (!attached) return;
    attached = false;
    await run('losetup', ['--detach', path], { timeoutMilliseconds });
  };
  t.teardown(detach);
  return { path, detach };
}

/** Writes and reads at random, through memory of an arena and any other, beside a plain buffer as the model. */
async function exercise(path: string, sizeBytes: number, t: ExecutionContext<unknown>): Promise<Buffer> {
  const model = Buffer.alloc(sizeBytes);
  const arena = new Arena(4 << 20);
  const blocks = Math.ceil(sizeBytes / blockBytes);
  const step = fc.record({
    write: fc.boolean(),
    aligned: fc.boolean(),
    block: fc.nat({ max: blocks - 1 }),
    count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 300 })),
    fill: fc.nat({ max: 255 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      await using disk = await openDevice(path, 'write', { arena });
      t.is(disk.sizeBytes, sizeBytes);
      for (const { write, aligned, block, count, fill } of steps) {
        const offset = block * blockBytes;
        const length = Math.min(count * blockBytes, sizeBytes - offset);
        using loan = await arena.borrow(length);
        const bytes = aligned ? loan.bytes : new Uint8Array(length + 3).subarray(3);
        if (write) {
          for (let at = 0; at < length; at++) bytes[at] = (fill + at * 7) & 255;
          model.set(bytes, offset);
          await disk.write(bytes, offset);
        } else {
          await disk.read(bytes, offset);
          t.true(model.subarray(offset, offset + length).equals(bytes), `${length} at ${offset}`);
        }
      }
      await disk.flush();
    }),
    { numRuns: 15 },
  );
  await using disk = await openDevice(path, 'read');
  const all = Buffer.alloc(sizeBytes);
  await disk.read(all, 0);
  t.true(all.equals(model));
  return model;
}

for (const [sectorBytes, sizeBytes] of [
  [512, 2 << 20],
  [512, (2 << 20) + 512],
  [512, (2 << 20) + 7 * 512],
  [4096, 2 << 20],
  [4096, (2 << 20) + 4096],
] as const)
  loopTest(
    `a device of ${sizeBytes} bytes with sectors of ${sectorBytes} keeps every byte${because}`,
    async (t) => {
      const file = await makeFile(t, sizeBytes);
      const { path, detach } = await attach(t, file, sectorBytes);
      const device = await openDevice(path, 'read');
      t.is(device.sectorBytes, sectorBytes);
      await device.close();
      const model = await exercise(path, sizeBytes, t);
      await detach();
      t.true((await readFile(file)).equals(model));
    },
  );

for (const sizeBytes of [1 << 20, (1 << 20) + 512, (1 << 20) + 4095, 1, 4097])
  anyTest.serial(`a raw file of ${sizeBytes} bytes keeps every byte`, async (t) => {
    const path = await makeFile(t, sizeBytes);
    const model = await exercise(path, sizeBytes, t);
    t.true((await readFile(path)).equals(model));
  });

anyTest('an access that is not whole blocks, or beyond the end, is a programmer’s error', async (t) => {
  const path = await makeFile(t, 64 << 10);
  await using disk = await openDevice(path, 'write');
  for (const [length, offset] of [
    [4096, 1],
    [4096, 512],
    [100, 0],
    [4096, 64 << 10],
    [8192, 60 << 10],
    [0, 0],
  ] as const) {
    await t.throwsAsync(disk.read(Buffer.alloc(length), offset), { code: 'ERR_ASSERTION' });
    await t.throwsAsync(disk.write(Buffer.alloc(length), offset), { code: 'ERR_ASSERTION' });
  }
  await using readOnly = await openDevice(path, 'read');
  await t.throwsAsync(readOnly.write(Buffer.alloc(4096), 0), { code: 'ERR_ASSERTION' });
});

anyTest('what is no disk is refused by name', async (t) => {
  const path = await makeFile(t, 4096);
  await t.throwsAsync(openDevice(`${path}.not`, 'read'), { code: 'DiskUnknown' });
  await t.throwsAsync(openDevice('/proc', 'write'), { code: 'DiskNotUsable' });
  await t.throwsAsync(openDevice('/dev/null', 'read'), { code: 'DiskNotUsable' });
});

anyTest('a disk that shrank says where it ends', async (t) => {
  const path = await makeFile(t, 64 << 10);
  await using disk = await openDevice(path, 'read');
  const handle = await open(path, 'r+');
  await handle.truncate(8192);
  await handle.close();
  await t.throwsAsync(disk.read(Buffer.alloc(16_384), 0), { code: 'DiskReadFailed', message: /8192/ });
});

anyTest('a large device number is split as the kernel joins it', (t) => {
  t.deepEqual(splitDeviceNumber(0x0803), { major: 8, minor: 3 });
  t.deepEqual(splitDeviceNumber(Number((259n << 8n) | 0x12n | (0x34567n << 20n))), {
    major: 259,
    minor: 0x3456712,
  });
});

loopTest(`a mounted disk is not written to, and says where it is mounted${because}`, async (t) => {
  const device = await makeLoop(t, 16 << 20);
  const { mountPoint, unmount } = await makeFileSystem(t, device, 'ext4');
  await writeFile(join(mountPoint, 'kept'), 'what somebody has there');
  const refused = {
    code: 'DiskInUse',
    says: new RegExp(`${device.path} is not written to.* ${mountPoint}$`),
    cause: /mounted/,
    action: /unmount it.*Nothing was written/,
  };
  await throwsExplained(t, openDevice(device.path, 'write'), refused);
  await using reader = await openDevice(device.path, 'read');
  t.is(reader.sizeBytes, 16 << 20, 'reading a mounted disk is what replication does');
  t.is(await readFile(join(mountPoint, 'kept'), 'utf8'), 'what somebody has there');
  await unmount();
  await using writer = await openDevice(device.path, 'write');
  t.is(writer.sizeBytes, 16 << 20);
});

loopTest(`a disk with a mounted partition is not written to either${because}`, async (t) => {
  const device = await makeLoop(t, 32 << 20, { partitions: true });
  await run('sfdisk', ['--quiet', device.path], { timeoutMilliseconds, input: 'label: gpt\nsize=16MiB\n' });
  await run('partx', ['--update', device.path], { timeoutMilliseconds });
  t.teardown(() => tryRun('partx', ['--delete', device.path], { timeoutMilliseconds }));
  const folder = await mkdtemp(join(tmpdir(), 'leeward-node-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const numbers = await readFile(`/sys/class/block/${device.name}p1/dev`, 'utf8');
  const [major, minor] = numbers.trim().split(':');
  const part = join(folder, 'part1');
  await run('mknod', [part, 'b', major!, minor!], { timeoutMilliseconds });
  const { mountPoint } = await makeFileSystem(t, { path: part }, 'ext4');
  await throwsExplained(t, openDevice(device.path, 'write'), {
    code: 'DiskInUse',
    says: new RegExp(` ${mountPoint}$`),
    cause: /mounted/,
    action: /unmount it/,
  });
});
