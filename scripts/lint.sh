#!/usr/bin/env bash
# Formatting and lints of everything here; a warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
scripts/check-release-features.sh
cargo clippy --workspace --all-targets --locked -- --deny warnings
.venv/bin/ruff check --quiet .
.venv/bin/ruff format --quiet --check .

# Licences, banned crates and sources; deny.toml says why cargo-deny is not installed everywhere.
if command -v cargo-deny > /dev/null; then
  cargo deny --log-level error check bans licenses sources
else
  echo "lint: cargo-deny is not installed, deny.toml not checked"
fi
