#!/usr/bin/env bash
# Licences, banned crates and sources of every dependency (deny.toml), with a pinned cargo-deny: installed beside cargo's
# other commands if it is not there, in three minutes once on a machine. Advisories need the network: `cargo deny check
# advisories`.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
if [ "$(cargo deny --version 2> /dev/null)" != "cargo-deny $version" ]; then
  echo "deny: installing cargo-deny $version"
  # Unoptimised: it reads one graph, and is built in a third of the time.
  cargo install --quiet --locked --debug --version "$version" cargo-deny
fi
cargo deny --log-level error check bans licenses sources
