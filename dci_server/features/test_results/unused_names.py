# SPDX-License-Identifier: Apache-2.0
"""Names that no case has any more leave the dictionary: noted when they are found, removed half a day after that.

A report looks names up before its cases are there, and has six hours to become visible. So whoever looked a name up
before it was noted has its cases in the table, or has failed, when it would be removed; whoever looks it up later sees the
note, and takes it off (`keep_names`) in a statement that waits for a removal under way.
"""

from dci_server.foundation.database.connection import Connection, fetch_row, fetch_value

NAMES_AT_ONCE = 2_000
# The cases of a name are asked for in the order of their index: without one, what few different names have would be looked for
# in the whole table.


async def note_unused_names(db: Connection, limit: int = NAMES_AT_ONCE) -> bool:
    """Looks at the next ones, and begins anew after the last. False when it did, or somebody else is looking."""
    row = await fetch_row(
        db,
        """with walk as (
               select place from test_names_walk for update skip locked
           ), looked_at as (
               select id, unused_since from test_names
               where id > (select place from walk) order by id limit %(limit)s::integer
           ), unused as (
               select test_names.id from test_names join looked_at on looked_at.id = test_names.id
               where looked_at.unused_since is null
                     and (select true from cases where cases.test_id = looked_at.id
                          order by cases.created_at desc limit 1) is null
               for update of test_names skip locked
           ), noted as (
               update test_names set unused_since = utc_now() from unused where test_names.id = unused.id
           ), moved as (
               update test_names_walk
               set place = case when (select count(*) from looked_at) < %(limit)s::integer then 0
                                else (select max(id) from looked_at) end
               from walk
               returning test_names_walk.place
           )
           select place > 0 as goes_on from moved""",
        limit=limit,
    )
    return row is not None and row["goes_on"]


async def remove_unused_names(db: Connection, limit: int = NAMES_AT_ONCE) -> int:
    """Those that were noted half a day ago and have no case; others lose their note. How many were looked at."""
    return await fetch_value(
        db,
        """with due as (
               select id from test_names where unused_since < utc_now() - interval '12 hours'
               order by unused_since limit %(limit)s::integer for update skip locked
           ), judged as (
               select id, (select true from cases where cases.test_id = due.id
                           order by cases.created_at desc limit 1) is null as is_unused
               from due
           ), removed as (
               delete from test_names using judged where test_names.id = judged.id and is_unused
           ), kept as (
               update test_names set unused_since = null from judged where test_names.id = judged.id and not is_unused
           )
           select count(*) from due""",
        limit=limit,
    )


async def keep_names(db: Connection, ids: list[int]) -> list[int]:
    """Takes the note off; those that are still there."""
    row = await fetch_row(
        db,
        """with present as (
               select id from test_names where id = any(%(ids)s::bigint[]) order by id for update
           ), kept as (
               update test_names set unused_since = null from present where test_names.id = present.id
           )
           select coalesce(array_agg(id), '{}') as ids from present""",
        ids=ids,
    )
    assert row is not None
    return row["ids"]


async def count_unused_names(db: Connection) -> int:
    """As far as they were found."""
    return await fetch_value(db, "select count(*) from test_names where unused_since is not null")
