-- How many events of one run are clean so far, and how many were duplicates.
-- Grain: one row.
-- Reads: clean.events, ops.duplicates.   Writes: nothing.
select
    (select count(*) from clean.events where received_at >= %(since)s and event_id::text like %(ids)s),
    (select count(*) from ops.duplicates where received_at >= %(since)s and event_id::text like %(ids)s)
