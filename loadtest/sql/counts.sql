-- What became of one run's events, but for the clean ones.
-- Grain: one row.
-- Reads: raw.events, ops.duplicates, ops.rejected, ops.dead_letters.   Writes: nothing.
select
    (select count(*) from raw.events where received_at >= %(since)s and event_id::text like %(ids)s),
    (select count(*) from ops.duplicates where received_at >= %(since)s and event_id::text like %(ids)s),
    (select count(*) from ops.rejected where received_at >= %(since)s and event_id::text like %(ids)s),
    (select count(*) from ops.dead_letters where received_at >= %(since)s and event_id::text like %(ids)s)
