#!/bin/sh
# Installs moto, which plays AWS in the tests of `sparkload cluster`, into a Python environment outside of the checkout.
set -eu
: "${TOOLS:=$HOME/.cache/sparkload/tools}"

# The version that the tests know the quirks of.
version=5.2.5

if [ "$("$TOOLS/moto/bin/python" -c 'import importlib.metadata as m; print(m.version("moto"))' 2>/dev/null)" = "$version" ]; then
    exit 0
fi

python=
for name in python3 python; do
    if command -v "$name" >/dev/null 2>&1 && "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        python=$name
        break
    fi
done
if [ -z "$python" ]; then
    echo "The tests of 'sparkload cluster' need Python 3.10 or later, with its modules venv and ensurepip" >&2
    echo "(Debian and Ubuntu: apt-get install python3-venv)." >&2
    exit 1
fi

echo "The tests of 'sparkload cluster' need moto: installing it into $TOOLS/moto (once)."
rm -rf "$TOOLS/moto"
"$python" -m venv "$TOOLS/moto"
"$TOOLS/moto/bin/python" -m pip install --quiet --disable-pip-version-check "moto[server]==$version"
