/**
 * A guest that is there within seconds: the real guest's kernel and initrd with an `/init` of our own laid over it (a
 * kernel unpacks archives one after the other, the later wins). It takes an address, serves a page on port 80, tries to
 * reach what the command line names in `try=`, waits for as many disks as `disks=` says, and says on the console what it sees.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/platform/exec.ts';
import { guestImage } from './guest-image.ts';

export interface TinyGuest extends AsyncDisposable {
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
}

const init = `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mkdir -p /proc /sys /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
say() { for tty in /dev/ttyS0 /dev/tty0; do echo "$@" > $tty; done; }
for line in $(cat /proc/cmdline); do case "$line" in try=*) targets=$(echo "$line" | sed 's/try=//;s/,/ /g') ;; esac; done
modprobe virtio_pci; modprobe virtio_net; modprobe virtio_blk
busybox ifconfig lo 127.0.0.1 up
busybox ifconfig eth0 up
cat > /lease <<'X'
#!/bin/sh
[ "$1" = bound ] && { busybox ifconfig "$interface" "$ip" netmask "$subnet"; echo "router=$router dns=$dns" > /lease.facts; }
X
chmod 755 /lease
busybox udhcpc -i eth0 -s /lease -n -q -t 20 -T 1 > /dev/null 2>&1 || say "TINY no address"
say "TINY lease $(cat /lease.facts 2>/dev/null)"
mkdir -p /www; echo 'tiny guest' > /www/index.html
busybox httpd -p 80 -h /www
own=$(busybox ifconfig eth0 | sed -n 's/.*inet addr:\\([0-9.]*\\).*/\\1/p')
bridge=$(echo "$own" | sed 's/[0-9]*$/1/')
# As an administrator inside might: a route that nobody gave it.
busybox route add default gw "$bridge" 2>/dev/null
modprobe virtio_scsi; modprobe sd_mod
case "$(cat /proc/cmdline)" in *disks=*)
  wanted=$(sed 's/.*disks=\\([0-9]*\\).*/\\1/' /proc/cmdline)
  # Disks are found one by one, behind the kernel's back.
  while :; do found=0; for disk in /sys/block/[sv]d*; do [ -e "$disk" ] && found=$((found + 1)); done; [ $found -ge $wanted ] && break; busybox sleep 1; done
  say "TINY sees $found disks" ;;
esac
for target in $targets; do
  [ "\${target%%:*}" = bridge ] && target="$bridge:\${target##*:}"
  if busybox nc -w 3 "\${target%%:*}" "\${target##*:}" < /dev/null > /dev/null 2>&1; then say "TINY reached $target"; else say "TINY cut off from $target"; fi
done
say "TINY READY at $own"
while :; do busybox sleep 3600; done
`;

export async function tinyGuest(): Promise<TinyGuest> {
  const image = await guestImage();
  const folder = await mkdtemp(join(tmpdir(), 'leeward-tiny-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await mkdir(join(folder, 'tree'));
    await writeFile(join(folder, 'tree/init'), init, { mode: 0o755 });
    await run('sh', ['-c', `cd tree && echo init | cpio --quiet -o -H newc > ../overlay.cpio`], {
      timeoutMilliseconds: 30_000,
      cwd: folder,
    });
    const base = await readFile(image.initrd);
    // Archives begin at multiples of four.
    await writeFile(
      join(folder, 'initrd'),
      Buffer.concat([
        base,
        Buffer.alloc((4 - (base.byteLength % 4)) % 4),
        await readFile(join(folder, 'overlay.cpio')),
      ]),
    );
    return {
      kernel: image.kernel,
      initrd: join(folder, 'initrd'),
      commandLine: 'console=tty0 console=ttyS0 quiet mitigations=off nokaslr panic=-1',
      [Symbol.asyncDispose]: remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
