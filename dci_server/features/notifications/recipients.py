# SPDX-License-Identifier: Apache-2.0
"""The SQL of what follows from events: a delivery per webhook and event, a mail per person and event, a message for the bus
per job that started or finished."""

from typing import LiteralString, NamedTuple

from dci_server.features.events.queries import EVENT
from dci_server.foundation.database.connection import Connection, fetch_row, fetch_value, transaction

# An event weighs as many rows as can follow from it, and one for itself. The batch ends before it weighs too much, but has
# one event: of such, many webhooks of the whole hub and a topic that thousands follow make more rows than a statement has
# time for.
_BATCH: LiteralString = (
    """
    listening as materialized (
        select team_id, count(*) as webhooks from webhooks where state = 'active' group by team_id
    ), weighed as materialized (
        select id, numbered_at, weight, sum(weight) over (order by id) as weight_so_far
        from (select id, numbered_at, 1
                     + coalesce((select sum(webhooks) from listening
                                 where events.team_id is null or listening.team_id is null
                                       or listening.team_id = events.team_id), 0)
                     + case when type = 'job_finished'
                            then (select count(*) from users_remotecis where remoteci_id = events.remoteci_id)
                            when type in ('component_created', 'component_activated')
                            then (select count(*) from users_topics where topic_id = events.topic_id)
                            else 0 end as weight
              from events where id > %(last_id)s::bigint order by id limit %(most_events)s::integer) as next
    ), batch as materialized (
        select shown.id as event_id, events.created_at, events.type, events.subject_id, events.team_id, events.topic_id,
               events.remoteci_id, events.job_id, events.data, row_to_json(shown) as shown
        from weighed
             join events on events.id = weighed.id and events.numbered_at = weighed.numbered_at
             cross join lateral ("""
    + EVENT
    + """ where events.id = weighed.id and events.numbered_at = weighed.numbered_at) as shown
        where weight_so_far <= %(most_rows)s::integer or weight_so_far = weight
    )
"""
)

_MAY_BE_TOLD: LiteralString = """
    (webhooks.team_id is null or events.team_id = webhooks.team_id
     or (events.team_id is null and exists (
         select from topics join products on products.id = topics.product_id
                join products_teams on products_teams.product_id = products.id
         where topics.id = events.topic_id and products.state <> 'archived'
               and products_teams.team_id = webhooks.team_id
               and (topics.export_control or teams.has_pre_release_access))))
"""
"""What a member of the webhook's team sees in the log of events; the hub's own see all."""

_WANTS: LiteralString = """
    (webhooks.event_types = '{}' or events.type = any(webhooks.event_types))
    and (webhooks.topic_ids = '{}' or events.topic_id = any(webhooks.topic_ids))
    and (webhooks.remoteci_ids = '{}' or events.remoteci_id = any(webhooks.remoteci_ids))
    and (webhooks.statuses = '{}' or events.data ->> 'status' = any(webhooks.statuses))
"""

# Three reads of an index, of which at most two find something: most webhooks are those of other teams.
_OF_WHOM: LiteralString = """
    select * from webhooks where team_id is null
    union all select * from webhooks where team_id = events.team_id
    union all select * from webhooks where events.team_id is null and team_id is not null
"""

_TO_WEBHOOKS: LiteralString = (
    """
    matched as materialized (
        select new_id() as id, webhooks.id as webhook_id, events.*
        from batch as events
             cross join lateral ("""
    + _OF_WHOM
    + """) as webhooks
             left join teams on teams.id = webhooks.team_id
        where webhooks.state = 'active' and webhooks.created_at <= events.created_at
              and (webhooks.team_id is null or teams.state = 'active') and """
    + _MAY_BE_TOLD
    + " and "
    + _WANTS
    + """
    ), to_webhooks as (
        insert into webhooks_deliveries (id, webhook_id, event_id, type, subject_id, job_id, body)
        select matched.id, webhook_id, event_id, type, subject_id, job_id,
               json_build_object(
                   'delivery_id', matched.id, 'webhook_id', webhook_id, 'type', type, 'created_at', created_at,
                   'event', shown, 'names', json_build_object(
                       'team', (select name from teams where teams.id = matched.team_id),
                       'topic', (select name from topics where topics.id = matched.topic_id),
                       'remoteci', (select name from remotecis where remotecis.id = matched.remoteci_id)),
                   'url', case when job_id is not null then %(links)s::text || '/jobs/' || job_id end)::text
        from matched
        on conflict (webhook_id, event_id) do nothing
        returning 1
    )
"""
)

_READS_EVERYTHING: LiteralString = """
    exists (select from users_teams join teams on teams.id = users_teams.team_id
            where users_teams.user_id = users.id and teams.state = 'active' and teams.role is not null)
"""

# A status that somebody corrects by hand is no news: the same transaction then says that the job was updated.
_BY_A_JOBSTATE: LiteralString = """
          not exists (
              select from events as cause
              where cause.job_id = events.job_id and cause.id < events.event_id and cause.id > events.event_id - 1000
                    and cause.type = 'job_updated' and cause.created_at = events.created_at
                    and cause.data -> 'changed' ? 'status')
"""

_OF_JOBS: LiteralString = (
    """
    select events.event_id, users.id as user_id, users.email, 'job' as kind,
           jsonb_build_object(
               'job_id', events.job_id, 'status', events.data ->> 'status', 'topic_id', topics.id,
               'topic_name', topics.name, 'remoteci_id', remotecis.id, 'remoteci_name', remotecis.name,
               'components', (select coalesce(jsonb_agg(name order by type, created_at, id), '[]') from components
                              where id in (select component_id from jobs_components
                                           where jobs_components.job_id = events.job_id)),
               'regressions', (select coalesce(jsonb_object_agg(name, n), '{}') from (
                                   select results.name, sum(regressions) as n from tests_results as results
                                   join files on files.id = results.file_id and files.state <> 'archived'
                                   where results.job_id = events.job_id group by results.name) as of_name)) as facts
    from batch as events
         join jobs on jobs.id = events.job_id
         join remotecis on remotecis.id = events.remoteci_id and remotecis.state <> 'archived'
         join topics on topics.id = events.topic_id
         join users_remotecis on users_remotecis.remoteci_id = remotecis.id
         join users on users.id = users_remotecis.user_id and users.state = 'active' and users.email <> ''
    where events.type = 'job_finished' and events.data ->> 'status' in ('failure', 'error') and """
    + _BY_A_JOBSTATE
    + """
          and (exists (select from users_teams join teams on teams.id = users_teams.team_id
                       where users_teams.user_id = users.id and teams.state = 'active' and teams.id = events.team_id)
               or """
    + _READS_EVERYTHING
    + ")"
)

_OF_COMPONENTS: LiteralString = (
    """
    select events.event_id, users.id, users.email, 'component',
           jsonb_build_object('component_id', components.id, 'component_name', components.name, 'topic_id', topics.id,
                              'topic_name', topics.name)
    from batch as events
         join components on components.id = events.subject_id and components.state = 'active'
         join topics on topics.id = components.topic_id and topics.state <> 'archived'
         join users_topics on users_topics.topic_id = topics.id
         join users on users.id = users_topics.user_id and users.state = 'active' and users.email <> ''
    where (events.type = 'component_activated'
           or (events.type = 'component_created' and events.data ->> 'state' = 'active'))
          and ("""
    + _READS_EVERYTHING
    + """ or exists (
              select from (
                  select bool_or(products_teams.team_id is not null) as has_product,
                         bool_or(teams.has_pre_release_access) as has_pre_release_access,
                         bool_or(components.team_id is null or teams.id = components.team_id
                                 or granted.team_id is not null) as sees_it
                  from users_teams
                       join teams on teams.id = users_teams.team_id and teams.state = 'active'
                       left join products_teams on products_teams.team_id = teams.id
                            and products_teams.product_id = (select id from products where products.id = topics.product_id
                                                                                           and products.state <> 'archived')
                       left join teams_components_access as granted on granted.team_id = teams.id
                            and granted.access_team_id = components.team_id
                  where users_teams.user_id = users.id) as theirs
              where has_product and sees_it and (topics.export_control or has_pre_release_access)))
"""
)

_OF_WEBHOOKS: LiteralString = """
    select distinct events.event_id, users.id, users.email, 'webhook_disabled',
           events.data || jsonb_build_object('webhook_id', events.subject_id)
    from batch as events
         join teams on teams.state = 'active' and (teams.id = events.team_id
                                                   or (events.team_id is null and teams.role = 'super_admin'))
         join users_teams on users_teams.team_id = teams.id
         join users on users.id = users_teams.user_id and users.state = 'active' and users.email <> ''
    where events.type = 'webhook_disabled'
"""

_FAN_OUT: LiteralString = (
    """
    with """
    + _BATCH
    + ", "
    + _TO_WEBHOOKS
    + """, to_people as (
        insert into mails (event_id, user_id, email, kind, facts)
        select * from ("""
    + _OF_JOBS
    + " union all "
    + _OF_COMPONENTS
    + " union all "
    + _OF_WEBHOOKS
    + """) as mail
        where %(with_mail)s::boolean
        on conflict (event_id, user_id) do nothing
        returning 1
    ), to_the_bus as (
        insert into bus_messages (event_id, kind, happened_at, job_id)
        select event_id, case type when 'job_created' then 'job_started' else type end, created_at, job_id
        from batch as events
        where %(with_bus)s::boolean
              and (events.type = 'job_created' or (events.type = 'job_finished' and """
    + _BY_A_JOBSTATE
    + """))
        on conflict (event_id) do nothing
        returning 1
    ), moved as (
        update event_consumers set last_id = (select max(event_id) from batch)
        where name = 'notifications' and exists (select from batch)
    )
    select (select count(*) from batch) as events,
           (select count(*) > (select count(*) from batch) or count(*) = %(most_events)s::integer from weighed) as has_more,
           (select count(*) from to_webhooks) + (select count(*) from to_people) + (select count(*) from to_the_bus) as made
"""
)  # fmt: skip


class Told(NamedTuple):
    """How many events were looked at, and whether more follow."""

    events: int
    has_more: bool


async def tell(
    db: Connection, *, links: str, with_mail: bool, with_bus: bool, most_events: int, most_rows: int
) -> Told | None:
    """The next events: what follows from them, and how far that is, in one transaction. None when another process is at it.

    `links` is what addresses for people begin with.
    """
    async with transaction(db) as connection:
        last_id = await fetch_value(
            connection, "select last_id from event_consumers where name = 'notifications' for update skip locked"
        )
        if last_id is None:
            return None
        row = await fetch_row(
            connection,
            _FAN_OUT,
            last_id=last_id,
            most_events=most_events,
            most_rows=most_rows,
            links=links,
            with_mail=with_mail,
            with_bus=with_bus,
        )
        assert row is not None
        if row["made"]:
            await fetch_value(connection, "select pg_notify('deliveries', '')")
        return Told(row["events"], row["has_more"])


async def find_last_told(db: Connection) -> int:
    return await fetch_value(db, "select last_id from event_consumers where name = 'notifications'")


async def pass_over(db: Connection, last_id: int) -> int | None:
    """The id of the event after that one, of which nothing will follow; None when it has been told meanwhile."""
    return await fetch_value(
        db,
        """update event_consumers set last_id = (select min(id) from events where id > %(last_id)s::bigint)
           where name = 'notifications' and last_id = %(last_id)s::bigint
                 and exists (select from events where id > %(last_id)s::bigint)
           returning last_id""",
        last_id=last_id,
    )
