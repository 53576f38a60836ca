# SPDX-License-Identifier: Apache-2.0
"""What a rule is, and the SQL that finds the one a job falls under."""

from dataclasses import dataclass
from typing import Literal, LiteralString, get_args

What = Literal["cases", "files"]
KINDS: tuple[What, ...] = get_args(What)


@dataclass(frozen=True, slots=True)
class Rule:
    """Of all topics and teams when it names none; for ever without days."""

    what: What
    topic: str | None
    team: str | None
    days: int | None
    keep_tags: list[str]


def rule_of_job(what: LiteralString) -> LiteralString:
    """To be joined to `jobs`: of the rules that fit a job the closest counts."""
    return (
        """left join lateral (
        select rules.id, rules.days, rules.keep_tags from retention_rules as rules
        where rules.what = '"""
        + what
        + """' and (rules.topic_id is null or rules.topic_id = jobs.topic_id)
              and (rules.team_id is null or rules.team_id = jobs.team_id)
        order by rules.topic_id is null, rules.team_id is null limit 1
    ) as rule on true
"""
    )
