# SPDX-License-Identifier: Apache-2.0
"""The errors the API answers. An error knows its status; only `http.py` knows how it is rendered."""

import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar
from uuid import UUID

_PROPERTY = re.compile(r"\w+: ")


class ApiError(Exception):
    """Bad input, and the ancestor of every refusal; `message` tells the caller what to do."""

    status: ClassVar[int] = HTTPStatus.BAD_REQUEST

    def __init__(self, message: str, payload: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.payload = dict(payload or {})

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return ()


class Malformed(ApiError):
    """A body or a parameter breaks its schema; `errors` holds every violation (conventions §8).

    Their order is that of the texts without the property's name, which some of them begin with.
    """

    def __init__(self, errors: list[str]) -> None:
        ordered = sorted(errors, key=_without_property)
        super().__init__("Request malformed", {"error": ordered[0], "errors": ordered})


def _without_property(violation: str) -> str:
    found = _PROPERTY.match(violation)
    return violation if found is None else violation[found.end() :]


class NotAuthenticated(ApiError):
    """Nobody we know, or no proof of it."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(
        self, message: str, payload: Mapping[str, object] | None = None, *, claimed_id: UUID | None = None
    ) -> None:
        """`claimed_id` is of whom the caller said to be, when there is such a one; only audits tell it."""
        super().__init__(message, payload)
        self.claimed_id = claimed_id


class NotAuthorized(ApiError):
    """The caller is known but may not do this. Existing clients expect 401, not 403."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, message: str = "Operation not authorized.") -> None:
        super().__init__(message)


class NotFound(ApiError):
    """The resource is absent, archived, or invisible to the caller."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, resource: str) -> None:
        super().__init__(f"{resource} not found")


class UnknownRoute(ApiError):
    """Nothing lives at this address."""

    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(ApiError):
    """The address exists, the verb does not."""

    status = HTTPStatus.METHOD_NOT_ALLOWED


class Gone(ApiError):
    """It was there, and will not come back: what is known of it is all that is left."""

    status = HTTPStatus.GONE


class Conflict(ApiError):
    """Another row is in the way."""

    status = HTTPStatus.CONFLICT


class PreconditionFailed(ApiError):
    """`If-match` is missing, or something the call needs is not in the state it needs."""

    status = HTTPStatus.PRECONDITION_FAILED


class TooLarge(ApiError):
    """The body is longer than what is read here."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnknownEncoding(ApiError):
    """The body is compressed in a way that is not understood; the header tells which ones are."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE

    def __init__(self) -> None:
        super().__init__(
            "the Content-Encoding of the body is not understood: send gzip, zstd, or the bytes as they are"
        )

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return ((b"accept-encoding", b"gzip, zstd"),)


class UnsatisfiableRange(ApiError):
    """No byte of what there is lies in the range that was asked for."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies outside of the file, which has {size} bytes")
        self._size = size

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return ((b"content-range", f"bytes */{self._size}".encode()),)


class UnsupportedMediaType(ApiError):
    """The body is said to be of a kind that is not taken here."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Locked(ApiError):
    """Somebody else is at work on it; trying again in a while helps."""

    status = HTTPStatus.LOCKED


class TooManyAttempts(ApiError):
    """Something is tried too often; the header tells clients when to try again, and the published one does."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self._seconds = math.ceil(retry_after)

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return ((b"retry-after", str(self._seconds).encode()),)


class Unavailable(ApiError):
    """A part we depend on does not answer; the client may try again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
