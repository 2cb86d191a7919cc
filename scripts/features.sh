#!/usr/bin/env bash
# Builds the core with every subset of its features, warnings as errors, and its documentation with none and with all.
# Only the crate itself is built again for each: its dependencies stay.
set -euo pipefail
cd "$(dirname "$0")/.."

features=(tower tonic reqwest blocking testing)
start=$(date +%s)

for ((subset = 0; subset < 1 << ${#features[@]}; subset++)); do
  chosen=""
  for ((bit = 0; bit < ${#features[@]}; bit++)); do
    if ((subset >> bit & 1)); then
      chosen+="${chosen:+,}${features[bit]}"
    fi
  done
  echo "features: ${chosen:-none}"
  cargo clippy --quiet --locked -p flyte-auth --lib --no-default-features --features "$chosen" -- --deny warnings
done

for chosen in "" "$(IFS=,; echo "${features[*]}")"; do
  echo "documentation: ${chosen:-none}"
  RUSTDOCFLAGS=-Dwarnings cargo doc --quiet --locked --no-deps -p flyte-auth --no-default-features --features "$chosen"
done

# What the command line is built from has none of them.
if cargo tree --locked -p flyte-auth-cli -e features,no-dev -i flyte-auth \
  | grep -E 'flyte-auth feature "(tower|tonic|reqwest|blocking|testing)"'; then
  echo "features: the command line is built with an integration" >&2
  exit 1
fi
echo "features: $((1 << ${#features[@]})) subsets in $(($(date +%s) - start)) s"
