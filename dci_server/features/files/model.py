# SPDX-License-Identifier: Apache-2.0
"""The shapes of a file, and what its upload says in headers."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec
from msgspec import Struct

from dci_server.features.jobs.model import Count, FileOfJob
from dci_server.foundation.errors import ApiError
from dci_server.foundation.http import header_text
from dci_server.foundation.receiving import announced_md5

MAX_INLINE_BYTES = 64 * 1024
"""Up to here the bytes live in the row (design: small files live in the row)."""

MAX_REPLACED_BYTES = 8 * 1024 * 1024
"""New content of a file goes into its row, in one statement with what the row says of it; a larger one is a new file."""

_WORTH_COMPRESSING = 128
_LONGEST_NAME = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

File = FileOfJob


class FileAnswer(Struct):
    file: File


class FilesAnswer(Struct):
    files: list[File]
    meta: Count = msgspec.field(name="_meta")


@dataclass(frozen=True, slots=True)
class Announcement:
    """The headers of an upload (files.md §3.1)."""

    name: str
    mime: str | None
    md5: str | None
    job_id: UUID | None
    jobstate_id: UUID | None


def read_announcement(headers: Mapping[str, str]) -> Announcement:
    job_id = _identifier(headers, "job-id")
    jobstate_id = _identifier(headers, "jobstate-id")
    if job_id is None and jobstate_id is None:
        raise ApiError("HTTP headers DCI-JOBSTATE-ID or DCI-JOB-ID must be specified")
    name = _value(headers, "name")
    if name is None:
        raise ApiError("HTTP header DCI-NAME must be specified")
    if len(name) > _LONGEST_NAME:
        raise ApiError(
            "We are unable to create this resource. Please contact a DCI administrator. "
            f"The name has more than {_LONGEST_NAME} characters."
        )
    mime = _value(headers, "mime")
    if _CONTROL.search(name) or _CONTROL.search(mime or ""):
        raise ApiError("DCI-NAME and DCI-MIME can't hold control characters")
    return Announcement(name, mime, announced_md5(headers), job_id, jobstate_id)


def _value(headers: Mapping[str, str], name: str) -> str | None:
    # quirk: the prefix is optional, as existing servers have it.
    value = headers.get("dci-" + name, headers.get(name))
    return None if value is None else header_text(value)


def _identifier(headers: Mapping[str, str], name: str) -> UUID | None:
    value = _value(headers, name)
    if not value:
        return None
    try:
        return UUID(value)
    except ValueError:
        raise ApiError(f"HTTP header DCI-{name.upper()} is not a UUID") from None


def content_type(mime: str | None) -> str:
    """What a download is called (files.md §5.1)."""
    said = mime or "text/plain"
    return f"{said}; charset=utf-8" if said.startswith("text/") and "charset=" not in said.lower() else said


def store_key(team_id: UUID | str, job_id: UUID | str, file_id: UUID | str) -> str:
    """Where a file that is not in its row lives (files.md §8.1)."""
    return f"files/{team_id}/{job_id}/{file_id}"


def packed(content: bytes) -> tuple[bool, bytes]:
    """A small file as its row holds it: whether it is compressed, and the bytes."""
    if len(content) >= _WORTH_COMPRESSING:
        smaller = zlib.compress(content, 1)
        if len(smaller) < len(content):
            return True, smaller
    return False, content
