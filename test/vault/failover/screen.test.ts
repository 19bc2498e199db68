/** Goal: proof is a PNG that any viewer opens, whatever the hypervisor answered. */
import test from 'ava';
import { domainXml, escapeXml } from '../../../src/vault/failover/domain-xml.ts';
import { describePng, isPng, toPng } from '../../../src/vault/failover/screen.ts';

const ppm = (width: number, height: number, value: (index: number) => number) =>
  Buffer.concat([
    Buffer.from(`P6\n# by a hypervisor\n${width} ${height}\n255\n`),
    Buffer.from(Array.from({ length: width * height * 3 }, (_, index) => value(index) & 255)),
  ]);

test('a PPM becomes a PNG of the same size, and a blank one is seen to be blank', (t) => {
  const picture = toPng(ppm(31, 17, (index) => index * index));
  t.true(isPng(picture));
  t.deepEqual(describePng(picture), { width: 31, height: 17, isBlank: false });
  t.true(describePng(toPng(ppm(31, 17, () => 0))).isBlank);
  t.is(toPng(picture), picture);
});

test('what is no picture is refused', (t) => {
  t.throws(() => toPng(Buffer.from('P6\n9 9\n255\nshort')), { instanceOf: RangeError });
  t.throws(() => toPng(Buffer.from('<html>')), { instanceOf: RangeError });
  const broken = Buffer.from(toPng(ppm(4, 4, (index) => index)));
  broken[40]! ^= 1;
  t.throws(() => describePng(broken));
});

test('nothing that came from outside can write XML of its own', (t) => {
  t.is(escapeXml(`<a b="c" d='e'>&\u0000`), '&lt;a b=&quot;c&quot; d=&apos;e&apos;&gt;&amp;');
  const extras = { accelerator: 'tcg', consoleLog: '/c', displaySocket: '/d' } as const;
  const machine = {
    name: 'm',
    cpuCount: 1,
    memoryMebibytes: 64,
    firmware: 'bios',
    disks: [{ path: "/a'/><evil/>", bus: 'virtio' }],
    network: { mode: 'isolated', name: 'n' },
  } as const;
  t.false(domainXml(machine, extras).includes('<evil/>'));
  for (const wrong of [
    { ...machine, name: '../etc' },
    { ...machine, network: { mode: 'isolated', name: 'a b' } as const },
    { ...machine, cpuCount: 0 },
    { ...machine, disks: [{ path: 'relative', bus: 'virtio' as const }] },
  ])
    t.throws(() => domainXml(wrong, extras), { code: 'MachineDefinitionInvalid' });
});

test('an emulated machine has one processor, one under KVM as many as it should', (t) => {
  const machine = {
    name: 'm',
    cpuCount: 4,
    memoryMebibytes: 64,
    firmware: 'bios',
    disks: [{ path: '/a', bus: 'virtio' }],
    network: { mode: 'isolated', name: 'n' },
  } as const;
  const xml = (accelerator: 'kvm' | 'tcg') =>
    domainXml(machine, { accelerator, consoleLog: '/c', displaySocket: '/d' });
  t.true(xml('tcg').includes('<vcpu>1</vcpu>'));
  t.true(xml('kvm').includes('<vcpu>4</vcpu>'));
});
