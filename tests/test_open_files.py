# SPDX-License-Identifier: Apache-2.0
"""A server may have as many connections as its machine lets it have, whatever limit it was started with."""

import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import Running, free_port, start, stop

_FEW = 256


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FEW, hard))
    try:
        running = start(tmp_path / "data", free_port())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield running
    stop(running)


def test_a_server_raises_its_limit_of_open_files(server: Running) -> None:
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()

    found = re.search(r"Max open files\s+(\d+)\s+(\d+|unlimited)", limits)
    assert found is not None
    hard = 65_536 if found[2] == "unlimited" else min(int(found[2]), 65_536)
    assert int(found[1]) == max(hard, _FEW)
