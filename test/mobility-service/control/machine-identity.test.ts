// Goal: what a machine says of itself is what its hardware has, stays over a restart of the service, and changes with a boot.
// Method: files as the kernel has them, below a folder.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readMachineIdentity } from '../../../src/mobility-service/control/machine-identity.ts';
import { compareMachines, parseMachineIdentity } from '../../../src/model/machine-identity.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { systemRandom } from '../../../src/platform/random.ts';
import { type MachineFacts, writeMachineFacts } from '../../support/machine-facts.ts';

const facts: MachineFacts = {
  product: '4c4c4544-0042-3510-8054-b4c04f564433',
  serial: 'VMware-42 1b 2f',
  nics: ['00:50:56:9a:00:01', '00:50:56:9a:00:02'],
  wwids: ['naa.6000c2900000000000000000000000a1'],
  serials: ['vol-0a1b2c'],
  systemId: '3f1c0e9d5b7a4f6e8d2c1b0a99887766',
  bootId: '11111111-2222-4333-8444-555555555555',
};

async function place(t: ExecutionContext<unknown>) {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-identity-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const root = join(folder, 'root');
  const runtime = join(folder, 'runtime');
  const read = async (changed: MachineFacts, at = runtime) => {
    await writeMachineFacts(root, changed);
    return readMachineIdentity({ root, runtime: at, files: systemFiles, random: systemRandom });
  };
  return { folder, root, runtime, read };
}

test('all of it is read, no number is shown, and it is the same again', async (t) => {
  const { read } = await place(t);
  const text = await read(facts);
  const identity = parseMachineIdentity(text)!;
  t.regex(identity.instance!, /^[0-9a-f]{16}$/);
  for (const digest of [
    identity.product,
    identity.serial,
    identity.system,
    ...identity.nics,
    ...identity.disks,
  ])
    t.regex(digest!, /^[0-9a-f]{12}$/);
  t.is(identity.nics.length, 2);
  t.is(identity.disks.length, 2);
  t.is(await read(facts), text);
  t.is(await read({ ...facts, product: facts.product!.toUpperCase() }), text, 'in upper case');
  for (const secret of ['4c4c4544', '0050569a', '00:50', 'naa', 'vol-', '3f1c0e9d', '11111111'])
    t.false(text.toLowerCase().includes(secret), secret);
});

test('another boot, or another service on one kernel, is another instance and the same machine', async (t) => {
  const { read, folder } = await place(t);
  const before = parseMachineIdentity(await read(facts))!;
  const rebooted = parseMachineIdentity(
    await read({ ...facts, bootId: '99999999-2222-4333-8444-555555555555' }),
  )!;
  const beside = parseMachineIdentity(await read(facts, join(folder, 'other')))!;
  t.is(new Set([before.instance, rebooted.instance, beside.instance]).size, 3);
  t.deepEqual({ ...rebooted, instance: '' }, { ...before, instance: '' });
  t.is(compareMachines(before, beside), 'all');
});

test('numbers that every machine has, and cards and disks that are none, say nothing', async (t) => {
  const { read, root, runtime } = await place(t);
  for (const product of [
    '00000000-0000-0000-0000-000000000000',
    'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
    '03000200-0400-0500-0006-000700080009',
    'Not Settable',
  ])
    t.is(parseMachineIdentity(await read({ product }))?.product, undefined, product);
  for (const serial of [
    'To be filled by O.E.M.',
    'Default string',
    'None',
    '0',
    'System Serial Number',
    '  ',
  ])
    t.is(parseMachineIdentity(await read({ serial }))?.serial, undefined, serial);
  for (const wwid of [
    't10.ATA     QEMU HARDDISK                           QM00001 ',
    't10.QEMU    QEMU HARDDISK   drive-scsi0-0-0-0',
    'nvme.15ad-564d57415245204e564d455f30303030-564d77617265205669727475616c204e564d65204469736b-00000001',
  ])
    t.deepEqual(parseMachineIdentity(await read({ wwids: [wwid] }))?.disks, [], wwid);
  await read({});
  const write = async (path: string, text: string) => {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text);
  };
  t.deepEqual(parseMachineIdentity(await read({ nics: ['52:54:00:12:34:56'] }))?.nics, []);
  await read({});
  // A bridge has no device, a bond's address is taken from a card, and a loop device has no number of its own.
  await write('sys/class/net/br0/address', '02:42:ac:11:00:02\n');
  await write('sys/class/net/bond0/address', '00:50:56:9a:00:01\n');
  await write('sys/class/net/bond0/addr_assign_type', '2\n');
  await write('sys/class/net/bond0/device/vendor', '0x15ad\n');
  await write('sys/block/loop0/serial', 'x1\n');
  await write('sys/block/sdz/serial', 'stick\n');
  await write('sys/block/sdz/removable', '1\n');
  const bare = parseMachineIdentity(
    await readMachineIdentity({ root, runtime, files: systemFiles, random: systemRandom }),
  )!;
  t.deepEqual([bare.nics, bare.disks, bare.product, bare.system], [[], [], undefined, undefined]);
});

test('this host says something, and the same twice', async (t) => {
  const { runtime } = await place(t);
  const read = () => readMachineIdentity({ root: '/', runtime, files: systemFiles, random: systemRandom });
  const text = await read();
  t.truthy(parseMachineIdentity(text)?.instance);
  t.is(await read(), text);
});
