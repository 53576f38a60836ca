# SPDX-License-Identifier: Apache-2.0
"""The URL of statistics."""

from dci_server.features.statistics import queries
from dci_server.features.statistics.model import StatsAnswer
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import SEES_OWN
from dci_server.foundation.database.sql import EVERYTHING, Condition, is_one_of
from dci_server.foundation.http import Call, Response, get, page


async def get_stats(call: Call) -> Response:
    """By topic, how the latest run of each laboratory of an external team went; an errored run does not count."""
    return page(await queries.read_stats(call.db, _visible_to(call.caller)))


def _visible_to(caller: Identity) -> Condition:
    """The laboratories of the caller's teams; privileged readers see all."""
    return EVERYTHING if caller.reads_everything else is_one_of("remotecis.team_id", "team_ids", caller.team_ids)


routes = [get("/stats", get_stats, StatsAnswer, who=SEES_OWN)]
