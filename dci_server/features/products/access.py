# SPDX-License-Identifier: Apache-2.0
"""Who may see products and attach teams to them."""

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.sql import Condition, all_of
from dci_server.foundation.errors import NotAuthorized

NOT_ARCHIVED = Condition("products.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """Those attached to a team of the caller; privileged readers see all (permissions.md §2.1)."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    attached = Condition(
        "exists (select from products_teams where products_teams.product_id = products.id"
        " and products_teams.team_id = any(%(team_ids)s::uuid[]))",
        {"team_ids": list(caller.team_ids)},
    )
    return all_of(NOT_ARCHIVED, attached)


def require_can_create(caller: Identity) -> None:
    if not caller.is_super_admin:
        raise NotAuthorized


def require_can_attach(caller: Identity) -> None:
    if not caller.is_epm:
        raise NotAuthorized
