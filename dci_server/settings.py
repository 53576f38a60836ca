# SPDX-License-Identifier: Apache-2.0
"""Every environment variable, typed, with its default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LEVELS = ("debug", "info", "warning", "error")
_LONGEST_NUMBER = 20


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

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """An empty variable is an unset one. Raises SettingsError."""
        source = os.environ if environment is None else environment
        given = {name: value for name, value in source.items() if value}
        level = given.get("DCI_LOG_LEVEL", cls.log_level).lower()
        if level not in _LEVELS:
            raise SettingsError(f"DCI_LOG_LEVEL is one of {', '.join(_LEVELS)}; not {level!r}")
        return cls(
            host=given.get("DCI_HOST", cls.host),
            port=_number(given, "DCI_PORT", 0, 65535, default=cls.port),
            data_dir=_directory(given.get("DCI_DATA_DIR", str(cls.data_dir))),
            workers=_number(given, "DCI_WORKERS", 1, 256, default=cls.workers),
            database_url=given.get("DATABASE_URL"),
            store=given.get("DCI_STORE_URL"),
            admin_password=given.get("DCI_ADMIN_PASSWORD"),
            secrets_key=given.get("DCI_SECRETS_KEY"),
            max_upload_bytes=_number(given, "DCI_MAX_UPLOAD_BYTES", 0, 2**62, default=0) or None,
            log_level=level,
        )


def _directory(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise SettingsError(f"DCI_DATA_DIR names a home directory that does not exist: {text}") from None


def _number(given: Mapping[str, str], name: str, least: int, most: int, *, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER and least <= int(text) <= most):
        raise SettingsError(f"{name} is a number from {least} to {most}; not {text!r}")
    return int(text)
