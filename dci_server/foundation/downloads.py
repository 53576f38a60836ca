# SPDX-License-Identifier: Apache-2.0
"""Bytes that belong to somebody: kept by no cache, and harmless in a browser."""

from collections.abc import AsyncIterator
from http import HTTPStatus

from dci_server.foundation.http import Call, Response
from dci_server.foundation.storage import ObjectMissing

SECONDS_OF_A_REDIRECT = 600
UNKNOWN_TYPE = "binary/octet-stream"

_PRIVATE = (
    (b"cache-control", b"private, no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox"),
)


def download(stream: AsyncIterator[bytes], size: int, media_type: str, *headers: tuple[bytes, bytes]) -> Response:
    all_headers = (*headers, (b"content-length", str(size).encode()), *_PRIVATE)
    return Response(200, headers=all_headers, stream=stream, media_type=media_type.encode("utf-8", "replace"))


def redirect(location: str) -> Response:
    """To where the bytes are; the address is a secret of its own for as long as it works."""
    return Response(HTTPStatus.FOUND, headers=((b"location", location.encode()), _PRIVATE[0]))


async def serve_object(call: Call, key: str) -> Response:
    """From the store itself when it can be sent there, through this server when not."""
    location = await call.services.store.presign(call.method, key, SECONDS_OF_A_REDIRECT)
    if location is not None:
        return redirect(location)
    size = await call.services.store.size(key)
    if size is None:
        raise ObjectMissing
    return download(await call.services.store.read(key, 0, size), size, UNKNOWN_TYPE)
