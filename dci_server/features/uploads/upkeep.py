# SPDX-License-Identifier: Apache-2.0
"""Uploads whose clients went away: whole ones become files, others expire and give their bytes back."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import asyncpg
import structlog

from dci_server.features.uploads import actions, queries
from dci_server.foundation.errors import ApiError
from dci_server.foundation.http import Services

_SECONDS_BETWEEN_PASSES = 60.0

log = structlog.get_logger("dci_server.uploads")


async def look_after_uploads(services: Services) -> None:
    """Expired ones go; whole ones that nobody finishes are finished."""
    await queries.delete_expired(services.db)
    for upload_id in await queries.list_unfinished(services.db):
        try:
            file_id = await actions.finish(services, upload_id)
        except ApiError as error:
            log.info("upload did not become a file", upload_id=str(upload_id), reason=error.message)
        else:
            log.info("upload became a file", upload_id=str(upload_id), file_id=str(file_id))


class UploadKeeper:
    """Runs beside the requests of a server process, for as long as it lives."""

    def __init__(self, services: Services) -> None:
        self._services = replace(services)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await look_after_uploads(self._services)
            except (ApiError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.warning("uploads wait to be looked after", reason=type(error).__name__)
            await asyncio.sleep(_SECONDS_BETWEEN_PASSES)
