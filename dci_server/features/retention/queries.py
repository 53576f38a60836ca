# SPDX-License-Identifier: Apache-2.0
"""The SQL of rules."""

from typing import LiteralString

from dci_server.features.retention.model import Rule, What
from dci_server.foundation.database.connection import Connection, execute, fetch_value

RULES: LiteralString = """
    retention_rules as rules left join topics on topics.id = rules.topic_id left join teams on teams.id = rules.team_id
"""
IN_ORDER: LiteralString = " order by topics.name nulls first, teams.name nulls first"


async def save_rule(db: Connection, rule: Rule) -> bool:
    """In place of the one that is there. False when there is no such topic or team."""
    saved = await fetch_value(
        db,
        """insert into retention_rules (what, topic_id, team_id, days, keep_tags)
           select %(what)s::text, topic.id, team.id, %(days)s::integer, %(keep_tags)s::text[]
           from (select (select id from topics where name = %(topic)s::text) as id) as topic,
                (select (select id from teams where name = %(team)s::text) as id) as team
           where (topic.id is not null or %(topic)s::text is null) and (team.id is not null or %(team)s::text is null)
           on conflict on constraint retention_rules_of_what_key
           do update set days = excluded.days, keep_tags = excluded.keep_tags
           returning true""",
        what=rule.what,
        topic=rule.topic,
        team=rule.team,
        days=rule.days,
        keep_tags=rule.keep_tags,
    )
    return saved is True


async def delete_rule(db: Connection, what: What, topic: str | None, team: str | None) -> bool:
    done = await execute(
        db,
        """delete from retention_rules as rules
           where rules.what = %(what)s::text
                 and rules.topic_id is not distinct from (select id from topics where name = %(topic)s::text)
                 and rules.team_id is not distinct from (select id from teams where name = %(team)s::text)
                 and (rules.topic_id is null) = (%(topic)s::text is null)
                 and (rules.team_id is null) = (%(team)s::text is null)""",
        what=what,
        topic=topic,
        team=team,
    )
    return done != "DELETE 0"
