# SPDX-License-Identifier: Apache-2.0
"""What all requests share, once: request → Call, value → response, error → response."""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, LiteralString, TypeVar
from uuid import UUID, uuid4

import asyncpg
import msgspec
import structlog
from starlette.types import Message, Receive, Scope, Send

from dci_server.foundation.auditing import AuditLog, is_audited
from dci_server.foundation.auth.authenticator import Authentication, Authenticator, Request
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import Rule
from dci_server.foundation.auth.secret_box import SecretBox
from dci_server.foundation.content import ContentReader
from dci_server.foundation.database.connection import Connection, Json, is_database_away
from dci_server.foundation.errors import (
    ApiError,
    MethodNotAllowed,
    NotAuthenticated,
    PreconditionFailed,
    TooLarge,
    Unavailable,
    UnknownRoute,
)
from dci_server.foundation.events.feed import EventFeed
from dci_server.foundation.events.line import Line
from dci_server.foundation.events.numbering import EventNumbering
from dci_server.foundation.listing.columns import Columns
from dci_server.foundation.listing.parameters import Listing, read_listing
from dci_server.foundation.metrics import Metrics
from dci_server.foundation.outgoing.targets import Targets
from dci_server.foundation.parameters import Parameter
from dci_server.foundation.rhdl import Rhdl
from dci_server.foundation.routing import Paths
from dci_server.foundation.storage import Store
from dci_server.foundation.storage.store import MIB
from dci_server.foundation.turns import Turns, turns_of_reports
from dci_server.foundation.validation import read_body

T = TypeVar("T", bound=msgspec.Struct)
Headers = Sequence[tuple[bytes, bytes]]

MAX_JSON_BYTES = 2 * 1024 * 1024
"""A JSON body is read whole, so it is small: with its parsed form it stays below what one request may cost."""

_WORTH_A_THREAD = 256 * 1024

log = structlog.get_logger("dci_server.http")


class ClientDisconnected(Exception):
    """The client went away before its request was complete: nobody is left to answer."""


@dataclass(slots=True)
class Services:
    """What a request can reach."""

    db: Connection
    store: Store
    targets: Targets
    authenticator: Authenticator
    secrets: SecretBox
    metrics: Metrics
    events: EventNumbering
    feed: EventFeed
    audits: AuditLog
    readers: Mapping[str, ContentReader]
    max_upload_bytes: int | None = None
    legacy_secrets_in_reads: bool = False
    rhdl: Rhdl | None = None
    report_turns: Turns = field(default_factory=turns_of_reports)


@dataclass(slots=True)
class Call:
    """One request, seen by a handler: who calls, and what was said."""

    services: Services
    authentication: Authentication
    method: str
    path_parameters: Mapping[str, Any]
    headers: Mapping[str, str]
    raw_body: bytes = b""
    receive: Receive | None = None
    line: Line | None = None
    sha256: str = ""

    @property
    def db(self) -> Connection:
        return self.services.db

    @property
    def caller(self) -> Identity:
        return self.authentication.caller

    @property
    def parameters(self) -> Sequence[tuple[str, str]]:
        """Of the query string, as they were signed."""
        return self.authentication.parameters

    def id(self, name: str) -> UUID:
        return self.path_parameters[name]

    def body(self, shape: type[T], *, closed: bool = True) -> T:
        """The JSON body. `closed` refuses unknown properties, open drops them (conventions §9)."""
        if not _is_json(self.headers.get("content-type", "")):
            return read_body(b"null", shape, closed=closed)
        return read_body(self.raw_body, shape, closed=closed)

    def listing(self, columns: Columns, default_sort: str = "-created_at") -> Listing:
        return read_listing(self.parameters, columns, default_sort)

    def etag(self) -> str:
        """The value of `If-match`, compared as an opaque string (conventions §5)."""
        value = self.headers.get("if-match", "")
        if not value:
            raise PreconditionFailed("'If-match' header must be provided")
        return value

    async def stream(self, piece_bytes: int = MIB) -> AsyncIterator[bytes]:
        """The body as it arrives, in pieces of about this size. Ends only when the signature matched: keep nothing visible before.

        A piece is hashed in a thread while its taker stores it. `sha256` is known at the end.
        """
        assert self.receive is not None
        digest = hashlib.sha256()
        async for piece in _pieces(_chunks(self.receive), piece_bytes):
            if len(piece) < _WORTH_A_THREAD:
                digest.update(piece)
                yield piece
            else:
                hashing = asyncio.ensure_future(asyncio.to_thread(digest.update, piece))
                yield piece
                await hashing
        self.sha256 = digest.hexdigest()
        self.authentication.finish(self.sha256)


@dataclass(frozen=True, slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()
    stream: AsyncIterator[bytes] | None = None
    media_type: bytes = b"application/json"


Handler = Callable[[Call], Awaitable[Response]]
PublicHandler = Callable[[Services], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """A line of a route table; everything the documentation says of a call is declared here."""

    method: str
    path: str
    handler: Handler | PublicHandler
    who: Rule
    body: type[msgspec.Struct] | None = None
    closed: bool = True
    answers: Mapping[int, Any] = field(default_factory=dict[int, Any])
    listing: Columns | None = None
    query: Sequence[Parameter] = ()
    needs_etag: bool = False
    streams: bool = False
    public: bool = False
    prefix: LiteralString = "/api/v1"
    documented: bool = True
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    produces: LiteralString = "application/octet-stream"
    """The media type of an answer that is not JSON."""
    refusals: Sequence[int] = ()
    """Statuses that calls of other kinds are not refused with."""
    tells: "Callable[[Services, str], Headers] | None" = None
    """Headers of every answer at this address to that method, refusals included; one route of an address says them."""
    changes_identities: bool = False
    """Whether somebody may do more, or less, after this call."""

    @property
    def full_path(self) -> str:
        return self.prefix + self.path


def get(
    path: LiteralString,
    handler: Handler,
    answer: Any,
    *,
    who: Rule,
    listing: Columns | None = None,
    query: Sequence[Parameter] = (),
) -> Route:
    return Route("GET", path, handler, who, answers={200: answer}, listing=listing, query=query)


def post(
    path: LiteralString,
    handler: Handler,
    body: type[msgspec.Struct] | None,
    answer: Any,
    *,
    who: Rule,
    status: int = 201,
) -> Route:
    return Route("POST", path, handler, who, body=body, answers={status: answer})


def put(
    path: LiteralString,
    handler: Handler,
    body: type[msgspec.Struct] | None,
    answer: Any,
    *,
    who: Rule,
    query: Sequence[Parameter] = (),
) -> Route:
    return Route(
        "PUT", path, handler, who, body=body, closed=False, answers={200: answer}, query=query, needs_etag=True
    )


def delete(
    path: LiteralString,
    handler: Handler,
    *,
    who: Rule,
    needs_etag: bool = True,
    body: type[msgspec.Struct] | None = None,
) -> Route:
    return Route("DELETE", path, handler, who, body=body, answers={204: None}, needs_etag=needs_etag)


def changing_identities(routes: Sequence[Route]) -> list[Route]:
    """Those of a table that write change who is who: it counts from the next request on."""
    return [replace(route, changes_identities=route.method != "GET") for route in routes]


_ETAG = re.compile(rb'"etag" ?: ?"([^"]*)"')


def answer(name: str, value: Json[Any], *, status: int = 200, etag: bool = False) -> Response:
    """`{"<name>": value}`; with `etag`, the object's etag is a header too (conventions §5)."""
    body = b'{"' + name.encode() + b'":' + value.raw + b"}"
    headers: list[tuple[bytes, bytes]] = []
    if etag:
        found = msgspec.json.decode(value.raw, type=_WithEtag).etag
        headers.append((b"etag", found.encode()))
    return Response(status, body, headers)


class _WithEtag(msgspec.Struct):
    etag: str


def page(value: Json[Any]) -> Response:
    return Response(200, value.raw)


def encode(value: object, *, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(value))


NO_CONTENT = Response(204)


# --- the application ---


_CORS = (
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"Authorization, Content-Type, If-Match, ETag, X-Requested-With, X-Dci-Team-Id",
    ),
)
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, If-Match, ETag, X-Requested-With, X-Dci-Team-Id",
    ),
    (b"access-control-max-age", b"86400"),
)
_SINGLE_HEADERS = {b"host", b"authorization", b"content-length"}


class Application:
    """The ASGI application: finds the route, authenticates, runs the handler, renders what it says."""

    def __init__(self, routes: Sequence[Route], lifespan: Callable[["Application"], Any]) -> None:
        self.routes = routes
        self.services: Services | None = None
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.full_path, {})[route.method] = route
        self._paths = Paths({path: _Endpoint(self, path, methods) for path, methods in by_path.items()})
        self.lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path = scope["path"]
        if len(path) > 1 and path.endswith("/") and not path.endswith("//"):
            # quirk: every route answers with and without one trailing slash; the signed path keeps it.
            path = path[:-1]
        found = self._paths.find(path)
        if found is None:
            refusal = UnknownRoute("nothing is served at this address; see /docs for what is")
            self.audit(scope, NO_SUCH_CALL, int(refusal.status))
            await _send(send, scope, _render(refusal, uuid4().hex))
            return
        endpoint, parameters = found
        await endpoint.serve(parameters, scope, receive, send)

    def audit(
        self, scope: Scope, action: str, status: int, subject_id: UUID | None = None, claimed_id: UUID | None = None
    ) -> None:
        """Notes what is to be noted, before the answer is sent."""
        services = self.services
        if services is None or not is_audited(scope["method"], status, subject_id):
            return
        authentication: Authentication | None = scope.get(_AUTHENTICATION)
        caller = None if authentication is None else authentication.caller
        if authentication is not None and caller is not None and not authentication.is_certain:
            caller, claimed_id = None, caller.id
        forwarded_for = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        services.audits.note(
            caller,
            action,
            scope["method"],
            scope["raw_path"],
            status,
            services.authenticator.address_of(_peer(scope), forwarded_for.decode("latin-1")),
            subject_id=subject_id,
            claimed_id=claimed_id,
        )

    def audit_unread(self, peer: str) -> None:
        """What came from there was no request that could be read."""
        if self.services is not None:
            address = self.services.authenticator.address_of(peer, None)
            self.services.audits.note(None, NO_SUCH_CALL, "", b"", HTTPStatus.BAD_REQUEST, address)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.lifespan(self):
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except ApiError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.shutdown.complete"})


_AUTHENTICATION = "dci.authentication"
NO_SUCH_CALL = "no_such_call"
"""The action of a call that there is not, in audits."""
_CLIENT_WENT_AWAY = 499
"""As proxies write it down; nobody is sent it."""


class _Endpoint:
    """All methods of one path."""

    def __init__(self, application: Application, path: str, methods: Mapping[str, Route]) -> None:
        self.application = application
        self.path = path
        self.methods = dict(methods)
        if "GET" in methods:
            self.methods.setdefault("HEAD", methods["GET"])
        self.allow = ", ".join(sorted({*self.methods, "OPTIONS"})).encode()
        self.tells = next((route.tells for route in methods.values() if route.tells is not None), None)

    async def serve(self, parameters: Mapping[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        services = self.application.services
        assert services is not None
        started = time.perf_counter()
        sender = _Sender(send, scope, self.tells(services, scope["method"]) if self.tells is not None else ())
        try:
            response = await self._respond(services, parameters, scope, receive)
            self._audit(scope, int(response.status), _created(response) or _first_id(parameters))
            await sender.send(response)
        except ClientDisconnected:
            self._audit(scope, _CLIENT_WENT_AWAY, _first_id(parameters))
            return
        except Exception as error:  # the one place where what nobody foresaw becomes an answer
            refusal = _render(error, uuid4().hex)
            if not sender.status:
                claimed_id = error.claimed_id if isinstance(error, NotAuthenticated) else None
                self._audit(scope, int(refusal.status), _first_id(parameters), claimed_id)
            await sender.send(refusal)
        services.metrics.observe(scope["method"], self.path, sender.status, time.perf_counter() - started)

    def _audit(self, scope: Scope, status: int, subject_id: UUID | None, claimed_id: UUID | None = None) -> None:
        route = self.methods.get(scope["method"])
        action = NO_SUCH_CALL if route is None else getattr(route.handler, "__name__", self.path)
        self.application.audit(scope, action, status, subject_id, claimed_id)

    async def _respond(
        self, services: Services, parameters: Mapping[str, Any], scope: Scope, receive: Receive
    ) -> Response:
        method: str = scope["method"]
        if method == "OPTIONS":
            return Response(200, headers=((b"allow", self.allow), *_PREFLIGHT), media_type=b"text/html; charset=utf-8")
        route = self.methods.get(method)
        if route is None:
            refusal = MethodNotAllowed(f"{method} is not possible here; possible are {self.allow.decode()}")
            return replace(_render(refusal, ""), headers=((b"allow", self.allow),))
        if route.public:
            return await route.handler(services)  # pyright: ignore[reportArgumentType] # public routes take the services
        headers = _read_headers(scope["headers"])
        authentication = await services.authenticator.begin(
            Request(method, scope["raw_path"], scope["query_string"], headers, peer=_peer(scope))
        )
        scope[_AUTHENTICATION] = authentication
        line = Line(scope, receive)
        call = Call(services, authentication, method, parameters, headers, receive=receive, line=line)
        if not route.streams:
            call.raw_body = await _read_whole(receive, headers)
            authentication.finish(hashlib.sha256(call.raw_body).hexdigest())
        try:
            return await route.handler(call)  # pyright: ignore[reportArgumentType]
        finally:
            if route.changes_identities:
                services.authenticator.tell_of_change()
            if route.method != "GET":
                services.events.wake()


class _WithId(msgspec.Struct):
    id: UUID


_CREATED = msgspec.json.Decoder(dict[str, _WithId])


def _created(response: Response) -> UUID | None:
    """What the answer says was made: in its body, or by where it is."""
    if response.status != HTTPStatus.CREATED:
        return None
    place = dict(response.headers).get(b"location", b"").rpartition(b"/")[2]
    try:
        return UUID(place.decode()) if place else next(iter(_CREATED.decode(response.body).values())).id
    except (msgspec.DecodeError, StopIteration, ValueError):
        return None  # A relation between two things, which the path names.


def _first_id(parameters: Mapping[str, Any]) -> UUID | None:
    return next((value for value in parameters.values() if isinstance(value, UUID)), None)


def _peer(scope: Scope) -> str:
    return (scope.get("client") or [""])[0]


def _read_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key = name.decode("latin-1")
        if key in headers:
            if name in _SINGLE_HEADERS:
                raise ApiError(f"the header {key} was sent twice; send it once")
            if name == b"x-forwarded-for":
                # Each proxy may add a line of its own: all of them are one list.
                headers[key] += "," + value.decode("latin-1")
            continue
        headers[key] = value.decode("latin-1").strip(" \t")
    return headers


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def _pieces(chunks: AsyncIterator[bytes], piece_bytes: int) -> AsyncIterator[bytes]:
    """Bigger ones: each costs its taker a thread or two."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= piece_bytes:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


async def _read_whole(receive: Receive, headers: Mapping[str, str]) -> bytes:
    announced = headers.get("content-length")
    if announced == "0" or (announced is None and "transfer-encoding" not in headers):
        return b""
    if announced is not None and int(announced) > MAX_JSON_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    async for chunk in _chunks(receive):
        size += len(chunk)
        if size > MAX_JSON_BYTES:
            raise _too_large()
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large() -> TooLarge:
    return TooLarge(f"the body is larger than {MAX_JSON_BYTES} bytes; send big content as a file (POST /files)")


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


class _ErrorBody(msgspec.Struct):
    """What every refusal looks like (conventions §7)."""

    message: str
    payload: dict[str, object]
    status_code: int


ErrorBody = _ErrorBody


def _render(error: Exception, request_id: str) -> Response:
    known = _translate(error, request_id)
    if known.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        known.payload.setdefault("request_id", request_id)
    body = msgspec.json.encode(_ErrorBody(known.message, known.payload, known.status))
    return Response(known.status, body, known.headers)


class _Unforeseen(ApiError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR


def _translate(error: Exception, request_id: str) -> ApiError:
    """Database text never reaches a client; the log and the request id find the rest."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, asyncpg.QueryCanceledError):
        log.warning("query timed out", request_id=request_id)
        return Unavailable("the database took too long; narrow the filter or try again")
    if isinstance(error, asyncpg.DataError | asyncpg.CheckViolationError | asyncpg.UntranslatableCharacterError):
        log.warning("database refused a value", request_id=request_id, kind=type(error).__name__)
        return ApiError("a value is not acceptable to the database", {"request_id": request_id})
    if isinstance(error, asyncpg.ProgramLimitExceededError):
        log.warning("database refused a long value", request_id=request_id, kind=type(error).__name__)
        return ApiError("a value is too long to be kept: shorten the tags and names", {"request_id": request_id})
    if is_database_away(error):
        log.error("database or network failed", request_id=request_id, kind=type(error).__name__)
        return Unavailable("the database does not answer; try again in a moment")
    log.exception("unforeseen error", request_id=request_id, exc_info=error)
    return _Unforeseen("an error on our side; tell an administrator the request id", {"request_id": request_id})


class _Sender:
    """Sends one answer, and never a second one over a first that has begun."""

    def __init__(self, send: Send, scope: Scope, headers: Headers) -> None:
        self._send = send
        self._scope = scope
        self._headers = headers
        self.status = 0

    async def send(self, response: Response) -> None:
        if self.status:
            # The head is gone: cutting the connection is the only way left to say that the rest is missing.
            raise RuntimeError("an answer broke off")
        self.status = int(response.status)
        if self._headers:
            response = replace(response, headers=(*response.headers, *self._headers))
        await _send(self._send, self._scope, response)


async def _send(send: Send, scope: Scope, response: Response) -> None:
    headers = [(b"content-type", response.media_type), *_CORS, *response.headers]
    if response.stream is None and response.status != HTTPStatus.NOT_MODIFIED:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
    if scope["method"] == "HEAD" or response.stream is None:
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})
        return
    async with _closing(response.stream) as chunks:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            # A client that takes all at once would let nobody else be answered in between.
            await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def _closing(stream: AsyncIterator[bytes]) -> AsyncGenerator[AsyncIterator[bytes]]:
    """What the stream holds is given back at once, also when it was not read to its end."""
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


def header_text(value: str) -> str:
    """A header as its sender meant it: UTF-8 when it is valid UTF-8, Latin-1 otherwise (files.md §3.1)."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
