# SPDX-License-Identifier: Apache-2.0
"""Who may see and change users, and say which teams they are in."""

from dci_server.features.teams import access as teams
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import EPMS, MEMBERS, SUPER_ADMINS, Rule
from dci_server.foundation.database.sql import EVERYTHING, NOTHING, Condition

LIST = EPMS
READ = Rule("the user, EPM, super admins", lambda caller, own: caller.is_epm or own)
CREATE = EPMS
CHANGE = SUPER_ADMINS
DELETE = SUPER_ADMINS
# The read-only role is no obstacle: one's own profile is the one thing it may write (decision 9).
ONESELF = Rule("users; remotecis and feeders are none", lambda caller, _own: caller.kind == "user", hides=True)

LIST_OF_TEAM = MEMBERS
CHANGE_TEAM = teams.CHANGE

NOT_ARCHIVED = Condition("users.state <> 'archived'")


def deletable_by(caller: Identity) -> Condition:
    return EVERYTHING if caller.is_super_admin else NOTHING
