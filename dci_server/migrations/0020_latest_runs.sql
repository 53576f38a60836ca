-- SPDX-License-Identifier: Apache-2.0
-- The topics that a laboratory has ever run, one step in the index each, and the latest run of each of them: statistics ask
-- for these and for nothing else. `status` is not in it, because it changes with the states of a job.
create index jobs_latest_run_idx on jobs (remoteci_id, topic_id, created_at desc, id desc);
