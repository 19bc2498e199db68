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
# Three holds, each judged by the writes that completed in 200 ms of it, after what was under way has completed.
judge() { # key
  mkfifo /run/brake/in
  ./leeward-brake --note /run/brake/note </run/brake/in >/run/brake/out 2>&1 &
  exec 7>/run/brake/in
  printf '%s\0\0' "$number" >&7
  tries=0; until grep -q ready /run/brake/out; do tries=$((tries + 1)); [ $tries -lt 300 ] || break; sleep 0.1; done
  for round in 1 2 3; do
    sleep 0.5
    printf 'B400\n' >&7
    sleep 0.1; one=$(cat /run/brake/count)
    sleep 0.2; two=$(cat /run/brake/count)
    printf R >&7
    echo $((two - one)) >>/run/brake/written
  done
  sleep 0.5; before=$(cat /run/brake/count); sleep 1
  [ "$(cat /run/brake/count)" -gt "$before" ] && goes=goes || goes=STANDS
  exec 7>&-; wait $!
  result $1 "$(sort -n /run/brake/written | head -1) $goes left=$(left) $(sed -n 's/.*\(root=[a-z]*\).*/\1/p' /run/brake/out | head -1) $(sed -n 's/.*\(unheld=.*\)/\1/p' /run/brake/out | head -1)"
  rm -f /run/brake/in /run/brake/out /run/brake/written
}
for place in root system user container; do
  for mode in direct buffered; do
    start $place $mode && judge $place-$mode || result $place-$mode "not started"
    pkill -9 -x brake-writer; systemctl reset-failed 2>/dev/null
    tries=0; while pgrep -x brake-writer >/dev/null; do tries=$((tries + 1)); [ $tries -lt 100 ] || break; sleep 0.1; done
  done
done
result version "$(echo | timeout 5 ./leeward-brake 2>&1 | head -1; printf '%s\0\0' "$number" | timeout 5 ./leeward-brake | grep -o 'version=[12]')"
# Everything killed at once: the note is worked through, and what was there before is there again.
start system direct
group=$(dirname "$(find $root/system.slice -maxdepth 1 -name $limits | head -1)")
if [ $limits = io.max ]; then echo "$number wiops=5000" >$group/$limits; else echo "$number 5000" >$group/$limits; fi
was=$(grep "^$number " $group/$limits)
mkfifo /run/brake/in; ./leeward-brake --note /run/brake/note </run/brake/in >/run/brake/out & main=$!
exec 7>/run/brake/in; printf '%s\0\0' "$number" >&7; sleep 1; printf 'B400\n' >&7
tries=0; until grep -q holding /run/brake/out; do tries=$((tries + 1)); [ $tries -lt 1000 ] || break; sleep 0.01; done
all="$main $(pgrep -P $main)"; kill -STOP $all; kill -KILL $all; exec 7>&-; sleep 1
held=$(grep "^$number " $group/$limits)
result released "$(./leeward-brake --release /run/brake/note | grep -o 'stuck=[0-9]*') $([ "$held" != "$was" ] && echo held) $([ "$(grep "^$number " $group/$limits)" = "$was" ] && echo as-before)"
result done yes
systemctl poweroff --force --force
