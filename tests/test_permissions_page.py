# SPDX-License-Identifier: Apache-2.0
"""docs/permissions.md is what the code declares."""

from dci_server.app import all_routes
from scripts.permissions import PATH, page


def test_the_page_is_up_to_date() -> None:
    assert PATH.read_text() == page(), "docs/permissions.md is out of date; run: make docs"


def test_every_rule_is_said_in_words() -> None:
    assert [route.full_path for route in all_routes() if not route.who.words.strip()] == []
