#!/bin/sh
# Fuzzes each target of tests/fuzz for FUZZ_SECONDS with cargo-fuzz, which it installs if missing.
set -eu
: "${CARGO:=cargo}" "${TOOLS:=$HOME/.cache/sparkload/tools}" "${FUZZ_SECONDS:=60}"

if ! RUSTUP_TOOLCHAIN=nightly rustc --version >/dev/null 2>&1; then
    echo "Fuzzing needs a nightly toolchain: rustup toolchain install nightly" >&2
    exit 1
fi

PATH=$PATH:$TOOLS/bin
if ! command -v cargo-fuzz >/dev/null 2>&1; then
    echo "Building cargo-fuzz into $TOOLS (once; it takes a minute)."
    (unset CARGO_TARGET_DIR && "$CARGO" install cargo-fuzz --locked --root "$TOOLS")
fi

export RUSTUP_TOOLCHAIN=nightly
for target in $("$CARGO" fuzz list --fuzz-dir tests/fuzz); do
    "$CARGO" fuzz run --fuzz-dir tests/fuzz "$target" -- -max_total_time="$FUZZ_SECONDS"
done
