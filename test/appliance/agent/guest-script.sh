#!/bin/sh
# Runs inside the guest as root, from the payload's folder; every finding is one line `RESULT <key> <value>` on the console.
exec >/dev/ttyS0 2>&1
cd "$(dirname "$0")"
result() { echo "RESULT $*"; }
# Conditions with a limit: 300 tries, one a second.
wait_for() { tries=0; until eval "$1" >/dev/null 2>&1; do tries=$((tries + 1)); [ $tries -lt 300 ] || return 1; sleep 1; done; }
state() { systemctl is-active leeward-mobility; }
journal() { journalctl --no-pager -o cat -u leeward-mobility; }
leftovers() {
  { find / -xdev \( -path /proc -o -path /sys -o -path "$PWD" -o -path /usr/local -o -path /var/log -o -path /var/cache \) -prune -o -name '*leeward*' -print
    find /run /sys/kernel/tracing/instances -name '*leeward*' -not -path "$PWD*"; } 2>/dev/null |
    grep -v -e leeward-demo -e leeward-ledger -e leeward-web -e leeward-check -e 90-leeward.cnf -e 'leeward\.conf' -e '/run/systemd/units' | tr '\n' ' '
}

modprobe xfs; modprobe virtio_blk
data=$(for disk in /sys/block/vd*; do [ "$(cat $disk/size)" = 655360 ] && echo /dev/${disk##*/}; done)
mkfs.xfs -q -f "$data" && mkdir -p /data && mount "$data" /data
result before "$(leftovers)"

mkdir unpacked && tar -xzf agent.tar.gz -C unpacked --strip-components=1
sh unpacked/install.sh && result installed yes
systemctl start leeward-mobility; result without-assignment "$(state)"
echo '{"freeze":["/data","/"]}' >/etc/leeward/mobility-service/assignment.json
systemctl start leeward-mobility
wait_for 'journal | grep -q frozen-and-thawed' && result frozen "$(journal | grep -o '"mountPoints":\[[^]]*\]' | tail -1)"
result active "$(state)"
result sandbox "$(journal | sed -n 's/.*"sandbox":"\([^"]*\)".*/\1/p' | tail -1)"
main=$(systemctl show -p MainPID --value leeward-mobility)
result rss-kib "$(awk '/VmRSS/ {print $2}' /proc/$main/status)"
result capabilities "$(awk '/CapEff/ {print $2}' /proc/$main/status)"
echo thawed >/data/after && echo thawed >/root/after && sync && result writes-go-on yes
kill -9 "$main"
wait_for '[ "$(systemctl show -p MainPID --value leeward-mobility)" != 0 ] && [ "$(systemctl show -p MainPID --value leeward-mobility)" != '"$main"' ]' && result restarted yes
journal | tail -5
/opt/leeward/mobility-service/uninstall.sh; result settings-stay "$(ls /etc/leeward/mobility-service)"
sh unpacked/install.sh && /opt/leeward/mobility-service/uninstall.sh --purge
result after-tar "$(leftovers)"

rm -rf unpacked
dpkg -i agent.deb >/dev/null && result deb-installed yes
echo '{"freeze":["/data"]}' >/etc/leeward/mobility-service/assignment.json
systemctl start leeward-mobility
wait_for 'systemctl is-active leeward-mobility' && result deb-active yes
dpkg --purge leeward-mobility-service >/dev/null; result after-deb "$(leftovers)"
result done yes
systemctl poweroff --force --force
