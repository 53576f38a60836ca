# SPDX-License-Identifier: Apache-2.0
"""The URLs of a component's files: a segment that is a UUID is an uploaded file, anything else a path in its tree."""

from collections.abc import AsyncIterator
from dataclasses import replace

from dci_server.features.component_files import access, actions, queries
from dci_server.features.component_files.model import (
    ComponentFileAnswer,
    ComponentFilesAnswer,
    require_valid_path,
    tree_key,
)
from dci_server.features.components.actions import require_readable
from dci_server.foundation import downloads, receiving
from dci_server.foundation.database.connection import Json, Record
from dci_server.foundation.downloads import UNKNOWN_TYPE, Content, download, redirect, serve_object
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, Route, answer, delete, get, page

_RHDL_TAG = "rhdl"


async def upload_file(call: Call) -> Response:
    """The body is the file: raw bytes of any type, streamed; nothing is visible before all of it is accepted."""
    file = await actions.receive_file(call, call.id("component_id"))
    return answer("component_file", file, status=201)


async def list_files(call: Call) -> Response:
    """The files that were uploaded to a component, newest first."""
    await require_readable(call.db, call.caller, call.id("component_id"))
    return page(await queries.list_files(call.db, call.id("component_id"), call.listing(queries.COLUMNS)))


async def get_file(call: Call) -> Response:
    """What is known of a file, without its bytes. With a path instead of an id: a file of the component's tree."""
    return answer("component_file", Json((await _require_file(call))["file"]))


async def get_content(call: Call) -> Response:
    """The bytes of a file, as they were sent; `Range` asks for a part of them, `If-None-Match` whether they changed."""
    file = await _require_file(call)

    async def read(start: int, length: int) -> AsyncIterator[bytes]:
        return await call.services.store.read(file["key"], start, length)

    media_type: str = file["mime"] or UNKNOWN_TYPE
    return await download(
        call, Content(file["size"], media_type, file["etag"].strip('"'), file["updated_at"], read, name=file["name"])
    )


async def delete_file(call: Call) -> Response:
    """Archives the file; its bytes stay until components are purged."""
    etag = call.etag()
    await actions.delete_file(call.db, call.caller, call.id("component_id"), call.id("file_id"), etag)
    return NO_CONTENT


async def get_path(call: Call) -> Response:
    """A file of the component's tree: a redirect to the bucket that has it, or its bytes."""
    component = await require_readable(call.db, call.caller, call.id("component_id"))
    # quirk: a tag says in which of the two places the files are.
    return await _serve(call, component, from_rhdl=_RHDL_TAG in component["tags"])


async def get_path_from_rhdl(call: Call) -> Response:
    """A file of the component's tree: a redirect to where RHDL has it, when that service is configured."""
    component = await require_readable(call.db, call.caller, call.id("component_id"))
    return await _serve(call, component, from_rhdl=True)


async def _serve(call: Call, component: Record, *, from_rhdl: bool) -> Response:
    path: str = call.path_parameters["path"]
    require_valid_path(path)
    rhdl = call.services.rhdl
    if from_rhdl and rhdl is not None:
        return redirect(await rhdl.find(component["display_name"], path))
    return await serve_object(call, tree_key(component["id"], path))


async def _require_file(call: Call) -> Record:
    await require_readable(call.db, call.caller, call.id("component_id"))
    file = await queries.find_file(call.db, call.id("component_id"), call.id("file_id"))
    if file is None:
        raise NotFound("component_file")
    return file


_FILE = "/components/{component_id:uuid}/files/{file_id:uuid}"
_TREE = "/components/{component_id:uuid}/files/{path:tree}"
_TREE_ANSWERS = {**downloads.ANSWERS, 302: None}

routes = [
    Route(
        "POST",
        "/components/{component_id:uuid}/files",
        upload_file,
        access.UPLOAD,
        answers={201: ComponentFileAnswer},
        streams=True,
        headers=receiving.HEADERS,
        refusals=receiving.REFUSALS,
    ),
    get(
        "/components/{component_id:uuid}/files",
        list_files,
        ComponentFilesAnswer,
        who=access.READ,
        listing=queries.COLUMNS,
    ),
    get(_FILE, get_file, ComponentFileAnswer, who=access.READ),
    # What is no identifier is taken for a path, which can only be read.
    replace(delete(_FILE, delete_file, who=access.DELETE), refusals=(405,)),
    Route("GET", _FILE + "/content", get_content, access.READ, answers=downloads.ANSWERS, headers=downloads.HEADERS),
    # To OpenAPI this is the path of `get_file`, whose summary speaks of it.
    Route("GET", _TREE, get_path, access.READ, answers=_TREE_ANSWERS, documented=False),
    Route(
        "GET",
        _TREE,
        get_path_from_rhdl,
        access.READ,
        answers=_TREE_ANSWERS,
        headers=downloads.HEADERS,
        prefix="/api/v2",
    ),
]
