#!/usr/bin/env bash
# Installs what the demo and the tests need beyond Rust, Node and Python. Quick when all is there already.
#
#   scripts/setup.sh [demo|test]     demo: a browser is not needed; test (default): all
#
# Where packages come from is each tool's own configuration.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-test}

fail() { echo "setup: $1" >&2; exit 1; }

tools=(cargo node npm python3)
[ "$what" = demo ] || tools+=(go)
for tool in "${tools[@]}"; do
  command -v "$tool" > /dev/null || fail "$tool is missing; the README says what a fresh machine needs"
done

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo > /dev/null; then sudo -n "$@"
  else fail "cannot install packages: neither root nor sudo; install by hand: ${missing[*]}"; fi
}

# Debian package by the file that shows it is there.
missing=()
need() { [ -e "$2" ] || missing+=("$1"); }
need chromium /usr/bin/chromium
need fonts-dejavu-core /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
need util-linux /usr/bin/setsid
need curl /usr/bin/curl
need gcc /usr/bin/cc
if [ "$what" != demo ]; then
  # A Secret Service without a desktop, and a witness of what is in it.
  need dbus-daemon /usr/bin/dbus-daemon
  need gnome-keyring /usr/bin/gnome-keyring-daemon
  need libsecret-tools /usr/bin/secret-tool
  need default-jdk-headless /usr/bin/javac
  need maven /usr/bin/mvn
  need ruby /usr/bin/ruby
  # The fuzzing engine is built from its C++ source.
  need g++ /usr/bin/c++
fi
# Its files are where its version says.
[ "$what" = demo ] || ruby -e 'require "ffi"' 2> /dev/null || missing+=(ruby-ffi)
python3 -c 'import ensurepip' 2> /dev/null || missing+=(python3-venv)

# The demo needs no browser and traces nothing.
[ "$what" = demo ] || need strace /usr/bin/strace
if [ "$what" = demo ]; then missing=("${missing[@]/chromium/}"); missing=("${missing[@]/fonts-dejavu-core/}"); fi
wanted=()
for package in "${missing[@]}"; do [ -n "$package" ] && wanted+=("$package"); done

if [ ${#wanted[@]} -gt 0 ]; then
  command -v apt-get > /dev/null || fail "no apt-get here; install by hand: ${wanted[*]}"
  echo "setup: installing ${wanted[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" > /dev/null
fi

# A stamp holds the hash of the lock file that an installation was made from.
stamped() { [ -f "$2" ] && [ "$(cat "$2")" = "$(sha256sum < "$1")" ]; }
stamp() { sha256sum < "$1" > "$2"; }

if [ "$what" != demo ]; then
  python_lock=tests/e2e/requirements.txt
  if ! stamped $python_lock .venv/installed; then
    echo "setup: Python packages into .venv"
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $python_lock
    stamp $python_lock .venv/installed
  fi

  peers=tests/e2e/peers
  if ! stamped $peers/package-lock.json $peers/node_modules/.installed; then
    echo "setup: Node packages into $peers"
    npm ci --prefix $peers --no-audit --no-fund --loglevel=error
    stamp $peers/package-lock.json $peers/node_modules/.installed
  fi

  # Test vectors that only a Go module has. Its folder is part of Go's cache, which may be cleaned: they are copied.
  vectors=tests/vectors/wycheproof
  if ! stamped $vectors/go.sum $vectors/vectors/.installed; then
    echo "setup: Wycheproof's JSON Web vectors into $vectors"
    module=$(cd $vectors && go mod download -json github.com/c2sp/wycheproof |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
    mkdir -p $vectors/vectors
    install -m 644 "$module"/testvectors_v1/json_web_{signature,key}_test.json $vectors/vectors
    stamp $vectors/go.sum $vectors/vectors/.installed
  fi
fi
