-- SPDX-License-Identifier: Apache-2.0
-- For how long the rows of test cases are kept. Of the rules that fit a job the closest counts: of its topic and team, of its
-- topic, of its team, of everything. Without a rule, or with one without days, they are kept for ever.
create table retention_rules (
    id uuid primary key default new_id(),
    created_at timestamp not null default utc_now(),
    topic_id uuid references topics on delete cascade,
    team_id uuid references teams on delete cascade,
    days integer check (days > 0),
    -- Cases of jobs that have one of these tags are kept.
    keep_tags text[] not null default '{}',
    constraint retention_rules_of_what_key unique nulls not distinct (topic_id, team_id)
);
create index retention_rules_team_id_idx on retention_rules (team_id);
create index tests_results_cases_at_idx on tests_results (cases_at) where number is not null;
