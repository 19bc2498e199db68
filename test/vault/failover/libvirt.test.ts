/**
 * Goal: the libvirt provider keeps every promise on a real hypervisor.
 * Method: a libvirtd in a network namespace of its own, guests under emulation that are up within seconds. Isolation is
 * tried from inside the guest, by an administrator who gives himself a route.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import ava, { type TestFn } from 'ava';
import { systemClock, until } from '../../../src/platform/clock.ts';
import { systemFiles } from '../../../src/platform/files.ts';
import { onBuses } from '../../../src/vault/failover/buses.ts';
import { LibvirtProvider } from '../../../src/vault/failover/libvirt.ts';
import type { MachineDefinition } from '../../../src/vault/failover/provider.ts';
import { makeEfiDisk } from '../../support/efi-disk.ts';
import { failoverProviderSuite } from '../../support/failover-provider-suite.ts';
import { type TinyGuest, tinyGuest } from '../../support/guest.ts';
import { type LibvirtDaemon, startLibvirt } from '../../support/libvirt-daemon.ts';
import { listSites, makeSite, type Site, shortId, sitesUnavailable } from '../../support/namespaces.ts';

const missing =
  (await sitesUnavailable()) ??
  ['/usr/sbin/libvirtd', '/usr/bin/qemu-system-x86_64', '/usr/bin/mmdebstrap', '/dev/net/tun'].find(
    (path) => !existsSync(path),
  );
if (missing !== undefined) console.log(`skipped: ${missing}`);
const test = (missing === undefined ? ava.serial : ava.skip) as TestFn;

let site: Site;
let daemon: LibvirtDaemon;
let tiny: TinyGuest;

const provider = () =>
  new LibvirtProvider(
    {
      uri: daemon.uri,
      folder: join(daemon.folder, 'machines'),
      commandPrefix: site.networkPrefix,
      accelerator: 'tcg',
    },
    systemClock,
    systemFiles,
  );

const machine = (name: string, tries: readonly string[] = []): MachineDefinition => ({
  name,
  cpuCount: 1,
  memoryMebibytes: 256,
  firmware: 'bios',
  disks: [],
  network: { mode: 'isolated', name: `${name}-net` },
  directBoot: {
    kernel: tiny.kernel,
    initrd: tiny.initrd,
    commandLine: `${tiny.commandLine} try=${tries.join(',')}`,
  },
});

const traces = async (): Promise<string> => {
  const files = await readdir(join(daemon.folder, 'machines'));
  const tables = await site.run('/usr/sbin/nft', ['list', 'tables']);
  const links = (await site.run('ip', ['-br', 'link']))
    .split('\n')
    .filter((line) => /^(lwt|vnet)/.test(line));
  const networks = (await site.run('virsh', ['-q', '-c', daemon.uri, 'net-list', '--all', '--name'])).trim();
  return [...files, ...tables.split('\n').filter((line) => line.includes('leeward_lwt')), ...links, networks]
    .filter((line) => line !== '')
    .join('\n');
};

if (missing === undefined) {
  ava.before(async (t) => {
    // The first on a machine builds the guest, or waits for who does.
    t.timeout(25 * 60_000);
    tiny = await tinyGuest();
    site = await makeSite(`leeward-test-${shortId()}`);
    // What an isolated machine must not reach: an address of the vault that is not on the guest's bridge.
    await site.run('ip', ['address', 'add', '10.212.1.1/32', 'dev', 'lo']);
    daemon = await startLibvirt(site);
  });
  ava.after.always(async () => {
    await daemon?.stop();
    await site?.remove();
    await tiny?.[Symbol.asyncDispose]();
    if (site !== undefined && (await listSites()).includes(site.name))
      throw new Error(`${site.name} is left`);
  });
}

failoverProviderSuite(test, 'libvirt', async () => ({ provider: provider(), machine, traces }));

test('an isolated machine reaches nothing of the vault, even with a route it gave itself', async (t) => {
  const name = 'leeward-test-isolated-1';
  const [command, ...rest] = site.networkPrefix;
  const listener = spawn(command!, [...rest, 'socat', 'TCP4-LISTEN:7000,fork,reuseaddr', 'SYSTEM:true'], {
    stdio: 'ignore',
  });
  const subject = provider();
  try {
    await until(
      systemClock,
      60_000,
      async () => ((await site.run('ss', ['-Hltn'])).includes(':7000') ? true : undefined),
      () => new Error('the listener does not listen'),
    );
    await subject.start(machine(name, ['127.0.0.1:80', 'bridge:7000', '10.212.1.1:7000']));
    await subject.waitUntilReady(name, { type: 'console', text: 'TINY READY' }, 90_000);
    const log = (await readdir(join(daemon.folder, 'machines'))).find((file) => file.endsWith('.console'));
    const said = await site.run('cat', [join(daemon.folder, 'machines', log!)]);
    t.regex(said, /TINY lease router= dns=/);
    // The guest's own page, so that "cut off" below does not merely mean that trying does not work.
    t.regex(said, /TINY reached 127\.0\.0\.1:80/);
    t.regex(said, /TINY cut off from 10\.213\.\d+\.1:7000/);
    t.regex(said, /TINY cut off from 10\.212\.1\.1:7000/);
  } finally {
    listener.kill();
    await subject.remove(name);
  }
});

test('two vault processes that start machines of one network while others go hinder nobody, and it stays closed', async (t) => {
  // Two providers know as little of one another as two processes.
  const [one, other] = [provider(), provider()];
  const network = { mode: 'isolated', name: 'leeward-test-shared-net' } as const;
  const of = (name: string) => ({ ...machine(name), network });
  const left = ['leeward-test-left-1', 'leeward-test-left-2'] as const;
  const names = ['leeward-test-right-1', 'leeward-test-right-2'] as const;
  try {
    for (let round = 0; round < 2; round++) {
      await one.start(machine(left[0]));
      await other.start(machine(left[1]));
      await Promise.all([
        one.start(of(names[0])).then(() => one.remove(left[0])),
        other.start(of(names[1])).then(() => other.remove(left[1])),
      ]);
      for (const name of names) t.true(await one.isRunning(name), name);
      t.is((await site.run('/usr/sbin/nft', ['list', 'ruleset'])).match(/oifname "lwt\w+" drop/g)?.length, 1);
      await Promise.all([one.remove(names[0]), other.remove(names[1])]);
      t.is(await traces(), '');
    }
  } finally {
    for (const name of [...left, ...names]) await one.remove(name);
  }
});

test('the room that the hypervisor says is what this machine has', async (t) => {
  const { cpuCount, memoryMebibytes } = await provider().room();
  t.is(cpuCount, cpus().length);
  const total = Number(/MemTotal:\s+(\d+)/.exec(await readFile('/proc/meminfo', 'utf8'))![1]) / 1024;
  t.true(memoryMebibytes <= total);
});

/** In 512 bytes: says over the serial port that it was booted, and halts. */
function bootSector(text: string): Buffer {
  const code = '31c08ed8fcbe227cac84c0741288c3bafd03eca82074fb88d8baf803eeebe9f4ebfd';
  const sector = Buffer.alloc(512);
  Buffer.concat([Buffer.from(code, 'hex'), Buffer.from(`${text}\r\n\0`)]).copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

test('a machine of 64 disks boots from its first, and its kernel sees them all and the marker', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-disks-'));
  const subject = provider();
  const [booted, seen] = ['leeward-test-disks-1', 'leeward-test-disks-2'];
  try {
    const paths = Array.from({ length: 64 }, (_, index) => join(folder, `${index}.raw`));
    for (const [index, path] of paths.entries())
      await writeFile(path, index === 0 ? bootSector('FIRST DISK BOOTS') : Buffer.alloc(512));
    for (const path of paths) await truncate(path, 1 << 20);
    const { directBoot: direct, ...bios } = machine(booted);
    await subject.start({ ...bios, disks: onBuses(paths) });
    await subject.waitUntilReady(booted, { type: 'console', text: 'FIRST DISK BOOTS' }, 180_000);
    const listed = await site.run('virsh', ['-q', '-c', daemon.uri, 'domblklist', booted]);
    t.deepEqual(
      listed
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/\s+/)[1]),
      paths,
    );
    await subject.remove(booted);
    await subject.start({
      ...{
        ...bios,
        name: seen,
        disks: onBuses(paths),
        marker: Buffer.from('as an example').toString('base64'),
      },
      directBoot: { ...direct!, commandLine: `${tiny.commandLine} disks=65` },
    });
    await subject.waitUntilReady(seen, { type: 'console', text: 'TINY sees 65 disks' }, 180_000);
    await t.throwsAsync(subject.start({ ...bios, disks: onBuses([...paths, '/one/more']) }), {
      code: 'MachineDefinitionInvalid',
      message: /65 disks; 64 are the most/,
    });
  } finally {
    for (const name of [booted, seen]) await subject.remove(name);
    await rm(folder, { recursive: true, force: true });
  }
});

const efiTest = existsSync('/usr/share/OVMF') && existsSync('/usr/bin/mcopy') ? test : (ava.skip as TestFn);
efiTest(
  'a GPT disk with an EFI partition boots by EFI, and its firmware’s memory goes with the machine',
  async (t) => {
    const name = 'leeward-test-efi-1';
    const folder = await mkdtemp(join(tmpdir(), 'leeward-efi-'));
    const subject = provider();
    try {
      const path = await makeEfiDisk(folder, tiny);
      const { directBoot: _, ...bios } = machine(name);
      await subject.start({
        ...bios,
        memoryMebibytes: 512,
        firmware: 'efi',
        disks: [{ path, bus: 'virtio' }],
      });
      await subject.waitUntilReady(name, { type: 'console', text: 'TINY READY' }, 150_000);
      const nvram = join(daemon.folder, 'lib/qemu/nvram');
      t.is((await readdir(nvram)).length, 1);
      await subject.remove(name);
      t.deepEqual(await readdir(nvram), []);
      t.is(await traces(), '');
    } finally {
      await subject.remove(name);
      await rm(folder, { recursive: true, force: true });
    }
  },
);

test('a machine with a marker has it as its last disk, read-only, and it goes with the machine', async (t) => {
  const name = 'leeward-test-marked-1';
  const subject = provider();
  const head = Buffer.from('as an example');
  try {
    await subject.start({ ...machine(name), marker: head.toString('base64') });
    const xml = await site.run('virsh', ['-q', '-c', daemon.uri, 'dumpxml', name]);
    const disk = /<disk [\s\S]*?<\/disk>/.exec(xml)?.[0] ?? '';
    t.regex(disk, /<readonly\/>/);
    t.regex(disk, /<target dev='vdzz' bus='virtio'\/>/);
    const path = /<source file='([^']+)'/.exec(disk)?.[1] ?? '';
    const bytes = await readFile(path);
    t.is(bytes.byteLength, 1 << 20);
    t.true(bytes.subarray(0, head.byteLength).equals(head));
    await subject.waitUntilReady(name, { type: 'console', text: 'TINY READY' }, 90_000);
  } finally {
    await subject.remove(name);
  }
  t.is(await traces(), '');
});

test('a hypervisor that is not there is named', async (t) => {
  const absent = new LibvirtProvider(
    {
      uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock',
      folder: '/tmp/leeward-nowhere',
      accelerator: 'tcg',
    },
    systemClock,
    systemFiles,
  );
  await t.throwsAsync(absent.check(), { code: 'HypervisorUnreachable' });
});
