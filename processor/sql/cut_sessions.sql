-- Cuts each visitor's events into sessions: after 30 minutes of silence, at another customer than the one
-- known since then, and every 12 hours. A session is named after its first event.
-- What was carried in counts for a visitor whose first event here is an old one: it continues earlier sessions.
-- Grain: one row per event of batch_derived.
-- Reads, writes: batch_derived.
update batch_derived d
set session_id = cut.session_id
from (
    with paused as (
        select *,
            coalesce(event_time - lag(event_time) over visits > interval '30 minutes', true) as is_pause,
            first_value(carried_start) over visits as first_start,
            first_value(carried_customer_id) over visits as first_customer_id
        from batch_derived
        window visits as (partition by source, visitor_id order by event_time, event_id)
    ), islands as (
        select *, count(*) filter (where is_pause) over visits as island
        from paused
        window visits as (partition by source, visitor_id order by event_time, event_id)
    ), counted as (
        select *, count(customer_id) over visits as customers
        from islands
        window visits as (partition by source, visitor_id, island order by event_time, event_id)
    ), known as (
        -- Between two events with a customer, the first one's holds.
        select *, coalesce(
            max(customer_id) over (partition by source, visitor_id, island, customers),
            case when island = 1 then first_customer_id end) as known_customer_id
        from counted
    ), marked as (
        select *, is_pause or coalesce(
            customer_id <> lag(known_customer_id, 1, case when island = 1 then first_customer_id end) over visits,
            false) as starts
        from known
        window visits as (partition by source, visitor_id, island order by event_time, event_id)
    ), parts as (
        select *, count(*) filter (where starts) over visits as part
        from marked
        window visits as (partition by source, visitor_id order by event_time, event_id)
    ), chunks as (
        select *, floor(extract(epoch from event_time - coalesce(
            case when part = 1 then first_start end,
            min(event_time) over (partition by source, visitor_id, part))) / 43200) as chunk
        from parts
    )
    select source, event_id, 'd-' || replace(first_value(event_id::text) over (
        partition by source, visitor_id, part, chunk order by event_time, event_id), '-', '') as session_id
    from chunks
) cut
where cut.source = d.source and cut.event_id = d.event_id
