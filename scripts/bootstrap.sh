#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds .venv from nothing but Python >= 3.11: the locked dependencies, and dci-server itself, editable.
set -eu
cd "$(dirname "$0")/.."

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

python=""
for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
  if usable "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
  echo "dci-server needs Python 3.11 or newer; none was found (set PYTHON=/path/to/python3)" >&2
  exit 1
fi

echo "Setting up .venv with $("$python" --version) ..."
rm -rf .venv
if "$python" -c 'import ensurepip' >/dev/null 2>&1; then
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
elif "$python" -m pip --version >/dev/null 2>&1; then
  # Some distributions package ensurepip apart; pip can install into another environment by itself.
  "$python" -m venv --without-pip .venv
  "$python" -m pip --python .venv/bin/python install --quiet --disable-pip-version-check uv
else
  echo "this Python has neither ensurepip nor pip; install one of them (on Debian: apt install python3-venv)" >&2
  exit 1
fi
# The system's certificates, as pip does: a laboratory may have an authority of its own.
export VIRTUAL_ENV="$PWD/.venv" UV_SYSTEM_CERTS=1
.venv/bin/uv pip sync --quiet --require-hashes requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
touch .venv/.ready
