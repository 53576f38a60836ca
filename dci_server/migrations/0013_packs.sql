-- SPDX-License-Identifier: Apache-2.0
-- The small files of a job that is over, together in one object. It is a row of compressed frames; a frame holds one file
-- or several, up to 64 KiB before compression, so that one file is read with one ranged read.
create table packs (
    id uuid primary key,
    created_at timestamp not null default utc_now(),
    job_id uuid not null references jobs on delete cascade,
    key text not null,
    size bigint not null,
    -- Of the files that were put into it, before compression.
    content_size bigint not null,
    -- Since the last look files of it were deleted.
    has_lost_files boolean not null default false,
    -- Its files are in another pack now; who was about to read it gets time to do so.
    replaced_at timestamp
);
create index packs_job_id_idx on packs (job_id);
create index packs_lost_files_idx on packs (id) where has_lost_files;
create index packs_replaced_at_idx on packs (replaced_at) where replaced_at is not null;

create table files_packed (
    file_id uuid primary key references files on delete cascade,
    pack_id uuid not null references packs on delete cascade,
    frame_start bigint not null,
    frame_size integer not null,
    -- Where in the frame, before compression, the file begins; its size is the file's.
    start integer not null
);
create index files_packed_pack_id_idx on files_packed (pack_id);

create function remove_object_of_pack() returns trigger language plpgsql as $$
begin
    perform remove_object(old.key);
    return old;
end $$;
create trigger packs_remove_object before delete on packs for each row execute function remove_object_of_pack();

create function mark_packs_of_lost_files() returns trigger language plpgsql as $$
begin
    update packs set has_lost_files = true
    where id in (select pack_id from gone) and not has_lost_files;
    return null;
end $$;
create trigger files_packed_deleted after delete on files_packed
    referencing old table as gone for each statement execute function mark_packs_of_lost_files();

create or replace function remove_object_of_file() returns trigger language plpgsql as $$
begin
    if not exists (select from files_contents where file_id = old.id)
       and not exists (select from files_packed where file_id = old.id) then
        perform remove_object(file_key(old.team_id, old.job_id, old.id));
    end if;
    return old;
end $$;

-- Jobs that are over, since when nothing has happened to them. An upload or a state touches its job, so late ones come
-- here as well; a job that goes on costs nothing but the look at its status.
create table jobs_to_pack (
    job_id uuid primary key references jobs on delete cascade,
    quiet_since timestamp not null default utc_now(),
    -- Whoever packs it says so; somebody else may when this is over.
    packed_until timestamp
);
create index jobs_to_pack_quiet_since_idx on jobs_to_pack (quiet_since);

create function remember_job_to_pack() returns trigger language plpgsql as $$
begin
    insert into jobs_to_pack (job_id) values (new.id)
    on conflict (job_id) do update set quiet_since = excluded.quiet_since;
    return null;
end $$;
create trigger jobs_to_pack after update on jobs for each row
    when (new.status in ('success', 'failure', 'killed', 'error'))
    execute function remember_job_to_pack();

insert into jobs_to_pack (job_id, quiet_since)
select id, updated_at from jobs
where status in ('success', 'failure', 'killed', 'error')
      and exists (select from files join files_contents on file_id = files.id where files.job_id = jobs.id);
