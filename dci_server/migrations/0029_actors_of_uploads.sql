-- SPDX-License-Identifier: Apache-2.0
-- Who opened an upload: the file is their doing, whoever makes it of the pieces. Unknown of those that are open already.
alter table uploads add column actor_id uuid;
