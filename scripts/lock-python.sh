#!/usr/bin/env bash
# Writes tests/e2e/requirements.txt from requirements.in, in a fresh environment.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch"
"$scratch/bin/pip" install --quiet --requirement tests/e2e/requirements.in
{
  echo '# The closure of requirements.in, written by scripts/lock-python.sh; do not edit.'
  "$scratch/bin/pip" freeze
} > tests/e2e/requirements.txt
