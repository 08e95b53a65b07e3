#!/bin/sh
# Holds the dependency tree against deny.toml with cargo-deny, which it installs if it is missing.
set -eu
: "${CARGO:=cargo}" "${TOOLS:=$HOME/.cache/sparkload/tools}"

PATH=$PATH:$TOOLS/bin
if ! command -v cargo-deny >/dev/null 2>&1; then
    echo "Building cargo-deny into $TOOLS (once; it takes some minutes)."
    (unset CARGO_TARGET_DIR && "$CARGO" install cargo-deny --locked --version 0.20.2 --root "$TOOLS")
fi

"$CARGO" deny --locked check licenses bans sources

# The advisory database is a git repository on another host, which a closed network doesn't reach.
export GIT_TERMINAL_PROMPT=0
if "$CARGO" deny --locked fetch db >/dev/null 2>&1; then
    "$CARGO" deny --locked --offline check advisories
else
    echo "advisories SKIPPED: the advisory database cannot be fetched from here"
fi
