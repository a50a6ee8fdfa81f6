-- Names the raw row of a dead letter as one to clean again.
-- Grain: one row.
-- Reads: raw.events.   Writes: again.
insert into again (part, tid, load_id, received_at, source, event_id)
select r.tableoid, r.ctid, r.load_id, r.received_at, r.source, r.event_id
from raw.events r
where r.load_id = %(load_id)s and r.received_at = %(received_at)s and r.source = %(source)s
    and r.event_id = %(event_id)s
    and (%(content_hash)s::bigint is null or r.content_hash = %(content_hash)s::bigint)
    and not exists (select from again a where a.part = r.tableoid and a.tid = r.ctid)
order by r.ctid desc
limit 1
