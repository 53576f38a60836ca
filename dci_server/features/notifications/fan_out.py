# SPDX-License-Identifier: Apache-2.0
"""Turns events into what is to be sent: a delivery per webhook and event, a mail per person and
event, a message for the bus per job that started or finished.

One process at a time does it, whoever has the consumer's row; what it writes and how far it is are one transaction.
"""

from typing import LiteralString

from dci_server.features.events.queries import EVENT
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection, fetch_row, fetch_value, transaction

AT_ONCE = 500
_IDLE_SECONDS = 5.0
_SECONDS_BETWEEN_LOOKS = 0.25
"""Each look is a transaction and a durable commit, for one event as for many (decision 0039)."""

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

_TO_WEBHOOKS: LiteralString = (
    """
    matched as materialized (
        select new_id() as id, webhooks.id as webhook_id, events.*
        from batch as events join webhooks on webhooks.state = 'active' and webhooks.created_at <= events.created_at
             left join teams on teams.id = webhooks.team_id
        where (webhooks.team_id is null or teams.state = 'active') and """
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
                                   select name, sum(regressions) as n from tests_results
                                   where tests_results.job_id = events.job_id group by name) as of_name)) as facts
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
    with batch as materialized (
        select shown.id as event_id, events.created_at, events.type, events.subject_id, events.team_id, events.topic_id,
               events.remoteci_id, events.job_id, events.data, row_to_json(shown) as shown
        from (""" + EVENT + """ where events.id > %(last_id)s::bigint order by events.id limit %(at_once)s::integer) as shown
             join events on events.id = shown.id
    ), """
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
           (select count(*) from to_webhooks) + (select count(*) from to_people) + (select count(*) from to_the_bus) as made
"""
)  # fmt: skip


async def fan_out(db: Connection, *, links: str, with_mail: bool, with_bus: bool) -> int | None:
    """How many events were looked at, AT_ONCE at most; None when another process is at it.

    `links` is what addresses for people begin with.
    """
    async with transaction(db) as connection:
        last_id = await fetch_value(
            connection, "select last_id from event_consumers where name = 'notifications' for update skip locked"
        )
        if last_id is None:
            return None
        row = await fetch_row(
            connection, _FAN_OUT, last_id=last_id, at_once=AT_ONCE, links=links, with_mail=with_mail, with_bus=with_bus
        )
        assert row is not None
        if row["made"]:
            await fetch_value(connection, "select pg_notify('deliveries', '')")
        return row["events"]


class FanOut:
    """Runs beside the requests of a server process; of all of them one at a time finds work."""

    def __init__(self, db: Connection, *, links: str, with_mail: bool, with_bus: bool) -> None:
        self._db = db
        self._links = links
        self._with_mail = with_mail
        self._with_bus = with_bus
        self._repeating = Repeating("fan-out", self._fan_out, idle=_IDLE_SECONDS, rest=_SECONDS_BETWEEN_LOOKS)

    def start(self) -> None:
        self._repeating.start()

    def wake(self) -> None:
        self._repeating.wake()

    async def stop(self) -> None:
        await self._repeating.stop()

    async def _fan_out(self) -> bool:
        return await fan_out(self._db, links=self._links, with_mail=self._with_mail, with_bus=self._with_bus) == AT_ONCE
