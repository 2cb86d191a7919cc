#!/usr/bin/env bash
# Formatting and lints of everything here; a warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
scripts/check-release-features.sh
cargo clippy --workspace --all-targets --locked -- --deny warnings
.venv/bin/ruff check --quiet .
.venv/bin/ruff format --quiet --check .
scripts/check-expose.py
scripts/node.sh lint
scripts/jvm.sh lint
scripts/ruby.sh lint

scripts/deny.sh
# Code that moved would leave a mutation that breaks nothing.
scripts/mutations.py --check
