-- SPDX-License-Identifier: Apache-2.0
-- When a case failed, without a walk through all the times when it did not. Few cases fail, so the index is small.
create index cases_test_id_failed_idx on cases (test_id, created_at desc, team_id) where status in ('failure', 'error');
