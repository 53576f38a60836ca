# SPDX-License-Identifier: Apache-2.0
"""Whatever is done in whatever order, the server agrees with a model that fits on a page.

A quick run takes the same steps every time; with `--slow` it is a long one, and another each time.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import World
from tests.fuzzing.catalogue import Catalogue
from tests.fuzzing.hub import Hub, running
from tests.fuzzing.laboratories import Laboratories


@pytest.fixture
def hub(database_url: str, key: str, tmp_path: Path, template: World) -> Iterator[Hub]:
    with running(database_url, key, tmp_path, template) as found:
        yield found


def _settings(config: pytest.Config, examples: int) -> settings:
    slow = bool(config.getoption("--slow"))
    return settings(
        max_examples=examples * 40 if slow else examples,
        stateful_step_count=50 if slow else 15,
        derandomize=not slow,
        database=None,
        deadline=None,
        # A shorter story is worth minutes only to somebody who reads it.
        phases=(Phase.generate, Phase.shrink) if slow else (Phase.generate,),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@pytest.mark.timeout(3600)
def test_everybody_sees_of_the_catalogue_what_the_contract_says(hub: Hub, pytestconfig: pytest.Config) -> None:
    def machine() -> Catalogue:
        return Catalogue(hub)

    run_state_machine_as_test(machine, settings=_settings(pytestconfig, examples=10))  # pyright: ignore[reportArgumentType] # any callable will do


@pytest.mark.timeout(3600)
def test_of_laboratories_and_jobs_everybody_sees_their_own(hub: Hub, pytestconfig: pytest.Config) -> None:
    def machine() -> Laboratories:
        return Laboratories(hub)

    run_state_machine_as_test(machine, settings=_settings(pytestconfig, examples=12))  # pyright: ignore[reportArgumentType] # any callable will do
