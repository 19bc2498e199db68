/**
 * Goal: whoever chooses disks to protect learns what else they need: the other disks of a volume group, a RAID, a file system.
 * Method: trees of machines as they were seen; and a real btrfs of two devices, which grows onto a third while it is mounted.
 */
import anyTest from 'ava';
import { stacksOf } from '../../../src/mobility-service/capture/stacks.ts';
import { withStacks } from '../../../src/mobility-service/control/inventory.ts';
import { run } from '../../../src/platform/exec.ts';
import { makeMachine } from '../../support/fake-machine.ts';
import { canLoop, makeLoop, mountFileSystem } from '../../support/loop-device.ts';

const test = anyTest;
const missing = canLoop();
const loopTest = missing === undefined ? anyTest : anyTest.skip;

const group = (letter: string) => letter.repeat(32);

test('a volume group belongs together also when each of its volumes is on one disk', async (t) => {
  const machine = makeMachine(t, {
    devices: {
      sda: { device: '8:0' },
      sda2: { device: '8:2', partitionOf: 'sda' },
      sdb: { device: '8:16' },
      sdc: { device: '8:32' },
      'dm-0': {
        ...{ device: '253:0', on: ['sda2'] },
        files: { 'dm/uuid': `LVM-${group('a')}${group('0')}`, 'dm/name': 'my--data-root' },
      },
      'dm-1': {
        ...{ device: '253:1', on: ['sdb'] },
        files: { 'dm/uuid': `LVM-${group('a')}${group('1')}`, 'dm/name': 'my--data-var' },
      },
      'dm-2': {
        ...{ device: '253:2', on: ['sdc'] },
        files: { 'dm/uuid': `LVM-${group('b')}${group('2')}`, 'dm/name': 'other-one' },
      },
    },
  });
  t.deepEqual(await stacksOf(machine), [{ through: 'volume group my-data', disks: ['sda', 'sdb'] }]);
});

test('a volume on two disks, a RAID, and what is encrypted above them are found through all layers', async (t) => {
  const machine = makeMachine(t, {
    devices: {
      sda: { device: '8:0' },
      sda1: { device: '8:1', partitionOf: 'sda' },
      sdb: { device: '8:16' },
      sdb1: { device: '8:17', partitionOf: 'sdb' },
      sdc: { device: '8:32' },
      md0: { device: '9:0', on: ['sda1', 'sdb1'], files: { 'md/level': 'raid1' } },
      'dm-0': { device: '253:0', on: ['md0'], files: { 'dm/uuid': 'CRYPT-LUKS2-x', 'dm/name': 'secret' } },
      'dm-1': {
        ...{ device: '253:1', on: ['dm-0', 'sdc'] },
        files: { 'dm/uuid': `LVM-${group('a')}${group('1')}`, 'dm/name': 'vg-srv' },
      },
    },
  });
  const found = new Map((await stacksOf(machine)).map(({ through, disks }) => [through, disks]));
  t.deepEqual(found.get('software RAID md0'), ['sda', 'sdb']);
  t.deepEqual(found.get('secret'), ['sda', 'sdb']);
  t.deepEqual(found.get('volume group vg'), ['sda', 'sdb', 'sdc']);
});

test('paths of one disk are one disk, and a machine with plain disks has no stacks', async (t) => {
  const multipath = makeMachine(t, {
    devices: {
      sda: { device: '8:0' },
      sdb: { device: '8:16' },
      'dm-0': { device: '253:0', on: ['sda', 'sdb'], files: { 'dm/uuid': 'mpath-36005' } },
      'dm-1': { device: '253:1', on: ['dm-0'], files: { 'dm/uuid': 'part1-mpath-36005' } },
      'dm-2': {
        ...{ device: '253:2', on: ['dm-1'] },
        files: { 'dm/uuid': `LVM-${group('a')}${group('1')}`, 'dm/name': 'vg-root' },
      },
    },
  });
  t.deepEqual(await stacksOf(multipath), []);
  const plain = makeMachine(t, {
    devices: { sda: { device: '8:0' }, sda1: { device: '8:1', partitionOf: 'sda' }, sdb: { device: '8:16' } },
    mounts: ['21 1 8:1 / / rw - ext4 /dev/sda1 rw', '22 21 8:16 / /b rw - xfs /dev/sdb rw'],
  });
  t.deepEqual(await stacksOf(plain), []);
});

test('a log or another device that only the mount names is found', async (t) => {
  const machine = makeMachine(t, {
    devices: {
      sda: { device: '8:0' },
      sda1: { device: '8:1', partitionOf: 'sda' },
      sdb: { device: '8:16' },
      sdc: { device: '8:32' },
    },
    mounts: [
      '21 1 8:1 / /fast rw - xfs /dev/sda1 rw,logdev=/dev/sdb,noquota',
      '22 1 0:40 / /many rw - bcachefs /dev/sdb:/dev/sdc rw',
    ],
  });
  t.deepEqual(await stacksOf(machine), [
    { through: 'xfs at /fast', disks: ['sda', 'sdb'] },
    { through: 'bcachefs at /many', disks: ['sdb', 'sdc'] },
  ]);
});

test('each disk is reported with those that it shares something with, by the paths that they are known by', (t) => {
  const disk = (name: string, path = `/dev/${name}`) => ({
    ...{ path, name, sizeBytes: 1, readinessErrors: [], uses: [] },
  });
  const [one, two, three] = withStacks(
    [disk('sda', '/dev/disk/by-id/one'), disk('sdb'), disk('sdc')],
    [{ through: 'volume group vg', disks: ['sda', 'sdb'] }],
    new Map([['sda', '/dev/disk/by-id/one']]),
  );
  const said = [{ through: 'volume group vg', disks: ['/dev/disk/by-id/one', '/dev/sdb'] }];
  t.deepEqual([one!.stacks, two!.stacks], [said, said]);
  t.false('stacks' in three!);
});

loopTest(
  `a real btrfs of several devices is found, and one that it grows onto while it is mounted${missing ? ` (skipped: ${missing})` : ''}`,
  async (t) => {
    const [one, two, three] = [
      await makeLoop(t, 128 << 20),
      await makeLoop(t, 128 << 20),
      await makeLoop(t, 128 << 20),
    ];
    const limit = { timeoutMilliseconds: 90_000 };
    await run('mkfs.btrfs', ['-q', '-f', '-d', 'single', '-m', 'raid1', one.path, two.path], limit);
    const { mountPoint } = await mountFileSystem(t, one, 'btrfs', [
      `device=${one.path}`,
      `device=${two.path}`,
    ]);
    const own = async () => (await stacksOf()).find(({ disks }) => disks.includes(one.name));
    t.deepEqual(await own(), { through: `btrfs at ${mountPoint}`, disks: [one.name, two.name].sort() });
    await run('btrfs', ['device', 'add', '-f', three.path, mountPoint], limit);
    t.deepEqual((await own())?.disks, [one.name, two.name, three.name].sort());
  },
);
