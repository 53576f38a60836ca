# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any

import httpx
import pytest

from tests.conftest import ClientOf, World


async def create(client: httpx.AsyncClient, world: World, **body: Any) -> httpx.Response:
    return await client.post(
        "/components", json={"name": "new 1.0", "type": "Compose", "topic_id": world.ids["RHEL-9.6"], **body}
    )


async def test_a_fresh_component_has_the_defaults_that_clients_know(client_of: ClientOf, world: World) -> None:
    response = await create(client_of("blue_feeder"), world)

    assert response.status_code == 201
    component = response.json()["component"]
    assert (component["display_name"], component["version"], component["type"]) == ("new 1.0", "1.0", "compose")
    assert (component["tags"], component["data"], component["url"]) == ([], {}, "")
    assert (component["team_id"], component["state"]) == (None, "active")
    assert component["released_at"] == component["created_at"]
    assert response.headers["etag"] == component["etag"]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-01-31", "2026-01-31T00:00:00"),
        ("2026-01-31T10:00:00.25", "2026-01-31T10:00:00.25"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00"),
    ],
)
async def test_a_release_time_is_kept_as_utc(client_of: ClientOf, world: World, sent: str, stored: str) -> None:
    component = (await create(client_of("epm"), world, released_at=sent)).json()["component"]

    assert component["released_at"] == stored
    read = (await client_of("epm").get(f"/components/{component['id']}")).json()["component"]
    assert read["released_at"] == stored


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (["b", "a", "b", "", " "], ["b", "a", "b", "", " "]),
        ([1, 0, 2.5], ["1", "0", "2.5"]),
        ([True, False], ["true", "false"]),
        (["a", None], ["a"]),
        ([], []),
    ],
)
async def test_tags_are_kept_as_sent(client_of: ClientOf, world: World, sent: list[object], stored: list[str]) -> None:
    response = await create(client_of("epm"), world, tags=sent)

    assert response.json()["component"]["tags"] == stored


@pytest.mark.parametrize("tags", [["a", 1], [1, True], [{"a": 1}], [["a"]], "a", None, {}])
async def test_other_tags_are_refused(client_of: ClientOf, world: World, tags: object) -> None:
    response = await create(client_of("epm"), world, tags=tags)

    assert response.status_code == 400
    assert await world.count("components") == 1


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"name": ...}, 400, "give name or display_name"),
        ({"display_name": "d"}, 400, "valid under each of"),
        ({"name": ""}, 400, "'' is too short"),
        ({"type": ...}, 400, "'type' is a required property"),
        ({"team_id": None}, 400, "None"),
        ({"data": None}, 400, "None is not of type 'object'"),
        ({"released_at": "soon"}, 400, "'soon' is not"),
        ({"name": "n" * 256}, 400, "255"),
        ({"id": "x"}, 400, "id"),
        ({"etag": "x"}, 400, "etag"),
        ({"created_at": "x"}, 400, "created_at"),
        ({"topic_id": "00000000-0000-4000-8000-000000000000"}, 409, "topic_id"),
        ({"tags": ["t" * 100_000]}, 201, ""),
    ],
)
async def test_what_cannot_be_created_is_explained(
    client_of: ClientOf, world: World, body: dict[str, Any], status: int, text: str
) -> None:
    whole = {"name": "n", "type": "t", "topic_id": world.ids["RHEL-9.6"], **body}

    response = await client_of("epm").post(
        "/components", json={name: value for name, value in whole.items() if value is not ...}
    )

    assert response.status_code == status
    assert text in response.text
    assert await world.count("components") == (2 if status == 201 else 1)


async def test_what_is_too_long_for_an_index_is_refused(client_of: ClientOf, world: World) -> None:
    long = "".join(f"{number:x}" for number in range(20_000))

    for body in ({"tags": [long]}, {"version": long}):
        response = await create(client_of("epm"), world, **body)
        assert (response.status_code, "too long" in response.json()["message"]) == (400, True)

    assert await world.count("components") == 1


@pytest.mark.parametrize("team", [None, "Blue"])
async def test_of_two_creations_of_one_name_one_wins(client_of: ClientOf, world: World, team: str | None) -> None:
    body = {"team_id": world.ids[team]} if team else {}

    responses = await asyncio.gather(*(create(client_of("epm"), world, **body) for _ in range(2)))

    assert sorted(response.status_code for response in responses) == [201, 409]
    (refused,) = [response.json() for response in responses if response.status_code == 409]
    assert refused["message"] == "We are unable to create this resource. A similar resource already exists."
    assert refused["payload"] == {"error": {"display_name": "already_exists"}}


@pytest.mark.parametrize("state", ["inactive", "archived"])
async def test_a_component_that_is_not_active_takes_no_name(client_of: ClientOf, world: World, state: str) -> None:
    epm = client_of("epm")
    await create(epm, world, state=state)

    statuses = [(await create(epm, world, state=state)).status_code, (await create(epm, world)).status_code]

    assert statuses == [201, 201]


async def test_a_team_and_everybody_may_each_have_one_of_a_name(client_of: ClientOf, world: World) -> None:
    epm = client_of("epm")

    statuses = [
        (await create(epm, world)).status_code,
        (await create(epm, world, team_id=world.ids["Blue"])).status_code,
        (await create(epm, world, team_id=world.ids["Red"])).status_code,
        (await create(epm, world, team_id=world.ids["Red"])).status_code,
    ]

    assert statuses == [201, 201, 201, 409]


@pytest.mark.parametrize("state", ["active", "inactive"])
async def test_an_archived_topic_gets_no_components(client_of: ClientOf, world: World, state: str) -> None:
    await world.db.execute("update topics set state = 'archived'")

    response = await create(client_of("epm"), world, state=state)

    assert (response.status_code, response.json()["message"]) == (404, "topic not found")
    assert await world.count("components") == 1


@pytest.mark.parametrize(
    ("who", "team", "status"),
    [
        ("admin", None, 201),
        ("epm", None, 201),
        ("blue_feeder", None, 201),
        ("reader", None, 401),
        ("alice", None, 401),
        ("blue_lab", None, 401),
        ("epm", "Blue", 201),
        ("alice", "Blue", 201),
        ("blue_lab", "Blue", 201),
        ("blue_feeder", "Blue", 201),
        ("bob", "Blue", 401),
        ("blue_feeder", "Red", 401),
        ("reader", "Blue", 401),
        ("reader", "Red Hat", 401),
    ],
)
async def test_who_creates_whose_components(
    client_of: ClientOf, world: World, who: str, team: str | None, status: int
) -> None:
    response = await create(client_of(who), world, **({"team_id": world.ids[team]} if team else {}))

    assert response.status_code == status
    assert await world.count("components") == (2 if status == 201 else 1)


@pytest.mark.parametrize(("who", "status"), [("alice", 401), ("blue_lab", 401), ("epm", 201)])
async def test_a_team_puts_components_only_into_topics_it_may_use(
    client_of: ClientOf, world: World, who: str, status: int
) -> None:
    secret = await world.add("topics", name="secret", product_id=world.ids["RHEL"], export_control=False)

    response = await create(client_of(who), world, topic_id=secret, team_id=world.ids["Blue"])

    assert response.status_code == status
    assert await world.count("components") == (2 if status == 201 else 1)
