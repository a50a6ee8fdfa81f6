-- Finds an event's rows in clean: those of the arrivals that are known, or any. The latter reads everything.
-- Grain: one row per row of clean.events.
-- Reads: clean.events.   Writes: nothing.
select 'clean', source, received_at, null::bigint, coalesce('session ' || session_id, 'no session') || ' of ' || event_date
from clean.events
where event_id = %(event_id)s and (%(arrivals)s::timestamptz[] is null or received_at = any(%(arrivals)s::timestamptz[]))
