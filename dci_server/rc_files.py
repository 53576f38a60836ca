# SPDX-License-Identifier: Apache-2.0
"""The files to source before `dcictl`: an address and somebody's credentials, readable by their owner only."""

import os
import shlex
from pathlib import Path

ADMIN_RC = "admin.rc"
DEMO_RC = "demo.rc"
DEMO_USER_RC = "demo-user.rc"
_CREDENTIALS = ("DCI_LOGIN", "DCI_PASSWORD", "DCI_CLIENT_ID", "DCI_API_SECRET")


def rc_text(**variables: str) -> str:
    """It also forgets the other credentials, because `dcictl` would take those that an earlier file left."""
    forgotten = [name for name in _CREDENTIALS if name not in variables]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*exports, f"unset {' '.join(forgotten)}", ""])


def write_rc(path: Path, **variables: str) -> None:
    """Complete or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(rc_text(**variables))
    draft.replace(path)


def read_rc(path: Path) -> dict[str, str]:
    """Empty when there is no such file."""
    try:
        words = shlex.split(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    pairs = [word.partition("=") for word in words]
    return {name: value for name, equals, value in pairs if equals}


def point_at(directory: Path, address: str) -> None:
    """The credentials of a data directory lead to where its server listens now."""
    for name in (ADMIN_RC, DEMO_RC, DEMO_USER_RC):
        variables = read_rc(directory / name)
        if variables and variables.get("DCI_CS_URL") != address:
            write_rc(directory / name, **{**variables, "DCI_CS_URL": address})
