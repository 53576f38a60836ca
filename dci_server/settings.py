# SPDX-License-Identifier: Apache-2.0
"""Every environment variable, typed, with its default."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from dci_server.foundation.outgoing.bus import MessageBus, can_speak_to_a_bus, is_bus_url
from dci_server.foundation.outgoing.mail import MailServer, Tls, is_address

_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_LEVELS = ("debug", "info", "warning", "error")
_LONGEST_NUMBER = 20
_LONGEST_BUS_NAME = 255
_SHORTEST_SILENCE = 60
"""Longer than any statement takes: what is older is in the database, or never will be."""


class SettingsError(Exception):
    """A variable can't be used; the message says which and what it may be."""


@dataclass(frozen=True)
class Settings:
    host: str = "127.0.0.1"
    """DCI_HOST: the address to listen on."""
    port: int = 5000
    """DCI_PORT: the port to listen on; 0 for any free one."""
    data_dir: Path = Path("data")
    """DCI_DATA_DIR: the embedded database, the files, the key, the rc files."""
    workers: int = 1
    """DCI_WORKERS: server processes."""
    database_url: str | None = None
    """DATABASE_URL: a PostgreSQL of yours, 15 or newer; unset for the embedded one."""
    store: str | None = None
    """DCI_STORE_URL: a directory, or s3://bucket/prefix; unset for `files` in the data directory."""
    admin_password: str | None = None
    """DCI_ADMIN_PASSWORD: of the user `admin`, at the first start only; unset to have one generated."""
    secrets_key: str | None = None
    """DCI_SECRETS_KEY: comma-separated keys that seal the secrets of remotecis, the first of them for writing;
    unset for `secrets.key` in the data directory."""
    max_upload_bytes: int | None = None
    """DCI_MAX_UPLOAD_BYTES: the largest file; unset or 0 for no limit."""
    pack_after_seconds: int = 300
    """DCI_PACK_AFTER_SECONDS: when nothing has happened to a job that is over for so long, its small files move from the
    database into one object of the file store; 0 to leave them."""
    close_jobs_after_seconds: int = 0
    """DCI_CLOSE_JOBS_AFTER_SECONDS: when nothing was heard of a job for so long, it is closed as an error; 0 to wait for ever."""
    remoteci_silent_after_hours: int = 24
    """DCI_REMOTECI_SILENT_AFTER_HOURS: a remoteci that makes no job for so long, and for much longer than it is used to, is
    told of by an event; 0 for none."""
    sso_url: str | None = None
    """SSO_URL: of a Keycloak, without the realm; unset without one."""
    sso_realm: str = "redhat-external"
    """SSO_REALM: of that Keycloak."""
    sso_issuer: str | None = None
    """SSO_ISSUER: what tokens call their provider (`iss`); unset for `<SSO_URL>/auth/realms/<SSO_REALM>`. Without SSO_URL
    the provider is asked there."""
    sso_audiences: tuple[str, ...] = ("api.dci", "dci")
    """SSO_AUDIENCES: comma-separated; a token must be meant for one of them."""
    sso_read_only_group: str = "redhat:employees"
    """SSO_READ_ONLY_GROUP: the role of the provider that makes its bearer read-only."""
    sso_public_key: str | None = None
    """SSO_PUBLIC_KEY: the PEM key that signs the tokens; unset to have the provider's keys fetched."""
    legacy_secrets_in_reads: bool = False
    """DCI_LEGACY_SECRETS_IN_READS: whether GET shows the secrets of remotecis and feeders to their teams and to super
    admins, for old provisioning scripts."""
    rhdl_url: str = "https://api.rhdl.distributed-ci.io/api/v1"
    """RHDL_API_URL: the service that has the files of RHEL builds."""
    rhdl_access_key: str | None = None
    """RHDL_SERVICE_ACCOUNT_ACCESS_KEY: the account it is asked with; unset to look for these files in our own store."""
    rhdl_secret_key: str | None = None
    """RHDL_SERVICE_ACCOUNT_SECRET_KEY: of that account."""
    trusted_proxies: tuple[str, ...] = ()
    """DCI_TRUSTED_PROXIES: comma-separated addresses and networks of proxies whose X-Forwarded-For is believed."""
    audits_kept_days: int = 365
    """DCI_AUDITS_KEPT_DAYS: how long it is kept who did what."""
    events_kept_days: int = 90
    """DCI_EVENTS_KEPT_DAYS: how long events are kept; they go by whole weeks."""
    deliveries: bool = True
    """DCI_DELIVERIES: whether this server sends notifications; of several servers on one database one must."""
    ui_url: str = "https://www.distributed-ci.io"
    """DCI_UI_URL: what links for people begin with."""
    email_server: str | None = None
    """DCI_EMAIL_SERVER: the mail server; unset to send no mail."""
    email_port: int = 587
    """DCI_EMAIL_SERVER_PORT: of the mail server."""
    email_tls: Tls = "starttls"
    """DCI_EMAIL_TLS: starttls, tls (from the first byte), or none."""
    email_account: str = "no-reply@distributed-ci.io"
    """DCI_EMAIL_ACCOUNT: whom to log in as, when there is a password."""
    email_password: str | None = None
    """DCI_EMAIL_PASSWORD: of that account; unset for a server that wants none."""
    email_sender: str | None = None
    """DCI_EMAIL_FROM: the address that mail is from; unset for the account."""
    webhook_timeout: int = 10
    """DCI_WEBHOOK_TIMEOUT: for how many seconds a webhook may take to answer."""
    webhook_allowed_targets: tuple[str, ...] = ()
    """DCI_WEBHOOK_ALLOWED_TARGETS: comma-separated networks and host names that webhooks may use besides public ones."""
    amqp_url: str | None = None
    """AMQP_BROKER_URL: the message bus, amqp://user:password@host:5672/vhost, or amqps:// for TLS; unset to publish nothing."""
    amqp_exchange: str = "dci.analytics.exchange"
    """AMQP_EXCHANGE: what is published to."""
    amqp_routing_key: str = "dci.analytics.jobs"
    """AMQP_ROUTING_KEY: what messages are published with."""
    amqp_queue: str = "dci.analytics.queue"
    """AMQP_QUEUE: the queue that is bound to it."""
    amqp_declare: bool = True
    """AMQP_DECLARE: whether exchange and queue are made when they are not there; off to use the exchange as it is."""
    amqp_ca_file: str | None = None
    """AMQP_CA_FILE: the authority that signed the broker's certificate; unset for those the system trusts."""
    log_level: str = "info"
    """DCI_LOG_LEVEL: debug, info, warning or error."""

    @property
    def store_url(self) -> str:
        return self.store or str(self.data_dir / "files")

    @property
    def database_directory(self) -> Path:
        """Of the embedded PostgreSQL."""
        return self.data_dir / "postgres"

    @property
    def key_file(self) -> Path:
        return self.data_dir / "secrets.key"

    @property
    def audit_journals(self) -> Path:
        """Where audits wait for the database."""
        return self.data_dir / "audits"

    @property
    def mail_server(self) -> MailServer | None:
        if self.email_server is None:
            return None
        return MailServer(
            self.email_server,
            self.email_port,
            self.email_tls,
            self.email_account,
            self.email_password,
            self.email_sender or self.email_account,
        )

    @property
    def message_bus(self) -> MessageBus | None:
        if self.amqp_url is None:
            return None
        return MessageBus(
            self.amqp_url,
            self.amqp_exchange,
            self.amqp_routing_key,
            self.amqp_queue,
            self.amqp_declare,
            self.amqp_ca_file,
        )

    @property
    def sso_address(self) -> str | None:
        """What the provider's `/.well-known/openid-configuration` is below; None without single sign-on."""
        if self.sso_url is not None:
            return f"{self.sso_url.rstrip('/')}/auth/realms/{self.sso_realm}"
        return self.sso_issuer

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """An empty variable is an unset one. Raises SettingsError."""
        source = os.environ if environment is None else environment
        given = {name: value for name, value in source.items() if value}
        level = given.get("DCI_LOG_LEVEL", cls.log_level).lower()
        if level not in _LEVELS:
            raise SettingsError(f"DCI_LOG_LEVEL is one of {', '.join(_LEVELS)}; not {level!r}")
        if "SSO_PUBLIC_KEY" in given and "SSO_URL" not in given and "SSO_ISSUER" not in given:
            raise SettingsError("SSO_PUBLIC_KEY needs SSO_ISSUER, or SSO_URL: the provider whose tokens are believed")
        if ("RHDL_SERVICE_ACCOUNT_ACCESS_KEY" in given) != ("RHDL_SERVICE_ACCOUNT_SECRET_KEY" in given):
            raise SettingsError("RHDL_SERVICE_ACCOUNT_ACCESS_KEY and RHDL_SERVICE_ACCOUNT_SECRET_KEY need each other")
        if "DCI_EMAIL_SERVER" in given and not is_address(
            given.get("DCI_EMAIL_FROM", given.get("DCI_EMAIL_ACCOUNT", cls.email_account))
        ):
            raise SettingsError("DCI_EMAIL_FROM, or DCI_EMAIL_ACCOUNT, is an address like no-reply@example.org")
        return cls(
            host=given.get("DCI_HOST", cls.host),
            port=_number(given, "DCI_PORT", 0, 65535, default=cls.port),
            data_dir=_directory(given.get("DCI_DATA_DIR", str(cls.data_dir))),
            workers=_number(given, "DCI_WORKERS", 1, 256, default=cls.workers),
            database_url=_database_url(given.get("DATABASE_URL")),
            store=given.get("DCI_STORE_URL"),
            admin_password=given.get("DCI_ADMIN_PASSWORD"),
            secrets_key=given.get("DCI_SECRETS_KEY"),
            max_upload_bytes=_number(given, "DCI_MAX_UPLOAD_BYTES", 0, 2**62, default=0) or None,
            pack_after_seconds=_number(given, "DCI_PACK_AFTER_SECONDS", 0, 10**9, default=cls.pack_after_seconds),
            close_jobs_after_seconds=_silence(given, "DCI_CLOSE_JOBS_AFTER_SECONDS", _SHORTEST_SILENCE),
            remoteci_silent_after_hours=_number(
                given, "DCI_REMOTECI_SILENT_AFTER_HOURS", 0, 10_000, default=cls.remoteci_silent_after_hours
            ),
            trusted_proxies=_networks(given, "DCI_TRUSTED_PROXIES"),
            sso_url=_address(given, "SSO_URL"),
            sso_realm=given.get("SSO_REALM", cls.sso_realm),
            sso_issuer=_address(given, "SSO_ISSUER"),
            sso_audiences=_words(given, "SSO_AUDIENCES", cls.sso_audiences),
            sso_read_only_group=given.get("SSO_READ_ONLY_GROUP", cls.sso_read_only_group),
            sso_public_key=given.get("SSO_PUBLIC_KEY"),
            legacy_secrets_in_reads=_switch(given, "DCI_LEGACY_SECRETS_IN_READS"),
            rhdl_url=_address(given, "RHDL_API_URL") or cls.rhdl_url,
            rhdl_access_key=given.get("RHDL_SERVICE_ACCOUNT_ACCESS_KEY"),
            rhdl_secret_key=given.get("RHDL_SERVICE_ACCOUNT_SECRET_KEY"),
            audits_kept_days=_number(given, "DCI_AUDITS_KEPT_DAYS", 1, 36_500, default=cls.audits_kept_days),
            events_kept_days=_number(given, "DCI_EVENTS_KEPT_DAYS", 1, 36_500, default=cls.events_kept_days),
            ui_url=(_address(given, "DCI_UI_URL") or cls.ui_url).rstrip("/"),
            email_server=given.get("DCI_EMAIL_SERVER"),
            email_port=_number(given, "DCI_EMAIL_SERVER_PORT", 1, 65535, default=cls.email_port),
            email_tls=_tls(given, "DCI_EMAIL_TLS"),
            email_account=given.get("DCI_EMAIL_ACCOUNT", cls.email_account),
            email_password=given.get("DCI_EMAIL_PASSWORD"),
            email_sender=given.get("DCI_EMAIL_FROM"),
            deliveries=_switch(given, "DCI_DELIVERIES", default="on"),
            webhook_timeout=_number(given, "DCI_WEBHOOK_TIMEOUT", 1, 120, default=cls.webhook_timeout),
            webhook_allowed_targets=_targets(given, "DCI_WEBHOOK_ALLOWED_TARGETS"),
            amqp_url=_bus(given),
            amqp_exchange=_bus_name(given, "AMQP_EXCHANGE", cls.amqp_exchange),
            amqp_routing_key=_bus_name(given, "AMQP_ROUTING_KEY", cls.amqp_routing_key),
            amqp_queue=_bus_name(given, "AMQP_QUEUE", cls.amqp_queue),
            amqp_declare=_switch(given, "AMQP_DECLARE", default="on"),
            amqp_ca_file=given.get("AMQP_CA_FILE"),
            log_level=level,
        )


def _database_url(text: str | None) -> str | None:
    """Its form only; what it says may be secret."""
    if text is not None and not text.startswith(("postgresql://", "postgres://")):
        raise SettingsError(
            "DATABASE_URL can't be read; write postgresql://user:password@host:5432/database, "
            "with %-codes for special characters in the password"
        )
    return text


def _directory(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise SettingsError(f"DCI_DATA_DIR names a home directory that does not exist: {text}") from None


def _address(given: Mapping[str, str], name: str) -> str | None:
    text = given.get(name)
    if text is not None and not re.fullmatch(r"https?://[^\s?#@]+", text):
        raise SettingsError(f"{name} is an address like https://sso.example.org, without user and password")
    return text


def _bus(given: Mapping[str, str]) -> str | None:
    """Its form only; what it says may be secret."""
    text = given.get("AMQP_BROKER_URL")
    if text is None:
        return None
    if not is_bus_url(text):
        raise SettingsError(
            "AMQP_BROKER_URL can't be read; write amqp://user:password@host:5672/vhost, or amqps:// for TLS, "
            "with %-codes for special characters"
        )
    if not can_speak_to_a_bus():
        raise SettingsError("AMQP_BROKER_URL needs what speaks to it; install dci-server[amqp]")
    ca_file = given.get("AMQP_CA_FILE")
    if ca_file is not None and not Path(ca_file).is_file():
        raise SettingsError(f"AMQP_CA_FILE names no file: {ca_file}")
    return text


def _bus_name(given: Mapping[str, str], name: str, default: str) -> str:
    text = given.get(name, default)
    if len(text.encode()) > _LONGEST_BUS_NAME:
        raise SettingsError(f"{name} has more than {_LONGEST_BUS_NAME} bytes")
    return text


def _words(given: Mapping[str, str], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    words = (word.strip() for word in given.get(name, "").split(","))
    return tuple(word for word in words if word) or default


def _switch(given: Mapping[str, str], name: str, *, default: str = "off") -> bool:
    text = given.get(name, default)
    if text.lower() not in _SWITCH:
        raise SettingsError(f"{name} is one of {', '.join(_SWITCH)}; not {text!r}")
    return _SWITCH[text.lower()]


def _tls(given: Mapping[str, str], name: str) -> Tls:
    match given.get(name, "starttls").lower():
        case "none":
            return "none"
        case "starttls":
            return "starttls"
        case "tls":
            return "tls"
        case other:
            raise SettingsError(f"{name} is one of none, starttls, tls; not {other!r}")


def _networks(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    words = _words(given, name, ())
    for word in words:
        try:
            ip_network(word)
        except ValueError:
            raise SettingsError(f"{name}: {word!r} is neither an address nor a network like 10.0.0.0/8") from None
    return words


def _targets(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    words = _words(given, name, ())
    for word in words:
        try:
            ip_network(word)
        except ValueError:
            if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", word):
                raise SettingsError(
                    f"{name}: {word!r} is neither a network like 10.1.0.0/16 nor a name like ci.example.org"
                ) from None
    return words


def _number(given: Mapping[str, str], name: str, least: int, most: int, *, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER and least <= int(text) <= most):
        raise SettingsError(f"{name} is a number from {least} to {most}; not {text!r}")
    return int(text)


def _silence(given: Mapping[str, str], name: str, least: int) -> int:
    """0, or long enough."""
    if given.get(name, "0") == "0":
        return 0
    return _number(given, name, least, 10**9, default=0)
