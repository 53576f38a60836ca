# SPDX-License-Identifier: Apache-2.0
"""JSON that is written piece by piece."""

from typing import LiteralString

import msgspec


def opened(head: msgspec.Struct, key: LiteralString) -> bytes:
    """An object up to the value of its last key."""
    return msgspec.json.encode(head)[:-1] + f',"{key}":'.encode()
