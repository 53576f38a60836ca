# SPDX-License-Identifier: Apache-2.0
"""Who may use and change a topic (permissions.md §2.2)."""

from dataclasses import replace

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import EPMS, EPMS_AND_FEEDERS, EVERYBODY, SEES_OWN, Rule
from dci_server.foundation.database.sql import EVERYTHING, NOTHING, Condition, all_of

LIST = SEES_OWN
USE = Rule(
    "callers whose teams have the topic's product, and pre-release access unless the topic is exported; "
    "feeders, read-only, EPM, super admins",
    lambda caller, own: caller.reads_everything or caller.kind == "feeder" or own,
)
CREATE = EPMS_AND_FEEDERS
CHANGE = EPMS_AND_FEEDERS
DELETE = EPMS
SUBSCRIBE = Rule(
    "users who may use the topic; remotecis and feeders that may are told 409",
    lambda caller, own: caller.kind == "user" and USE.allows(caller, own),
)
UNSUBSCRIBE = EVERYBODY
LIST_SUBSCRIBERS = EPMS
LIST_SUBSCRIPTIONS = SEES_OWN

NOT_ARCHIVED = Condition("topics.state <> 'archived'")


def usable_by(caller: Identity) -> Condition:
    """Its product is attached to a team of the caller, and it is released or a team has pre-release access."""
    if caller.reads_everything or caller.kind == "feeder":
        return EVERYTHING
    return _of_own_products(caller)


def workable_for(caller: Identity) -> Condition:
    """Usable, and not by membership of Red Hat alone, which is for reading (decision 9)."""
    teams = tuple(team for team in caller.teams if caller.works_for(team.id))
    return usable_by(replace(caller, teams=teams)) if teams else NOTHING


def visible_to(caller: Identity) -> Condition:
    """The list, where a feeder counts as an ordinary caller."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    return all_of(NOT_ARCHIVED, _of_own_products(caller))


def _of_own_products(caller: Identity) -> Condition:
    return Condition(
        "exists (select from products_teams join products on products.id = products_teams.product_id"
        " where products_teams.product_id = topics.product_id and products.state <> 'archived'"
        " and products_teams.team_id = any(%(team_ids)s::uuid[]))"
        " and (topics.export_control or %(pre_release)s::boolean)",
        {"team_ids": list(caller.team_ids), "pre_release": caller.has_pre_release_access},
    )
