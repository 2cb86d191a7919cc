#!/usr/bin/env bash
# Writes requirements.txt beside each requirements.in, in a fresh environment.
set -euo pipefail
cd "$(dirname "$0")/.."

for folder in tests/e2e benches; do
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  python3 -m venv "$scratch"
  "$scratch/bin/pip" install --quiet --requirement "$folder/requirements.in"
  {
    echo '# The closure of requirements.in, written by scripts/lock-python.sh; do not edit.'
    "$scratch/bin/pip" freeze
  } > "$folder/requirements.txt"
  rm -rf "$scratch"
done
