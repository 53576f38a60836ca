# SPDX-License-Identifier: Apache-2.0
"""How products, topics, components and their files come over."""

from typing import LiteralString

from dci_server.importing.steps import (
    BY_AGE,
    CONTROL,
    DATA,
    ESSENTIAL,
    NO_STATE,
    STANDARD,
    STANDARD_NAMES,
    STANDARD_VALUES,
    TAGS,
    Change,
    Column,
    Finish,
    Step,
    shortened,
    without,
)

# What had no product or no topic is not lost: it hangs on these two, which no team has access to.
PRODUCT: LiteralString = "'7d1b8c52-3c1e-4c57-9a54-0d6f2f6b8a10'::uuid"
TOPIC: LiteralString = "'2f0c6f0e-5b0a-4b0e-8c0f-4f9e1c7a3d21'::uuid"
_WITHOUT_PRODUCT: LiteralString = """insert into products (id, name, label, description)
    select """ + PRODUCT + """, 'Without a product', 'IMPORTED-WITHOUT-PRODUCT', 'What had no product in the hub that was imported'
    where exists (select from staged where {missing}) on conflict do nothing"""  # fmt: skip


def stand_in_product(missing: LiteralString) -> LiteralString:
    return _WITHOUT_PRODUCT.replace("{missing}", missing)


def stand_in_topic() -> LiteralString:
    """For what is staged without a topic."""
    return (
        "with product as (" + stand_in_product("topic_id is null") + """)
        insert into topics (id, name, product_id, export_control)
        select """ + TOPIC + ", 'Imported without a topic', " + PRODUCT + """, false
        where exists (select from staged where topic_id is null) on conflict do nothing"""
    )  # fmt: skip


PRODUCTS = Step(
    name="products",
    table="products",
    essential=ESSENTIAL | {"name"},
    columns=(*STANDARD, Column("name", "text"), Column("label", "text"), Column("description", "text")),
    key=BY_AGE,
    changes=(NO_STATE, shortened("name")),
    write="insert into products (" + STANDARD_NAMES + """, name, label, description)
        select """ + STANDARD_VALUES + """, left(s.name, 255), left(coalesce(s.label, s.name), 255), s.description
        from staged as s order by s.n""",
)  # fmt: skip

PRODUCTS_TEAMS = Step(
    name="products_teams",
    table="products_teams",
    columns=(Column("product_id", "uuid"), Column("team_id", "uuid")),
    key=("product_id", "team_id"),
    changes=(without("products", "product_id", "its product is not there", "s.product_id || ' ' || s.team_id"),),
    write="""insert into products_teams (product_id, team_id)
             select s.product_id, s.team_id from staged as s order by s.n""",
)

# A type is a text; what can't be one in PostgreSQL (NUL, half a surrogate pair) is left out too.
_IS_TYPE: LiteralString = r"""json_typeof(e) in ('string', 'number', 'boolean') and e::text !~* '\\u(0000|d[89a-f])'"""
_TYPES: LiteralString = """case when json_typeof(s.component_types) = 'array' then array(
        select e #>> '{}' from json_array_elements(s.component_types) with ordinality as u (e, position)
        where """ + _IS_TYPE + """ order by position)
    else '{}' end"""  # fmt: skip

TOPICS = Step(
    name="topics",
    table="topics",
    is_essential=True,
    essential=ESSENTIAL | {"name"},
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("product_id", "uuid"),
        Column("component_types", "json"),
        Column("component_types_optional", "json"),
        Column("export_control", "boolean"),
        Column("data", "json"),
    ),
    key=BY_AGE,
    prepare=(stand_in_product("product_id is null"),),
    changes=(
        NO_STATE,
        shortened("name"),
        Change(
            "changed",
            "it had no product: put under the product 'Without a product', which no team has",
            "s.product_id is null",
            "s.name",
        ),
        Change(
            "changed",
            "component_types was no list: empty",
            "json_typeof(s.component_types) not in ('array', 'null')",
            "s.name",
        ),
        Change(
            "changed",
            "component_types held something else than strings: made a string, or left out",
            """exists (select from json_array_elements(case when json_typeof(s.component_types) = 'array'
               then s.component_types else '[]' end) as u (e) where json_typeof(e) <> 'string' or not ("""
            + _IS_TYPE
            + "))",
            "s.name",
        ),
    ),
    write="insert into topics (" + STANDARD_NAMES + """, name, product_id, component_types, component_types_optional,
                               export_control, data)
        select """ + STANDARD_VALUES + ", left(s.name, 255), coalesce(s.product_id, " + PRODUCT + "), " + _TYPES + """,
               case when json_typeof(s.component_types_optional) = 'array' then s.component_types_optional else '[]' end,
               coalesce(s.export_control, false), """ + DATA + """
        from staged as s order by s.n""",
)  # fmt: skip

# After all topics, because one may name any other.
NEXT_TOPICS = Step(
    name="topics.next_topic_id",
    table="topics",
    condition="t.next_topic_id is not null",
    needs=frozenset({"next_topic_id"}),
    columns=(Column("created_at", "timestamp"), Column("id", "uuid"), Column("next_topic_id", "uuid")),
    key=BY_AGE,
    changes=(without("topics", "next_topic_id", "its next topic is not there", "s.id::text"),),
    write="update topics set next_topic_id = s.next_topic_id from staged as s where topics.id = s.id",
    finishes=(
        # Each topic has one next at most, so a walk that comes back to its start has seen the whole circle.
        Finish(
            """with recursive walk (start, at, seen) as (
                   select id, next_topic_id, array[id] from topics where next_topic_id is not null
                   union all
                   select walk.start, topics.next_topic_id, walk.seen || topics.id
                   from walk join topics on topics.id = walk.at
                   where topics.next_topic_id is not null and topics.id <> all(walk.seen))
               update topics set next_topic_id = null from walk
               where walk.at = walk.start and topics.id = walk.start
                 and topics.id = (select id from topics where id = any(walk.seen) order by created_at desc, id desc limit 1)
               returning topics.name""",
            "changed",
            "next topics went round in a circle: the newest topic of it has no next any more",
        ),
    ),
)

USERS_TOPICS = Step(
    name="users_topics",
    table="users_topics",
    columns=(Column("user_id", "uuid"), Column("topic_id", "uuid")),
    key=("user_id", "topic_id"),
    write="insert into users_topics (user_id, topic_id) select s.user_id, s.topic_id from staged as s order by s.n",
)

_SAME: LiteralString = """c.state = 'active' and c.display_name = coalesce(s.display_name, s.name)
    and c.topic_id = coalesce(s.topic_id, """ + TOPIC + """) and c.type = s.type and c.version = coalesce(s.version, '')
    and c.id <> s.id"""  # fmt: skip

COMPONENTS = Step(
    name="components",
    table="components",
    is_essential=True,
    essential=ESSENTIAL | {"name", "type", "topic_id"},
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("type", "text"),
        Column("display_name", "text"),
        Column("version", "text"),
        Column("uid", "text"),
        Column("canonical_project_name", "text"),
        Column("title", "text"),
        Column("message", "text"),
        Column("url", "text"),
        Column("released_at", "timestamp"),
        Column("data", "json"),
        Column("tags", "text[]"),
        Column("topic_id", "uuid"),
        Column("team_id", "uuid"),
    ),
    key=BY_AGE,
    flags=", is_twin boolean not null default false",
    prepare=(
        stand_in_topic(),
        """update staged set is_twin = true from (
               select n, row_number() over (
                   partition by coalesce(display_name, name), topic_id, type, coalesce(version, ''), team_id order by n)
                   as number
               from staged where state = 'active') as ranked
           where ranked.n = staged.n and ranked.number > 1""",
        "update staged as s set is_twin = true where s.state = 'active' and s.team_id is null and exists ("
        "select from components as c where c.team_id is null and " + _SAME + ")",
        "update staged as s set is_twin = true where s.state = 'active' and s.team_id is not null and exists ("
        "select from components as c where c.team_id is not null and c.team_id = s.team_id and " + _SAME + ")",
    ),
    changes=(
        # Not active, as elsewhere: it could be the twin of one that is.
        Change("changed", "the state was empty: inactive", "s.state is null"),
        Change(
            "changed",
            "an older active component has the same display name, topic, type, version and team: inactive",
            "s.is_twin",
        ),
        Change(
            "changed",
            "it had no topic: put under the topic 'Imported without a topic', which no team has access to",
            "s.topic_id is null",
        ),
        shortened("name"),
        without("topics", "topic_id", "its topic is not there"),
        without("teams", "team_id", "its team is not there"),
    ),
    write="""insert into components (id, created_at, updated_at, etag, state, name, type, display_name, version, uid,
                 canonical_project_name, title, message, url, released_at, data, tags, topic_id, team_id)
        select s.id, s.created_at, coalesce(s.updated_at, s.created_at), coalesce(s.etag, new_etag()),
               case when s.is_twin or s.state is null then 'inactive' else s.state end,
               left(s.name, 255), left(s.type, 255), coalesce(s.display_name, s.name), coalesce(s.version, ''),
               coalesce(s.uid, ''), s.canonical_project_name, s.title, s.message, s.url,
               coalesce(s.released_at, s.created_at), """ + DATA + ", " + TAGS + """,
               coalesce(s.topic_id, """ + TOPIC + """), s.team_id
        from staged as s order by s.n""",
)  # fmt: skip

COMPONENT_FILES = Step(
    name="component_files",
    table="component_files",
    essential=ESSENTIAL | {"component_id"},
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("mime", "text"),
        Column("md5", "text"),
        Column("size", "bigint"),
        Column("component_id", "uuid"),
    ),
    key=BY_AGE,
    changes=(
        NO_STATE,
        shortened("name"),
        Change("skipped", "it belongs to no component", "s.component_id is null"),
        without("components", "component_id", "its component is not there"),
        Change("changed", "the size was empty: 0 until the bytes are brought over", "s.size is null"),
        Change(
            "changed",
            "name or type held control characters: replaced by _",
            "s.name ~ " + CONTROL + " or s.mime ~ " + CONTROL,
        ),
    ),
    # The key is where existing hubs keep the object, below the directory that ours has for components.
    write="insert into component_files (" + STANDARD_NAMES + """, name, mime, md5, size, component_id, key)
        select """ + STANDARD_VALUES + """, left(regexp_replace(coalesce(s.name, s.id::text), """ + CONTROL + """, '_', 'g'), 255),
               regexp_replace(s.mime, """ + CONTROL + """, '_', 'g'), s.md5, coalesce(s.size, 0), s.component_id,
               'components/' || components.topic_id || '/' || components.id || '/' || s.id
        from staged as s join components on components.id = s.component_id order by s.n""",
)  # fmt: skip
