-- Finds those of the meant rows whose event is there already: in clean, whatever the window, or remembered with
-- another arrival, or earlier among them.
-- Grain: one row per second (third, …) arrival.
-- Reads: again, raw.events, ops.dedup, clean.events.   Writes: batch_repeats.
insert into batch_repeats
with incoming as (
    select a.part, a.tid, a.load_id, a.received_at, a.source, r.event_type, a.event_id, r.content_hash,
        row_number() over arrivals as nth,
        first_value(a.received_at) over arrivals as batch_received_at,
        first_value(r.content_hash) over arrivals as batch_content_hash
    from again a
    join raw.events r on r.tableoid = a.part and r.ctid = a.tid
    where r.load_id = any(%(load_ids)s) and r.received_at between %(received_from)s and %(received_until)s
    window arrivals as (partition by a.source, a.event_id order by a.received_at, a.load_id, a.tid)
), remembered as (
    select distinct on (d.source, d.event_id) d.source, d.event_id, d.received_at, d.content_hash
    from ops.dedup d
    where (d.source, d.event_id) in (select source, event_id from again)
    order by d.source, d.event_id, d.arrived
), here as (
    select c.source, c.event_id, c.received_at
    from clean.events c
    where c.received_at between %(received_from)s and %(received_until)s
        and (c.source, c.event_id) in (select source, event_id from again)
), anywhere as (
    select c.source, c.event_id, min(c.received_at) as received_at
    from clean.events c
    where (c.source, c.event_id) in (
        select source, event_id from again except select source, event_id from remembered)
    group by c.source, c.event_id
)
select i.part, i.tid, i.load_id, i.received_at, i.source, i.event_type, i.event_id,
    coalesce(d.received_at, c.received_at, i.batch_received_at),
    coalesce(d.content_hash, case when c.received_at is null then i.batch_content_hash end, i.content_hash)
        <> i.content_hash
from incoming i
left join remembered d on d.source = i.source and d.event_id = i.event_id
left join anywhere c on c.source = i.source and c.event_id = i.event_id
where i.nth > 1 or c.received_at is not null or d.received_at <> i.received_at or d.content_hash <> i.content_hash
    or exists (
        select from here h
        where h.source = i.source and h.event_id = i.event_id and h.received_at = d.received_at)
