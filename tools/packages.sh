#!/bin/sh
# Installs what the demo and the tests use from the distribution (Debian or Ubuntu): real databases, file systems,
# hypervisor and peers. Does nothing when all of it is there; says what is missing when it may not install.
set -eu
cd "$(dirname "$0")/.."
. tools/waiting.sh
wanted="
  mariadb-server
  libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils ovmf dnsmasq-base
  mmdebstrap fdisk gdisk e2fsprogs xfsprogs btrfs-progs dosfstools mtools busybox-static cpio xz-utils zstd kmod
  iproute2 nftables openssl openssh-client socat fio gcc libc6-dev dpkg-dev procps curl postgresql git
"
bench="rsync restic borgbackup nbdkit libnbd-bin"
[ "${1:-}" = bench ] && wanted="$wanted $bench"

missing=""
for name in $wanted; do
  dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $name"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "leeward: not root (or no apt), so these stay missing and tests that need them are skipped:$missing" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
waiting "reading the distribution's package lists" apt-get update -qq
# No service of these packages is to start on this machine: the demo and the tests start private ones.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
echo "leeward: from the distribution:$missing"
# A machine that has just started may be installing updates: its turn first.
waiting "installing these" apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends $missing
