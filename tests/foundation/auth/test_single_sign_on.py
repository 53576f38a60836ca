# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens of a real provider, through HTTP (auth §5, decision 29)."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from dci_server.foundation.auth import jwks
from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World, started
from tests.openid import OTHER, OpenIdProvider, new_signing_key
from tests.waiting import PATIENCE, until, until_heard

CREATE_REFUSED = "Cannot create user in Open ID Connect auth mechanism"
EMPLOYEE = {"roles": ["redhat:employees"]}


@pytest.fixture(autouse=True)
def _configured(provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSO_ISSUER", provider.issuer)
    monkeypatch.setattr(jwks, "SECONDS_FOR_AN_ANSWER", PATIENCE)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def who_is(client_of: ClientOf, token: str) -> httpx.Response:
    return await client_of("stranger").get("/identity", headers=bearer(token))


def forget(app: Application) -> None:
    """What was changed behind the server's back is heard of a moment later; here it is known at once."""
    assert app.services is not None
    app.services.authenticator.forget()


async def refusal_of(client_of: ClientOf, token: str) -> str:
    response = await who_is(client_of, token)
    assert response.status_code == 401, response.text
    return response.json()["message"]


# --- who is let in ---


async def test_a_first_login_creates_the_user(client_of: ClientOf, provider: OpenIdProvider, world: World) -> None:
    token = await provider.token_of("carol-sub", preferred_username="carol", name="Carol C.", email="carol@example.org")

    response = await who_is(client_of, token)

    identity = response.json()["identity"]
    assert (identity["name"], identity["fullname"], identity["email"]) == ("carol", "Carol C.", "carol@example.org")
    assert (identity["timezone"], identity["teams"]) == ("UTC", {})
    row = await world.db.fetchrow("select * from users where name = 'carol'")
    assert row is not None
    assert (row["sso_username"], row["sso_sub"], row["password_hash"], row["state"]) == (
        "carol", "carol-sub", None, "active",
    )  # fmt: skip


async def test_a_program_logs_in_with_its_own_credentials(client_of: ClientOf, provider: OpenIdProvider) -> None:
    token = await provider.token_of_client(username="portal")

    assert (await who_is(client_of, token)).json()["identity"]["name"] == "portal"


async def test_a_known_user_stays_the_same(client_of: ClientOf, provider: OpenIdProvider, world: World) -> None:
    ids = set[str]()
    for _ in range(3):
        token = await provider.token_of("carol-sub", preferred_username="carol", email="carol@example.org")
        ids.add((await who_is(client_of, token)).json()["identity"]["etag"])

    assert len(ids) == 1
    assert await world.db.fetchval("select count(*) from users where name = 'carol'") == 1


async def test_the_team_scope_applies(
    app: Application, client_of: ClientOf, provider: OpenIdProvider, world: World
) -> None:
    token = await provider.token_of("carol-sub", preferred_username="carol")
    carol = (await who_is(client_of, token)).json()["identity"]["id"]
    await world.add("users_teams", user_id=carol, team_id=world.ids["Blue"])
    forget(app)
    stranger = client_of("stranger")

    own = await stranger.get("/identity", headers={**bearer(token), "X-Dci-Team-Id": world.ids["Blue"]})
    foreign = await stranger.get("/identity", headers={**bearer(token), "X-Dci-Team-Id": world.ids["Red"]})

    assert list(own.json()["identity"]["teams"]) == [world.ids["Blue"]]
    assert (foreign.status_code, foreign.json()["message"]) == (401, "Operation not authorized.")


async def test_claims_of_odd_forms(client_of: ClientOf, provider: OpenIdProvider) -> None:
    token = provider.craft(aud=["elsewhere", "dci"], name=["no", "text"], realm_access="redhat:employees", email="")

    identity = (await who_is(client_of, token)).json()["identity"]

    assert (identity["fullname"], identity["email"], identity["teams"]) == ("carol", None, {})


@pytest.mark.parametrize(("scope", "kept"), [(None, None), ("openid", None), ("openid email", "carol-sub")])
async def test_the_subject_is_kept_unless_the_scope_is_openid_alone(
    client_of: ClientOf, provider: OpenIdProvider, world: World, scope: str | None, kept: str | None
) -> None:
    assert (await who_is(client_of, provider.craft(scope=scope))).status_code == 200

    assert await world.db.fetchval("select sso_sub from users where name = 'carol'") == kept


# --- which account it is ---


async def test_a_prepared_account_is_linked_at_the_first_login(
    client_of: ClientOf, provider: OpenIdProvider, world: World
) -> None:
    prepared = await world.add("users", name="c.c", fullname="C. C.", sso_username="carol")
    before = await world.db.fetchval("select etag from users where id = $1", prepared)

    identity = (await who_is(client_of, provider.craft(name="Carol"))).json()["identity"]

    assert (identity["id"], identity["name"], identity["fullname"]) == (prepared, "c.c", "C. C.")
    row = await world.db.fetchrow("select email, sso_sub, etag from users where id = $1", prepared)
    assert row is not None
    assert (row["email"], row["sso_sub"]) == ("carol@example.org", "carol-sub")
    assert row["etag"] != before


async def test_once_known_the_subject_decides(client_of: ClientOf, provider: OpenIdProvider, world: World) -> None:
    carol = (await who_is(client_of, provider.craft())).json()["identity"]["id"]

    renamed = await who_is(client_of, provider.craft(preferred_username="carol.married"))
    heir = await who_is(client_of, provider.craft(sub="another-sub"))
    subjectless = await who_is(client_of, provider.craft(sub=None))

    assert renamed.json()["identity"]["id"] == carol
    assert (heir.status_code, heir.json()["message"]) == (401, CREATE_REFUSED)
    assert "another subject" in heir.json()["payload"]["error"]
    assert subjectless.status_code == 401


async def test_a_changed_email_follows_and_a_missing_one_does_not(
    client_of: ClientOf, provider: OpenIdProvider
) -> None:
    first = (await who_is(client_of, provider.craft())).json()["identity"]

    missing = (await who_is(client_of, provider.craft(email=None))).json()["identity"]
    changed = (await who_is(client_of, provider.craft(email="new@example.org"))).json()["identity"]

    assert (missing["email"], missing["etag"]) == ("carol@example.org", first["etag"])
    assert (changed["email"], changed["id"]) == ("new@example.org", first["id"])
    assert changed["etag"] != first["etag"]


async def test_an_email_of_somebody_else_is_refused(client_of: ClientOf, provider: OpenIdProvider) -> None:
    await who_is(client_of, provider.craft())

    response = await who_is(client_of, provider.craft(email="alice@example.org"))

    assert response.status_code == 401
    assert response.json()["payload"] == {"error": {"email": "already_exists"}}


@pytest.mark.parametrize(
    "taken",
    [
        {"name": "carol"},
        {"name": "x", "email": "carol@example.org"},
        {"name": "x", "sso_username": "carol", "state": "archived"},
        {"name": "x", "sso_sub": "carol-sub", "state": "inactive"},
    ],
)
async def test_what_another_account_has_stands_in_the_way(
    client_of: ClientOf, provider: OpenIdProvider, world: World, taken: dict[str, str]
) -> None:
    await world.add("users", fullname="Somebody", **taken)
    before = await world.count("users")

    response = await who_is(client_of, provider.craft())

    assert (response.status_code, response.json()["message"]) == (401, CREATE_REFUSED)
    assert await world.count("users") == before


async def test_first_logins_at_once_make_one_user(
    client_of: ClientOf, provider: OpenIdProvider, database_url: str, key: str, tmp_path: Path
) -> None:
    async with started(database_url, key, tmp_path) as another_process:
        elsewhere = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=another_process),  # pyright: ignore[reportArgumentType]
            base_url="http://dci.test/api/v1",
        )
        here = client_of("stranger")
        tokens = [provider.craft(jti=str(number), realm_access=EMPLOYEE) for number in range(10)]

        responses = await asyncio.gather(
            *(client.get("/identity", headers=bearer(token)) for token in tokens for client in (here, elsewhere))
        )
        await elsewhere.aclose()

    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["identity"]["id"] for response in responses}) == 1


# --- the read-only group ---


async def teams_of(client_of: ClientOf, token: str) -> list[str]:
    response = await who_is(client_of, token)
    assert response.status_code == 200, response.text
    return [team["name"] for team in response.json()["identity"]["teams"].values()]


async def test_membership_of_the_readers_follows_the_token(client_of: ClientOf, provider: OpenIdProvider) -> None:
    now = int(time.time())
    tokens = [
        provider.craft(iat=now - 30),
        provider.craft(iat=now - 20, realm_access=EMPLOYEE),
        provider.craft(iat=now - 10),
        provider.craft(iat=now, realm_access={"roles": ["x", "redhat:employees"]}),
    ]

    assert [await teams_of(client_of, token) for token in tokens] == [[], ["Red Hat"], [], ["Red Hat"]]


async def test_a_new_employee_reads_everything_at_once(
    client_of: ClientOf, provider: OpenIdProvider, world: World
) -> None:
    job = await world.job()
    token = await provider.token_of("carol-sub", preferred_username="carol", realm_access=EMPLOYEE)

    response = await client_of("stranger").get(f"/jobs/{job}", headers=bearer(token))

    assert response.status_code == 200


async def test_membership_given_by_a_person_stays(
    app: Application, client_of: ClientOf, provider: OpenIdProvider, world: World
) -> None:
    carol = (await who_is(client_of, provider.craft())).json()["identity"]["id"]
    for team in ("Red Hat", "Blue"):
        await world.add("users_teams", user_id=carol, team_id=world.ids[team])
    forget(app)

    with_group = await teams_of(client_of, provider.craft(realm_access=EMPLOYEE, jti="1"))
    without = await teams_of(client_of, provider.craft(jti="2"))

    assert with_group == without == ["Red Hat", "Blue"]


async def test_membership_that_a_person_confirms_is_theirs(
    client_of: ClientOf, provider: OpenIdProvider, world: World
) -> None:
    carol = (await who_is(client_of, provider.craft(realm_access=EMPLOYEE))).json()["identity"]["id"]

    confirmed = await client_of("admin").post(f"/teams/{world.ids['Red Hat']}/users/{carol}")

    assert confirmed.status_code == 201
    assert await teams_of(client_of, provider.craft()) == ["Red Hat"]


async def test_an_older_token_does_not_undo_what_a_newer_one_said(
    app: Application, client_of: ClientOf, provider: OpenIdProvider, world: World
) -> None:
    await until_heard(app)
    # What a token changes counts from the next request on, however late the notification of it is heard.
    for table in ("users", "users_teams"):
        await world.db.execute(f"alter table {table} disable trigger {table}_forget")
    now = int(time.time())
    older = provider.craft(iat=now - 30, realm_access=EMPLOYEE, email="old@example.org")
    newer = provider.craft(iat=now - 10)

    first = await teams_of(client_of, older)
    second = await teams_of(client_of, newer)
    again = await who_is(client_of, older)

    assert (first, second) == (["Red Hat"], [])
    assert again.json()["identity"]["teams"] == {}
    assert again.json()["identity"]["email"] == "carol@example.org"


# --- who is refused ---


async def test_a_refused_token_makes_nobody(client_of: ClientOf, provider: OpenIdProvider, world: World) -> None:
    before = await world.count("users")
    refused = {
        "expired": provider.craft(exp=int(time.time()) - 1),
        "for another service": await provider.token_of("carol-sub", resource=OTHER, preferred_username="carol"),
        "signed by somebody else": provider.craft(key=new_signing_key("first")),
        "not a token": "x.y.z",
    }

    answers = {name: (await who_is(client_of, token)).status_code for name, token in refused.items()}

    assert answers == dict.fromkeys(refused, 401)
    assert await world.count("users") == before


async def test_a_disabled_user_is_refused(
    app: Application, client_of: ClientOf, provider: OpenIdProvider, world: World
) -> None:
    await until_heard(app)
    token = provider.craft()
    before = (await who_is(client_of, token)).status_code
    await world.db.execute("update users set state = 'inactive' where name = 'carol'")

    async def refused() -> bool:
        return (await who_is(client_of, token)).status_code == 401

    assert before == 200
    assert await until(refused)
    assert await refusal_of(client_of, token) == CREATE_REFUSED


# --- the provider ---


async def test_a_provider_that_is_away_is_503_for_keys_nobody_has_seen(
    client_of: ClientOf, provider: OpenIdProvider
) -> None:
    await provider.behave("hang up")

    response = await who_is(client_of, provider.craft())

    assert response.status_code == 503
    assert provider.issuer not in response.text


async def test_who_is_known_costs_neither_query_nor_fetch(
    app: Application, client_of: ClientOf, provider: OpenIdProvider, world: World
) -> None:
    await until_heard(app)
    # Nobody is told of the new user, so nothing is forgotten after the first look.
    for table in ("users", "users_teams"):
        await world.db.execute(f"alter table {table} disable trigger {table}_forget")
    token = provider.craft()
    await who_is(client_of, token)
    await provider.behave("hang up")
    await world.db.execute("alter table users rename to elsewhere")

    assert (await who_is(client_of, token)).status_code == 200


class TestWithAGivenKey:
    @pytest.fixture(autouse=True)
    def _given(self, _configured: None, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSO_PUBLIC_KEY", provider.key.as_pem(private=False).decode())

    async def test_the_provider_is_not_asked(self, client_of: ClientOf, provider: OpenIdProvider) -> None:
        token = await provider.token_of("carol-sub", preferred_username="carol")
        await provider.behave("hang up")

        assert (await who_is(client_of, token)).status_code == 200
        assert "Signature verification failed" in await refusal_of(
            client_of, provider.craft(key=new_signing_key("first"))
        )


class TestWithoutSingleSignOn:
    @pytest.fixture(autouse=True)
    def _unset(self, _configured: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSO_ISSUER")

    async def test_a_token_is_refused(self, client_of: ClientOf, provider: OpenIdProvider) -> None:
        assert await refusal_of(client_of, provider.craft()) == "single sign-on is not configured here"
