#!/usr/bin/env bash
# The native half of the packages for the JVM, Ruby and Swift, and the sources that UniFFI writes for them.
#
#   scripts/uniffi.sh test       for tests: target/uniffi/libflyte_auth_uniffi.so, and {kotlin,ruby,swift}/ beside it
#   scripts/uniffi.sh swift      the Swift sources alone, into dist/swift
#   scripts/uniffi.sh package    the release's library into target/uniffi/release/, and the same sources
#
# "For tests" is the ordinary debug build with the core's feature `testing`. No Swift compiler can be had for the machines
# that run this: its sources are written, but nothing compiles them.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/uniffi

case "$(uname -s)" in
Darwin) library=libflyte_auth_uniffi.dylib ;;
*) library=libflyte_auth_uniffi.so ;;
esac

# $1: a library that was not stripped: the generator reads its symbols.
sources() {
  for language in kotlin ruby swift; do
    rm -rf "$out/$language.new"
    target/debug/flyte-auth-uniffi-bindgen generate --no-format --language $language --out-dir "$out/$language.new" "$1"
    # A source that did not change keeps its time, so that nothing is compiled again for it.
    mkdir -p "$out/$language"
    update "$out/$language.new" "$out/$language"
    rm -rf "$out/$language.new"
  done
}

# Copies what differs, removes what is gone.
update() {
  (cd "$2" && find . -type f) | while read -r file; do [ -f "$1/$file" ] || rm "$2/$file"; done
  (cd "$1" && find . -type f) | while read -r file; do
    cmp -s "$1/$file" "$2/$file" || { mkdir -p "$(dirname "$2/$file")"; cp "$1/$file" "$2/$file"; }
  done
}

case "${1:-}" in
swift)
  cargo build --quiet --locked --workspace --bins --lib
  mkdir -p $out
  sources target/debug/$library
  mkdir -p dist/swift
  cp $out/swift/* dist/swift/
  ls -l dist/swift
  ;;
test)
  # The whole workspace, as all other tests are built: a selection has features of its own and compiles everything again.
  cargo build --quiet --locked --workspace --bins --lib
  mkdir -p $out
  sources target/debug/$library
  # Stripped: a third of what every test would load.
  strip -o $out/$library.new target/debug/$library
  cmp -s $out/$library.new $out/$library && rm $out/$library.new || mv $out/$library.new $out/$library
  ;;
package)
  cargo build --quiet --locked --workspace --bins --lib
  mkdir -p $out
  # The same API: the release's library is checked against its checksums when it is loaded.
  sources target/debug/$library
  cargo build --locked --profile small-library -p flyte-auth-uniffi
  scripts/check-release-features.sh target/small-library/$library
  mkdir -p $out/release
  cp target/small-library/$library $out/release/
  ;;
*)
  sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
