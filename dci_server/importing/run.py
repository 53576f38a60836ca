# SPDX-License-Identifier: Apache-2.0
"""An import from its beginning to its report; run again, it goes on where it stopped."""

from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString
from urllib.parse import unquote, urlsplit

from dci_server.foundation.auth.secret_box import SecretBox
from dci_server.foundation.database.connection import execute
from dci_server.foundation.storage import Store, open_store
from dci_server.importing import accounts, catalogue, runs
from dci_server.importing import target as progress_in
from dci_server.importing.client_secrets import OWNERS, bring_secrets
from dci_server.importing.contents import OF_COMPONENTS, OF_JOBS, Kind, bring_contents
from dci_server.importing.progress import Progress
from dci_server.importing.report import Report, read_report
from dci_server.importing.rows import bring_rows
from dci_server.importing.source import Source, SourceError, open_source
from dci_server.importing.steps import Step
from dci_server.importing.target import Target, open_target

BATCH_BYTES = 8 * 1024 * 1024

# In the order of the references. Teams before users: see the last of its finishes.
STEPS: tuple[Step, ...] = (
    accounts.TEAMS,
    accounts.USERS,
    accounts.USERS_TEAMS,
    accounts.TEAMS_COMPONENTS_ACCESS,
    catalogue.PRODUCTS,
    catalogue.PRODUCTS_TEAMS,
    catalogue.TOPICS,
    catalogue.NEXT_TOPICS,
    catalogue.USERS_TOPICS,
    accounts.REMOTECIS,
    accounts.FEEDERS,
    accounts.USER_REMOTECIS,
    catalogue.COMPONENTS,
    catalogue.COMPONENT_FILES,
    runs.PIPELINES,
    runs.JOBS,
    runs.JOB_LINKS,
    runs.JOBS_COMPONENTS,
    runs.JOBS_KEYS_VALUES,
    runs.JOBSTATES,
    runs.FILES,
    runs.TESTS_RESULTS,
    runs.JOBS_EVENTS,
    runs.COUNTER,
    accounts.LOGS,
)
_BULK: tuple[LiteralString, ...] = (
    "components", "jobs", "jobs_components", "jobs_keys_values", "jobstates", "files", "tests_results", "audits",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Where from; the stores are those of the source's two containers."""

    database: str
    files: str | None = None
    components: str | None = None


async def look_at(wanted: Wanted, store_url: str) -> None:
    """Before anything is started or written here. Raises SourceError when this can't be imported."""
    _containers(wanted, store_url)
    async with open_source(wanted.database, STEPS):
        pass


async def import_hub(
    wanted: Wanted,
    database_url: str,
    store_url: str,
    box: SecretBox,
    progress: Progress,
    *,
    batch_bytes: int = BATCH_BYTES,
) -> Report:
    """Raises SourceError or TargetError before anything is written when it can't be done."""
    containers = _containers(wanted, store_url)
    async with open_source(wanted.database, STEPS) as source, open_target(database_url) as target:
        if not await progress_in.begin(target, source):
            await _bring_all_rows(source, target, box, progress, batch_bytes)
        left_behind = await source.left_behind(STEPS)
        ours = open_store(store_url)
        for kind, container in containers.items():
            if container is not None:
                await bring_contents(target, kind, container, ours, progress)
        looked_for = {kind.name: container is not None for kind, container in containers.items()}
        return await read_report(target, source, left_behind, looked_for)


async def _bring_all_rows(source: Source, target: Target, box: SecretBox, progress: Progress, batch_bytes: int) -> None:
    for step in STEPS:
        await bring_rows(source, target, step, progress, batch_bytes)
        for owners, column in OWNERS:
            if step.name == owners:
                await bring_secrets(source, target, box, owners, column, progress)
    for table in _BULK:
        # So that the first screens do not pay for what the bulk has left behind.
        await execute(target, "vacuum (analyze) " + table)
    await execute(target, "analyze")
    await progress_in.finish_rows(target)


def _containers(wanted: Wanted, store_url: str) -> dict[Kind, Store | None]:
    return {
        OF_JOBS: _container(wanted.files, "--files", f"{store_url}/files"),
        OF_COMPONENTS: _container(wanted.components, "--components", f"{store_url}/components"),
    }


def _container(url: str | None, option: LiteralString, ours: str) -> Store | None:
    if url is None:
        return None
    if url.rstrip("/") == ours:
        raise SourceError(f"{option} is this hub's own store: its files are here; leave the option out")
    parts = urlsplit(url)
    directory = Path(url) if not parts.scheme else Path(unquote(parts.path)) if parts.scheme == "file" else None
    if directory is not None and not directory.is_dir():
        raise SourceError(f"{option}: there is no directory {directory}")
    return open_store(url)
