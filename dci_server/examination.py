# SPDX-License-Identifier: Apache-2.0
"""Each part of a server, looked at one by one: what is configured, what is wrong with it, what to do."""

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import asyncpg

from dci_server import running
from dci_server.features.test_results.unused_names import count_unused_names
from dci_server.foundation.auth.jwks import GivenKey, PublishedKeys
from dci_server.foundation.auth.secret_box import SecretBox, UnusableKeysError, load_or_create_key
from dci_server.foundation.database.connection import Connection, fetch_rows, fetch_value, open_pool
from dci_server.foundation.database.embedded import EmbeddedPostgresError, url_of_running
from dci_server.foundation.database.migrate import newest_revision
from dci_server.foundation.errors import ApiError
from dci_server.foundation.outgoing.carriers import CarrierUnavailable
from dci_server.foundation.storage import StoreUrlError, open_store
from dci_server.foundation.storage.removal import Unreferenced, count_unreferenced, count_waiting
from dci_server.settings import Settings

MOST_OBJECTS = 100_000
"""Enough to look at when nobody asked for more: a bucket of millions takes minutes."""

_LEAST_FREE_BYTES = 1024**3
_OLDEST_POSTGRESQL = 150000
_COMES_WITH_THE_START = "not there yet; the first start of dci-server makes it"
_SECONDS_FOR_AN_ANSWER = 3


class Problem(Exception):
    """What is wrong, and what to do about it."""


_BUCKETS_WITH_PARTS = ("s3://", "gs://")
# Azure does so by itself, after a week.
_BUCKET_NEEDS = (
    "; parts of uploads that a crash cut off can't be seen from here: have the bucket remove them, by the rule "
    "AbortIncompleteMultipartUpload after a day (README)"
)


class Doubt(Exception):
    """It works, and is hardly meant: what it does, and what to set otherwise."""


Verdict: TypeAlias = Literal["ok", "WARNING", "PROBLEM"]


@dataclass(frozen=True)
class Finding:
    part: str
    detail: str
    verdict: Verdict = "ok"


async def examine(settings: Settings, most_objects: int = MOST_OBJECTS) -> AsyncIterator[Finding]:
    """Changes nothing, and makes nothing but a probe in the file store, and on a message bus what it is to have."""

    async def look_at_objects(settings: Settings) -> str:
        return await _look_at_objects(settings, most_objects)

    looks = (
        ("data directory", _look_at_directory),
        ("disk space", _look_at_space),
        ("secrets key", _look_at_key),
        ("file store", _look_at_store),
        ("database", _look_at_database),
        ("stored objects", look_at_objects),
        ("single sign-on", _look_at_single_sign_on),
        ("webhooks", _look_at_webhooks),
        ("mail", _look_at_mail),
        ("message bus", _look_at_bus),
        ("address", _look_at_address),
    )
    for part, look in looks:
        try:
            yield Finding(part, await look(settings))
        except Doubt as doubt:
            yield Finding(part, str(doubt), "WARNING")
        except (Problem, ApiError, EmbeddedPostgresError, StoreUrlError, UnusableKeysError) as problem:
            yield Finding(part, str(problem), "PROBLEM")
        except OSError as error:
            yield Finding(part, f"{error.strerror or error}; check that this account may use it", "PROBLEM")


async def _look_at_directory(settings: Settings) -> str:
    path = settings.data_dir
    if not path.exists():
        if not os.access(_existing(path), os.W_OK):
            raise Problem(f"{path} can't be made by this account; set DCI_DATA_DIR to one that can")
        return f"{path}: {_COMES_WITH_THE_START}"
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        raise Problem(f"{path} can't be written to; give it to this account, or set DCI_DATA_DIR")
    return str(path)


async def _look_at_space(settings: Settings) -> str:
    free = shutil.disk_usage(_existing(settings.data_dir)).free
    if free < _LEAST_FREE_BYTES:
        raise Problem(f"only {free // 1024**2} MiB are free below {settings.data_dir}; make room")
    return f"{free // 1024**3} GiB free"


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


async def _look_at_key(settings: Settings) -> str:
    if settings.secrets_key:
        running.box_of(settings)
        return "from DCI_SECRETS_KEY"
    if not settings.key_file.exists():
        return f"{settings.key_file}: {_COMES_WITH_THE_START}"
    running.box_of(_with_existing_key(settings))
    return str(settings.key_file)


def _with_existing_key(settings: Settings) -> Settings:
    if settings.secrets_key or not settings.key_file.exists():
        return settings
    return replace(settings, secrets_key=load_or_create_key(settings.key_file))


async def _look_at_store(settings: Settings) -> str:
    if settings.store is None and not Path(settings.store_url).exists():
        return f"{settings.store_url}: {_COMES_WITH_THE_START}"
    await open_store(settings.store_url).check()
    limit = settings.max_upload_bytes
    needs = _BUCKET_NEEDS if settings.store_url.startswith(_BUCKETS_WITH_PARTS) else ""
    return f"{settings.store_url}, for files of {'any size' if limit is None else f'at most {limit} bytes'}{needs}"


async def _look_at_database(settings: Settings) -> str:
    url = settings.database_url or url_of_running(settings.database_directory)
    if url is None:
        made = settings.database_directory.exists()
        return "embedded: not running; dci-server serve starts it" if made else f"embedded: {_COMES_WITH_THE_START}"
    with running.explaining_database_errors():
        pool = await open_pool(url, size=1)
        try:
            version = await _require_known_schema(pool)
            secrets = await _count_openable_secrets(pool, _with_existing_key(settings))
            waiting = await count_waiting(pool)
            unused = await count_unused_names(pool)
        finally:
            await pool.close()
    place = "DATABASE_URL" if settings.database_url else "embedded"
    return (
        f"{place}: PostgreSQL {version}, the schema is current, {secrets} secrets open, "
        f"{unused} names of test cases are in no report any more, {waiting} objects wait to be removed"
    )


async def _look_at_objects(settings: Settings, most: int) -> str:
    """What no row refers to costs space and nothing else: it is no problem."""
    url = settings.database_url or url_of_running(settings.database_directory)
    if url is None:
        return "not looked at: the database does not run"
    try:
        with running.explaining_database_errors():
            found = await _count_unreferenced(settings, url, most)
    except (Problem, ApiError, StoreUrlError):
        return "not looked at: the database or the store does not work"
    of_how_many = f"{found.looked_at}" if found.is_all else f"the first {found.looked_at} (--all-objects looks at all)"
    return f"{found.objects} that no row refers to ({found.size} bytes), of {of_how_many}"


async def _count_unreferenced(settings: Settings, url: str, most: int) -> Unreferenced:
    pool = await open_pool(url, size=1)
    try:
        await _require_known_schema(pool)
        return await count_unreferenced(pool, open_store(settings.store_url), most)
    finally:
        await pool.close()


async def _look_at_single_sign_on(settings: Settings) -> str:
    address = settings.sso_address
    if address is None:
        return "off; SSO_ISSUER or SSO_URL turns it on"
    issuer = settings.sso_issuer or address
    if settings.sso_public_key is not None:
        GivenKey(settings.sso_public_key)
        return f"tokens of {issuer}, with the key of SSO_PUBLIC_KEY"
    try:
        count = await PublishedKeys(address, issuer).examine()
    except ApiError as error:
        raise Problem(f"{error.message}; asked was {address}, from SSO_URL and SSO_REALM, or SSO_ISSUER") from error
    return f"tokens of {issuer}, {count} keys published"


async def _look_at_webhooks(settings: Settings) -> str:
    if not settings.deliveries:
        return "this server sends nothing (DCI_DELIVERIES=off); another one on the same database must"
    allowed = settings.webhook_allowed_targets
    return "sent to public addresses" + (f", and to {', '.join(allowed)}" if allowed else " only")


async def _look_at_mail(settings: Settings) -> str:
    server = settings.mail_server
    if server is None:
        return "off; DCI_EMAIL_SERVER turns it on"
    place = f"{server.host}:{server.port}"
    try:
        async with server.connection():
            found = f"sent as {server.sender} through {place}"
    except CarrierUnavailable as error:
        raise Problem(f"{place}: {error}; see DCI_EMAIL_SERVER and the variables that begin like it") from error
    _require_own_hosts(settings, server.sender, found)
    return found


def _require_own_hosts(settings: Settings, sender: str, found: str) -> None:
    """Their defaults are those of one hub; mail of any other one names it as its sender, and links to it."""
    doubts: list[str] = []
    if sender == Settings.email_account:
        doubts.append("the sender is a default: set DCI_EMAIL_FROM, or DCI_EMAIL_ACCOUNT, to an address of yours")
    if settings.ui_url == Settings.ui_url:
        doubts.append(f"links lead to {settings.ui_url}, a default: set DCI_UI_URL to where people look at jobs")
    if doubts:
        raise Doubt("; ".join([found, *doubts]))


async def _look_at_bus(settings: Settings) -> str:
    bus = settings.message_bus
    if bus is None:
        return "off; AMQP_BROKER_URL turns it on"
    try:
        async with bus.connection():
            return f"job_started and job_finished to {bus.exchange} at {bus.place}"
    except CarrierUnavailable as error:
        raise Problem(f"{bus.place}: {error}; see AMQP_BROKER_URL and the variables that begin with AMQP_") from error


async def _require_known_schema(db: Connection) -> str:
    if int(await fetch_value(db, "select current_setting('server_version_num')")) < _OLDEST_POSTGRESQL:
        raise Problem("it is older than PostgreSQL 15; upgrade it")
    if await fetch_value(db, "select to_regclass('alembic_version') is null"):
        raise Problem("it is empty; run: dci-server provision")
    if await fetch_value(db, "select version_num from alembic_version") != newest_revision():
        raise Problem("its schema is of another version; run: dci-server migrate")
    return await fetch_value(db, "select current_setting('server_version')")


async def _count_openable_secrets(db: Connection, settings: Settings) -> int:
    rows = await fetch_rows(
        db,
        """select coalesce(remoteci_id, feeder_id) as owner, sealed_secret from client_secrets
           union all select id, sealed_secret from webhooks""",
    )
    if not rows:
        return 0
    if not settings.secrets_key:
        raise Problem(f"it holds {len(rows)} secrets, but {settings.key_file} is missing: restore it from a backup")
    box = running.box_of(settings)
    shut = sum(not _opens(box, row) for row in rows)
    if shut:
        raise Problem(
            f"{shut} of {len(rows)} secrets of remotecis, feeders and webhooks don't open with the key; "
            "add the key they were sealed with to DCI_SECRETS_KEY"
        )
    return len(rows)


def _opens(box: SecretBox, row: asyncpg.Record) -> bool:
    try:
        box.open(row["sealed_secret"], row["owner"])
    except ApiError:
        return False
    return True


async def _look_at_address(settings: Settings) -> str:
    """Free for a server to be started, or a server that is ready."""
    address = running.address_of(settings)
    try:
        running.listen(settings).close()
    except ApiError:
        return _whoever_answers(address)
    return f"{address} is free; no server runs there"


def _whoever_answers(address: str) -> str:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=_SECONDS_FOR_AN_ANSWER):  # noqa: S310 # our own address
            return f"a server is ready at {address}"
    except urllib.error.HTTPError as error:
        if error.code == 503:  # what /readyz answers
            raise Problem(f"the server at {address} is not ready; {address}/readyz says why") from None
        raise Problem(f"another program answers at {address}; choose another port with DCI_PORT") from None
    except (OSError, ValueError):
        raise Problem(f"another program uses {address}; choose another port with DCI_PORT") from None
