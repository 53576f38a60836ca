# SPDX-License-Identifier: Apache-2.0
"""The statement that creates a job: it decides and writes, and its facts come back beside the job.

A fact that refuses leaves no row behind. Parts that were not asked for are left out, because PostgreSQL prepares every part
of a statement each time it runs: with all of them that took longer than the work.
"""

from typing import LiteralString

from dci_server.features.jobs.queries import JOB_COLUMNS
from dci_server.foundation.database.connection import Connection, Record, fetch_row
from dci_server.foundation.events.actor import BY_ACTOR
from dci_server.foundation.identifiers import new_id

_BEGIN: LiteralString = """
with topic as (
    select topics.id, topics.name, topics.state, topics.product_id, topics.component_types,
           products.state = 'archived' as product_is_archived,
           (%(any_topic)s::boolean or (
               exists (select from products_teams where products_teams.product_id = topics.product_id
                       and products_teams.team_id = any(%(team_ids)s::uuid[]))
               and (topics.export_control or %(pre_release)s::boolean))) as is_usable
    from topics join products on products.id = topics.product_id
    where topics.id = %(topic_id)s::uuid and topics.state <> 'archived'
), remoteci as (
    select id, team_id, state from remotecis where id = %(remoteci_id)s::uuid and state <> 'archived'
)
"""

_NAMED: LiteralString = """
, wanted as (
    select distinct on (given.id) given.id, given.position, components.id as found, components.name, components.type,
           components.state, components.topic_id,
           (components.team_id is null or components.team_id = any(%(team_ids)s::uuid[])
            or exists (select from teams_components_access where access_team_id = components.team_id
                       and team_id = any(%(team_ids)s::uuid[]))) as is_usable
    from unnest(%(components)s::uuid[]) with ordinality as given (id, position)
    left join components on components.id = given.id and components.state <> 'archived'
    order by given.id, given.position
), of_components as (
    select
        exists (select from wanted where found is null) as component_is_missing,
        exists (select from wanted where found is not null and not is_usable) as component_is_foreign,
        (select wanted.id from wanted, topic where %(strict)s::boolean and found is not null
            and (wanted.state <> 'active' or wanted.topic_id <> topic.id) order by wanted.position limit 1)
            as component_not_of_topic,
        (select type from wanted where %(strict)s::boolean and found is not null group by type having count(*) > 1
            limit 1) as type_given_twice,
        %(strict)s::boolean and cardinality(%(components)s::uuid[])
            <> (select cardinality(component_types) from topic) as number_differs,
        null::text as type_without_component,
        null::text as type_listed_twice
)
"""

_NEWEST: LiteralString = """
, newest as (
    select kind.name as type, kind.position, found.id
    from topic cross join unnest(topic.component_types) with ordinality as kind (name, position)
    left join lateral (
        select components.id from components
        where components.topic_id = topic.id and components.type = kind.name and components.state = 'active'
              and components.team_id is null
        order by components.created_at desc limit 1
    ) as found on true
), of_components as (
    select
        false as component_is_missing,
        false as component_is_foreign,
        null::uuid as component_not_of_topic,
        null::text as type_given_twice,
        false as number_differs,
        (select type from newest where id is null order by position limit 1) as type_without_component,
        (select type from newest group by type having count(*) > 1 limit 1) as type_listed_twice
)
"""

_FACTS: LiteralString = """
, facts as (
    select
        (select state from remoteci) as remoteci_state,
        (select name from topic) as topic_name,
        (select state from topic) as topic_state,
        (select product_is_archived and not %(any_topic)s::boolean from topic) as product_is_archived,
        (select is_usable from topic) as topic_is_usable,
        (select component_types from topic) as component_types,
        of_components.*,
"""

_NOT_ASKED: LiteralString = "true"
_OF_CALLER: LiteralString = (
    " and state <> 'archived' and (%(reads_all)s::boolean or team_id = any(%(team_ids)s::uuid[])))"
)

_DONE: LiteralString = (
    """
    from of_components
), accepted as (
    select from facts
    where (%(any_state)s::boolean or (remoteci_state = 'active' and topic_state = 'active')) and not product_is_archived
          and topic_is_usable and previous_is_visible and update_previous_is_visible and pipeline_is_visible
          and not component_is_missing and not component_is_foreign and type_without_component is null
          and type_listed_twice is null and component_not_of_topic is null and type_given_twice is null
          and not number_differs
), created as (
    insert into jobs (id, topic_id, product_id, remoteci_id, team_id, name, comment, configuration, status_reason, url, state,
                      tags, data, previous_job_id, update_previous_job_id, pipeline_id, user_agent, client_version)
    select %(job_id)s::uuid, topic.id, topic.product_id, remoteci.id, remoteci.team_id, %(name)s::text, %(comment)s::text,
           %(configuration)s::text, %(status_reason)s::text, %(url)s::text, %(state)s::text, %(tags)s::text[],
           %(data)s::json, %(previous_job_id)s::uuid, %(update_previous_job_id)s::uuid, %(pipeline_id)s::uuid,
           %(user_agent)s::text, %(client_version)s::text
    from topic, remoteci, accepted
    where """
    + BY_ACTOR
    + """ returning """
    + JOB_COLUMNS
    + """, jobs.data
), attached as (
    insert into jobs_components (job_id, component_id)
    select created.id, chosen.id from created, ("""
)

_END: LiteralString = """) as chosen
)
select facts.*, (select row_to_json(created) from created) as job from facts
"""


async def insert_job(db: Connection, *, newest: bool, **params: object) -> Record:
    """What speaks for and against the job, and the job itself when nothing spoke against it.

    Of the newest components of the topic when `newest`, else of those named in `components`.
    """
    previous, update_previous, pipeline = (
        _is_visible("jobs", "%(previous_job_id)s", asked=params["previous_job_id"] is not None),
        _is_visible("jobs", "%(update_previous_job_id)s", asked=params["update_previous_job_id"] is not None),
        _is_visible("pipelines", "%(pipeline_id)s", asked=params["pipeline_id"] is not None),
    )
    sql = (
        _BEGIN + (_NEWEST if newest else _NAMED) + _FACTS
        + previous + " as previous_is_visible, " + update_previous + " as update_previous_is_visible, "
        + pipeline + " as pipeline_is_visible"
        + _DONE + ("select id from newest" if newest else "select found as id from wanted") + _END
    )  # fmt: skip
    row = await fetch_row(db, sql, job_id=new_id(), **params)
    assert row is not None
    return row


def _is_visible(table: LiteralString, parameter: LiteralString, *, asked: bool) -> LiteralString:
    if not asked:
        return _NOT_ASKED
    return "exists (select from " + table + " where id = " + parameter + "::uuid" + _OF_CALLER
