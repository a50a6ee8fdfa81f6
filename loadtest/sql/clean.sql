-- The clean events of one run, by their numbers.
-- Grain: one row per event.
-- Reads: clean.events.   Writes: nothing.
select ('x' || right(event_id::text, 12))::bit(48)::bigint, is_test
from clean.events
where received_at >= %(since)s and event_id::text like %(ids)s
