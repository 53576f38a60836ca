# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from pathlib import Path

import dci_server

DIRECTORY = Path(dci_server.__file__).parent / "migrations"


def test_each_migration_has_a_number_of_its_own() -> None:
    numbers = [int(path.name[:4]) for path in sorted(DIRECTORY.glob("*.sql"))]
    revisions = [int(path.name[1:5]) for path in sorted((DIRECTORY / "versions").glob("r*.py"))]

    assert Counter(numbers) == Counter(revisions) == Counter(range(1, len(numbers) + 1))
