-- SPDX-License-Identifier: Apache-2.0
-- How often a message could not be written or handed over for a reason that nobody foresaw: too often, and it is given up.
alter table mails add column faults integer not null default 0;
alter table bus_messages add column faults integer not null default 0;
