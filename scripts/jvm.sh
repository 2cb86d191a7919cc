#!/usr/bin/env bash
# The Maven module.
#
#   scripts/jvm.sh install       builds it for tests: jvm/target/classes, with the native library in it
#   scripts/jvm.sh lint          what must hold without running it
#   scripts/jvm.sh test          its tests, all or the named classes (`SessionTest`, `SessionTest#name`)
#   scripts/jvm.sh package       the release: the jar with this platform's library, its sources, its POM into dist/jvm/
#   scripts/jvm.sh bench         what the benchmark of dist/jvm is started with
#   scripts/jvm.sh example       examples/kotlin, with the jar as a user gets it
#   scripts/jvm.sh runner        what the conformance runner is started from: a class path and an archive of classes
#
# "For tests" is the ordinary debug build with the core's feature `testing`.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
maven=(mvn --quiet --batch-mode -Dstyle.color=never --no-transfer-progress --file jvm/pom.xml)

# As org.flyteauth.internal.Platform names them.
platform() {
  local os arch
  arch=$(uname -m)
  case "$(uname -s)" in
  Darwin) os=macos ;;
  *) os=linux ;;
  esac
  [ "$arch" = arm64 ] && arch=aarch64
  if [ $os = linux ]; then
    if ldd --version 2>&1 | grep -qi musl; then arch=$arch-musl; else arch=$arch-gnu; fi
  fi
  echo "$os-$arch"
}

# $1: folder with the library; $2: where the jar's resources are laid out.
natives() {
  local folder
  folder=$2/org/flyteauth/native/$(platform)
  mkdir -p "$folder"
  for library in "$1"/libflyte_auth_uniffi.*; do
    # Maven copies by time.
    cmp -s "$library" "$folder/$(basename "$library")" || cp "$library" "$folder/"
  done
}

case "${1:-}" in
install)
  scripts/uniffi.sh test
  natives target/uniffi target/jvm/natives
  "${maven[@]}" compile
  ;;
bench)
  "${maven[@]}" dependency:build-classpath -Dmdep.outputFile=../target/jvm/bench-classpath -DincludeScope=runtime > /dev/null
  echo "-cp $(ls "$root"/dist/jvm/flyte-auth-*.jar):$(cat target/jvm/bench-classpath)" > target/jvm/bench.args
  ;;
example)
  made=examples/kotlin/target/run.args
  if [ -f $made ] && [ -z "$(find jvm/src jvm/pom.xml target/uniffi examples/kotlin/pom.xml examples/kotlin/src -newer $made -type f | head -1)" ]; then
    exit
  fi
  [ -d jvm/target/classes ] || scripts/jvm.sh install
  # As a user has it: from a repository, with what its POM names and nothing else.
  "${maven[@]}" package -Dmaven.test.skip=true
  version=$(sed -n '0,/<version>/s/.*<version>\(.*\)<\/version>.*/\1/p' jvm/pom.xml)
  repository=$(mvn --quiet --batch-mode -Dstyle.color=never help:evaluate -Dexpression=settings.localRepository -DforceStdout |
    sed 's/\x1b\[[0-9;]*m//g')
  trap 'rm -rf "$repository/org/flyteauth"' EXIT
  mvn --quiet --batch-mode -Dstyle.color=never --no-transfer-progress install:install-file -DpomFile=jvm/pom.xml \
    -Dfile=jvm/target/flyte-auth-"$version".jar
  mvn --quiet --batch-mode -Dstyle.color=never --no-transfer-progress --file examples/kotlin/pom.xml package
  echo "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp $root/examples/kotlin/target/classes:$root/examples/kotlin/target/lib/* ListProjectsKt" > $made
  ;;
runner)
  "${maven[@]}" test-compile
  # Its plug-in resolves no version ranges of ours: the class path is what the tests have.
  "${maven[@]}" dependency:build-classpath -Dmdep.outputFile=../target/jvm/classpath -DincludeScope=test > /dev/null
  # An archive holds class files in jars alone.
  (cd jvm/target && jar --create --file "$root/target/jvm/runner.jar" \
    -C classes org/flyteauth -C classes META-INF -C test-classes org/flyteauth/conformance)
  {
    # One core's work at a time, and gone in a second: the second compiler would only begin.
    echo "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -Xlog:cds=off -Xlog:cds+dynamic=off"
    echo "-Dorg.flyteauth.library=$root/target/uniffi/libflyte_auth_uniffi.so"
    echo "-cp $root/target/jvm/runner.jar:$(cat target/jvm/classpath)"
  } > target/jvm/runner.args
  rm -f target/jvm/runner.jsa
  java @target/jvm/runner.args -XX:ArchiveClassesAtExit=target/jvm/runner.jsa org.flyteauth.conformance.RunnerKt \
    <<< '{"do":"open","options":{"endpoint":"http://127.0.0.1:9","store":"memory","client_id":"c","client_secret":"s"}}' > /dev/null
  {
    echo "-XX:SharedArchiveFile=$root/target/jvm/runner.jsa"
    echo "org.flyteauth.conformance.RunnerKt"
  } >> target/jvm/runner.args
  ;;
package)
  scripts/uniffi.sh package
  natives target/uniffi/release target/jvm/natives-release
  "${maven[@]}" package -Dmaven.test.skip=true -Dflyteauth.natives="$root/target/jvm/natives-release" -Dflyteauth.build="$root/target/jvm/release"
  mkdir -p dist/jvm
  cp target/jvm/release/flyte-auth-*.jar dist/jvm/
  cp jvm/pom.xml "dist/jvm/flyte-auth-$(sed -n '0,/<version>/s/.*<version>\(.*\)<\/version>.*/\1/p' jvm/pom.xml).pom"
  ls -l dist/jvm
  ;;
lint)
  # One version for all packages.
  version=$(sed -n '0,/^version = /s/^version = "\(.*\)"/\1/p' Cargo.toml)
  grep -q "<version>$version</version>" jvm/pom.xml || { echo "jvm: jvm/pom.xml has another version than Cargo.toml: $version" >&2; exit 1; }
  if grep -rnE '^.{121,}$' jvm/src/main examples/kotlin/src; then echo "jvm: lines of more than 120 characters" >&2; exit 1; fi
  ;;
test)
  shift
  # What tests start: the sandbox.
  cargo build --quiet --locked --workspace --bins --lib
  "${maven[@]}" test ${1:+-Dtest="$(IFS=,; echo "$*")"}
  ;;
*)
  sed -n '2,13s/^# \{0,1\}//p' "$root/scripts/jvm.sh" >&2
  exit 2
  ;;
esac
