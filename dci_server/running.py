# SPDX-License-Identifier: Apache-2.0
"""A running server: its database started before it, its scene set, both stopped together."""

import asyncio
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import FrameType

import asyncpg
import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from dci_server.features.test_results.queries import give_up_all_cases
from dci_server.features.uploads.queries import give_up_all_finishing
from dci_server.foundation.auth import neighbours
from dci_server.foundation.auth.jwks import GivenKey
from dci_server.foundation.auth.secret_box import SecretBox, load_or_create_key, read_keys
from dci_server.foundation.database.connection import Connection, open_pool
from dci_server.foundation.database.embedded import EmbeddedPostgres, EmbeddedPostgresError, url_of_running
from dci_server.foundation.database.migrate import migrate
from dci_server.foundation.errors import ApiError
from dci_server.foundation.storage import open_store
from dci_server.foundation.storage.removal import give_up_all_objects
from dci_server.foundation.wire import WireProtocol
from dci_server.provisioning import DEMO_REMOTECI, DEMO_TEAM, Scene, add_remoteci, provision
from dci_server.rc_files import ADMIN_RC, DEMO_RC, DEMO_USER_RC, point_at, read_rc, write_rc
from dci_server.settings import Settings

SECONDS_FOR_LAST_REQUESTS = 20
SECONDS_FOR_A_WORKER_TO_START = 30
_SECONDS_BETWEEN_LOOKS = 1.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class Prepared:
    """A database that is migrated and provisioned, and what of it is new."""

    settings: Settings
    scene: Scene

    @property
    def url(self) -> str:
        return address_of(self.settings)


def address_of(settings: Settings) -> str:
    """As a client on this machine writes it."""
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def with_key(settings: Settings) -> Settings:
    """The key that seals secrets: given, or kept in the data directory. Raises UnusableKeysError for any that is of no use."""
    if settings.sso_public_key is not None:
        GivenKey(settings.sso_public_key)
    if settings.secrets_key:
        read_keys(settings.secrets_key)
        return settings
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return replace(settings, secrets_key=load_or_create_key(settings.key_file))


def box_of(settings: Settings) -> SecretBox:
    return SecretBox(read_keys(settings.secrets_key or ""))


def database_of(settings: Settings) -> str:
    """The database in use by this or by another process of the owner."""
    url = settings.database_url or url_of_running(settings.database_directory)
    if url is None:
        raise ApiError("no database is running: start the server (dci-server serve) or set DATABASE_URL")
    return url


@contextmanager
def database(settings: Settings) -> Generator[Settings]:
    """The given one; else the embedded one: joined when it runs, started for as long as it is needed otherwise."""
    running = settings.database_url or url_of_running(settings.database_directory)
    if running is not None:
        yield replace(settings, database_url=running)
        return
    with own_database(settings) as (ready, _):
        yield ready


@contextmanager
def own_database(settings: Settings) -> Generator[tuple[Settings, EmbeddedPostgres | None]]:
    """The given one; else the embedded one, which no other server may be using."""
    if settings.database_url:
        yield settings, None
        return
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    connections = max(100, 20 + 18 * settings.workers)
    with EmbeddedPostgres(settings.database_directory, max_connections=connections) as postgres:
        yield replace(settings, database_url=postgres.url), postgres


@contextmanager
def explaining_database_errors() -> Generator[None]:
    """In words of ours: the driver's may quote the URL, and the URL holds a password."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise ApiError("the schema of the database is of another version; run: dci-server migrate") from error
    except asyncpg.PostgresError as error:
        raise ApiError(f"the database refused: {error.args[0]}") from error
    except SQLAlchemyError as error:
        raise ApiError(
            f"the database can't be migrated ({type(error).__name__}); check DATABASE_URL, DCI_DEBUG=1 shows why"
        ) from error
    except (asyncpg.InterfaceError, TimeoutError, OSError) as error:
        raise ApiError(f"the database does not answer ({type(error).__name__}); check DATABASE_URL") from error
    except ValueError as error:
        raise ApiError(
            "DATABASE_URL can't be read; write postgresql://user:password@host:5432/database, "
            "with %-codes for special characters in the password"
        ) from error


def migrate_now(settings: Settings) -> list[str]:
    """The revisions that were applied."""
    with explaining_database_errors():
        return asyncio.run(migrate(settings.database_url or ""))


def prepare_now(settings: Settings, *, with_demo: bool) -> Prepared:
    """Migrates, provisions, and leaves the rc files of what is new."""
    migrate_now(settings)
    with explaining_database_errors():
        scene = asyncio.run(_provision(settings, with_demo=with_demo))
    prepared = Prepared(settings, scene)
    _write_rc_files(prepared)
    return prepared


async def _provision(settings: Settings, *, with_demo: bool) -> Scene:
    pool = await open_pool(settings.database_url or "", size=1)
    try:
        scene = await provision(pool, box_of(settings), settings.admin_password, with_demo=with_demo)
        return await _with_usable_demo(pool, settings, scene) if with_demo else scene
    finally:
        await pool.close()


async def _with_usable_demo(db: Connection, settings: Settings, scene: Scene) -> Scene:
    """The demonstration works as long as the database does, even when its rc file was deleted."""
    if scene.remoteci is not None or "DCI_API_SECRET" in read_rc(settings.data_dir / DEMO_RC):
        return scene
    return replace(scene, remoteci=await add_remoteci(db, box_of(settings), DEMO_REMOTECI, DEMO_TEAM, rotate=True))


def _write_rc_files(prepared: Prepared) -> None:
    scene, directory = prepared.scene, prepared.settings.data_dir
    for name, login in ((ADMIN_RC, scene.administrator), (DEMO_USER_RC, scene.demo_user)):
        if login is not None:
            write_rc(directory / name, DCI_CS_URL=prepared.url, DCI_LOGIN=login.name, DCI_PASSWORD=login.password)
    if scene.remoteci is not None:
        write_rc(
            directory / DEMO_RC,
            DCI_CS_URL=prepared.url,
            DCI_CLIENT_ID=scene.remoteci.client_id,
            DCI_API_SECRET=scene.remoteci.api_secret,
        )


def listen(settings: Settings) -> socket.socket:
    """Taken before anything else is started, so that a port in use is the first thing one hears of."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise ApiError(
            f"can't listen on {settings.host}:{settings.port} ({error.strerror}); "
            "choose another with DCI_PORT or --port (or DCI_HOST or --host)"
        ) from error
    listening.set_inheritable(True)
    return listening


class Stopped(SystemExit):
    """SIGTERM: the way out is the same as after Ctrl-C."""


def exit_on_sigterm() -> None:
    """So that what was started is stopped on the way out."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise Stopped(0)

    signal.signal(signal.SIGTERM, leave)


def serve(prepared: Prepared, listening: socket.socket, postgres: EmbeddedPostgres | None) -> None:
    """Until SIGINT, SIGTERM or the end of its database; the requests under way are answered first."""
    point_at(prepared.settings.data_dir, prepared.url)
    if postgres is not None:
        with explaining_database_errors():
            asyncio.run(_clear_up(prepared.settings))
    with ExitStack() as cleanup:
        _hand_over(prepared.settings, cleanup)
        cleanup.enter_context(_watched(postgres))
        _run_workers(prepared.settings.workers, listening)
    if postgres is not None and postgres.failed():
        raise EmbeddedPostgresError(
            f"PostgreSQL died, so the server stopped; why is in {postgres.directory}/postgres.log; start it again"
        )


async def _clear_up(settings: Settings) -> None:
    """Whoever had this database and this directory before is dead: what it left unfinished need not wait for hours."""
    pool = await open_pool(settings.database_url or "", size=1)
    try:
        await give_up_all_objects(pool)
        await give_up_all_finishing(pool)
        await give_up_all_cases(pool)
    finally:
        await pool.close()
    if settings.store is None:
        await open_store(settings.store_url).sweep(timedelta(0))


@contextmanager
def _watched(postgres: EmbeddedPostgres | None) -> Generator[None]:
    """A server without its database is of no use: it stops, and whoever supervises it hears of it."""
    over = threading.Event()

    def watch() -> None:
        while postgres is not None and not over.wait(_SECONDS_BETWEEN_LOOKS):
            if postgres.failed():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        pass  # uvicorn has answered the last requests, and then raises the signal again.
    finally:
        over.set()
        watcher.join()


def _run_workers(workers: int, listening: socket.socket) -> None:
    config = uvicorn.Config(
        "dci_server.app:create_worker",
        factory=True,
        workers=workers,
        loop="uvloop",
        http=WireProtocol,
        lifespan="on",
        log_level="warning",
        access_log=False,
        # The authenticator reads X-Forwarded-For itself, from the proxies that the settings name.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=SECONDS_FOR_LAST_REQUESTS,
        # A worker answers its parent when Python is up: on a busy machine the default has it killed before, for ever.
        timeout_worker_healthcheck=SECONDS_FOR_A_WORKER_TO_START,
    )
    if workers == 1:
        uvicorn.Server(config).run(sockets=[listening])
        return
    supervisor = Multiprocess(config, sockets=[listening])
    supervisor.run()
    if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
        raise ApiError("the workers could not start; the lines above say why")


def _hand_over(settings: Settings, cleanup: ExitStack) -> None:
    """Worker processes read their settings from the environment, like any other."""
    os.environ["DATABASE_URL"] = settings.database_url or ""
    os.environ["DCI_SECRETS_KEY"] = settings.secrets_key or ""
    os.environ["DCI_STORE_URL"] = settings.store_url
    os.environ["DCI_DATA_DIR"] = str(settings.data_dir)
    os.environ["DCI_LOG_LEVEL"] = settings.log_level
    os.environ["DCI_MAX_UPLOAD_BYTES"] = str(settings.max_upload_bytes or 0)
    os.environ["DCI_CLOSE_JOBS_AFTER_SECONDS"] = str(settings.close_jobs_after_seconds)
    os.environ["DCI_LEGACY_SECRETS_IN_READS"] = "on" if settings.legacy_secrets_in_reads else "off"
    os.environ["DCI_PARENT_PID"] = str(os.getpid())
    os.environ.pop("DCI_ADMIN_PASSWORD", None)
    os.environ.pop("DCI_SHARED_MEMORY", None)
    if settings.workers > 1:
        directory = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="dci-metrics-"))
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        shared = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="dci-workers-"))) / "identities"
        shared.write_bytes(bytes(neighbours.SIZE))
        os.environ["DCI_SHARED_MEMORY"] = str(shared)
