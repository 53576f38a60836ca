# SPDX-License-Identifier: Apache-2.0
"""Bytes that belong to somebody: kept by no cache, harmless in a browser, and to be had in parts (RFC 9110 §13, §14)."""

import re
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote

from dci_server.foundation.errors import UnsatisfiableRange
from dci_server.foundation.http import Call, Response
from dci_server.foundation.storage import ObjectMissing

SECONDS_OF_A_REDIRECT = 600
UNKNOWN_TYPE = "binary/octet-stream"

ANSWERS: Mapping[int, None] = {200: None, 206: None, 304: None}
"""Of a download, for the documentation."""
HEADERS = {
    "Range": "`bytes=first-last`, `bytes=first-` or `bytes=-count`: only these bytes, as 206.",
    "If-Range": "The etag or the date of what the caller has: all of it is sent when it has changed.",
    "If-None-Match": "The etag of what the caller has: 304 when it has not changed.",
    "If-Modified-Since": "The date of what the caller has; looked at without `If-None-Match`.",
}

_PRIVATE = (
    (b"cache-control", b"private, no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,30})-(\d{0,30})\s*", re.ASCII | re.IGNORECASE)
_LONGEST_IN_A_BUCKET = 1500
"""S3 takes 2 KiB of such headers with an object."""
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')

ReadPart = Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
"""So many bytes from a position on."""


@dataclass(frozen=True, slots=True)
class Content:
    """What can be downloaded. `etag` changes with the bytes, and has no quotes here."""

    size: int
    media_type: str
    etag: str
    modified: datetime
    read: ReadPart
    name: str | None = None


async def download(call: Call, content: Content) -> Response:
    """All of it, the part that is asked for, or nothing but the word that it has not changed."""
    media_type = content.media_type.encode("utf-8", "replace")
    described = [
        (b"etag", f'"{content.etag}"'.encode()),
        (b"last-modified", format_datetime(_whole_seconds(content.modified), usegmt=True).encode()),
        (b"accept-ranges", b"bytes"),
        *_PRIVATE,
    ]
    if content.name is not None:
        described.append((b"content-disposition", _disposition(content.name).encode()))
    if _is_known(call, content):
        return Response(HTTPStatus.NOT_MODIFIED, headers=described, media_type=media_type)
    part = _part(call, content)
    start, end = (0, content.size) if part is None else part
    described.append((b"content-length", str(end - start).encode()))
    # Of what only its head is wanted, no byte is read; that it is there is looked at all the same.
    stream = await content.read(start, end - start if call.method != "HEAD" else 0)
    if part is None:
        return Response(200, headers=described, stream=stream, media_type=media_type)
    described.append((b"content-range", f"bytes {start}-{end - 1}/{content.size}".encode()))
    return Response(HTTPStatus.PARTIAL_CONTENT, headers=described, stream=stream, media_type=media_type)


def redirect(location: str) -> Response:
    """To where the bytes are; the address is a secret of its own for as long as it works."""
    return Response(HTTPStatus.FOUND, headers=((b"location", location.encode()), _PRIVATE[0]))


async def serve_object(call: Call, key: str) -> Response:
    """From the store itself when it can be sent there, through this server when not."""
    store = call.services.store
    location = await store.presign(call.method, key, SECONDS_OF_A_REDIRECT)
    if location is not None:
        return redirect(location)
    found = await store.stat(key)
    if found is None:
        raise ObjectMissing

    async def read(start: int, length: int) -> AsyncIterator[bytes]:
        return await store.read(key, start, length)

    return await download(call, Content(found.size, UNKNOWN_TYPE, found.etag, found.modified, read))


def _is_known(call: Call, content: Content) -> bool:
    """Whether the caller has these bytes already."""
    known = call.headers.get("if-none-match")
    if known is not None:
        return known.strip() == "*" or content.etag in _ETAG.findall(known)
    since = _moment(call.headers.get("if-modified-since", ""))
    return since is not None and _whole_seconds(content.modified) <= since


def _part(call: Call, content: Content) -> tuple[int, int] | None:
    """From where to where. What is no single range of bytes is ignored, as it may be: None for all of it."""
    asked = _RANGE.fullmatch(call.headers.get("range", ""))
    if call.method != "GET" or asked is None or not (asked[1] or asked[2]) or not _is_same(call, content):
        return None
    if asked[1]:
        start, end = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else content.size, content.size)
        if asked[2] and int(asked[2]) < start:
            return None
    else:
        start, end = max(0, content.size - int(asked[2])), content.size
    if start >= end:
        raise UnsatisfiableRange(content.size)
    return start, end


def _is_same(call: Call, content: Content) -> bool:
    """Whether a part of these bytes fits to what the caller has (`If-Range`)."""
    known = call.headers.get("if-range")
    if known is None:
        return True
    if known.startswith('"'):
        return known == f'"{content.etag}"'
    return _moment(known) == _whole_seconds(content.modified)


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _whole_seconds(moment: datetime) -> datetime:
    """In UTC, which is what times without a zone are in here."""
    return moment.replace(microsecond=0, tzinfo=UTC)


def attachment(name: str) -> str:
    """How a bucket is to describe an object of that name: it is saved, and never shown by the bucket's own address."""
    whole = _disposition(name)
    return whole if len(whole) <= _LONGEST_IN_A_BUCKET else whole.partition("; filename*=")[0]


def _disposition(name: str) -> str:
    """`attachment` with a name that any browser reads (RFC 6266, RFC 8187)."""
    # quirk: spaces are underscores, as existing servers have it (files.md §5.1).
    plain = _CONTROL.sub("_", name).replace(" ", "_")
    without_marks = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    approximation = (
        without_marks.encode("ascii", "replace").decode().replace("?", "_") if not plain.isascii() else plain
    )
    quoted = approximation.replace("\\", "\\\\").replace('"', '\\"')
    disposition = f'attachment; filename="{quoted}"'
    # Some browsers decode percent signs in the plain form, none of them in the other.
    if not plain.isascii() or "%" in plain:
        disposition += f"; filename*=UTF-8''{quote(plain, safe='')}"
    return disposition
