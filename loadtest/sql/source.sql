-- The source of one run's events: what its write key stands for.
-- Grain: at most one row.
-- Reads: raw.events.   Writes: nothing.
select source
from raw.events
where received_at >= %(since)s and event_id::text like %(ids)s
limit 1
