#!/bin/sh
# Installs the Leeward mobility service from this folder, on any Linux with systemd. Needs root and no network.
# Installing again updates it; settings and state stay. Usage: ./install.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=/opt/leeward/mobility-service
settings=/etc/leeward/mobility-service
enrolled=/var/lib/leeward/mobility-service/site/agent.json
unit=/etc/systemd/system/leeward-mobility.service

fail() { echo "leeward: $1" >&2; echo "  what to do: $2" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "installing needs root" "run it with sudo"
[ -d /run/systemd/system ] || fail "this machine does not run systemd" "the service needs systemd; see install-agent.md"
built=$(cat "$here/ARCHITECTURE")
[ "$(uname -m)" = "$built" ] || fail "this package is for $built, the machine is $(uname -m)" "take the package for it"
"$here/bin/node" -e '' 2>/dev/null || {
  "$here/bin/node" -e '' || true
  fail "the Node that comes with the package does not run here" "glibc 2.28 or newer and libstdc++ are needed (Debian 10, RHEL 8 and newer)"
}
if [ -e /var/lib/dpkg/info/leeward-mobility-service.list ]; then
  fail "the service is installed from the deb already" "update it with dpkg -i, or remove it with apt-get remove first"
fi

was_active=no
if systemctl is-active --quiet leeward-mobility.service; then was_active=yes; fi

# Everything is laid out beside the old version, then swapped in: a full disk leaves the old one whole.
mkdir -p /opt/leeward
rm -rf "$target.new"
mkdir -m 755 "$target.new"
for folder in bin lib share; do cp -R "$here/$folder" "$target.new/"; done
cp "$here/VERSION" "$here/uninstall.sh" "$target.new/"
chown -R 0:0 "$target.new"
rm -rf "$target.old"
[ ! -d "$target" ] || mv "$target" "$target.old"
mv "$target.new" "$target"
rm -rf "$target.old"

mkdir -p /etc/leeward
[ -d "$settings" ] || mkdir -m 700 "$settings"
cp "$here/leeward-mobility.service" "$unit"
chmod 644 "$unit"
command -v restorecon >/dev/null 2>&1 && restorecon -R "$target" "$unit" "$settings" || true
systemctl daemon-reload
systemctl enable --quiet leeward-mobility.service

if [ "$was_active" = yes ]; then
  systemctl restart leeward-mobility.service
elif [ -e "$settings/assignment.json" ] || [ -e "$enrolled" ]; then
  systemctl start leeward-mobility.service
fi
echo "leeward: mobility service $(cat "$here/VERSION") is installed in $target"
if [ ! -e "$settings/assignment.json" ] && [ ! -e "$enrolled" ]; then
  echo "  next: $target/bin/leeward-mobility-service enrol --configuration-server HOST --key-file FILE"
  echo "        (or put assignment.json and its certificates into $settings),"
  echo "        then: systemctl start leeward-mobility"
fi
