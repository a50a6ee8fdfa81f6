-- Writes what is new of the touched devices.
-- Grain: one row per device and stretch of time.
-- Reads: batch_identities.   Writes: clean.identities.
-- Safe to repeat: yes; what is left under the same key says the same.
insert into clean.identities (source, anonymous_id, customer_id, valid, known_from, is_backfilled, is_shared, ended_by)
select source, anonymous_id, customer_id, valid, known_from, is_backfilled, is_shared, ended_by from batch_identities
on conflict (source, anonymous_id, valid) do nothing
