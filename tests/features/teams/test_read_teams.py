# SPDX-License-Identifier: Apache-2.0
from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World


@pytest.mark.parametrize(
    ("who", "names"),
    [
        ("alice", ["Blue"]), ("blue_lab", ["Blue"]), ("blue_feeder", ["Blue"]), ("nobody", []),
        ("reader", ["Blue", "EPM", "Red", "Red Hat", "admin"]), ("epm", ["Blue", "EPM", "Red", "Red Hat", "admin"]),
    ],
)  # fmt: skip
async def test_everybody_lists_their_own_teams(client_of: ClientOf, who: str, names: list[str]) -> None:
    response = (await client_of(who).get("/teams?sort=name")).json()

    assert sorted(team["name"] for team in response["teams"]) == names
    assert response["_meta"] == {"count": len(names)}


async def test_archived_remotecis_are_left_out_and_secrets_are_not_shown(client_of: ClientOf, world: World) -> None:
    await world.add("remotecis", name="old", team_id=world.ids["Blue"], state="archived")

    response = await client_of("alice").get(f"/teams/{world.ids['Blue']}")

    assert [remoteci["name"] for remoteci in response.json()["team"]["remotecis"]] == ["blue_lab"]
    assert "secret" not in response.text
    assert response.headers["etag"] == response.json()["team"]["etag"]


async def test_who_reads_the_blue_team(client_of: ClientOf, world: World) -> None:
    for who, status in (
        ("alice", 200),
        ("blue_lab", 200),
        ("reader", 200),
        ("epm", 200),
        ("bob", 401),
        ("nobody", 401),
    ):
        assert (await client_of(who).get(f"/teams/{world.ids['Blue']}")).status_code == status
    for who in ("bob", "epm"):
        assert (await client_of(who).get(f"/teams/{uuid4()}")).status_code == 404
