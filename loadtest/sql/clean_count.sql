-- How many events of one run are clean so far.
-- Grain: one row.
-- Reads: clean.events.   Writes: nothing.
select count(*)
from clean.events
where received_at >= %(since)s and event_id::text like %(ids)s
