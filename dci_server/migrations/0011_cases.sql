-- SPDX-License-Identifier: Apache-2.0
-- Each test case of a report is a row. A report's rows have its number, and the moment `cases_at` at which they began to
-- arrive. They come before the row in `tests_results` that has that number, in short statements, and are nobody's until then:
-- whatever reads cases comes from there.

create type test_status as enum ('success', 'skipped', 'failure', 'error');

-- What is run again and again: a suite's case has the same id in every report. The key is a hash of the three names.
create table test_names (
    id bigint generated always as identity primary key,
    key bytea not null constraint test_names_key_key unique,
    suite text not null,
    classname text not null,
    name text not null
);

-- `previous_status` is of the same case in the previous run, null when it was not there. The places of the texts are bytes
-- of the file. Ordered so that a row needs no padding.
create table cases (
    created_at timestamp not null,
    number bigint not null,
    test_id bigint not null,
    team_id uuid not null,
    position integer not null,
    suite integer not null,
    status test_status not null,
    previous_status test_status,
    time double precision not null,
    value_start bigint,
    value_end bigint,
    stdout_start bigint,
    stdout_end bigint,
    stderr_start bigint,
    stderr_end bigint,
    type text,
    message text
) partition by range (created_at);
create index cases_number_idx on cases (number, position);
create index cases_test_id_idx on cases (test_id, created_at desc, team_id);
create index cases_failed_idx on cases (number) where status in ('failure', 'error');
create table cases_of_no_month partition of cases default;

-- One partition for each month, made before it begins. Rows that came earlier are in the default one and move. Attaching
-- waits for no writer of the table; creating a partition in place would, and everybody would wait behind it.
create function prepare_months_of_cases() returns void language plpgsql as $$
declare
    month timestamp;
    name text;
begin
    perform pg_advisory_xact_lock(4025061124);
    for ahead in 0..2 loop
        month := date_trunc('month', utc_now()) + make_interval(months => ahead);
        name := 'cases_' || to_char(month, 'YYYY_MM');
        continue when to_regclass(name) is not null;
        execute format('create table %I (like cases including all)', name);
        execute format('with moved as (delete from cases_of_no_month where created_at >= %L and created_at < %L returning *)
                        insert into %I select * from moved', month, month + interval '1 month', name);
        execute format('alter table cases attach partition %I for values from (%L) to (%L)',
                       name, month, month + interval '1 month');
    end loop;
end $$;
select prepare_months_of_cases();

create function case_state(previous test_status, status test_status) returns text language sql immutable parallel safe
    return case
        when previous is null then 'ADDED'
        when status = 'skipped' then case when previous in ('failure', 'error') then 'SKIPPED' else 'UNCHANGED' end
        when status = 'success' then
            case previous when 'success' then 'UNCHANGED' when 'skipped' then 'ADDED' else 'RECOVERED' end
        when previous in ('failure', 'error') then 'UNCHANGED'
        else 'REGRESSED'
    end;

-- `opened` is its place in the order of opening, which its cases know; `id` in the order of closing. Of suites with one name
-- the one that closes last is compared with.
create table tests_suites (
    number bigint not null,
    id integer not null,
    opened integer not null,
    name text not null,
    is_last boolean not null,
    tests integer not null,
    success integer not null,
    failures integer not null,
    errors integer not null,
    skipped integer not null,
    time double precision not null,
    distinct_cases integer not null,
    additions integer not null,
    deletions integer not null,
    unchanged integer not null,
    regressions integer not null,
    successfixes integer not null,
    properties json not null,
    primary key (number, opened)
);
-- By a hash, because a name may be longer than what an index takes.
create index tests_suites_last_idx on tests_suites (number, md5(name)) where is_last;

alter table tests_results
    add column number bigint constraint tests_results_number_key unique,
    add column cases_at timestamp,
    add column encoding text,
    add column previous_job_id uuid,
    add column previous_number bigint,
    add column additions integer not null default 0,
    add column deletions integer not null default 0,
    add column unchanged integer not null default 0;

-- Cases that no result has, or may never have: announced before the first of them is written; the statement that inserts
-- the result takes that back. Those of a deleted result are due at once.
create table cases_to_remove (
    number bigint generated always as identity primary key,
    created_at timestamp not null default utc_now(),
    not_before timestamp not null
);

create function remove_cases_of_result() returns trigger language plpgsql as $$
begin
    insert into cases_to_remove (number, created_at, not_before) overriding system value
    values (old.number, old.cases_at, utc_now()) on conflict (number) do nothing;
    return null;
end $$;
create trigger tests_results_remove_cases after delete on tests_results for each row
    when (old.number is not null) execute function remove_cases_of_result();
