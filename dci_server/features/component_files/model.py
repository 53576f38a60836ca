# SPDX-License-Identifier: Apache-2.0
"""The shapes of a component's file, and how it is named in the store."""

import re
from urllib.parse import unquote
from uuid import UUID

import msgspec
from msgspec import Struct

from dci_server.features.components.model import ComponentFile
from dci_server.foundation.downloads import UNKNOWN_TYPE
from dci_server.foundation.errors import ApiError
from dci_server.foundation.shapes import Count

_MEDIA_TYPE = re.compile(r"([\w.+-]+/[\w.+-]+)(?: ?; ?[\w.+-]+=(?:[\w.+-]+|\"[\w .+-]*\"))*", re.ASCII)
_LONGEST_TYPE = 255
# What clients say of any bytes: the published one calls whatever it sends JSON, curl calls it a form.
_SAID_OF_ANYTHING = {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}


class ComponentFileAnswer(Struct):
    component_file: ComponentFile


class ComponentFilesAnswer(Struct):
    component_files: list[ComponentFile]
    meta: Count = msgspec.field(name="_meta")


def media_type(content_type: str) -> str:
    """As the sender has it, unless that says nothing."""
    match = _MEDIA_TYPE.fullmatch(content_type.strip())
    if match is None or len(content_type) > _LONGEST_TYPE or match[1].lower() in _SAID_OF_ANYTHING:
        return UNKNOWN_TYPE
    return content_type.strip()


def uploaded_key(topic_id: UUID, component_id: UUID, file_id: UUID) -> str:
    """Of an uploaded file (files.md §8.1). It is kept in the row: a component may move to another topic."""
    return f"components/{topic_id}/{component_id}/{file_id}"


def tree_key(component_id: UUID, path: str) -> str:
    """Of a file in the component's tree."""
    return f"components/{component_id}/{path}"


def require_valid_path(path: str) -> None:
    """No empty segment, no `.` and no `..`, not even behind one more percent-encoding."""
    for reading in (path, unquote(path)):
        if any(segment in {"", ".", ".."} for segment in reading.split("/")):
            raise ApiError("Request malformed: filepath is invalid")
