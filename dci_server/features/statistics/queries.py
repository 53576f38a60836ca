# SPDX-License-Identifier: Apache-2.0
"""The SQL of statistics."""

from typing import LiteralString

from dci_server.features.statistics.model import StatsAnswer
from dci_server.foundation.database.connection import Connection, Json, fetch_value
from dci_server.foundation.database.sql import Condition

# From each topic of a laboratory to the next one, and to its latest run: so many steps in an index as the answer has runs,
# and not one per job. `round` of a double takes exact halves to the even neighbour, as it always was.
_STATS: LiteralString = """
with recursive laboratories as materialized (
    select remotecis.id, remotecis.name, teams.name as team_name
    from remotecis join teams on teams.id = remotecis.team_id
    where remotecis.state = 'active' and teams.state = 'active' and teams.external and """
_STATS_DONE: LiteralString = """
), tested as (
    select laboratories.id as remoteci_id, first.topic_id
    from laboratories cross join lateral (
        select topic_id from jobs where remoteci_id = laboratories.id order by topic_id limit 1) as first
    union all
    select tested.remoteci_id, further.topic_id
    from tested cross join lateral (
        select topic_id from jobs where remoteci_id = tested.remoteci_id and topic_id > tested.topic_id
        order by topic_id limit 1) as further
), latest as (
    select run.id, run.status, run.created_at, tested.topic_id, laboratories.name as remoteci_name,
           laboratories.team_name
    from tested join laboratories on laboratories.id = tested.remoteci_id cross join lateral (
        select id, status, created_at from jobs
        where remoteci_id = tested.remoteci_id and topic_id = tested.topic_id
              and status in ('success', 'failure') and state <> 'archived'
        order by created_at desc, id desc limit 1) as run
), of_topics as (
    select topic_id, count(*) as jobs, count(*) filter (where status = 'success') as successful,
           max(created_at) as newest,
           json_agg(json_build_object('id', id, 'status', status, 'created_at', created_at, 'remoteci_name',
                                      remoteci_name, 'team_name', team_name) order by created_at desc, id) as latest
    from latest group by topic_id
)
select json_build_object('stats', coalesce(json_agg(json_build_object(
           'topic', json_build_object('id', topics.id, 'name', topics.name),
           'product', json_build_object('id', products.id, 'name', products.name),
           'nbOfJobs', of_topics.jobs, 'nbOfSuccessfulJobs', of_topics.successful,
           'percentageOfSuccess', round((100.0 * successful / of_topics.jobs)::double precision)::integer,
           'jobs', of_topics.latest) order by of_topics.newest desc, topics.id), '[]'::json))
from of_topics join topics on topics.id = of_topics.topic_id join products on products.id = topics.product_id
where topics.state = 'active'
"""


async def read_stats(db: Connection, visible: Condition) -> Json[StatsAnswer]:
    return Json(await fetch_value(db, _STATS + visible.sql + _STATS_DONE, **visible.params))
