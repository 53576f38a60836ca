# SPDX-License-Identifier: Apache-2.0
"""What the TUS protocol says in headers."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from hmac import compare_digest
from typing import Protocol
from uuid import UUID

from dci_server.features.files.model import Announcement, read_announcement
from dci_server.foundation.errors import ApiError, PreconditionFailed, TooLarge, UnsupportedMediaType
from dci_server.foundation.storage.store import MIB

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination"
PIECE_TYPE = "application/offset+octet-stream"
FILE_ID = b"dci-file-id"

MOST_OPEN = 100
"""Unfinished uploads of a team: each may hold a file's worth of bytes until it expires."""
MOST_PIECES = 10_000
_PIECE_BYTES = 32 * MIB
_MOST_PIECES_OF_OURS = 5_000

_LONGEST_METADATA = 4_096
_PAIR = re.compile(r"([!-+\--~]+)(?: +([A-Za-z0-9+/]*={0,2}))?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_SYNONYMS = {"filename": "name", "filetype": "mime"}
"""What browsers' clients call them."""


class ChecksumMismatch(ApiError):
    """The bytes were damaged on their way; none of them is kept."""

    status = 460


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


_ALGORITHMS: Mapping[str, Callable[[], Digest]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
}
ALGORITHMS = ",".join(_ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Upload:
    """As its row has it."""

    id: UUID
    team_id: UUID
    job_id: UUID
    jobstate_id: UUID | None
    name: str
    mime: str | None
    md5: str | None
    metadata: str
    length: int
    received: int
    expires_at: datetime
    file_id: UUID | None
    actor_id: UUID | None
    """Who opened it; unknown of those that are older than that is written down."""

    @property
    def is_whole(self) -> bool:
        return self.received == self.length

    @property
    def announced(self) -> Announcement:
        return Announcement(self.name, self.mime, self.md5, self.job_id, self.jobstate_id)

    @property
    def piece_bytes(self) -> int:
        """After this many the server makes a piece of what a long request has brought so far."""
        return max(_PIECE_BYTES, self.length // _MOST_PIECES_OF_OURS)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request must have."""

    algorithm: str
    expected: bytes

    def start(self) -> Digest:
        return _ALGORITHMS[self.algorithm]()

    def require(self, digest: Digest) -> None:
        if not compare_digest(digest.digest(), self.expected):
            raise ChecksumMismatch("Upload-Checksum is not that of the bytes that arrived; send them again")


@dataclass(frozen=True, slots=True)
class NewUpload:
    announced: Announcement
    metadata: str
    length: int


def require_version(headers: Mapping[str, str]) -> None:
    if headers.get("tus-resumable") != VERSION:
        raise PreconditionFailed(f"the header Tus-Resumable must be {VERSION}, the version that is spoken here")


def require_piece_type(headers: Mapping[str, str]) -> None:
    if not is_piece(headers):
        raise UnsupportedMediaType(f"the body's Content-Type must be {PIECE_TYPE}")
    require_plain(headers)


def require_plain(headers: Mapping[str, str]) -> None:
    """Offsets count the bytes of the file."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("a piece is taken as it is, without Content-Encoding; POST /files decodes")


def is_piece(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == PIECE_TYPE


def read_new_upload(headers: Mapping[str, str], limit: int | None) -> NewUpload:
    if "upload-defer-length" in headers:
        raise ApiError("Upload-Defer-Length is not taken here: say Upload-Length")
    length = _number(headers, "Upload-Length")
    if limit is not None and length > limit:
        raise TooLarge(f"the file is larger than {limit} bytes, the limit that is set here")
    metadata = headers.get("upload-metadata", "")
    return NewUpload(_read_metadata(metadata), metadata, length)


def read_offset(headers: Mapping[str, str]) -> int:
    return _number(headers, "Upload-Offset")


def read_checksum(headers: Mapping[str, str]) -> Checksum | None:
    text = headers.get("upload-checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in _ALGORITHMS:
        raise ApiError(f"Upload-Checksum names an unknown algorithm; known are {ALGORITHMS}")
    expected = _decoded(encoded)
    if expected is None:
        raise ApiError("Upload-Checksum is an algorithm, a space and the checksum in base64")
    return Checksum(algorithm, expected)


def http_date(moment: datetime) -> bytes:
    """Of a UTC time without a zone."""
    return format_datetime(moment.replace(tzinfo=UTC, microsecond=0), usegmt=True).encode()


def _read_metadata(text: str) -> Announcement:
    """Upload-Metadata names what the headers of `POST /files` name: `job_id`, `name`, `mime`, `md5`, …"""
    if len(text) > _LONGEST_METADATA:
        raise ApiError(f"Upload-Metadata is longer than {_LONGEST_METADATA} characters")
    found: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        match = _PAIR.fullmatch(pair.strip(" "))
        value = None if match is None else _decoded(match[2] or "")
        if match is None or value is None:
            raise ApiError("Upload-Metadata is pairs of a key, a space and a value in base64, separated by commas")
        key = match[1].lower().removeprefix("dci-").replace("_", "-")
        # As a header has it: bytes, one to a character.
        found.setdefault(_SYNONYMS.get(key, key), value.decode("latin-1"))
    if not found.get("job-id") and not found.get("jobstate-id"):
        raise ApiError("Upload-Metadata must name a job_id or a jobstate_id")
    if "name" not in found:
        raise ApiError("Upload-Metadata must have the file's name")
    return read_announcement(found)


def _decoded(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name.lower(), "")
    if not _NUMBER.fullmatch(text):
        raise ApiError(f"the header {name} must be a whole number")
    return int(text)
