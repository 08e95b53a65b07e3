#!/bin/sh
# Installs PgBouncer and pgpool from the system's packages, unless the machine has them. Where that can't be done, the
# tests that need them say that they are skipped.
set -eu

has() {
    PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
    command -v "$1" >/dev/null 2>&1
}

if has pgbouncer && has pgpool; then
    exit 0
fi

if has brew; then
    install="brew install pgbouncer pgpool-ii"
elif has apt-get; then
    install="apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends pgbouncer pgpool2"
elif has dnf; then
    install="dnf install -y pgbouncer pgpool-II"
elif has apk; then
    install="apk add pgbouncer pgpool"
else
    echo "The tests of poolers are skipped: no package manager known here (apt-get, dnf, apk, brew) has them." >&2
    exit 0
fi

if has brew || [ "$(id -u)" = 0 ]; then
    as_root=
elif has sudo && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "The tests of poolers are skipped: installing them takes root. To have them run:" >&2
    echo "    sudo sh -c '$install'" >&2
    exit 0
fi

echo "The tests want PgBouncer and pgpool: installing their packages."
if ! $as_root sh -c "$install"; then
    echo "The tests of poolers that are missing are skipped: their packages could not be installed (see above)." >&2
fi
