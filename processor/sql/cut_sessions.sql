-- Cuts each visitor's events into sessions: after 30 minutes of silence, at another customer, after 12 hours.
-- A session is named after its first event.
-- Grain: one row per event of batch_derived.
-- Reads, writes: batch_derived.
update batch_derived d
set session_id = cut.session_id
from (
    select source, event_id,
        'd-' || replace(first_value(event_id::text) over (
            partition by source, visitor_id, island, chunk order by event_time, event_id), '-', '') as session_id
    from (
        select *, floor(extract(epoch from event_time - min(event_time) over (
            partition by source, visitor_id, island)) / 43200) as chunk
        from (
            select *, count(*) filter (where starts) over (
                partition by source, visitor_id order by event_time, event_id) as island
            from (
                select *,
                    coalesce(event_time - lag(event_time) over visits > interval '30 minutes', true)
                    or coalesce(customer_id <> first_value(customer_id) over (
                        partition by source, visitor_id, known_customers - (customer_id is not null)::int
                        order by known_customers, event_time, event_id), false) as starts
                from (
                    select *, count(customer_id) over (
                        partition by source, visitor_id order by event_time, event_id) as known_customers
                    from batch_derived
                ) counted
                window visits as (partition by source, visitor_id order by event_time, event_id)
            ) marked
        ) islands
    ) chunks
) cut
where cut.source = d.source and cut.event_id = d.event_id
