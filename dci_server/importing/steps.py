# SPDX-License-Identifier: Apache-2.0
"""The words a table's way over is described in: what is read, in which order, what is changed, what is written.

Rows are staged in the temporary table `staged` of our database, a batch at a time, with a number `n` in the order they
were read. The SQL of a step calls them `s`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, LiteralString, TypeAlias

Kind = Literal["changed", "skipped", "added", "noted"]
Present: TypeAlias = Mapping[str, frozenset[str]]
"""The source's tables, each with its columns."""

EXAMPLES = 5
"""How many rows a report names for each reason."""


@dataclass(frozen=True)
class Column:
    """What is staged. Without `source` it is the column of that name, or null where the source has none."""

    name: LiteralString
    type: LiteralString
    source: LiteralString | None = None


@dataclass(frozen=True)
class Change:
    """Rows that do not come over as they were, and why."""

    kind: Kind
    reason: LiteralString
    found: LiteralString
    example: LiteralString = "s.id::text"
    amount: LiteralString = "count(*)"


@dataclass(frozen=True)
class Finish:
    """What is done once, when all rows of a step are there. `sql` answers one text for each row it concerned."""

    sql: LiteralString
    kind: Kind = "changed"
    reason: LiteralString | None = None
    """None: not worth a word."""


@dataclass(frozen=True)
class Step:
    name: LiteralString
    table: LiteralString
    """Of the source. Without it there, the step has nothing to do."""
    columns: tuple[Column, ...]
    key: tuple[LiteralString, ...]
    """Staged columns that are unique together, none of them null; rows are read in their order."""
    write: LiteralString
    """Inserts what is staged; ends where `on conflict` may follow, when it is an insert."""
    changes: tuple[Change, ...] = ()
    finishes: tuple[Finish, ...] = ()
    essential: frozenset[str] = frozenset()
    """Columns without which the source is no control server's database."""
    is_essential: bool = False
    needs: frozenset[str] = frozenset()
    """Columns without which the step has nothing to do."""
    source: LiteralString | None = None
    """What stands in the place of the table when it is not read as it is."""
    join: LiteralString = ""
    condition: LiteralString = "true"
    flags: LiteralString = ""
    """More columns of `staged`, for `prepare`."""
    prepare: tuple[LiteralString, ...] = ()
    """Run on what is staged before the changes are looked for."""

    def stage(self) -> LiteralString:
        columns: LiteralString = "n bigint generated always as identity"
        for column in self.columns:
            columns += ", " + column.name + " " + column.type
        return "create temporary table staged (" + columns + self.flags + ") on commit delete rows"

    def read(self, present: Present, *, resumed: bool) -> LiteralString:
        """The query; resumed, it takes the parts of the position as text parameters."""
        has = present[self.table]
        types: dict[str, LiteralString] = {}
        expressions: dict[str, LiteralString] = {}
        for column in self.columns:
            own: LiteralString = "t." + column.name if column.name in has else "null"
            expressions[column.name] = own if column.source is None else column.source
            types[column.name] = column.type
        values: list[LiteralString] = ["(" + expressions[c.name] + ")::" + c.type for c in self.columns]
        selected = comma_list(values)
        keys: list[LiteralString] = [expressions[name] for name in self.key]
        key = comma_list(keys)
        where = self.condition
        if resumed:
            numbers: tuple[LiteralString, ...] = ("$1", "$2", "$3", "$4")
            after: list[LiteralString] = [
                number + "::text::" + types[name] for number, name in zip(numbers, self.key, strict=False)
            ]
            where += " and (" + key + ") > (" + comma_list(after) + ")"
        source: LiteralString = self.source or self.table
        return "select " + selected + " from " + source + " as t " + self.join + " where " + where + " order by " + key


def comma_list(parts: Sequence[LiteralString]) -> LiteralString:
    text: LiteralString = ""
    for part in parts:
        text += ", " + part if text else part
    return text


# What most tables have.

ID_AND_TIMES = (Column("created_at", "timestamp"), Column("id", "uuid"))
STANDARD = (*ID_AND_TIMES, Column("updated_at", "timestamp"), Column("etag", "text"), Column("state", "text"))
BY_AGE = ("created_at", "id")
ESSENTIAL = frozenset({"id", "created_at"})

STANDARD_NAMES: LiteralString = "id, created_at, updated_at, etag, state"
STANDARD_VALUES: LiteralString = """s.id, s.created_at, coalesce(s.updated_at, s.created_at), coalesce(s.etag, new_etag()),
    case when s.state in ('inactive', 'archived') then s.state else 'active' end"""
NO_STATE = Change(
    "changed",
    "the state was empty or unknown: active",
    "s.state is null or s.state not in ('active', 'inactive', 'archived')",
)

DATA: LiteralString = "case when json_typeof(s.data) <> 'null' then s.data else '{}'::json end"
TAGS: LiteralString = """case when s.tags is null then '{}'
    when array_ndims(s.tags) = 1 and array_position(s.tags, null) is null then s.tags
    else array(select tag from unnest(s.tags) with ordinality as u(tag, position) where tag is not null order by position)
    end"""
CONTROL: LiteralString = r"'[\u0001-\u001f\u007f]'"


def shortened(name: LiteralString) -> Change:
    """The names of ours are at most 255 characters long; some sources have no limit."""
    return Change("changed", "the name was longer than 255 characters: cut", "length(s." + name + ") > 255")


def without(
    parent: LiteralString, column: LiteralString, reason: LiteralString, example: LiteralString = "s.id::text"
) -> Change:
    """A row that names a parent which did not come over."""
    missing: LiteralString = "not exists (select from " + parent + " as p where p.id = s." + column + ")"
    return Change("skipped", reason, "s." + column + " is not null and " + missing, example)
