-- The distinct user agents of the batch.
-- Reads: raw.events, batch_repeats.   Writes: nothing.
select distinct coalesce(user_agent, '')
from raw.events r
where load_id = any(%(load_ids)s) and received_at between %(received_from)s and %(received_until)s
    and not exists (select from batch_repeats b where b.part = r.tableoid and b.tid = r.ctid)
