# SPDX-License-Identifier: Apache-2.0
"""Secrets in reads, where a setting asks for it (decision 18)."""

import httpx
import pytest

from dci_server.foundation.http import Application
from dci_server.settings import Settings
from tests.conftest import ClientOf, World

BOTH_KINDS = [("remoteci", "blue_lab"), ("feeder", "blue_feeder")]


@pytest.fixture
def legacy(app: Application) -> None:
    assert app.services is not None
    app.services.legacy_secrets_in_reads = True


async def _shown(client: httpx.AsyncClient, kind: str, client_id: str) -> list[object]:
    """What the secret is in the reading of one and in the list; "absent" without the key."""
    one = (await client.get(f"/{kind}s/{client_id}")).json().get(kind, {})
    listed = (await client.get(f"/{kind}s?where=id:{client_id}")).json()[f"{kind}s"]
    return [each.get("api_secret", "absent") for each in (one, *listed)]


@pytest.mark.parametrize(("kind", "who"), BOTH_KINDS)
@pytest.mark.parametrize(
    ("caller", "sees"),
    [("alice", True), ("blue_lab", True), ("blue_feeder", True), ("admin", True), ("epm", False), ("reader", False),
     ("bob", False)],
)  # fmt: skip
@pytest.mark.usefixtures("legacy")
async def test_the_team_and_super_admins_read_secrets_where_it_is_set(
    client_of: ClientOf, world: World, kind: str, who: str, caller: str, sees: bool
) -> None:
    shown = await _shown(client_of(caller), kind, world.ids[who])

    assert set(shown) == {world.keys[who] if sees else "absent"}


@pytest.mark.usefixtures("legacy")
async def test_the_read_only_role_reads_no_secret_of_its_own_team(client_of: ClientOf, world: World) -> None:
    new = {"name": "hat lab", "team_id": world.ids["Red Hat"]}
    created = (await client_of("admin").post("/remotecis", json=new)).json()["remoteci"]

    assert await _shown(client_of("reader"), "remoteci", created["id"]) == ["absent", "absent"]
    assert await _shown(client_of("admin"), "remoteci", created["id"]) == [created["api_secret"]] * 2


@pytest.mark.usefixtures("legacy")
async def test_the_newest_valid_secret_is_the_one_that_is_read(client_of: ClientOf, world: World) -> None:
    alice, lab = client_of("alice"), world.ids["blue_lab"]
    etag = (await alice.get(f"/remotecis/{lab}")).headers["etag"]
    rotated = await alice.put(f"/remotecis/{lab}/api_secret?overlap=600", headers={"If-match": etag})
    newest = await _shown(alice, "remoteci", lab)
    await world.db.execute("update client_secrets set expires_at = utc_now() - interval '1 second'")

    assert newest == [rotated.json()["remoteci"]["api_secret"]] * 2
    assert await _shown(alice, "remoteci", lab) == [None, None]


@pytest.mark.usefixtures("legacy")
async def test_the_rest_of_the_row_is_as_it_was_stored(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    body = f'{{"name": "n", "team_id": "{world.ids["Blue"]}", "data": {{"big": 12345678901234567890123, "x": 1.50}}}}'
    created = (await alice.post("/remotecis", content=body)).json()["remoteci"]

    text = (await alice.get(f"/remotecis/{created['id']}")).text

    assert '"big": 12345678901234567890123, "x": 1.50' in text


@pytest.mark.usefixtures("legacy")
async def test_no_other_answer_shows_a_secret_even_then(client_of: ClientOf, world: World) -> None:
    admin, lab = client_of("admin"), world.ids["blue_lab"]
    etag = (await admin.get(f"/remotecis/{lab}")).headers["etag"]

    changed = await admin.put(f"/remotecis/{lab}", json={"public": True}, headers={"If-match": etag})
    await world.db.execute("update remotecis set state = 'archived'")
    purged = await admin.get("/remotecis/purge")

    for response in (changed, purged):
        assert response.status_code == 200
        assert "api_secret" not in response.text


@pytest.mark.parametrize(("text", "expected"), [("", False), ("0", False), ("off", False), ("1", True), ("Yes", True)])
def test_the_setting_is_a_switch(text: str, expected: bool) -> None:
    settings = Settings.from_environment({"DCI_LEGACY_SECRETS_IN_READS": text})

    assert settings.legacy_secrets_in_reads is expected
