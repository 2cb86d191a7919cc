#!/usr/bin/env bash
# Fuzzes the readers of foreign bytes; fuzz/README.md says with what, and what to do with a finding.
#
#   scripts/fuzz.sh [--keep] [--at-once N] [SECONDS-A-TARGET] [TARGET…]    without SECONDS 30,000 executions a target from a fixed seed;
#                                                            all targets, if none are named
#
# --keep writes what adds coverage to fuzz/found. Exit 1 with the path of the input if something was found.
set -euo pipefail
cd "$(dirname "$0")/.."

# Its own folder: other flags would make cargo build everything again in the ordinary one. `--target` keeps the flags
# from build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_WRAPPER="$PWD/fuzz/rustc.sh" cargo build --quiet --locked --package flyte-auth-fuzz --features engine \
  --profile fuzz --target "$host" --target-dir target/fuzz
exec python3 fuzz/run.py --binary "target/fuzz/$host/fuzz/flyte-auth-fuzz" "$@"
