-- The distinct user agents of the batch.
-- Reads: raw.events.   Writes: nothing.
select distinct coalesce(user_agent, '')
from raw.events
where load_id = any(%(load_ids)s) and received_at between %(received_from)s and %(received_until)s
