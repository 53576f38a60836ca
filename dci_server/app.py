# SPDX-License-Identifier: Apache-2.0
"""Assembles the server: settings → database, store, secrets → features → routes."""

import ctypes
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

from dci_server import __version__, documentation, health
from dci_server.features.audits import routes as audits
from dci_server.features.component_files import routes as component_files
from dci_server.features.components import routes as components
from dci_server.features.events import routes as events
from dci_server.features.events.queries import EventTable
from dci_server.features.feeders import routes as feeders
from dci_server.features.files import routes as files
from dci_server.features.files.upkeep import content_keeper
from dci_server.features.identity import routes as identity
from dci_server.features.job_components import routes as job_components
from dci_server.features.jobs import routes as jobs
from dci_server.features.jobs_events import routes as jobs_events
from dci_server.features.jobstates import routes as jobstates
from dci_server.features.keys_values import routes as keys_values
from dci_server.features.notifications.fan_out import FanOut
from dci_server.features.notifications.mailing import MAILS, Mailer
from dci_server.features.notifications.notifier import Notifier
from dci_server.features.notifications.outbox import Outbox
from dci_server.features.notifications.publishing import MESSAGES, Publisher
from dci_server.features.packs.upkeep import packer
from dci_server.features.pipelines import routes as pipelines
from dci_server.features.products import routes as products
from dci_server.features.remotecis import routes as remotecis
from dci_server.features.silence.upkeep import silence_keepers
from dci_server.features.statistics import routes as statistics
from dci_server.features.teams import routes as teams
from dci_server.features.test_results import routes as test_results
from dci_server.features.test_results.recording import JunitReader
from dci_server.features.test_results.upkeep import case_keeper
from dci_server.features.topics import routes as topics
from dci_server.features.uploads import routes as uploads
from dci_server.features.uploads.upkeep import upload_keeper
from dci_server.features.users import routes as users
from dci_server.features.webhooks import routes as webhooks
from dci_server.features.webhooks.sending import WebhookSender
from dci_server.foundation.auditing import AuditLog
from dci_server.foundation.auth.authenticator import Authenticator
from dci_server.foundation.auth.bearer import SingleSignOn
from dci_server.foundation.auth.jwks import GivenKey, PublishedKeys
from dci_server.foundation.auth.neighbours import neighbours_of
from dci_server.foundation.auth.proxies import TrustedProxies
from dci_server.foundation.auth.secret_box import SecretBox, read_keys
from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.database.pool import Pool
from dci_server.foundation.events.feed import EventFeed
from dci_server.foundation.events.numbering import EventNumbering
from dci_server.foundation.http import Application, Route, Services
from dci_server.foundation.limits import keep_few_arenas, look_for_garbage_among_what_is_new, raise_open_files
from dci_server.foundation.logs import configure_logs
from dci_server.foundation.metrics import Metrics
from dci_server.foundation.openapi import build_document
from dci_server.foundation.outgoing.posting import Poster
from dci_server.foundation.outgoing.targets import Allowed, Targets
from dci_server.foundation.rhdl import Rhdl
from dci_server.foundation.storage import open_store
from dci_server.foundation.storage.removal import object_remover
from dci_server.settings import Settings

_PR_SET_PDEATHSIG = 1
_CONNECTIONS_FOR_NOTIFYING = 2
_SECONDS_FOR_THE_DATABASE = 60.0
"""It was there a moment ago. A worker that can't start stops the whole server, and PostgreSQL may be recovering."""
_FEATURES = (
    identity,
    jobstates,
    files,
    uploads,
    jobs,
    topics,
    components,
    component_files,
    test_results,
    job_components,
    keys_values,
    pipelines,
    teams,
    users,
    products,
    remotecis,
    feeders,
    audits,
    events,
    jobs_events,
    statistics,
    webhooks,
)


def all_routes() -> list[Route]:
    """Every URL of the server."""
    served = [route for feature in _FEATURES for route in feature.routes]
    return [*served, *health.routes, *documentation.routes(lambda: openapi_document())]


def openapi_document() -> dict[str, object]:
    described = [documentation.describe(route) for route in all_routes() if route.documented]
    return build_document(described, title="dci-server", version=__version__)


def create_worker() -> Application:
    """What a worker process runs, and nothing else beside it."""
    app = create_app()
    look_for_garbage_among_what_is_new()
    return app


def create_app() -> Application:
    """The server; the settings come from the environment."""
    raise_open_files()
    keep_few_arenas()
    settings = Settings.from_environment()
    configure_logs(settings.log_level)

    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncGenerator[None]:
        _end_with_parent()
        secrets = SecretBox(read_keys(settings.secrets_key or ""))
        url = settings.database_url or ""
        pool = await _open_pool(url)
        authenticator = Authenticator(
            pool,
            url,
            secrets,
            _single_sign_on(settings),
            TrustedProxies(settings.trusted_proxies),
            neighbours_of(os.environ.get("DCI_SHARED_MEMORY")),
        )
        store = open_store(settings.store_url)
        rhdl = _rhdl(settings)
        numbering = EventNumbering(pool, timedelta(days=settings.events_kept_days))
        metrics = Metrics()
        audit_log = AuditLog(pool, timedelta(days=settings.audits_kept_days), settings.audit_journals, metrics)
        feed = EventFeed(pool, url, authenticator, EventTable())
        app.services = Services(
            db=pool,
            store=store,
            authenticator=authenticator,
            secrets=secrets,
            metrics=metrics,
            events=numbering,
            feed=feed,
            audits=audit_log,
            readers={"application/junit": JunitReader(metrics)},
            max_upload_bytes=settings.max_upload_bytes,
            legacy_secrets_in_reads=settings.legacy_secrets_in_reads,
            rhdl=rhdl,
            targets=Targets(Allowed.of(settings.webhook_allowed_targets)),
        )
        upkeep = (
            object_remover(pool, store),
            upload_keeper(app.services),
            case_keeper(pool),
            content_keeper(pool),
            packer(pool, store, settings.pack_after_seconds),
            *silence_keepers(
                pool,
                timedelta(seconds=settings.close_jobs_after_seconds),
                timedelta(hours=settings.remoteci_silent_after_hours),
            ),
        )
        await authenticator.start()
        for repeating in upkeep:
            repeating.start()
        await numbering.start()
        await feed.start()
        audit_log.start()
        try:
            async with _notifying(settings, app.services):
                yield
        finally:
            await feed.stop()
            await audit_log.stop()
            await numbering.stop()
            for repeating in reversed(upkeep):
                await repeating.stop()
            await authenticator.stop()
            if rhdl is not None:
                await rhdl.close()
            app.services.targets.close()
            await pool.close()

    return Application(all_routes(), lifespan)


@asynccontextmanager
async def _notifying(settings: Settings, services: Services) -> AsyncGenerator[None]:
    """With connections of its own to the database: telling others takes none from those who ask."""
    if not settings.deliveries:
        yield
        return
    url = settings.database_url or ""
    pool = await _open_pool(url, _CONNECTIONS_FOR_NOTIFYING)
    timeout = float(settings.webhook_timeout)
    poster = Poster(services.targets, timeout=timeout)
    sender = WebhookSender(pool, services.secrets, poster, services.metrics, timeout=timeout)
    mail = settings.mail_server
    mailers = [] if mail is None else [Outbox(pool, MAILS, Mailer(mail, links=settings.ui_url), services.metrics)]
    bus = settings.message_bus
    publishers = [] if bus is None else [Outbox(pool, MESSAGES, Publisher(pool, bus), services.metrics)]
    fan_out = FanOut(
        pool, services.metrics, links=settings.ui_url, with_mail=mail is not None, with_bus=bus is not None
    )
    notifier = Notifier(pool, url, {"events": [fan_out], "deliveries": [sender, *mailers, *publishers]})
    notifier.start()
    try:
        yield
    finally:
        await notifier.stop()
        await poster.close()
        await pool.close()


def _rhdl(settings: Settings) -> Rhdl | None:
    if settings.rhdl_access_key is None or settings.rhdl_secret_key is None:
        return None
    return Rhdl(settings.rhdl_url, settings.rhdl_access_key, settings.rhdl_secret_key)


def _single_sign_on(settings: Settings) -> SingleSignOn | None:
    address = settings.sso_address
    if address is None:
        return None
    issuer = settings.sso_issuer or address
    given = settings.sso_public_key
    return SingleSignOn(
        PublishedKeys(address, issuer) if given is None else GivenKey(given),
        issuer=issuer,
        audiences=settings.sso_audiences,
        read_only_group=settings.sso_read_only_group,
    )


async def _open_pool(url: str, size: int = 10) -> Pool:
    if _parent() is None:
        return await open_pool(url, size=size)
    with _ended_by_signals():
        return await open_pool(url, size=size, patience=_SECONDS_FOR_THE_DATABASE)


def _parent() -> int | None:
    """Of a worker."""
    parent = os.environ.get("DCI_PARENT_PID")
    return None if parent is None or os.getpid() == int(parent) else int(parent)


def _end_with_parent() -> None:
    """A worker whose parent was killed must not keep the port."""
    parent = _parent()
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if not Path(f"/proc/{parent}").exists():
        with _ended_by_signals():
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """Who waits for the database has nothing to finish, and does not look whether it was told to stop."""
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
