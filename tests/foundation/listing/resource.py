# SPDX-License-Identifier: Apache-2.0
"""A resource with a column of every kind, for the tests of its listing."""

from datetime import datetime

from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing, read_listing

COLUMNS: Columns = {
    "id": Column("jobs.id", "uuid"),
    "name": Column("jobs.name", "text"),
    "url": Column("jobs.url", "text"),
    "state": Column("jobs.state", "enum", members=("active", "inactive", "archived")),
    "team_id": Column("jobs.team_id", "uuid"),
    "tags": Column("jobs.tags", "array"),
    "public": Column("jobs.public", "boolean"),
    "size": Column("jobs.size", "integer"),
    "created_at": Column("jobs.created_at", "timestamp"),
    "updated_at": Column("jobs.updated_at", "timestamp"),
    "kinds": Column("jobs.kinds", "json"),
    "data": Column("jobs.data", "json", secret=True),
    "api_secret": Column("jobs.api_secret", "text", secret=True),
}
OPEN_NAMES = ["created_at", "id", "kinds", "name", "public", "size", "state", "tags", "team_id", "updated_at", "url"]


def listing(**parameters: str) -> Listing:
    return read_listing(list(parameters.items()), COLUMNS)


def filtered(**parameters: str) -> tuple[str, list[object]]:
    """The condition, with the names of its values left out, and the values in order."""
    condition = listing(**parameters).condition
    text: str = condition.sql
    for name in condition.params:
        text = text.replace(f"%({name})s", "?")
    return text, list(condition.params.values())


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
