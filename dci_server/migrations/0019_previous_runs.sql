-- SPDX-License-Identifier: Apache-2.0
-- The run that a report is compared with: the latest of a laboratory and topic that has the same name. Without this, a name
-- that is new is looked for in all that the laboratory has ever run.
create index jobs_previous_run_idx on jobs (remoteci_id, topic_id, hashtextextended(name, 0), created_at desc, id desc);
