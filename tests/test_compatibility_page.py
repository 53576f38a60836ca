# SPDX-License-Identifier: Apache-2.0
"""`docs/compatibility.md` names places in the code and tests: they are there."""

import re
from pathlib import Path

HERE = Path(__file__).parents[1]
PAGE = (HERE / "docs/compatibility.md").read_text()


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = {
        name for path in (HERE / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }

    assert len(named) > 50
    assert named - written == set()


def test_every_place_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:features|foundation)/[\w/]+\.py)`(?: `([\w.]+)`)?", PAGE))
    missing = [
        (path, symbol)
        for path, symbol in sorted(named)
        if not (HERE / "dci_server" / path).exists()
        or (symbol and symbol.rpartition(".")[2] not in (HERE / "dci_server" / path).read_text())
    ]

    assert len(named) > 20
    assert missing == []
