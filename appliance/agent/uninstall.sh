#!/bin/sh
# Takes the Leeward mobility service away. Settings stay in /etc/leeward/mobility-service unless --purge is given.
set -eu
[ "$(id -u)" = 0 ] || { echo "leeward: uninstalling needs root; run it with sudo" >&2; exit 1; }
purge=no
case "${1:-}" in
  '') ;;
  --purge) purge=yes ;;
  *) echo "usage: uninstall.sh [--purge]" >&2; exit 1 ;;
esac
if [ -e /var/lib/dpkg/info/leeward-mobility-service.list ]; then
  echo "leeward: installed from the deb; use: apt-get remove leeward-mobility-service" >&2
  exit 1
fi
systemctl disable --now --quiet leeward-mobility.service 2>/dev/null || true
rm -f /etc/systemd/system/leeward-mobility.service
systemctl daemon-reload || true
systemctl reset-failed leeward-mobility.service 2>/dev/null || true
# The kernel goes on recording into the service's trace instance until that is taken away.
for instances in /sys/kernel/tracing/instances /sys/kernel/debug/tracing/instances; do
  for instance in "$instances"/leeward-* "$instances"/leeward; do
    [ -d "$instance" ] && rmdir "$instance" 2>/dev/null || true
  done
done
rm -rf /opt/leeward/mobility-service /opt/leeward/mobility-service.new /opt/leeward/mobility-service.old
rm -rf /var/lib/leeward/mobility-service /run/leeward-mobility
[ "$purge" = no ] || rm -rf /etc/leeward/mobility-service
# Shared with nothing of ours any more: gone when empty.
rmdir /opt/leeward /var/lib/leeward /etc/leeward 2>/dev/null || true
echo "leeward: the mobility service is gone"
[ "$purge" = yes ] || [ ! -d /etc/leeward/mobility-service ] || echo "  its settings stay in /etc/leeward/mobility-service (--purge removes them too)"
