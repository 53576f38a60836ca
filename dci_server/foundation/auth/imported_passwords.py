# SPDX-License-Identifier: Apache-2.0
"""Password hashes of other servers, `$5$` and `$6$` (SHA-crypt): each is accepted until its owner logs in (auth §3).

One costs about a second of Python, so it is computed by a process of its own, which does not hold up the event loop.
"""

import json
import re
import subprocess
import sys

from dci_server.foundation.errors import Unavailable

_IMPORTED = re.compile(r"\$[56]\$(?:rounds=(\d{1,9})\$)?[./0-9A-Za-z]{0,16}\$[./0-9A-Za-z]{43,86}")
_MOST_ROUNDS = 2_000_000
_SECONDS_FOR_ONE = 60
_RIGHT, _WRONG = 10, 11
_FAILED = "this account's password comes from another server and can't be checked now; try again in a moment"


def is_imported(stored_hash: str) -> bool:
    """Whether it is one of these, and no dearer than existing servers make them."""
    found = _IMPORTED.fullmatch(stored_hash)
    return found is not None and int(found[1] or 0) <= _MOST_ROUNDS


def verify_imported(stored_hash: str, password: bytes) -> bool:
    """Takes seconds: not for the event loop. Raises Unavailable."""
    question = json.dumps([stored_hash, password.decode()]).encode()
    # What is on a command line can be read by others.
    words = [sys.executable, "-I", "-m", __name__]
    try:
        done = subprocess.run(words, input=question, capture_output=True, timeout=_SECONDS_FOR_ONE, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(_FAILED) from error
    if done.returncode not in (_RIGHT, _WRONG):
        raise Unavailable(_FAILED)
    return done.returncode == _RIGHT


def _main() -> None:
    from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt

    stored_hash, password = json.load(sys.stdin)
    kind = sha512_crypt if stored_hash.startswith("$6$") else sha256_crypt
    try:
        right = bool(kind.verify(password, stored_hash))  # pyright: ignore
    except ValueError:
        right = False
    sys.exit(_RIGHT if right else _WRONG)


if __name__ == "__main__":
    _main()
