#!/usr/bin/env bash
# The Ruby gem.
#
#   scripts/ruby.sh install      builds it for tests and lays it out in target/ruby
#   scripts/ruby.sh lint         its syntax and warnings
#   scripts/ruby.sh test         its tests, all or the named files
#   scripts/ruby.sh package      the release: the gem with this platform's library into dist/
#
# "For tests" is the ordinary debug build with the core's feature `testing`.
set -euo pipefail
cd "$(dirname "$0")/.."

# The generator calls the module as the crate: ours is around it.
generated() {
  sed -E -e 's/^module FlyteAuth$/module FlyteAuth::Native/' -e 's/::FlyteAuth\b/::FlyteAuth::Native/g' \
    -e "s/^  ffi_lib 'flyte_auth_uniffi'\$/  ::FlyteAuth::NativeLibrary.load(self)/" target/uniffi/ruby/flyte_auth.rb
}

# $1: the library; $2: where the gem is laid out.
laid_out() {
  local folder platform
  rm -rf "$2"
  mkdir -p "$2"
  cp -r ruby/. "$2"
  cp LICENSE "$2"
  generated > "$2/lib/flyte_auth/generated.rb"
  platform=$(cd "$2" && ruby -r ./lib/flyte_auth/native_library -e 'puts FlyteAuth::NativeLibrary.platform')
  folder=$2/lib/flyte_auth/native/$platform
  mkdir -p "$folder"
  cp "$1" "$folder"
}

case "$(uname -s)" in
Darwin) library=libflyte_auth_uniffi.dylib ;;
*) library=libflyte_auth_uniffi.so ;;
esac

case "${1:-}" in
install)
  scripts/uniffi.sh test
  laid_out target/uniffi/$library target/ruby
  (cd target/ruby && gem build --quiet --output flyte-auth.gem flyte-auth.gemspec > /dev/null)
  ;;
lint)
  for file in ruby/*.gemspec ruby/lib/*.rb ruby/lib/flyte_auth/*.rb tests/ruby/*.rb tests/conformance/ruby/*.rb; do
    ruby -w -c "$file" > /dev/null
  done
  ;;
test)
  shift
  # What tests start: the sandbox.
  cargo build --quiet --locked --workspace --bins --lib
  files=("$@")
  [ $# -gt 0 ] || files=(tests/ruby/*_test.rb)
  for file in "${files[@]}"; do ruby -W1 -I target/ruby/lib -I tests/ruby "$file"; done
  ;;
package)
  scripts/uniffi.sh package
  laid_out target/uniffi/release/$library target/ruby-release
  mkdir -p dist
  (cd target/ruby-release && gem build --quiet flyte-auth.gemspec > /dev/null && cp ./*.gem ../../dist/)
  ls -l dist/*.gem
  ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
