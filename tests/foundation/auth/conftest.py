# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator

import pytest

from tests.openid import OpenIdProvider, running_provider


@pytest.fixture(scope="session")
def provider_process() -> Iterator[OpenIdProvider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
async def provider(provider_process: OpenIdProvider) -> OpenIdProvider:
    """Well, and signing with its first key, whatever the last test did to it."""
    await provider_process.behave("well")
    await provider_process.publish(provider_process.key)
    return provider_process
