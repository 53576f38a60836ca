-- SPDX-License-Identifier: Apache-2.0
-- Rules say of what they are: of the rows of test cases, or of the content of files.
alter table retention_rules
    add column what text not null default 'cases' check (what in ('cases', 'files')),
    drop constraint retention_rules_of_what_key,
    add constraint retention_rules_of_what_key unique nulls not distinct (what, topic_id, team_id);

-- Since when the bytes of a file are neither in a row nor in the store; everything else of it stays.
alter table files add column content_removed_at timestamp;

create or replace function remove_object_of_file() returns trigger language plpgsql as $$
begin
    if old.content_removed_at is null
       and not exists (select from files_contents where file_id = old.id)
       and not exists (select from files_packed where file_id = old.id) then
        perform remove_object(file_key(old.team_id, old.job_id, old.id));
    end if;
    return old;
end $$;

-- How often the rules have changed, from 1 on. In the transaction of the change, so whoever sees a number sees its rules.
create table retention_revision (revision integer not null);
insert into retention_revision values (1);

create function count_change_of_rules() returns trigger language plpgsql as $$
begin
    update retention_revision set revision = revision + 1;
    return null;
end $$;
create trigger retention_rules_changed after insert or update or delete on retention_rules
    for each statement execute function count_change_of_rules();

-- Jobs that are over, and whose files may have content. When the rules or the job have changed since its moment was worked
-- out, it is worked out again; so a round looks at what is due, and at what is new.
create table jobs_with_content (
    job_id uuid primary key references jobs on delete cascade,
    -- Of the revision of the rules that `due_at` follows from; 0 when it has to be worked out.
    revision integer not null default 0,
    due_at timestamp not null default 'infinity'
);
create index jobs_with_content_due_idx on jobs_with_content (revision, due_at, job_id);

create function remember_job_with_content() returns trigger language plpgsql as $$
begin
    insert into jobs_with_content (job_id) values (new.id)
    on conflict (job_id) do update set revision = 0 where jobs_with_content.revision <> 0;
    return null;
end $$;
create trigger jobs_with_content after update on jobs for each row
    when (new.status in ('success', 'failure', 'killed', 'error'))
    execute function remember_job_with_content();

insert into jobs_with_content (job_id)
select id from jobs
where status in ('success', 'failure', 'killed', 'error') and exists (select from files where files.job_id = jobs.id);
