# SPDX-License-Identifier: Apache-2.0
import pytest

from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.parameters import read_listing
from tests.foundation.listing.resource import COLUMNS, OPEN_NAMES, listing


@pytest.mark.parametrize(
    ("sort", "order_by"),
    [
        ("", "jobs.created_at desc, jobs.id desc"),
        ("name", "jobs.name, jobs.id"),
        ("-name", "jobs.name desc, jobs.id desc"),
        ("-name,state", "jobs.name desc, jobs.state, jobs.id"),
        ("name,-state", "jobs.name, jobs.state desc, jobs.id desc"),
        ("-id,name", "jobs.id desc, jobs.name"),
        ("name,-name,name", "jobs.name, jobs.id"),
    ],
)
def test_rows_are_ordered_by_each_key_and_then_by_id(sort: str, order_by: str) -> None:
    assert listing(sort=sort).order_by == order_by


def test_a_resource_has_its_own_default() -> None:
    assert read_listing([], COLUMNS, "-updated_at").order_by == "jobs.updated_at desc, jobs.id desc"


def test_a_resource_without_id_has_no_tie_breaker() -> None:
    assert read_listing([("sort", "name")], {"name": COLUMNS["name"]}).order_by == "jobs.name"


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("foo", "foo"),
        ("-foo", "foo"),
        ("name,", ""),
        ("-", ""),
        (" name", " name"),
        ("Name", "Name"),
        ("team", "team"),
        ("--name", "-name"),
        ("data", "data"),
        ("-api_secret", "api_secret"),
        ("jobs.name; drop table jobs", "jobs.name; drop table jobs"),
    ],
)
def test_what_is_no_column_or_a_secret_one_is_no_sort_key(sort: str, key: str) -> None:
    with pytest.raises(ApiError) as refusal:
        listing(sort=sort)

    assert refusal.value.message == f'Invalid sort key: "{key}"'
    assert refusal.value.payload == {"Valid sort keys": OPEN_NAMES}


def test_json_has_no_order() -> None:
    with pytest.raises(ApiError, match=r"^kinds holds JSON"):
        listing(sort="kinds")
