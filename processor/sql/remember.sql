-- Remembers the first arrival of every new event.
-- Grain: one row per source and event_id.
-- Reads: raw.events, batch_repeats.   Writes: ops.dedup.
-- Safe to repeat: the primary key of the arrival day refuses a second row.
insert into ops.dedup (arrived, event_id, source, content_hash, received_at)
select ops.day_of(r.received_at), r.event_id, r.source, r.content_hash, r.received_at
from raw.events r
where r.load_id = any(%(load_ids)s) and r.received_at between %(received_from)s and %(received_until)s
    and not exists (select from batch_repeats b where b.part = r.tableoid and b.tid = r.ctid)
