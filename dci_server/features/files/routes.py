# SPDX-License-Identifier: Apache-2.0
"""The URLs of files."""

from collections.abc import AsyncIterator

from dci_server.features.files import access, actions, purge, queries
from dci_server.features.files.model import FileAnswer, FilesAnswer, content_type, read_announcement, store_key
from dci_server.features.jobs.access import READ_PARTS, changeable_by, require_can_read
from dci_server.foundation import downloads, receiving
from dci_server.foundation.database.connection import Json
from dci_server.foundation.downloads import SECONDS_OF_A_REDIRECT, Content, download, redirect
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, Route, answer, delete, get, page
from dci_server.foundation.storage import ObjectMissing

_UPLOAD_HEADERS = {
    "DCI-NAME": "The name of the file, at most 255 characters.",
    "DCI-JOB-ID": "The job it belongs to; or DCI-JOBSTATE-ID.",
    "DCI-JOBSTATE-ID": "The jobstate it belongs to.",
    "DCI-MIME": "Its media type; `application/junit` has its tests counted.",
    **receiving.HEADERS,
}


async def upload_file(call: Call) -> Response:
    """The body is the file: raw bytes of any type, streamed; nothing is visible before all of it is accepted."""
    return answer("file", await actions.receive_file(call, read_announcement(call.headers)), status=201)


async def get_file(call: Call) -> Response:
    """What is known of a file, without its bytes."""
    file = await access.require_readable(call.db, call.caller, call.id("file_id"))
    return answer("file", Json(file["file"]))


async def get_content(call: Call) -> Response:
    """The bytes of a file, as they were sent; `Range` asks for a part of them, `If-None-Match` whether they changed."""
    try:
        return await _send_content(call)
    except ObjectMissing:
        # Since its row was read, the file may have got new content, or a place in another pack: it says so now.
        return await _send_content(call)


async def _send_content(call: Call) -> Response:
    file = await access.require_readable(call.db, call.caller, call.id("file_id"))
    actions.require_content(file)

    async def read(start: int, length: int) -> AsyncIterator[bytes]:
        return await actions.read_content(call, file, start, length)

    media_type = content_type(file["mime"])
    return await download(
        call, Content(file["size"], media_type, file["etag"], file["updated_at"], read, name=file["name"])
    )


async def replace_content(call: Call) -> Response:
    """New content of a JUnit file, in which only properties of test cases differ; at most 8 MiB."""
    etag = call.etag().strip('"')
    return answer("file", await actions.replace_content(call, call.id("file_id"), etag), etag=True)


async def get_content_or_its_place(call: Call) -> Response:
    """The bytes of a file, or a redirect to the bucket that has them."""
    file = await access.require_readable(call.db, call.caller, call.id("file_id"))
    actions.require_content(file)
    if file["bytes"] is None and file["pack_key"] is None:
        key = store_key(file["team_id"], file["job_id"], file["id"])
        location = await call.services.store.presign(call.method, key, SECONDS_OF_A_REDIRECT)
        if location is not None:
            return redirect(location)
    return await get_content(call)


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


_CONTENT = "/files/{file_id:uuid}/content"

routes = [
    Route(
        "POST",
        "/files",
        upload_file,
        access.UPLOAD,
        answers={201: FileAnswer},
        streams=True,
        headers=_UPLOAD_HEADERS,
        refusals=receiving.REFUSALS,
    ),
    get("/files/{file_id:uuid}", get_file, FileAnswer, who=access.READ),
    delete("/files/{file_id:uuid}", delete_file, who=access.DELETE, needs_etag=False),
    Route(
        "PUT",
        _CONTENT,
        replace_content,
        access.UPLOAD,
        answers={200: FileAnswer},
        needs_etag=True,
        streams=True,
        headers=receiving.HEADERS,
        refusals=(410, *receiving.REFUSALS),
    ),
    Route(
        "GET",
        _CONTENT,
        get_content,
        access.READ,
        answers=downloads.ANSWERS,
        headers=downloads.HEADERS,
        refusals=(410,),
    ),
    Route(
        "GET",
        _CONTENT,
        get_content_or_its_place,
        access.READ,
        answers={**downloads.ANSWERS, 302: None},
        headers=downloads.HEADERS,
        prefix="/api/v2",
        refusals=(410,),
    ),
    get("/jobs/{job_id:uuid}/files", list_files_of_job, FilesAnswer, who=READ_PARTS, listing=queries.COLUMNS),
    *purge.routes,
]
