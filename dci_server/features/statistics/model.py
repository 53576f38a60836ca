# SPDX-License-Identifier: Apache-2.0
"""The shapes of statistics; the names are those that screens read."""

from typing import Literal

from msgspec import Struct


class Named(Struct, frozen=True):
    id: str
    name: str


class LatestJob(Struct, frozen=True, kw_only=True):
    """The latest of a remoteci on a topic that succeeded or failed."""

    id: str
    status: Literal["success", "failure"]
    created_at: str
    remoteci_name: str
    team_name: str


class StatsOfTopic(Struct, frozen=True, kw_only=True, rename="camel"):
    topic: Named
    product: Named
    nb_of_jobs: int
    nb_of_successful_jobs: int
    percentage_of_success: int
    jobs: list[LatestJob]


class StatsAnswer(Struct):
    stats: list[StatsOfTopic]
