# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from urllib.parse import quote

import pytest

from dci_server.foundation.storage import Store, StoreUrlError, open_store
from dci_server.foundation.storage.filesystem import FilesystemStore
from dci_server.foundation.storage.object_store import BucketStore


async def put(store: Store) -> None:
    upload = await store.begin()
    await upload.write(b"x")
    await upload.commit("a/b")


@pytest.mark.parametrize("name", ["plain", "with space", "ü%?#"])
async def test_a_directory_is_given_as_a_path_or_as_a_url(tmp_path: Path, name: str) -> None:
    await put(open_store(str(tmp_path / "path" / name)))
    await put(open_store(f"file://{quote(str(tmp_path / 'url' / name))}"))

    assert (tmp_path / "path" / name / "a" / "b").read_bytes() == b"x"
    assert (tmp_path / "url" / name / "a" / "b").read_bytes() == b"x"


def test_a_relative_path_is_a_directory_too() -> None:
    assert isinstance(open_store("data/files"), FilesystemStore)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://bucket/some/prefix?endpoint=https://s3.example.org&region=eu-1",
        "s3://bucket?region=eu-1&style=virtual",
        "gs://bucket/prefix",
        "az://container/prefix",
    ],
)
def test_a_bucket_is_given_as_a_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")

    assert isinstance(open_store(url), BucketStore)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "has no address"),
        ("ftp://host/path", "ftp:// is no kind of file store: give a directory, file:///directory, s3://"),
        ("file://relative/path", "three slashes"),
        ("file://", "three slashes"),
        ("s3://", "names no bucket"),
        ("s3://?region=x", "names no bucket"),
        ("s3://key:secret@bucket", "credentials do not belong"),
        ("s3://bucket?regoin=x", r"unknown option regoin of a s3:// file store \(known: endpoint, region, style\)"),
        ("s3://bucket?style=odd", "style .* is path .* or virtual"),
        ("s3://bucket?endpoint=s3.example.org", "an address like https://"),
        ("s3://bucket?endpoint=https://key:secret@s3.example.org", "an address like https://"),
        ("gs://bucket?endpoint=x", r"known: none"),
        ("az://container", "cannot be used: .*Account"),
    ],
)
def test_an_address_that_cannot_be_used_says_what_can(url: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)

    with pytest.raises(StoreUrlError, match=reason) as refused:
        open_store(url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ("", "https://s3.eu-1.amazonaws.com/bucket/pre/a/b"),
        ("&style=virtual", "https://bucket.s3.eu-1.amazonaws.com/pre/a/b"),
        ("&endpoint=http://s3.example.org:9000", "http://s3.example.org:9000/bucket/pre/a/b"),
        ("&endpoint=http://s3.example.org:9000&style=virtual", "http://bucket.s3.example.org:9000/pre/a/b"),
    ],
)
async def test_a_bucket_is_in_the_path_or_in_the_name_of_the_host(
    options: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")

    location = await open_store(f"s3://bucket/pre?region=eu-1{options}").presign("GET", "a/b", 60)

    assert location is not None
    assert location.partition("?")[0] == place
