# SPDX-License-Identifier: Apache-2.0
from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World


async def test_detaching_a_team_that_is_not_attached_is_done_already(client_of: ClientOf, world: World) -> None:
    epm, path = client_of("epm"), f"/products/{world.ids['RHEL']}/teams/{world.ids['Blue']}"

    statuses = [(await epm.delete(path)).status_code for _ in range(2)]

    assert statuses == [204, 204]
    teams = (await epm.get(f"/products/{world.ids['RHEL']}/teams")).json()["teams"]
    assert [team["name"] for team in teams] == ["Red"]


@pytest.mark.parametrize("missing", ["product", "team"])
@pytest.mark.parametrize("archived", [True, False])
async def test_detaching_what_does_not_exist_is_not_found(
    client_of: ClientOf, world: World, missing: str, archived: bool
) -> None:
    ids = {"product": world.ids["RHEL"], "team": world.ids["Blue"]}
    if archived:
        await world.db.execute(f"update {missing}s set state = 'archived' where id = $1", ids[missing])
    else:
        ids[missing] = str(uuid4())

    response = await client_of("epm").delete(f"/products/{ids['product']}/teams/{ids['team']}")

    assert response.status_code == 404
    assert response.json()["message"] == f"{missing} not found"
    assert await world.count("products_teams") == 2
