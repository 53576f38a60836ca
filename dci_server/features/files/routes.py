# SPDX-License-Identifier: Apache-2.0
"""The URLs of files."""

from urllib.parse import quote

from dci_server.features.files import access, actions, purge, queries
from dci_server.features.files.model import FileAnswer, FilesAnswer, read_announcement, store_key
from dci_server.features.jobs.access import READ_PARTS, changeable_by, require_can_read
from dci_server.foundation.database.connection import Json
from dci_server.foundation.downloads import SECONDS_OF_A_REDIRECT, download, redirect
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, Route, answer, delete, get, page

_UPLOAD_HEADERS = {
    "DCI-NAME": "The name of the file, at most 255 characters.",
    "DCI-JOB-ID": "The job it belongs to; or DCI-JOBSTATE-ID.",
    "DCI-JOBSTATE-ID": "The jobstate it belongs to.",
    "DCI-MIME": "Its media type; `application/junit` has its tests counted.",
    "DCI-MD5": "The MD5 of the bytes: compared, and 400 when it differs.",
}


async def upload_file(call: Call) -> Response:
    """The body is the file: raw bytes of any type, streamed; nothing is visible before all of it is accepted."""
    return answer("file", await actions.receive_file(call, read_announcement(call.headers)), status=201)


async def get_file(call: Call) -> Response:
    """What is known of a file, without its bytes."""
    file = await access.require_readable(call.db, call.caller, call.id("file_id"))
    return answer("file", Json(file["file"]))


async def get_content(call: Call) -> Response:
    """The bytes of a file, as they were sent."""
    file = await access.require_readable(call.db, call.caller, call.id("file_id"))
    media_type: str = file["mime"] or "text/plain"
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    disposition = (b"content-disposition", _disposition(file["name"]))
    return download(await actions.read_content(call, file), file["size"], media_type, disposition)


async def get_content_or_its_place(call: Call) -> Response:
    """The bytes of a file, or a redirect to the bucket that has them."""
    file = await access.require_readable(call.db, call.caller, call.id("file_id"))
    if file["bytes"] is None:
        key = store_key(file["team_id"], file["job_id"], file["id"])
        location = await call.services.store.presign(call.method, key, SECONDS_OF_A_REDIRECT)
        if location is not None:
            return redirect(location)
    return await get_content(call)


def _disposition(name: str) -> bytes:
    """`attachment` with a name that any browser reads (RFC 6266; spaces as files.md §5.1 has them)."""
    plain = name.replace(" ", "_")
    ascii_name = plain.encode("ascii", "replace").decode().replace("\\", "\\\\").replace('"', '\\"')
    disposition = f'attachment; filename="{ascii_name}"'
    if not plain.isascii():
        disposition += f"; filename*=UTF-8''{quote(plain, safe='')}"
    return disposition.encode()


async def delete_file(call: Call) -> Response:
    """Archives the file; its bytes stay until a purge, its test results are no longer listed."""
    facts = await queries.archive_file(call.db, call.id("file_id"), changeable_by(call.caller))
    if not facts["is_known"]:
        raise NotFound("file")
    if not facts["is_allowed"]:
        raise NotAuthorized
    return NO_CONTENT


async def list_files_of_job(call: Call) -> Response:
    """All files of a job, those of its jobstates included."""
    await require_can_read(call.db, call.caller, call.id("job_id"))
    return page(await queries.list_files(call.db, call.id("job_id"), call.listing(queries.COLUMNS)))


routes = [
    Route(
        "POST", "/files", upload_file, access.UPLOAD, answers={201: FileAnswer}, streams=True, headers=_UPLOAD_HEADERS
    ),
    get("/files/{file_id:uuid}", get_file, FileAnswer, who=access.READ),
    delete("/files/{file_id:uuid}", delete_file, who=access.DELETE, needs_etag=False),
    get("/files/{file_id:uuid}/content", get_content, None, who=access.READ),
    Route(
        "GET",
        "/files/{file_id:uuid}/content",
        get_content_or_its_place,
        access.READ,
        answers={200: None, 302: None},
        prefix="/api/v2",
    ),
    get("/jobs/{job_id:uuid}/files", list_files_of_job, FilesAnswer, who=READ_PARTS, listing=queries.COLUMNS),
    *purge.routes,
]
