# SPDX-License-Identifier: Apache-2.0
"""The shapes of a key-value."""

from msgspec import Struct

from dci_server.features.jobs.model import KeyValue


class NewKeyValue(Struct, frozen=True, kw_only=True):
    key: str
    value: float


class KeyToRemove(Struct, frozen=True, kw_only=True):
    key: str


class KeyValueAnswer(Struct):
    kv: KeyValue
