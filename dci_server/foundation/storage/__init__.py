# SPDX-License-Identifier: Apache-2.0
"""Where the bytes of files live: a directory or a bucket, chosen by URL, behind one protocol (files §8)."""

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dci_server.foundation.storage.filesystem import FilesystemStore
from dci_server.foundation.storage.store import (
    Entry,
    InvalidKey,
    Notes,
    ObjectMissing,
    Stat,
    Store,
    StoreUnavailable,
    StoreUrlError,
    Upload,
)

__all__ = [
    "Entry",
    "InvalidKey",
    "Notes",
    "ObjectMissing",
    "Stat",
    "Store",
    "StoreUnavailable",
    "StoreUrlError",
    "Upload",
    "open_store",
]

OPTIONS = {"s3": {"endpoint", "region", "style"}, "gs": set[str](), "az": {"endpoint"}}
STYLES = ("path", "virtual")
_ENDPOINT = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
EXAMPLES = (
    "a directory, file:///directory, s3://bucket/prefix?endpoint=…&region=…&style=…, gs://bucket or az://container"
)


def open_store(url: str) -> Store:
    """Talks to nothing yet: `check` does. Credentials come from the environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`)."""
    parts = urlsplit(url)
    if not url:
        raise StoreUrlError(f"the file store has no address: give {EXAMPLES}")
    if "://" not in url:
        return FilesystemStore(Path(url).absolute())
    if parts.scheme == "file":
        return FilesystemStore(_directory(parts))
    if parts.scheme in OPTIONS:
        return _open_bucket(parts)
    raise StoreUrlError(f"{parts.scheme}:// is no kind of file store: give {EXAMPLES}")


def _directory(parts: SplitResult) -> Path:
    if parts.netloc or not parts.path.startswith("/"):
        raise StoreUrlError("a directory is written with three slashes: file:///directory")
    return Path(unquote(parts.path))


def _open_bucket(parts: SplitResult) -> Store:
    # Imported when it is needed: a server that keeps its files in a directory is lighter without it.
    from dci_server.foundation.storage import object_store

    if "@" in parts.netloc:
        raise StoreUrlError("credentials do not belong in the file store's address: put them in the environment")
    if not parts.netloc:
        raise StoreUrlError(f"the file store's address names no bucket: {parts.scheme}://bucket/prefix")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - OPTIONS[parts.scheme])
    if unknown:
        known = ", ".join(sorted(OPTIONS[parts.scheme])) or "none"
        raise StoreUrlError(f"unknown option {unknown[0]} of a {parts.scheme}:// file store (known: {known})")
    if options.get("style", "path") not in STYLES:
        raise StoreUrlError("the style of a s3:// file store is path (endpoint/bucket) or virtual (bucket.endpoint)")
    endpoint = options.get("endpoint")
    if endpoint is not None and not _ENDPOINT.fullmatch(endpoint):
        raise StoreUrlError("the endpoint of a file store is an address like https://s3.example.org")
    return object_store.open_bucket(parts.scheme, parts.netloc, unquote(parts.path.strip("/")), options)
