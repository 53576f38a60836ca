-- SPDX-License-Identifier: Apache-2.0
-- Rows and the objects of the store never part company: whatever no row refers to, or may never do, is listed here.
-- An upload announces its object before it publishes it, with a moment far enough away; the statement that inserts the
-- row takes the announcement back. What goes with a deleted row is due at once.
create table objects_to_remove (
    key text primary key,
    not_before timestamp not null
);

create function file_key(team_id uuid, job_id uuid, file_id uuid) returns text language sql immutable parallel safe
    return 'files/' || team_id || '/' || job_id || '/' || file_id;

create function remove_object(unreferenced text) returns void language sql as $$
    insert into objects_to_remove (key, not_before) values (unreferenced, utc_now())
    on conflict (key) do update set not_before = excluded.not_before
$$;

-- Before, because the bytes that are in a row are gone afterwards, and with them the way to tell.
create function remove_object_of_file() returns trigger language plpgsql as $$
begin
    if not exists (select from files_contents where file_id = old.id) then
        perform remove_object(file_key(old.team_id, old.job_id, old.id));
    end if;
    return old;
end $$;
create trigger files_remove_object before delete on files for each row execute function remove_object_of_file();

create function remove_object_of_component_file() returns trigger language plpgsql as $$
begin
    perform remove_object(old.key);
    return old;
end $$;
create trigger component_files_remove_object before delete on component_files
    for each row execute function remove_object_of_component_file();
