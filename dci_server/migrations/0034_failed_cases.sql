-- SPDX-License-Identifier: Apache-2.0
-- What failed on a topic is counted from the index alone: which test it was, without a visit to each case.
drop index cases_failed_idx;
create index cases_failed_idx on cases (number) include (created_at, test_id) where status in ('failure', 'error');
