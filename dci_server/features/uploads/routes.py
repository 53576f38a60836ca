# SPDX-License-Identifier: Apache-2.0
"""The URLs of uploads: TUS 1.0 (tus.io), with creation, creation with upload, checksum, expiration and termination."""

from dci_server.features.uploads import access, actions, queries
from dci_server.features.uploads.model import (
    ALGORITHMS,
    EXTENSIONS,
    FILE_ID,
    VERSION,
    Upload,
    http_date,
    is_piece,
    read_checksum,
    read_new_upload,
    read_offset,
    require_piece_type,
    require_plain,
    require_version,
)
from dci_server.foundation.http import NO_CONTENT, Call, Headers, Response, Route, Services

PATIENCE = 20.0
"""Seconds that a client is kept waiting for a file that somebody else makes."""

_VERSION = {"Tus-Resumable": f"The version of the protocol: {VERSION}."}
_OFFSET = {"Upload-Offset": "How many bytes of the file come before this piece: what the last answer said."}
_CHECKSUM = {"Upload-Checksum": f"Of this piece, as `sha1 <base64>`; one of {ALGORITHMS}. 460 when it is another."}
_CREATION = {
    "Upload-Length": "The size of the whole file.",
    "Upload-Metadata": "Comma-separated pairs of a key and a value in base64: `job_id` or `jobstate_id`; `name` (or "
    "`filename`); `mime` (or `filetype`), `application/junit` has its tests counted; `md5` of the whole file.",
}

_SPOKEN: Headers = ((b"tus-resumable", VERSION.encode()), (b"tus-version", VERSION.encode()))
_READABLE: Headers = (
    (
        b"access-control-expose-headers",
        b"Location, Upload-Offset, Upload-Length, Upload-Expires, Upload-Metadata, Tus-Version, Tus-Resumable, "
        b"Tus-Max-Size, Tus-Extension, Tus-Checksum-Algorithm, DCI-File-Id",
    ),
)
_ABILITIES: Headers = (
    (b"tus-extension", EXTENSIONS.encode()),
    (b"tus-checksum-algorithm", ALGORITHMS.encode()),
    (b"access-control-allow-methods", b"PATCH, HEAD"),
    (
        b"access-control-allow-headers",
        b"Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, Upload-Checksum",
    ),
)


def _tells(services: Services, method: str) -> Headers:
    if method != "OPTIONS":
        return (*_SPOKEN, *_READABLE)
    limit = services.max_upload_bytes
    size: Headers = () if limit is None else ((b"tus-max-size", str(limit).encode()),)
    return (*_SPOKEN, *_READABLE, *_ABILITIES, *size)


async def open_upload(call: Call) -> Response:
    """Begins a file that is sent in pieces; `Location` says where to. The body may be its first piece."""
    require_version(call.headers)
    require_plain(call.headers)
    new = read_new_upload(call.headers, call.services.max_upload_bytes)
    checksum = read_checksum(call.headers)
    upload = await actions.open_upload(call, new, checksum, has_piece=is_piece(call.headers))
    location = (b"location", f"/api/v1/uploads/{upload.id}".encode())
    return Response(201, headers=(location, *await _state(call, upload)))


async def get_offset(call: Call) -> Response:
    """How much of the file has arrived (`Upload-Offset`): continue there. When all has, `DCI-File-Id` is the file."""
    require_version(call.headers)
    upload = await access.require_usable(call.db, call.caller, call.id("upload_id"))
    told: Headers = (
        (b"upload-length", str(upload.length).encode()),
        (b"upload-metadata", upload.metadata.encode("latin-1")),
        (b"cache-control", b"no-store"),
    )
    return Response(204, headers=(*told, *await _state(call, upload)))


async def append(call: Call) -> Response:
    """The next piece. What is acknowledged is durable; the last one is answered with the id of the file, `DCI-File-Id`."""
    require_version(call.headers)
    require_piece_type(call.headers)
    checksum, offset = read_checksum(call.headers), read_offset(call.headers)
    upload = await actions.append(call, call.id("upload_id"), offset, checksum)
    return Response(204, headers=await _state(call, upload))


async def end_upload(call: Call) -> Response:
    """Gives the upload up, and its bytes back. A file that it has become stays."""
    require_version(call.headers)
    upload = await access.require_usable(call.db, call.caller, call.id("upload_id"))
    await queries.delete_upload(call.db, upload.id)
    return NO_CONTENT


async def _state(call: Call, upload: Upload) -> Headers:
    file_id = upload.file_id
    if file_id is None and upload.is_whole:
        file_id = await actions.finish(call.services, upload.id, patience=PATIENCE)
    told: Headers = (
        (b"upload-offset", str(upload.received).encode()),
        (b"upload-expires", http_date(upload.expires_at)),
    )
    return told if file_id is None else (*told, (FILE_ID, str(file_id).encode()))


routes = [
    Route(
        "POST",
        "/uploads",
        open_upload,
        access.USE,
        answers={201: None},
        streams=True,
        headers={**_VERSION, **_CREATION, **_CHECKSUM},
        refusals=(415, 460),
        tells=_tells,
    ),
    Route(
        "HEAD",
        "/uploads/{upload_id:uuid}",
        get_offset,
        access.USE,
        answers={204: None},
        headers=_VERSION,
        refusals=(423,),
        tells=_tells,
    ),
    Route(
        "PATCH",
        "/uploads/{upload_id:uuid}",
        append,
        access.USE,
        answers={204: None},
        streams=True,
        headers={**_VERSION, **_OFFSET, **_CHECKSUM},
        refusals=(415, 423, 460),
    ),
    Route("DELETE", "/uploads/{upload_id:uuid}", end_upload, access.USE, answers={204: None}, headers=_VERSION),
]
