#!/bin/sh
# Runs inside the guest as root, from the payload's folder; every finding is one line `RESULT <key> <value>` on the console.
# Writers in each kind of control group, directly and through the page cache, and the brake: who is held?
exec >/dev/ttyS0 2>&1
cd "$(dirname "$0")"
result() { echo "RESULT $*"; }
modprobe virtio_blk
data=$(for disk in /sys/block/vd*; do [ "$(cat $disk/size)" = 655360 ] && echo ${disk##*/}; done)
number=$(cat /sys/block/$data/dev)
mkfs.ext4 -q -F /dev/$data && mkdir -p /data && mount /dev/$data /data
mkdir -p /run/brake
result kernel "$(uname -r)"
if [ -d /sys/fs/cgroup/blkio ]; then root=/sys/fs/cgroup/blkio; limits=blkio.throttle.write_iops_device; else root=/sys/fs/cgroup; limits=io.max; fi
left() { cat $(find $root -name $limits) 2>/dev/null | grep -c "^$number "; }

start() { # place mode
  what="$PWD/brake-writer /data/$1-$2 $2 /run/brake/count"
  rm -f /run/brake/count
  case $1 in
  root) sh -c "echo \$\$ >$root/cgroup.procs; exec $what" & ;;
  system) systemd-run -q --unit=w-$1-$2 $what ;;
  user) systemd-run -q --unit=w-$1-$2 --slice=user-1000.slice $what ;;
  container) systemd-run -q --unit=w-$1-$2 --slice=machine.slice -p Delegate=yes sh -c "d=$root\$(sed -n 's/^[0-9]*:[^:]*blkio[^:]*://p;s/^0:://p' /proc/self/cgroup | head -1); mkdir -p \$d/inner/deep && echo \$\$ >\$d/inner/deep/cgroup.procs; exec $what" ;;
  esac
  tries=0; until [ -s /run/brake/count ]; do tries=$((tries + 1)); [ $tries -lt 300 ] || return 1; sleep 0.2; done
}
judge() { # key
  found=$(./brake-judge ./leeward-brake /run/brake/note "$number" /run/brake/count)
  before=$(cat /run/brake/count); goes=STANDS
  tries=0; until [ "$(cat /run/brake/count)" -gt "$before" ] && goes=goes; do tries=$((tries + 1)); [ $tries -lt 100 ] || break; sleep 0.1; done
  result $1 "${found%% *} $goes left=$(left) $(echo "$found" | sed -n 's/.*\(root=[a-z]*\).*/\1/p')"
}
for place in root system user container; do
  for mode in direct buffered; do
    start $place $mode && judge $place-$mode || result $place-$mode "not started"
    pkill -9 -x brake-writer; systemctl reset-failed 2>/dev/null
    tries=0; while pgrep -x brake-writer >/dev/null; do tries=$((tries + 1)); [ $tries -lt 100 ] || break; sleep 0.1; done
  done
done
# Everything killed at once: the note is worked through, and what was there before is there again.
start system direct
# With v1 a service has a group of this controller only where somebody asked for one.
group=$root/system.slice; [ -e $group/$limits ] || { group=$root/kept; mkdir $group; }
if [ $limits = io.max ]; then echo "$number wiops=5000" >$group/$limits; else echo "$number 5000" >$group/$limits; fi
was=$(grep "^$number " $group/$limits)
# A busy machine tries again, since the deadline may come first.
tries=0
while [ $tries -lt 20 ]; do
  tries=$((tries + 1))
  ./brake-judge ./leeward-brake /run/brake/note "$number" /run/brake/count kill
  held=$(grep "^$number " $group/$limits); [ "$held" != "$was" ] && break
done
result released "$(./leeward-brake --release /run/brake/note | grep -o 'stuck=[0-9]*') $([ "$held" != "$was" ] && echo held) $([ "$(grep "^$number " $group/$limits)" = "$was" ] && echo as-before)"
result done yes
systemctl poweroff --force --force
