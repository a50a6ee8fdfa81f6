-- Finds the rows of the batch whose event arrived before: in this batch, or within the window.
-- Grain: one row per second (third, …) arrival.
-- Reads: raw.events, ops.dedup.   Writes: batch_repeats.
-- Safe to repeat: yes, within its transaction; the claim comes first.
insert into batch_repeats
with incoming as (
    select tableoid as part, ctid as tid, load_id, received_at, source, event_type, event_id, content_hash,
        row_number() over arrivals as nth,
        first_value(received_at) over arrivals as batch_received_at,
        first_value(content_hash) over arrivals as batch_content_hash
    from raw.events
    where load_id = any(%(load_ids)s) and received_at between %(received_from)s and %(received_until)s
    window arrivals as (partition by event_id, source order by received_at, load_id, ctid)
)
select i.part, i.tid, i.load_id, i.received_at, i.source, i.event_type, i.event_id,
    coalesce(d.received_at, i.batch_received_at),
    coalesce(d.content_hash, i.batch_content_hash) <> i.content_hash
from incoming i
left join lateral (
    -- One probe of an index per arrival week; weeks outside the window are dropped with their partitions.
    select d.received_at, d.content_hash
    from ops.dedup d
    where d.event_id = i.event_id and d.source = i.source
    order by d.arrived
    limit 1
) d on true
where i.nth > 1 or d.received_at is not null
