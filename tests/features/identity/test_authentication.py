# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.signing import SignedBy
from tests.waiting import until, until_heard


@pytest.mark.parametrize(
    ("algorithm", "terminator", "date_header"),
    [
        ("DCI2-HMAC-SHA256", "dci2_request", "X-DCI-Date"),
        ("AWS4-HMAC-SHA256", "aws4_request", "X-Amz-Date"),
    ],
)
@pytest.mark.parametrize("who", ["blue_lab", "blue_feeder"])
async def test_both_spellings_of_a_signature_are_accepted(
    client_of: ClientOf, world: World, who: str, algorithm: str, terminator: str, date_header: str
) -> None:
    kind = "feeder" if who == "blue_feeder" else "remoteci"
    auth = SignedBy(
        f"{kind}/{world.ids[who]}", world.keys[who], algorithm=algorithm, terminator=terminator, date_header=date_header
    )

    response = await client_of(who).get("/identity", auth=auth)

    assert response.status_code == 200
    assert response.json()["identity"]["id"] == world.ids[who]
    assert list(response.json()["identity"]["teams"]) == [world.ids["Blue"]]


@pytest.mark.parametrize(
    "path", ["/identity", "/identity/", "/topics?where=name:RHEL-9.6", "/topics/?limit=1&offset=0"]
)
@pytest.mark.parametrize("who", ["blue_lab", "alice"])
async def test_the_trailing_slash_does_not_matter(client_of: ClientOf, who: str, path: str) -> None:
    assert (await client_of(who).get(path)).status_code == 200


async def test_the_identity_of_a_user(client_of: ClientOf, world: World) -> None:
    response = await client_of("alice").get("/identity")

    identity = response.json()["identity"]
    assert identity["name"] == "alice"
    assert identity["teams"] == {
        world.ids["Blue"]: {"id": world.ids["Blue"], "name": "Blue", "has_pre_release_access": False}
    }
    assert response.headers["etag"] == identity["etag"]


@pytest.mark.parametrize(
    "authorization",
    ["", "basic YTpi", "Basic", "Basic ???", "Basic YWxpY2U=", "Basic a b c", "Bearer x.y.z", "Digest x",
     "DCI2-HMAC-SHA256", "DCI2-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=0"],
)  # fmt: skip
async def test_a_bad_authorization_is_a_401_with_a_body(client_of: ClientOf, authorization: str) -> None:
    response = await client_of("stranger").get("/identity", headers={"Authorization": authorization})

    assert response.status_code == 401
    assert set(response.json()) == {"message", "payload", "status_code"}
    assert response.headers["access-control-allow-origin"] == "*"


async def test_unknown_user_and_wrong_password_get_the_same_answer(client_of: ClientOf) -> None:
    stranger = client_of("stranger")

    unknown = await stranger.get("/identity", auth=httpx.BasicAuth("who", "x"))
    wrong = await stranger.get("/identity", auth=httpx.BasicAuth("alice", "x"))

    assert unknown.json() == wrong.json() == {
        "message": "Invalid user credentials", "payload": {}, "status_code": 401
    }  # fmt: skip


@pytest.mark.parametrize(("minutes", "word"), [(-16, "behind"), (16, "ahead")])
async def test_a_date_outside_the_window_names_the_clock_skew(
    client_of: ClientOf, world: World, minutes: int, word: str
) -> None:
    moment = datetime.now(UTC) + timedelta(minutes=minutes)
    auth = SignedBy(f"remoteci/{world.ids['blue_lab']}", world.keys["blue_lab"], moment=moment)

    response = await client_of("blue_lab").get("/identity", auth=auth)

    assert response.status_code == 401
    assert word in response.json()["message"]
    assert "server time" in response.json()["message"]


async def test_an_unknown_remoteci_is_refused(client_of: ClientOf) -> None:
    response = await client_of("blue_lab").get("/identity", auth=SignedBy(f"remoteci/{uuid4()}", "x"))

    assert (response.status_code, response.json()["message"]) == (401, "identity does not exists.")


@pytest.mark.parametrize(
    ("who", "change", "status", "message"),
    [
        ("blue_lab", "update remotecis set state = 'inactive'", 401, "identity does not exists."),
        ("blue_lab", "update remotecis set state = 'archived'", 401, "identity does not exists."),
        ("blue_lab", "update teams set state = 'inactive' where name = 'Blue'", 412, "team Blue not active"),
        ("blue_feeder", "update feeders set state = 'inactive'", 401, "identity does not exists."),
        ("alice", "update users set state = 'inactive'", 401, "Invalid user credentials"),
    ],
)
async def test_a_disabled_caller_is_refused(
    app: Application, client_of: ClientOf, world: World, who: str, change: str, status: int, message: str
) -> None:
    await until_heard(app)
    client = client_of(who)
    before = [(await client.get("/identity")).status_code for _ in range(2)]

    await world.db.execute(change)
    after = await until(lambda: refusal(client, "/identity"))

    assert before == [200, 200]
    assert (after.status_code, after.json()["message"]) == (status, message)


async def refusal(client: httpx.AsyncClient, path: str) -> httpx.Response | None:
    """None as long as the caller gets an answer."""
    response = await client.get(path)
    return None if response.status_code == 200 else response


async def test_a_user_of_an_inactive_team_is_no_member(app: Application, client_of: ClientOf, world: World) -> None:
    await until_heard(app)
    job = await world.job()
    alice = client_of("alice")
    before = (await alice.get(f"/jobs/{job}")).status_code

    await world.db.execute("update teams set state = 'inactive' where name = 'Blue'")
    after = await until(lambda: refusal(alice, f"/jobs/{job}"))

    assert (before, after.status_code) == (200, 404)


async def test_a_known_caller_costs_no_query(app: Application, client_of: ClientOf, world: World) -> None:
    await until_heard(app)
    lab = client_of("blue_lab")
    await lab.get("/identity")
    await world.db.execute("alter table remotecis rename to elsewhere")

    assert (await lab.get("/identity")).status_code == 200


@pytest.mark.parametrize(("scope", "status"), [("Blue", 200), ("Red", 401), ("not-a-uuid", 400), ("", 200)])
async def test_a_user_narrows_the_scope_to_an_own_team(
    client_of: ClientOf, world: World, scope: str, status: int
) -> None:
    header = world.ids.get(scope, scope)

    response = await client_of("alice").get("/jobs", headers={"X-Dci-Team-Id": header})

    assert response.status_code == status


async def test_a_super_admin_scoped_to_admin_keeps_the_role(client_of: ClientOf, world: World) -> None:
    await world.job()

    response = await client_of("admin").get("/jobs", headers={"X-Dci-Team-Id": world.ids["admin"]})

    assert response.json()["_meta"]["count"] == 1


@pytest.mark.parametrize("name", ["host", "authorization"])
async def test_a_repeated_header_is_refused(client_of: ClientOf, name: str) -> None:
    response = await client_of("stranger").get("/identity", headers=[(name, "a"), (name, "b")])

    assert response.status_code == 400
    assert "twice" in response.json()["message"]
