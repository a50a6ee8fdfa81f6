-- The distinct addresses of the batch.
-- Reads: raw.events.   Writes: nothing.
select distinct ip
from raw.events
where load_id = any(%(load_ids)s) and received_at between %(received_from)s and %(received_until)s and ip is not null
