#!/bin/sh
# Installs a PostgreSQL server from the system's packages, unless the machine has one.
set -eu

# The same places as in tests/support/postgres.rs.
found() {
    [ -z "${SPARKLOAD_TEST_PG_BIN:-}" ] || return 0
    IFS=:
    for folder in $PATH /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
        /usr/local/pgsql*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin
    do
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
            return 0
        fi
    done
    return 1
}

# (A subshell: it changes IFS.)
if (found); then
    exit 0
fi

has() { command -v "$1" >/dev/null 2>&1; }

if has brew; then
    package=postgresql@17
    install="brew install $package"
elif has apt-get; then
    package=postgresql
    install="apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $package"
elif has dnf; then
    package=postgresql-server
    install="dnf install -y $package"
elif has apk; then
    package=postgresql
    install="apk add $package"
else
    echo "The tests need a PostgreSQL server, and this machine has no package manager known here" >&2
    echo "(apt-get, dnf, apk, brew). Install one, 12 or later, and set SPARKLOAD_TEST_PG_BIN to the" >&2
    echo "folder that holds initdb and postgres." >&2
    exit 1
fi

if has brew || [ "$(id -u)" = 0 ]; then
    as_root=
elif has sudo && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "The tests need a PostgreSQL server, and installing it takes root. Run this, then try again:" >&2
    echo "    sudo sh -c '$install'" >&2
    exit 1
fi

echo "The tests need a PostgreSQL server: installing the package $package."
if ! $as_root sh -c "$install" || ! (found); then
    echo "The package $package could not be installed (see above). Install a PostgreSQL server, 12 or" >&2
    echo "later, by other means and set SPARKLOAD_TEST_PG_BIN to the folder of initdb and postgres." >&2
    exit 1
fi
