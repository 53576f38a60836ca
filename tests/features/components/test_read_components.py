# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.conftest import ClientOf, World


async def test_a_component_has_its_files_and_the_jobs_the_caller_may_see(client_of: ClientOf, world: World) -> None:
    component_id = world.ids["compose"]
    file = {"size": 3, "key": "k", "component_id": component_id}
    kept = await world.add("component_files", name="kept", **file)
    await world.add("component_files", name="gone", state="archived", **file)
    jobs = {lab: await world.job(lab, name=lab) for lab in ("blue_lab", "red_lab")}
    jobs["archived"] = await world.job("blue_lab", name="archived", state="archived")
    for job in jobs.values():
        await world.add("jobs_components", job_id=job, component_id=component_id)

    seen = {}
    for who in ("alice", "blue_feeder", "red_lab", "reader", "epm"):
        component = (await client_of(who).get(f"/components/{component_id}")).json()["component"]
        seen[who] = {job["name"] for job in component["jobs"]}
        assert [listed["id"] for listed in component["files"]] == [kept]

    assert seen == {
        "alice": {"blue_lab"},
        "blue_feeder": {"blue_lab"},
        "red_lab": {"red_lab"},
        "reader": {"blue_lab", "red_lab"},
        "epm": {"blue_lab", "red_lab"},
    }


@pytest.mark.parametrize(
    ("who", "names"),
    [
        ("admin", {"RHEL-9.6.0-1", "blue", "red", "hidden"}),
        ("epm", {"RHEL-9.6.0-1", "blue", "red", "hidden"}),
        ("alice", {"RHEL-9.6.0-1", "blue"}),
        ("red_lab", {"RHEL-9.6.0-1", "red"}),
        ("blue_feeder", {"RHEL-9.6.0-1", "blue", "red"}),
        ("nobody", set[str]()),
    ],
)
async def test_who_finds_which_components_in_the_list(
    client_of: ClientOf, world: World, who: str, names: set[str]
) -> None:
    hidden = await world.add("topics", name="hidden", product_id=world.ids["RHEL"])
    for team in ("Blue", "Red"):
        await world.add(
            "components", name=team.lower(), type="t", topic_id=world.ids["RHEL-9.6"], team_id=world.ids[team]
        )
    await world.add("components", name="hidden", type="t", topic_id=hidden)
    await world.add("components", name="archived", type="t", topic_id=world.ids["RHEL-9.6"], state="archived")

    answer = (await client_of(who).get("/components")).json()

    assert {component["name"] for component in answer["components"]} == names
    assert answer["_meta"]["count"] == len(names)


async def test_a_global_component_is_hidden_with_its_product(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update products set state = 'archived'")

    responses = {who: await client_of(who).get(f"/components/{world.ids['compose']}") for who in ("alice", "epm")}

    assert (responses["alice"].status_code, responses["alice"].json()["message"]) == (404, "product not found")
    assert responses["epm"].status_code == 200
