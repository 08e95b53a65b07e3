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

# Fuzzing starts from the fixtures: whole objects to decode, one record or a few a file to read. What it finds on the
# way goes to the first folder.
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
mkdir "$seeds/decode" "$seeds/record" "$seeds/junk"
find fixtures/*/log_data fixtures/*/song_data -type f -exec cat {} + >"$seeds/all"
find fixtures/*/log_data -type f -exec sh -c 'cp "$@" "$0"' "$seeds/decode" {} +
split -l 1 -a 4 "$seeds/all" "$seeds/record/"
split -l 3 -a 4 "$seeds/all" "$seeds/record/three-"

export RUSTUP_TOOLCHAIN=nightly
for target in $("$CARGO" fuzz list --fuzz-dir tests/fuzz); do
    mkdir -p "tests/fuzz/corpus/$target"
    "$CARGO" fuzz run --fuzz-dir tests/fuzz "$target" "tests/fuzz/corpus/$target" "$seeds/$target" -- \
        -dict=tests/fuzz/json.dict -max_len=2048 -max_total_time="$FUZZ_SECONDS"
done
