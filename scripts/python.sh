#!/usr/bin/env bash
# The Python package.
#
#   scripts/python.sh develop     builds it for tests and has .venv use the files of python/ as they are
#   scripts/python.sh install     builds a wheel for tests and installs that into .venv
#   scripts/python.sh wheel       the release: a wheel and the source distribution into dist/
#   scripts/python.sh bench       an environment with that wheel and its peers, in target/bench-venv
#   scripts/python.sh stubs       writes python/flyte_auth/_native.pyi from the code; with --check only compares
#
# "For tests" is the ordinary debug build with the core's feature `testing`. maturin comes with .venv (scripts/setup.sh).
set -euo pipefail
cd "$(dirname "$0")/../python"
root=$PWD/..
maturin=$root/.venv/bin/maturin
for_tests=(--locked --profile dev --features testing)

case "${1:-}" in
develop)
  VIRTUAL_ENV=$root/.venv "$maturin" develop --quiet "${for_tests[@]}"
  ;;
install)
  rm -rf "$root/target/wheels" && rm -f flyte_auth/_native*.so
  # Stripped: 35 MB that pip unpacks instead of 68.
  "$maturin" build --quiet --strip "${for_tests[@]}" --compatibility linux --out "$root/target/wheels"
  "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
    "$root"/target/wheels/flyte_auth-*.whl
  ;;
wheel)
  rm -f "$root"/dist/flyte_auth-*
  "$maturin" sdist --out "$root/dist"
  "$maturin" build --quiet --locked --out "$root/dist"
  for built in "$root"/dist/flyte_auth-*.whl; do
    inside=$(mktemp -d)
    unzip -q "$built" -d "$inside"
    "$root/scripts/check-release-features.sh" "$inside"/flyte_auth/_native*
    rm -r "$inside"
    echo "$built: $(stat -c %s "$built") bytes"
  done
  ;;
bench)
  # The wheel of dist/ beside its peers, for `make bench`.
  lock=$root/benches/requirements.txt
  [ -x "$root/target/bench-venv/bin/python" ] || python3 -m venv "$root/target/bench-venv"
  "$root/target/bench-venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$lock"
  "$root/target/bench-venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
    "$root"/dist/flyte_auth-*.whl
  ;;
stubs)
  "$maturin" generate-stubs --quiet "${for_tests[@]}" --out "$root/target/stubs"
  written=$root/target/stubs/flyte_auth/_native.pyi
  if [ "${2:-}" = --check ]; then
    diff -u flyte_auth/_native.pyi "$written" || { echo "python: run scripts/python.sh stubs" >&2; exit 1; }
  else
    cp "$written" flyte_auth/_native.pyi
  fi
  ;;
*)
  sed -n '2,10s/^# \{0,1\}//p' "$root/scripts/python.sh" >&2
  exit 2
  ;;
esac
