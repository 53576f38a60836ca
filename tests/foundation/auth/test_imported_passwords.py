# SPDX-License-Identifier: Apache-2.0
"""Password hashes that were made by other servers (auth §3)."""

import httpx
import pytest

from dci_server.foundation.auth.imported_passwords import is_imported, verify_imported
from tests.conftest import ClientOf, World

# As the C library makes them.
SHA_512 = (
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    "Hello world!",
)
SHA_512_LONG = (
    "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4u"
    "r1",
    "a very much longer text to encrypt.  This one even stretches over morethan one line.",
)
SHA_256 = ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!")
# As an existing server makes them.
TODAYS = (
    "$6$rounds=656000$abcdefgh$/Ei/7YaGhLUaj/.Vzhbn8/qTav7snBIiSWc4ltNfH/h5CKGCnV8KtAzHxd56WDXc3DF7SfbULGkU/EoGIlOV70",
    "secret",
)


@pytest.mark.parametrize(("stored", "password"), [SHA_512, SHA_512_LONG, SHA_256])
def test_a_hash_opens_for_its_password_alone(stored: str, password: str) -> None:
    assert is_imported(stored)
    assert verify_imported(stored, password.encode())
    assert not verify_imported(stored, password.encode() + b" ")


@pytest.mark.parametrize(
    "stored",
    ["", "$6$", "$6$salt$hash", "$1$saltstring$" + "a" * 43, "$6$rounds=999999999$salt$" + "a" * 86, SHA_512[0] + "\n"],
)
def test_what_is_no_hash_or_too_dear_is_not_computed(stored: str) -> None:
    assert not is_imported(stored)


@pytest.mark.parametrize("imported", [TODAYS, SHA_256], ids=["sha512", "sha256"])
@pytest.mark.parametrize("login", ["alice", "alice@example.org"])
async def test_an_imported_password_is_accepted_once_and_then_it_is_ours(
    client_of: ClientOf, world: World, imported: tuple[str, str], login: str
) -> None:
    stored, password = imported
    await world.db.execute("update users set password_hash = $1 where name = 'alice'", stored)
    before = await world.db.fetchrow("select etag, updated_at from users where name = 'alice'")
    stranger = client_of("stranger")
    auth = httpx.BasicAuth(login, password)

    first = await stranger.get("/identity", auth=auth)
    kept = await world.db.fetchval("select password_hash from users where name = 'alice'")
    again = await stranger.get("/identity", auth=auth)

    assert (first.status_code, again.status_code) == (200, 200)
    assert kept.startswith("$argon2id$")
    assert await world.db.fetchrow("select etag, updated_at from users where name = 'alice'") == before


async def test_a_wrong_password_leaves_an_imported_hash_as_it_is(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update users set password_hash = $1 where name = 'alice'", SHA_256[0])

    response = await client_of("stranger").get("/identity", auth=httpx.BasicAuth("alice", "hello world!"))

    assert (response.status_code, response.json()["message"]) == (401, "Invalid user credentials")
    assert await world.db.fetchval("select password_hash from users where name = 'alice'") == SHA_256[0]
