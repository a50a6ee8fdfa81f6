-- Remembers the first arrival of what becomes clean now, unless it is remembered still.
-- Grain: one row per source and event_id.
-- Reads: again, raw.events, batch_repeats.   Writes: ops.dedup.
insert into ops.dedup (arrived, event_id, source, content_hash, received_at)
select ops.day_of(r.received_at), r.event_id, r.source, r.content_hash, r.received_at
from again a
join raw.events r on r.tableoid = a.part and r.ctid = a.tid
where r.load_id = any(%(load_ids)s) and r.received_at between %(received_from)s and %(received_until)s
    and not exists (select from batch_repeats b where b.part = a.part and b.tid = a.tid)
on conflict do nothing
