/**
 * What may be protected and what lives on it, on machines of every kind. The trees hold what real machines were seen to have;
 * the last tests look at real loop devices.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest from 'ava';
import {
  hasOtherPaths,
  inspectDisk,
  isFolderOn,
  mountsOf,
  ownBackingOf,
  refuseOwnBacking,
  refuseStacked,
  sizeNow,
  swapRangesOf,
} from '../../../src/mobility-service/capture/inspect.ts';
import { swapHeaderBytes } from '../../../src/mobility-service/limits.ts';
import { run, tryRun } from '../../../src/platform/exec.ts';
import { type Explained, throwsExplained } from '../../support/explained.ts';
import { type FakeMachine, makeMachine } from '../../support/fake-machine.ts';
import { canLoop, makeFileSystem, makeLoop } from '../../support/loop-device.ts';

const test = anyTest;
const missing = canLoop();
const loopTest = missing === undefined ? anyTest : anyTest.skip;

/** A server as installers make it: EFI, boot, and LVM with root, var and swap; a second disk with an encrypted volume. */
const server: FakeMachine = {
  devices: {
    sda: { device: '8:0', sizeBytes: 40 << 29 },
    sda1: { device: '8:1', partitionOf: 'sda' },
    sda2: { device: '8:2', partitionOf: 'sda' },
    sda3: { device: '8:3', partitionOf: 'sda' },
    'dm-0': { device: '253:0', on: ['sda3'], files: { 'dm/uuid': 'LVM-abcdef', 'dm/name': 'vg-root' } },
    'dm-1': { device: '253:1', on: ['sda3', 'sdb'], files: { 'dm/uuid': 'LVM-abcdeg', 'dm/name': 'vg-var' } },
    'dm-2': { device: '253:2', on: ['sda3'], files: { 'dm/uuid': 'LVM-abcdeh', 'dm/name': 'vg-swap' } },
    sdb: { device: '8:16' },
    sdc: { device: '8:32' },
    sdc1: { device: '8:33', partitionOf: 'sdc' },
    'dm-3': { device: '253:3', on: ['sdc1'], files: { 'dm/uuid': 'CRYPT-LUKS2-abc' } },
    sdd: { device: '8:48' },
  },
  links: { 'vg/root': 'dm-0', 'disk/by-id/ata-one': 'sda', 'mapper/secret': 'dm-3' },
  mounts: [
    '21 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw',
    '22 21 0:5 / /dev rw - devtmpfs udev rw',
    '23 21 8:2 / /boot rw - ext4 /dev/sda2 rw',
    '24 23 8:1 / /boot/efi rw - vfat /dev/sda1 rw',
    '25 21 253:1 / /var rw - xfs /dev/mapper/vg-var rw',
    '26 25 253:3 / /var/my\\040secrets rw - ext4 /dev/mapper/secret rw',
    '27 21 8:48 / /other rw - ext4 /dev/sdd rw',
    '28 21 0:40 / /run rw - tmpfs tmpfs rw',
    '29 25 253:0 /srv /var/srv rw - ext4 /dev/mapper/vg-root rw',
  ],
};

test('a disk is known by any of its names', async (t) => {
  const machine = makeMachine(t, server);
  t.like(await inspectDisk('/dev/disk/by-id/ata-one', machine), {
    path: '/dev/disk/by-id/ata-one',
    name: 'sda',
    deviceNumber: 8 << 20,
    hasRangedDiscards: false,
  });
  const disk = await inspectDisk('/dev/sda', machine);
  t.is(sizeNow(disk, machine), 40 << 29);
  t.is(sizeNow({ ...disk, deviceNumber: 1 }, machine), undefined);
});

test('file systems are found through partitions, LVM and encryption, upper layers first', async (t) => {
  const machine = makeMachine(t, server);
  const mounts = async (...paths: string[]) =>
    (await mountsOf(await Promise.all(paths.map((path) => inspectDisk(path, machine))), machine)).map(
      ({ mountPoint, device }) => `${device} ${mountPoint}`,
    );
  t.deepEqual(await mounts('/dev/sda'), [
    '253:0 /var/srv',
    '253:1 /var',
    '253:0 /',
    '8:1 /boot/efi',
    '8:2 /boot',
  ]);
  t.deepEqual(await mounts('/dev/sdc'), ['253:3 /var/my secrets']);
  t.deepEqual(await mounts('/dev/sdb', '/dev/sdd'), ['253:1 /var', '8:48 /other']);
});

test('a folder is on the disk of its deepest mount', async (t) => {
  const machine = makeMachine(t, server);
  const [sda, sdd] = [await inspectDisk('/dev/sda', machine), await inspectDisk('/dev/sdd', machine)];
  t.true(await isFolderOn([sda], '/var/lib/leeward', machine));
  t.false(await isFolderOn([sdd], '/var/lib/leeward', machine), '/ is not what holds it');
  t.true(await isFolderOn([sdd], '/other', machine));
  t.true(await isFolderOn([sda], '/otherwise', machine));
  t.false(await isFolderOn([sda, sdd], '/run/leeward', machine));
});

const notWhole = (kind: RegExp, disks: string): Explained => ({
  code: 'NotAWholeDisk',
  says: new RegExp(`${kind.source}; what can be protected is the whole disk under it: ${disks}$`),
  cause: /part of a disk/,
  action: new RegExp(`^Protect ${disks.replace(', ', ' and ')} instead; everything on it comes along`),
});

for (const [what, path, expected] of [
  [
    'a path that leads nowhere',
    '/dev/sdx',
    {
      code: 'DiskNotFound',
      says: /no disk at \/dev\/sdx/,
      cause: /misspelt|removed/,
      action: /lsblk.*by-id/,
    },
  ],
  [
    'a file',
    '/var/lib/disk.img',
    { code: 'NotABlockDevice', says: /disk\.img is not a block device/, cause: /a file/, action: /lsblk -s/ },
  ],
  ['a partition', '/dev/sda2', notWhole(/a partition/, '/dev/sda')],
  ['a logical volume', '/dev/vg/root', notWhole(/a logical volume/, '/dev/sda')],
  ['a logical volume on two disks', '/dev/dm-1', notWhole(/a logical volume/, '/dev/sda, /dev/sdb')],
  ['an encrypted volume', '/dev/mapper/secret', notWhole(/an encrypted volume/, '/dev/sdc')],
] as const)
  test(`${what} is refused, with the disk to use`, async (t) => {
    await throwsExplained(t, inspectDisk(path, makeMachine(t, server)), expected);
  });

test('a software RAID is refused with its disks, and frozen through them', async (t) => {
  const machine = makeMachine(t, {
    devices: {
      sda: { device: '8:0' },
      sda1: { device: '8:1', partitionOf: 'sda' },
      sdb: { device: '8:16' },
      sdb1: { device: '8:17', partitionOf: 'sdb' },
      md0: { device: '9:0', on: ['sda1', 'sdb1'], files: { 'md/level': 'raid1' } },
      md0p1: { device: '259:0', partitionOf: 'md0' },
    },
    mounts: ['21 1 259:0 / /data rw - xfs /dev/md0p1 rw'],
  });
  for (const path of ['/dev/md0', '/dev/md0p1'])
    t.is(
      (
        (await t.throwsAsync(inspectDisk(path, machine), { code: 'NotAWholeDisk' })) as unknown as {
          context: { disks: string };
        }
      ).context.disks,
      '/dev/sda /dev/sdb',
    );
  t.deepEqual(await mountsOf([await inspectDisk('/dev/sdb', machine)], machine), [
    { mountPoint: '/data', device: '259:0' },
  ]);
});

test('a multipath device, its partitions and its paths are refused', async (t) => {
  const machine = makeMachine(t, {
    devices: {
      sda: { device: '8:0' },
      sda1: { device: '8:1', partitionOf: 'sda' },
      sdb: { device: '8:16' },
      'dm-0': { device: '253:0', on: ['sda', 'sdb'], files: { 'dm/uuid': 'mpath-3600508b4000156d70001' } },
      'dm-1': { device: '253:1', on: ['dm-0'], files: { 'dm/uuid': 'part1-mpath-3600508b4000156d70001' } },
      nvme0n1: { device: '259:0', hasQueues: false },
      nvme0c0n1: { device: '259:1', files: { hidden: '1' } },
      nvme0c1n1: { device: '259:2', files: { hidden: '1' } },
      nvme1n1: { device: '259:3' },
    },
  });
  for (const path of [
    '/dev/dm-0',
    '/dev/dm-1',
    '/dev/sda',
    '/dev/sdb',
    '/dev/sda1',
    '/dev/nvme0n1',
    '/dev/nvme0c0n1',
  ])
    await throwsExplained(t, inspectDisk(path, machine), {
      code: 'MultipathDevice',
      says: new RegExp(`^${path} is a multipath device or one path of it \\(\\S`),
      cause: /several paths/,
      action: /over one path, or protect the machine from its hypervisor/,
    });
  await t.notThrowsAsync(inspectDisk('/dev/nvme1n1', machine), 'one path only');
});

test('a multipath disk with one path is protected through that path, and its file systems are found', async (t) => {
  const one: FakeMachine = {
    devices: {
      sda: { device: '8:0' },
      'dm-0': { device: '253:0', on: ['sda'], files: { 'dm/uuid': 'mpath-3600508b4000156d70001' } },
      'dm-1': { device: '253:1', on: ['dm-0'], files: { 'dm/uuid': 'part1-mpath-3600508b4000156d70001' } },
    },
    mounts: ['21 1 253:1 / /data rw - xfs /dev/mapper/mpatha-part1 rw'],
  };
  const machine = makeMachine(t, one);
  const disk = await inspectDisk('/dev/sda', machine);
  t.is(disk.name, 'sda');
  t.deepEqual(await mountsOf([disk], machine), [{ mountPoint: '/data', device: '253:1' }]);
  t.false(hasOtherPaths(disk, machine));
  for (const path of ['/dev/dm-0', '/dev/dm-1'])
    await throwsExplained(
      t,
      inspectDisk(path, machine),
      notWhole(/a multipath device with one path/, '/dev/sda'),
    );
  // A second path comes up while it is protected.
  const two = makeMachine(t, {
    devices: {
      ...one.devices,
      sdb: { device: '8:16' },
      'dm-0': { ...one.devices['dm-0']!, on: ['sda', 'sdb'] },
    },
  });
  t.true(hasOtherPaths(disk, two));
});

test("the NVMe driver's own multipath device with one path is refused, with what makes it an ordinary disk", async (t) => {
  const machine = makeMachine(t, {
    devices: {
      nvme0n1: { device: '259:0', hasQueues: false },
      nvme0c0n1: { device: '259:1', files: { hidden: '1' } },
    },
  });
  await throwsExplained(t, inspectDisk('/dev/nvme0n1', machine), {
    code: 'NvmeMultipathHead',
    says: /nvme0n1 is the NVMe driver's own multipath device.*nvme0c0n1/,
    cause: /could have several paths/,
    action: /nvme_core.multipath=N/,
  });
});

/** A disk, a loop device from a file on it, one from a file on that, and what servers put in between. */
const layered: FakeMachine = {
  devices: {
    sda: { device: '8:0' },
    sda1: { device: '8:1', partitionOf: 'sda' },
    sdb: { device: '8:16' },
    loop0: { device: '7:0', files: { 'loop/backing_file': '/vm/disk.img', ro: '0' } },
    loop0p1: { device: '259:0', partitionOf: 'loop0' },
    loop1: { device: '7:1', files: { 'loop/backing_file': '/inner/deep/disk.img (deleted)', ro: '0' } },
    loop2: { device: '7:2', files: { 'loop/backing_file': '/merged/disk.img', ro: '0' } },
    loop3: { device: '7:3', files: { 'loop/backing_file': '/dev/sdb', ro: '0' } },
    loop4: { device: '7:4', files: { 'loop/backing_file': '/vm/snap.squashfs', ro: '1' } },
    loop5: { device: '7:5', files: { 'loop/backing_file': '/run/disk.img', ro: '0' } },
    loop6: { device: '7:6', files: { 'loop/backing_file': '/share/disk.img', ro: '0' } },
    'dm-0': { device: '253:0', on: ['loop1'], files: { 'dm/uuid': 'LVM-a' } },
    md0: { device: '9:0', on: ['sda1', 'nbd0'], files: { 'md/level': 'raid1' } },
    nbd0: { device: '43:0' },
  },
  links: { sdb: 'sdb' },
  mounts: [
    '20 1 8:16 / / rw - ext4 /dev/sdb rw',
    '21 20 8:1 / /vm rw - ext4 /dev/sda1 rw',
    '22 20 259:0 / /inner rw - ext4 /dev/loop0p1 rw',
    '23 20 253:0 / /top rw - xfs /dev/mapper/a rw',
    '24 20 0:50 / /merged rw - overlay overlay rw,lowerdir=/lower,upperdir=/vm/upper,workdir=/vm/work',
    '25 20 7:2 / /in-overlay rw - ext4 /dev/loop2 rw',
    '26 20 7:4 / /snap ro - squashfs /dev/loop4 ro',
    '27 20 0:60 / /run rw - tmpfs tmpfs rw',
    '28 20 7:5 / /in-memory rw - ext4 /dev/loop5 rw',
    '29 20 0:61 / /share rw - nfs4 server:/share rw',
    '30 20 7:6 / /over-there rw - ext4 /dev/loop6 rw',
    '31 20 43:0 / /n rw - ext4 /dev/nbd0 rw',
  ],
};

test('file systems are frozen upper layers first through loop devices, overlays, volumes and network block devices', async (t) => {
  const machine = makeMachine(t, layered);
  const mounts = async (...paths: string[]) =>
    (await mountsOf(await Promise.all(paths.map((path) => inspectDisk(path, machine))), machine)).map(
      ({ mountPoint }) => mountPoint,
    );
  // What lies in files on a protected disk stands still before it; a read-only one cannot be written anyway.
  t.deepEqual(await mounts('/dev/sda'), ['/top', '/inner', '/in-overlay', '/vm']);
  t.deepEqual(await mounts('/dev/loop0'), ['/top', '/inner']);
  // Served over a network, perhaps from here: before everything on this machine's own disks.
  t.deepEqual(await mounts('/dev/sda', '/dev/nbd0', '/dev/loop6'), [
    '/over-there',
    '/n',
    '/top',
    '/inner',
    '/in-overlay',
    '/vm',
  ]);
});

test('a loop device from a file on a disk of this machine is not offered, and never protected with it', async (t) => {
  const machine = makeMachine(t, layered);
  const disk = (path: string) => inspectDisk(path, machine);
  const offer = async (path: string, areLoopsOffered = false) =>
    refuseOwnBacking(await disk(path), { areLoopsOffered }, machine);
  for (const [path, file, under] of [
    ['/dev/loop0', '/vm/disk.img', '/dev/sda'],
    ['/dev/loop1', '/inner/deep/disk.img', '/dev/loop0'],
    ['/dev/loop2', '/merged/disk.img', '/dev/sda'],
    ['/dev/loop3', '/dev/sdb', '/dev/sdb'],
  ] as const)
    await throwsExplained(t, offer(path), {
      code: 'BackedByOwnDisk',
      says: new RegExp(`^${path} is made from ${file}.* lies on a disk of this machine: ${under}$`),
      cause: /loop device/,
      action: new RegExp(`^Protect ${under}: the file comes along`),
    });
  // In memory, and on another machine.
  for (const path of ['/dev/loop5', '/dev/loop6', '/dev/sda']) await t.notThrowsAsync(offer(path), path);
  t.deepEqual((await ownBackingOf(await disk('/dev/loop1'), machine))?.disksBelow, ['loop0', 'sda']);
  // Where tests have no other disks: still not one on another.
  await t.notThrowsAsync(offer('/dev/loop0', true));
  await t.throwsAsync(offer('/dev/loop1', true), { code: 'BackedByOwnDisk' });

  const together = async (...paths: string[]) =>
    refuseStacked(await Promise.all(paths.map((path) => disk(path))), machine);
  await throwsExplained(t, together('/dev/sda', '/dev/loop1'), {
    code: 'BackedByProtectedDisk',
    says: /^\/dev\/loop1 is made from \/inner\/deep\/disk.img.* lies on \/dev\/sda, and both/,
    cause: /loop device/,
    action: /^Protect \/dev\/sda without \/dev\/loop1/,
  });
  await t.notThrowsAsync(together('/dev/sdb', '/dev/loop1'));
});

test('persistent memory, and a disk with a file system mounted for direct access, are refused', async (t) => {
  const machine = makeMachine(t, {
    devices: {
      pmem0: { device: '259:0', hasQueues: false, files: { 'queue/dax': '1' } },
      pmem1s: { device: '259:1', hasQueues: false, files: { 'queue/dax': '0' } },
      dcssblk0: { device: '252:0', files: { 'queue/dax': '1' } },
      sda: { device: '8:0' },
      sda1: { device: '8:1', partitionOf: 'sda' },
      sdb: { device: '8:16' },
    },
    mounts: [
      '21 1 8:1 / /fast rw,relatime - xfs /dev/sda1 rw,attr2,dax=always,inode64',
      '22 1 8:16 / /b rw - xfs /dev/sdb rw,dax=never',
    ],
  });
  for (const path of ['/dev/pmem0', '/dev/pmem1s', '/dev/dcssblk0', '/dev/sda'])
    await throwsExplained(t, inspectDisk(path, machine), {
      code: 'MappedMemoryDevice',
      says: path === '/dev/sda' ? /^\/fast is / : new RegExp(`^${path} is `),
      cause: /dax/,
      action: /[Mm]ount it without dax/,
    });
  await t.notThrowsAsync(inspectDisk('/dev/sdb', machine));
});

test('drivers without requests are refused; old ones with a scheduler instead of queues are not', async (t) => {
  const machine = makeMachine(t, {
    devices: {
      zram0: { device: '252:0', hasQueues: false },
      drbd0: { device: '147:0', hasQueues: false, files: { 'queue/scheduler': 'none' } },
      bcache0: { device: '251:0', on: ['sdb'] },
      sda: { device: '8:0', hasQueues: false, files: { 'queue/scheduler': 'noop deadline [cfq]' } },
      sdb: { device: '8:16' },
    },
  });
  for (const path of ['/dev/zram0', '/dev/drbd0'])
    await t.throwsAsync(inspectDisk(path, machine), { code: 'NoRequestEvents' }, path);
  await t.throwsAsync(inspectDisk('/dev/bcache0', machine), { code: 'NotAWholeDisk' });
  await t.notThrowsAsync(inspectDisk('/dev/sda', machine));
});

test('discards of several ranges are noticed', async (t) => {
  const machine = makeMachine(t, {
    devices: { nvme0n1: { device: '259:0', files: { 'queue/max_discard_segments': '256' } } },
  });
  t.true((await inspectDisk('/dev/nvme0n1', machine)).hasRangedDiscards);
});

test('a btrfs is found by each of its disks, though its device number leads nowhere', async (t) => {
  const machine = makeMachine(t, {
    devices: {
      sda: { device: '8:0' },
      sda1: { device: '8:1', partitionOf: 'sda' },
      sdb: { device: '8:16' },
      sdc: { device: '8:32' },
      sdd: { device: '8:48' },
    },
    btrfs: { 'one-id': ['sda1', 'sdb'], 'other-id': ['sdc'], features: [] },
    mounts: [
      '21 1 0:31 /root / rw - btrfs /dev/sda1 rw,space_cache=v2',
      '22 21 0:31 /home /home rw - btrfs /dev/sda1 rw,space_cache=v2',
      '23 21 0:33 / /c rw - btrfs /dev/sdc rw',
    ],
  });
  const mounts = async (path: string) =>
    (await mountsOf([await inspectDisk(path, machine)], machine)).map(({ mountPoint }) => mountPoint);
  t.deepEqual(await mounts('/dev/sda'), ['/home', '/']);
  t.deepEqual(await mounts('/dev/sdb'), ['/home', '/']);
  t.deepEqual(await mounts('/dev/sdc'), ['/c']);
  t.deepEqual(await mounts('/dev/sdd'), []);
});

test('a btrfs whose disk the mount table does not name is taken for any of them', async (t) => {
  const machine = makeMachine(t, {
    devices: { vda: { device: '254:0' }, vdb: { device: '254:16' } },
    btrfs: { 'one-id': ['vda'] },
    mounts: ['21 1 0:31 / / rw - btrfs /dev/root rw'],
  });
  t.is((await mountsOf([await inspectDisk('/dev/vda', machine)], machine)).length, 1);
  t.is((await mountsOf([await inspectDisk('/dev/vdb', machine)], machine)).length, 0);
});

test('swap partitions are left out but for their header; volumes and files are not', async (t) => {
  const machine = makeMachine(t, {
    ...server,
    devices: {
      ...server.devices,
      sdd5: { device: '8:53', partitionOf: 'sdd', startBytes: 1 << 20, sizeBytes: 4 << 20 },
      sdd6: { device: '8:54', partitionOf: 'sdd', startBytes: 8 << 20, sizeBytes: 4096 },
      sde: { device: '8:64', sizeBytes: 8 << 20 },
    },
    links: { ...server.links, 'disk/by-label/my swap': 'sdd5' },
    swaps: [
      '/dev/dm-2                               partition\t1951740\t\t0\t\t-2',
      '/dev/disk/by-label/my\\040swap            partition\t1951740\t\t0\t\t-3',
      '/dev/sdd6                               partition\t4\t\t0\t\t-3',
      '/dev/sde                                partition\t8188\t\t0\t\t-4',
      '/var/swapfile                           file\t\t1048572\t\t0\t\t-5',
    ],
  });
  const ranges = async (path: string) => swapRangesOf(await inspectDisk(path, machine), machine);
  t.deepEqual(await ranges('/dev/sda'), []);
  t.deepEqual(await ranges('/dev/sdd'), [
    { offsetBytes: (1 << 20) + swapHeaderBytes, lengthBytes: (4 << 20) - swapHeaderBytes },
  ]);
  t.deepEqual(await ranges('/dev/sde'), [
    { offsetBytes: swapHeaderBytes, lengthBytes: (8 << 20) - swapHeaderBytes },
  ]);
});

for (const type of ['ext4', 'btrfs'] as const)
  loopTest(
    `a real ${type} is found on its loop device${missing ? ` (skipped: ${missing})` : ''}`,
    async (t) => {
      const device = await makeLoop(t, 120 << 20);
      const { mountPoint } = await makeFileSystem(t, device, type);
      const disk = await inspectDisk(device.path);
      t.is(disk.name, device.name);
      t.is(sizeNow(disk), 120 << 20);
      t.deepEqual(
        (await mountsOf([disk])).map((mount) => mount.mountPoint),
        [mountPoint],
      );
      t.true(await isFolderOn([disk], `${mountPoint}/some/folder`));
      t.false(await isFolderOn([disk], '/dev/shm'));
    },
  );

loopTest(`a real partition is refused with its disk${missing ? ` (skipped: ${missing})` : ''}`, async (t) => {
  const device = await makeLoop(t, 16 << 20, { partitions: true });
  await run('sfdisk', ['--quiet', device.path], {
    timeoutMilliseconds: 90_000,
    input: 'label: gpt\nsize=8MiB\n',
  });
  // Kernels without partition tables learn of it in this way; without udev nobody makes the node.
  await run('partx', ['--update', device.path], { timeoutMilliseconds: 90_000 });
  t.teardown(() => tryRun('partx', ['--delete', device.path], { timeoutMilliseconds: 90_000 }));
  const [major, minor] = readFileSync(`/sys/class/block/${device.name}p1/dev`, 'utf8').trim().split(':');
  const folder = await mkdtemp(join(tmpdir(), 'leeward-node-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const node = join(folder, 'part1');
  await run('mknod', [node, 'b', major!, minor!], { timeoutMilliseconds: 90_000 });
  const error = await t.throwsAsync(inspectDisk(node), { code: 'NotAWholeDisk' });
  t.regex(error!.message, new RegExp(`${device.path}$`));
});
