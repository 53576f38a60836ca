# SPDX-License-Identifier: Apache-2.0
from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World

DATA = '{"rack": 7, "big": 12345678901234567890123, "a,b": 1, "": "empty", "nested": {"rack": [1.50]}, "ü": null}'


NARROWED = {
    "": DATA,
    "?keys=": '{"":"empty"}',
    "?keys=rack": '{"rack":7}',
    "?keys=rack,nope,nested": '{"rack":7,"nested":{"rack": [1.50]}}',
    "?keys=big": '{"big":12345678901234567890123}',
    "?keys=%C3%BC": '{"ü":null}',
    "?keys=nope": "{}",
    "?keys=rack&keys=big": '{"rack":7}',
    "?foo=bar&limit=x": DATA,
}


@pytest.mark.parametrize("who", ["alice", "blue_lab"])
async def test_the_data_is_bare_and_narrowed_to_keys(client_of: ClientOf, world: World, who: str) -> None:
    await world.db.execute("update remotecis set data = $1::text::json", DATA)
    path = f"/remotecis/{world.ids['blue_lab']}/data"

    for query, expected in NARROWED.items():
        for slash in ("", "/"):
            response = await client_of(who).get(path + slash + query)
            assert (query, response.status_code, response.text) == (query, 200, expected)


async def test_no_keys_are_no_keys(client_of: ClientOf, world: World) -> None:
    await world.db.execute("""update remotecis set data = '{"rack": 7}'""")

    response = await client_of("alice").get(f"/remotecis/{world.ids['blue_lab']}/data?keys=")

    assert response.json() == {}


async def test_who_reads_the_data_of_blue(client_of: ClientOf, world: World) -> None:
    readers, others = ("alice", "blue_lab", "blue_feeder", "admin", "epm", "reader"), ("bob", "red_lab", "nobody")
    path = f"/remotecis/{world.ids['blue_lab']}/data"

    statuses = {who: (await client_of(who).get(path)).status_code for who in (*readers, *others)}

    assert statuses == {**dict.fromkeys(readers, 200), **dict.fromkeys(others, 401)}
    assert (await client_of("bob").get(f"/remotecis/{uuid4()}/data")).status_code == 404
