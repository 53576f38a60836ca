# SPDX-License-Identifier: Apache-2.0
"""Every request is authenticated afresh; what the database said of a caller is remembered until it changes.

A change of a user, team, membership, remoteci or feeder sends a notification (a trigger, so psql counts too), and the
cache is emptied on every process. While notifications can't be received, nothing is remembered. The workers of one
server don't wait for a notification of each other: the one that made the change tells them before it answers.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString
from uuid import UUID

import asyncpg
import msgspec
import structlog

from dci_server.foundation.auth.attempts import Attempts, StoredPassword
from dci_server.foundation.auth.basic import INVALID_CREDENTIALS, read_login_and_password
from dci_server.foundation.auth.bearer import CANNOT_CREATE, NOT_CONFIGURED, SingleSignOn, SsoLogin
from dci_server.foundation.auth.identity import Identity, Kind, SpecialTeams, TeamOfCaller
from dci_server.foundation.auth.last_use import LastUse
from dci_server.foundation.auth.neighbours import Neighbours, Nobody
from dci_server.foundation.auth.passwords import PasswordVerdicts
from dci_server.foundation.auth.proxies import TrustedProxies
from dci_server.foundation.auth.scheme import choose_scheme
from dci_server.foundation.auth.secret_box import SecretBox
from dci_server.foundation.auth.signatures import (
    UNKNOWN_CLIENT,
    Claim,
    Query,
    SigningKeys,
    read_claim,
    read_query,
    require_in_window,
    require_signature,
)
from dci_server.foundation.auth.sso_users import settle
from dci_server.foundation.database.connection import DATABASE_ERRORS, Connection, Record, fetch_row, fetch_rows
from dci_server.foundation.errors import ApiError, NotAuthenticated, PreconditionFailed, Unavailable

log = structlog.get_logger("dci_server.auth")

_REMEMBERED = 10_000
_SECONDS_BETWEEN_NOTES = 60
_SECONDS_FOR_NOTES = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What a proof of identity can be about; the body comes later."""

    method: str
    raw_path: bytes
    raw_query: bytes
    headers: Mapping[str, str]
    peer: str
    """The address at the other end of the connection; that of a proxy, where there is one."""


class Authentication:
    """A caller, certain at once for passwords, and only after `finish` for signatures."""

    __slots__ = (
        "_claim",
        "_last_use",
        "_secrets",
        "caller",
        "inactive_team",
        "parameters",
        "password_hash",
        "proven_by",
        "request",
    )

    def __init__(self, caller: Identity, request: Request, claim: Claim | None = None) -> None:
        self.caller = caller
        self.parameters: Query = [] if claim else read_query(request.raw_query)
        self.inactive_team: str | None = None
        self.request = request
        self.password_hash: str | None = None
        """The hash that the password was compared with."""
        self._claim = claim
        self._secrets: Sequence[_Secret] = ()
        self._last_use: LastUse | None = None
        self.proven_by: UUID | None = None
        """The secret that signed, once `finish` has found it."""

    @classmethod
    def of_claim(cls, client: "_Client", request: Request, claim: Claim, last_use: LastUse) -> "Authentication":
        made = cls(client.identity, request, claim)
        made._secrets = client.secrets
        made.inactive_team = client.inactive_team
        made._last_use = last_use
        return made

    @property
    def is_certain(self) -> bool:
        """Whether the body must still be hashed before the caller is believed."""
        return self._claim is None

    def finish(self, payload_sha256: str) -> None:
        """Raises NotAuthenticated when the signature is over something else."""
        if self._claim is None:
            return
        self.parameters = self._require_signature(self._claim, payload_sha256)
        self._claim = None
        if self.inactive_team is not None:
            raise PreconditionFailed(f"team {self.inactive_team} not active")
        if self._last_use is not None and self.proven_by is not None:
            self._last_use.note(self.caller.kind, self.caller.id)
            self._last_use.note("secret", self.proven_by)

    def _require_signature(self, claim: Claim, payload_sha256: str) -> Query:
        """By any secret that is valid now: while one is being replaced there are two."""
        refusal = NotAuthenticated(UNKNOWN_CLIENT)
        now = datetime.now(UTC).replace(tzinfo=None)
        for secret in self._secrets:
            if secret.expires_at is not None and secret.expires_at <= now:
                continue
            try:
                parameters = require_signature(
                    claim,
                    secret.keys,
                    method=self.request.method,
                    raw_path=self.request.raw_path,
                    raw_query=self.request.raw_query,
                    payload_sha256=payload_sha256,
                )
            except NotAuthenticated as error:
                refusal = error
                continue
            self.proven_by = secret.id
            return parameters
        raise refusal


@dataclass(frozen=True, slots=True)
class _Secret:
    """One of a client's secrets, with the keys derived from it; valid until `expires_at`, UTC."""

    id: UUID
    keys: SigningKeys
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Client:
    """A remoteci or feeder as the database knows it; the newest secret first."""

    identity: Identity
    secrets: Sequence[_Secret]
    inactive_team: str | None

    def require_valid(self, secret_id: UUID | None) -> None:
        """The secret that signed still counts, and so does the client."""
        now = datetime.now(UTC).replace(tzinfo=None)
        if not any(
            each.id == secret_id and (each.expires_at is None or each.expires_at > now) for each in self.secrets
        ):
            raise NotAuthenticated(UNKNOWN_CLIENT)
        if self.inactive_team is not None:
            raise PreconditionFailed(f"team {self.inactive_team} not active")


@dataclass(frozen=True, slots=True)
class _User:
    identity: Identity
    password_hash: str | None


_FIND_REMOTECI = """
    select array(select row (id, sealed_secret, expires_at) from client_secrets where remoteci_id = remotecis.id
                 order by created_at desc, id) as secrets, teams.id as team_id, teams.name as team_name, teams.state as team_state,
           teams.has_pre_release_access
    from remotecis join teams on teams.id = remotecis.team_id
    where remotecis.id = %(id)s::uuid and remotecis.state = 'active'
"""
_FIND_FEEDER = """
    select array(select row (id, sealed_secret, expires_at) from client_secrets where feeder_id = feeders.id
                 order by created_at desc, id) as secrets, teams.id as team_id, teams.name as team_name, teams.state as team_state,
           teams.has_pre_release_access
    from feeders join teams on teams.id = feeders.team_id
    where feeders.id = %(id)s::uuid and feeders.state = 'active'
"""
_USER: LiteralString = """
    select users.id, users.name, users.fullname, users.email, users.timezone, users.etag, users.password_hash,
           coalesce((select json_agg(row_to_json(t)) from (
               select teams.id, teams.name, teams.state, teams.has_pre_release_access
               from users_teams join teams on teams.id = users_teams.team_id
               where users_teams.user_id = users.id order by teams.created_at, teams.id) as t), '[]'::json) as teams
    from users
"""
# The name wins when one user's name is another user's e-mail (auth §3).
_FIND_USER: LiteralString = (
    _USER
    + """
    where users.state = 'active' and (users.name = %(login)s::text or users.email = %(login)s::text)
    order by (users.name = %(login)s::text) desc limit 1
"""
)
_FIND_USER_BY_ID: LiteralString = _USER + "where users.state = 'active' and users.id = %(id)s::uuid"


class Authenticator:
    def __init__(
        self,
        db: Connection,
        url: str,
        secrets: SecretBox,
        sso: SingleSignOn | None = None,
        proxies: TrustedProxies | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._db = db
        self._url = url
        self._secrets = secrets
        self._sso = sso
        self._proxies = proxies or TrustedProxies()
        self._verdicts = PasswordVerdicts()
        self.attempts = Attempts(db, self._verdicts, secrets.fingerprint)
        self.last_use = LastUse(db)
        self._clients: dict[tuple[str, UUID], _Client] = {}
        self._users: dict[str, _User] = {}
        self._sso_users: OrderedDict[SsoLogin, _User] = OrderedDict()
        self._special_teams: SpecialTeams | None = None
        self._generation = 0
        self._neighbours = neighbours or Nobody()
        self._last_change = self._neighbours.last_change()
        self._listening = False
        self._tasks: list[asyncio.Task[None]] = []
        self.when_forgetting: list[Callable[[], None]] = []
        """Told that a caller may be another by now than the one that was authenticated."""

    @property
    def is_listening(self) -> bool:
        """Whether changes are heard; until then every request asks the database."""
        return self._listening

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_house())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.attempts.close()
        await self._write_down()
        if self._sso is not None:
            await self._sso.close()
        self._verdicts.close()

    async def is_password(self, stored_hash: str, password: str, caller: Identity) -> bool:
        """Whether this is the password of a caller who was authenticated already, perhaps by other means."""
        stored = StoredPassword(caller.id, stored_hash)
        return await self.attempts.is_right(stored, password, login=caller.name or "", address=f"user {caller.id}")

    async def hash_password(self, password: str) -> str:
        return await self._verdicts.hash(password)

    def forget(self) -> None:
        """Nothing remembered before this moment is believed after it."""
        self._generation += 1
        self._clients.clear()
        self._users.clear()
        self._sso_users.clear()
        for told in self.when_forgetting:
            told()

    def tell_of_change(self) -> None:
        """Who may do what was changed here: it counts from the next request on, in each worker of this server."""
        self.forget()
        self._neighbours.tell()

    def _heard(self, *_: object) -> None:
        self.forget()

    def ask_neighbours(self) -> None:
        """Whether another worker of this server has changed who is who."""
        told = self._neighbours.last_change()
        if told != self._last_change:
            self._last_change = told
            self.forget()

    def address_of(self, peer: str, forwarded_for: str | None) -> str:
        """Where a request comes from, as far as trusted proxies can tell."""
        return self._proxies.address_of(peer, forwarded_for)

    async def renew(self, authentication: Authentication) -> Identity:
        """Who the caller of a request under way is by now. Raises what `begin` would if the proof no longer counts."""
        request, caller = authentication.request, authentication.caller
        authorization = request.headers["authorization"]
        match choose_scheme(authorization):
            case "hmac":
                client = await self._client(caller.kind, caller.id)
                client.require_valid(authentication.proven_by)
                return client.identity
            case "bearer":
                return (await self._check_token(authorization, request)).caller
            case _:
                user = await self._user(read_login_and_password(authorization)[0])
                if user is None or user.password_hash != authentication.password_hash:
                    raise NotAuthenticated(INVALID_CREDENTIALS)
                return _scoped(user.identity, request.headers.get("x-dci-team-id"))

    async def begin(self, request: Request) -> Authentication:
        """What the head of a request proves. Raises NotAuthenticated, or NotAuthorized for a foreign team scope."""
        self.ask_neighbours()
        authorization = request.headers.get("authorization")
        scheme = choose_scheme(authorization)
        assert authorization is not None
        if scheme == "hmac":
            return await self._begin_signature(authorization, request)
        if scheme == "bearer":
            return await self._check_token(authorization, request)
        return await self._check_password(authorization, request)

    async def _begin_signature(self, authorization: str, request: Request) -> Authentication:
        claim = read_claim(authorization, request.headers)
        require_in_window(claim, datetime.now(UTC))
        client = await self._client(claim.client_type, claim.client_id)
        return Authentication.of_claim(client, request, claim, self.last_use)

    async def _check_password(self, authorization: str, request: Request) -> Authentication:
        login, password = read_login_and_password(authorization)
        user = await self._user(login)
        stored = None
        if user is not None and user.password_hash is not None:
            stored = StoredPassword(user.identity.id, user.password_hash)
        address = self.address_of(request.peer, request.headers.get("x-forwarded-for"))
        if not await self.attempts.is_right(stored, password, login=login, address=address) or user is None:
            raise NotAuthenticated(INVALID_CREDENTIALS, claimed_id=user and user.identity.id)
        authentication = self._certain(user, request)
        authentication.password_hash = user.password_hash
        return authentication

    def _certain(self, user: _User, request: Request) -> Authentication:
        identity = _scoped(user.identity, request.headers.get("x-dci-team-id"))
        self.last_use.note("user", identity.id)
        return Authentication(identity, request)

    async def _check_token(self, authorization: str, request: Request) -> Authentication:
        if self._sso is None:
            raise NotAuthenticated(NOT_CONFIGURED)
        login = await self._sso.read(authorization)
        return self._certain(self._sso_users.get(login) or await self._sso_user(login), request)

    async def _client(self, kind: Kind, identifier: UUID) -> _Client:
        known = self._clients.get((kind, identifier))
        if known is not None:
            return known
        generation = self._generation
        sql = _FIND_REMOTECI if kind == "remoteci" else _FIND_FEEDER
        row = await fetch_row(self._db, sql, id=identifier)
        if row is None:
            raise NotAuthenticated(UNKNOWN_CLIENT)
        team = TeamOfCaller(row["team_id"], row["team_name"], row["team_state"], row["has_pre_release_access"])
        client = _Client(
            Identity(
                kind=kind,
                id=identifier,
                name=None,
                fullname=None,
                email=None,
                timezone=None,
                etag=None,
                teams=(team,),
                special_teams=await self._special(),
            ),
            [
                _Secret(secret_id, SigningKeys(self._secrets.open(sealed, identifier)), expires_at)
                for secret_id, sealed, expires_at in row["secrets"]
            ],
            None if team.state == "active" else team.name,
        )
        if self._may_remember(generation, len(self._clients)):
            self._clients[(kind, identifier)] = client
        return client

    async def _user(self, login: str) -> _User | None:
        known = self._users.get(login)
        if known is not None:
            return known
        generation = self._generation
        row = await fetch_row(self._db, _FIND_USER, login=login)
        if row is None:
            return None
        user = await self._as_user(row)
        if self._may_remember(generation, len(self._users)):
            self._users[login] = user
        return user

    async def _sso_user(self, login: SsoLogin) -> _User:
        """Remembered for exactly what the token says, so that a token that says otherwise is looked at."""
        identifier = await settle(self._db, login, when_changing=self.tell_of_change)
        generation = self._generation
        row = await fetch_row(self._db, _FIND_USER_BY_ID, id=identifier)
        if row is None:
            raise NotAuthenticated(CANNOT_CREATE)  # Archived a moment ago.
        user = await self._as_user(row)
        if self._may_remember(generation, 0):
            self._sso_users[login] = user
            if len(self._sso_users) > _REMEMBERED:
                self._sso_users.popitem(last=False)
        return user

    async def _as_user(self, row: Record) -> _User:
        identity = Identity(
            kind="user",
            id=row["id"],
            name=row["name"],
            fullname=row["fullname"],
            email=row["email"],
            timezone=row["timezone"],
            etag=row["etag"],
            teams=tuple(msgspec.json.decode(row["teams"], type=list[TeamOfCaller])),
            special_teams=await self._special(),
        )
        return _User(identity, row["password_hash"])

    def _may_remember(self, generation: int, kept: int) -> bool:
        # What was read before a notification came may be older than it.
        self.ask_neighbours()
        return self._listening and generation == self._generation and kept < _REMEMBERED

    async def _special(self) -> SpecialTeams:
        if self._special_teams is None:
            rows = await fetch_rows(self._db, "select role, id from teams where role is not null")
            ids = {row["role"]: row["id"] for row in rows}
            try:
                self._special_teams = SpecialTeams(ids["super_admin"], ids["read_only"], ids["epm"])
            except KeyError:
                raise Unavailable("the database is not provisioned; run: dci-server provision") from None
        return self._special_teams

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_NOTES)
            await self._write_down()

    async def _write_down(self) -> None:
        """What may be lost in a crash: when who was seen. It must not stop anything."""
        try:
            async with asyncio.timeout(_SECONDS_FOR_NOTES):
                await self.last_use.write()
                await self.attempts.forget_old()
        except (ApiError, *DATABASE_ERRORS) as error:
            log.warning("could not write down who was seen", kind=type(error).__name__)

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_until_lost()
            except DATABASE_ERRORS as error:
                log.warning("not listening for changed identities", kind=type(error).__name__)
            self._listening = False
            self.forget()
            await asyncio.sleep(1)

    async def _listen_until_lost(self) -> None:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            self._url, server_settings={"application_name": "dci-server identities"}
        )
        try:
            await connection.add_listener("identities", self._heard)
            self.forget()
            self._listening = True
            # A connection that died without a word must be noticed, or a revoked caller would stay remembered.
            while not connection.is_closed():
                await connection.fetchval("select 1", timeout=5)
                await asyncio.sleep(2)
        finally:
            self._listening = False
            self.forget()
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)


def _scoped(identity: Identity, header: str | None) -> Identity:
    if not header:
        return identity
    try:
        team_id = UUID(header)
    except ValueError:
        raise ApiError(f"X-Dci-Team-Id: {header[:100]} is not a valid UUID") from None
    return identity.scoped_to(team_id)
