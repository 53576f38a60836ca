-- SPDX-License-Identifier: Apache-2.0
-- Big files that arrive in pieces. Each piece is an object of its own, whose row came with the announcement taken back, as
-- 0003 has it; the file is made of them when the last one is there.
create table uploads (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    expires_at timestamp not null,
    team_id uuid not null references teams on delete cascade,
    job_id uuid not null references jobs on delete cascade,
    jobstate_id uuid references jobstates on delete cascade,
    name text not null check (length(name) <= 255),
    mime text,
    md5 text,
    -- Upload-Metadata, as it was sent.
    metadata text not null,
    length bigint not null check (length >= 0),
    received bigint not null default 0 check (received between 0 and length),
    pieces integer not null default 0,
    -- Who makes the file of the pieces says so, and renews it: nobody else does meanwhile.
    finisher uuid,
    finisher_until timestamp,
    -- The file it has become. No reference: the file may go before the upload is forgotten.
    file_id uuid
);
create index uploads_team_id_idx on uploads (team_id);
create index uploads_job_id_idx on uploads (job_id);
create index uploads_jobstate_id_idx on uploads (jobstate_id) where jobstate_id is not null;
create index uploads_expires_at_idx on uploads (expires_at);
create index uploads_whole_idx on uploads (id) where received = length and file_id is null;

create table uploads_pieces (
    upload_id uuid not null references uploads on delete cascade,
    position bigint not null,
    size bigint not null check (size > 0),
    key text not null,
    primary key (upload_id, position)
);

create function remove_object_of_piece() returns trigger language plpgsql as $$
begin
    perform remove_object(old.key);
    return old;
end $$;
create trigger uploads_pieces_remove_object before delete on uploads_pieces
    for each row execute function remove_object_of_piece();
