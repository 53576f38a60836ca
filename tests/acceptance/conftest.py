# SPDX-License-Identifier: Apache-2.0
"""A server as a user starts it, and the published library as its callers use it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.library import api
from tests.server_process import Running, free_port, start, stop


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One for all: who counts what is there counts what is their own."""
    running = start(tmp_path_factory.mktemp("hub") / "data", free_port())
    yield running
    stop(running)


@pytest.fixture
def lab(server: Running) -> Any:
    rc = server.rc("demo")
    return api("context").build_signature_context(
        dci_cs_url=rc["DCI_CS_URL"], dci_client_id=rc["DCI_CLIENT_ID"], dci_api_secret=rc["DCI_API_SECRET"]
    )


@pytest.fixture
def admin(server: Running) -> Any:
    rc = server.rc("admin")
    return api("context").build_dci_context(
        dci_cs_url=rc["DCI_CS_URL"], dci_login=rc["DCI_LOGIN"], dci_password=rc["DCI_PASSWORD"]
    )
