-- Names the raw rows of those events whose end is missing as ones to clean again.
-- Grain: one row per event.
-- Reads: archived, raw.events.   Writes: again.
insert into again (part, tid, load_id, received_at, source, event_id)
select r.part, r.tid, r.load_id, r.received_at, r.source, r.event_id
from (
    select tableoid as part, ctid as tid, load_id, received_at, source, event_id,
        row_number() over (partition by received_at, source, event_id order by ctid desc) as nth
    from raw.events
    where load_id = %(load_id)s and received_at between %(received_from)s and %(received_until)s
) r
join (
    select received_at, source, event_id, count(*) as n from archived where fate in ('both', 'end')
    group by received_at, source, event_id
) missing using (received_at, source, event_id)
where r.nth <= missing.n
