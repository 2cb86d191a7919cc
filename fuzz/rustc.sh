#!/usr/bin/env bash
# RUSTC_WRAPPER of scripts/fuzz.sh: instruments the crates that read foreign bytes, and only those. The rest (TLS, HTTP,
# the runtime) would be thousands of counters that no input reaches, looked through after every execution.
#
# Build scripts and procedural macros are built for the host, without --target, and must not be instrumented: they
# are not linked with the engine.
set -euo pipefail

crate='' target=''
previous=''
for argument in "$@"; do
  case $previous in --crate-name) crate=$argument ;; --target) target=$argument ;; esac
  case $argument in --target=*) target=${argument#--target=} ;; esac
  previous=$argument
done

case $crate in
  base64 | flyte_auth | flyte_auth_fuzz | flyte_auth_server | form_urlencoded | http | httparse | jiff | percent_encoding | \
    prost | serde_json | serde_saphyr | saphyr_parser* | granit_parser | url) ;;
  *) crate='' ;;
esac
[ -n "$crate" ] && [ -n "$target" ] || exec "$@"

# What `cargo fuzz` passes, without the sanitizer, which needs a nightly compiler.
exec "$@" -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
