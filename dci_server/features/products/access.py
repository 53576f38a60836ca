# SPDX-License-Identifier: Apache-2.0
"""Who may see and change products, and attach teams to them."""

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import EPMS, MEMBERS, SEES_OWN, SUPER_ADMINS, Rule
from dci_server.foundation.database.sql import Condition, all_of

LIST = SEES_OWN
LIST_OF_TEAM = MEMBERS
READ = Rule(
    "callers to one of whose teams the product is attached; read-only, EPM, super admins",
    lambda caller, own: caller.reads_everything or own,
    hides=True,
)
CREATE = SUPER_ADMINS
CHANGE = SUPER_ADMINS
ATTACH = EPMS

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
