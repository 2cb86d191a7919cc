#!/usr/bin/env bash
# The npm package.
#
#   scripts/node.sh install      builds it for tests and unpacks it where tests/node finds it
#   scripts/node.sh install-js   the same without the native half, which must be there already
#   scripts/node.sh lint         its formatting and types
#   scripts/node.sh test         its tests, all or the named files
#   scripts/node.sh package      the release: the package and this platform's native one into dist/npm/
#   scripts/node.sh bench        those packages where benches/peers/node finds them, beside their peers
#   scripts/node.sh types        writes node/src/native.d.ts from the code; with --check only compares
#
# "For tests" is the ordinary debug build with the core's feature `testing`.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

# A stamp holds the hash of the lock file that an installation was made from.
installed() {
  local lock=$1/package-lock.json stamp=$1/node_modules/.installed
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(sha256sum < "$lock")" ] && return
  echo "node: npm ci in $1"
  npm ci --prefix "$1" --no-audit --no-fund --loglevel=error
  sha256sum < "$lock" > "$stamp"
}

javascript() {
  installed node
  npm run --silent --prefix node build
}

# $1: the native library; $2: where the packages go.
packed() {
  rm -rf "$2"
  node node/scripts/pack.mjs --library "$1" --out "$2"
}

# $1: packages; $2: the folder whose node_modules take them.
unpacked() {
  for package in "$1"/*.tgz; do
    local name
    name=$(tar -xOf "$package" package/package.json | node -p 'JSON.parse(require("fs").readFileSync(0)).name')
    rm -rf "$2/node_modules/$name"
    mkdir -p "$2/node_modules/$name"
    tar -xzf "$package" -C "$2/node_modules/$name" --strip-components 1
  done
}

case "$(uname -s)" in
Darwin) library=libflyte_auth_node.dylib ;;
*) library=libflyte_auth_node.so ;;
esac

case "${1:-}" in
install | install-js)
  if [ "$1" = install ]; then
    # The whole workspace, as all other tests are built: a selection has features of its own and compiles everything again.
    cargo build --quiet --locked --workspace --bins --lib
    # Stripped: a third of what every test would load.
    strip -o target/flyte-auth-node-for-tests "target/debug/$library"
  fi
  javascript
  installed tests/node
  packed target/flyte-auth-node-for-tests target/npm
  unpacked target/npm tests/node
  ;;
package)
  cargo build --locked --profile library -p flyte-auth-node
  scripts/check-release-features.sh "target/library/$library"
  javascript
  packed "target/library/$library" dist/npm
  ls -l dist/npm
  ;;
bench)
  installed benches/peers/node
  # The identity provider of the web benchmark is the tests'.
  installed tests/node
  unpacked dist/npm benches/peers/node
  ;;
lint)
  installed node
  npm run --silent --prefix node lint
  # Tests, benchmarks and examples are formatted alike.
  node node/node_modules/prettier/bin/prettier.cjs --config node/.prettierrc.json --log-level warn --check \
    "tests/node/**/*.{mjs,ts}" "tests/conformance/node/*.mjs" "benches/peers/node/*.mjs" "examples/node*/**/*.{js,mjs,ts}"
  ;;
test)
  shift
  # What tests start: the sandbox, and the runtimes besides this one.
  cargo build --quiet --locked --workspace --bins --lib
  installed tests/node
  installed tests/node/runtimes
  cd tests/node
  # One file after another: logins listen on the one port that Flyte registers.
  if [ $# -gt 0 ]; then exec node --test --test-concurrency=1 "$@"; fi
  log=$root/target/node-tests.txt
  if ! node --test --test-concurrency=1 ./*.test.mjs > "$log" 2>&1; then
    grep -E -A 30 '^ *not ok ' "$log" | head -300
    tail -9 "$log"
    exit 1
  fi
  tail -9 "$log"
  ;;
types)
  installed node
  written=$root/target/node-types
  rm -rf "$written" && mkdir -p "$written"
  # The type definitions are written as the crate is compiled: it must be.
  touch bindings/node/src/lib.rs
  (cd node && npx napi build --manifest-path ../bindings/node/Cargo.toml --features testing \
    --output-dir "$written" --dts native.d.ts --no-js > /dev/null)
  if [ "${2:-}" = --check ]; then
    diff -u node/src/native.d.ts "$written/native.d.ts" || { echo "node: run scripts/node.sh types" >&2; exit 1; }
  else
    cp "$written/native.d.ts" node/src/native.d.ts
  fi
  ;;
*)
  sed -n '2,12s/^# \{0,1\}//p' "$root/scripts/node.sh" >&2
  exit 2
  ;;
esac
