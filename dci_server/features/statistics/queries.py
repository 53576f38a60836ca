# SPDX-License-Identifier: Apache-2.0
"""The SQL of statistics."""

from typing import LiteralString

from dci_server.features.statistics.model import StatsAnswer
from dci_server.foundation.database.connection import Connection, Json, fetch_value
from dci_server.foundation.database.sql import Condition

# `round` of a double takes exact halves to the even neighbour, as it always was.
_STATS: LiteralString = """
with latest as (
    select distinct on (jobs.topic_id, jobs.remoteci_id) jobs.id, jobs.status, jobs.created_at, jobs.topic_id,
           remotecis.name as remoteci_name, teams.name as team_name
    from jobs join remotecis on remotecis.id = jobs.remoteci_id join teams on teams.id = remotecis.team_id
    where jobs.status in ('success', 'failure') and jobs.state <> 'archived' and remotecis.state = 'active'
          and teams.state = 'active' and teams.external and """
_STATS_DONE: LiteralString = """
    order by jobs.topic_id, jobs.remoteci_id, jobs.created_at desc, jobs.id desc
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
