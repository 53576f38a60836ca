# SPDX-License-Identifier: Apache-2.0
"""Secrets in reads, for old provisioning scripts, where `DCI_LEGACY_SECRETS_IN_READS` asks for it (decision 18)."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw

from dci_server.foundation.auth.client_secrets import Owners, find_newest_secrets
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Json
from dci_server.foundation.http import Call

_Row = dict[str, Raw]


async def page_with_secrets(call: Call, owners: Owners, found: Json[Any]) -> Json[Any]:
    """A page of owners, each with its secret where the setting and the caller's rights allow it."""
    if not call.services.legacy_secrets_in_reads:
        return found
    whole = msgspec.json.decode(found.raw, type=_Row)
    rows = msgspec.json.decode(whole[owners.table], type=list[_Row])
    await _add_secrets(call, owners, rows)
    whole[owners.table] = Raw(msgspec.json.encode(rows))
    return Json(msgspec.json.encode(whole))


async def one_with_secret(call: Call, owners: Owners, found: Json[Any]) -> Json[Any]:
    """The same for a single owner."""
    if not call.services.legacy_secrets_in_reads:
        return found
    row = msgspec.json.decode(found.raw, type=_Row)
    await _add_secrets(call, owners, [row])
    return Json(msgspec.json.encode(row))


async def _add_secrets(call: Call, owners: Owners, rows: list[_Row]) -> None:
    """Of the newest valid secret; null when there is none."""
    shown = {_uuid(row["id"]): row for row in rows if _may_see_secrets(call.caller, _uuid(row["team_id"]))}
    for row in shown.values():
        row["api_secret"] = Raw(b"null")
    for newest in await find_newest_secrets(call.db, owners, list(shown)):
        secret = call.services.secrets.open(newest["sealed_secret"], newest["owner_id"])
        shown[newest["owner_id"]]["api_secret"] = Raw(msgspec.json.encode(secret))


def _may_see_secrets(caller: Identity, team_id: UUID) -> bool:
    """Super admins, and members of the team, which by membership of Red Hat nobody is here."""
    return caller.is_super_admin or (team_id in caller.team_ids and caller.works_for(team_id))


def _uuid(raw: Raw) -> UUID:
    return msgspec.json.decode(raw, type=UUID)
