# SPDX-License-Identifier: Apache-2.0
"""An old hub that keeps its files in a bucket: `import --files s3://… --components s3://…`."""

from pathlib import Path
from uuid import uuid4

import obstore
import pytest

from tests.importing.conftest import LogIn, NewHub, Told
from tests.importing.old_hub import OldHub
from tests.s3 import S3

FILES = ("small.log", "empty", "limit", "big.bin", "task", "junit")


class Buckets:
    """The two containers of the old hub, and a place for the new one."""

    def __init__(self, s3: S3) -> None:
        self.s3 = s3
        self.place = uuid4().hex

    def url(self, container: str) -> str:
        return self.s3.url(f"{self.place}/{container}")

    async def take(self, directory: Path) -> None:
        """What the directory has, under the same names."""
        bucket = self.s3.bucket(f"{self.place}/{directory.name}")
        for path in directory.rglob("*"):
            if path.is_file():
                await obstore.put_async(bucket, str(path.relative_to(directory)), path.read_bytes())

    async def import_from(self, old: OldHub, new: NewHub) -> Told:
        containers = ("--files", self.url("dci-files"), "--components", self.url("dci-components"))
        return await new.run("import", "--from", old.url, *containers)


@pytest.fixture
async def buckets(old_hub: OldHub, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Buckets:
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)
    buckets = Buckets(s3)
    await buckets.take(old_hub.files)
    await buckets.take(old_hub.components)
    return buckets


@pytest.fixture
def hub_in_a_bucket(new_hub: NewHub, buckets: Buckets) -> NewHub:
    """Before `log_in`, which takes the settings."""
    new_hub.store_url = buckets.url("new")
    return new_hub


async def contents_are_those_of_the_old_store(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    lab = await log_in("blue_lab")
    for name in FILES:
        expected = next(old_hub.files.rglob(str(old_hub.ids[name]))).read_bytes()
        answer = await lab.get(f"/files/{old_hub.ids[name]}/content")
        assert (answer.status_code, answer.content == expected) == (200, True), name
    assert (await lab.get(f"/files/{old_hub.ids['gone']}/content")).status_code == 404
    ((component_file, component),) = await new_hub.rows("select id, component_id from component_files")
    content = await lab.get(f"/components/{component}/files/{component_file}/content")
    assert content.content == b"i" * 70_000
    assert await new_hub.rows("select * from objects_to_remove") == []


async def test_files_come_from_a_bucket_into_a_directory(
    old_hub: OldHub, new_hub: NewHub, buckets: Buckets, log_in: LogIn
) -> None:
    told = await buckets.import_from(old_hub, new_hub)

    assert told.code == 0, told.err
    await contents_are_those_of_the_old_store(old_hub, new_hub, log_in)
    stored = {path.name for path in (new_hub.directory / "files" / "files").rglob("*") if path.is_file()}
    assert stored == {str(old_hub.ids["big.bin"])}


async def test_files_come_from_a_bucket_into_another(
    old_hub: OldHub, hub_in_a_bucket: NewHub, buckets: Buckets, log_in: LogIn
) -> None:
    told = await buckets.import_from(old_hub, hub_in_a_bucket)

    assert told.code == 0, told.err
    await contents_are_those_of_the_old_store(old_hub, hub_in_a_bucket, log_in)
    kinds = [key.partition("/")[0] for key in buckets.s3.keys(f"{buckets.place}/new")]
    assert kinds == ["components", "files"]


async def test_what_the_bucket_refuses_comes_when_the_command_is_given_again(
    old_hub: OldHub, new_hub: NewHub, buckets: Buckets, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word")
        refused = await buckets.import_from(old_hub, new_hub)
    pending = await new_hub.rows("select count(*) from files where sha256 is null")

    again = await buckets.import_from(old_hub, new_hub)

    assert refused.code == 1
    assert refused.err.splitlines()[-1].startswith("dci-server: ")
    assert "credentials" in refused.err
    assert "hidden-word" not in refused.err + refused.out
    assert pending == [(len(FILES) + 2,)]
    assert again.code == 0, again.err
    await contents_are_those_of_the_old_store(old_hub, new_hub, log_in)
