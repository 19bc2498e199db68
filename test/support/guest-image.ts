/**
 * The guest: a real Debian (or Ubuntu, where that is what the machine's package lists offer) built from packages, with
 * a MariaDB ledger that is written to five times a second, a page that shows it, and its data on a logical volume of a
 * second disk. Used by the tests that boot a real machine, and by `make demo`.
 *
 * How: mmdebstrap into a folder, `guest-overlay/` on top, then a whole disk made without loop devices: a DOS partition
 * table, GRUB in the gap before the first partition, ext4 filled by `mke2fs -d`. The disk boots by itself from a BIOS, so
 * a recovery point of it does too.
 *
 * Why MariaDB and not SQLite: a server with its own log, buffers and recovery is what a database on a protected machine
 * is, and it starts in about 3 s under emulation once the upgrade hooks are out of the way.
 *
 * Packages come from wherever this machine's own apt gets them. The result is cached under `.cache/guest/<hash of the
 * recipe>`; the newest two are kept.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock, until } from '../../src/platform/clock.ts';
import { run } from '../../src/platform/exec.ts';
import { take } from './machine-wide.ts';

export interface GuestImage {
  /** Raw whole disk that boots from a BIOS. Shared: copy it (or open it with snapshot=on) before booting. */
  readonly systemDisk: string;
  readonly kernel: string;
  readonly initrd: string;
  /** What direct kernel boot needs; GRUB's own configuration says the same. */
  readonly commandLine: string;
  /** Private key that the guest's root accepts; of this cache only. */
  readonly sshKey: string;
  /** The size that the second disk (LVM, XFS) wants. */
  readonly dataDiskBytes: number;
}

export const guestCommandLine =
  'root=LABEL=root rw console=tty0 console=ttyS0 quiet mitigations=off nokaslr systemd.show_status=0';

const root = join(import.meta.dirname, '../..');
const overlay = join(import.meta.dirname, 'guest-overlay');
const systemDiskBytes = 1280 * 2 ** 20;
const dataDiskBytes = 512 * 2 ** 20;
const sectorBytes = 512;
/** 1 MiB, as every partitioning tool aligns; GRUB's core lives in the gap before it. */
const firstSector = 2048;

const minute = 60_000;

/**
 * Builds the image, or answers the cached one. `say` is told what is going on. One process at a time: of two that both build it,
 * the later one would take away what the earlier one has begun to boot.
 */
export async function guestImage(say: (what: string) => void = () => {}): Promise<GuestImage> {
  const cache = join(root, '.cache/guest');
  const recipe = await recipeText();
  const hash = createHash('sha256').update(recipe).digest('hex').slice(0, 16);
  const folder = join(cache, hash);
  await mkdir(cache, { recursive: true });
  const place = createHash('sha256')
    .update(await realpath(cache))
    .digest('hex')
    .slice(0, 16);
  using _ = await until(
    systemClock,
    20 * minute,
    () => take(`guest-image-${place}`),
    () => new Error('somebody else builds the guest, and does not end'),
    500,
  );
  if (!existsSync(join(folder, 'system.raw'))) {
    const draft = join(cache, `${hash}.draft-${process.pid}`);
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { mode: 0o700 });
    try {
      await build(draft, say);
      await rm(folder, { recursive: true, force: true });
      await rename(draft, folder);
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }
  await utimes(folder, new Date(), new Date());
  await forgetOlder(cache, hash);
  return {
    systemDisk: join(folder, 'system.raw'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd'),
    commandLine: guestCommandLine,
    sshKey: join(folder, 'id_ed25519'),
    dataDiskBytes,
  };
}

/** What the hash is over: this file and every file of the overlay. */
async function recipeText(): Promise<string> {
  const parts = [await readFile(import.meta.filename, 'utf8')];
  const names = (await readdir(overlay, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const name of names) parts.push(name.slice(overlay.length), await readFile(name, 'utf8'));
  return parts.join('\n');
}

interface Distribution {
  readonly id: string;
  readonly codename: string;
  readonly kernelPackage: string;
}

async function distribution(): Promise<Distribution> {
  const release = await readFile('/etc/os-release', 'utf8');
  const field = (name: string) =>
    new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(release)?.[1]?.toLowerCase() ?? '';
  const id = field('ID');
  const codename = field('VERSION_CODENAME');
  if (codename === '' || (id !== 'debian' && id !== 'ubuntu'))
    throw new Error(
      `the guest is built from the machine's own packages: Debian or Ubuntu, not ${id || 'this'}`,
    );
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  return {
    id,
    codename,
    kernelPackage: id === 'debian' ? `linux-image-cloud-${architecture}` : 'linux-image-virtual',
  };
}

/** The machine's own package sources of its own release, as one-line entries; third parties' are left out. */
async function packageSources(of: Distribution): Promise<string> {
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)';
  const list = async () =>
    (
      await run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], {
        timeoutMilliseconds: minute,
      })
    )
      .split('\n')
      .map((line) => line.split('|'))
      .filter(
        ([uri, release, , origin]) =>
          uri !== undefined &&
          origin?.toLowerCase() === of.id &&
          release?.startsWith(of.codename) &&
          !release.includes('backports'),
      );
  let found = await list();
  if (found.length === 0) {
    // A fresh machine has no lists yet, and without lists apt does not know the origins.
    await run('apt-get', ['update', '-qq'], { timeoutMilliseconds: 5 * minute });
    found = await list();
  }
  const lines = new Set(found.map(([uri, release, component]) => `deb ${uri} ${release} ${component}`));
  if (lines.size === 0) throw new Error(`apt knows no package source of ${of.id} ${of.codename}`);
  // Ubuntu keeps some of what the guest needs outside main.
  return `${[...lines].sort().join('\n')}\n`;
}

const packages = [
  'systemd-sysv',
  'udev',
  'dbus',
  'openssh-server',
  'initramfs-tools',
  'zstd',
  'kmod',
  'iproute2',
  'netbase',
  'mariadb-server',
  'lvm2',
  'xfsprogs',
  'busybox',
  'grub-pc-bin',
  'grub-common',
];

/** Started at every boot for nothing, here: they cost seconds under emulation. */
const masked = [
  'modprobe@configfs.service',
  'modprobe@drm.service',
  'modprobe@fuse.service',
  'modprobe@efi_pstore.service',
  'systemd-pstore.service',
  'e2scrub_reap.service',
  'e2scrub_all.timer',
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'fstrim.timer',
  'systemd-journal-flush.service',
  'systemd-hwdb-update.service',
  'systemd-update-done.service',
  'systemd-random-seed.service',
  'systemd-networkd-wait-online.service',
  'lvm2-monitor.service',
  'dev-hugepages.mount',
  'dev-mqueue.mount',
  'sys-kernel-debug.mount',
  'lvm2-lvmpolld.socket',
  'dm-event.socket',
];

async function build(folder: string, say: (what: string) => void): Promise<void> {
  const tree = join(folder, 'tree');
  const of = await distribution();
  say(`building a ${of.id} ${of.codename} guest from packages (once, about a minute)`);
  await debootstrap(tree, of, await packageSources(of));
  say('making its disk');
  await furnish(tree, folder);
  const kernel = await newest(join(tree, 'boot'), 'vmlinuz-');
  const initrd = await newest(join(tree, 'boot'), 'initrd.img-');
  await rename(kernel, join(tree, 'boot/vmlinuz'));
  await rename(initrd, join(tree, 'boot/initrd'));
  await copyFile(join(tree, 'boot/vmlinuz'), join(folder, 'vmlinuz'));
  await copyFile(join(tree, 'boot/initrd'), join(folder, 'initrd'));
  await makeDisk(tree, join(folder, 'system.draft'));
  await rename(join(folder, 'system.draft'), join(folder, 'system.raw'));
  await rm(tree, { recursive: true, force: true });
}

async function debootstrap(tree: string, of: Distribution, sources: string): Promise<void> {
  const early = [
    // Before the kernel arrives, so that its initrd is made once and small: what the test machines' buses need.
    'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d" "$1/etc/mysql/mariadb.conf.d"',
    'echo MODULES=list > "$1/etc/initramfs-tools/conf.d/leeward"',
    'printf "virtio_pci\\nvirtio_blk\\nvirtio_scsi\\nvirtio_net\\nsd_mod\\next4\\n" > "$1/usr/share/initramfs-tools/modules.d/leeward"',
    'echo COMPRESS=zstd > "$1/etc/initramfs-tools/conf.d/compress"',
    // Before MariaDB makes its system tables, so that its log has the small size from the start.
    `cp '${join(overlay, 'etc/mysql/mariadb.conf.d/90-leeward.cnf')}' "$1/etc/mysql/mariadb.conf.d/"`,
  ];
  const proxies = (await run('apt-config', ['dump'], { timeoutMilliseconds: minute }))
    .split('\n')
    .filter((line) => /^Acquire::https?::Proxy /i.test(line));
  await run(
    'mmdebstrap',
    [
      '--quiet',
      '--variant=minbase',
      '--mode=root',
      `--include=${[...packages, of.kernelPackage].join(',')}`,
      '--aptopt=Acquire::Languages "none"',
      '--aptopt=APT::Install-Recommends "false"',
      ...proxies.map((line) => `--aptopt=${line}`),
      ...['doc', 'man', 'locale', 'info', 'i18n', 'perl5/debconf'].map(
        (name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`,
      ),
      ...early.map((hook) => `--essential-hook=${hook}`),
      of.codename,
      tree,
      '-',
    ],
    { timeoutMilliseconds: 8 * minute, input: sources },
  );
}

/** Everything between the bare packages and the machine: the overlay, one database, one key, fewer services. */
async function furnish(tree: string, folder: string): Promise<void> {
  const inTree = (args: readonly string[], input?: string) =>
    run('chroot', [tree, ...args], {
      timeoutMilliseconds: 2 * minute,
      ...(input === undefined ? {} : { input }),
    });
  await cp(overlay, tree, { recursive: true });
  for (const name of await readdir(join(overlay, 'usr/local/sbin')))
    await chmod(join(tree, 'usr/local/sbin', name), 0o755);

  await inTree(
    ['mariadbd', '--user=mysql', '--bootstrap', '--log-error=/dev/null'],
    await readFile(join(overlay, 'usr/local/share/leeward-demo/ledger.sql'), 'utf8'),
  );

  await run(
    'ssh-keygen',
    ['-q', '-t', 'ed25519', '-N', '', '-C', 'leeward guest', '-f', join(folder, 'id_ed25519')],
    {
      timeoutMilliseconds: minute,
    },
  );
  await mkdir(join(tree, 'root/.ssh'), { recursive: true, mode: 0o700 });
  await copyFile(join(folder, 'id_ed25519.pub'), join(tree, 'root/.ssh/authorized_keys'));
  await chmod(join(tree, 'root/.ssh/authorized_keys'), 0o600);

  await writeFile(join(tree, 'etc/hostname'), 'leeward-guest\n');
  await writeFile(join(tree, 'etc/hosts'), '127.0.0.1 localhost\n127.0.1.1 leeward-guest\n');
  await writeFile(join(tree, 'etc/machine-id'), `${createHash('md5').update(folder).digest('hex')}\n`);
  await rm(join(tree, 'etc/resolv.conf'), { force: true });
  await writeFile(join(tree, 'etc/resolv.conf'), '');
  await inTree([
    'systemctl',
    '--quiet',
    'enable',
    'systemd-networkd.service',
    'serial-getty@ttyS0.service',
    'ssh.service',
    'mariadb.service',
    'leeward-demo-disk.service',
    'leeward-ledger.service',
    'leeward-web.service',
    'leeward-demo-check.service',
  ]);
  await inTree(['systemctl', '--quiet', 'mask', ...masked]);

  // Made for upgrades, recovery by hand and other servers; a third of what would be replicated at first.
  const spare =
    /^(aria_|myisam|mariabackup|mariadb-(backup|slap|test|embedded|client-test)|mysql_(client|embedded)|mysqltest|innochecksum|resolve_stack|replace|sst_dump|mariadb-ldb)/;
  for (const name of await readdir(join(tree, 'usr/bin')))
    if (spare.test(name)) await rm(join(tree, 'usr/bin', name), { force: true });
  for (const name of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/grub', 'var/log/mysql'])
    for (const entry of await readdir(join(tree, name)).catch(() => []))
      await rm(join(tree, name, entry), { recursive: true, force: true });
  await mkdir(join(tree, 'var/lib/apt/lists/partial'), { recursive: true });
  await writeFile(join(tree, 'etc/.updated'), '');
  await writeFile(join(tree, 'var/.updated'), '');
}

async function makeDisk(tree: string, disk: string): Promise<void> {
  const inTree = (args: readonly string[]) => run('chroot', [tree, ...args], { timeoutMilliseconds: minute });
  await writeFile(
    join(tree, 'boot/grub/early.cfg'),
    'search --no-floppy --label root --set root\nset prefix=($root)/boot/grub\n',
  );
  await inTree([
    'grub-mkimage',
    ...['-O', 'i386-pc', '-p', '/boot/grub', '-c', '/boot/grub/early.cfg', '-o', '/boot/grub/core.img'],
    ...[
      'biosdisk',
      'part_msdos',
      'ext2',
      'linux',
      'normal',
      'configfile',
      'search',
      'search_label',
      'serial',
    ],
    ...['terminal', 'echo'],
  ]);
  const core = await readFile(join(tree, 'boot/grub/core.img'));
  const boot = await readFile(join(tree, 'usr/lib/grub/i386-pc/boot.img'));
  if (core.byteLength > (firstSector - 1) * sectorBytes)
    throw new Error('GRUB does not fit before the partition');
  await rm(join(tree, 'usr/lib/grub'), { recursive: true, force: true });

  const file = await open(disk, 'w');
  try {
    await file.truncate(systemDiskBytes);
    const sector = Buffer.alloc(sectorBytes);
    boot.copy(sector, 0, 0, 440);
    // No check of the drive number that the BIOS passes; core.img begins at sector 1, which is what boot.img expects.
    sector.writeUInt16LE(0x9090, 0x66);
    createHash('sha256').update(disk).digest().copy(sector, 440, 0, 4);
    const sectors = systemDiskBytes / sectorBytes - firstSector;
    // One active Linux partition; addresses by cylinder are the conventional "see the LBA".
    sector.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff], 446);
    sector.writeUInt32LE(firstSector, 454);
    sector.writeUInt32LE(sectors, 458);
    sector.writeUInt16LE(0xaa55, 510);
    await file.write(sector, 0, sectorBytes, 0);
    await file.write(core, 0, core.byteLength, sectorBytes);
  } finally {
    await file.close();
  }
  const blockCount = (systemDiskBytes - firstSector * sectorBytes) / 4096;
  await run(
    'mke2fs',
    [
      ...['-q', '-F', '-t', 'ext4', '-b', '4096', '-L', 'root', '-J', 'size=16', '-m', '1'],
      // GRUB's ext2 driver reads these; a checksum seed or an orphan file it would refuse.
      ...['-O', '^metadata_csum_seed,^metadata_csum'],
      ...['-E', `offset=${firstSector * sectorBytes},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0`],
      ...['-d', tree, disk, String(blockCount)],
    ],
    { timeoutMilliseconds: 5 * minute },
  );
}

async function newest(folder: string, prefix: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(prefix)).sort();
  const last = names.at(-1);
  if (last === undefined) throw new Error(`the guest has no ${prefix}*`);
  return join(folder, last);
}

async function forgetOlder(cache: string, keep: string): Promise<void> {
  const others: { name: string; usedAt: number }[] = [];
  for (const name of await readdir(cache))
    if (name !== keep && !name.includes('.draft-'))
      others.push({ name, usedAt: (await stat(join(cache, name))).mtimeMs });
  others.sort((one, other) => other.usedAt - one.usedAt);
  for (const { name } of others.slice(1)) await rm(join(cache, name), { recursive: true, force: true });
}
