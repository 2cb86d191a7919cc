#!/usr/bin/env bash
# No package that is released has the core's feature `testing` (stop points, a clock that can be set).
#
#   scripts/check-release-features.sh           asks cargo what each package would be built with; a second, no build
#   scripts/check-release-features.sh BINARY    looks into a binary that was built for release
set -euo pipefail
cd "$(dirname "$0")/.."

# Every variable of the feature begins so; core/src/testing.rs.
mark=FLYTE_AUTH_TESTING

if [ $# -gt 0 ]; then
  if grep --quiet --fixed-strings --text "$mark" "$1"; then
    echo "check: $1 has the feature testing: it reads ${mark}_*; build it with cargo build -p PACKAGE" >&2
    exit 1
  fi
  exit 0
fi

# The check must be able to fail: the mark is in the source that the feature compiles.
grep --quiet "$mark" core/src/testing.rs || { echo "check: core/src/testing.rs has other variables now" >&2; exit 1; }

# Whatever is not marked publish = false, and the command line.
packages=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["publish"] != [] or package["name"] == "flyte-auth-cli":
        print(package["name"])')
for package in $packages; do
  tree=$(cargo tree --locked --package "$package" --edges features,normal,build)
  if grep --quiet 'flyte-auth feature "testing"' <<< "$tree"; then
    echo "check: $package would be released with the feature testing of flyte-auth" >&2
    exit 1
  fi
done
