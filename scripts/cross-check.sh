#!/usr/bin/env bash
# Type-checks core, command line, server and the bindings for platforms that cannot run here: Windows and macOS.
#
# `cargo check` never links, but build scripts of C libraries (aws-lc-sys) do compile, and there is no SDK for those
# platforms here. So a stand-in for their C compiler and archiver writes empty files: what is checked is the Rust.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=(x86_64-pc-windows-gnu aarch64-apple-darwin)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/cross
tools=$(mkdir -p "$CARGO_TARGET_DIR" && cd "$CARGO_TARGET_DIR" && pwd)/tools
mkdir -p "$tools"

# Writes the file named after -o (compilers) or the first archive named (archivers); answers questions about itself.
cat > "$tools/stand-in" << 'EOF'
#!/bin/sh
output=
previous=
for argument in "$@"; do
  case "$argument" in
    -dumpmachine) echo unknown; exit 0 ;;
    -E) printf 'clang\n'; exit 0 ;;
  esac
  case "$previous" in -o) output=$argument ;; esac
  case "$argument" in *.a | *.lib) [ -n "$output" ] || output=$argument ;; esac
  previous=$argument
done
[ -z "$output" ] || : > "$output"
EOF
chmod +x "$tools/stand-in"

missing=()
installed=$(rustup target list --installed)
for target in "${targets[@]}"; do grep -qx "$target" <<< "$installed" || missing+=("$target"); done
if [ ${#missing[@]} -gt 0 ] && ! rustup target add "${missing[@]}"; then
  # A machine that reaches the package registries may still not reach Rust's own server.
  echo "cross-check: NOT CHECKED: the targets ${missing[*]} cannot be installed here" >&2
  [ "${CROSS_CHECK:-}" != required ] || exit 1
  exit 0
fi

for target in "${targets[@]}"; do
  name=${target//-/_}
  export "CC_$name=$tools/stand-in" "CXX_$name=$tools/stand-in" "AR_$name=$tools/stand-in" "RANLIB_$name=$tools/stand-in"
done
export AWS_LC_SYS_CMAKE_BUILDER=0 AWS_LC_SYS_PREBUILT_NASM=1 SDKROOT=$tools CRATE_CC_NO_DEFAULTS=1

# napi wants the library that an addon is linked with; nothing is linked.
export LIBNODE_PATH=$tools && : > "$tools/libnode.dll"

export RUSTFLAGS="--deny warnings"
echo "cross-check: ${targets[*]}"
cargo check --locked --quiet "${targets[@]/#/--target=}" -p flyte-auth -p flyte-auth-cli -p flyte-auth-server \
  -p flyte-auth-python -p flyte-auth-node -p flyte-auth-uniffi
