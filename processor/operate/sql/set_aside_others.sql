-- Sets aside what is not meant: all other rows of the loads that are cleaned again.
-- Grain: one row per row of raw.events.
-- Reads: raw.events, again.   Writes: batch_repeats.
insert into batch_repeats
select r.tableoid, r.ctid, r.load_id, r.received_at, r.source, r.event_type, r.event_id, r.received_at, null
from raw.events r
where r.load_id = any(%(load_ids)s) and r.received_at between %(received_from)s and %(received_until)s
    and not exists (select from again a where a.part = r.tableoid and a.tid = r.ctid)
