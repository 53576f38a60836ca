# SPDX-License-Identifier: Apache-2.0
"""What a name may look like, wherever one is given."""

import re

from msgspec import UNSET, UnsetType

from dci_server.foundation.errors import ApiError

LONGEST = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def require_plain_name(field: str, value: str | UnsetType | None) -> None:
    """At most 255 characters, none of them a control character."""
    if value is None or value is UNSET:
        return
    if _CONTROL.search(value):
        raise ApiError(f"{field} holds a control character; write it in plain text")
    if len(value) > LONGEST:
        raise ApiError(f"{field} has more than {LONGEST} characters")
